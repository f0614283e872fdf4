//! Whose a folder is: nothing is written where it would take the place of what something else needs, such as the codec
//! that a dataset's latents were made with.

use crate::codec::FILE;
use crate::exit::Coded;
use anyhow::Result;
use avdit_core::Modality;
use avdit_media::shard::DATASET_FILE;
use std::fmt;
use std::path::Path;

/// What tells the folder of a codec of public networks.
pub const PUBLIC_CODEC_FILE: &str = "public-codec.json";

/// What this program makes folders of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Dataset,
    Run,
    Model,
    /// A learned codec and the state of its training.
    Codec,
    /// A codec of public networks.
    PublicCodec,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Dataset, Self::Run, Self::Model, Self::Codec, Self::PublicCodec];

    /// Whether a folder holds it.
    pub fn is_in(self, folder: &Path) -> Result<bool> {
        Ok(match self {
            Self::Dataset => folder.join(DATASET_FILE).exists(),
            Self::Run => folder.is_dir() && avdit_trainer::checkpoint::is_run(folder)?,
            Self::Model => folder.join("export.json").exists(),
            Self::Codec => Modality::ALL
                .iter()
                .any(|modality| folder.join(format!("{}.train.safetensors", modality.name())).is_file()),
            Self::PublicCodec => folder.join(PUBLIC_CODEC_FILE).is_file(),
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dataset => "a dataset",
            Self::Run => "a run",
            Self::Model => "an exported model",
            Self::Codec => "a learned codec and the state of its training",
            Self::PublicCodec => "a codec of public networks",
        })
    }
}

/// Refuses a folder that holds something, and nothing of the kind that is to be written there.
///
/// # Errors
/// One that names the folder, what it holds, and the option to change; those of the file system.
pub fn check(out: &Path, own: Kind, option: &str) -> Result<()> {
    if own.is_in(out)? {
        return Ok(());
    }
    for kind in Kind::ALL {
        if kind.is_in(out)? {
            return Err(refused(out, &kind.to_string(), option));
        }
    }
    Ok(())
}

/// As [`check`], for `train codec`: a codec there must be one that it is making or has made.
///
/// # Errors
/// As [`check`].
pub fn check_codec(out: &Path) -> Result<()> {
    check(out, Kind::Codec, "-o")?;
    if out.join(FILE).exists() && !Kind::Codec.is_in(out)? {
        let what = "a codec that was not trained there (no state of its training is beside it)";
        return Err(refused(out, what, "-o"));
    }
    Ok(())
}

/// As [`check`], for `codec assemble`: a codec there must be one of public networks.
///
/// # Errors
/// As [`check`].
pub fn check_public(out: &Path) -> Result<()> {
    check(out, Kind::PublicCodec, "-o")?;
    if out.join(FILE).exists() && !Kind::PublicCodec.is_in(out)? {
        return Err(refused(out, "the codec of something else", "-o"));
    }
    Ok(())
}

/// As [`check`], for the export of what lies in `source`, which may stay where it is, with a record of `schema`: a model
/// and a codec do not take each other's place.
///
/// # Errors
/// As [`check`].
pub fn check_export(out: &Path, source: Option<&Path>, schema: &str) -> Result<()> {
    let same = |a: &Path, b: &Path| a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b));
    let there = out.join(FILE);
    if source.is_some_and(|source| same(out, source) || same(&there, source)) {
        return Ok(());
    }
    check(out, Kind::Model, "-o")?;
    let record = std::fs::read(out.join("export.json")).unwrap_or_default();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap_or_default();
    if there.exists() && record["schema"] != schema {
        return Err(refused(out, "the codec of something else", "-o"));
    }
    if Kind::Codec.is_in(out)? {
        return Err(refused(out, &Kind::Codec.to_string(), "-o"));
    }
    Ok(())
}

fn refused(out: &Path, what: &str, option: &str) -> anyhow::Error {
    let out = out.display();
    Coded::bad_input(format!(
        "{out}: holds {what}: its {FILE} is not overwritten\n\nhint: name another folder with {option}"
    ))
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_for_what_it_holds_and_for_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let marks = [
            (Kind::Dataset, DATASET_FILE),
            (Kind::Run, "checkpoints/step-000001/state.json"),
            (Kind::Model, "export.json"),
            (Kind::Codec, "video.train.safetensors"),
            (Kind::PublicCodec, PUBLIC_CODEC_FILE),
        ];
        for (kind, mark) in marks {
            let out = folder.path().join(mark.replace('/', "-"));
            assert!(check(&out, kind, "-o").is_ok(), "{kind}: there is nothing");
            let file = out.join(mark);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, "").unwrap();
            for other in Kind::ALL {
                let refused = check(&out, other, "-o").err().map(|error| error.to_string());
                let found = refused.as_ref().is_none_or(|text| text.contains(&format!("holds {kind}: ")));
                assert!(found && refused.is_none() == (other == kind), "{other} into {kind}: {refused:?}");
            }
        }
    }
}
