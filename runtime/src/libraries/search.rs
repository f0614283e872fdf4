//! Where shared libraries are looked for, and in which order.
//!
//! The loader of Linux knows `LD_LIBRARY_PATH`, the folders that a library names, its cache and the system's
//! folders. NVIDIA's Python packages lie in none of them, so their folders are looked at as well, and what is found
//! there is loaded by its path before anything asks for it by name.

use super::ld_cache;
use crate::find::Places;
use serde::Serialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Why a library was found where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FoundBy {
    /// A folder of `LD_LIBRARY_PATH`.
    Environment,
    /// Beside ONNX Runtime's library.
    Beside,
    /// A folder that the library asking for it names.
    Runpath,
    /// A Python package of NVIDIA's.
    Python,
    /// The loader's cache or the system's folders.
    System,
    /// A folder in which drivers and toolkits put libraries, where the loader does not look by itself.
    Usual,
}

/// Folders in which to look.
#[derive(Clone, Debug, Default)]
pub struct Search {
    environment: Vec<PathBuf>,
    beside: Vec<PathBuf>,
    pub(super) python: Vec<PathBuf>,
    cache: HashMap<String, Vec<PathBuf>>,
    system: Vec<PathBuf>,
    usual: Vec<PathBuf>,
}

impl Search {
    /// The folders of this machine; `library` is ONNX Runtime's, for what lies beside it.
    pub fn of_this_machine(library: Option<&Path>) -> Self {
        let listed = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        let canonical = library.map(|path| path.canonicalize().unwrap_or_else(|_| path.to_owned()));
        let beside: Vec<_> =
            canonical.iter().filter_map(|path| path.parent()).map(Path::to_path_buf).collect();
        // site-packages/onnxruntime/capi/libonnxruntime.so
        let own_packages = canonical.iter().filter_map(|path| path.ancestors().nth(3)).map(Path::to_path_buf);
        let mut python = Vec::new();
        for packages in own_packages.chain(Places::of_this_machine(None).python_packages()) {
            for folder in package_folders(&packages) {
                if !python.contains(&folder) {
                    python.push(folder);
                }
            }
        }
        let multiarch = format!("{}-linux-gnu", std::env::consts::ARCH);
        let system = ["/lib/", "/usr/lib/"].map(|prefix| PathBuf::from(format!("{prefix}{multiarch}")));
        let usual = [
            "/usr/local/nvidia/lib64",
            "/usr/local/nvidia/lib",
            "/usr/local/cuda/lib64",
            "/usr/local/cuda/compat",
            "/usr/lib/wsl/lib",
            "/run/opengl-driver/lib",
            "/opt/tensorrt/lib",
        ];
        Self {
            environment: std::env::split_paths(&listed)
                .filter(|folder| !folder.as_os_str().is_empty())
                .collect(),
            beside,
            python,
            cache: ld_cache::read(Path::new("/etc/ld.so.cache")),
            system: system
                .into_iter()
                .chain(["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(PathBuf::from))
                .collect(),
            usual: usual.map(PathBuf::from).into(),
        }
    }

    /// The first library of this name that is for this machine; `runpath` is what the one asking for it names.
    pub(super) fn find(&self, name: &str, runpath: &[PathBuf]) -> Option<(PathBuf, FoundBy)> {
        let in_folders = |folders: &[PathBuf], by| {
            let files = folders.iter().map(|folder| folder.join(name)).collect::<Vec<_>>();
            files.into_iter().find(|path| is_usable(path)).map(|path| (path, by))
        };
        in_folders(&self.environment, FoundBy::Environment)
            .or_else(|| in_folders(&self.beside, FoundBy::Beside))
            .or_else(|| in_folders(runpath, FoundBy::Runpath))
            .or_else(|| in_folders(&self.python, FoundBy::Python))
            .or_else(|| {
                let files = self.cache.get(name).into_iter().flatten();
                files.into_iter().find(|path| is_usable(path)).map(|path| (path.clone(), FoundBy::System))
            })
            .or_else(|| in_folders(&self.system, FoundBy::System))
            .or_else(|| in_folders(&self.usual, FoundBy::Usual))
    }

    /// Where [`find`](Self::find) looks, in words.
    pub(super) fn looked_in(&self, runpath: &[PathBuf]) -> Vec<String> {
        let named = [&self.environment, &self.beside].into_iter().flatten();
        let folders = named.chain(runpath).chain(&self.python);
        let mut words: Vec<String> = folders.map(|folder| folder.display().to_string()).collect();
        if self.environment.is_empty() {
            words.insert(0, "LD_LIBRARY_PATH (not set)".to_owned());
        }
        words.push("/etc/ld.so.cache".to_owned());
        words.extend(self.system.iter().chain(&self.usual).map(|folder| folder.display().to_string()));
        words
    }
}

fn is_usable(path: &Path) -> bool {
    path.is_file() && super::elf::read(path).is_ok()
}

/// `nvidia/*/lib`, and what TensorRT's packages call theirs.
fn package_folders(site_packages: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(site_packages.join("nvidia")).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries.map(|entry| entry.path().join("lib")).collect();
    folders.sort();
    folders.push(site_packages.join("tensorrt_libs"));
    folders.retain(|folder| folder.is_dir());
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_python_packages_are_those_that_exist() {
        let site = tempfile::tempdir().unwrap();
        assert!(package_folders(site.path()).is_empty());
        for folder in ["nvidia/cudnn/lib", "nvidia/cu13/lib", "nvidia/empty", "tensorrt_libs"] {
            std::fs::create_dir_all(site.path().join(folder)).unwrap();
        }
        let expected = ["nvidia/cu13/lib", "nvidia/cudnn/lib", "tensorrt_libs"].map(|f| site.path().join(f));
        assert_eq!(package_folders(site.path()), expected);
    }

    #[test]
    fn the_c_library_is_in_the_systems_folders_and_nonsense_is_nowhere() {
        let search = Search::of_this_machine(None);
        if cfg!(all(target_os = "linux", target_env = "gnu")) {
            assert_eq!(search.find("libm.so.6", &[]).unwrap().1, FoundBy::System);
        }
        assert_eq!(search.find("libnothing-of-this-name.so.9", &[]), None);
        assert!(search.looked_in(&[]).contains(&"/etc/ld.so.cache".to_owned()));
    }
}
