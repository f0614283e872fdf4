//! Batches of latents and of levels, as flat buffers in the layout's order.

use crate::error::{Error, Result};
use crate::layout::{Layout, Modality};

/// Latents of a batch of clips: `video` `(B, F, C, H, W)`, `audio` `(B, A, Ca)`, both row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Latents<T = f32> {
    /// B.
    pub batch: usize,
    /// Sight.
    pub video: Vec<T>,
    /// Sound.
    pub audio: Vec<T>,
}

impl<T: Copy + Default> Latents<T> {
    /// All zeros.
    pub fn zeros(layout: &Layout, batch: usize) -> Self {
        let buffer = |modality| vec![T::default(); batch * layout.len(modality)];
        Self { batch, video: buffer(Modality::Video), audio: buffer(Modality::Audio) }
    }

    /// The buffer of a modality.
    pub fn get(&self, modality: Modality) -> &[T] {
        match modality {
            Modality::Video => &self.video,
            Modality::Audio => &self.audio,
        }
    }

    /// The buffer of a modality, to write.
    pub fn get_mut(&mut self, modality: Modality) -> &mut [T] {
        match modality {
            Modality::Video => &mut self.video,
            Modality::Audio => &mut self.audio,
        }
    }

    /// Clip `item` alone, as a batch of one.
    pub fn item(&self, layout: &Layout, item: usize) -> Self {
        self.slice(layout, item..item + 1)
    }

    /// Some consecutive clips.
    pub fn slice(&self, layout: &Layout, items: std::ops::Range<usize>) -> Self {
        let part = |modality| {
            let len = layout.len(modality);
            self.get(modality)[items.start * len..items.end * len].to_vec()
        };
        Self { batch: items.len(), video: part(Modality::Video), audio: part(Modality::Audio) }
    }

    /// Several batches after one another. Without parts, an empty batch.
    pub fn concat(parts: &[Self]) -> Self {
        let mut whole = Self { batch: 0, video: Vec::new(), audio: Vec::new() };
        for part in parts {
            whole.batch += part.batch;
            whole.video.extend_from_slice(&part.video);
            whole.audio.extend_from_slice(&part.audio);
        }
        whole
    }

    /// Checks both buffers against a layout.
    ///
    /// # Errors
    /// [`Error::Count`] naming the modality whose length is wrong.
    pub fn check(&self, layout: &Layout) -> Result<()> {
        for modality in Modality::ALL {
            let what = format!("elements of the {} latents (batch {})", modality.name(), self.batch);
            Error::check_count(&what, self.batch * layout.len(modality), self.get(modality).len())?;
        }
        Ok(())
    }
}

impl Latents<f32> {
    /// Checks that every value is a finite number.
    ///
    /// # Errors
    /// [`Error::NotFinite`] naming `what`, the modality and the first offending index.
    pub fn check_finite(&self, what: &str) -> Result<()> {
        for modality in Modality::ALL {
            if let Some(index) = self.get(modality).iter().position(|x| !x.is_finite()) {
                return Err(Error::NotFinite {
                    what: format!("{what}, {}", modality.name()),
                    index,
                    got: self.get(modality)[index].into(),
                });
            }
        }
        Ok(())
    }
}

/// The noise level of every cell of a batch: two `(B, N)` matrices, 0 = clean … T = pure noise.
#[derive(Clone, Debug, PartialEq)]
pub struct Levels {
    /// Levels of the video cells.
    pub video: Vec<f32>,
    /// Levels of the audio cells.
    pub audio: Vec<f32>,
}

impl Levels {
    /// The same levels, `(2N,)` in cell order, for every clip of a batch.
    pub fn repeat(cells: &[f32], batch: usize) -> Self {
        let (video, audio) = cells.split_at(cells.len() / 2);
        Self { video: video.repeat(batch), audio: audio.repeat(batch) }
    }

    /// From one row of 2N levels per clip.
    pub fn from_rows(rows: &[Vec<f32>]) -> Self {
        let half = |range: fn(&Vec<f32>) -> &[f32]| rows.iter().flat_map(|row| range(row).to_vec()).collect();
        Self { video: half(|row| &row[..row.len() / 2]), audio: half(|row| &row[row.len() / 2..]) }
    }

    /// The levels of a modality.
    pub fn get(&self, modality: Modality) -> &[f32] {
        match modality {
            Modality::Video => &self.video,
            Modality::Audio => &self.audio,
        }
    }

    /// Checks both matrices against a layout.
    ///
    /// # Errors
    /// [`Error::Count`] if a modality does not have `batch * N` levels.
    pub fn check(&self, layout: &Layout, batch: usize) -> Result<()> {
        for modality in Modality::ALL {
            let what = format!("levels of the {} cells (batch {batch})", modality.name());
            Error::check_count(&what, batch * layout.segments(), self.get(modality).len())?;
        }
        Ok(())
    }
}
