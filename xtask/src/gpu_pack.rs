//! The checks as an archive for a machine that has a GPU, and neither Rust nor a network.

use crate::gpu::Programs;
use crate::process::{in_path, root, run};
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The largest part of an archive.
const PART_BYTES: u64 = 60 << 20;

/// The script that runs the checks there.
const RUN: &str = include_str!("gpu_pack/run.sh");

/// Builds the programs and packs them with the golden files, the script, and ONNX Runtime's libraries if given.
pub(crate) fn pack(out: &Path, onnxruntime: Option<&Path>, dev: bool) -> Result<()> {
    let compression = compression(out)?;
    let libraries = onnxruntime.map(libraries).transpose()?;
    let programs = Programs::build(!dev)?;
    let stage = Stage::new(out)?;
    for program in [&programs.avdit, &programs.parity, &programs.gpu_check] {
        stage.strip(program)?;
    }
    for file in files(&root().join("tests/golden"))? {
        stage.copy(&file, "golden")?;
    }
    for library in libraries.iter().flatten() {
        stage.copy(library, "lib")?;
    }
    stage.write("run.sh", RUN)?;
    run(Command::new("chmod").arg("+x").arg(stage.folder.join("run.sh")))?;
    let mut tar = Command::new("tar");
    tar.arg(compression).arg("-cf").arg(std::path::absolute(out)?).arg("-C").arg(&stage.root).arg(NAME);
    run(&mut tar)?;
    let parts = split(out, PART_BYTES)?;
    for part in &parts {
        println!("{} ({:.1} MiB)", part.display(), part.metadata()?.len() as f64 / 1_048_576.0);
    }
    let unpack = match parts.as_slice() {
        [one] => format!("tar {compression} -xf {}", name(one)),
        _ => format!("cat {}.?? | tar {compression} -xf -", name(out)),
    };
    println!("there: {unpack} && sh {NAME}/run.sh");
    Ok(())
}

/// The folder in the archive.
const NAME: &str = "avdit-gpu";

/// The flag of `tar` for the name of an archive.
fn compression(out: &Path) -> Result<&'static str> {
    match name(out) {
        name if name.ends_with(".tar.gz") => Ok("-z"),
        name if name.ends_with(".tar.xz") => {
            ensure!(in_path("xz").is_some(), "{name}: there is no xz here; name it .tar.gz");
            Ok("-J")
        }
        name => bail!("{name}: an archive is named .tar.xz or .tar.gz"),
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// ONNX Runtime and its providers in a folder.
fn libraries(folder: &Path) -> Result<Vec<PathBuf>> {
    let found: Vec<_> =
        files(folder)?.into_iter().filter(|path| name(path).starts_with("libonnxruntime")).collect();
    let has = |start: &str| found.iter().any(|path| name(path).starts_with(start));
    for wanted in
        ["libonnxruntime.so", "libonnxruntime_providers_shared.so", "libonnxruntime_providers_cuda.so"]
    {
        ensure!(
            has(wanted),
            "{} holds no {wanted}: give onnxruntime/capi of onnxruntime-gpu",
            folder.display()
        );
    }
    Ok(found)
}

/// Everything that goes into the archive, in a folder that is removed.
struct Stage {
    root: PathBuf,
    folder: PathBuf,
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What is left of it is only in the way.
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

impl Stage {
    /// Beside the archive, on the disk that must hold it.
    fn new(out: &Path) -> Result<Self> {
        let beside = std::path::absolute(out)?.parent().map(Path::to_path_buf).unwrap_or_default();
        let root = beside.join(format!(".gpu-pack-{}", std::process::id()));
        let stage = Self { folder: root.join(NAME), root };
        for folder in ["bin", "golden", "lib"] {
            let folder = stage.folder.join(folder);
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        Ok(stage)
    }

    fn copy(&self, file: &Path, to: &str) -> Result<()> {
        let target = self.folder.join(to).join(name(file));
        std::fs::copy(file, &target).with_context(|| format!("cannot copy {}", file.display()))?;
        Ok(())
    }

    fn strip(&self, program: &Path) -> Result<()> {
        let target = self.folder.join("bin").join(name(program));
        run(Command::new("strip").arg("-o").arg(target).arg(program))
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.folder.join(file);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files: Vec<_> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    Ok(files)
}

/// Cuts a file into parts of at most `most` bytes, named after it; one that fits stays as it is.
fn split(file: &Path, most: u64) -> Result<Vec<PathBuf>> {
    let what = || format!("cannot split {}", file.display());
    let mut left = file.metadata().with_context(what)?.len();
    if left <= most {
        return Ok(vec![file.to_owned()]);
    }
    let mut from = File::open(file).with_context(what)?;
    let mut parts = Vec::new();
    while left > 0 {
        let part = file.with_file_name(format!("{}.{:02}", name(file), parts.len()));
        let mut to = File::create(&part).with_context(what)?;
        left -= std::io::copy(&mut Read::take(&mut from, most), &mut to).with_context(what)?;
        to.flush().with_context(what)?;
        parts.push(part);
    }
    std::fs::remove_file(file).with_context(what)?;
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_split_into_parts_that_are_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.tar.gz");
        std::fs::write(&file, b"0123456789").unwrap();
        assert_eq!(split(&file, 10).unwrap(), std::slice::from_ref(&file));
        let parts = split(&file, 4).unwrap();
        assert_eq!(
            parts.iter().map(|part| name(part)).collect::<Vec<_>>(),
            ["a.tar.gz.00", "a.tar.gz.01", "a.tar.gz.02"]
        );
        let whole: Vec<u8> = parts.iter().flat_map(|part| std::fs::read(part).unwrap()).collect();
        assert_eq!(whole, b"0123456789");
        assert!(!file.exists());
    }

    #[test]
    fn an_archive_has_a_name_that_tells_its_form_and_a_runtime_for_the_cpu_is_refused() {
        assert_eq!(compression(Path::new("x/a.tar.gz")).unwrap(), "-z");
        assert!(compression(Path::new("a.zip")).is_err());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("libonnxruntime.so.1"), b"").unwrap();
        let error = libraries(folder.path()).unwrap_err().to_string();
        assert!(error.contains("holds no libonnxruntime_providers_shared.so"), "{error}");
    }
}
