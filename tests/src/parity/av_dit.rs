//! Kind `av_dit`: outputs and taps on every engine, with LoRA as factors and merged; gradients of what is trained on Candle.

use super::golden::Golden;
use super::measure::{frobenius, of_largest, of_norm, single};
use super::network::{Case, Made};
use super::row::{Row, relative};
use anyhow::{Context, Result, ensure};
use avdit_export::{WeightMap, weight_map};
use avdit_nets::av_dit::{AvDitConfig, audio_code, frame_code};
use avdit_nets::lora::LoraError;
use avdit_runtime::EngineKind;
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;

/// Counts are exact.
const EXACT: f64 = 0.0;

/// Every quantity on every engine.
pub(super) fn cases(golden: &Golden, engines: &[EngineKind]) -> Vec<Row> {
    match File::read(golden) {
        Ok(file) => file.rows(engines),
        Err(error) => vec![Row::failed(&golden.name, "specification", "-", &error)],
    }
}

struct File<'a> {
    golden: &'a Golden,
    config: AvDitConfig,
    weights: WeightMap,
    batch: usize,
    forward: f64,
    gradient: f64,
}

impl<'a> File<'a> {
    fn read(golden: &'a Golden) -> Result<Self> {
        let config: AvDitConfig = serde_json::from_value(golden.json["config"].clone()).context("config")?;
        config.check()?;
        let values: BTreeMap<_, _> = golden
            .tensors
            .iter()
            .filter_map(|(name, tensor)| Some((name.strip_prefix("param.")?.to_owned(), single(tensor))))
            .collect();
        let unknown = values.keys().find(|name| !config.parameters().iter().any(|p| p.name == **name));
        ensure!(unknown.is_none(), "the network has no parameter {unknown:?}");
        Ok(Self {
            golden,
            weights: weight_map(config.parameters(), values)?,
            config,
            batch: golden.json["batch"].as_u64().context("batch")? as usize,
            forward: golden.tolerance("max abs diff <= ")?,
            gradient: golden.tolerance("relative Frobenius error <= ")?,
        })
    }

    fn case<'c>(&'c self, network: &'c AvDitConfig, weights: &'c WeightMap) -> Result<Case<'c, AvDitConfig>> {
        let names = ["io.video_noisy", "io.audio_noisy", "io.video_timesteps", "io.audio_timesteps"];
        let inputs = names.map(|name| Ok(single(self.golden.tensor(name)?)));
        let inputs = inputs.into_iter().collect::<Result<_>>()?;
        Ok(Case { network, weights, batch: self.batch, inputs })
    }

    fn row(&self, case: impl Into<String>, engine: &str, error: f64, tolerance: f64) -> Row {
        Row::new(&self.golden.name, case, engine, error, tolerance)
    }

    fn rows(&self, engines: &[EngineKind]) -> Vec<Row> {
        let mut rows = Vec::new();
        let mut add = |what: &str, found: Result<Vec<Row>>| match found {
            Ok(found) => rows.extend(found),
            Err(error) => rows.push(Row::failed(&self.golden.name, what, "-", &error)),
        };
        add("parameters", self.counts());
        add("positions", self.positions());
        add("outputs", self.outputs(engines));
        add("merged", self.merged(engines));
        if engines.contains(&EngineKind::Candle) {
            add("gradients", self.gradients());
        }
        rows
    }

    fn counts(&self) -> Result<Vec<Row>> {
        let row = |what: &str, got: usize| -> Result<Row> {
            let expected = self.golden.json[what].as_u64().with_context(|| what.to_owned())?;
            Ok(self.row(what, "nets", relative(&[got as f64], &[expected as f64]), EXACT))
        };
        Ok(vec![
            row("parameters", self.config.parameter_count())?,
            row("trained", self.config.trained_count())?,
        ])
    }

    fn positions(&self) -> Result<Vec<Row>> {
        let codes =
            [("io.position_time", frame_code(&self.config)), ("io.position_audio", audio_code(&self.config))];
        let row = |(name, got): (&str, Vec<f32>)| {
            let error = of_largest(&got, self.golden.tensor(name)?);
            Ok(self.row(name, "nets", error, self.forward))
        };
        codes.into_iter().map(row).collect()
    }

    /// Outputs and taps of an engine.
    fn forward_rows(&self, form: &str, engine: &str, made: &Made) -> Result<Vec<Row>> {
        let names = ["video_noise", "video_variance", "audio_noise", "audio_variance"];
        let outputs = names.map(|name| (format!("io.{name}"), name));
        let taps =
            self.golden.tensors.keys().filter_map(|name| Some((name.clone(), name.strip_prefix("tap.")?)));
        let row = |(golden, name): (String, &str)| {
            let got = made.get(name).with_context(|| format!("no output {name}"))?;
            let error = of_largest(got, self.golden.tensor(&golden)?);
            Ok(self.row(format!("{golden}{form}"), engine, error, self.forward))
        };
        outputs.into_iter().chain(taps).map(row).collect()
    }

    fn outputs(&self, engines: &[EngineKind]) -> Result<Vec<Row>> {
        let case = self.case(&self.config, &self.weights)?;
        Ok(case.rows(&self.golden.name, engines, |engine, made| self.forward_rows("", engine, made)))
    }

    /// The same with each site's LoRA folded into a copy of the attention's weights.
    fn merged(&self, engines: &[EngineKind]) -> Result<Vec<Row>> {
        let network = self.config.in_merged_form();
        let load = |name: &str| -> Result<Vec<f32>, LoraError> {
            Ok(self.weights.get(name).map(|(_, values)| values.clone()).unwrap_or_default())
        };
        let value = |p: avdit_nets::Parameter| Ok((p.name.clone(), self.config.merged(&p.name, load)?));
        let values = network.parameters().into_iter().map(value).collect::<Result<_>>()?;
        let weights = weight_map(network.parameters(), values)?;
        let case = self.case(&network, &weights)?;
        Ok(case.rows(&self.golden.name, engines, |engine, made| self.forward_rows(", merged", engine, made)))
    }

    /// Gradients of the trained tensors; the others are held as what nothing is differentiated by.
    fn gradients(&self) -> Result<Vec<Row>> {
        let text = self.golden.json["loss"].as_str().context("loss")?;
        let weight = text.split("*(mean(video_variance").next().and_then(|text| text.rsplit(' ').next());
        let weight: f64 = weight.context("the weight of the variances")?.parse().context("loss")?;
        let marked = self.config.marked_parameters();
        let trains =
            |name: &str| marked.iter().any(|(parameter, trained)| parameter.name == name && *trained);
        let target = |name: &str, like: &Tensor| -> Result<Tensor> {
            let values = single(self.golden.tensor(name)?);
            Ok(Tensor::from_vec(values, like.shape(), &Device::Cpu)?)
        };
        let loss = |outputs: &[Tensor]| -> Result<Tensor> {
            let [video, video_variance, audio, audio_variance] = outputs else {
                anyhow::bail!("four outputs")
            };
            let error = |got: &Tensor, name: &str| -> Result<Tensor> {
                Ok((got - target(name, got)?)?.sqr()?.mean_all()?)
            };
            let noise = (error(video, "io.video_noise_target")? + error(audio, "io.audio_noise_target")?)?;
            let variance = (video_variance.sqr()?.mean_all()? + audio_variance.sqr()?.mean_all()?)?;
            Ok((noise + (variance * weight)?)?)
        };
        let case = self.case(&self.config, &self.weights)?;
        let mut rows = Vec::new();
        for (engine, decomposed) in [("candle", false), ("candle, decomposed", true)] {
            let (loss, grads) = case.gradients(decomposed, trains, loss)?;
            let error = of_largest(&[loss as f32], self.golden.tensor("train.loss")?);
            rows.push(self.row("train.loss", engine, error, self.gradient));
            let expected = self.golden.tensors.keys().filter(|name| name.starts_with("grad.")).count();
            let differ = relative(&[grads.len() as f64], &[expected as f64]);
            rows.push(self.row("trained tensors", engine, differ, EXACT));
            for (name, got) in &grads {
                let name = format!("grad.{name}");
                let expected = self.golden.tensor(&name)?;
                rows.push(match name.strip_suffix(".temporal.k.bias") {
                    // What is added to every key alike moves no softmax: both gradients are rounding alone.
                    Some(block) => {
                        let beside = self.golden.tensor(&format!("{block}.temporal.k.weight"))?;
                        let error = of_norm(got, expected, beside);
                        self.row(format!("{name}, of the weight's"), engine, error, self.gradient)
                    }
                    None => self.row(name, engine, frobenius(got, expected), self.gradient),
                });
            }
        }
        Ok(rows)
    }
}
