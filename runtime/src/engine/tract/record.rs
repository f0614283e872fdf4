//! Timing each node of a plan, and leaving the times in a file of ONNX Runtime's form.

use crate::profile::{KERNEL, RUN};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::plan::{SimpleState, eval};

/// A run of a plan: when it began, how long it took, and the same of each node.
struct Run {
    plan: Arc<TypedRunnableModel>,
    span: (Instant, Duration),
    nodes: Vec<(usize, Instant, Duration)>,
}

/// The clock of a profile.
pub(super) struct Record {
    prefix: PathBuf,
    zero: Instant,
    runs: Vec<Run>,
}

impl Record {
    pub(super) fn new(prefix: &Path) -> Self {
        Self { prefix: prefix.to_owned(), zero: Instant::now(), runs: Vec::new() }
    }

    /// Runs a plan as [`TypedRunnableModel::run`], with a clock around every node.
    pub(super) fn run(
        &mut self,
        plan: &Arc<TypedRunnableModel>,
        inputs: TVec<TValue>,
    ) -> TractResult<TVec<TValue>> {
        let mut nodes = Vec::with_capacity(plan.model().nodes().len());
        let start = Instant::now();
        let results =
            SimpleState::new(plan)?.run_plan_with_eval(inputs, |context, state, node, inputs| {
                let start = Instant::now();
                let outputs = eval(context, state, node, inputs);
                nodes.push((node.id, start, start.elapsed()));
                outputs
            })?;
        self.runs.push(Run { plan: plan.clone(), span: (start, start.elapsed()), nodes });
        Ok(results)
    }

    /// Writes the file.
    pub(super) fn finish(self) -> std::io::Result<PathBuf> {
        let entry = |cat: &str, name: &str, (at, length): (Instant, Duration), args| {
            let (ts, dur) = ((at - self.zero).as_secs_f64() * 1e6, length.as_secs_f64() * 1e6);
            json!({ "cat": cat, "ph": "X", "pid": 0, "tid": 0, "name": name, "ts": ts, "dur": dur, "args": args })
        };
        let mut entries = Vec::new();
        for run in &self.runs {
            entries.push(entry("Session", RUN, run.span, json!({})));
            for (id, at, length) in &run.nodes {
                let node = run.plan.model().node(*id);
                let args =
                    json!({ "op_name": node.op().name(), "provider": "CPU", "node_index": id.to_string() });
                entries.push(entry("Node", &format!("{}{KERNEL}", node.name), (*at, *length), args));
            }
        }
        let path = self.prefix.with_extension("tract.json");
        std::fs::write(&path, serde_json::to_vec(&entries)?)?;
        Ok(path)
    }
}
