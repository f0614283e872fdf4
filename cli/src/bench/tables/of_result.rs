//! The tables of a result.

use super::Table;
use crate::bench::notes;
use crate::bench::result::{BenchResult, Measured, Row};
use crate::report::format::{NO_NUMBER, bytes, count, milliseconds, percent, significant};

/// What tells one row from another, and what all have in common.
fn axes(row: &Row) -> Vec<(&'static str, String)> {
    let s = &row.sampling;
    let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    vec![
        ("model", row.model.name.clone()),
        ("engine", row.engine.clone()),
        ("precision", row.model.precision.map_or("unknown precision".into(), |p| p.to_string())),
        ("batch", format!("batch {}", s.batch)),
        ("threads", plural(row.threads, "thread")),
        ("sampling", format!("{} × {}", s.sampler, plural(s.steps, "step"))),
        ("task", s.task.clone()),
        ("guidance", format!("guidance {}", s.guidance)),
    ]
}

fn varying(rows: &[Row]) -> Vec<bool> {
    let all: Vec<_> = rows.iter().map(axes).collect();
    let first = all.first().cloned().unwrap_or_default();
    let mut varying: Vec<bool> = (0..first.len()).map(|i| all.iter().any(|row| row[i] != first[i])).collect();
    // The engine stands in every label: it is what a reader looks for first.
    if let Some(engine) = varying.get_mut(1) {
        *engine = true;
    }
    varying
}

/// A name for each row, of what tells it from the others.
pub fn labels(rows: &[Row]) -> Vec<String> {
    let varying = varying(rows);
    let label = |row: &Row| {
        let parts = axes(row).into_iter().zip(&varying).filter(|(_, varies)| **varies);
        parts.map(|((_, value), _)| value).collect::<Vec<_>>().join(" · ")
    };
    rows.iter().map(label).collect()
}

/// What all rows have in common, in a line.
pub fn common(rows: &[Row]) -> String {
    let varying = varying(rows);
    let first = rows.first().map(axes).unwrap_or_default();
    let parts = first.into_iter().zip(&varying).filter(|(_, varies)| !**varies);
    parts.map(|((_, value), _)| value).collect::<Vec<_>>().join(", ")
}

/// The result in a sentence.
pub fn summary(result: &BenchResult) -> String {
    let measured = result.rows.iter().filter(|row| row.measured.is_some()).count();
    let failed = result.rows.len() - measured;
    let plural = |n: usize| if n == 1 { "" } else { "s" };
    let mut text = format!("{measured} case{} measured", plural(measured));
    if failed > 0 {
        text += &format!(", {failed} failed");
    }
    let p = &result.protocol;
    let order = match &p.sequential_because {
        _ if p.interleaved => "in turn".to_owned(),
        Some(reason) => format!("one after another ({reason})"),
        None => "one after another".to_owned(),
    };
    text + &format!(
        ", each in a process of its own, {order}: at least {} ms of warm-up, {} runs and {} s",
        p.warm_up_ms, p.min_runs, p.min_duration_s
    )
}

/// The tables, those without content left out.
pub fn tables(result: &BenchResult) -> Vec<Table> {
    let rows = &result.rows;
    let all = [latency(rows), parts(rows), throughput(rows), opening(rows), memory(rows)];
    let more = [against_the_machine(rows), limits(result), failures(rows)];
    let full = all.into_iter().chain(more).filter(|table| !table.rows.is_empty());
    full.map(Table::without_empty_columns).collect()
}

fn dash() -> String {
    NO_NUMBER.to_owned()
}

fn ms(value: Option<f64>) -> String {
    value.map_or_else(dash, milliseconds)
}

fn size(value: Option<u64>) -> String {
    value.map_or_else(dash, |value| bytes(value as f64))
}

/// One line for each case that was measured.
fn of_measured(mut table: Table, rows: &[Row], cells: impl Fn(&Row, &Measured) -> Vec<String>) -> Table {
    for (row, label) in rows.iter().zip(labels(rows)) {
        if let Some(measured) = &row.measured {
            table.rows.push(std::iter::once(label).chain(cells(row, measured)).collect());
        }
    }
    table
}

fn latency(rows: &[Row]) -> Table {
    let about =
        "Wall time of a step after the warm-up. Percentiles are exact: each is a step that was measured.";
    let head = ["case", "p50", "p90", "p99", "mean", "min", "max", "cv", "CPU time", "steps"];
    of_measured(Table::new("Latency per sampling step", about, &head, 1), rows, |_, m| {
        let s = &m.step_ms;
        let times = [s.p50, s.p90, s.p99, s.mean, s.min, s.max].map(milliseconds);
        let rest = [percent(s.cv), milliseconds(m.cpu_ms_per_step), count(s.n as u64)];
        times.into_iter().chain(rest).collect()
    })
}

fn parts(rows: &[Row]) -> Table {
    let about = "Medians. The network is the engine's run of the graph; copies move latents in and out of the engine.";
    let head = ["case", "network", "copies", "sampler", "all but the network", "threads busy"];
    of_measured(Table::new("Parts of a step", about, &head, 1), rows, |row, m| {
        let parts = [m.network_ms.p50, m.copies_ms.p50, m.sampler_ms.p50].map(milliseconds);
        let busy = format!("{} of {}", significant(m.threads_busy, 3), row.threads);
        parts.into_iter().chain([percent(m.overhead), busy]).collect()
    })
}

fn throughput(rows: &[Row]) -> Table {
    let about = "Decoding of a clip from latents stands beside it and is not in it.";
    let head = ["case", "steps/s", "clips/s", "clip-s/s", "decode pictures", "decode sound"];
    of_measured(Table::new("Throughput", about, &head, 1), rows, |_, m| {
        vec![
            significant(m.steps_per_s, 3),
            significant(m.clips_per_s, 3),
            m.clip_seconds_per_s.map_or_else(dash, |x| significant(x, 3)),
            ms(m.decode.map(|d| d.video_ms)),
            ms(m.decode.map(|d| d.audio_ms)),
        ]
    })
}

fn opening(rows: &[Row]) -> Table {
    let head = [
        "case",
        "library",
        "model",
        "session",
        "engine build",
        "first step",
        "version",
        "nodes ran on",
        "graph and set-up",
    ];
    of_measured(Table::new("Opening, before anything counts", "", &head, 1), rows, |row, m| {
        let o = &m.opened;
        let times = [o.library_load_ms, Some(o.load_ms), Some(o.session_ms), o.engine_build_ms];
        let setup = if row.setup.is_empty() { "portable".to_owned() } else { row.setup.join(", ") };
        let rest = [milliseconds(o.first_step_ms), o.version.clone(), placement(&o.placement), setup];
        times.into_iter().map(ms).chain(rest).collect()
    })
}

/// `CPUExecutionProvider 577`.
fn placement(placement: &serde_json::Value) -> String {
    let one = |place: &serde_json::Value| {
        let nodes = place["nodes"].as_u64().map_or(String::new(), |nodes| format!(" {nodes}"));
        format!("{}{nodes}", place["device"].as_str().unwrap_or("?"))
    };
    placement.as_array().into_iter().flatten().map(one).collect::<Vec<_>>().join(", ")
}

fn memory(rows: &[Row]) -> Table {
    let about = "Peaks of the worker's process; the last is the peak while running, less the weights in the files and \
        what the process held before.";
    let head =
        ["case", "files", "peak opening", "peak running", "above the weights", "device", "energy per clip"];
    of_measured(Table::new("Memory", about, &head, 1), rows, |row, m| {
        let above = m.memory.above_weights_bytes.map_or_else(dash, |above| match u64::try_from(above) {
            Ok(above) => bytes(above as f64),
            Err(_) => format!("−{}", bytes(above.unsigned_abs() as f64)),
        });
        let device = m.device.as_ref();
        vec![
            size(row.model.bytes),
            size(m.memory.open_peak_bytes),
            size(m.memory.run_peak_bytes),
            above,
            size(device.and_then(|d| d.peak_memory_bytes)),
            device
                .and_then(|d| d.joules_per_clip)
                .map_or_else(dash, |joules| format!("{} J", significant(joules, 3))),
        ]
    })
}

fn against_the_machine(rows: &[Row]) -> Table {
    let about = "What the median step reaches of the engine's own 2048 × 2048 matrix product on as many threads, and of \
        the bound that the product and the bandwidth of memory set together (roofline); rates in GFLOP/s. Matrix products \
        alone are counted. Processor time is what other work on the machine disturbs least.";
    let head = [
        "case",
        "GFLOP",
        "FLOP/byte",
        "reached",
        "product",
        "bound",
        "of the product",
        "in CPU time",
        "of the bound",
    ];
    let mut table = Table::new("Against the machine", about, &head, 1);
    for (row, label) in rows.iter().zip(labels(rows)) {
        let Some(r) = row.measured.as_ref().and_then(|m| m.roofline) else { continue };
        let rate = |value: f64| significant(value, 3);
        let of_cpu = r.share_of_matmul_cpu.map_or_else(dash, percent);
        let shares = [percent(r.share_of_matmul), of_cpu, percent(r.share_of_bound)];
        let rates = [r.reached_gflop_per_s, r.matmul_gflop_per_s, r.bound_gflop_per_s].map(rate);
        let first = [label, significant(r.gflop, 3), significant(r.intensity, 3)];
        table.rows.push(first.into_iter().chain(rates).chain(shares).collect());
    }
    table
}

fn limits(result: &BenchResult) -> Table {
    let about = "The fastest run of each reading, before the first case and after the last; the larger counts. Beside it \
        the most for a second of processor time, over all threads.";
    let head = ["what", "before", "after", "counts", "per CPU second"];
    let mut table = Table::new("The machine's limits", about, &head, 1);
    for limit in &result.limits {
        let show = |value: &f64| format!("{} {}", significant(*value, 3), limit.unit);
        let reading = |i: usize| limit.readings.get(i).map_or_else(dash, show);
        let counts = match (&limit.value, &limit.reason) {
            (Some(value), _) => show(value),
            (None, reason) => reason.clone().unwrap_or_else(dash),
        };
        let of_cpu = limit.per_cpu_second.as_ref().map_or_else(dash, show);
        table.rows.push(vec![notes::name(limit), reading(0), reading(1), counts, of_cpu]);
    }
    table
}

fn failures(rows: &[Row]) -> Table {
    let mut table = Table::new("Failed", "", &["case", "where", "exit code", "reason"], 4);
    for (row, label) in rows.iter().zip(labels(rows)) {
        if let Some(failed) = &row.failed {
            let reason = failed.reason.replace('\n', " ");
            let hint = failed.hint.as_ref().map_or(String::new(), |hint| format!(" (hint: {hint})"));
            table.rows.push(vec![
                label,
                failed.stage.clone(),
                failed.exit_code.to_string(),
                format!("{reason}{hint}"),
            ]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::sample;

    #[test]
    fn a_label_says_what_differs_and_a_line_what_does_not() {
        let mut rows = sample::result().rows;
        assert_eq!(labels(&rows), ["ort-cpu", "tract", "ort-cuda"]);
        assert_eq!(common(&rows), "small, fp32, batch 1, 2 threads, ddim × 4 steps, joint, guidance 1");
        rows[1].threads = 1;
        assert_eq!(labels(&rows)[..2], ["ort-cpu · 2 threads", "tract · 1 thread"]);
    }

    #[test]
    fn what_failed_has_its_reason_and_no_figure() {
        let tables = tables(&sample::result());
        let with_cuda: Vec<_> =
            tables.iter().filter(|table| table.rows.iter().any(|row| row[0] == "ort-cuda")).collect();
        assert_eq!(with_cuda.iter().map(|table| table.title.as_str()).collect::<Vec<_>>(), ["Failed"]);
        assert!(with_cuda[0].rows[0][3].contains("cannot run here") && with_cuda[0].rows[0][2] == "5");
        let latency = &tables[0];
        assert_eq!(latency.rows.len(), 2);
        // No engine was built and no device told anything: no column for it.
        assert!(tables.iter().all(|table| !table.head.iter().any(|h| h == "engine build" || h == "device")));
    }
}
