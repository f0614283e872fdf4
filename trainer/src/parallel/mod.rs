//! Data-parallel training: ranks that each take a part of every batch, and the sums that make them one run.
//!
//! A rank is a process (or, in tests, a thread). All ranks hold the same parameters and take the same steps; a step's
//! batch is divided by position, and since every random number is a function of seed, step and position, no rank
//! needs to be told which examples, levels or noise are its own. What they exchange are sums: of gradients, of losses
//! and of counts. A sum is taken in the order of the ranks whatever the engine, so that it has the same bits on every
//! rank and in every run of as many ranks.
//!
//! Engines: [`Single`] is one process by itself; [`Threads`] are ranks in one process; `Mpi` (feature `mpi`) are
//! processes that `mpirun` or `srun` starts; `Nccl` (feature `nccl`) the same on the GPUs of `run.device = "cuda"`, which
//! needs the feature `cuda` as well.

mod cut;
mod launch;
#[cfg(any(feature = "nccl", test))]
mod meeting;
#[cfg(feature = "mpi")]
mod mpi;
#[cfg(feature = "nccl")]
mod nccl;
mod place;
mod ranks;
mod shared;
mod step;
mod threads;
#[cfg(any(feature = "mpi", feature = "nccl"))]
mod worker;

pub use launch::Launch;
#[cfg(feature = "mpi")]
pub use mpi::Mpi;
#[cfg(feature = "nccl")]
pub use nccl::Nccl;
pub use ranks::Ranks;
pub use threads::Threads;

use crate::error::Result;

/// What ranks exchange. Every rank makes the same calls in the same order, with values of the same length.
///
/// All calls fail with [`Error::LostRanks`](crate::Error::LostRanks) where a rank does not take part in time; no call
/// can be made after that.
pub trait Collective: Send {
    /// This rank, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn ranks(&self) -> usize;

    /// Whether each rank needs a GPU.
    fn over_gpus(&self) -> bool {
        false
    }

    /// Replaces values by their sums over the ranks: ((v₀ + v₁) + v₂) + …, the same bits everywhere.
    ///
    /// # Errors
    /// If a rank is lost or the engine fails.
    fn sum_f32(&mut self, values: &mut [f32]) -> Result<()>;

    /// As [`Collective::sum_f32`].
    ///
    /// # Errors
    /// If a rank is lost or the engine fails.
    fn sum_f64(&mut self, values: &mut [f64]) -> Result<()>;

    /// The bytes of every rank, in the order of ranks; their lengths may differ.
    ///
    /// # Errors
    /// If a rank is lost or the engine fails.
    fn gather(&mut self, mine: &[u8]) -> Result<Vec<Vec<u8>>>;

    /// Waits for all ranks.
    ///
    /// # Errors
    /// If a rank is lost or the engine fails.
    fn barrier(&mut self) -> Result<()> {
        self.sum_f64(&mut [0.0])
    }
}

/// One process by itself: every sum is what it was.
#[derive(Clone, Copy, Debug, Default)]
pub struct Single;

impl Collective for Single {
    fn rank(&self) -> usize {
        0
    }

    fn ranks(&self) -> usize {
        1
    }

    fn sum_f32(&mut self, _: &mut [f32]) -> Result<()> {
        Ok(())
    }

    fn sum_f64(&mut self, _: &mut [f64]) -> Result<()> {
        Ok(())
    }

    fn gather(&mut self, mine: &[u8]) -> Result<Vec<Vec<u8>>> {
        Ok(vec![mine.to_vec()])
    }
}
