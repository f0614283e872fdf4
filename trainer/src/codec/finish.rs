//! From trained networks to a codec: latents of unit scale, by changing the layers on either side of them.

use super::config::CodecTraining;
use super::file::CodecFile;
use super::model::Autoencoder;
use super::run::values;
use crate::error::{Error, Result};
use crate::model::Weights;
use avdit_core::Modality;
use avdit_media::codec::ClipSource;
use rayon::prelude::*;

/// Clips whose latents are measured, at most.
const MOST_CLIPS: usize = 64;
/// A channel that says nothing keeps its scale.
const LEAST_STD: f64 = 1e-4;

/// The codec of trained parameters (both modalities'): each channel of its latents has mean 0 and variance 1 over the
/// clips. The last layer of the encoders and the first of the decoders, which see one place at a time, take up scale and
/// mean, so that decoded clips are what they were.
///
/// # Errors
/// As [`Autoencoder::with_weights`]; [`Error::Config`] if there are no clips; those of the source.
pub fn finish(config: &CodecTraining, mut weights: Weights, source: &dyn ClipSource) -> Result<CodecFile> {
    if source.is_empty() {
        return Err(Error::Config("there are no clips to measure the latents of".into()));
    }
    for modality in Modality::ALL {
        let model = Autoencoder::with_weights(&config.autoencoder, modality, &weights)?;
        let statistics = statistics(&model, modality, source)?;
        rescale(&mut weights, modality, &statistics)?;
    }
    Ok(CodecFile {
        grid: config.grid,
        autoencoder: config.autoencoder.clone(),
        weights,
        training: config.clone(),
    })
}

/// Mean and standard deviation of each channel.
fn statistics(model: &Autoencoder, modality: Modality, source: &dyn ClipSource) -> Result<Vec<(f64, f64)>> {
    let count = source.len().min(MOST_CLIPS);
    let measure = |i: usize| -> Result<Vec<(f64, f64, f64)>> {
        let clip = source.clip(i * source.len() / count)?;
        let x = model.tensor(model.parts().0, values(&clip, modality)?)?;
        // (B, F, C, H, W) or (B, A, C): channels third in any case, or last.
        let z = model.encode(&x)?.detach();
        let dim = if modality == Modality::Video { 2 } else { z.rank() - 1 };
        let z = z.transpose(0, dim)?.contiguous()?;
        let channels = z.dim(0)?;
        let rows = z.reshape((channels, ()))?.to_vec2::<f32>()?;
        let sums = |row: &Vec<f32>| {
            let squares: f64 = row.iter().map(|&x| f64::from(x).powi(2)).sum();
            (row.len() as f64, row.iter().map(|&x| f64::from(x)).sum(), squares)
        };
        Ok(rows.iter().map(sums).collect())
    };
    let parts: Vec<_> = (0..count).into_par_iter().map(measure).collect::<Result<_>>()?;
    let of_channel = |channel: usize| {
        let total = parts.iter().map(|part| part[channel]);
        let (n, sum, squares) = total.fold((0.0, 0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2));
        let mean = sum / n;
        let std = (squares / n - mean * mean).max(0.0).sqrt();
        (mean, if std < LEAST_STD { 1.0 } else { std })
    };
    Ok((0..parts[0].len()).map(of_channel).collect())
}

/// Puts `(z − mean) / std` behind the encoder and `z · std + mean` before the decoder.
fn rescale(weights: &mut Weights, modality: Modality, statistics: &[(f64, f64)]) -> Result<()> {
    let channels = statistics.len();
    let weight = layer(weights, modality, "encoder.conv_out.weight")?;
    let per_channel = weight.len() / channels;
    for (row, (_, std)) in weight.chunks_exact_mut(per_channel).zip(statistics) {
        row.iter_mut().for_each(|w| *w = (f64::from(*w) / std) as f32);
    }
    let bias = layer(weights, modality, "encoder.conv_out.bias")?;
    bias.iter_mut().zip(statistics).for_each(|(b, (mean, std))| *b = ((f64::from(*b) - mean) / std) as f32);

    let weight = layer(weights, modality, "decoder.conv_in.weight")?; // (wide, channels, 1…)
    let mut shifts = Vec::new();
    for row in weight.chunks_exact_mut(channels) {
        shifts.push(row.iter().zip(statistics).map(|(&w, (mean, _))| f64::from(w) * mean).sum::<f64>());
        row.iter_mut().zip(statistics).for_each(|(w, (_, std))| *w = (f64::from(*w) * std) as f32);
    }
    let bias = layer(weights, modality, "decoder.conv_in.bias")?;
    bias.iter_mut().zip(shifts).for_each(|(b, shift)| *b = (f64::from(*b) + shift) as f32);
    Ok(())
}

fn layer<'w>(weights: &'w mut Weights, modality: Modality, name: &str) -> Result<&'w mut Vec<f32>> {
    let name = format!("{}.{name}", modality.name());
    let missing = || Error::Parameter { name: name.clone(), what: "missing".into() };
    weights.get_mut(&name).ok_or_else(missing)
}
