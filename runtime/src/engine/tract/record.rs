//! Timing each node of a plan, and leaving the times in a file of ONNX Runtime's form.

use crate::profile::{KERNEL, RUN};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::plan::{SimpleState, eval};

/// The clock of a profile.
pub(super) struct Record {
    prefix: PathBuf,
    zero: Instant,
    /// What the file will hold.
    entries: Vec<serde_json::Value>,
}

impl Record {
    pub(super) fn new(prefix: &Path) -> Self {
        Self { prefix: prefix.to_owned(), zero: Instant::now(), entries: Vec::new() }
    }

    /// Runs a plan as [`TypedRunnableModel::run`], with a clock around every node.
    pub(super) fn run(
        &mut self,
        plan: &Arc<TypedRunnableModel>,
        inputs: TVec<TValue>,
    ) -> TractResult<TVec<TValue>> {
        let start = Instant::now();
        // Texts are made when the run is over.
        let mut times = Vec::with_capacity(plan.model().nodes().len());
        let results =
            SimpleState::new(plan)?.run_plan_with_eval(inputs, |context, state, node, inputs| {
                let start = Instant::now();
                let outputs = eval(context, state, node, inputs);
                times.push((node.id, start, start.elapsed()));
                outputs
            })?;
        let elapsed = start.elapsed();
        let since = |at: Instant| (at - self.zero).as_secs_f64() * 1e6;
        let entry = |cat: &str, name: String, at: Instant, length: std::time::Duration, args| {
            let (ts, dur) = (since(at), length.as_secs_f64() * 1e6);
            json!({ "cat": cat, "ph": "X", "pid": 0, "tid": 0, "name": name, "ts": ts, "dur": dur, "args": args })
        };
        let mut entries = vec![entry("Session", RUN.to_owned(), start, elapsed, json!({}))];
        for (id, at, length) in times {
            let node = plan.model().node(id);
            let args =
                json!({ "op_name": node.op().name(), "provider": "CPU", "node_index": id.to_string() });
            entries.push(entry("Node", format!("{}{KERNEL}", node.name), at, length, args));
        }
        self.entries.extend(entries);
        Ok(results)
    }

    /// Writes the file.
    pub(super) fn finish(self) -> std::io::Result<PathBuf> {
        let path = self.prefix.with_extension("tract.json");
        std::fs::write(&path, serde_json::to_vec(&self.entries)?)?;
        Ok(path)
    }
}
