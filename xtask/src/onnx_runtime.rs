//! ONNX Runtime's library in the project's cache, where the engines look for it.

use crate::process::{output, variable};
use crate::python::{ONNX_RUNTIME, with_pip};
use anyhow::{Context, Result, anyhow, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

const MANUALLY: &str = "hint: install Python 3 with pip and run `cargo xtask fetch-ort` again; or unpack the archive of \
     ONNX Runtime 1.31.1 for this system from https://github.com/microsoft/onnxruntime/releases and set \
     ORT_DYLIB_PATH to the libonnxruntime in its folder lib";

/// `onnxruntime` in `$AVDIT_CACHE_DIR`, else `$XDG_CACHE_HOME/avdit`, else `~/.cache/avdit`.
pub(crate) fn cache() -> Result<PathBuf> {
    variable("AVDIT_CACHE_DIR")
        .or_else(|| variable("XDG_CACHE_HOME").map(|folder| folder.join("avdit")))
        .or_else(|| variable("HOME").map(|folder| folder.join(".cache/avdit")))
        .map(|folder| folder.join("onnxruntime"))
        .context("no folder for the cache: AVDIT_CACHE_DIR, XDG_CACHE_HOME and HOME are all unset")
}

/// Downloads the Python package, which holds the library, and puts the library into a folder.
pub(crate) fn fetch(folder: Option<PathBuf>) -> Result<PathBuf> {
    let folder = folder.map_or_else(cache, Ok)?;
    make_folder(&folder)?;
    // Beside the target, so that the disk that must hold the library also holds its package.
    let download = folder.join(format!(".fetch-{}", std::process::id()));
    let unpacked =
        unpack(&download).map_err(|error| anyhow!("cannot fetch {ONNX_RUNTIME}: {error:#}\n\n{MANUALLY}"));
    let placed = unpacked.and_then(|unpacked| place(&unpacked, &folder));
    // What remains of a download is not worth hiding the first error.
    let _ = std::fs::remove_dir_all(&download);
    placed
}

/// Downloads the package into a folder and returns the part of it that holds the library.
fn unpack(folder: &Path) -> Result<PathBuf> {
    let python = with_pip()?;
    // Any Python's package holds the same library; 3.12 has one on every system.
    let pip = ["-m", "pip", "download", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"];
    let what = ["--python-version", "3.12", ONNX_RUNTIME, "--dest"];
    output(Command::new(&python).args(pip).args(what).arg(folder))?;
    let wheel = entries(folder)?
        .into_iter()
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .with_context(|| format!("pip left no package in {}", folder.display()))?;
    output(Command::new(&python).args(["-m", "zipfile", "-e"]).arg(wheel).arg(folder))?;
    Ok(folder.join("onnxruntime/capi"))
}

/// Whether the library is in a folder.
pub(crate) fn is_in(folder: &Path) -> bool {
    entries(folder).is_ok_and(|entries| entries.iter().any(|path| is_wanted(path)))
}

/// Copies the library from a folder of an installed package: complete under its name, or not there at all.
pub(crate) fn place(from: &Path, folder: &Path) -> Result<PathBuf> {
    let Some(library) = entries(from)?.into_iter().find(|path| is_library(path)) else {
        bail!("no ONNX Runtime library in {}", from.display());
    };
    let name = library.file_name().unwrap_or_default();
    make_folder(folder)?;
    let target = folder.join(name);
    let unfinished = folder.join(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    let copied = std::fs::copy(&library, &unfinished).and_then(|_| std::fs::rename(&unfinished, &target));
    if copied.is_err() {
        // It may never have been made.
        let _ = std::fs::remove_file(&unfinished);
    }
    copied.with_context(|| format!("cannot copy {} to {}", library.display(), target.display()))?;
    Ok(target)
}

/// Named as the library, and not as one of its providers.
fn is_library(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = format!("{}onnxruntime.", std::env::consts::DLL_PREFIX);
    let extension = std::env::consts::DLL_EXTENSION;
    name.starts_with(&stem) && name.split('.').any(|part| part == extension)
}

/// The library of the version fetched; on Windows its name holds no version.
fn is_wanted(path: &Path) -> bool {
    let version = ONNX_RUNTIME.rsplit('=').next().unwrap_or_default();
    is_library(path) && (cfg!(windows) || path.to_string_lossy().contains(version))
}

fn make_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read =
        || std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
    read().with_context(|| format!("cannot read the folder {}", folder.display()))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_placed_whole_and_nothing_else_is() {
        let root = tempfile::tempdir().unwrap();
        let (from, to) = (root.path().join("capi"), root.path().join("cache/onnxruntime"));
        std::fs::create_dir(&from).unwrap();
        std::fs::write(from.join("libonnxruntime_providers_shared.so"), "provider").unwrap();
        let error = place(&from, &to).unwrap_err().to_string();
        assert!(error.starts_with("no ONNX Runtime library in"), "{error}");
        assert!(!is_in(&to));

        std::fs::write(from.join("libonnxruntime.so.1.31.1"), "library").unwrap();
        assert_eq!(place(&from, &to).unwrap(), to.join("libonnxruntime.so.1.31.1"));
        assert_eq!(std::fs::read_to_string(to.join("libonnxruntime.so.1.31.1")).unwrap(), "library");
        assert_eq!(entries(&to).unwrap().len(), 1);
        assert!(is_in(&to));
    }

    #[test]
    fn another_version_in_the_cache_is_not_the_one_fetched() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("libonnxruntime.so.1.24.0"), "old").unwrap();
        assert!(!is_in(root.path()));
    }
}
