//! `avdit inspect`: what a model is and what it costs, without running it.

mod facts;
mod table;
mod targets;

use crate::args::InspectArgs;
use crate::cost::{Analysis, Attention, Figures};
use crate::exit::Usage;
use crate::output::say_json;
use crate::parts::{Block, Kind};
use anyhow::{Context, Result, bail};
use avdit_export::ModelConfig;
use avdit_onnx::{Dim, Model};
use facts::{Form, GraphFacts, Integrity, Weights};
use serde::Serialize;
use targets::{Target, Targets};

/// The whole result.
#[derive(Debug, Serialize)]
pub struct Inspection {
    schema: &'static str,
    graph: GraphFacts,
    form: Form,
    integrity: Integrity,
    /// Clips at once, for all that follows.
    batch: usize,
    /// Learned values, as export.json has them.
    parameters: Option<usize>,
    /// What the graph holds.
    weights: Vec<Weights>,
    attention: Attention,
    /// A run of the graph.
    total: Figures,
    memory: MemoryForecast,
    blocks: Vec<BlockRow>,
    kinds: Vec<KindRow>,
    operators: Vec<OperatorRow>,
    /// Joint parts by the numbers of tokens, conditions by cells.
    modalities: Vec<ModalityRow>,
    /// Operators that have no rule: their operations are missing from every sum.
    not_counted: Vec<String>,
    targets: Option<Targets>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<Vec<NodeRow>>,
}

/// Bytes at once: weights, and values from the node that makes them to the last that reads them.
#[derive(Debug, Serialize)]
pub struct MemoryForecast {
    weight_bytes: u64,
    /// The least that values need.
    live_bytes: u64,
    /// What they take in one block.
    arena_bytes: u64,
    /// Weights and that block.
    peak_bytes: u64,
    /// And a second one: ONNX Runtime learns in its first run what values take, plans one block for them in the
    /// second, and keeps what the first has taken.
    with_first_run_bytes: u64,
    /// Where most is alive.
    at: String,
    residents: Vec<(String, u64)>,
}

#[derive(Debug, Serialize)]
pub struct BlockRow {
    block: String,
    /// Numbers in initializers that this block is the first to read.
    weights: u64,
    #[serde(flatten)]
    figures: Figures,
}

#[derive(Debug, Serialize)]
pub struct KindRow {
    kind: Kind,
    #[serde(flatten)]
    figures: Figures,
}

#[derive(Debug, Serialize)]
pub struct OperatorRow {
    operator: String,
    #[serde(flatten)]
    figures: Figures,
}

#[derive(Debug, Serialize)]
pub struct ModalityRow {
    modality: &'static str,
    tokens: usize,
    #[serde(flatten)]
    figures: Figures,
}

#[derive(Debug, Serialize)]
pub struct NodeRow {
    name: String,
    operator: String,
    block: String,
    kind: Kind,
    #[serde(flatten)]
    figures: Figures,
}

pub fn run(args: &InspectArgs) -> Result<()> {
    let folder = &args.model;
    let path = folder.join("model.onnx");
    let (integrity, difference) = Integrity::of(folder)?;
    let model = match (Model::read_graph(&path), &integrity.difference) {
        (Err(error), Some(difference)) => return Err(error).with_context(|| difference.clone()),
        (model, _) => model?,
    };
    let batch = batch(&model, args.batch.map(|batch| batch as usize))?;
    let analysis = Analysis::of(&model, batch)?;
    let config = ModelConfig::read(folder);
    let targets = match (&config, args.no_targets) {
        (_, true) => None,
        (Ok(config), _) => Some(Targets::Compared {
            this: Target::of("this model", &analysis),
            targets: targets::all(config, batch)?,
        }),
        (Err(error), _) => Some(Targets::Unknown { reason: error.to_string() }),
    };
    let inspection = Inspection {
        schema: "avdit-inspect/1",
        graph: GraphFacts::of(&path, &model)?,
        form: Form::of(folder, &model)?,
        parameters: integrity.record.as_ref().map(|record| record.parameters),
        integrity,
        batch,
        weights: Weights::of(&model)?,
        attention: analysis.attention,
        total: analysis.total(),
        memory: memory(&analysis),
        blocks: blocks(&analysis),
        kinds: analysis.by_kind().into_iter().map(|(kind, figures)| KindRow { kind, figures }).collect(),
        operators: operators(&analysis),
        modalities: config.as_ref().map_or(Vec::new(), |config| modalities(&analysis, config)),
        not_counted: not_counted(&analysis),
        targets,
        nodes: args.nodes.then(|| nodes(&analysis)),
    };
    if args.json {
        say_json(&inspection)?
    } else {
        table::say_inspection(&inspection)
    }
    match difference {
        Some(error) => Err(error).context(
            "the model is not the one that was exported here\n\nhint: export it again, or remove export.json",
        ),
        None => Ok(()),
    }
}

/// The batch to count for: the one asked for, else the graph's own, else 1.
fn batch(model: &Model, asked: Option<usize>) -> Result<usize> {
    let inputs = model.inputs()?;
    let fixed = inputs.iter().find_map(|(_, value_type)| match value_type.shape.first() {
        Some(Dim::Known(size)) => Some(*size),
        _ => None,
    });
    let is_open = inputs.iter().any(|(_, t)| t.shape.contains(&Dim::Symbol("batch".to_owned())));
    match (asked, fixed) {
        (Some(asked), Some(fixed)) if !is_open && asked != fixed => {
            bail!(Usage(format!("--batch {asked}: the graph was exported for a batch of {fixed}")))
        }
        (Some(asked), _) => Ok(asked),
        (None, Some(fixed)) if !is_open => Ok(fixed),
        (None, _) => Ok(1),
    }
}

fn memory(analysis: &Analysis) -> MemoryForecast {
    let memory = &analysis.memory;
    MemoryForecast {
        weight_bytes: memory.weight_bytes,
        live_bytes: memory.live_bytes,
        arena_bytes: memory.arena_bytes,
        peak_bytes: memory.peak_bytes(),
        with_first_run_bytes: memory.peak_bytes() + memory.arena_bytes,
        at: memory.at.clone(),
        residents: memory.residents.iter().map(|r| (r.value.clone(), r.bytes)).collect(),
    }
}

fn blocks(analysis: &Analysis) -> Vec<BlockRow> {
    let row = |(block, figures): (Block, Figures)| BlockRow {
        block: block.to_string(),
        weights: analysis.weights.get(&block).copied().unwrap_or(0),
        figures,
    };
    analysis.by_block().into_iter().map(row).collect()
}

/// The costliest first.
fn operators(analysis: &Analysis) -> Vec<OperatorRow> {
    let rows = analysis.by_operator().into_iter();
    let mut rows: Vec<_> = rows.map(|(operator, figures)| OperatorRow { operator, figures }).collect();
    rows.sort_by_key(|row| std::cmp::Reverse((row.figures.operations, row.figures.bytes)));
    rows
}

fn modalities(analysis: &Analysis, config: &ModelConfig) -> Vec<ModalityRow> {
    let [video, audio] = config.network.tokens();
    let names = [("video", video), ("audio", audio)];
    let figures = analysis.by_modality(video as f64 / (video + audio) as f64);
    names
        .into_iter()
        .zip(figures)
        .map(|((modality, tokens), figures)| ModalityRow { modality, tokens, figures })
        .collect()
}

fn not_counted(analysis: &Analysis) -> Vec<String> {
    let mut names: Vec<_> =
        analysis.nodes.iter().filter(|(node, _)| !node.is_counted).map(|(node, _)| node.op.clone()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn nodes(analysis: &Analysis) -> Vec<NodeRow> {
    let row = |(node, part): &(avdit_onnx::cost::NodeCost, crate::parts::Part)| NodeRow {
        name: node.name.clone(),
        operator: node.op.clone(),
        block: part.block.to_string(),
        kind: part.kind,
        figures: Figures::of(1, node.cost),
    };
    analysis.nodes.iter().map(row).collect()
}
