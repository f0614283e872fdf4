//! Batches in the order of the steps, prepared ahead on other threads or when they are asked for.

use crate::batches::{Batch, Batches};
use crate::error::{Error, Result};
use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;

/// Batches that are ready at most, on all threads together.
const MOST: usize = 1024;

/// Hands out the batches of some steps. As every batch is a function of its step, neither the number of threads nor
/// how far they are ahead can change what is in it.
pub struct Feed<'scope> {
    batches: &'scope Batches<'scope>,
    first: usize,
    next: usize,
    /// One for each loader, which prepares every so many'th step.
    ahead: Vec<Receiver<Result<Batch>>>,
}

impl<'scope> Feed<'scope> {
    /// For `steps`, with at most about `prefetch` batches ready on `loaders` threads, and never more than 1024; 0 ready
    /// ones for none. The threads end when the feed is dropped.
    ///
    /// # Errors
    /// [`Error::Config`] if the system gives no thread.
    pub fn start(
        scope: &'scope Scope<'scope, '_>,
        batches: &'scope Batches<'scope>,
        steps: Range<usize>,
        prefetch: usize,
        loaders: usize,
    ) -> Result<Self> {
        // A channel takes the memory of all its places at once.
        let prefetch = prefetch.min(steps.len()).min(MOST);
        let loaders = loaders.min(prefetch);
        let first = steps.start;
        let mut ahead = Vec::new();
        for loader in 0..loaders {
            // What a loader has in hand while its channel is full counts as well.
            let (send, receive) = sync_channel(prefetch.div_ceil(loaders) - 1);
            let own = steps.clone().skip(loader).step_by(loaders);
            let work = move || {
                for step in own {
                    let batch = batches.prepare(step);
                    let failed = batch.is_err();
                    if send.send(batch).is_err() || failed {
                        break;
                    }
                }
            };
            let name = format!("loader {loader}");
            std::thread::Builder::new()
                .name(name)
                .spawn_scoped(scope, work)
                .map_err(|error| Error::Config(format!("run.loaders: no thread for a loader: {error}")))?;
            ahead.push(receive);
        }
        Ok(Self { batches, first, next: first, ahead })
    }

    /// The batch of the next step.
    ///
    /// # Errors
    /// As [`Batches::prepare`].
    #[allow(clippy::should_implement_trait, reason = "it has no end: who asks knows the last step")]
    pub fn next(&mut self) -> Result<Batch> {
        let step = self.next;
        self.next += 1;
        let loaders = self.ahead.len().max(1);
        match self.ahead.get((step - self.first) % loaders) {
            // A loader that is gone without an error has panicked, or the step is past the last one it was asked for.
            Some(ready) => ready.recv().unwrap_or_else(|_| self.batches.prepare(step)),
            None => self.batches.prepare(step),
        }
    }
}
