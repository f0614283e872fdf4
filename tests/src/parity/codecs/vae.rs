//! The autoencoder of pictures or of mel spectrograms: moments, their distribution, the way back, what lies between.

use super::{Case, run, single};
use crate::parity::Row;
use anyhow::{Context, Result};
use avdit_nets::vae::{Decoder, Encoder, Gaussian, VaeConfig};
use avdit_runtime::EngineKind;

pub(super) fn cases(case: &Case<'_>, engines: &[EngineKind]) -> Result<Vec<Row>> {
    let config: VaeConfig = case.config()?;
    let weights = case.tensors("sd.");
    let (x, z) = (case.tensor("in.x")?, case.tensor("in.noise_and_z")?);
    let size = |shape: &[usize]| match shape {
        [_, _, height, width] => Some([*height, *width]),
        _ => None,
    };
    let encoder = Encoder::new(&config, size(&x.shape).context("in.x is no batch of pictures")?)?;
    let decoder = Decoder::new(&config, size(&z.shape).context("in.noise_and_z is no batch of latents")?)?;
    let parameters = config.parameters();
    let mut rows = vec![case.names(&parameters, &weights), case.count("parameters", parameters.iter())?];

    for (engine, made) in run::on_all(&encoder, &weights, x, engines) {
        let parts = made.and_then(|moments| distribution(&moments, &single(&z.data), x.shape[0]));
        let names = ["out.mean", "out.logvar", "out.std", "out.sample_from_posterior"];
        match parts {
            Ok(parts) => {
                for (name, got) in names.into_iter().zip(parts) {
                    rows.push(case.row(name, &engine, &got, &case.tensor(name)?.data));
                }
            }
            Err(error) => rows.push(Row::failed(&case.golden.name, "encoder", &engine, &error)),
        }
    }
    let decoded = run::on_all(&decoder, &weights, z, engines);
    rows.extend(case.rows("out.decoded_from_z", &decoded, &case.tensor("out.decoded_from_z")?.data));
    if engines.contains(&EngineKind::Candle) {
        rows.extend(case.taps("enc.", &run::on_candle(&encoder, &weights, x, false)?.1));
        rows.extend(case.taps("dec.", &run::on_candle(&decoder, &weights, z, false)?.1));
    }
    Ok(rows)
}

/// Mean, logarithm of the variance, deviation and sample of every example.
fn distribution(moments: &[f32], noise: &[f32], batch: usize) -> Result<[Vec<f32>; 4]> {
    let mut all: [Vec<f32>; 4] = Default::default();
    let (len, drawn) = (moments.len() / batch, noise.len() / batch);
    for (moments, noise) in moments.chunks_exact(len).zip(noise.chunks_exact(drawn)) {
        let gaussian = Gaussian::of(moments)?;
        let (std, sample) = (gaussian.std(), gaussian.sample(noise)?);
        let parts = [gaussian.mean, gaussian.logvar, std, sample];
        all.iter_mut().zip(parts).for_each(|(all, part)| all.extend(part));
    }
    Ok(all)
}
