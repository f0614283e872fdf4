//! Ranks that are processes connected by MPI.

use super::cut::{FEW, add_in_order, cut};
use super::worker::{Waiting, Worker};
use super::{Collective, Launch};
use crate::error::{Error, Result};
use mpi::Threading;
use mpi::datatype::traits::Equivalence;
use mpi::environment::Universe;
use mpi::request::{LocalScope, Request};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, Destination, Source};
use std::ops::AddAssign;
use std::time::{Duration, Instant};

/// Values that are summed at a time, which bounds what is held beside them.
const BLOCK: usize = 1 << 24;

/// A test for what has arrived costs little; after this long without news, there is a pause between two.
const BUSY: Duration = Duration::from_millis(2);
const PAUSE: Duration = Duration::from_micros(100);

/// A process that `mpirun` or `srun` started.
///
/// MPI's own sums are in an order that depends on the size of the message and on the machine. So each rank gets its
/// part of the values from all others, adds the parts in the order of ranks, and sends the sum to all others: as much
/// data as a ring moves, and the same bits everywhere.
pub struct Mpi {
    worker: Worker<World>,
    rank: usize,
    ranks: usize,
}

struct World {
    communicator: SimpleCommunicator,
    /// Ends MPI when it is dropped, which must come last.
    _universe: Universe,
}

impl Mpi {
    /// Connects to the other processes of a launch. A rank that waits longer than `timeout` gives the others up.
    ///
    /// # Errors
    /// [`Error::Collective`] if MPI cannot be started, or knows of another number of processes than the launcher.
    pub fn start(launch: &Launch, timeout: Duration) -> Result<Self> {
        let mut worker = Worker::start("MPI", launch.ranks, timeout, || {
            // All calls come from the one thread that starts it.
            let (universe, _) = mpi::initialize_with_threading(Threading::Funneled)
                .ok_or("this process has used it before")?;
            Ok(World { communicator: universe.world(), _universe: universe })
        })?;
        let (rank, ranks) = worker
            .run(|world, _| (world.communicator.rank() as usize, world.communicator.size() as usize))?;
        if (rank, ranks) != (launch.rank, launch.ranks) {
            return Err(Error::Collective(format!(
                "{} says that this is process {} of {}, and MPI that it is {rank} of {ranks}\n\nhint: use the mpirun \
                 of the MPI that this program was built with, or `srun --mpi=pmix`; for one process by itself, \
                 start it without a launcher",
                launch.by, launch.rank, launch.ranks
            )));
        }
        Ok(Self { worker, rank, ranks })
    }

    fn sum<T: Number>(&mut self, values: &mut [T]) -> Result<()> {
        for block in values.chunks_mut(BLOCK) {
            let mine = block.to_vec();
            block.copy_from_slice(&self.worker.run(move |world, waiting| world.sum(mine, waiting))?);
        }
        Ok(())
    }
}

impl Collective for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.ranks
    }

    fn sum_f32(&mut self, values: &mut [f32]) -> Result<()> {
        self.sum(values)
    }

    fn sum_f64(&mut self, values: &mut [f64]) -> Result<()> {
        self.sum(values)
    }

    fn gather(&mut self, mine: &[u8]) -> Result<Vec<Vec<u8>>> {
        let mine = mine.to_vec();
        self.worker.run(move |world, waiting| {
            let ranks = world.communicator.size() as usize;
            let lengths = world.gather(&[mine.len() as u64], &vec![1; ranks], waiting);
            let lengths: Vec<usize> = lengths.into_iter().flatten().map(|length| length as usize).collect();
            world.gather(&mine, &lengths, waiting)
        })
    }
}

trait Number: Equivalence + Copy + Default + AddAssign + Send + 'static {}
impl Number for f32 {}
impl Number for f64 {}

impl World {
    /// What every rank has, in order, each of the given length.
    fn gather<T: Equivalence + Copy + Default>(
        &self,
        mine: &[T],
        lengths: &[usize],
        waiting: &Waiting,
    ) -> Vec<Vec<T>> {
        let mut all: Vec<Vec<T>> = lengths.iter().map(|&length| vec![T::default(); length]).collect();
        let own = self.communicator.rank() as usize;
        all[own].copy_from_slice(mine);
        let to = vec![mine; lengths.len()];
        self.exchange(&to, all.iter_mut().map(Vec::as_mut_slice).collect(), waiting);
        all
    }

    fn sum<T: Number>(&self, mut values: Vec<T>, waiting: &Waiting) -> Vec<T> {
        let (rank, ranks) = (self.communicator.rank() as usize, self.communicator.size() as usize);
        let len = values.len();
        if len <= FEW {
            return add_in_order(self.gather(&values, &vec![len; ranks], waiting));
        }
        let part = |rank| cut(len, ranks, rank);
        let mut parts = vec![vec![T::default(); part(rank).len()]; ranks];
        parts[rank].copy_from_slice(&values[part(rank)]);
        let to: Vec<&[T]> = (0..ranks).map(|to| &values[part(to)]).collect();
        self.exchange(&to, parts.iter_mut().map(Vec::as_mut_slice).collect(), waiting);
        let sum = add_in_order(parts);
        values[part(rank)].copy_from_slice(&sum);
        let lengths: Vec<usize> = (0..ranks).map(|rank| part(rank).len()).collect();
        let (mut from, mut rest) = (Vec::new(), values.as_mut_slice());
        for length in lengths {
            let (part, after) = rest.split_at_mut(length);
            from.push(part);
            rest = after;
        }
        self.exchange(&vec![sum.as_slice(); ranks], from, waiting);
        values
    }

    /// Sends `to[rank]` to each other rank and fills `from[rank]` with what it sends here.
    fn exchange<T: Equivalence>(&self, to: &[&[T]], from: Vec<&mut [T]>, waiting: &Waiting) {
        let own = self.communicator.rank() as usize;
        let process = |rank: usize| self.communicator.process_at_rank(rank as i32);
        mpi::request::scope(|scope: &LocalScope| {
            let mut open: Vec<(usize, Request<'_, [T], &LocalScope<'_>>)> = Vec::new();
            for (rank, into) in from.into_iter().enumerate().filter(|(rank, _)| *rank != own) {
                open.push((rank, process(rank).immediate_receive_into(scope, into)));
            }
            for (rank, &values) in to.iter().enumerate().filter(|(rank, _)| *rank != own) {
                open.push((rank, process(rank).immediate_send(scope, values)));
            }
            let mut last = Instant::now();
            while !open.is_empty() {
                let before = open.len();
                open = open
                    .into_iter()
                    .filter_map(|(rank, request)| Some((rank, request.test().err()?)))
                    .collect();
                if open.len() < before {
                    last = Instant::now();
                } else if last.elapsed() < BUSY {
                    std::thread::yield_now();
                } else {
                    let mut ranks: Vec<usize> = open.iter().map(|(rank, _)| *rank).collect();
                    ranks.sort_unstable();
                    ranks.dedup();
                    waiting.set(ranks);
                    std::thread::sleep(PAUSE);
                }
            }
        });
    }
}
