//! Finding ONNX Runtime: where it may lie, in which order, and whether a file may be loaded at all.
//!
//! A path that someone named (`ORT_DYLIB_PATH`, then a flag) is final: nothing else is tried. Without one, the
//! project's own cache comes before the Python packages installed on the machine. Loading a library runs code in
//! it, so a file is looked at first: its name, its format, the function that every ONNX Runtime exports.

mod inspect;

pub use inspect::inspect;
pub(crate) use inspect::this_architecture;

use serde::Serialize;
use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// The oldest ONNX Runtime accepted is 1.24.
pub const MINIMUM_MINOR: u32 = ort::MINOR_VERSION;

/// What the file is called here, up to a version.
#[cfg(windows)]
pub const LIBRARY_STEM: &str = "onnxruntime";
/// What the file is called here, up to a version.
#[cfg(not(windows))]
pub const LIBRARY_STEM: &str = "libonnxruntime";

const EXTENSION: &str = if cfg!(windows) {
    "dll"
} else if cfg!(target_os = "macos") {
    "dylib"
} else {
    "so"
};

/// Why a path is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// `ORT_DYLIB_PATH`.
    Environment,
    /// A path given by the caller.
    Flag,
    /// The project's own cache.
    Cache,
    /// An installed Python package.
    Python,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Environment => "ORT_DYLIB_PATH",
            Origin::Flag => "path given",
            Origin::Cache => "cache",
            Origin::Python => "Python package",
        })
    }
}

/// A file that may be an ONNX Runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The file.
    pub path: PathBuf,
    /// Why it is tried.
    pub origin: Origin,
}

/// A file that was tried and is not used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// The file.
    pub path: PathBuf,
    /// Why it was tried.
    pub origin: Origin,
    /// Why it is not used.
    pub reason: String,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.path.display(), self.origin, self.reason)
    }
}

/// Where to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The value of `ORT_DYLIB_PATH`.
    pub environment: Option<PathBuf>,
    /// A path given by the caller.
    pub flag: Option<PathBuf>,
    /// The folder in which the project keeps its ONNX Runtime.
    pub cache: Option<PathBuf>,
    /// Prefixes under which Python may be installed (`/usr`, a virtual environment).
    pub python: Vec<PathBuf>,
}

impl Places {
    /// The places of this machine and user, and the path given by the caller.
    pub fn of_this_machine(flag: Option<&Path>) -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = variable("HOME");
        let mut python: Vec<_> = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(variable).collect();
        python.push(".venv".into());
        if let Some(home) = &home {
            python.push(home.join(".local"));
            python.extend(sorted_entries(&home.join(".pyenv/versions")).into_iter().rev());
        }
        python.extend(["/usr/local", "/usr"].map(PathBuf::from));
        Self {
            environment: variable("ORT_DYLIB_PATH"),
            flag: flag.map(Path::to_path_buf),
            cache: cache_folder().map(|folder| folder.join("onnxruntime")),
            python,
        }
    }

    /// The files to try, in order; every file once.
    pub fn candidates(&self) -> Vec<Candidate> {
        if let Some(path) = &self.environment {
            return vec![Candidate { path: path.clone(), origin: Origin::Environment }];
        }
        if let Some(path) = &self.flag {
            return vec![Candidate { path: path.clone(), origin: Origin::Flag }];
        }
        let mut candidates = Vec::new();
        if let Some(cache) = &self.cache {
            let folders = std::iter::once(cache.clone()).chain(sorted_entries(cache).into_iter().rev());
            candidates.extend(folders.flat_map(|f| libraries(&f)).map(|path| (path, Origin::Cache)));
        }
        let packages = self.python_packages().map(|folder| folder.join("onnxruntime/capi"));
        candidates.extend(packages.flat_map(|f| libraries(&f)).map(|path| (path, Origin::Python)));
        let mut seen = HashSet::new();
        let mut is_new = |path: &Path| seen.insert(path.canonicalize().unwrap_or_else(|_| path.to_owned()));
        candidates
            .into_iter()
            .filter(|(path, _)| is_new(path))
            .map(|(path, origin)| Candidate { path, origin })
            .collect()
    }

    /// The folders that may hold Python packages.
    pub(crate) fn python_packages(&self) -> impl Iterator<Item = PathBuf> {
        self.python.iter().flat_map(|prefix| python_packages(prefix))
    }
}

/// `$AVDIT_CACHE_DIR`, else `$XDG_CACHE_HOME/avdit`, else `~/.cache/avdit`.
pub fn cache_folder() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("AVDIT_CACHE_DIR")
        .or_else(|| variable("XDG_CACHE_HOME").map(|folder| folder.join("avdit")))
        .or_else(|| variable("HOME").map(|folder| folder.join(".cache/avdit")))
}

/// What a user can do to get an ONNX Runtime.
pub fn how_to_get_it() -> String {
    "run `pip install onnxruntime==1.31.1`, or `cargo xtask fetch-ort` to put it into the project's cache, or set \
     ORT_DYLIB_PATH to the file libonnxruntime.so.1.31.1 of an ONNX Runtime"
        .to_owned()
}

/// What a user can do to get an ONNX Runtime that runs on NVIDIA GPUs.
pub fn get_for_gpu() -> String {
    "run `pip install 'onnxruntime-gpu[cuda,cudnn]==1.31.1'` and set ORT_DYLIB_PATH to its \
     onnxruntime/capi/libonnxruntime.so.1.31.1"
        .to_owned()
}

/// Files named as ONNX Runtime's library, in any of these places, that have a provider's library beside them.
pub(crate) fn libraries_with(places: &Places, provider: &str) -> Vec<PathBuf> {
    let candidates = places.candidates().into_iter().map(|candidate| candidate.path);
    candidates.filter(|path| path.with_file_name(provider).is_file()).collect()
}

/// Whether a file is named as ONNX Runtime's library is (and not as one of its providers).
pub fn is_library_name(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let Some(rest) = name.strip_prefix(LIBRARY_STEM) else { return false };
    rest.starts_with('.') && rest.split('.').any(|part| part == EXTENSION)
}

/// Files in a folder that are named as ONNX Runtime's library, newest version first.
fn libraries(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = sorted_entries(folder).into_iter().filter(|path| is_library_name(path)).collect();
    let version = |path: &PathBuf| -> Vec<u32> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.split('.').filter_map(|part| part.parse().ok()).collect()
    };
    found.sort_by_key(|path| std::cmp::Reverse(version(path)));
    found
}

fn python_packages(prefix: &Path) -> Vec<PathBuf> {
    let mut folders = vec![prefix.join("Lib/site-packages")];
    for lib in ["lib", "lib64"] {
        let versions = sorted_entries(&prefix.join(lib)).into_iter().rev();
        let is_python =
            |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("python"));
        for version in versions.filter(is_python) {
            folders.extend(["site-packages", "dist-packages"].map(|name| version.join(name)));
        }
    }
    folders
}

fn sorted_entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    entries.sort();
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_and_bindings_are_not_the_library() {
        let is = |name: &str| is_library_name(Path::new(name));
        let (stem, end) = (LIBRARY_STEM, EXTENSION);
        assert!(is(&format!("/x/{stem}.{end}")) && is(&format!("{stem}.{end}.1.31.1")));
        assert!(!is(&format!("{stem}_providers_shared.{end}")) && !is(&format!("{stem}.txt")));
        assert!(!is("onnxruntime_pybind11_state.cpython-311-x86_64-linux-gnu.so") && !is("/") && !is(stem));
    }

    #[test]
    fn the_newest_version_of_a_folder_is_first_and_links_count_once() {
        let folder = tempfile::tempdir().unwrap();
        let name = |version: &str| folder.path().join(format!("{LIBRARY_STEM}.{EXTENSION}.{version}"));
        for version in ["1.9.0", "1.31.1", "1.24.4"] {
            std::fs::write(name(version), version).unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink(name("1.31.1"), name("1")).unwrap();
        let places = Places { cache: Some(folder.path().to_owned()), ..Places::default() };
        let found: Vec<_> = places.candidates().into_iter().map(|candidate| candidate.path).collect();
        assert_eq!(found, ["1.31.1", "1.24.4", "1.9.0"].map(name));
    }

    #[test]
    fn a_named_path_is_the_only_one() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(format!("{LIBRARY_STEM}.{EXTENSION}")), "").unwrap();
        let cache = Some(folder.path().to_owned());
        let flag = Places { flag: Some("/flag".into()), cache, ..Places::default() };
        let both = Places { environment: Some("/variable".into()), ..flag.clone() };
        let only = |path: &str, origin| vec![Candidate { path: path.into(), origin }];
        assert_eq!(flag.candidates(), only("/flag", Origin::Flag));
        assert_eq!(both.candidates(), only("/variable", Origin::Environment));
    }
}
