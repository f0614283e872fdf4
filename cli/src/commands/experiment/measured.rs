//! What is kept of a set of clips: a vector of what is seen and of what is heard, the tracks, and who is seen and heard
//! before and after. Everything in a report can be computed from it.

use super::part::Part;
use anyhow::{Result, bail};
use avdit_media::metrics::{FEATURES, FeatureSpace, Features};
use avdit_media::tensors::{TensorFile, TensorRef, write_tensors};
use avdit_media::world::{Identity, Tracks, WorldKind, identity, tracks_of};
use avdit_media::{Audio, Clip, Video};
use std::collections::BTreeMap;
use std::path::Path;

/// The kinds of vectors, as tensors are named.
pub const VIDEO: &str = "video";
pub const AUDIO: &str = "audio";
/// Of the made part alone, where a task gives the rest.
pub const VIDEO_MADE: &str = "video_made";
pub const AUDIO_MADE: &str = "audio_made";
/// Distances of whole clips from the true clips as the codec rebuilds them; their vectors are those of whole clips.
pub const VIDEO_CODED: &str = "video_coded";
pub const AUDIO_CODED: &str = "audio_coded";

/// A set of clips, measured.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Vectors by kind, a row for each clip; a kind that was given whole is not there.
    pub features: BTreeMap<String, Vec<Vec<f32>>>,
    pub tracks: Vec<Tracks>,
    /// Before and after the given part ends, where a task continues.
    pub identity: Vec<Identity>,
}

/// One clip, measured.
pub struct One {
    features: Vec<(&'static str, Vec<f32>)>,
    tracks: Tracks,
    identity: Option<Identity>,
}

/// Measures a clip: its vectors where `made` says that pictures and sound were made, the tracks always.
pub fn measure(
    kind: WorldKind,
    space: &FeatureSpace,
    clip: &Clip,
    made: (bool, bool),
    part: Option<&Part>,
) -> Result<One> {
    let mut features = Vec::new();
    if let (Some(video), true) = (&clip.video, made.0) {
        features.push((VIDEO, space.video(video)?));
        if let Some(part) = part {
            let frames = video.frames[part.frames.clone()].to_vec();
            features.push((VIDEO_MADE, space.video(&Video { frames, ..*video })?));
        }
    }
    if let (Some(audio), true) = (&clip.audio, made.1) {
        features.push((AUDIO, space.audio(audio)?));
        if let Some(part) = part {
            let samples = audio.samples[part.samples.clone()].to_vec();
            features.push((AUDIO_MADE, space.audio(&Audio { samples, ..*audio })?));
        }
    }
    let given_s = part.and_then(|part| part.continues_from_s);
    let identity = given_s.map(|given_s| identity(kind, clip, given_s)).transpose()?;
    Ok(One { features, tracks: tracks_of(kind, clip)?, identity })
}

impl Measured {
    /// Adds a clip.
    pub fn push(&mut self, one: One) {
        for (kind, vector) in one.features {
            self.features.entry(kind.to_owned()).or_default().push(vector);
        }
        self.tracks.push(one.tracks);
        self.identity.extend(one.identity);
    }

    /// Clips.
    pub fn len(&self) -> usize {
        self.tracks.len()
    }

    /// The vectors of a kind, if they were taken.
    pub fn features(&self, kind: &str) -> Result<Option<Features>> {
        Ok(self.features.get(kind).map(|rows| Features::from_rows(rows)).transpose()?)
    }

    /// Writes the set.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
        for (kind, rows) in &self.features {
            let width = rows.first().map_or(0, Vec::len);
            tensors.push((format!("features.{kind}"), vec![rows.len(), width], rows.concat()));
        }
        let frames = self.tracks.first().map_or(0, |tracks| tracks.height.len());
        let n = self.tracks.len();
        let missing = |value: &Option<f64>| value.map_or(f32::NAN, |value| value as f32);
        let series = |of: fn(&Tracks) -> &[Option<f64>]| {
            self.tracks.iter().flat_map(|tracks| of(tracks).iter().map(missing)).collect::<Vec<_>>()
        };
        tensors.push(("tracks.seen".into(), vec![n, frames], series(|tracks| &tracks.height)));
        tensors.push(("tracks.heard".into(), vec![n, frames], series(|tracks| &tracks.pitch)));
        let lasting = self.tracks.iter().flat_map(|tracks| [missing(&tracks.hue), missing(&tracks.timbre)]);
        tensors.push(("tracks.lasting".into(), vec![n, 2], lasting.collect()));
        if !self.identity.is_empty() {
            let values = self.identity.iter().flat_map(|who| {
                [&who.hue_given, &who.hue_made, &who.timbre_given, &who.timbre_made].map(missing)
            });
            tensors.push(("identity".into(), vec![self.identity.len(), 4], values.collect()));
        }
        let metadata = BTreeMap::from([
            ("format".to_owned(), "avdit-measured/1".to_owned()),
            ("features".to_owned(), FEATURES.to_owned()),
        ]);
        let refs: Vec<TensorRef<'_>> = tensors
            .iter()
            .map(|(name, shape, values)| TensorRef { name, shape: shape.clone(), values })
            .collect();
        Ok(write_tensors(path, &metadata, &refs)?)
    }

    /// Reads a set that was written.
    pub fn read(path: &Path) -> Result<Self> {
        let file = TensorFile::read(path)?;
        file.check_format("avdit-measured/1")?;
        let space = file.meta("features")?;
        if space != FEATURES {
            bail!(
                "{}: its vectors are of {space}, this program's of {FEATURES}\n\nhint: make the report with the program that ran \
                 the experiment, or give another folder with --out to run it with this one",
                path.display()
            );
        }
        let rows = |name: &str| -> Result<Vec<Vec<f32>>> {
            let (shape, values) = file.tensor(name)?;
            let width = shape.get(1).copied().unwrap_or(0).max(1);
            Ok(values.chunks(width).map(<[f32]>::to_vec).collect())
        };
        let there = |value: &f32| (!value.is_nan()).then(|| f64::from(*value));
        let series = |row: &Vec<f32>| row.iter().map(there).collect::<Vec<_>>();
        let (seen, heard, lasting) = (rows("tracks.seen")?, rows("tracks.heard")?, rows("tracks.lasting")?);
        let tracks = seen.iter().zip(&heard).zip(&lasting).map(|((seen, heard), lasting)| Tracks {
            height: series(seen),
            pitch: series(heard),
            hue: there(&lasting[0]),
            timbre: there(&lasting[1]),
        });
        let mut set = Self { tracks: tracks.collect(), ..Self::default() };
        for name in file.names() {
            if let Some(kind) = name.strip_prefix("features.") {
                set.features.insert(kind.to_owned(), rows(&name)?);
            }
        }
        if file.shape("identity").is_some() {
            let who = |row: &Vec<f32>| Identity {
                hue_given: there(&row[0]),
                hue_made: there(&row[1]),
                timbre_given: there(&row[2]),
                timbre_made: there(&row[3]),
            };
            set.identity = rows("identity")?.iter().map(who).collect();
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_comes_back_as_it_was_with_what_is_missing_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("set.safetensors");
        let tracks = |hue| Tracks {
            height: vec![Some(0.5), None, Some(0.25)],
            pitch: vec![None, Some(1.5), Some(-0.5)],
            hue,
            timbre: None,
        };
        let who = Identity { hue_given: Some(0.25), timbre_made: Some(0.75), ..Identity::default() };
        let set = Measured {
            features: BTreeMap::from([(VIDEO.to_owned(), vec![vec![1.0, 2.0], vec![3.0, -4.0]])]),
            tracks: vec![tracks(Some(0.125)), tracks(None)],
            identity: vec![who, Identity::default()],
        };
        set.write(&path).unwrap();
        let read = Measured::read(&path).unwrap();
        assert_eq!(
            (&read.features, &read.tracks, &read.identity),
            (&set.features, &set.tracks, &set.identity)
        );
        assert_eq!(read.len(), 2);
        assert!(read.features(AUDIO).unwrap().is_none());
        assert_eq!(read.features(VIDEO).unwrap().unwrap().row(1), [3.0, -4.0]);
    }
}
