//! Which files are to be clips: everything under the inputs, in one order, each once.

use crate::audit::{AuditRow, Reason};
use crate::error::{Error, Result};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What was found under the inputs.
#[derive(Default)]
pub(super) struct Found {
    /// Files, and folders of png that are a clip each.
    pub(super) clips: Vec<PathBuf>,
    /// Folders that could not be read.
    pub(super) rows: Vec<AuditRow>,
}

/// Lists the clips in `inputs`, without what lies in `out`.
///
/// # Errors
/// [`Error::Io`] if an input is not there; [`Error::Value`] if it is `out`, in which no clips are looked for.
pub(super) fn list(inputs: &[PathBuf], out: &Path) -> Result<Found> {
    let out = out.canonicalize().ok();
    let (mut found, mut seen) = (Found::default(), BTreeSet::new());
    for input in inputs {
        std::fs::metadata(input).map_err(|source| Error::io(input, source))?;
        if out.is_some() && input.canonicalize().ok() == out {
            let expected = format!("another folder than the clips' {}", input.display());
            return Err(Error::value("folder of the dataset", expected, input.display()));
        }
        visit(input, out.as_deref(), &mut seen, &mut found);
    }
    found.clips.sort();
    Ok(found)
}

fn visit(path: &Path, out: Option<&Path>, seen: &mut BTreeSet<PathBuf>, found: &mut Found) {
    // A link to nothing has no canonical path: it is listed, and the decoder says what is wrong with it.
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if out == Some(&real) || !seen.insert(real) {
        return;
    }
    if !path.is_dir() {
        found.clips.push(path.to_owned());
        return;
    }
    let entries = std::fs::read_dir(path).and_then(|entries| entries.map(|e| e.map(|e| e.path())).collect());
    let mut entries: Vec<PathBuf> = match entries {
        Ok(entries) => entries,
        Err(error) => {
            found.rows.push(AuditRow {
                source: path.display().to_string(),
                start_s: None,
                reason: Some(Reason::Undecodable),
                detail: error.to_string(),
                measured: None,
            });
            return;
        }
    };
    entries.retain(|entry| !entry.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")));
    entries.sort();
    let is_clip = entries.iter().any(|entry| has_extension(entry, "png"));
    if is_clip {
        found.clips.push(path.to_owned());
    }
    for entry in &entries {
        // The files of a folder of png belong to it; folders in it are looked into.
        if entry.is_dir() || !(is_clip || belongs_to_another(entry, &entries)) {
            visit(entry, out, seen, found);
        }
    }
}

/// Tells a clip's file from any other: its name, size and time, those of the sound beside it and, of a folder, those of
/// the files in it.
pub(super) fn hash_file(hash: &mut Sha256, path: &Path) {
    let mut parts = vec![path.to_owned(), path.with_extension("wav")];
    if let Ok(entries) = std::fs::read_dir(path) {
        parts.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
        parts[2..].sort();
    }
    for part in parts {
        hash.update(part.as_os_str().as_encoded_bytes());
        if let Ok(metadata) = std::fs::metadata(&part) {
            hash.update(format!("|{}|{:?}|", metadata.len(), metadata.modified().ok()));
        }
    }
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

/// Whether a file is the sound beside a gif or a folder of png, or the recipe beside a clip.
fn belongs_to_another(file: &Path, siblings: &[PathBuf]) -> bool {
    let stem = file.with_extension("");
    let shares_stem =
        |other: &&PathBuf| *other != file && (other.with_extension("") == stem || **other == stem);
    if has_extension(file, "wav") {
        return siblings
            .iter()
            .filter(shares_stem)
            .any(|other| has_extension(other, "gif") || other.is_dir());
    }
    has_extension(file, "json") && siblings.iter().any(|other| shares_stem(&other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_in_order_once_and_parts_of_a_clip_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for dir in ["sub", "frames", "out", ".hidden"] {
            std::fs::create_dir(at(dir)).unwrap();
        }
        let files = "b.mp4 a.mp4 a.json notes.txt x.gif x.wav alone.wav frames.wav frames/1.png frames/2.png sub/c.mp4 \
                     out/d.mp4 .hidden/e.mp4 .f.mp4";
        for name in files.split_whitespace() {
            std::fs::write(at(name), b"").unwrap();
        }
        let inputs = [folder.path().to_owned(), at("a.mp4"), at("sub")];
        let found = list(&inputs, &at("out")).unwrap();
        let names = |path: &PathBuf| path.strip_prefix(folder.path()).unwrap().display().to_string();
        let names: Vec<String> = found.clips.iter().map(names).collect();
        assert_eq!(names.join(" "), "a.mp4 alone.wav b.mp4 frames notes.txt sub/c.mp4 x.gif");
        assert!(list(&[at("missing")], &at("out")).err().unwrap().to_string().contains("missing: "));
        let message = list(&[at("a.mp4"), at("sub/../out")], &at("out")).err().unwrap().to_string();
        assert!(message.contains("expected another folder than the clips'"), "{message}");
    }
}
