//! A run's view of its ranks: its share of a batch, one error for all, one configuration for all.

use super::cut::cut;
use super::{Collective, Single};
use crate::error::{Error, Result};
use serde_json::Value;
use std::ops::Range;
use std::time::{Duration, Instant};

/// The ranks of a run.
///
/// An error on one rank ends all: each step asks whether all are well ([`Ranks::agree`]) once before anything is
/// summed, and once at its end, together with whether any of them asks to stop. What fails on a rank in between is told
/// at the next question ([`Ranks::tell`]).
pub struct Ranks {
    collective: Box<dyn Collective>,
    /// Whether the others know that this run is over.
    over: bool,
    /// Whether they cannot be reached any more.
    lost: bool,
    /// Whether an earlier rank has told the same error.
    repeated: bool,
    exchanging: Duration,
}

impl Default for Ranks {
    fn default() -> Self {
        Self::single()
    }
}

impl Ranks {
    /// One process by itself.
    pub fn single() -> Self {
        Self::new(Box::new(Single))
    }

    /// The ranks of an engine.
    pub fn new(collective: Box<dyn Collective>) -> Self {
        Self { collective, over: false, lost: false, repeated: false, exchanging: Duration::ZERO }
    }

    /// This rank, from 0.
    pub fn rank(&self) -> usize {
        self.collective.rank()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.collective.ranks()
    }

    /// Whether this is the rank that writes files.
    pub fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// Whether each needs a GPU to exchange anything.
    pub(super) fn over_gpus(&self) -> bool {
        self.collective.over_gpus()
    }

    /// Time spent in exchanges so far, waiting for slower ranks included.
    pub fn exchanging(&self) -> Duration {
        self.exchanging
    }

    /// The positions of a batch that this rank takes. Parts of a batch that ranks do not divide differ by one.
    ///
    /// # Errors
    /// [`Error::Config`] if there are more ranks than examples.
    pub fn share(&self, batch: usize) -> Result<Range<usize>> {
        let ranks = self.count();
        if batch < ranks {
            let what = format!("run.batch is {batch}, expected at least 1 for each of {ranks} ranks");
            return Err(Error::Config(what));
        }
        Ok(cut(batch, ranks, self.rank()))
    }

    /// Sums over ranks, in their order.
    ///
    /// # Errors
    /// If a rank is lost.
    pub fn sum_f32(&mut self, values: &mut [f32]) -> Result<()> {
        self.exchange(|collective| collective.sum_f32(values))
    }

    /// As [`Ranks::sum_f32`].
    ///
    /// # Errors
    /// If a rank is lost.
    pub fn sum_f64(&mut self, values: &mut [f64]) -> Result<()> {
        self.exchange(|collective| collective.sum_f64(values))
    }

    /// The bytes of every rank.
    ///
    /// # Errors
    /// If a rank is lost.
    pub fn gather(&mut self, mine: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.exchange(|collective| collective.gather(mine))
    }

    fn exchange<T>(&mut self, call: impl FnOnce(&mut dyn Collective) -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let result = call(self.collective.as_mut());
        self.exchanging += started.elapsed();
        self.lost |= result.is_err();
        self.over |= self.lost;
        result
    }

    /// Whether all ranks are well, and to each of two questions, whether any of them says yes.
    ///
    /// # Errors
    /// This rank's own error, or [`Error::OtherRank`] with that of the first one that has one.
    pub fn agree(&mut self, mine: Result<[bool; 2]>) -> Result<[bool; 2]> {
        let [a, b] = match mine {
            Ok(answers) if self.count() == 1 => return Ok(answers),
            Ok(answers) => answers.map(f64::from),
            Err(error) => return Err(self.announce(error)),
        };
        let mut flags = [0.0, a, b];
        self.sum_f64(&mut flags)?;
        if flags[0] == 0.0 {
            return Ok([flags[1] > 0.0, flags[2] > 0.0]);
        }
        let texts = self.gather(&[])?;
        self.over = true;
        let said = texts.iter().enumerate().find(|(_, text)| !text.is_empty());
        let (rank, what) = said.map_or((0, "".into()), |(rank, text)| (rank, String::from_utf8_lossy(text)));
        Err(Error::OtherRank { rank, of: self.count(), what: what.into_owned() })
    }

    /// What each rank has of its own, if none failed to get it.
    ///
    /// # Errors
    /// As [`Ranks::agree`].
    pub fn all<T>(&mut self, mine: Result<T>) -> Result<T> {
        let (mine, well) = match mine {
            Ok(mine) => (Some(mine), Ok([false; 2])),
            Err(error) => (None, Err(error)),
        };
        self.agree(well)?;
        mine.ok_or_else(|| Error::Collective("a failure was taken for agreement".into()))
    }

    /// Passes an outcome on, after telling the other ranks of an error that they do not know of.
    ///
    /// # Errors
    /// The outcome's own.
    pub fn tell<T>(&mut self, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|error| self.announce(error))
    }

    fn announce(&mut self, error: Error) -> Error {
        self.give_up(&error.to_string());
        error
    }

    /// Answers the question that the others ask next with an error, unless they know that the run is over. If they
    /// cannot be reached, the error is what counts.
    pub fn give_up(&mut self, error: &str) {
        if self.count() > 1 && !self.over && self.sum_f64(&mut [1.0, 0.0, 0.0]).is_ok() {
            let texts = self.gather(error.as_bytes()).unwrap_or_default();
            self.repeated = texts.iter().take(self.rank()).any(|text| text == error.as_bytes());
        }
        self.over = true;
    }

    /// Whether this rank's error has been told by another, so that it needs not be told again.
    pub fn is_told_by_another(&self, error: &Error) -> bool {
        let shared = matches!(error, Error::OtherRank { .. } | Error::Unlike { .. });
        self.repeated || (shared && !self.is_first())
    }

    /// Waits until all are through with what they keep of a run, however it ended: some launchers end all processes
    /// with the first one. After this, nothing can be exchanged.
    pub fn part(&mut self) {
        if self.count() > 1 && !self.lost {
            // Who is gone now has nothing more to do here.
            let _ = self.exchange(|collective| collective.barrier());
        }
        (self.over, self.lost) = (true, true);
    }

    /// Leaves the first rank the time to say why a run has failed, and to end: a launcher that ends all processes with
    /// the first one that fails would take its words. For a process that has nothing more to do, right before it ends.
    pub fn let_the_first_tell(&self) {
        const AT_MOST: Duration = Duration::from_secs(5);
        if !self.is_first() {
            std::thread::sleep(AT_MOST);
        }
    }

    /// Checks that all ranks bring the same facts, such as the configuration.
    ///
    /// # Errors
    /// [`Error::Unlike`], the same one on every rank, naming the first rank that differs from rank 0, and in what.
    pub fn alike(&mut self, facts: &Value) -> Result<()> {
        let texts = self.gather(facts.to_string().as_bytes())?;
        let read = |text: &Vec<u8>| serde_json::from_slice::<Value>(text).unwrap_or_default();
        let first = texts.first().map(read).unwrap_or_default();
        for (rank, text) in texts.iter().enumerate().skip(1) {
            let mut what = Vec::new();
            crate::differences::of(&first, &read(text), &mut |name, first, other| {
                what.push(format!("{name}: rank 0 has {first}, rank {rank} has {other}"));
            });
            if !what.is_empty() {
                self.over = true;
                return Err(Error::Unlike { rank, what: what.join("\n  ") });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Threads;
    use super::*;

    fn of_each<T: Send>(count: usize, work: impl Fn(Ranks) -> T + Sync) -> Vec<T> {
        std::thread::scope(|scope| {
            let work = &work;
            let group = Threads::group(count, Duration::from_secs(60)).into_iter();
            let ranks = group.map(|rank| Ranks::new(Box::new(rank)));
            let running: Vec<_> = ranks.map(|ranks| scope.spawn(move || work(ranks))).collect();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    fn failure(what: &str) -> Error {
        Error::Config(what.to_owned())
    }

    #[test]
    fn every_position_belongs_to_one_rank_and_a_rank_without_any_is_refused() {
        let shares = of_each(4, |ranks| ranks.share(10).unwrap());
        assert_eq!(shares.into_iter().flatten().collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
        let refused = of_each(3, |ranks| ranks.share(2).unwrap_err().to_string());
        assert_eq!(refused[2], "configuration: run.batch is 2, expected at least 1 for each of 3 ranks");
    }

    #[test]
    fn an_error_on_one_rank_is_an_error_on_all_that_names_it() {
        let ends = of_each(3, |mut ranks| {
            assert_eq!(ranks.agree(Ok([false; 2])).unwrap(), [false; 2]);
            assert_eq!(ranks.agree(Ok([false, ranks.rank() == 2])).unwrap(), [false, true], "one says yes");
            let mine = if ranks.rank() == 1 { Err(failure("shard 7 is cut off")) } else { Ok(1) };
            let outcome = ranks.all(mine);
            ranks.tell(outcome).unwrap_err().to_string()
        });
        assert_eq!(ends[1], "configuration: shard 7 is cut off");
        for other in [0, 2] {
            assert_eq!(ends[other], "rank 1 of 3 ranks: configuration: shard 7 is cut off");
        }
    }

    #[test]
    fn what_fails_between_two_questions_is_told_at_the_next() {
        let ends = of_each(2, |mut ranks| {
            let outcome =
                if ranks.rank() == 0 { Err(failure("the disk is full")) } else { ranks.all(Ok(())) };
            ranks.tell(outcome).unwrap_err().to_string()
        });
        assert_eq!(
            ends,
            ["configuration: the disk is full", "rank 0 of 2 ranks: configuration: the disk is full"]
        );
    }

    #[test]
    fn an_error_that_all_have_is_told_by_the_first() {
        let told = of_each(3, |mut ranks| {
            let error = ranks.tell::<()>(Err(failure("run.steps is 0"))).unwrap_err();
            ranks.is_told_by_another(&error)
        });
        assert_eq!(told, [false, true, true]);
    }

    #[test]
    fn another_configuration_on_a_rank_is_named_with_both_sides() {
        let facts = |lr: f64| serde_json::json!({ "optimizer": { "lr": lr, "eps": 1e-8 }, "seed": 3 });
        let ends = of_each(3, |mut ranks| {
            ranks.alike(&facts(1e-3)).unwrap();
            ranks.alike(&facts(if ranks.rank() == 2 { 2e-3 } else { 1e-3 })).unwrap_err().to_string()
        });
        for end in ends {
            let expected =
                "rank 2 has not what rank 0 has:\n  optimizer.lr: rank 0 has 0.001, rank 2 has 0.002";
            assert!(end.starts_with(expected), "{end}");
        }
    }

    #[test]
    fn ranks_on_the_same_cores_share_them() {
        let available = std::thread::available_parallelism().unwrap().get();
        let threads = of_each(2, |mut ranks| ranks.threads().unwrap());
        assert_eq!(threads, [(available / 2).max(1); 2]);
    }
}
