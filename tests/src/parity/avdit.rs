//! AVDiT: forward and taps on every engine, gradients and ten optimizer steps on Candle.

use super::golden::Golden;
use super::measure::{frobenius, of_largest, single};
use super::network::{engine_name, targets};
use super::row::Row;
use anyhow::{Context, Result, anyhow};
use avdit_core::{DenoiserSpec, Latents, Levels, ScheduleKind, Target};
use avdit_export::{
    ExportOptions, Lowering, ModelConfig, ModelFolder, Provenance, export_denoiser, weight_map,
};
use avdit_nets::AvditConfig;
use avdit_runtime::{EngineKind, EngineOptions};
use avdit_trainer::objective::{NoisyBatch, Objective, Weighting};
use avdit_trainer::optimizer::{Decay, LearningRate, OptimizerConfig};
use avdit_trainer::{GradientOptions, Model, Optimizer, Weights};
use candle_core::Device;
use serde::Deserialize;

/// Relative error of ᾱ in f64: a product of up to a thousand factors in another order; 5e-16 was measured.
const SAME_TABLE: f64 = 1e-11;

/// One row per quantity and engine.
pub(super) fn cases(golden: &Golden, engines: &[EngineKind]) -> Vec<Row> {
    let case = match Case::read(golden) {
        Ok(case) => case,
        Err(error) => return vec![Row::failed(&golden.name, "specification", "-", &error)],
    };
    let mut rows = Vec::new();
    if let Ok(expected) = golden.tensor("schedule.alpha_bar") {
        match case.spec.noise_schedule() {
            Ok(schedule) => {
                let error = super::relative(schedule.alpha_bars(), &expected.data);
                rows.push(case.row("schedule.alpha_bar", "core f64", error, SAME_TABLE));
            }
            Err(error) => {
                rows.push(Row::failed(&golden.name, "schedule.alpha_bar", "core f64", &error.into()))
            }
        }
    }
    for &kind in engines {
        if kind == EngineKind::Candle {
            match case.candle() {
                Ok(found) => rows.extend(found),
                Err(error) => rows.push(Row::failed(&golden.name, "all", kind.name(), &error)),
            }
            continue;
        }
        for &target in targets(kind) {
            let engine = engine_name(kind, target);
            match case.engine(&engine, kind, target) {
                Ok(found) => rows.extend(found),
                Err(error) => rows.push(Row::failed(&golden.name, "all", &engine, &error)),
            }
        }
    }
    rows
}

/// `train` of the specification.
#[derive(Deserialize)]
struct Training {
    lr: f64,
    betas: (f64, f64),
    eps: f64,
    weight_decay: f64,
    clip_global_norm: f64,
    ema_decay: f64,
    steps: usize,
}

/// The tolerances that the specification states.
struct Tolerances {
    forward: f64,
    gradient: f64,
    loss: f64,
}

struct Case<'a> {
    golden: &'a Golden,
    config: AvditConfig,
    spec: DenoiserSpec,
    training: Training,
    weights: Weights,
    batch: usize,
    tolerances: Tolerances,
}

impl<'a> Case<'a> {
    fn read(golden: &'a Golden) -> Result<Self> {
        let field = |key: &str| golden.json[key].clone();
        let config: AvditConfig = serde_json::from_value(field("config")).context("config")?;
        let schedule: ScheduleKind = serde_json::from_value(field("schedule")).context("schedule")?;
        let timesteps = field("timesteps").as_u64().context("timesteps")? as usize;
        let spec = DenoiserSpec { layout: config.layout(), target: Target::Epsilon, schedule, timesteps };
        let with_prefix = |prefix: &str| {
            let found =
                golden.tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?, tensor)));
            found.map(|(name, tensor)| (name.to_owned(), single(tensor))).collect::<Weights>()
        };
        Ok(Self {
            golden,
            spec,
            training: serde_json::from_value(field("train")).context("train")?,
            weights: with_prefix("param."),
            batch: field("batch").as_u64().context("batch")? as usize,
            tolerances: Tolerances {
                forward: golden.tolerance("max abs diff <= ")?,
                gradient: golden.tolerance("relative Frobenius error <= ")?,
                loss: golden.tolerance("losses: ")?,
            },
            config,
        })
    }

    fn latents(&self, kind: &str) -> Result<Latents> {
        let read = |modality: &str| {
            Ok::<_, anyhow::Error>(single(self.golden.tensor(&format!("io.{modality}_{kind}"))?))
        };
        Ok(Latents { batch: self.batch, video: read("video")?, audio: read("audio")? })
    }

    fn levels(&self) -> Result<Levels> {
        let levels = self.latents("timesteps")?;
        Ok(Levels { video: levels.video, audio: levels.audio })
    }

    fn row(&self, case: impl Into<String>, engine: &str, error: f64, tolerance: f64) -> Row {
        Row::new(&self.golden.name, case, engine, error, tolerance)
    }

    /// Outputs and taps of an engine.
    fn forward_rows(&self, engine: &str, outputs: &Latents, taps: &[(String, Vec<f32>)]) -> Result<Vec<Row>> {
        let tolerance = self.tolerances.forward;
        let mut rows = Vec::new();
        for (name, got) in [("io.video_out", &outputs.video), ("io.audio_out", &outputs.audio)] {
            rows.push(self.row(name, engine, of_largest(got, self.golden.tensor(name)?), tolerance));
        }
        for name in self.golden.tensors.keys().filter_map(|name| name.strip_prefix("tap.")) {
            let (_, got) =
                taps.iter().find(|(tap, _)| tap == name).ok_or_else(|| anyhow!("no tap {name}"))?;
            let expected = self.golden.tensor(&format!("tap.{name}"))?;
            rows.push(self.row(format!("tap.{name}"), engine, of_largest(got, expected), tolerance));
        }
        Ok(rows)
    }

    /// The exported graph, with its taps, on an engine.
    fn engine(&self, name: &str, kind: EngineKind, target: Lowering) -> Result<Vec<Row>> {
        let weights = weight_map(self.config.parameters(), self.weights.clone())?;
        let options = ExportOptions { taps: true, lowering: target, ..ExportOptions::default() };
        let model = export_denoiser(&self.config, &weights, &self.spec, &options)?;
        let folder = tempfile::tempdir()?;
        let target = folder.path().join("model");
        let staged = ModelFolder::begin(&target)?;
        let config = ModelConfig::of(self.config.clone(), self.spec.clone(), Provenance::default());
        let record = staged.write(&model, &config, &options)?;
        staged.commit(&record)?;
        let options = EngineOptions { threads: 1, batch: self.batch, ..EngineOptions::default() };
        let mut engine = avdit_runtime::open(&target, kind, &options)?;
        let mut out = Latents::zeros(&self.spec.layout, self.batch);
        let extras = engine.predict_with_extras(&self.latents("noisy")?, &self.levels()?, &mut out)?;
        let taps: Vec<_> = extras.into_iter().map(|extra| (extra.name, extra.values)).collect();
        self.forward_rows(name, &out, &taps)
    }

    /// Forward, gradients and training.
    fn candle(&self) -> Result<Vec<Row>> {
        const ENGINE: &str = "candle";
        let model = Model::with_weights(&self.config, &self.weights, &Device::Cpu)?;
        let objective = Objective::new(&self.spec, Weighting::Uniform)?;
        let batch = objective.noise(&self.latents("clean")?, &self.latents("noise")?, self.levels()?)?;
        let mut rows = Vec::new();
        for (name, got) in [("io.video_noisy", &batch.noisy.video), ("io.audio_noisy", &batch.noisy.audio)] {
            let error = of_largest(got, self.golden.tensor(name)?);
            rows.push(self.row(name, ENGINE, error, self.tolerances.forward));
        }
        let ((video, audio), taps) = model.forward_with_taps(&self.latents("noisy")?, &self.levels()?)?;
        let values = |x: &candle_core::Tensor| -> Result<Vec<f32>> { Ok(x.flatten_all()?.to_vec1()?) };
        let outputs = Latents { batch: self.batch, video: values(&video)?, audio: values(&audio)? };
        let taps = taps.iter().map(|(name, x)| Ok((name.clone(), values(x)?))).collect::<Result<Vec<_>>>()?;
        rows.extend(self.forward_rows(ENGINE, &outputs, &taps)?);

        let chunks = GradientOptions::chunks_of(self.batch);
        for (engine, how, decomposed) in [
            (ENGINE, chunks, false),
            ("candle, checkpointed", GradientOptions { checkpoint: true, ..chunks }, false),
            ("candle, decomposed", chunks, true),
        ] {
            // Each begins at the same weights.
            let model = Model::with_weights(&self.config, &self.weights, &Device::Cpu)?;
            let model = if decomposed { model.decomposed() } else { model };
            let (_, grads) = model.gradients(&batch, &how)?;
            model.check_gradients(&grads)?;
            for ((name, _), grad) in model.parameters().zip(grads.iter()) {
                let grad = grad.with_context(|| format!("no gradient of {name}"))?;
                let name = format!("grad.{name}");
                let error = frobenius(&values(grad)?, self.golden.tensor(&name)?);
                rows.push(self.row(name, engine, error, self.tolerances.gradient));
            }
            rows.extend(self.training_rows(engine, &model, &how, &batch)?);
        }
        Ok(rows)
    }

    /// Losses, gradient norms, parameters and moving average over the steps.
    fn training_rows(
        &self,
        engine: &str,
        model: &Model,
        how: &GradientOptions,
        batch: &NoisyBatch,
    ) -> Result<Vec<Row>> {
        let t = &self.training;
        let config = OptimizerConfig {
            lr: t.lr,
            betas: t.betas,
            eps: t.eps,
            weight_decay: t.weight_decay,
            clip_norm: t.clip_global_norm,
            ema_decay: t.ema_decay.into(),
            decay: Decay::All,
            warmup_steps: 0,
            schedule: LearningRate::Constant,
            final_lr_ratio: 1.0,
        };
        let mut optimizer = Optimizer::new(&config, model)?;
        let (mut losses, mut norms) = (Vec::new(), Vec::new());
        for step in 0..t.steps {
            let (loss, grads) = model.gradients(batch, how)?;
            losses.push(loss.total());
            norms.push(optimizer.step(model, &grads, config.lr_at(step, t.steps))?);
        }
        let tolerance = self.tolerances.loss;
        let expected = |name: &str| Ok::<_, anyhow::Error>(&self.golden.tensor(name)?.data);
        let mut rows = vec![
            self.row(
                "train.loss0",
                engine,
                super::relative(&losses[..1], expected("train.loss0")?),
                tolerance,
            ),
            self.row("train.losses", engine, super::relative(&losses, expected("train.losses")?), tolerance),
            self.row(
                "train.grad_norms",
                engine,
                super::relative(&norms, expected("train.grad_norms")?),
                tolerance,
            ),
        ];
        for (prefix, weights) in [("after.", model.weights()?), ("ema.", optimizer.ema()?)] {
            for (name, expected) in &self.golden.tensors {
                let Some(parameter) = name.strip_prefix(prefix) else { continue };
                let got = weights.get(parameter).with_context(|| format!("no parameter {parameter}"))?;
                rows.push(self.row(name, engine, frobenius(got, expected), self.tolerances.gradient));
            }
        }
        Ok(rows)
    }
}
