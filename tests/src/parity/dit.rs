//! Kind `dit`: an image DiT of the official repository: state dict, activations, outputs, guidance, gradients.

use super::golden::Golden;
use super::measure::{of_allowed, of_largest, single};
use super::network::{Case, Made};
use super::row::{Row, scaled};
use anyhow::{Context, Result};
use avdit_export::{WeightMap, evaluate_network, weight_map};
use avdit_nets::dit::{DitConfig, Prediction, from_features, position_code};
use avdit_nets::{ConvOps, Network, NetworkError, Parameter, Port};
use avdit_runtime::EngineKind;
use candle_core::Tensor;

/// Every quantity on every engine.
pub(super) fn cases(golden: &Golden, engines: &[EngineKind]) -> Vec<Row> {
    match File::read(golden) {
        Ok(file) => file.rows(engines),
        Err(error) => vec![Row::failed(&golden.name, "specification", "-", &error)],
    }
}

struct File<'a> {
    golden: &'a Golden,
    config: DitConfig,
    weights: WeightMap,
    /// Of values in single precision: so much, and so much of their size.
    allowed: [f64; 2],
    gradient: f64,
    double: f64,
}

/// The configuration under the official names of its fields.
fn config(golden: &Golden) -> Result<DitConfig> {
    let field = |key: &str| golden.json["config"][key].clone();
    let count =
        |key: &str| Ok::<_, anyhow::Error>(field(key).as_u64().with_context(|| key.to_owned())? as usize);
    Ok(DitConfig {
        width: count("hidden_size")?,
        depth: count("depth")?,
        heads: count("num_heads")?,
        mlp_ratio: field("mlp_ratio").as_f64().context("mlp_ratio")?,
        patch: count("patch_size")?,
        channels: count("in_channels")?,
        size: [count("input_size")?; 2],
        classes: count("num_classes")?,
        null_class: field("class_dropout_prob").as_f64().context("class_dropout_prob")? > 0.0,
        learned_variance: field("learn_sigma").as_bool().context("learn_sigma")?,
    })
}

impl<'a> File<'a> {
    fn read(golden: &'a Golden) -> Result<Self> {
        let config = config(golden)?;
        let values = golden.tensors.iter().filter_map(|(name, tensor)| {
            let name = name.strip_prefix("sd.").filter(|name| *name != "pos_embed")?;
            Some((name.to_owned(), single(tensor)))
        });
        Ok(Self {
            golden,
            weights: weight_map(config.parameters(), values.collect())?,
            config,
            allowed: [golden.tolerance("abs ")?, golden.tolerance("+ rel ")?],
            gradient: golden.tolerance("grad.*: \"rel ")?,
            double: golden.tolerance("out_f64: rel ")?,
        })
    }

    /// The inputs of the network: latents, timesteps, labels.
    fn case(&self, [x, t, y]: [&str; 3]) -> Result<Case<'_, DitConfig>> {
        let inputs = [x, t, y].map(|name| Ok(single(self.golden.tensor(name)?)));
        let batch = self.golden.tensor(x)?.shape[0];
        let inputs = inputs.into_iter().collect::<Result<_>>()?;
        Ok(Case { network: &self.config, weights: &self.weights, batch, inputs })
    }

    /// A row of numbers in single precision.
    fn row(&self, case: &str, engine: &str, got: &[f32], expected: &[f64]) -> Row {
        let [absolute, relative] = self.allowed;
        let case = format!("{case}, of what is allowed");
        Row::new(&self.golden.name, case, engine, of_allowed(got, expected, absolute, relative), 1.0)
    }

    fn rows(&self, engines: &[EngineKind]) -> Vec<Row> {
        let mut rows = Vec::new();
        let mut add = |what: &str, found: Result<Vec<Row>>| match found {
            Ok(found) => rows.extend(found),
            Err(error) => rows.push(Row::failed(&self.golden.name, what, "-", &error)),
        };
        add("sd.pos_embed", self.positions());
        add("out", self.outputs(engines));
        add("out_frac_t", self.fractional(engines));
        add("norm1", self.norms(engines));
        add("cfg", self.guided(engines));
        add("out_f64", self.double());
        if engines.contains(&EngineKind::Candle) {
            add("grad", self.gradients());
        }
        rows
    }

    fn positions(&self) -> Result<Vec<Row>> {
        let expected = &self.golden.tensor("sd.pos_embed")?.data;
        Ok(vec![self.row("sd.pos_embed", "nets", &position_code(&self.config), expected)])
    }

    /// Noise and variance of each example side by side, as the reference gives them.
    fn joined(&self, made: &Made) -> Result<Vec<f32>> {
        let outputs = self.config.output_channels() / self.config.channels;
        let len = self.config.channels * self.config.size.iter().product::<usize>();
        let halves = ["noise", "variance"].into_iter().take(outputs);
        let halves = halves.map(|name| made.get(name).with_context(|| format!("no output {name}")));
        let halves = halves.collect::<Result<Vec<_>>>()?;
        let examples = 0..halves[0].len() / len;
        Ok(examples
            .flat_map(|i| halves.iter().flat_map(move |x| &x[i * len..(i + 1) * len]))
            .copied()
            .collect())
    }

    fn outputs(&self, engines: &[EngineKind]) -> Result<Vec<Row>> {
        let case = self.case(["in.x", "in.t", "in.y"])?;
        Ok(case.rows(&self.golden.name, engines, |engine, made| {
            let expected = &self.golden.tensor("out")?.data;
            let mut rows = vec![self.row("out", engine, &self.joined(made)?, expected)];
            for (name, expected) in &self.golden.tensors {
                let Some(tap) = name.strip_prefix("act.").filter(|tap| !tap.ends_with(".norm1")) else {
                    continue;
                };
                let got = made.get(tap).with_context(|| format!("no tap {tap}"))?;
                rows.push(self.row(name, engine, got, &expected.data));
            }
            Ok(rows)
        }))
    }

    fn fractional(&self, engines: &[EngineKind]) -> Result<Vec<Row>> {
        let case = self.case(["in.x", "in.t_frac", "in.y"])?;
        Ok(case.rows(&self.golden.name, engines, |engine, made| {
            let expected = &self.golden.tensor("out_frac_t")?.data;
            Ok(vec![self.row("out_frac_t", engine, &self.joined(made)?, expected)])
        }))
    }

    /// The norm before a block's attention, which the network computes in one with its modulation.
    fn norms(&self, engines: &[EngineKind]) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for (name, expected) in &self.golden.tensors {
            let block = name.strip_prefix("act.block").and_then(|name| name.strip_suffix(".norm1"));
            let Some(block) = block.and_then(|block| block.parse::<usize>().ok()) else { continue };
            let before = match block {
                0 => {
                    let (tokens, code) =
                        (self.golden.tensor("act.patch_embed")?, self.golden.tensor("sd.pos_embed")?);
                    let code = code.data.iter().cycle();
                    tokens.data.iter().zip(code).map(|(x, p)| (x + p) as f32).collect()
                }
                block => single(self.golden.tensor(&format!("act.block{}", block - 1))?),
            };
            let network = LayerNorm { tokens: self.config.tokens(), width: self.config.width };
            let (weights, batch) = (&WeightMap::new(), expected.shape[0]);
            let case = Case { network: &network, weights, batch, inputs: vec![before] };
            rows.extend(case.rows(&self.golden.name, engines, |engine, made| {
                Ok(vec![self.row(name, engine, &made["y"], &expected.data)])
            }));
        }
        Ok(rows)
    }

    /// Guidance of the reference: the first half of the latents under both labels, combined on the first three channels.
    fn guided(&self, engines: &[EngineKind]) -> Result<Vec<Row>> {
        let scaled = self.golden.tensors.iter().filter_map(|(name, tensor)| {
            let scale: f32 = name.strip_prefix("cfg.out_scale")?.parse().ok()?;
            Some((name, scale, tensor))
        });
        let mut case = self.case(["cfg.x", "cfg.t", "cfg.y"])?;
        let half = case.inputs[0].len() / 2;
        case.inputs[0].copy_within(..half, half);
        let mut rows = Vec::new();
        for (name, scale, expected) in scaled {
            rows.extend(case.rows(&self.golden.name, engines, |engine, made| {
                let mut out = self.joined(made)?;
                let place = self.config.size.iter().product::<usize>();
                let (of_one, len) = (self.config.output_channels() * place, out.len() / 2);
                let (conditional, unconditional) = out.split_at_mut(len);
                let pairs = conditional.chunks_exact_mut(of_one).zip(unconditional.chunks_exact_mut(of_one));
                for (c, u) in pairs.flat_map(|(c, u)| c[..3 * place].iter_mut().zip(&mut u[..3 * place])) {
                    let guided = *u + scale * (*c - *u);
                    (*c, *u) = (guided, guided);
                }
                Ok(vec![self.row(name, engine, &out, &expected.data)])
            }));
        }
        Ok(rows)
    }

    /// The reference in double precision had the features of its timesteps in single precision.
    fn double(&self) -> Result<Vec<Row>> {
        let network = Behind(self.config.clone());
        let (x, features) = (self.golden.tensor("in.x")?, self.golden.tensor("act.t_freq")?);
        let labels = self.golden.tensor("in.y")?;
        let mut got = Vec::new();
        for i in 0..x.shape[0] {
            let inputs = [x, features, labels].map(|tensor| -> Result<Vec<f32>> {
                Ok(tensor.part(i)?.iter().map(|&x| x as f32).collect())
            });
            let inputs = inputs.into_iter().collect::<Result<Vec<_>>>()?;
            let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
            got.extend(evaluate_network(&network, &self.weights, &inputs)?.concat());
        }
        let error = scaled(&got, &self.golden.tensor("out_f64")?.data);
        Ok(vec![Row::new(&self.golden.name, "out_f64", "export f64", error, self.double)])
    }

    /// Gradients of the mean square of all outputs.
    fn gradients(&self) -> Result<Vec<Row>> {
        let case = self.case(["in.x", "in.t", "in.y"])?;
        let mut rows = Vec::new();
        for (engine, decomposed) in [("candle", false), ("candle, decomposed", true)] {
            let loss = |outputs: &[Tensor]| -> Result<Tensor> {
                let flat =
                    outputs.iter().map(Tensor::flatten_all).collect::<candle_core::Result<Vec<_>>>()?;
                Ok(Tensor::cat(&flat, 0)?.sqr()?.mean_all()?)
            };
            let (loss, grads) = case.gradients(decomposed, |_| true, loss)?;
            for (name, expected) in &self.golden.tensors {
                let Some(parameter) = name.strip_prefix("grad.") else { continue };
                let error = match parameter {
                    "loss" => of_largest(&[loss as f32], expected),
                    _ => of_largest(grads.get(parameter).with_context(|| name.clone())?, expected),
                };
                rows.push(Row::new(&self.golden.name, name.clone(), engine, error, self.gradient));
            }
        }
        Ok(rows)
    }
}

/// A norm without parameters as a network.
struct LayerNorm {
    tokens: usize,
    width: usize,
}

impl Network for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn inputs(&self) -> Vec<Port> {
        vec![("x", vec![self.tokens, self.width])]
    }

    fn outputs(&self) -> Vec<Port> {
        vec![("y", vec![self.tokens, self.width])]
    }

    fn parameters(&self) -> Vec<Parameter> {
        Vec::new()
    }

    fn run<O: ConvOps>(&self, ops: &O, inputs: &[O::Tensor]) -> Result<Vec<O::Tensor>, O::Error> {
        Ok(vec![ops.layer_norm(&inputs[0], 1e-6)?])
    }
}

/// A DiT behind the features of its timestep.
struct Behind(DitConfig);

impl Network for Behind {
    fn name(&self) -> &'static str {
        "dit"
    }

    fn check(&self) -> Result<(), NetworkError> {
        Network::check(&self.0)
    }

    fn inputs(&self) -> Vec<Port> {
        let mut inputs = self.0.inputs();
        inputs[1] = ("features", vec![1, avdit_nets::timestep::FEATURES]);
        inputs
    }

    fn outputs(&self) -> Vec<Port> {
        self.0.outputs()
    }

    fn parameters(&self) -> Vec<Parameter> {
        self.0.parameters()
    }

    fn run<O: ConvOps>(&self, ops: &O, inputs: &[O::Tensor]) -> Result<Vec<O::Tensor>, O::Error> {
        let Prediction { noise, variance } = from_features(ops, &self.0, &inputs[0], &inputs[1], &inputs[2])?;
        Ok(std::iter::once(noise).chain(variance).collect())
    }
}
