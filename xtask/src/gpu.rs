//! What a machine with an NVIDIA GPU can be checked for.

use crate::process::output;
use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The exit code where there is no GPU that a program can use.
const NO_GPU: u8 = 3;
/// The exit code where there is one, and nothing to check it with.
const NO_TESTS: u8 = 4;

/// What can be seen of GPUs without CUDA.
#[derive(Debug, Default, PartialEq)]
struct Facts {
    driver: Option<String>,
    devices: Vec<String>,
    libcuda: Option<PathBuf>,
}

impl Facts {
    fn of_this_machine() -> Self {
        let (driver, devices) = driver(Path::new("/proc/driver/nvidia"));
        let listed = ["ldconfig", "/sbin/ldconfig"]
            .iter()
            .find_map(|ldconfig| output(Command::new(ldconfig).arg("-p")).ok());
        Self { driver, devices, libcuda: libcuda(&listed.unwrap_or_default()) }
    }

    /// What is said of them, and the exit code.
    fn verdict(&self) -> (String, u8) {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
        let seen = format!(
            "NVIDIA driver: {}\ndevices: {}\nlibcuda.so.1: {}\n",
            or_none(self.driver.clone()),
            or_none((!self.devices.is_empty()).then(|| self.devices.join(", "))),
            or_none(self.libcuda.as_ref().map(|path| path.display().to_string())),
        );
        if self.driver.is_some() && self.libcuda.is_some() {
            let note = "nothing was checked: the engines of this version run on the CPU, and it has no tests for GPUs";
            (format!("{seen}{note}"), NO_TESTS)
        } else {
            let missing: Vec<_> =
                [(self.driver.is_none(), "its driver"), (self.libcuda.is_none(), "libcuda.so.1")]
                    .into_iter()
                    .filter_map(|(missing, what)| missing.then_some(what))
                    .collect();
            (format!("{seen}no usable NVIDIA GPU here: {} missing", missing.join(" and ")), NO_GPU)
        }
    }
}

/// Prints what is here and what can be done with it.
pub(crate) fn check() -> ExitCode {
    let (text, code) = Facts::of_this_machine().verdict();
    println!("{text}");
    ExitCode::from(code)
}

/// The driver's own line about its version and the models it lists, under its folder in /proc.
fn driver(folder: &Path) -> (Option<String>, Vec<String>) {
    let first_line = |text: String| text.lines().next().map(|line| line.trim().to_owned());
    let version = read_to_string(folder.join("version")).ok().and_then(first_line);
    let model =
        |text: String| text.lines().find_map(|l| l.strip_prefix("Model:").map(|m| m.trim().to_owned()));
    let devices = read_dir(folder.join("gpus")).into_iter().flatten().flatten();
    let models = devices.filter_map(|d| read_to_string(d.path().join("information")).ok().and_then(model));
    (version, models.collect())
}

/// The driver's library for programs in what `ldconfig -p` prints.
fn libcuda(listed: &str) -> Option<PathBuf> {
    let line = listed.lines().find(|line| line.split_whitespace().next() == Some("libcuda.so.1"))?;
    line.split_once("=>").map(|(_, path)| PathBuf::from(path.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_and_its_library_are_seen_and_either_alone_is_no_gpu() {
        let proc = tempfile::tempdir().unwrap();
        assert_eq!(driver(proc.path()), (None, Vec::new()));
        std::fs::write(proc.path().join("version"), "NVRM version: 570.1\nGCC version: 12\n").unwrap();
        let device = proc.path().join("gpus/0000:01:00.0");
        std::fs::create_dir_all(&device).unwrap();
        std::fs::write(device.join("information"), "Model: \t\t NVIDIA X\nIRQ: 1\n").unwrap();
        let (version, devices) = driver(proc.path());
        assert_eq!((version.as_deref(), devices), (Some("NVRM version: 570.1"), vec!["NVIDIA X".to_owned()]));

        let listed = "2 libs\n\tlibcuda.so.1 (libc6,x86-64) => /usr/lib/libcuda.so.1\n\tlibm.so (libc6) => /lib/libm.so\n";
        assert_eq!(libcuda(listed), Some("/usr/lib/libcuda.so.1".into()));
        assert_eq!(libcuda("\tlibcudart.so.1 (libc6) => /x\n"), None);

        let both = Facts { driver: version, devices: Vec::new(), libcuda: libcuda(listed) };
        assert_eq!(both.verdict().1, NO_TESTS);
        let (text, code) = Facts { driver: None, ..both }.verdict();
        assert_eq!((code, text.ends_with("here: its driver missing")), (NO_GPU, true), "{text}");
        assert_eq!(Facts::default().verdict().1, NO_GPU);
    }
}
