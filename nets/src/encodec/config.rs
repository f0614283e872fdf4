//! What an EnCodec is made of, as its public `config.json` says it.

use crate::network::{NetworkError, check_sizes};
use serde::{Deserialize, Serialize};

pub(super) const NAME: &str = "encodec";

/// How convolutions are normed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConvNorm {
    /// In their weights, which an import folds.
    WeightNorm,
    /// Behind each of them, over all channels and all of the time.
    TimeGroupNorm,
}

/// What convolutions see beyond the ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PadMode {
    /// The signal, mirrored.
    Reflect,
    /// Zeros.
    Constant,
}

/// EnCodec in transformers' form. What the file leaves out has that library's default; what it says beside these
/// fields does not concern the networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EncodecConfig {
    /// Samples per second.
    pub sampling_rate: usize,
    /// Channels of the sound.
    pub audio_channels: usize,
    /// Channels of the latents.
    pub hidden_size: usize,
    /// Channels of the first convolution; each stage doubles them.
    pub num_filters: usize,
    /// Residual units of each stage.
    pub num_residual_layers: usize,
    /// The rate of each stage of the decoder; the encoder has them in the reverse order.
    pub upsampling_ratios: Vec<usize>,
    /// How convolutions are normed.
    pub norm_type: ConvNorm,
    /// Taps of the first convolution.
    pub kernel_size: usize,
    /// Taps of the last one.
    pub last_kernel_size: usize,
    /// Taps of the first convolution of a residual unit.
    pub residual_kernel_size: usize,
    /// By how much the dilation grows from one residual unit to the next.
    pub dilation_growth_rate: usize,
    /// Whether a latent knows nothing of what comes after it.
    pub use_causal_conv: bool,
    /// What convolutions see beyond the ends.
    pub pad_mode: PadMode,
    /// How many times fewer channels the middle of a residual unit has.
    pub compress: usize,
    /// Layers of LSTM cells.
    pub num_lstm_layers: usize,
    /// The share of a transposed convolution's excess that is cut off behind, where it is causal.
    pub trim_right_ratio: f64,
    /// Entries of a codebook.
    pub codebook_size: usize,
    /// Whether the shortcut of a residual unit is a convolution.
    pub use_conv_shortcut: bool,
}

impl Default for EncodecConfig {
    fn default() -> Self {
        Self {
            sampling_rate: 24_000,
            audio_channels: 1,
            hidden_size: 128,
            num_filters: 32,
            num_residual_layers: 1,
            upsampling_ratios: vec![8, 5, 4, 2],
            norm_type: ConvNorm::WeightNorm,
            kernel_size: 7,
            last_kernel_size: 7,
            residual_kernel_size: 3,
            dilation_growth_rate: 2,
            use_causal_conv: true,
            pad_mode: PadMode::Reflect,
            compress: 2,
            num_lstm_layers: 2,
            trim_right_ratio: 1.0,
            codebook_size: 1024,
            use_conv_shortcut: true,
        }
    }
}

impl EncodecConfig {
    /// Samples from one latent to the next.
    pub fn hop(&self) -> usize {
        self.upsampling_ratios.iter().product()
    }

    /// Codebooks that code at a bandwidth in kilobits per second, at least one.
    pub fn codebooks(&self, bandwidth: f64) -> usize {
        let latents_per_second = self.sampling_rate.div_ceil(self.hop()) as f64;
        let bits_per_second = (self.codebook_size as f64).log2() * latents_per_second;
        ((bandwidth * 1000.0 / bits_per_second).floor() as usize).max(1)
    }

    /// Checks everything that the networks rely on.
    ///
    /// # Errors
    /// [`NetworkError`] naming the field and both sides of the disagreement.
    pub fn check(&self) -> Result<(), NetworkError> {
        let ratios = self.upsampling_ratios.iter().map(|&ratio| ("one of upsampling_ratios", ratio));
        let sizes = [
            ("sampling_rate", self.sampling_rate),
            ("audio_channels", self.audio_channels),
            ("hidden_size", self.hidden_size),
            ("num_filters", self.num_filters),
            ("kernel_size", self.kernel_size),
            ("last_kernel_size", self.last_kernel_size),
            ("residual_kernel_size", self.residual_kernel_size),
            ("dilation_growth_rate", self.dilation_growth_rate),
            ("compress", self.compress),
            ("codebook_size", self.codebook_size),
        ];
        check_sizes(NAME, sizes.into_iter().chain(ratios))?;
        let fail = |what: String| Err(NetworkError::new(NAME, what));
        let stages = self.upsampling_ratios.len();
        if !(1..=16).contains(&stages) {
            return fail(format!("{stages} upsampling_ratios, expected 1 to 16"));
        }
        let hop = self.upsampling_ratios.iter().try_fold(1usize, |hop, &ratio| hop.checked_mul(ratio));
        if hop.is_none_or(|hop| hop > 1 << 24) {
            return fail(format!(
                "upsampling_ratios {:?}: their product is too large",
                self.upsampling_ratios
            ));
        }
        if !self.num_filters.is_multiple_of(self.compress) {
            let (filters, compress) = (self.num_filters, self.compress);
            return fail(format!("compress is {compress}, which does not divide the {filters} num_filters"));
        }
        if self.num_lstm_layers > 16 || self.num_residual_layers > 16 {
            let (cells, units) = (self.num_lstm_layers, self.num_residual_layers);
            return fail(format!("{cells} LSTM layers and {units} residual layers, expected at most 16"));
        }
        let units = u32::try_from(self.num_residual_layers).unwrap_or(u32::MAX);
        if self.dilation_growth_rate.checked_pow(units).is_none_or(|dilation| dilation > 1 << 24) {
            return fail(format!("dilation_growth_rate {} is too large", self.dilation_growth_rate));
        }
        if !(0.0..=1.0).contains(&self.trim_right_ratio) {
            return fail(format!("trim_right_ratio is {}, expected 0 to 1", self.trim_right_ratio));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codebooks_follow_from_the_bandwidth() {
        let config = EncodecConfig::default();
        config.check().unwrap();
        assert_eq!((config.hop(), config.codebooks(1.5), config.codebooks(24.0)), (320, 2, 32));
        assert_eq!(config.codebooks(0.1), 1);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_both_sides() {
        type Break = fn(&mut EncodecConfig);
        let cases: [(Break, &str); 5] = [
            (|c| c.hidden_size = 0, "hidden_size is 0"),
            (|c| c.upsampling_ratios.clear(), "0 upsampling_ratios"),
            (|c| c.upsampling_ratios = vec![1 << 20; 4], "too large"),
            (|c| c.compress = 3, "3, which does not divide the 32"),
            (|c| c.trim_right_ratio = 2.0, "2, expected 0 to 1"),
        ];
        for (change, expected) in cases {
            let mut config = EncodecConfig::default();
            change(&mut config);
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
