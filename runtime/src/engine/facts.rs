//! What is known of an engine that has opened a model.

use super::EngineKind;
use crate::graph::GraphFacts;
use serde::Serialize;
use std::path::PathBuf;

/// What runs, on what, and how long it took to get there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EngineFacts {
    /// The engine.
    pub engine: EngineKind,
    /// Its version.
    pub version: String,
    /// The library it was loaded from; none if it is part of this program.
    pub library: Option<PathBuf>,
    /// Threads inside an operation.
    pub threads: usize,
    /// Reading and checking the model folder, and loading the library where this was the first use of it.
    pub load_ms: f64,
    /// From there to the first graph being ready to run.
    pub session_ms: f64,
    /// Building an engine for the graph, where that was done now.
    pub build_ms: Option<f64>,
    /// What ran where.
    pub placement: Vec<Placement>,
    /// The graph.
    pub graph: GraphFacts,
}

/// The part of a graph that a device runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Placement {
    /// The device or execution provider.
    pub device: String,
    /// Nodes there, where the engine tells.
    pub nodes: Option<usize>,
}
