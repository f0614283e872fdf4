//! Where an AVDiT's shifts, scales and gates come from: the level and the modality of each cell alone (adaLN-Zero,
//! Peebles & Xie 2023).

use super::AvditConfig;
use crate::ops::Ops;
use crate::positions::timestep_frequencies;
use crate::timestep;

/// A part of the network that is modulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A block: shift, scale and gate of attention, then of the MLP.
    Block(usize),
    /// The final layer of sight: shift and scale.
    FinalVideo,
    /// The final layer of sound: shift and scale.
    FinalAudio,
}

impl Part {
    /// Every part of a network, in its order.
    pub fn all(config: &AvditConfig) -> impl Iterator<Item = Part> {
        (0..config.depth).map(Part::Block).chain([Part::FinalVideo, Part::FinalAudio])
    }

    /// Its name in the network.
    pub fn name(self) -> String {
        match self {
            Part::Block(i) => format!("blocks.{i}"),
            Part::FinalVideo => "final_video".to_owned(),
            Part::FinalAudio => "final_audio".to_owned(),
        }
    }

    /// Chunks of width D: 6 or 2.
    pub fn chunks(self) -> usize {
        if matches!(self, Part::Block(_)) { 6 } else { 2 }
    }

    /// The tokens that it works on.
    pub fn tokens(self, config: &AvditConfig) -> std::ops::Range<usize> {
        let n = config.video_tokens();
        match self {
            Part::Block(_) => 0..config.tokens(),
            Part::FinalVideo => 0..n,
            Part::FinalAudio => n..config.tokens(),
        }
    }
}

/// A source of modulation.
pub trait Modulation<O: Ops> {
    /// The chunks of a part on its tokens, `(tokens, D)` each.
    ///
    /// # Errors
    /// Whatever the interpreter reports.
    fn chunks(&self, ops: &O, config: &AvditConfig, part: Part) -> Result<Vec<O::Tensor>, O::Error>;
}

/// The network's own modulation, computed from levels.
pub struct AdaLn<T> {
    activated: T,
    shared: Option<T>,
}

impl<T: Clone> AdaLn<T> {
    /// For some levels of each modality, (n) and (m): the cells of a clip in a forward pass, or any others.
    ///
    /// # Errors
    /// Whatever the interpreter reports.
    pub fn new<O: Ops<Tensor = T>>(
        ops: &O,
        config: &AvditConfig,
        video: &T,
        audio: &T,
    ) -> Result<Self, O::Error> {
        let condition = condition(ops, video, audio)?;
        ops.tap("condition", &condition);
        ops.scope("adaLN_shared");
        let activated = ops.silu(&condition)?;
        let shared = match config.adaln_rank {
            Some(_) => Some(ops.linear(&activated, "adaLN_shared")?), // (n + m, 6D)
            None => None,
        };
        Ok(Self { activated, shared })
    }

    /// The chunks of a part side by side, a row for each level: (n + m, 6D) or (n + m, 2D).
    ///
    /// # Errors
    /// Whatever the interpreter reports.
    pub fn rows<O: Ops<Tensor = T>>(&self, ops: &O, part: Part) -> Result<T, O::Error> {
        let name = format!("{}.adaLN_modulation", part.name());
        match (&self.shared, part) {
            (Some(shared), Part::Block(_)) => {
                let down = ops.linear(&self.activated, &format!("{name}.down"))?; // (n + m, rank)
                ops.add(shared, &ops.linear(&down, &format!("{name}.up"))?)
            }
            _ => ops.linear(&self.activated, &format!("{name}.1")),
        }
    }
}

impl<O: Ops> Modulation<O> for AdaLn<O::Tensor> {
    fn chunks(&self, ops: &O, config: &AvditConfig, part: Part) -> Result<Vec<O::Tensor>, O::Error> {
        let rows = self.rows(ops, part)?;
        let rows = ops.gather_rows(&rows, &config.token_cells()[part.tokens(config)])?; // (tokens, 6D or 2D)
        let d = config.width;
        (0..part.chunks()).map(|i| ops.narrow(&rows, 1, i * d, d)).collect()
    }
}

/// The condition of every level, (n + m, D).
fn condition<O: Ops>(ops: &O, video: &O::Tensor, audio: &O::Tensor) -> Result<O::Tensor, O::Error> {
    ops.scope("t_embedder");
    let (n, m) = (ops.dims(video)[0], ops.dims(audio)[0]);
    let levels = ops.concat(&[video, audio], 0)?;
    let features = timestep::features(ops, &levels, timestep_frequencies)?; // (n + m, 256)
    let embedded = timestep::embed(ops, &features)?; // (n + m, D)
    let modality: Vec<usize> = [vec![0; n], vec![1; m]].concat();
    ops.add(&embedded, &ops.gather_rows(&ops.parameter("modality_embed")?, &modality)?)
}
