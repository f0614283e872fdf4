//! The same done to every file, on all cores.

use super::{Progress, Stage, interrupted};
use crate::error::Result;
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// What `make` makes of each file, in their order; `cancelled` is asked ten times a second.
///
/// # Errors
/// That of the first file, in their order, that failed before the others were stopped; [`Error::Interrupted`](crate::Error::Interrupted).
pub(super) fn each_file<T: Send>(
    files: &[PathBuf],
    make: impl Fn(&Path) -> Result<T> + Sync,
    progress: &mut dyn FnMut(Progress),
    cancelled: &dyn Fn() -> bool,
) -> Result<Vec<T>> {
    let mut made: Vec<Option<Result<T>>> = (0..files.len()).map(|_| None).collect();
    let (stop, (sender, receiver)) = (AtomicBool::new(false), channel());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            files.par_iter().enumerate().for_each_with(sender, |sender, (i, path)| {
                if !stop.load(Ordering::Relaxed) {
                    // Nobody listens any more only if the scope is being left.
                    let _ = sender.send((i, make(path)));
                }
            });
        });
        let mut done = 0;
        loop {
            match receiver.recv_timeout(Duration::from_millis(100)) {
                Ok((i, outcome)) => {
                    stop.fetch_or(outcome.is_err(), Ordering::Relaxed);
                    made[i] = Some(outcome);
                    done += 1;
                    progress(Progress { stage: Stage::Decode, done, total: files.len() });
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            stop.fetch_or(cancelled(), Ordering::Relaxed);
        }
    });
    if let Some(at) = made.iter().position(|outcome| matches!(outcome, Some(Err(_))))
        && let Some(Err(error)) = made.swap_remove(at)
    {
        return Err(error);
    }
    let made: Option<Result<Vec<_>>> = made.into_iter().collect();
    made.filter(|_| !cancelled()).ok_or_else(interrupted)?
}
