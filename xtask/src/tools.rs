//! What tests use if it is there: ONNX Runtime, ffmpeg, Python with onnx. What is there is also required.

use crate::onnx_runtime;
use crate::process::{in_path, variable};
use crate::python::Environment;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The tools that were found.
#[derive(Default)]
pub(crate) struct Tools {
    python: Option<PathBuf>,
    ffmpeg: Option<PathBuf>,
    onnx_runtime: bool,
}

impl Tools {
    /// Those that are already here.
    pub(crate) fn present(root: &Path) -> Self {
        let environment = Environment::of(root);
        let complete = environment.is_complete();
        let ffmpeg = variable("AVDIT_FFMPEG").or_else(|| in_path("ffmpeg"));
        Self {
            ffmpeg: ffmpeg.or_else(|| environment.ffmpeg().ok().filter(|_| complete)),
            python: complete.then(|| environment.python()),
            onnx_runtime: variable("ORT_DYLIB_PATH").is_some()
                || onnx_runtime::cache().is_ok_and(|folder| onnx_runtime::is_in(&folder)),
        }
    }

    /// All of them, fetched where needed.
    pub(crate) fn fetched(root: &Path) -> Result<Self> {
        let environment = Environment::of(root);
        environment.complete()?;
        let cache = onnx_runtime::cache()?;
        if !onnx_runtime::is_in(&cache) {
            onnx_runtime::place(&environment.onnx_runtime()?, &cache)?;
        }
        environment.ffmpeg()?;
        Ok(Self::present(root))
    }

    /// Tells the tests what is here, and that doing without it is a failure.
    pub(crate) fn require(&self, command: &mut Command) {
        if let Some(python) = &self.python {
            command.env("AVDIT_PYTHON", python);
        }
        if let Some(ffmpeg) = &self.ffmpeg {
            command.env("AVDIT_FFMPEG", ffmpeg).env("AVDIT_REQUIRE_FFMPEG", "1");
        }
        if self.onnx_runtime {
            command.env("AVDIT_REQUIRE_ORT", "1");
        }
    }

    /// A line for each tool.
    pub(crate) fn report(&self) -> String {
        let path = |path: &Option<PathBuf>| match path {
            Some(path) => path.display().to_string(),
            None => "MISSING: tests that need it skip themselves with a notice".to_owned(),
        };
        let library = if self.onnx_runtime { Some("required".into()) } else { None };
        format!(
            "Python with onnx: {}\nffmpeg: {}\nONNX Runtime: {}",
            path(&self.python),
            path(&self.ffmpeg),
            path(&library)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_here_is_required() {
        let variables = |tools: &Tools| {
            let mut command = Command::new("cargo");
            tools.require(&mut command);
            let names = command.get_envs().map(|(name, _)| name.to_string_lossy().into_owned());
            names.collect::<Vec<_>>()
        };
        assert_eq!(variables(&Tools::default()), Vec::<String>::new());
        assert!(Tools::default().report().lines().all(|line| line.contains("MISSING")));
        let ffmpeg = Tools { ffmpeg: Some("ffmpeg".into()), ..Tools::default() };
        assert_eq!(variables(&ffmpeg), ["AVDIT_FFMPEG", "AVDIT_REQUIRE_FFMPEG"]);
        let rest = Tools { python: Some("python".into()), onnx_runtime: true, ffmpeg: None };
        assert_eq!(variables(&rest), ["AVDIT_PYTHON", "AVDIT_REQUIRE_ORT"]);
    }
}
