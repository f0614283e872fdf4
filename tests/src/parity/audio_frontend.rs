//! Kind `audio_frontend`: mel bands, and the loudness of sound in them.
//!
//! `items` has cases by name, each with parameters and tensors `CASE.…`, and `chain`: a sound from the file to the picture
//! that an autoencoder takes, heard with the parameters of the other case.

use super::{Golden, Row};
use anyhow::{Context, Result};
use avdit_media::mel::{MelConfig, MelFrontEnd};

const ENGINE: &str = "media f64";

/// What single precision leaves of values around 1.
const SINGLE: f64 = 1e-6;

/// The smallest loudness that has a logarithm.
const SILENCE: f64 = 1e-5;

pub(super) fn cases(golden: &Golden) -> Vec<Row> {
    match rows(golden) {
        Ok(rows) => rows,
        Err(error) => vec![Row::failed(&golden.name, "specification", ENGINE, &error)],
    }
}

fn rows(golden: &Golden) -> Result<Vec<Row>> {
    let (mut rows, mut heard_with) = (Vec::new(), None);
    let items = golden.object("items")?;
    for (name, item) in items.iter().filter(|(_, item)| item["parameters"].is_object()) {
        let config: MelConfig = serde_json::from_value(item["parameters"].clone()).context("parameters")?;
        let front_end = MelFrontEnd::new(&config)?;
        rows.extend(heard(golden, name, &config, &front_end)?);
        heard_with.get_or_insert((config, front_end));
    }
    for (name, item) in items.iter().filter(|(_, item)| item["target_length"].is_u64()) {
        let frames = item["target_length"].as_u64().context("target_length")? as usize;
        let (config, front_end) = heard_with.as_ref().context("no case with parameters")?;
        let raw: Vec<f32> = golden.tensor(&format!("{name}.raw"))?.data.iter().map(|&x| x as f32).collect();
        let expected = golden.tensor(&format!("{name}.normalized"))?;
        let error = most(&front_end.normalise(&raw, frames), &expected.data);
        rows.push(row(golden, format!("{name}.normalized"), error, SINGLE));
        let expected = golden.tensor(&format!("{name}.fbank"))?;
        let shape = [frames, config.n_mel_channels];
        anyhow::ensure!(expected.shape == shape, "{name}.fbank is {:?}, expected {shape:?}", expected.shape);
        let picture = front_end.picture(&raw, frames)?;
        rows.extend(loudness(golden, &format!("{name}.fbank"), &picture, &expected.data)?);
    }
    Ok(rows)
}

fn heard(golden: &Golden, name: &str, config: &MelConfig, front_end: &MelFrontEnd) -> Result<Vec<Row>> {
    let of = |what: &str| golden.tensor(&format!("{name}.{what}"));
    let mut rows = Vec::new();
    let mut add = |what: &str, got: &[f64], expected: &[f64], tolerance: f64| {
        rows.push(row(golden, format!("{name}.{what}"), most(got, expected), tolerance));
    };
    let basis = golden.tolerance("mel_basis: \"abs ")?;
    add("mel_basis", front_end.bands(), &of("mel_basis")?.data, basis);
    let sums: Vec<f64> =
        front_end.bands().chunks_exact(config.bins()).map(|band| band.iter().sum()).collect();
    add("mel_basis_f64_rowsum", &sums, &of("mel_basis_f64_rowsum")?.data, basis);
    let wave = &of("wave")?.data;
    let mel = front_end.log_mel(wave)?;
    let first = of("magnitude_first_frames")?;
    let shown = *first.shape.get(1).context("magnitude_first_frames")?;
    let magnitudes = front_end.magnitudes(wave)?;
    let largest = first.data.iter().chain(&of("energy")?.data).fold(1.0f64, |most, x| most.max(x.abs()));
    // The reference gives back the exponential of their logarithm, which it takes of nothing smaller.
    let magnitudes: Vec<f64> = magnitudes[..shown * config.bins()].iter().map(|x| x.max(SILENCE)).collect();
    let magnitudes = across(&magnitudes, config.bins());
    add("magnitude_first_frames", &magnitudes, &first.data, 10.0 * SINGLE * largest);
    add("energy", &mel.energy, &of("energy")?.data, 10.0 * SINGLE * largest);
    let values = across(&mel.values, config.n_mel_channels);
    add("log_mel_f64", &values, &of("log_mel_f64")?.data, golden.tolerance("log_mel_f64: abs ")?);
    rows.extend(loudness(golden, &format!("{name}.log_mel"), &values, &of("log_mel")?.data)?);
    Ok(rows)
}

/// (rows, columns) as (columns, rows).
fn across(values: &[f64], columns: usize) -> Vec<f64> {
    (0..columns).flat_map(|column| values.iter().skip(column).step_by(columns).copied()).collect()
}

/// Loudness in single precision: near silence its logarithm is less certain.
fn loudness(golden: &Golden, name: &str, got: &[f64], expected: &[f64]) -> Result<[Row; 2]> {
    let (loud, quiet) = (golden.tolerance("log_mel: \"abs ")?, golden.tolerance("else ")?);
    let border = golden.tolerance("value > ")?;
    let error = |is_loud: bool| {
        if got.len() != expected.len() {
            return f64::NAN;
        }
        let pairs = got.iter().zip(expected).filter(|(_, b)| (**b > border) == is_loud);
        let (a, b): (Vec<f64>, Vec<f64>) = pairs.unzip();
        most(&a, &b)
    };
    Ok([
        row(golden, format!("{name}, above {border}"), error(true), loud),
        row(golden, format!("{name}, to {border}"), error(false), quiet),
    ])
}

fn row(golden: &Golden, case: String, error: f64, tolerance: f64) -> Row {
    Row::new(&golden.name, case, ENGINE, error, tolerance)
}

/// The largest |a − b|; NaN if the lengths differ or anything is NaN.
fn most(got: &[f64], expected: &[f64]) -> f64 {
    if got.len() != expected.len() {
        return f64::NAN;
    }
    let errors = got.iter().zip(expected).map(|(a, b)| (a - b).abs());
    errors.fold(0.0, |worst: f64, e| if e.is_nan() || worst.is_nan() { f64::NAN } else { worst.max(e) })
}
