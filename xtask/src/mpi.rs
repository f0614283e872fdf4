//! The test of ranks that are processes: what it needs, and how it is run.

use crate::process::{in_path, output, run, shown, variable};
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What Debian and its kin call it.
const PACKAGES: [&str; 3] = ["openmpi-bin", "libopenmpi-dev", "libclang-dev"];

/// What building and running with MPI needs and is not here, in words; `None` if all is.
pub(crate) fn missing() -> Option<String> {
    let programs = ["mpicc", "mpirun"].into_iter().filter(|name| in_path(name).is_none());
    let library = (!has_libclang(Path::new("/usr/lib"))).then_some("libclang");
    let missing: Vec<_> = programs.chain(library).collect();
    let install = PACKAGES.join(" ");
    (!missing.is_empty()).then(|| format!("no {} here: apt-get install {install}", missing.join(", no ")))
}

/// Whether packages can be installed here without asking anybody.
pub(crate) fn can_install() -> bool {
    let is_root = output(Command::new("id").arg("-u")).is_ok_and(|id| id == "0");
    is_root && in_path("apt-get").is_some()
}

/// Installs what is missing.
pub(crate) fn install() -> Result<()> {
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(["-qq", "-o", "Acquire::http::Timeout=20", "-o", "Acquire::Retries=1"]).args(arguments);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        println!("{}", shown(&command));
        run(&mut command)
    };
    apt(&["update"])?;
    apt(&[["install", "-y", "--no-install-recommends"].as_slice(), PACKAGES.as_slice()].concat())
}

/// The arguments of cargo for the test. They name the whole workspace, so that its dependencies are built with the same
/// features as for the other tests, and not once more.
pub(crate) const TEST: [&str; 6] =
    ["test", "--workspace", "--features", "avdit-trainer/mpi", "--test", "mpi"];

fn has_libclang(lib: &Path) -> bool {
    let named = variable("LIBCLANG_PATH").into_iter();
    let inner = entries(lib).into_iter().flat_map(|folder| [folder.join("lib"), folder]);
    let is_libclang = |file: &PathBuf| {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("libclang") && !name.starts_with("libclang-cpp") && name.contains(".so")
    };
    named.chain([lib.to_owned()]).chain(inner).any(|folder| entries(&folder).iter().any(is_libclang))
}

/// What a folder holds; nothing if it is none.
fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libclang_is_found_beside_libraries_and_in_the_folder_of_its_version() {
        for place in ["x86_64-linux-gnu/libclang-14.so.14", "llvm-14/lib/libclang.so.1"] {
            let lib = tempfile::tempdir().unwrap();
            assert!(!has_libclang(lib.path()));
            let file = lib.path().join(place);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file.with_file_name("libclang-cpp.so.14"), "").unwrap();
            assert!(!has_libclang(lib.path()), "the C++ interface is another library");
            std::fs::write(file, "").unwrap();
            assert!(has_libclang(lib.path()), "{place}");
        }
    }
}
