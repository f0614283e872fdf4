//! The file that an engine leaves: ONNX Runtime's, in the form that trace viewers read. tract's is written alike.

use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

/// The name that ONNX Runtime gives to a run of the graph.
pub(crate) const RUN: &str = "model_run";
/// What it puts behind the name of a node.
pub(crate) const KERNEL: &str = "_kernel_time";

/// One operation in one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The node's name.
    pub name: String,
    /// Its operator.
    pub op: String,
    /// The execution provider or device that ran it.
    pub provider: String,
    /// Its place among [`Profile::operations`](super::Profile::operations).
    pub operation: usize,
    /// The run, from 0.
    pub run: usize,
    /// Since the first run that counts began, in microseconds.
    pub start_us: f64,
    /// In microseconds.
    pub duration_us: f64,
}

/// Bytes that an engine's arena had in use around its operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ArenaUse {
    /// The least of all runs, the first included: weights.
    pub least_bytes: u64,
    /// The most in the runs that count; the first may need more, where the engine learns in it what it will need.
    pub most_bytes: u64,
}

pub(super) struct Recorded {
    /// By time; operations are numbered, in no order.
    pub(super) events: Vec<Event>,
    pub(super) arena: Option<ArenaUse>,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    cat: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    ts: f64,
    #[serde(default)]
    dur: f64,
    #[serde(default)]
    args: Arguments,
}

/// Numbers are texts here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Arguments {
    op_name: Option<String>,
    provider: Option<String>,
    node_index: Option<String>,
    mem_bytes_in_use: Option<String>,
}

/// Reads a profile and keeps the last `runs` runs of the graph.
pub(super) fn read(path: &Path, runs: usize) -> Result<Recorded, String> {
    let text = std::fs::read(path).map_err(|error| format!("its file {}: {error}", path.display()))?;
    parse(&text, runs).map_err(|problem| format!("its file {}: {problem}", path.display()))
}

fn parse(text: &[u8], runs: usize) -> Result<Recorded, String> {
    let raw: Vec<Raw> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let mut spans: Vec<(f64, f64)> =
        raw.iter().filter(|e| e.cat == "Session" && e.name == RUN).map(|e| (e.ts, e.ts + e.dur)).collect();
    spans.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let Some(first) = spans.len().checked_sub(runs).filter(|_| runs > 0) else {
        return Err(format!("it has {} runs of the graph, {runs} were made", spans.len()));
    };
    let in_use = |e: &Raw| e.args.mem_bytes_in_use.as_ref()?.parse::<u64>().ok();
    let nodes = || raw.iter().filter(|e| e.cat == "Node" && e.name.ends_with(KERNEL));
    let spans = &spans[first..];
    let counted = nodes().filter(|e| spans[0].0 <= e.ts).filter_map(in_use).max();
    let arena = nodes().filter_map(in_use).min().zip(counted);
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut events = Vec::new();
    for e in nodes() {
        let Some(run) = spans.iter().position(|(start, end)| *start <= e.ts && e.ts < *end) else { continue };
        let next = numbers.len();
        let known = e.args.node_index.as_deref().unwrap_or(&e.name);
        let operation = *numbers.entry(known).or_insert(next);
        let name = e.name.strip_suffix(KERNEL).unwrap_or(&e.name).to_owned();
        let or_unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
        events.push(Event {
            op: or_unknown(&e.args.op_name),
            provider: or_unknown(&e.args.provider),
            name,
            operation,
            run,
            start_us: e.ts - spans[0].0,
            duration_us: e.dur,
        });
    }
    if events.is_empty() {
        return Err("it has no operations".to_owned());
    }
    events.sort_by(|a, b| a.start_us.total_cmp(&b.start_us));
    let arena = arena.map(|(least_bytes, most_bytes)| ArenaUse { least_bytes, most_bytes });
    Ok(Recorded { events, arena })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"[
        {"cat":"Session","name":"session_initialization","ts":0,"dur":9,"ph":"X","args":{}},
        {"cat":"Node","name":"/a/Add_kernel_time","ts":11,"dur":3,"args":{"op_name":"Add","provider":"CPU","node_index":"4","mem_bytes_in_use":"900"}},
        {"cat":"Session","name":"model_run","ts":10,"dur":10,"args":{}},
        {"cat":"Node","name":"Gelu_kernel_time","ts":36,"dur":2,"args":{"op_name":"Gelu","provider":"CPU","node_index":"9","mem_bytes_in_use":"400"}},
        {"cat":"Node","name":"/a/Add_kernel_time","ts":32,"dur":4,"args":{"op_name":"Add","provider":"CPU","node_index":"4","mem_bytes_in_use":"100"}},
        {"cat":"Node","name":"/a/Add_fence_before","ts":31,"dur":1,"args":{"op_name":"Add"}},
        {"cat":"Session","name":"model_run","ts":30,"dur":10,"args":{}}
    ]"#;

    #[test]
    fn the_last_runs_are_read_and_earlier_ones_left_out() {
        let recorded = parse(FILE.as_bytes(), 1).unwrap();
        let seen: Vec<_> =
            recorded.events.iter().map(|e| (e.name.as_str(), e.run, e.start_us, e.duration_us)).collect();
        assert_eq!(seen, [("/a/Add", 0, 2.0, 4.0), ("Gelu", 0, 6.0, 2.0)]);
        assert_eq!(recorded.arena, Some(ArenaUse { least_bytes: 100, most_bytes: 400 }));
        let both = parse(FILE.as_bytes(), 2).unwrap().events;
        assert_eq!(both.iter().map(|e| (e.operation, e.run)).collect::<Vec<_>>(), [(0, 0), (0, 1), (1, 1)]);
    }

    #[test]
    fn a_file_without_the_runs_that_were_made_is_refused() {
        let problem = |text: &str, runs| parse(text.as_bytes(), runs).err().unwrap();
        assert_eq!(problem(FILE, 3), "it has 2 runs of the graph, 3 were made");
        assert!(problem("", 1).contains("EOF"));
        assert!(
            problem("[{\"cat\":\"Session\",\"name\":\"model_run\",\"ts\":1,\"dur\":1}]", 1)
                .contains("no operations")
        );
    }
}
