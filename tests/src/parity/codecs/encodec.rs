//! EnCodec: latents of sound and sound of latents, and the quantizer between them.

use super::{Case, run, single};
use crate::parity::{Row, Tensor};
use anyhow::{Context, Result};
use avdit_nets::Network;
use avdit_nets::encodec::{Decoder, EncodecConfig, Encoder, Quantizer};
use avdit_nets::weight_norm::{Tensors, fold_weight_norm};
use avdit_runtime::EngineKind;

/// Two entries are equally near if their distances differ by no more than rounding.
const TIE: f64 = 1e-5;

pub(super) fn cases(case: &Case<'_>, engines: &[EngineKind]) -> Result<Vec<Row>> {
    let config: EncodecConfig = case.config()?;
    let weights = fold_weight_norm(case.tensors("sd."))?;
    let (wave, latents) = (case.tensor("in.wave")?, case.tensor("in.latents")?);
    let encoder = Encoder::new(&config, *wave.shape.get(2).context("in.wave is no batch of sounds")?)?;
    let decoder = Decoder::new(&config, *latents.shape.get(2).context("in.latents is no batch of latents")?)?;
    let books = (0..).take_while(|i| weights.contains_key(&book_name(*i))).count();
    let list = [encoder.parameters(), decoder.parameters(), Quantizer::parameters(&config, books)].concat();
    let mut rows = vec![case.names(&list, &weights)];

    let encoded = run::on_all(&encoder, &weights, wave, engines);
    rows.extend(case.rows("out.latents", &encoded, &case.tensor("out.latents")?.data));
    let decoded = run::on_all(&decoder, &weights, latents, engines);
    rows.extend(case.rows(
        "out.wave_from_in_latents",
        &decoded,
        &case.tensor("out.wave_from_in_latents")?.data,
    ));
    if engines.contains(&EngineKind::Candle) {
        let (made, _) = run::on_candle(&encoder, &weights, wave, false)?;
        let shape = [&wave.shape[..1], &encoder.outputs()[0].1].concat();
        let made = Tensor { shape, data: made.into_iter().map(f64::from).collect() };
        let decoder = Decoder::new(&config, made.shape[2])?;
        let (sound, _) = run::on_candle(&decoder, &weights, &made, false)?;
        let name = "out.wave_roundtrip";
        rows.push(case.row(name, "candle", &sound, &case.tensor(name)?.data));
    }
    rows.extend(quantized(case, &config, &weights)?);
    Ok(rows)
}

fn book_name(i: usize) -> String {
    format!("quantizer.layers.{i}.codebook.embed")
}

/// Codes of the file's latents, and the latents of its codes.
fn quantized(case: &Case<'_>, config: &EncodecConfig, weights: &Tensors) -> Result<Vec<Row>> {
    let bandwidth = case.golden.json["bandwidth"].as_f64().context("bandwidth")?;
    let (latents, codes) = (case.tensor("out.latents")?, case.tensor("out.codes")?);
    let [books, batch, frames] = codes.shape[..] else { anyhow::bail!("out.codes has not three dimensions") };
    let own = config.codebooks(bandwidth) as f64;
    let mut rows = vec![Row::new(&case.golden.name, "codebooks", "nets", (own - books as f64).abs(), 0.0)];
    let book = |i| -> Result<Vec<f32>> {
        Ok(weights.get(&book_name(i)).with_context(|| format!("no codebook {i}"))?.1.clone())
    };
    let entries: Vec<Vec<f32>> = (0..books).map(book).collect::<Result<_>>()?;
    let quantizer = Quantizer::new(config, entries.clone())?;
    let (mut wrong, mut sums) = (0, Vec::new());
    for example in 0..batch {
        let row = |book| -> Result<Vec<usize>> {
            let codes = &codes.part(book)?[example * frames..(example + 1) * frames];
            Ok(codes.iter().map(|&code| code as usize).collect())
        };
        let told: Vec<Vec<usize>> = (0..books).map(row).collect::<Result<_>>()?;
        let x = single(latents.part(example)?);
        let own = quantizer.encode(&x)?;
        for frame in 0..frames {
            let Some(first) = (0..books).find(|&book| own[book][frame] != told[book][frame]) else {
                continue;
            };
            let mut rest: Vec<f64> = x.iter().skip(frame).step_by(frames).map(|&x| x.into()).collect();
            let entry = |book: usize, code: usize| entries[book].chunks_exact(config.hidden_size).nth(code);
            for (book, codes) in own.iter().enumerate().take(first) {
                let entry = entry(book, codes[frame]).context("a code without an entry")?;
                rest.iter_mut().zip(entry).for_each(|(x, entry)| *x -= f64::from(*entry));
            }
            let distance = |code: usize| -> Option<f64> {
                Some(entry(first, code)?.iter().zip(&rest).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum())
            };
            let [a, b] = [own[first][frame], told[first][frame]].map(distance);
            let tie = a.zip(b).is_some_and(|(a, b)| (a - b).abs() <= TIE * a.max(b));
            wrong += usize::from(!tie);
        }
        sums.extend(quantizer.decode(&told)?);
    }
    rows.push(Row::new(&case.golden.name, "out.codes, ties apart", "nets", wrong as f64, 0.0));
    rows.push(case.row("out.dequantized", "nets", &sums, &case.tensor("out.dequantized")?.data));
    Ok(rows)
}
