//! Several datasets as one: a folder whose `dataset.json` names the shards where they are.

use super::assemble::{CODEC_FILE, install};
use super::parts::Plan;
use crate::atomic::{FolderLock, write_bytes_atomically};
use crate::error::{Error, Result};
use crate::shard::{CodecInfo, DATASET_FILE, Dataset, DatasetInfo, ShardInfo};
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

/// Makes a dataset in the folder `out` of the clips of others, in the order given. Their latents stay where they are
/// and must stay there; a clip counts once for every dataset that it is in.
///
/// # Errors
/// [`Error::Value`] if there is none, or one is named twice; [`Error::Malformed`] naming both if they have not the same
/// grid, layout and codec; [`Error::Exists`] if `out` holds a dataset and `overwrite` is not set; [`Error::Unfinished`]
/// if it holds the work of an interrupted [`prepare`](super::prepare); [`Error::Busy`]; as [`Dataset::open`].
pub fn join(folders: &[PathBuf], out: &Path, overwrite: bool) -> Result<DatasetInfo> {
    let all: Vec<Dataset> = folders.iter().map(|folder| Dataset::open(folder)).collect::<Result<_>>()?;
    let first = all.first().ok_or_else(|| Error::value("datasets to join", "at least one", 0))?.info();
    for (folder, dataset) in folders.iter().zip(&all).skip(1) {
        let info = dataset.info();
        let what = [
            ("codec", &info.codec.sha256, &first.codec.sha256),
            ("layout", &format!("{:?}", info.layout), &format!("{:?}", first.layout)),
            ("grid", &format!("{:?}", info.grid), &format!("{:?}", first.grid)),
        ];
        if let Some((what, got, expected)) = what.iter().find(|(_, got, expected)| got != expected) {
            let text = format!(
                "its {what} is {got}, {} has {expected}\n\nhint: prepare both with the same --codec",
                folders[0].display()
            );
            return Err(Error::malformed(folder.join(DATASET_FILE), text));
        }
    }
    if !overwrite && out.join(DATASET_FILE).exists() {
        return Err(Error::Exists { path: out.to_owned() });
    }
    let work = out.join(".work");
    let staged = work.join("dataset");
    std::fs::create_dir_all(&work).map_err(|source| Error::io(&work, source))?;
    let _lock = FolderLock::take(&work)?;
    if Plan::parts_of(&work)?.is_some() || holds_anything(&work.join("clips"))? {
        return Err(Error::Unfinished { path: work });
    }
    // What a process that was killed has staged here is not to be installed with it.
    if staged.exists() {
        std::fs::remove_dir_all(&staged).map_err(|source| Error::io(&staged, source))?;
    }
    std::fs::create_dir_all(&staged).map_err(|source| Error::io(&staged, source))?;
    let real = |path: &Path| path.canonicalize().map_err(|source| Error::io(path, source));
    let (mut shards, mut seen, home) = (Vec::new(), Vec::new(), real(out)?);
    for (folder, dataset) in folders.iter().zip(&all) {
        let at = real(folder)?;
        if at == home || seen.contains(&at) {
            let got = format!("{} twice", folder.display());
            return Err(Error::value("datasets to join", "each once, and not the folder to be written", got));
        }
        let way = way(&home, &at);
        for shard in &dataset.info().shards {
            let file = way.join(&shard.file).display().to_string();
            shards.push(ShardInfo { file, ..shard.clone() });
        }
        seen.push(at);
    }
    let codec = all[0].codec_path();
    let bytes = std::fs::read(&codec).map_err(|source| Error::io(&codec, source))?;
    write_bytes_atomically(&staged.join(CODEC_FILE), &bytes)?;
    let info = DatasetInfo {
        clips: all.iter().map(Dataset::len).sum(),
        left_out: all.iter().map(|dataset| dataset.info().left_out).sum(),
        codec: CodecInfo { file: CODEC_FILE.to_owned(), ..first.codec.clone() },
        shards,
        ..first.clone()
    };
    let text = serde_json::to_vec_pretty(&info).expect("names and numbers are JSON");
    write_bytes_atomically(&staged.join(DATASET_FILE), &text)?;
    install(&staged, out)?;
    std::fs::remove_dir_all(&work).map_err(|source| Error::io(&work, source))?;
    Ok(info)
}

/// Whether there is a folder with anything in it.
fn holds_anything(folder: &Path) -> Result<bool> {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::io(folder, source)),
    }
}

/// The way from one folder to another, both canonical.
fn way(from: &Path, to: &Path) -> PathBuf {
    let shared = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    if shared == 0 {
        return to.to_owned();
    }
    let up = from.components().skip(shared).map(|_| Component::ParentDir);
    up.chain(to.components().skip(shared)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_goes_up_to_what_is_shared() {
        assert_eq!(way(Path::new("/a/b/c"), Path::new("/a/d/e")), Path::new("../../d/e"));
        assert_eq!(way(Path::new("/a"), Path::new("/a/b")), Path::new("b"));
    }
}
