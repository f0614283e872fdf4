//! Checks on a machine with an NVIDIA GPU: whether there is one, and the programs that do the rest.

use crate::process::{output, root, run, shown, variable};
use anyhow::{Context, Result};
use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The exit code where there is no GPU that a program can use.
const NO_GPU: u8 = 3;

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

    /// What is seen, and whether a program can use it.
    fn verdict(&self) -> Result<String, String> {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
        let seen = format!(
            "NVIDIA driver: {}\ndevices: {}\nlibcuda.so.1: {}",
            or_none(self.driver.clone()),
            or_none((!self.devices.is_empty()).then(|| self.devices.join(", "))),
            or_none(self.libcuda.as_ref().map(|path| path.display().to_string())),
        );
        // Some containers show the library and not the kernel's files.
        if self.libcuda.is_some() {
            return Ok(seen);
        }
        let missing = if self.driver.is_some() { "libcuda.so.1" } else { "its driver and libcuda.so.1" };
        Err(format!("{seen}\nno usable NVIDIA GPU here: {missing} missing"))
    }
}

/// Builds the programs and runs the checks. Where there is plainly no GPU, it says so before it builds anything.
pub(crate) fn check(out: &Path, dry_run: bool) -> Result<ExitCode> {
    if !dry_run {
        match Facts::of_this_machine().verdict() {
            Ok(seen) => println!("{seen}"),
            Err(why) => {
                println!("{why}");
                return Ok(ExitCode::from(NO_GPU));
            }
        }
    }
    let programs = Programs::build(!dry_run)?;
    let mut command = Command::new(&programs.gpu_check);
    command.arg("--avdit").arg(&programs.avdit).arg("--parity").arg(&programs.parity);
    command.arg("--golden").arg(root().join("tests/golden")).arg("--out").arg(out);
    if dry_run {
        command.arg("--dry-run-on-cpu");
    }
    let status = command.status().with_context(|| format!("cannot run `{}`", shown(&command)))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}

/// The programs that the checks consist of.
pub(crate) struct Programs {
    pub(crate) avdit: PathBuf,
    pub(crate) parity: PathBuf,
    pub(crate) gpu_check: PathBuf,
}

impl Programs {
    /// Builds them, as users do (`release`) or as tests do.
    pub(crate) fn build(release: bool) -> Result<Self> {
        let mut command = Command::new("cargo");
        command.current_dir(root()).args(["build", "-p", "avdit", "-p", "avdit-tests", "--bins"]);
        if release {
            command.arg("--release");
        }
        println!("{}", shown(&command));
        run(&mut command)?;
        let target = variable("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        let folder = root().join(target).join(if release { "release" } else { "debug" });
        let program = |name: &str| folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
        Ok(Self { avdit: program("avdit"), parity: program("parity"), gpu_check: program("gpu_check") })
    }
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
        assert!(both.verdict().unwrap().starts_with("NVIDIA driver: NVRM version: 570.1\ndevices: none"));
        assert!(Facts { driver: None, ..both }.verdict().is_ok(), "a container may hide the kernel's files");
        let text = Facts::default().verdict().unwrap_err();
        assert!(text.ends_with("here: its driver and libcuda.so.1 missing"), "{text}");
    }
}
