//! What this machine is, as far as a measurement depends on it.

mod state;

pub use state::{State, available_memory_bytes, reset_peak_memory, resident_memory_bytes};

use serde::{Deserialize, Serialize};
use std::fs::read_to_string;

/// Facts of a machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Logical processors that this process may use.
    pub threads: usize,
    /// Instruction sets that decide the speed of the kernels.
    pub instruction_sets: Vec<String>,
    /// Memory of the machine.
    pub memory_bytes: Option<u64>,
    /// The operating system.
    pub os: String,
    /// The kernel, or the architecture where that is not told.
    pub kernel: String,
    /// Processes that were running or waiting to run, over the last minute.
    pub load_average: Option<f64>,
}

impl Machine {
    /// This machine, now.
    pub fn this() -> Self {
        let line = |path: &str, key: &str| field(&read_to_string(path).unwrap_or_default(), key);
        let trimmed = |path: &str| read_to_string(path).ok().map(|text| text.trim().to_owned());
        Self {
            cpu: line("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            threads: std::thread::available_parallelism().map_or(1, Into::into),
            instruction_sets: instruction_sets(),
            memory_bytes: line("/proc/meminfo", "MemTotal").and_then(|text| kibibytes(&text)),
            os: os_name(&read_to_string("/etc/os-release").unwrap_or_default()),
            kernel: trimmed("/proc/sys/kernel/osrelease")
                .unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            load_average: trimmed("/proc/loadavg").and_then(|text| text.split(' ').next()?.parse().ok()),
        }
    }
}

/// The most memory that this process has held at once.
pub fn peak_memory_bytes() -> Option<u64> {
    let status = read_to_string("/proc/self/status").ok()?;
    field(&status, "VmHWM").and_then(|text| kibibytes(&text))
}

/// Processor time that this process has used, on all its threads.
pub fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// The value of `key: value`.
fn field(text: &str, key: &str) -> Option<String> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(k, _)| k.trim() == key)
        .map(|(_, v)| v.trim().to_owned())
}

fn kibibytes(text: &str) -> Option<u64> {
    let number: u64 = text.strip_suffix("kB")?.trim().parse().ok()?;
    Some(number * 1024)
}

fn os_name(release: &str) -> String {
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| std::env::consts::OS.to_owned(), |name| name.trim_matches('"').to_owned())
}

#[cfg(target_arch = "x86_64")]
fn instruction_sets() -> Vec<String> {
    let known = [
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("fma", std::is_x86_feature_detected!("fma")),
        ("avx512f", std::is_x86_feature_detected!("avx512f")),
        ("avx512vnni", std::is_x86_feature_detected!("avx512vnni")),
        ("avx512bf16", std::is_x86_feature_detected!("avx512bf16")),
    ];
    known.into_iter().filter(|(_, there)| *there).map(|(name, _)| name.to_owned()).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn instruction_sets() -> Vec<String> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_the_kernel_are_understood() {
        let info = "processor\t: 0\nmodel name\t: A: B\nMemTotal:       24576 kB\n";
        assert_eq!(field(info, "model name").as_deref(), Some("A: B"));
        assert_eq!(field(info, "MemTotal").and_then(|text| kibibytes(&text)), Some(24576 * 1024));
        assert_eq!(field(info, "Vm"), None);
        assert_eq!(os_name("NAME=x\nPRETTY_NAME=\"Some OS 12\"\n"), "Some OS 12");
    }

    #[test]
    fn processor_time_grows_with_work() {
        let before = cpu_seconds();
        let mut x = 1.0f64;
        while cpu_seconds() - before < 1e-3 {
            x = std::hint::black_box(x * 1.000_001);
        }
        assert!(x > 1.0 && cpu_seconds() > before);
    }
}
