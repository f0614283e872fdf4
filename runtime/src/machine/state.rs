//! What changes on a machine from one measurement to the next: load, clocks, memory.

use super::{field, kibibytes};
use serde::{Deserialize, Serialize};
use std::fs::read_to_string;

/// The state of this machine at one moment, as far as the system tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Processes that were running or waiting to run, over the last minute.
    pub load_average: Option<f64>,
    /// The mean clock of the logical processors.
    pub clock_mhz: Option<f64>,
    /// The policy that sets the clock: `performance`, `powersave`, `schedutil`.
    pub governor: Option<String>,
    /// Memory that could be had without swapping.
    pub available_memory_bytes: Option<u64>,
}

impl State {
    /// The state now.
    pub fn now() -> Self {
        let line = |path: &str| read_to_string(path).ok().map(|text| text.trim().to_owned());
        Self {
            load_average: line("/proc/loadavg").and_then(|text| text.split(' ').next()?.parse().ok()),
            clock_mhz: mean_clock(&read_to_string("/proc/cpuinfo").unwrap_or_default()),
            governor: line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            available_memory_bytes: available_memory_bytes(),
        }
    }
}

/// Memory that could be had without swapping.
pub fn available_memory_bytes() -> Option<u64> {
    field(&read_to_string("/proc/meminfo").ok()?, "MemAvailable").and_then(|text| kibibytes(&text))
}

/// Memory that this process holds now.
pub fn resident_memory_bytes() -> Option<u64> {
    field(&read_to_string("/proc/self/status").ok()?, "VmRSS").and_then(|text| kibibytes(&text))
}

/// From here on [`peak_memory_bytes`](super::peak_memory_bytes) tells the peak since now; whether the system lets us.
pub fn reset_peak_memory() -> bool {
    std::fs::write("/proc/self/clear_refs", "5").is_ok()
}

fn mean_clock(info: &str) -> Option<f64> {
    let values = info.lines().filter_map(|line| line.split_once(':'));
    let clocks: Vec<f64> = values
        .filter(|(key, _)| key.trim() == "cpu MHz")
        .filter_map(|(_, value)| value.trim().parse().ok())
        .collect();
    (!clocks.is_empty()).then(|| clocks.iter().sum::<f64>() / clocks.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_the_mean_of_those_that_are_told() {
        let info = "cpu MHz\t\t: 2000.0\ncache size : 1 KB\ncpu MHz : 3000.0\n";
        assert_eq!(mean_clock(info), Some(2500.0));
        assert_eq!(mean_clock("processor : 0\n"), None);
    }

    #[test]
    fn a_peak_that_is_reset_forgets_what_was_freed() {
        let held = vec![1u8; 64 << 20];
        let before = std::hint::black_box(&held).len() as u64;
        drop(held);
        let Some(peak) = crate::machine::peak_memory_bytes() else { return };
        if reset_peak_memory() {
            let after = crate::machine::peak_memory_bytes().unwrap();
            assert!(after + before / 2 < peak, "{after} of {peak}");
        }
    }
}
