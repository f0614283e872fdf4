//! A profile as text of at most 100 columns.

use super::Report;
use super::rows::Row;
use crate::commands::bench::describe;
use crate::output::say;

pub fn say_report(x: &Report, top: usize) {
    let facts = &x.facts;
    let (name, version, threads) = (facts.engine.name(), &facts.version, facts.threads);
    say(format!("{name} {version}, {threads} threads, on {}", describe(&x.machine)));
    say(format!(
        "{} × {} steps, batch {}, {} runs: {} predictions",
        x.sampler, x.steps, x.batch, x.runs, x.predictions
    ));
    say(format!(
        "a prediction takes {:.2} ms (p50), and {:.2} ms with a clock on every operation: {:.2} ×",
        x.plain_ms.p50, x.profiled_ms.p50, x.slowdown
    ));
    say("what follows has that clock on: shares, no latency; the first run of the model is left out");
    say(format!(
        "operations cover {:.1} % of the time inside the engine; of theirs, {:.1} % has no path and is taken to\n\
         belong where its neighbours do, {:.1} % is unattributed",
        x.coverage * 100.0,
        x.taken_from_neighbours * 100.0,
        x.unattributed * 100.0
    ));
    match x.limits {
        Some(limits) => say(format!(
            "bound by: at {:.0} GFLOP/s and {:.1} GB/s, the share that is reached of the limit that binds",
            limits.gflop_per_s, limits.gb_per_s
        )),
        None => say("bound by: not known without --machine-rate and --machine-bandwidth"),
    }
    rows("block", &x.blocks);
    rows("all blocks, by what they do", &x.kinds);
    rows("modality (joint parts by tokens)", &x.modalities);
    rows("operator, as the engine has it", &x.operators);
    say(format!("\n{:<34} {:>6} {:>10} {:>7}", "provider", "ops", "ms", "share"));
    let total: f64 = x.providers.iter().map(|provider| provider.total_ms).sum();
    for p in &x.providers {
        let (ms, share) = (p.total_ms / x.predictions as f64, 100.0 * p.total_ms / total);
        say(format!("{:<34} {:>6} {ms:>10.3} {share:>6.1}%", p.provider, p.operations));
    }
    slowest(x, top);
    if let Some(arena) = x.arena {
        let mb = |bytes: u64| bytes as f64 * 1e-6;
        say(format!(
            "\nthe engine's arena: {:.1} MB, {:.1} MB of it weights; {:.1} MB of activations, {:.1} MB foretold",
            mb(arena.most_bytes),
            mb(arena.least_bytes),
            mb(arena.most_bytes - arena.least_bytes),
            mb(x.foretold_arena_bytes)
        ));
    }
}

fn rows(name: &str, rows: &[Row]) {
    say(format!(
        "\n{name:<34} {:>6} {:>10} {:>7} {:>8} {:>8} {:>8} {:>11}",
        "ops", "ms", "share", "GFLOP", "MB", "GFLOP/s", "bound by"
    ));
    for row in rows {
        let cost = |of: fn(&crate::cost::Figures) -> f64| {
            row.cost.as_ref().map_or(String::new(), |cost| format!("{:.2}", of(cost)))
        };
        let bound = row.bound.map(|bound| format!("{} {:.0}%", bound.by, bound.reached * 100.0));
        let line = format!(
            "{:<34} {:>6} {:>10.3} {:>6.1}% {:>8} {:>8} {:>8} {:>11}",
            row.name,
            row.operations,
            row.ms_per_prediction,
            row.share * 100.0,
            cost(|cost| cost.operations as f64 * 1e-9),
            cost(|cost| cost.bytes as f64 * 1e-6),
            row.gflop_per_s.map_or(String::new(), |rate| format!("{rate:.1}")),
            bound.unwrap_or_default()
        );
        say(line.trim_end());
    }
}

fn slowest(x: &Report, top: usize) {
    let mut operations: Vec<_> = x.operations.iter().collect();
    operations.sort_by(|a, b| b.time.total_ms.total_cmp(&a.time.total_ms));
    let total: f64 = operations.iter().map(|operation| operation.time.total_ms).sum();
    if top > 0 {
        say(format!("\n{:<56} {:>20} {:>6} {:>7} {:>6}", "slowest operations", "", "calls", "ms", "share"));
    }
    for operation in operations.iter().take(top) {
        let time = &operation.time;
        let guess = if operation.is_taken_from_neighbours {
            format!(" (in {})", operation.block)
        } else {
            String::new()
        };
        let mut name = format!("{}{guess}", time.name);
        if let Some((end, _)) = name.char_indices().nth(56) {
            name.truncate(end);
        }
        let mut op = time.op.clone();
        op.truncate(20);
        say(format!(
            "{name:<56} {op:>20} {:>6} {:>7.3} {:>5.1}%",
            time.calls,
            time.total_ms / x.predictions as f64,
            100.0 * time.total_ms / total
        ));
    }
}
