//! What this machine can do at most, measured with the engines' own kernels: the rate of a large matrix product, and
//! the bandwidth of memory. A step can only be judged beside them.

mod graph;
mod matmul;
mod memory;

pub use matmul::matmul_rate;
pub use memory::triad_rate;

use crate::machine::cpu_seconds;
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

/// What is done in a second, in 10⁹: the most that was seen in any run, so that other work disturbs it the least.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// In a second of wall time.
    pub wall: f64,
    /// In a second of processor time, over all threads: where other work shares the machine, this is what holds.
    pub cpu: f64,
}

/// The rate of a run that does so many things: once unmeasured, then for as long as asked and at least five times.
fn rate<E>(things: f64, duration: Duration, mut run: impl FnMut() -> Result<(), E>) -> Result<Rate, E> {
    run()?;
    let (start, mut runs) = (Instant::now(), 0);
    let (mut wall, mut cpu) = (f64::INFINITY, f64::INFINITY);
    while start.elapsed() < duration || runs < 5 {
        let (begun, cpu_begun) = (Instant::now(), cpu_seconds());
        run()?;
        wall = wall.min(begun.elapsed().as_secs_f64());
        cpu = cpu.min(cpu_seconds() - cpu_begun);
        runs += 1;
    }
    Ok(Rate { wall: things / wall * 1e-9, cpu: things / cpu * 1e-9 })
}
