//! Ranks that are processes with a GPU each, connected by NCCL. Compiled, never run on GPUs.
//!
//! The values come from the host and return there: NCCL moves them between the GPUs, and the sum is taken on the host
//! in the order of ranks, since NCCL's own order depends on how the GPUs are connected.

use super::cut::{FEW, add_in_order, cut};
use super::meeting::Meeting;
use super::worker::Worker;
use super::{Collective, Launch};
use crate::device;
use crate::error::{Error, Result};
use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DeviceRepr, DriverError, ValidAsZeroBits};
use cudarc::nccl::safe::{Comm, Id, NcclType};
use std::ops::AddAssign;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Values that are summed at a time, which bounds the memory of the GPU that is taken.
const BLOCK: usize = 1 << 26;

/// A process with a GPU.
pub struct Nccl {
    worker: Worker<Gpu>,
    rank: usize,
    ranks: usize,
}

struct Gpu {
    comm: Comm,
    stream: Arc<CudaStream>,
}

impl Nccl {
    /// Connects to the other processes of a launch, which find each other through a file in `folder`. What is exchanged
    /// goes through the GPU with the number of this process on its machine, or the only one that it sees: the one that
    /// `run.device = "cuda"` trains on.
    ///
    /// # Errors
    /// [`Error::Collective`] if there is no CUDA, no NCCL or no GPU, or the others do not come within `timeout`.
    pub fn start(launch: &Launch, folder: &Path, timeout: Duration) -> Result<Self> {
        let (rank, ranks, local) = (launch.rank, launch.ranks, launch.local_rank);
        let id = launch.id.clone().ok_or_else(|| {
            Error::Collective(format!(
                "{} gives no name to this launch, by which processes could find each other\n\nhint: set MASTER_PORT \
                 to a number that is new at each launch",
                launch.by
            ))
        })?;
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let meeting = Meeting::new(folder, &id);
        if rank == 0 {
            // What a launch of the same name has left, before the others, which are as slow to start, look for it.
            meeting.clear().map_err(Error::Collective)?;
        }
        let worker = Worker::start("NCCL", ranks, timeout, move || {
            let devices = CudaContext::device_count().map_err(|error| said("CUDA", &error.0))?;
            let gpus = usize::try_from(devices).unwrap_or(0);
            let ordinal = device::gpu_of(local.unwrap_or(0), gpus).map_err(|error| error.to_string())?;
            let context = CudaContext::new(ordinal).map_err(|error| said("CUDA", &error.0))?;
            let stream = context.default_stream();
            let id = meet(&meeting, rank, timeout)?;
            let comm =
                Comm::from_rank(stream.clone(), rank, ranks, id).map_err(|error| said("NCCL", &error.0))?;
            if rank == 0 {
                // All have read it. One that stays behind is removed by a launch of the same name.
                let _ = meeting.clear();
            }
            Ok(Gpu { comm, stream })
        })?;
        Ok(Self { worker, rank, ranks })
    }

    fn sum<T: Number>(&mut self, values: &mut [T]) -> Result<()> {
        for block in values.chunks_mut(BLOCK) {
            let (mine, others) = (block.to_vec(), self.others());
            let sum = self.worker.run(move |gpu, waiting| {
                waiting.set(others);
                gpu.sum(mine)
            })?;
            block.copy_from_slice(&self.checked(sum)?);
        }
        Ok(())
    }

    fn others(&self) -> Vec<usize> {
        (0..self.ranks).filter(|&rank| rank != self.rank).collect()
    }

    /// After a failure nothing more can be exchanged.
    fn checked<T>(&mut self, result: std::result::Result<T, String>) -> Result<T> {
        result.map_err(|reason| {
            self.worker.abandon();
            Error::Collective(reason)
        })
    }
}

impl Collective for Nccl {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.ranks
    }

    fn over_gpus(&self) -> bool {
        true
    }

    fn sum_f32(&mut self, values: &mut [f32]) -> Result<()> {
        self.sum(values)
    }

    fn sum_f64(&mut self, values: &mut [f64]) -> Result<()> {
        self.sum(values)
    }

    fn gather(&mut self, mine: &[u8]) -> Result<Vec<Vec<u8>>> {
        let mut lengths = vec![0.0; self.ranks];
        lengths[self.rank] = mine.len() as f64;
        self.sum_f64(&mut lengths)?;
        let longest = lengths.iter().fold(1.0, |a: f64, &b| a.max(b)) as usize;
        let (mut mine, others) = (mine.to_vec(), self.others());
        mine.resize(longest, 0);
        let all = self.worker.run(move |gpu, waiting| {
            waiting.set(others);
            gpu.gather(&mine)
        })?;
        let all = self.checked(all)?;
        let cut = |(part, &length): (&[u8], &f64)| part[..length as usize].to_vec();
        Ok(all.chunks(longest).zip(&lengths).map(cut).collect())
    }
}

trait Number: NcclType + DeviceRepr + ValidAsZeroBits + Copy + Default + AddAssign + Send + 'static {}
impl Number for f32 {}
impl Number for f64 {}

impl Gpu {
    /// What every rank has, one after the other; all of one length.
    fn gather<T: NcclType + DeviceRepr + ValidAsZeroBits>(
        &self,
        mine: &[T],
    ) -> std::result::Result<Vec<T>, String> {
        let from = self.stream.clone_htod(mine).map_err(cuda)?;
        let mut to = self.stream.alloc_zeros::<T>(mine.len() * self.comm.world_size()).map_err(cuda)?;
        self.comm.all_gather(&from, &mut to).map_err(|error| said("NCCL", &error.0))?;
        self.stream.clone_dtoh(&to).map_err(cuda)
    }

    fn sum<T: Number>(&self, mut values: Vec<T>) -> std::result::Result<Vec<T>, String> {
        let (rank, ranks, len) = (self.comm.rank(), self.comm.world_size(), values.len());
        if len <= FEW {
            let all = self.gather(&values)?;
            return Ok(add_in_order(all.chunks(len.max(1)).map(<[T]>::to_vec)));
        }
        // So many values leave no rank without a part, which NCCL would not take.
        let part = |rank| cut(len, ranks, rank);
        let sent = self.stream.clone_htod(&values).map_err(cuda)?;
        let received = self.exchange(|to| sent.slice(part(to)), |_| part(rank).len())?;
        let mut parts = Vec::with_capacity(ranks);
        for (from, part_of) in received.iter().enumerate() {
            parts.push(match part_of {
                Some(device) => self.stream.clone_dtoh(device).map_err(cuda)?,
                None => values[part(from)].to_vec(),
            });
        }
        let sum = add_in_order(parts);
        let sent = self.stream.clone_htod(&sum).map_err(cuda)?;
        let received = self.exchange(|_| sent.as_view(), |from| part(from).len())?;
        for (from, part_of) in received.iter().enumerate() {
            let into = &mut values[part(from)];
            match part_of {
                Some(device) => self.stream.memcpy_dtoh(device, into).map_err(cuda)?,
                None => into.copy_from_slice(&sum),
            }
        }
        self.stream.synchronize().map_err(cuda)?;
        Ok(values)
    }

    /// Sends a part to each other rank and receives one of it, of the given length.
    fn exchange<'a, T: Number>(
        &self,
        to: impl Fn(usize) -> cudarc::driver::CudaView<'a, T>,
        length: impl Fn(usize) -> usize,
    ) -> std::result::Result<Vec<Option<CudaSlice<T>>>, String> {
        let (own, ranks) = (self.comm.rank(), self.comm.world_size());
        let mut received = Vec::with_capacity(ranks);
        for rank in 0..ranks {
            let other = (rank != own).then(|| self.stream.alloc_zeros::<T>(length(rank)));
            received.push(other.transpose().map_err(cuda)?);
        }
        let outgoing: Vec<_> = (0..ranks).map(&to).collect();
        let incoming: Vec<_> =
            received.iter_mut().map(|slice| slice.as_mut().map(|s| s.as_view_mut())).collect();
        let mut group = self.comm.group();
        for (rank, (outgoing, incoming)) in outgoing.into_iter().zip(incoming).enumerate() {
            let Some(incoming) = incoming else { continue };
            let peer = i32::try_from(rank).map_err(|error| error.to_string())?;
            group.send(outgoing, peer).map_err(|error| said("NCCL", &error.0))?;
            group.recv(incoming, peer).map_err(|error| said("NCCL", &error.0))?;
        }
        drop(group);
        Ok(received)
    }
}

/// Rank 0 makes the name under which all meet, and the others wait for it.
fn meet(meeting: &Meeting, rank: usize, timeout: Duration) -> std::result::Result<Id, String> {
    if rank == 0 {
        let id = Id::new().map_err(|error| said("NCCL", &error.0))?;
        meeting.call(&id.internal().map(|char| char.to_ne_bytes()[0]))?;
        return Ok(id);
    }
    let bytes: [u8; 128] = meeting.wait(timeout)?;
    Ok(Id::uninit(bytes.map(|byte| std::ffi::c_char::from_ne_bytes([byte]))))
}

fn cuda(error: DriverError) -> String {
    said("CUDA", &error.0)
}

fn said(what: &str, code: &dyn std::fmt::Debug) -> String {
    format!("{what}: {code:?}")
}
