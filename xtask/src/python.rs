//! Python where the tests need it: a virtual environment of their own, complete or not there.

use crate::process::{in_path, output, run, variable};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The ONNX Runtime that tests and users get.
pub(crate) const ONNX_RUNTIME: &str = "onnxruntime==1.31.1";

/// What the tests import, and an ffmpeg.
const PACKAGES: [&str; 5] = ["onnx==1.23.2", ONNX_RUNTIME, "numpy", "safetensors", "imageio-ffmpeg"];

/// A Python with pip.
pub(crate) fn with_pip() -> Result<PathBuf> {
    let python = in_path("python3").or_else(|| in_path("python")).context("no python3 in PATH")?;
    output(Command::new(&python).args(["-m", "pip", "--version"])).context("python3 has no pip")?;
    Ok(python)
}

/// The virtual environment of the tests.
pub(crate) struct Environment {
    folder: PathBuf,
}

impl Environment {
    /// The one in the build folder.
    pub(crate) fn of(root: &Path) -> Self {
        let target = variable("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        Self { folder: root.join(target).join("test-tools") }
    }

    /// Its Python.
    pub(crate) fn python(&self) -> PathBuf {
        let name = if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" };
        self.folder.join("venv").join(name)
    }

    /// The stamp is written last: without it, or with another list of packages, nothing here counts.
    fn stamp(&self) -> PathBuf {
        self.folder.join("complete")
    }

    /// Whether all packages are installed.
    pub(crate) fn is_complete(&self) -> bool {
        std::fs::read_to_string(self.stamp()).is_ok_and(|text| text == PACKAGES.join("\n"))
            && self.python().is_file()
    }

    /// Installs what is missing.
    pub(crate) fn complete(&self) -> Result<()> {
        if self.is_complete() {
            return Ok(());
        }
        let python = with_pip()?;
        if self.folder.exists() {
            std::fs::remove_dir_all(&self.folder)
                .with_context(|| format!("cannot remove {}", self.folder.display()))?;
        }
        let venv = self.folder.join("venv");
        output(Command::new(python).args(["-m", "venv"]).arg(&venv))
            .context("python3 makes no environment")?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"];
        run(Command::new(self.python()).args(pip).args(PACKAGES))
            .context("cannot install the Python packages of the tests")?;
        let stamp = self.stamp();
        std::fs::write(&stamp, PACKAGES.join("\n"))
            .with_context(|| format!("cannot write {}", stamp.display()))
    }

    /// The folder in which the installed ONNX Runtime keeps its library.
    pub(crate) fn onnx_runtime(&self) -> Result<PathBuf> {
        let code =
            "import importlib.util as u; print(u.find_spec('onnxruntime').submodule_search_locations[0])";
        Ok(PathBuf::from(output(Command::new(self.python()).args(["-c", code]))?).join("capi"))
    }

    /// The ffmpeg among the packages.
    pub(crate) fn ffmpeg(&self) -> Result<PathBuf> {
        let code = "import imageio_ffmpeg as f; print(f.get_ffmpeg_exe())";
        Ok(PathBuf::from(output(Command::new(self.python()).args(["-c", code]))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_counts_only_with_its_python_and_the_stamp_of_this_list() {
        let root = tempfile::tempdir().unwrap();
        let environment = Environment { folder: root.path().join("tools") };
        assert!(!environment.is_complete());
        std::fs::create_dir_all(environment.python().parent().unwrap()).unwrap();
        std::fs::write(environment.python(), "").unwrap();
        assert!(!environment.is_complete(), "no stamp");
        std::fs::write(environment.stamp(), "onnx==1.0").unwrap();
        assert!(!environment.is_complete(), "another list");
        std::fs::write(environment.stamp(), PACKAGES.join("\n")).unwrap();
        assert!(environment.is_complete());
        std::fs::remove_file(environment.python()).unwrap();
        assert!(!environment.is_complete(), "no Python");
    }
}
