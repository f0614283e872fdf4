//! The vocoder, with and without the norm of its bands, and with the norm of its weights.

use super::{Case, run};
use crate::parity::{Row, Tensor};
use anyhow::{Context, Result};
use avdit_nets::hifigan::{Generator, HifiganConfig, parameters};
use avdit_nets::weight_norm::fold_weight_norm;
use avdit_runtime::EngineKind;

pub(super) fn cases(case: &Case<'_>, engines: &[EngineKind]) -> Result<Vec<Row>> {
    let config: HifiganConfig = case.config()?;
    let weights = case.tensors("sd.");
    let mel = case.tensor("in.mel")?;
    let frames = *mel.shape.get(1).context("in.mel is no batch of spectrograms")?;
    let list = parameters(&config);
    // The mean and scale of the bands are stored, not learned.
    let learned = list.iter().filter(|parameter| !["mean", "scale"].contains(&parameter.name.as_str()));
    let mut rows = vec![case.names(&list, &weights), case.count("parameters_without_weight_norm", learned)?];

    let generator =
        |normalize_before| Generator::new(&HifiganConfig { normalize_before, ..config.clone() }, frames);
    for (name, normalize) in [("out.normalize_before_false", false), ("out.normalize_before_true", true)] {
        let made = run::on_all(&generator(normalize)?, &weights, mel, engines);
        rows.extend(case.rows(name, &made, &case.tensor(name)?.data));
    }
    let first = Tensor { shape: [&[1], &mel.shape[1..]].concat(), data: mel.part(0)?.to_vec() };
    let made = run::on_all(&generator(false)?, &weights, &first, engines);
    rows.extend(case.rows("out.unbatched_first", &made, &case.tensor("out.unbatched_first")?.data));

    let folded = fold_weight_norm(case.tensors("wn."))?;
    rows.push(case.names(&list, &folded));
    for (name, (_, got)) in &folded {
        rows.push(case.row(format!("wn.{name}"), "nets", got, &case.tensor(&format!("sd.{name}"))?.data));
    }
    if engines.contains(&EngineKind::Candle) {
        let name = "out.weight_norm_model";
        let (got, _) = run::on_candle(&generator(false)?, &folded, mel, false)?;
        rows.push(case.row(name, "candle", &got, &case.tensor(name)?.data));
        rows.extend(case.taps("", &run::on_candle(&generator(true)?, &weights, mel, false)?.1));
    }
    Ok(rows)
}
