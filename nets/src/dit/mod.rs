//! DiT: a transformer over patches of an image's latents, told a noise level and a class (Peebles & Xie 2023,
//! arXiv:2212.09748), under the names of the official checkpoints.

pub(crate) mod block;
mod config;
mod cost;

pub use config::{ConfigError, DitConfig};
pub(crate) use config::{attention, conv};

use crate::conv_ops::ConvOps;
use crate::network::{Network, NetworkError, Port, Trainable};
use crate::ops::Ops;
use crate::parameters::Parameter;
use crate::patches;
use crate::positions::timestep_frequencies_in_single;
use crate::timestep;
use block::{EPS, Site};

/// Handles of the inputs of a DiT.
pub struct DitInputs<T> {
    /// Noisy latents, (C, H, W).
    pub latents: T,
    /// The timestep, (1): DiT's own index, 0…T−1 with 0 a little noise, which may lie between two of them. A level of
    /// this project is that index plus 1.
    pub timestep: T,
    /// The class, (1): a whole number, which may be that of the null class.
    pub label: T,
}

/// What a network says of some noisy latents.
pub struct Prediction<T> {
    /// The noise in them, of their shape.
    pub noise: T,
    /// Where the network has a learned variance: v of improved DDPM (Nichol & Dhariwal 2021, eq. 15 as (v + 1)/2), of
    /// their shape.
    pub variance: Option<T>,
}

/// The network.
///
/// # Errors
/// Whatever the interpreter reports, such as a label that the table has no row of.
pub fn dit<O: Ops>(
    ops: &O,
    config: &DitConfig,
    inputs: &DitInputs<O::Tensor>,
) -> Result<Prediction<O::Tensor>, O::Error> {
    ops.scope("t_embedder");
    let features = timestep::features(ops, &inputs.timestep, timestep_frequencies_in_single)?; // (1, 256)
    ops.tap("t_freq", &features);
    from_features(ops, config, &inputs.latents, &features, &inputs.label)
}

/// The network behind the features of its timestep, (1, 256).
///
/// # Errors
/// As [`dit`].
pub fn from_features<O: Ops>(
    ops: &O,
    config: &DitConfig,
    latents: &O::Tensor,
    features: &O::Tensor,
    label: &O::Tensor,
) -> Result<Prediction<O::Tensor>, O::Error> {
    let level = timestep::embed(ops, features)?; // (1, D)
    ops.tap("t_emb", &level);
    ops.scope("y_embedder");
    let class = ops.embedding(label, "y_embedder.embedding_table")?; // (1, D)
    ops.tap("y_emb", &class);
    let condition = ops.add(&level, &class)?;
    let activated = ops.silu(&condition)?;

    ops.scope("x_embedder");
    let tokens = ops.linear(&config.patches().cut(ops, latents)?, "x_embedder.proj")?; // (tokens, D)
    ops.tap("patch_embed", &tokens);
    let code = ops.constant("pos_embed", &[config.tokens(), config.width], position_code(config))?;
    let mut x = ops.add(&tokens, &code)?;
    for i in 0..config.depth {
        let name = format!("blocks.{i}");
        ops.scope(&name);
        let rows = ops.linear(&activated, &format!("{name}.adaLN_modulation.1"))?; // (1, 6D)
        ops.tap(&format!("block{i}.adaLN"), &rows);
        let config = config.clone();
        let run = move |ops: &O, inputs: &[O::Tensor]| block(ops, &config, i, &inputs[0], &inputs[1]);
        x = ops.block(&[&x, &rows], Box::new(run))?;
        ops.tap(&format!("block{i}"), &x);
    }

    ops.scope("final_layer");
    let rows = ops.linear(&activated, "final_layer.adaLN_modulation.1")?; // (1, 2D)
    let chunks = block::per_token(ops, &block::chunks(ops, &rows, 2)?, &vec![0; config.tokens()])?;
    let y = ops.linear(&ops.modulate(&x, &chunks[0], &chunks[1], EPS)?, "final_layer.linear")?;
    ops.tap("final_tokens", &y); // (tokens, p²·outputs)
    let y = config.patches().join(ops, &y, config.output_channels())?; // (1, outputs, H, W)
    let (c, [height, width]) = (config.channels, config.size);
    let y = ops.reshape(&y, &[config.output_channels(), height, width])?;
    if !config.learned_variance {
        return Ok(Prediction { noise: y, variance: None });
    }
    let (noise, variance) = (ops.narrow(&y, 0, 0, c)?, ops.narrow(&y, 0, c, c)?);
    Ok(Prediction { noise, variance: Some(variance) })
}

/// `pos_embed`: the fixed code of each token, (tokens, D), first half its column, second half its row.
pub fn position_code(config: &DitConfig) -> Vec<f32> {
    let patches = config.patches();
    patches::grid_code(patches.rows(), patches.columns(), config.width)
}

/// One block on tokens (tokens, D), modulated by one row (1, 6D).
fn block<O: Ops>(
    ops: &O,
    config: &DitConfig,
    i: usize,
    x: &O::Tensor,
    rows: &O::Tensor,
) -> Result<O::Tensor, O::Error> {
    let name = format!("blocks.{i}");
    let chunks = block::per_token(ops, &block::chunks(ops, rows, 6)?, &vec![0; config.tokens()])?;
    let y = ops.modulate(x, &chunks[0], &chunks[1], EPS)?;
    let y = block::self_attention(ops, &Site::plain(format!("{name}.attn")), &y, [1, config.heads])?;
    ops.tap(&format!("block{i}.attn"), &y);
    let x = ops.gate_add(x, &chunks[2], &y)?;
    let y = ops.modulate(&x, &chunks[3], &chunks[4], EPS)?;
    let y = block::mlp(ops, &format!("{name}.mlp"), &y)?;
    ops.tap(&format!("block{i}.mlp"), &y);
    ops.gate_add(&x, &chunks[5], &y)
}

impl Network for DitConfig {
    fn name(&self) -> &'static str {
        "dit"
    }

    fn check(&self) -> Result<(), NetworkError> {
        DitConfig::check(self).map_err(|error| NetworkError::new("dit", error.to_string()))
    }

    fn inputs(&self) -> Vec<Port> {
        let [height, width] = self.size;
        vec![("latents", vec![self.channels, height, width]), ("timestep", vec![1]), ("label", vec![1])]
    }

    fn outputs(&self) -> Vec<Port> {
        let shape = self.inputs()[0].1.clone();
        let variance = self.learned_variance.then(|| ("variance", shape.clone()));
        std::iter::once(("noise", shape)).chain(variance).collect()
    }

    fn parameters(&self) -> Vec<Parameter> {
        DitConfig::parameters(self)
    }

    fn run<O: ConvOps>(&self, ops: &O, inputs: &[O::Tensor]) -> Result<Vec<O::Tensor>, O::Error> {
        self.forward(ops, inputs)
    }
}

impl Trainable for DitConfig {
    fn forward<O: Ops>(&self, ops: &O, inputs: &[O::Tensor]) -> Result<Vec<O::Tensor>, O::Error> {
        let [latents, timestep, label] = [0, 1, 2].map(|i| inputs[i].clone());
        let Prediction { noise, variance } = dit(ops, self, &DitInputs { latents, timestep, label })?;
        Ok(std::iter::once(noise).chain(variance).collect())
    }
}
