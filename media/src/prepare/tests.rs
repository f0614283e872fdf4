use super::*;
use crate::shard::Dataset;
use crate::world::World;
use crate::{Audio, ClipGrid, EncodeOptions, Rational, Video, write_clip};
use avdit_core::{AudioLayout, Layout, VideoLayout};
use std::cell::Cell;
use std::collections::BTreeMap;

const GRID: ClipGrid =
    ClipGrid { frames: 9, fps: Rational { num: 8, den: 1 }, width: 32, height: 32, sample_rate_hz: 16_000 };

fn options() -> PrepareOptions {
    let layout = Layout {
        video: VideoLayout { frames: 3, channels: 4, height: 4, width: 4, segments: vec![1; 3] },
        audio: AudioLayout { frames: 14, channels: 6, segments: vec![2, 6, 6] },
    };
    PrepareOptions::new(CodecChoice::Fit(CodecConfig::for_layout(GRID, &layout).unwrap()))
}

fn write(path: &Path, clip: &Clip) {
    write_clip(path, clip, None, EncodeOptions::default()).unwrap();
}

fn changed(mut clip: Clip, video: impl Fn(&mut Video), audio: impl Fn(&mut Audio)) -> Clip {
    clip.video.iter_mut().for_each(video);
    clip.audio.iter_mut().for_each(audio);
    clip
}

/// A folder of `n` good clips and one of every bad kind.
fn clips(n: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let world = World::new(1, GRID);
    (0..n).for_each(|i| write(&at(&format!("good-{i}.mp4")), &world.clip(i)));
    let good = world.clip(100);
    write(&at("silent.mp4"), &changed(good.clone(), |_| (), |audio| audio.samples.fill(0.0)));
    let freeze = |video: &mut Video| video.frames = vec![video.frames[0].clone(); 9];
    write(&at("still.mp4"), &changed(good.clone(), freeze, |_| ()));
    let short = |video: &mut Video| video.frames.truncate(4);
    write(&at("short.mp4"), &changed(good.clone(), short, |audio| audio.samples.truncate(8000)));
    write(&at("mute.mp4"), &Clip { audio: None, ..good.clone() });
    let whole = std::fs::read(at("good-0.mp4")).unwrap();
    std::fs::write(at("truncated.mp4"), &whole[..whole.len() / 3]).unwrap();
    std::fs::write(at("notes.txt"), "no clip").unwrap();
    // Twice as much sound as pictures: frames in a folder, their sound beside it.
    std::fs::create_dir(at("unequal")).unwrap();
    for (i, frame) in good.video.as_ref().unwrap().frames.iter().enumerate() {
        let picture = image::RgbImage::from_raw(32, 32, frame.clone()).unwrap();
        picture.save(at(&format!("unequal/{i}.png"))).unwrap();
    }
    let audio = good.audio.unwrap();
    let long = Audio { samples: audio.samples.repeat(2), ..audio };
    crate::wav::write_wav(&at("unequal.wav"), &long).unwrap();
    folder
}

fn run(inputs: &Path, out: &Path, options: &PrepareOptions) -> Result<Summary> {
    prepare(&[inputs.to_owned()], out, options, &mut |_| (), &|| false)
}

/// Every file of a dataset with its bytes.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let read = |entry: std::fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap_or_default())
    };
    entries.map(read).collect()
}

#[test]
fn good_clips_are_kept_and_every_bad_one_has_a_row_with_its_reason() {
    let (inputs, out) = (clips(6), tempfile::tempdir().unwrap());
    let summary = run(inputs.path(), out.path(), &options()).unwrap();
    let reasons: Vec<(String, Option<Reason>)> = summary
        .rows
        .iter()
        .map(|row| (Path::new(&row.source).file_name().unwrap().to_str().unwrap().to_owned(), row.reason))
        .filter(|(name, _)| !name.starts_with("good"))
        .collect();
    let expected = [
        ("mute.mp4", Reason::NoSound),
        ("notes.txt", Reason::NotAClip),
        ("short.mp4", Reason::TooShort),
        ("silent.mp4", Reason::Silent),
        ("still.mp4", Reason::Still),
        ("truncated.mp4", Reason::Undecodable),
        ("unequal", Reason::UnequalLength),
    ];
    assert_eq!(reasons, expected.map(|(name, reason)| (name.to_owned(), Some(reason))));
    assert_eq!((summary.dataset.clips, summary.dataset.left_out, summary.files), (6, 7, 13));
    let names: Vec<String> = contents(out.path()).into_keys().collect();
    assert_eq!(
        names,
        ["audit.jsonl", "audit.md", "codec.safetensors", "dataset.json", "latents-00000.safetensors"]
    );
    assert_eq!(crate::audit::read_jsonl(&out.path().join("audit.jsonl")).unwrap(), summary.rows);
}

#[test]
fn the_latents_are_those_of_the_decoded_clips_of_unit_scale() {
    let (inputs, out) = (clips(6), tempfile::tempdir().unwrap());
    run(inputs.path(), out.path(), &options()).unwrap();
    let dataset = Dataset::open(out.path()).unwrap();
    let codec = dataset.codec().unwrap();
    let item = dataset.get(3).unwrap();
    assert!(item.origin.source.ends_with("good-3.mp4"), "{:?}", item.origin);
    let decoded = crate::decode(Path::new(&item.origin.source), crate::Preference::Auto).unwrap().clip;
    let clip = crate::fit_to_grid(&decoded, &GRID, &FitPolicy::default()).unwrap().remove(0);
    assert_eq!(codec.encode(&clip).unwrap(), item.latents);
    let all = dataset.batch(&(0..6).collect::<Vec<_>>()).unwrap();
    for modality in Modality::ALL {
        let values = all.get(modality);
        let square = values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / values.len() as f64;
        assert!((square - 1.0).abs() < 1e-3, "{}: mean square {square}", modality.name());
    }
}

#[test]
fn a_run_stopped_at_any_stage_and_run_again_gives_the_bytes_of_one_that_was_not() {
    let (inputs, whole) = (clips(4), tempfile::tempdir().unwrap());
    run(inputs.path(), whole.path(), &options()).unwrap();
    let out = tempfile::tempdir().unwrap();
    for stage in [Stage::Decode, Stage::Fit, Stage::Encode] {
        let (stop, last) = (Cell::new(false), Cell::new(stage));
        let mut watch = |progress: Progress| {
            stop.set(stop.get() || (progress.stage == stage && progress.done >= 3));
            last.set(progress.stage);
        };
        let stopped =
            prepare(&[inputs.path().to_owned()], out.path(), &options(), &mut watch, &|| stop.get());
        assert!(matches!(stopped, Err(Error::Interrupted { .. })), "{stage:?}: {stopped:?}");
        assert_eq!(last.get(), stage, "it went on to the next stage");
        assert_eq!(contents(out.path()).into_keys().collect::<Vec<_>>(), [".work"], "{stage:?}");
    }
    let summary = run(inputs.path(), out.path(), &options()).unwrap();
    assert_eq!(summary.resumed, summary.files, "nothing was decoded twice");
    assert!(contents(out.path()) == contents(whole.path()), "the datasets differ");
}

#[test]
fn an_earlier_dataset_stays_whole_until_the_new_one_is() {
    let (inputs, out) = (clips(4), tempfile::tempdir().unwrap());
    run(inputs.path(), out.path(), &options()).unwrap();
    let before = contents(out.path());
    write(&inputs.path().join("more.mp4"), &World::new(1, GRID).clip(50));
    let stop = Cell::new(false);
    let mut watch = |progress: Progress| stop.set(progress.stage == Stage::Encode);
    prepare(&[inputs.path().to_owned()], out.path(), &options(), &mut watch, &|| stop.get()).unwrap_err();
    let mut after = contents(out.path());
    after.remove(".work").unwrap();
    assert!(after == before);
    // A file of work that was cut short is made again.
    let work = std::fs::read_dir(out.path().join(".work/clips")).unwrap().map(|entry| entry.unwrap().path());
    let cut = work.max_by_key(|path| std::fs::metadata(path).unwrap().len()).unwrap();
    let bytes = std::fs::read(&cut).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();
    let summary = run(inputs.path(), out.path(), &options()).unwrap();
    assert_eq!((summary.dataset.clips, summary.resumed), (5, summary.files - 1));
    // The codec of a dataset serves for another.
    let again = tempfile::tempdir().unwrap();
    let codec = CodecChoice::File(out.path().join("codec.safetensors"));
    run(inputs.path(), again.path(), &PrepareOptions::new(codec)).unwrap();
    assert!(contents(again.path()) == contents(out.path()));
}

#[test]
fn nothing_to_keep_is_an_error_that_says_why() {
    let (inputs, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(inputs.path().join("a.mp4"), b"").unwrap();
    std::fs::write(inputs.path().join("b.txt"), b"x").unwrap();
    let message = run(inputs.path(), out.path(), &options()).unwrap_err().to_string();
    assert!(message.contains("1 not a clip, 1 undecodable (see "), "{message}");
    assert!(!out.path().join(DATASET_FILE).exists());
    let file = inputs.path().join("a.mp4");
    let message = run(inputs.path(), &file.join("out"), &options()).unwrap_err().to_string();
    assert!(message.contains("a.mp4/out: "), "{message}");
}
