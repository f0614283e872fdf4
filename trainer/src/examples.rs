//! Where clean latents come from.

use crate::error::{Error, Result};
use avdit_core::{Latents, Layout};
use avdit_media::shard::{DATASET_FILE, Dataset};
use std::path::PathBuf;

/// Clean latents to train on.
pub trait Examples: Sync {
    /// The grid of every example.
    fn layout(&self) -> &Layout;

    /// Number of examples.
    fn count(&self) -> usize;

    /// What tells this set from any other: a run that is resumed must find the same.
    ///
    /// # Errors
    /// If a file that it depends on cannot be read.
    fn identity(&self) -> Result<String>;

    /// The codec of the latents, which a run keeps beside its checkpoints.
    fn codec(&self) -> Option<PathBuf>;

    /// What an example is called, for messages.
    fn name(&self, index: usize) -> String {
        format!("example {index}")
    }

    /// Looks at everything that examples are read from, as far as that costs little: before a run's folder is touched.
    ///
    /// # Errors
    /// A media error naming the file.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// One example, as a batch of one, without NaN.
    ///
    /// # Shapes
    /// `(1, F, C, H, W)` and `(1, A, Ca)`.
    /// # Errors
    /// A media error naming shard and clip.
    fn read(&self, index: usize) -> Result<Latents>;
}

impl<T: Examples + ?Sized> Examples for &T {
    fn layout(&self) -> &Layout {
        (**self).layout()
    }

    fn count(&self) -> usize {
        (**self).count()
    }

    fn identity(&self) -> Result<String> {
        (**self).identity()
    }

    fn codec(&self) -> Option<PathBuf> {
        (**self).codec()
    }

    fn name(&self, index: usize) -> String {
        (**self).name(index)
    }

    fn check(&self) -> Result<()> {
        (**self).check()
    }

    fn read(&self, index: usize) -> Result<Latents> {
        (**self).read(index)
    }
}

impl Examples for Dataset {
    fn layout(&self) -> &Layout {
        self.layout()
    }

    fn count(&self) -> usize {
        self.len()
    }

    fn identity(&self) -> Result<String> {
        let folder = self.codec_path().parent().map(PathBuf::from).unwrap_or_default();
        let path = folder.join(DATASET_FILE);
        if !path.is_file() {
            return Err(Error::content(&path, "is gone"));
        }
        Ok(avdit_media::codec::file_sha256(&path)?)
    }

    fn codec(&self) -> Option<PathBuf> {
        Some(self.codec_path())
    }

    fn check(&self) -> Result<()> {
        Ok(self.check_shards()?)
    }

    fn name(&self, index: usize) -> String {
        // Only a message asks, so a shard that cannot be read any more is no error here.
        self.origin(index).map_or_else(|_| format!("example {index}"), |origin| origin.name)
    }

    fn read(&self, index: usize) -> Result<Latents> {
        Ok(self.latents(index)?)
    }
}
