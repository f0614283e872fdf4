//! Which clips of files a codec is measured on and does not learn.

use std::path::PathBuf;

/// Clips that are measured, at most.
pub const MOST: usize = 48;
/// One clip in so many is held out, where files are of one clip each.
const ONE_IN: usize = 16;
/// At most one clip in so many is held out, where a file is long.
const AT_MOST_ONE_IN: usize = 4;

/// A clip of a file: which of those that the file is cut into.
pub type Place = (PathBuf, usize);

/// Clips in two parts.
#[derive(Debug, PartialEq)]
pub struct Split {
    pub training: Vec<Place>,
    /// Those that are measured: all of the files below or, of more than [`MOST`], every so many.
    pub held_out: Vec<Place>,
    /// The files that they are of.
    pub files: Vec<PathBuf>,
    /// In words.
    pub told: String,
}

/// Holds out whole files, for what is a second apart in one film is nearly the same; of a single file its end. `clips`
/// are at least 2, those of a file in a row.
pub fn split(clips: Vec<Place>) -> Split {
    let films: Vec<&[Place]> = clips.chunk_by(|a, b| a.0 == b.0).collect();
    let all = clips.len();
    if films.len() < 2 {
        let held = wanted(all);
        let (training, held_out) = clips.split_at(all - held);
        let told =
            format!("the last {held} of the {all} clips of the only file, whose others are trained on");
        return Split {
            training: training.to_vec(),
            held_out: held_out.to_vec(),
            files: files(held_out),
            told,
        };
    }
    let held = held_films(&films.iter().map(|film| film.len()).collect::<Vec<_>>());
    let (mut training, mut held_out) = (Vec::new(), Vec::new());
    for (i, film) in films.iter().enumerate() {
        let part = if held.contains(&i) { &mut held_out } else { &mut training };
        part.extend_from_slice(film);
    }
    let files = files(&held_out);
    let (whole, step) = (held_out.len(), held_out.len().div_ceil(MOST));
    let held_out: Vec<Place> = held_out.into_iter().step_by(step).collect();
    let of_films = format!("of {} of {} files, of which none is trained on", files.len(), films.len());
    let told = match held_out.len() {
        measured if measured == whole => format!("all {whole} clips {of_films}"),
        measured => format!("{measured} of the {whole} clips {of_films}"),
    };
    Split { training, held_out, files, told }
}

/// How many clips are to be held out of so many.
fn wanted(clips: usize) -> usize {
    (clips / ONE_IN).clamp(1, MOST)
}

/// Which files are held out, of at least 2 with so many clips each: some that are spread over all, until there are
/// enough clips; none that is a large part of all clips, unless all are.
fn held_films(clips: &[usize]) -> Vec<usize> {
    let all = clips.iter().sum::<usize>();
    let (wanted, most) = (wanted(all), all / AT_MOST_ONE_IN);
    let step = (clips.len() / wanted).max(2);
    let (mut held, mut count) = (Vec::new(), 0);
    for i in (step / 2..clips.len()).step_by(step) {
        if count < wanted && count + clips[i] <= most {
            held.push(i);
            count += clips[i];
        }
    }
    if held.is_empty() {
        held.extend((0..clips.len()).min_by_key(|&i| clips[i]));
    }
    held
}

/// The files of clips, each once.
fn files(clips: &[Place]) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = clips.iter().map(|(file, _)| file.clone()).collect();
    files.dedup();
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Clips of files with so many each.
    fn clips(counts: &[usize]) -> Vec<Place> {
        let film = |(i, &count): (usize, &usize)| (0..count).map(move |n| (format!("{i:03}.mp4").into(), n));
        counts.iter().enumerate().flat_map(film).collect()
    }

    #[test]
    fn no_film_is_both_learned_and_measured_if_there_are_two() {
        let one_each = [1; 24];
        let many = [1; 1000];
        for (counts, films, held) in [
            (&one_each[..], 1, 1),
            (&many, 48, 48),
            (&[1, 1], 1, 1),
            (&[5, 5, 5], 1, 5),
            (&[100; 10], 1, 34),
            // Whichever comes first, the short one.
            (&[1000, 20], 1, 20),
            (&[20, 1000], 1, 20),
            (&[3, 1, 400, 2, 5, 1], 3, 4),
        ] {
            let all = clips(counts);
            let split = split(all.clone());
            assert_eq!(
                (split.files.len(), split.held_out.len()),
                (films, held),
                "{counts:?}: {}",
                split.told
            );
            let names =
                |places: &[Place]| places.iter().map(|place| place.0.clone()).collect::<BTreeSet<_>>();
            assert!(names(&split.training).is_disjoint(&names(&split.held_out)), "{counts:?}");
            assert_eq!(names(&split.held_out), split.files.iter().cloned().collect(), "{counts:?}");
            let is_held = |place: &&Place| split.files.contains(&place.0);
            let others: Vec<Place> = all.iter().filter(|place| !is_held(place)).cloned().collect();
            assert_eq!(split.training, others, "{counts:?}: all others are learned");
            assert!(!split.training.is_empty());
        }
        assert_eq!(
            split(clips(&[100; 10])).told,
            "34 of the 100 clips of 1 of 10 files, of which none is trained on"
        );
    }

    #[test]
    fn of_a_single_film_the_end_is_held_out() {
        let Split { training, held_out, told, .. } = split(clips(&[40]));
        assert_eq!(
            (training.len(), training.last().unwrap().1, held_out[0].1, held_out.len()),
            (38, 37, 38, 2)
        );
        assert!(told.starts_with("the last 2 of the 40 clips of the only file"), "{told}");
    }
}
