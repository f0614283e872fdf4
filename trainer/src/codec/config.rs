//! How a codec is trained.

use crate::error::{Error, Result};
use crate::optimizer::OptimizerConfig;
use avdit_core::Modality;
use avdit_media::ClipGrid;
use avdit_nets::AutoencoderConfig;
use serde::{Deserialize, Serialize};

/// The training of one modality.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModalityTraining {
    /// Steps.
    pub steps: usize,
    /// Clips in a step.
    pub batch: usize,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
}

/// The training of a codec. Everything that a run depends on, but its clips.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodecTraining {
    /// Pixels and samples of a clip.
    pub grid: ClipGrid,
    /// The networks.
    pub autoencoder: AutoencoderConfig,
    /// Decides parameters, order and noise.
    pub seed: u64,
    /// Weight of the divergence of the latents from a unit normal. With a posterior of fixed width that is half the mean
    /// square of the latents and a constant.
    pub kl_weight: f64,
    /// Width of the posterior: what is added to the latents, normal, before they are decoded in training.
    pub posterior_std: f64,
    /// Sight.
    pub video: ModalityTraining,
    /// Sound.
    pub audio: ModalityTraining,
}

impl CodecTraining {
    /// Minutes on two cores, for the demo's clips.
    ///
    /// # Errors
    /// [`Error::Autoencoder`] if the grid does not suit the networks.
    pub fn small(grid: ClipGrid, seed: u64) -> Result<Self> {
        let size = [grid.height, grid.width];
        let autoencoder = AutoencoderConfig::small(grid.frames, size, grid.fps.value(), grid.sample_rate_hz)?;
        let training = |steps, lr| ModalityTraining {
            steps,
            batch: 4,
            optimizer: OptimizerConfig {
                lr,
                // Nothing in these networks is normalised: a longer memory of small gradients lets a step be too long.
                betas: (0.9, 0.99),
                weight_decay: 0.0,
                warmup_steps: 100,
                final_lr_ratio: 0.02,
                ema_decay: 0.995.into(),
                ..OptimizerConfig::default()
            },
        };
        Ok(Self {
            grid,
            autoencoder,
            seed,
            kl_weight: 1e-4,
            posterior_std: 0.02,
            video: training(1200, 1e-3),
            audio: training(1200, 2e-3),
        })
    }

    /// The training of a modality.
    pub fn of(&self, modality: Modality) -> &ModalityTraining {
        match modality {
            Modality::Video => &self.video,
            Modality::Audio => &self.audio,
        }
    }

    /// Checks everything that a run relies on.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting and both sides of the disagreement; [`Error::Autoencoder`].
    pub fn check(&self) -> Result<()> {
        self.autoencoder.check()?;
        let (grid, v, a) = (&self.grid, &self.autoencoder.video, &self.autoencoder.audio);
        let (on_grid, own) = ([grid.frames, grid.height, grid.width], [v.frames, v.height, v.width]);
        if on_grid != own {
            return Err(Error::Config(format!(
                "the grid has {on_grid:?} frames, rows and columns, the autoencoder {own:?}"
            )));
        }
        if grid.samples() != a.samples {
            let (grid, own) = (grid.samples(), a.samples);
            return Err(Error::Config(format!("the grid has {grid} samples, the autoencoder {own}")));
        }
        for modality in Modality::ALL {
            let ModalityTraining { steps, batch, optimizer } = self.of(modality);
            if !(optimizer.lr > 0.0 && optimizer.lr <= 1.0) {
                let name = modality.name();
                return Err(Error::Config(format!(
                    "{name}.optimizer.lr is {}, expected above 0, at most 1",
                    optimizer.lr
                )));
            }
            if *steps == 0 || *batch == 0 {
                let name = modality.name();
                return Err(Error::Config(format!(
                    "{name}.steps {steps} and {name}.batch {batch} must be above 0"
                )));
            }
        }
        for (name, value) in [("kl_weight", self.kl_weight), ("posterior_std", self.posterior_std)] {
            if !(0.0..=10.0).contains(&value) {
                return Err(Error::Config(format!("{name} is {value}, expected 0 to 10")));
            }
        }
        Ok(())
    }
}
