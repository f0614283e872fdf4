//! The distribution of a picture's latents.

use super::config::NAME;
use crate::network::NetworkError;

/// The logarithm of a variance is kept within these.
const LOG_VARIANCE: [f32; 2] = [-30.0, 20.0];

/// Independent normal distributions of the latents of one picture (Kingma & Welling 2013, arXiv:1312.6114).
#[derive(Clone, Debug, PartialEq)]
pub struct Gaussian {
    /// (C, h, w).
    pub mean: Vec<f32>,
    /// Logarithm of the variance, (C, h, w).
    pub logvar: Vec<f32>,
}

impl Gaussian {
    /// From the moments (2C, h, w) of one picture.
    ///
    /// # Errors
    /// [`NetworkError`] if the moments are not twice as many as something.
    pub fn of(moments: &[f32]) -> Result<Self, NetworkError> {
        if !moments.len().is_multiple_of(2) {
            return Err(NetworkError::new(
                NAME,
                format!("{} moments, expected an even number", moments.len()),
            ));
        }
        let (mean, logvar) = moments.split_at(moments.len() / 2);
        let logvar = logvar.iter().map(|x| x.clamp(LOG_VARIANCE[0], LOG_VARIANCE[1])).collect();
        Ok(Self { mean: mean.to_vec(), logvar })
    }

    /// Standard deviations, (C, h, w).
    pub fn std(&self) -> Vec<f32> {
        self.logvar.iter().map(|x| (0.5 * x).exp()).collect()
    }

    /// `mean + std · noise`, with noise (C, h, w) of a normal distribution.
    ///
    /// # Errors
    /// [`NetworkError`] if there is more or less noise than latents.
    pub fn sample(&self, noise: &[f32]) -> Result<Vec<f32>, NetworkError> {
        if noise.len() != self.mean.len() {
            let what = format!("{} values of noise, expected {}", noise.len(), self.mean.len());
            return Err(NetworkError::new(NAME, what));
        }
        let values = self.mean.iter().zip(self.std()).zip(noise);
        Ok(values.map(|((mean, std), noise)| mean + std * noise).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_as_far_from_the_mean_as_the_noise_says() {
        let gaussian = Gaussian::of(&[1.0, 2.0, 0.0, 2.0 * 3f32.ln()]).unwrap();
        let sample = gaussian.sample(&[0.5, -1.0]).unwrap();
        assert!((sample[0] - 1.5).abs() < 1e-6 && (sample[1] + 1.0).abs() < 1e-6, "{sample:?}");
        assert_eq!(Gaussian::of(&[0.0, -99.0]).unwrap().logvar, [-30.0]);
        assert!(Gaussian::of(&[0.0; 3]).is_err() && gaussian.sample(&[0.0]).is_err());
    }
}
