//! What this machine can do at most, measured with the engines' own kernels: the rate of a large matrix product, and
//! the bandwidth of memory. A step can only be judged beside them.

mod graph;
mod matmul;
mod memory;

pub use matmul::matmul_gflop_per_s;
pub use memory::triad_gb_per_s;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{Duration, Instant};

/// The numbers that a graph multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Precision {
    /// Single precision.
    #[serde(rename = "fp32")]
    Float32,
    /// Half precision.
    #[serde(rename = "fp16")]
    Float16,
    /// Integers of eight bits.
    #[serde(rename = "int8")]
    Int8,
}

impl Precision {
    /// `fp32`, `fp16` or `int8`.
    pub fn name(self) -> &'static str {
        match self {
            Precision::Float32 => "fp32",
            Precision::Float16 => "fp16",
            Precision::Int8 => "int8",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The median time of a run in seconds: once unmeasured, then for as long as asked and at least five times.
fn median_seconds<E>(duration: Duration, mut run: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    run()?;
    let (start, mut seconds) = (Instant::now(), Vec::new());
    while start.elapsed() < duration || seconds.len() < 5 {
        let begun = Instant::now();
        run()?;
        seconds.push(begun.elapsed().as_secs_f64());
    }
    seconds.sort_unstable_by(f64::total_cmp);
    Ok(seconds[seconds.len() / 2])
}
