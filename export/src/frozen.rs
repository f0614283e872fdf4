//! Modulation from tables: for the levels of a fixed schedule, every shift, scale and gate is computed at export.
//!
//! A table has a row for each level and modality. The graph finds the row of each cell by counting the midpoints
//! between levels that lie below the cell's level, and gathers rows straight to the tokens.

use crate::error::{Error, Result};
use crate::evaluator::{Evaluator, Numbers};
use crate::recorder::{Place, Recorder, Value};
use crate::weights::WeightSource;
use avdit_core::FrozenSchedule;
use avdit_nets::Ops;
use avdit_nets::avdit::{AdaLn, AvditConfig, Modulation, Part};
use avdit_onnx::{DataType, attribute, tensor};

/// The chunks of a block, in order.
const CHUNKS: [&str; 6] = ["shift", "scale", "gate", "mlp_shift", "mlp_scale", "mlp_gate"];

pub(crate) struct Frozen<'w> {
    evaluator: Evaluator<'w>,
    adaln: AdaLn<Numbers>,
    /// Row of each token of the blocks, of the video tokens, of the audio tokens.
    token_rows: [String; 3],
}

impl<'w> Frozen<'w> {
    /// Computes the condition of every level, and records how rows are found.
    pub(crate) fn new(
        recorder: &Recorder<'w>,
        config: &AvditConfig,
        schedule: &FrozenSchedule,
        weights: &'w dyn WeightSource,
        levels: [&Value; 2],
    ) -> Result<Self> {
        let evaluator = Evaluator::new(weights);
        let known =
            Numbers::new(&[schedule.levels.len()], schedule.levels.iter().copied().map(f64::from).collect());
        let adaln = AdaLn::new(&evaluator, config, &known, &known)?;
        recorder.scope("schedule");
        let rows = record_rows(recorder, config, schedule, levels)?;
        let cells = config.token_cells();
        let token_rows = [Part::Block(0), Part::FinalVideo, Part::FinalAudio].map(|part| {
            let cells: Vec<i64> = cells[part.tokens(config)].iter().map(|&cell| cell as i64).collect();
            let mut graph = recorder.graph();
            let cells = graph.integers(&cells)?;
            Ok::<_, Error>(graph.node(
                "Gather",
                "tokens",
                &[&rows, &cells],
                vec![attribute::int("axis", 1)],
            )?)
        });
        let [blocks, video, audio] = token_rows;
        Ok(Self { evaluator, adaln, token_rows: [blocks?, video?, audio?] })
    }
}

/// The row of each cell, (batch, 2N): the rows of audio follow those of video.
fn record_rows(
    recorder: &Recorder<'_>,
    config: &AvditConfig,
    schedule: &FrozenSchedule,
    [video, audio]: [&Value; 2],
) -> Result<String> {
    let segments = config.video.segments.len();
    let levels = recorder.concat(&[video, audio], 0)?;
    let levels = recorder.reshape(&levels, &[2 * segments, 1])?;
    let Place::Graph(levels) = levels.place else { unreachable!("levels are an input") };
    let midpoints = schedule.midpoints();
    let first = |cell: usize| if cell < segments { 0.0 } else { schedule.levels.len() as f32 };
    let first: Vec<f32> = (0..2 * segments).map(first).collect();
    let mut graph = recorder.graph();
    let midpoints = graph.constant(tensor::f32s("midpoints", &[midpoints.len()], &midpoints)?)?;
    let first = graph.constant(tensor::f32s("first_rows", &[first.len()], &first)?)?;
    let last = graph.integers(&[-1])?;
    let cast = |to: DataType| vec![attribute::int("to", to as i64)];
    let below = graph.node("Greater", "", &[&levels, &midpoints], vec![])?; // (batch, 2N, L - 1)
    let below = graph.node("Cast", "below", &[&below], cast(DataType::Float))?;
    let count = graph.node("ReduceSum", "", &[&below, &last], vec![attribute::int("keepdims", 0)])?;
    let rows = graph.node("Add", "", &[&count, &first], vec![])?;
    Ok(graph.node("Cast", "rows", &[&rows], cast(DataType::Int64))?)
}

impl<'w> Modulation<Recorder<'w>> for Frozen<'w> {
    fn chunks(&self, recorder: &Recorder<'w>, config: &AvditConfig, part: Part) -> Result<Vec<Value>> {
        let table = self.adaln.rows(&self.evaluator, part)?;
        let token_rows = &self.token_rows[match part {
            Part::Block(_) => 0,
            Part::FinalVideo => 1,
            Part::FinalAudio => 2,
        }];
        let d = config.width;
        let chunk = |i: usize| {
            let cut = self.evaluator.narrow(&table, 1, i * d, d)?;
            let values: Vec<f32> = cut.data.iter().map(|&x| x as f32).collect();
            let name = format!("{}.modulation.{}", part.name(), CHUNKS[i]);
            let mut rows = tensor::f32s(&name, &cut.dims, &values)?;
            rows.doc_string = Some(format!("columns {}..{} of adaLN at every level", i * d, (i + 1) * d));
            let mut graph = recorder.graph();
            let rows = graph.initializer(rows)?;
            let path = format!("modulation/{}", CHUNKS[i]);
            let y = graph.node("Gather", &path, &[&rows, token_rows], vec![attribute::int("axis", 0)])?;
            drop(graph);
            Ok(recorder.made(y))
        };
        (0..part.chunks()).map(chunk).collect()
    }
}
