//! Two results side by side: for each case in both, the ratio of its steps with an interval, and a verdict.
//!
//! The ratio is that of the medians over runs of a run's median step (or its mean, or its processor time), B to A: below
//! 1, B is faster. Its 95 % interval is a percentile bootstrap (Efron 1979) over runs, which covers what varies between runs of one process.
//! Results of different machines, or of one machine in different states, are not compared unless that is asked for.

mod bootstrap;

use super::result::{BenchResult, Limit, Measured, Row};
use anyhow::{Context, Result, bail};
use bootstrap::Interval;
use serde::Serialize;
use std::path::Path;

/// Runs of a case, at least, for a verdict.
const MIN_RUNS: usize = 5;

/// Limits of one machine in one state, read in processor time, differ by less.
const SAME_LIMIT: f64 = 0.25;

/// A comparison, schema `avdit-compare/1`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// `avdit-compare/1`.
    pub schema: &'static str,
    /// The file that is compared with.
    pub a: String,
    /// The file that is judged.
    pub b: String,
    /// What differs between the machines or their states; compared all the same because that was asked for.
    pub differences: Vec<Difference>,
    /// What is compared.
    pub figure: Figure,
    /// The most by which a step may have become longer, as a share; none if nothing is to be judged.
    pub max_regression: Option<f64>,
    /// Cases that are in A, in its order, then those in B alone.
    pub rows: Vec<Pair>,
    /// What should make a reader careful.
    pub notes: Vec<String>,
}

/// Which figure of a run is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Figure {
    /// Its median step
    #[default]
    P50,
    /// Its mean step
    Mean,
    /// The processor time of a step: for machines that are shared with other work
    Cpu,
}

impl Figure {
    fn of(self, measured: &Measured) -> &[f64] {
        match self {
            Figure::P50 => &measured.run_p50_ms,
            Figure::Mean => &measured.run_mean_ms,
            Figure::Cpu => &measured.run_cpu_ms,
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Figure::P50 => "median step",
            Figure::Mean => "mean step",
            Figure::Cpu => "processor time of a step",
        }
    }
}

/// Something that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What.
    pub what: String,
    /// In A.
    pub a: String,
    /// In B.
    pub b: String,
}

/// One case of both files.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// The case.
    pub case: String,
    /// The figure in A, the median over its runs.
    pub a_ms: Option<f64>,
    /// The figure in B, the median over its runs.
    pub b_ms: Option<f64>,
    /// B to A.
    pub ratio: Option<Interval>,
    /// What may be said.
    pub verdict: Verdict,
    /// Whether the gate fails for it.
    pub regressed: bool,
    /// Engine's version, graph's form and set-up, where they differ: A's, B's.
    pub versions: Option<(String, String)>,
}

/// What may be said of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The interval lies below 1.
    Faster,
    /// The interval lies above 1.
    Slower,
    /// The interval holds 1.
    NoDifferenceShown,
    /// Fewer runs than an interval needs.
    TooFewRuns,
    /// It failed in A.
    FailedInA,
    /// It failed in B.
    FailedInB,
    /// It failed in both.
    FailedInBoth,
    /// It is in A alone.
    OnlyInA,
    /// It is in B alone.
    OnlyInB,
}

impl Verdict {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Verdict::Faster => "faster",
            Verdict::Slower => "slower",
            Verdict::NoDifferenceShown => "no difference shown",
            Verdict::TooFewRuns => "too few runs",
            Verdict::FailedInA => "failed in A",
            Verdict::FailedInB => "failed in B",
            Verdict::FailedInBoth => "failed in both",
            Verdict::OnlyInA => "only in A",
            Verdict::OnlyInB => "only in B",
        }
    }
}

/// Reads a result.
///
/// # Errors
/// If the file is not there, or is not a result of this schema.
pub fn read(path: &Path) -> Result<BenchResult> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let value: serde_json::Value = serde_json::from_str(&text)
        .map_err(std::io::Error::from)
        .with_context(|| format!("{} is not JSON", path.display()))?;
    let (schema, wanted) = (value["schema"].as_str().unwrap_or("none"), super::result::SCHEMA);
    if schema != wanted {
        let reason = format!("{}: schema is {schema}, this version compares {wanted}", path.display());
        bail!(std::io::Error::other(reason));
    }
    serde_json::from_value(value)
        .map_err(std::io::Error::from)
        .with_context(|| format!("{} is not a result of `avdit bench`", path.display()))
}

/// What differs between the machines and states of two results, beyond what is to be compared.
pub fn differences(a: &BenchResult, b: &BenchResult) -> Vec<Difference> {
    let (m, n) = (&a.machine, &b.machine);
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".into());
    let mut pairs = vec![
        ("processor", m.cpu.clone(), n.cpu.clone()),
        ("logical processors", m.threads.to_string(), n.threads.to_string()),
        ("instruction sets", m.instruction_sets.join(" "), n.instruction_sets.join(" ")),
        ("operating system", m.os.clone(), n.os.clone()),
        ("clock governor", text(&a.before.governor), text(&b.before.governor)),
    ];
    let device = |row: &Row| {
        let device = row.measured.as_ref()?.device.as_ref()?;
        let limit = device.power_limit_w.map_or(String::new(), |watts| format!(", {watts:.0} W"));
        Some(format!("{}{limit}", device.name))
    };
    let devices = |result: &BenchResult| {
        let mut devices: Vec<_> = result.rows.iter().filter_map(device).collect();
        devices.sort();
        devices.dedup();
        devices.join("; ")
    };
    let (first, second) = (devices(a), devices(b));
    pairs.push(("device", first, second));
    pairs.extend(limits(a, b));
    let differing = pairs.into_iter().filter(|(_, a, b)| a != b);
    differing.map(|(what, a, b)| Difference { what: what.to_owned(), a, b }).collect()
}

/// Limits that both have read and that are further apart than one machine's in one state are.
fn limits(a: &BenchResult, b: &BenchResult) -> Vec<(&'static str, String, String)> {
    let same = |x: &&Limit, y: &Limit| {
        (&x.engine, x.precision, x.threads, &x.unit) == (&y.engine, y.precision, y.threads, &y.unit)
    };
    let pairs = a.limits.iter().filter_map(|x| Some((x, b.limits.iter().find(|y| same(y, x))?)));
    let apart = pairs.filter_map(|(x, y)| {
        let (u, v) = (x.per_cpu_second?, y.per_cpu_second?);
        let what =
            if x.engine.is_some() { "matrix products in processor time" } else { "bandwidth of memory" };
        let text = |value: f64| format!("{value:.1} {}", x.unit);
        ((u - v).abs() > SAME_LIMIT * u.max(v)).then(|| (what, text(u), text(v)))
    });
    apart.collect()
}

/// Sets two results beside each other.
pub fn compare(
    (a_name, a): (&str, &BenchResult),
    (b_name, b): (&str, &BenchResult),
    figure: Figure,
    max_regression: Option<f64>,
) -> Comparison {
    let partner = |row: &Row, of: &BenchResult| of.rows.iter().find(|other| key(other) == key(row)).cloned();
    let in_a = a.rows.iter().map(|row| pair(Some(row), partner(row, b).as_ref(), figure, max_regression));
    let rest = b.rows.iter().filter(|row| partner(row, a).is_none());
    let rows = in_a.chain(rest.map(|row| pair(None, Some(row), figure, max_regression))).collect();
    Comparison {
        schema: "avdit-compare/1",
        a: a_name.to_owned(),
        b: b_name.to_owned(),
        differences: differences(a, b),
        figure,
        max_regression,
        rows,
        notes: notes(a, b),
    }
}

/// A case that is twice in a result, so that nothing tells which of the rows is meant.
pub fn repeated(result: &BenchResult) -> Option<String> {
    let keys: Vec<_> = result.rows.iter().map(key).collect();
    keys.iter().enumerate().find(|(i, key)| keys[..*i].contains(key)).map(|(_, key)| key.clone())
}

/// What must be the same for two rows to be the same case.
fn key(row: &Row) -> String {
    let s = &row.sampling;
    let precision = row.model.precision.map_or("unknown precision", |precision| precision.name());
    let threads = if row.threads == 1 { "thread" } else { "threads" };
    let guidance = if s.guidance == 1.0 { String::new() } else { format!(", guidance {}", s.guidance) };
    format!(
        "{} {precision} on {}, batch {}, {} {threads}, {} × {}, {}{guidance}",
        row.model.name, row.engine, s.batch, row.threads, s.sampler, s.steps, s.task
    )
}

fn pair(a: Option<&Row>, b: Option<&Row>, figure: Figure, max_regression: Option<f64>) -> Pair {
    let measured = |row: Option<&Row>| row.and_then(|row| row.measured.clone());
    let (of_a, of_b) = (measured(a), measured(b));
    let ratio = of_a.as_ref().zip(of_b.as_ref()).and_then(|(a, b)| {
        let (a, b) = (figure.of(a), figure.of(b));
        (a.len().min(b.len()) >= MIN_RUNS).then(|| bootstrap::ratio_of_medians(a, b))
    });
    let verdict = match (a, b, &of_a, &of_b, &ratio) {
        (_, None, ..) => Verdict::OnlyInA,
        (None, ..) => Verdict::OnlyInB,
        (_, _, None, None, _) => Verdict::FailedInBoth,
        (_, _, None, ..) => Verdict::FailedInA,
        (_, _, _, None, _) => Verdict::FailedInB,
        (.., None) => Verdict::TooFewRuns,
        (.., Some(ratio)) if ratio.high < 1.0 => Verdict::Faster,
        (.., Some(ratio)) if ratio.low > 1.0 => Verdict::Slower,
        _ => Verdict::NoDifferenceShown,
    };
    // Slower by more than is allowed, and shown to be slower; or it was there before and is not now.
    let regressed = max_regression.is_some_and(|most| match (&ratio, verdict) {
        (Some(ratio), Verdict::Slower) => ratio.estimate > 1.0 + most,
        (_, verdict) => matches!(verdict, Verdict::FailedInB | Verdict::OnlyInA),
    });
    let version = |row: Option<&Row>| {
        let row = row?;
        let version = row.measured.as_ref()?.opened.version.clone();
        Some(std::iter::once(version).chain(row.setup.iter().cloned()).collect::<Vec<_>>().join(", "))
    };
    let middle = |m: &Option<Measured>| {
        m.as_ref().map(|m| bootstrap::median(figure.of(m).to_vec())).filter(|ms| ms.is_finite())
    };
    Pair {
        case: a.or(b).map_or_else(String::new, key),
        a_ms: middle(&of_a),
        b_ms: middle(&of_b),
        ratio,
        verdict,
        regressed,
        versions: version(a).zip(version(b)).filter(|(a, b)| a != b),
    }
}

fn notes(a: &BenchResult, b: &BenchResult) -> Vec<String> {
    let mut notes = Vec::new();
    for (name, result) in [("A", a), ("B", b)] {
        notes.extend(result.notes.iter().map(|note| format!("{name}: {note}")));
        for row in result.rows.iter().filter(|row| row.measured.is_some()) {
            notes.extend(row.notes.iter().map(|note| format!("{name}, {}: {note}", key(row))));
        }
    }
    if a.protocol.interleaved != b.protocol.interleaved {
        notes.push("one file's cases ran in turn, the other's one after another".to_owned());
    }
    if a.avdit != b.avdit {
        notes.push(format!("avdit {} and {}", a.avdit, b.avdit));
    }
    notes
}

#[cfg(test)]
mod tests;
