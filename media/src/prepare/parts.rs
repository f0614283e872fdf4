//! Work shared by several processes or machines that see the same files: each takes every n-th file, and one that
//! comes last makes the dataset of what they have made.
//!
//! `.work/plan.json`, written by the first: what all parts must agree about. `.work/parts/part-00002-of-00016.json`:
//! a part that is done. A part that was stopped has none, and goes on from the clips that it finds.

use super::{CodecChoice, PrepareOptions, list::Found};
use crate::atomic::write_bytes_atomically;
use crate::error::{Error, Result};
use crate::{ClipGrid, Preference};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

const SCHEMA: &str = "avdit-prepare-plan/1";

/// One of several parts of the work, counted from 0: part `index` takes the files `index`, `index + of`,
/// `index + 2·of`, … of all in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Which, from 0.
    pub index: usize,
    /// Of how many.
    pub of: usize,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl FromStr for Part {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let part = text
            .split_once('/')
            .and_then(|(index, of)| Some(Self { index: index.parse().ok()?, of: of.parse().ok()? }));
        match part {
            Some(part) if part.index < part.of && part.of <= 99_999 => Ok(part),
            _ => Err(Error::value("part", "i/n with i from 0 to n - 1, such as 0/4 to 3/4", text)),
        }
    }
}

/// What all parts must agree about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    schema: String,
    /// Who wrote it.
    by: String,
    /// Of how many parts.
    parts: usize,
    /// Names and values, as a person reads them.
    settings: BTreeMap<String, String>,
}

impl Plan {
    /// The plan that `options`, the files found and the version of ffmpeg amount to; `by` says whose it is.
    pub(super) fn new(
        by: String,
        parts: usize,
        found: &Found,
        grid: ClipGrid,
        options: &PrepareOptions,
        codec_sha256: Option<&str>,
        ffmpeg: Option<&str>,
    ) -> Self {
        let mut hash = Sha256::new();
        for path in &found.clips {
            hash.update(path.as_os_str().as_encoded_bytes());
            hash.update([0]);
        }
        let names: String = hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let codec = match (&options.codec, codec_sha256) {
            (CodecChoice::Fit(config), _) => {
                let json = serde_json::to_string(config).expect("plain numbers and names are JSON");
                format!("fitted, {json}")
            }
            (CodecChoice::File(_) | CodecChoice::Open(_), sha256) => {
                format!("a file of SHA-256 {}", sha256.unwrap_or_default())
            }
        };
        let PrepareOptions { decode, fit, thresholds, .. } = options;
        let settings = [
            ("files", format!("{} (names hash to {names})", found.clips.len())),
            ("codec", codec),
            ("grid", format!("{grid:?}")),
            ("decoding", format!("{decode:?}")),
            ("fitting to the grid", format!("{fit:?}")),
            ("thresholds", format!("{thresholds:?}")),
            ("avdit", env!("CARGO_PKG_VERSION").to_owned()),
            ("instructions of the processor", instructions().to_owned()),
        ];
        let mut settings: BTreeMap<String, String> =
            settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        if decode.preference != Preference::BuiltIn {
            settings.insert("ffmpeg".to_owned(), ffmpeg.unwrap_or("none").to_owned());
        }
        Self { schema: SCHEMA.to_owned(), by, parts, settings }
    }

    fn path(work: &Path) -> PathBuf {
        work.join("plan.json")
    }

    /// Writes the plan if there is none, else checks that it is the same.
    pub(super) fn join(&self, work: &Path) -> Result<()> {
        let path = Self::path(work);
        let io = |source| Error::io(&path, source);
        let mut file = tempfile::Builder::new().prefix(".avdit-").tempfile_in(work).map_err(io)?;
        let text = serde_json::to_vec_pretty(self).expect("names and numbers are JSON");
        file.write_all(&text).and_then(|()| file.as_file().sync_all()).map_err(io)?;
        match file.persist_noclobber(&path) {
            Ok(_) => Ok(()),
            Err(failed) if failed.error.kind() == ErrorKind::AlreadyExists => self.agree(work),
            Err(failed) => Err(io(failed.error)),
        }
    }

    /// Checks that the plan that is there is the same.
    pub(super) fn agree(&self, work: &Path) -> Result<()> {
        let path = Self::path(work);
        let text = std::fs::read(&path).map_err(|source| Error::io(&path, source))?;
        let theirs: Self =
            serde_json::from_slice(&text).map_err(|error| Error::malformed(&path, error.to_string()))?;
        let mut differences = Vec::new();
        let mut compare = |name: &str, a: &str, b: &str| {
            if a != b {
                differences.push(format!("{name}: {} has {a}, {} has {b}", theirs.by, self.by));
            }
        };
        compare("schema", &theirs.schema, &self.schema);
        compare("number of parts", &theirs.parts.to_string(), &self.parts.to_string());
        for (name, ours) in &self.settings {
            compare(name, theirs.settings.get(name).map_or("nothing", String::as_str), ours);
        }
        if differences.is_empty() {
            return Ok(());
        }
        let what = format!(
            "the parts do not agree:\n  {}\n\nhint: give all parts the same files, options and ffmpeg (or none, with \
             --decoder built-in), or remove {} to begin anew",
            differences.join("\n  "),
            work.display()
        );
        Err(Error::malformed(&path, what))
    }

    /// The number of parts of the plan that is there; `None` if there is none.
    pub(super) fn parts_of(work: &Path) -> Result<Option<usize>> {
        let path = Self::path(work);
        match std::fs::read(&path) {
            Ok(text) => {
                let plan: Self = serde_json::from_slice(&text)
                    .map_err(|error| Error::malformed(&path, error.to_string()))?;
                Ok(Some(plan.parts))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::io(&path, source)),
        }
    }
}

/// The instructions that the transforms of sound choose by: their last bits differ between them.
fn instructions() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if std::is_x86_feature_detected!("avx") && std::is_x86_feature_detected!("fma") {
            return "x86_64 with AVX and FMA";
        }
        if std::is_x86_feature_detected!("sse4.1") {
            return "x86_64 with SSE 4.1";
        }
    }
    std::env::consts::ARCH
}

fn marker(work: &Path, part: Part) -> PathBuf {
    work.join("parts").join(format!("part-{:05}-of-{:05}.json", part.index, part.of))
}

/// Makes the folder in which parts are noted.
pub(super) fn make_folder(work: &Path) -> Result<PathBuf> {
    let folder = work.join("parts");
    std::fs::create_dir_all(&folder).map_err(|source| Error::io(&folder, source))?;
    Ok(folder)
}

/// Notes that a part is done.
pub(super) fn finish(work: &Path, part: Part, files: usize) -> Result<()> {
    let text = serde_json::json!({ "schema": "avdit-prepare-part/1", "part": part, "files": files });
    write_bytes_atomically(&marker(work, part), text.to_string().as_bytes())
}

/// The parts that are not done.
pub(super) fn missing(work: &Path, of: usize) -> Vec<Part> {
    (0..of).map(|index| Part { index, of }).filter(|&part| !marker(work, part).is_file()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_i_of_n_from_0() {
        assert_eq!("3/4".parse::<Part>().unwrap(), Part { index: 3, of: 4 });
        for bad in ["4/4", "0/0", "1", "a/b", "-1/2", "1/2/3", ""] {
            let message = bad.parse::<Part>().unwrap_err().to_string();
            assert!(message.contains("expected i/n with i from 0 to n - 1"), "{bad}: {message}");
        }
    }
}
