//! Ranks that are threads of one process.

use super::Collective;
use super::cut::add_in_order;
use crate::error::{Error, Result};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One of several ranks in a process.
pub struct Threads {
    shared: Arc<Shared>,
    rank: usize,
    timeout: Duration,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// What ranks have brought to this round.
    brought: Vec<Option<Payload>>,
    /// What was brought to the round before; it stays until all have brought something new, and so have read it.
    whole: Arc<Vec<Payload>>,
    round: u64,
    left: Vec<bool>,
}

#[derive(Clone)]
enum Payload {
    F32(Vec<f32>),
    F64(Vec<f64>),
    Bytes(Vec<u8>),
}

impl Threads {
    /// All ranks, in order, each for a thread. A rank that waits longer than `timeout` gives the others up.
    pub fn group(ranks: usize, timeout: Duration) -> Vec<Self> {
        let state =
            State { brought: vec![None; ranks], whole: Arc::default(), round: 0, left: vec![false; ranks] };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        (0..ranks).map(|rank| Self { shared: shared.clone(), rank, timeout }).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn exchange(&self, mine: Payload) -> Result<Arc<Vec<Payload>>> {
        let started = Instant::now();
        let mut state = self.lock();
        let (round, ranks) = (state.round, state.brought.len());
        state.brought[self.rank] = Some(mine);
        if state.brought.iter().all(Option::is_some) {
            state.whole = Arc::new(state.brought.iter_mut().filter_map(Option::take).collect());
            state.round += 1;
            self.shared.changed.notify_all();
            return Ok(state.whole.clone());
        }
        loop {
            let missing = |rank: &usize| state.brought[*rank].is_none();
            let ended: Vec<usize> = (0..ranks).filter(missing).filter(|&rank| state.left[rank]).collect();
            if !ended.is_empty() {
                return Err(Error::LostRanks { ranks: ended, of: ranks, how: "it has ended".into() });
            }
            let left = self.timeout.saturating_sub(started.elapsed());
            if left.is_zero() {
                let how = format!("no word for {:.0} s", self.timeout.as_secs_f64());
                return Err(Error::LostRanks { ranks: (0..ranks).filter(missing).collect(), of: ranks, how });
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            if state.round != round {
                return Ok(state.whole.clone());
            }
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.lock().left[self.rank] = true;
        self.shared.changed.notify_all();
    }
}

impl Collective for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.lock().brought.len()
    }

    fn sum_f32(&mut self, values: &mut [f32]) -> Result<()> {
        let all = self.exchange(Payload::F32(values.to_vec()))?;
        let parts = all.iter().map(|part| match part {
            Payload::F32(part) if part.len() == values.len() => Ok(part.clone()),
            _ => Err(out_of_step()),
        });
        values.copy_from_slice(&add_in_order(parts.collect::<Result<Vec<_>>>()?));
        Ok(())
    }

    fn sum_f64(&mut self, values: &mut [f64]) -> Result<()> {
        let all = self.exchange(Payload::F64(values.to_vec()))?;
        let parts = all.iter().map(|part| match part {
            Payload::F64(part) if part.len() == values.len() => Ok(part.clone()),
            _ => Err(out_of_step()),
        });
        values.copy_from_slice(&add_in_order(parts.collect::<Result<Vec<_>>>()?));
        Ok(())
    }

    fn gather(&mut self, mine: &[u8]) -> Result<Vec<Vec<u8>>> {
        let all = self.exchange(Payload::Bytes(mine.to_vec()))?;
        let bytes = |part: &Payload| match part {
            Payload::Bytes(bytes) => Ok(bytes.clone()),
            _ => Err(out_of_step()),
        };
        all.iter().map(bytes).collect()
    }
}

fn out_of_step() -> Error {
    Error::Collective("ranks are out of step: one brought values of another kind or length".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_each<T: Send>(ranks: usize, timeout: Duration, work: impl Fn(Threads) -> T + Sync) -> Vec<T> {
        std::thread::scope(|scope| {
            let work = &work;
            let group = Threads::group(ranks, timeout).into_iter();
            let running: Vec<_> = group.map(|rank| scope.spawn(move || work(rank))).collect();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn sums_are_in_the_order_of_ranks_and_bytes_come_from_each() {
        let results = of_each(4, LONG, |mut rank| {
            let mine = [16_777_216f32, 1.0, 1.0, -16_777_216.0][rank.rank()];
            let (mut sum, mut count) = ([mine], [1f64, rank.rank() as f64]);
            for _ in 0..50 {
                sum = [mine];
                rank.sum_f32(&mut sum).unwrap();
            }
            rank.sum_f64(&mut count).unwrap();
            rank.barrier().unwrap();
            (sum, count, rank.gather(&vec![7; rank.rank()]).unwrap())
        });
        for (sum, count, bytes) in results {
            assert_eq!((sum, count), ([0.0], [4.0, 6.0]));
            assert_eq!(bytes, [vec![], vec![7], vec![7, 7], vec![7, 7, 7]]);
        }
    }

    #[test]
    fn a_rank_that_ended_is_named_by_all_others() {
        let results = of_each(3, LONG, |mut rank| {
            rank.barrier().unwrap();
            if rank.rank() == 1 { Ok(()) } else { rank.barrier() }
        });
        for lost in [&results[0], &results[2]] {
            let message = lost.as_ref().unwrap_err().to_string();
            assert!(message.starts_with("lost rank 1 of 3 ranks: it has ended"), "{message}");
        }
    }

    #[test]
    fn a_rank_that_says_nothing_is_given_up_after_the_time() {
        let messages = of_each(2, Duration::from_millis(50), |mut rank| {
            if rank.rank() == 1 {
                std::thread::sleep(Duration::from_millis(500));
                return String::new();
            }
            rank.barrier().unwrap_err().to_string()
        });
        assert!(messages[0].starts_with("lost rank 1 of 2 ranks: no word for 0 s"), "{}", messages[0]);
    }

    #[test]
    fn ranks_out_of_step_are_an_error_on_all() {
        let results = of_each(2, LONG, |mut rank| {
            let mut values = vec![1.0; 1 + rank.rank()];
            rank.sum_f64(&mut values).unwrap_err().to_string()
        });
        assert!(results.iter().all(|message| message.contains("out of step")), "{results:?}");
    }
}
