//! A thread that owns an engine, so that whoever waits for it can give up.
//!
//! Neither MPI nor NCCL lets go of a call whose partner is gone. So all calls are made on a thread of their own; when
//! one takes too long, the thread is left to itself and the run ends in order: with a message, and with a checkpoint.

use crate::error::{Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

type Job<S> = Box<dyn FnOnce(&mut S, &Waiting) + Send>;

/// Which ranks the thread waits for.
#[derive(Default)]
pub(super) struct Waiting(Mutex<Vec<usize>>);

impl Waiting {
    /// Notes it.
    pub(super) fn set(&self, ranks: Vec<usize>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = ranks;
    }

    fn get(&self) -> Vec<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The thread. Its engine, of type `S`, is made, used and dropped there.
pub(super) struct Worker<S> {
    engine: &'static str,
    jobs: Option<Sender<Job<S>>>,
    thread: Option<JoinHandle<()>>,
    waiting: Arc<Waiting>,
    ranks: usize,
    timeout: Duration,
}

impl<S: 'static> Worker<S> {
    /// Starts the engine.
    ///
    /// # Errors
    /// [`Error::Collective`] with the reason if it cannot be started or takes longer than `timeout`.
    pub(super) fn start(
        engine: &'static str,
        ranks: usize,
        timeout: Duration,
        make: impl FnOnce() -> std::result::Result<S, String> + Send + 'static,
    ) -> Result<Self> {
        let (jobs, queue) = channel::<Job<S>>();
        let (ready, started) = channel();
        let waiting = Arc::new(Waiting::default());
        let shown = waiting.clone();
        let work = move || {
            let mut state =
                match catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|panic| Err(said(&*panic))) {
                    Ok(state) => state,
                    // Who started it has gone already if this cannot be sent.
                    Err(reason) => return drop(ready.send(Err(reason))),
                };
            if ready.send(Ok(())).is_err() {
                return;
            }
            for job in queue {
                job(&mut state, &shown);
            }
        };
        let failed = |reason: String| Error::Collective(format!("{engine} cannot be started: {reason}"));
        let thread = std::thread::Builder::new().name(engine.to_owned()).spawn(work);
        let thread = thread.map_err(|error| failed(error.to_string()))?;
        match started.recv_timeout(timeout) {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => return Err(failed(reason)),
            Err(RecvTimeoutError::Timeout) => {
                return Err(failed(format!("it took more than {:.0} s", timeout.as_secs_f64())));
            }
            Err(RecvTimeoutError::Disconnected) => return Err(failed("its thread ended".into())),
        }
        Ok(Self { engine, jobs: Some(jobs), thread: Some(thread), waiting, ranks, timeout })
    }

    /// Does a job there and waits for it.
    ///
    /// # Errors
    /// [`Error::LostRanks`] if it takes longer than the time; the worker is of no use after that.
    pub(super) fn run<R: Send + 'static>(
        &mut self,
        job: impl FnOnce(&mut S, &Waiting) -> R + Send + 'static,
    ) -> Result<R> {
        let (answer, result): (Sender<R>, Receiver<R>) = channel();
        let boxed: Job<S> = Box::new(move |state, waiting| {
            // Nobody waits for the answer of a job that took too long.
            let _ = answer.send(job(state, waiting));
        });
        let gone = || Error::Collective(format!("{} has stopped working", self.engine));
        self.jobs.as_ref().ok_or_else(gone)?.send(boxed).map_err(|_| gone())?;
        let error = match result.recv_timeout(self.timeout) {
            Ok(result) => return Ok(result),
            Err(RecvTimeoutError::Disconnected) => gone(),
            Err(RecvTimeoutError::Timeout) => Error::LostRanks {
                ranks: self.waiting.get(),
                of: self.ranks,
                how: format!("no word for {:.0} s", self.timeout.as_secs_f64()),
            },
        };
        self.abandon();
        Err(error)
    }

    /// Leaves the thread to itself: it may never come back from its call.
    pub(super) fn abandon(&mut self) {
        self.jobs = None;
        self.thread = None;
    }
}

impl<S> Drop for Worker<S> {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // It has said what was wrong when it failed.
            let _ = thread.join();
        }
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_in_order_and_a_job_that_does_not_end_is_given_up() {
        let mut worker = Worker::start("test", 3, Duration::from_millis(200), || Ok(Vec::new())).unwrap();
        for i in 0..3 {
            assert_eq!(
                worker
                    .run(move |list, _| {
                        list.push(i);
                        list.len()
                    })
                    .unwrap(),
                i + 1
            );
        }
        let error = worker.run(|_, waiting| {
            waiting.set(vec![2]);
            std::thread::sleep(Duration::from_secs(3600));
        });
        assert!(error.unwrap_err().to_string().starts_with("lost rank 2 of 3 ranks: no word for 0 s"));
        assert!(worker.run(|_, _| ()).unwrap_err().to_string().contains("stopped working"));
    }

    #[test]
    fn an_engine_that_cannot_be_started_says_why() {
        let make = || -> std::result::Result<(), String> { panic!("no library") };
        let Err(error) = Worker::start("test", 1, Duration::from_secs(60), make) else {
            panic!("it started")
        };
        assert_eq!(error.to_string(), "test cannot be started: no library");
    }
}
