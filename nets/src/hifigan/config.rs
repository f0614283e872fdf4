//! What a vocoder is made of, as its public `config.json` says it.

use crate::network::{NetworkError, check_sizes};
use crate::window::Window;
use serde::{Deserialize, Serialize};

pub(super) const NAME: &str = "hifigan";

/// The generator of HiFi-GAN in transformers' form, or in that which it was published with. What the file leaves out has that library's default; what it says
/// beside these fields does not concern the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HifiganConfig {
    /// Mel bands.
    #[serde(alias = "num_mels")]
    pub model_in_dim: usize,
    /// Samples per second.
    pub sampling_rate: usize,
    /// Channels before the first stage; each stage halves them.
    pub upsample_initial_channel: usize,
    /// How many times longer each stage makes the signal.
    pub upsample_rates: Vec<usize>,
    /// Taps of the transposed convolution of each stage.
    pub upsample_kernel_sizes: Vec<usize>,
    /// Taps of the residual blocks that run side by side in every stage.
    pub resblock_kernel_sizes: Vec<usize>,
    /// Dilations of the units of each of these blocks.
    pub resblock_dilation_sizes: Vec<Vec<usize>>,
    /// Slope of what is negative, but before the last convolution.
    pub leaky_relu_slope: f64,
    /// Whether the spectrogram is normed by the stored mean and scale of each band first.
    pub normalize_before: bool,
}

impl Default for HifiganConfig {
    fn default() -> Self {
        Self {
            model_in_dim: 80,
            sampling_rate: 16_000,
            upsample_initial_channel: 512,
            upsample_rates: vec![4; 4],
            upsample_kernel_sizes: vec![8; 4],
            resblock_kernel_sizes: vec![3, 7, 11],
            resblock_dilation_sizes: vec![vec![1, 3, 5]; 3],
            leaky_relu_slope: 0.1,
            normalize_before: true,
        }
    }
}

impl HifiganConfig {
    /// AudioLDM's vocoder: 55 million parameters, 160 samples at 16 kHz for a frame of 64 bands.
    pub fn audioldm() -> Self {
        Self {
            model_in_dim: 64,
            upsample_initial_channel: 1024,
            upsample_rates: vec![5, 4, 2, 2, 2],
            upsample_kernel_sizes: vec![16, 16, 8, 4, 4],
            normalize_before: false,
            ..Self::default()
        }
    }

    /// Channels behind a stage, counted from 0.
    pub(super) fn width(&self, stage: usize) -> usize {
        self.upsample_initial_channel >> (stage + 1)
    }

    /// How the window of the transposed convolution of a stage lies.
    pub(super) fn window(&self, stage: usize) -> Window {
        let (rate, taps) = (self.upsample_rates[stage], self.upsample_kernel_sizes[stage]);
        let cut = (taps - rate) / 2;
        Window::new(1).stride(&[rate]).padding(&[(cut, cut)])
    }

    /// Samples that so many frames become. An odd difference of taps and rate leaves one place more than the rate says,
    /// so that AudioLDM's vocoder makes 160·frames + 32.
    ///
    /// # Errors
    /// [`NetworkError`] if there are no frames, or more than a machine can hold.
    pub fn samples(&self, frames: usize) -> Result<usize, NetworkError> {
        let stages = 0..self.upsample_rates.len();
        let made = stages.into_iter().try_fold(frames, |places, stage| {
            let taps = self.upsample_kernel_sizes[stage];
            self.window(stage).transposed_output(&[taps], &[places])?.first().copied()
        });
        made.ok_or_else(|| NetworkError::new(NAME, format!("{frames} frames cannot be made into sound")))
    }

    /// Checks everything that the network relies on.
    ///
    /// # Errors
    /// [`NetworkError`] naming the field and both sides of the disagreement.
    pub fn check(&self) -> Result<(), NetworkError> {
        let named = |name: &'static str, list: &[usize]| -> Vec<_> {
            list.iter().map(|&size| (name, size)).collect()
        };
        check_sizes(
            NAME,
            [
                vec![("model_in_dim", self.model_in_dim)],
                vec![("upsample_initial_channel", self.upsample_initial_channel)],
                named("one of upsample_rates", &self.upsample_rates),
                named("one of upsample_kernel_sizes", &self.upsample_kernel_sizes),
                named("one of resblock_kernel_sizes", &self.resblock_kernel_sizes),
                named("one of resblock_dilation_sizes", &self.resblock_dilation_sizes.concat()),
            ]
            .concat(),
        )?;
        let fail = |what: String| Err(NetworkError::new(NAME, what));
        let (stages, kernels) = (self.upsample_rates.len(), self.upsample_kernel_sizes.len());
        if !(1..=16).contains(&stages) || stages != kernels {
            return fail(format!(
                "{stages} upsample_rates and {kernels} upsample_kernel_sizes, expected as many"
            ));
        }
        if let Some(i) = (0..stages).find(|&i| self.upsample_kernel_sizes[i] < self.upsample_rates[i]) {
            let (taps, rate) = (self.upsample_kernel_sizes[i], self.upsample_rates[i]);
            return fail(format!(
                "stage {i} has {taps} taps for a rate of {rate}, expected at least as many"
            ));
        }
        if !self.upsample_initial_channel.is_multiple_of(1 << stages) {
            let width = self.upsample_initial_channel;
            return fail(format!(
                "upsample_initial_channel is {width}, expected a multiple of {}",
                1 << stages
            ));
        }
        let (blocks, dilations) = (self.resblock_kernel_sizes.len(), self.resblock_dilation_sizes.len());
        if blocks == 0 || blocks != dilations {
            return fail(format!(
                "{blocks} resblock_kernel_sizes and {dilations} resblock_dilation_sizes, expected as many"
            ));
        }
        if let Some(taps) = self.resblock_kernel_sizes.iter().find(|taps| taps.is_multiple_of(2)) {
            return fail(format!("a residual block of {taps} taps, expected an odd number"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hifigan::parameters;
    use crate::parameters::Parameter;

    #[test]
    fn the_vocoder_of_audioldm_has_its_sizes() {
        let config = HifiganConfig::audioldm();
        config.check().unwrap();
        assert_eq!(config.samples(1024).unwrap(), 160 * 1024 + 32);
        let count: usize = parameters(&config).iter().map(Parameter::len).sum();
        assert_eq!(count, 55_265_025, "mean and scale of 64 bands among them");
        assert!(config.samples(0).is_err());
    }

    #[test]
    fn what_does_not_fit_is_refused_with_both_sides() {
        type Break = fn(&mut HifiganConfig);
        let cases: [(Break, &str); 5] = [
            (|c| c.upsample_rates[1] = 0, "one of upsample_rates is 0"),
            (|c| c.upsample_kernel_sizes.truncate(2), "4 upsample_rates and 2 upsample_kernel_sizes"),
            (|c| c.upsample_kernel_sizes[2] = 3, "stage 2 has 3 taps for a rate of 4"),
            (|c| c.upsample_initial_channel = 24, "24, expected a multiple of 16"),
            (|c| c.resblock_kernel_sizes[0] = 4, "4 taps, expected an odd number"),
        ];
        for (change, expected) in cases {
            let mut config = HifiganConfig::default();
            change(&mut config);
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
