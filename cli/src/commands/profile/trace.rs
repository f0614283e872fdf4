//! A trace for chrome://tracing and ui.perfetto.dev: a row for each block, and a mark where each step begins.

use crate::parts::{Block, Part};
use avdit_runtime::profile::Profile;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Events in the JSON array form of the Trace Event Format; times are microseconds.
pub fn of(profile: &Profile, parts: &[(Part, bool)]) -> Vec<Value> {
    let mut rows: BTreeMap<&Block, usize> = parts.iter().map(|(part, _)| (&part.block, 0)).collect();
    // Row 0 is that of the steps.
    rows.values_mut().enumerate().for_each(|(i, row)| *row = i + 1);
    let name = |row: usize, name: &str| {
        let of = |what: &str, args| json!({ "ph": "M", "pid": 1, "tid": row, "name": what, "args": args });
        [of("thread_name", json!({ "name": name })), of("thread_sort_index", json!({ "sort_index": row }))]
    };
    let engine = format!("{} {}", profile.facts.engine, profile.facts.version);
    let mut events = vec![json!({ "ph": "M", "pid": 1, "name": "process_name", "args": { "name": engine } })];
    events.extend(name(0, "steps"));
    events.extend(rows.iter().flat_map(|(block, row)| name(*row, &block.to_string())));

    let mut bounds: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    for event in &profile.events {
        let end = event.start_us + event.duration_us;
        let bound = bounds.entry(event.run).or_insert((event.start_us, end));
        *bound = (bound.0.min(event.start_us), bound.1.max(end));
        let (part, _) = &parts[event.operation];
        events.push(json!({
            "ph": "X", "pid": 1, "tid": rows.get(&part.block), "name": event.name, "cat": part.kind.to_string(),
            "ts": event.start_us, "dur": event.duration_us,
            "args": { "operator": event.op, "provider": event.provider, "run": event.run },
        }));
    }
    for (run, (start, end)) in bounds {
        let step = profile.step_of_run.get(run).copied().unwrap_or(run);
        let label = format!("step {step}");
        events.push(json!({
            "ph": "X", "pid": 1, "tid": 0, "name": label, "cat": "step", "ts": start, "dur": end - start,
            "args": { "run": run },
        }));
        events.push(
            json!({ "ph": "i", "s": "p", "pid": 1, "tid": 0, "name": label, "cat": "step", "ts": start }),
        );
    }
    events
}
