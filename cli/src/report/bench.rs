//! The page of a measurement: one file that needs nothing from outside.

use super::svg::bench::{
    Bar, Parts, Point, Roof, bars_chart, by_step_chart, distribution_chart, parts_chart, roofline_chart,
    series_class,
};
use super::{environment, format::significant};
use crate::bench::result::{BenchResult, Measured};
use crate::bench::tables::{common, labels, summary, tables};
use minijinja::context;
use minijinja::value::{Serde, Value};

/// The page.
///
/// # Errors
/// If the template cannot be rendered, which is a fault of this program.
pub(crate) fn bench_page(result: &BenchResult) -> Result<String, minijinja::Error> {
    let labels = labels(&result.rows);
    let rows: Vec<(usize, &str, &Measured)> = result
        .rows
        .iter()
        .zip(&labels)
        .enumerate()
        .filter_map(|(i, (row, label))| Some((i, label.as_str(), row.measured.as_ref()?)))
        .collect();
    let safe = Value::from_safe_string;
    let legend: Vec<Value> =
        rows.iter().map(|(i, label, _)| context! { class => series_class(*i), label => *label }).collect();
    let notes = |i: usize| -> Vec<String> {
        let row = &result.rows[i];
        row.notes
            .iter()
            .cloned()
            .chain(row.log.iter().map(|line| format!("its process said: {line}")))
            .collect()
    };
    let noted: Vec<Value> = (0..result.rows.len())
        .filter(|&i| !notes(i).is_empty())
        .map(|i| context! { label => labels[i].as_str(), notes => notes(i) })
        .collect();
    let by_step: Vec<_> =
        rows.iter().map(|(i, _, m)| (*i, m.step_ms_by_index.iter().map(|step| step.p50).collect())).collect();
    let spread: Vec<_> = rows.iter().map(|(i, _, m)| (*i, m.step_percentiles_ms.as_slice())).collect();
    environment()?.get_template("bench.html")?.render(context! {
        result => Serde(result),
        summary => summary(result),
        common => common(&result.rows),
        tables => Serde(tables(result)),
        legend,
        noted,
        bars => safe(bars_chart(&bars(&rows))),
        parts => safe(parts_chart(&parts(&rows))),
        by_step => safe(by_step_chart(&by_step)),
        distribution => safe(distribution_chart(&spread)),
        roofline => safe(roofline(result, &rows)),
        placement => placement(&rows),
        style => safe(concat!(include_str!("page.css"), include_str!("bench.css")).into()),
    })
}

fn bars(rows: &[(usize, &str, &Measured)]) -> Vec<Bar> {
    let bar = |(index, label, m): &(usize, &str, &Measured)| Bar {
        label: (*label).to_owned(),
        index: *index,
        p50: m.step_ms.p50,
        p90: m.step_ms.p90,
        p99: m.step_ms.p99,
    };
    rows.iter().map(bar).collect()
}

fn parts(rows: &[(usize, &str, &Measured)]) -> Vec<Parts> {
    let part = |(_, label, m): &(usize, &str, &Measured)| Parts {
        label: (*label).to_owned(),
        network: m.network_ms.p50,
        copies: m.copies_ms.p50,
        sampler: m.sampler_ms.p50,
    };
    rows.iter().map(part).collect()
}

fn roofline(result: &BenchResult, rows: &[(usize, &str, &Measured)]) -> String {
    let (mut roofs, mut points) = (Vec::new(), Vec::new());
    for (index, label, measured) in rows {
        let Some(r) = measured.roofline else { continue };
        points.push(Point {
            label: (*label).to_owned(),
            index: *index,
            intensity: r.intensity,
            gflop_per_s: r.reached_gflop_per_s,
        });
        let row = &result.rows[*index];
        let plural = if row.threads == 1 { "" } else { "s" };
        let roof = Roof {
            label: format!("{} {}, {} thread{plural}", row.engine, r.precision, row.threads),
            gflop_per_s: r.matmul_gflop_per_s,
            gb_per_s: r.bandwidth_gb_per_s.unwrap_or(f64::NAN),
        };
        if !roofs.contains(&roof) && roof.gb_per_s.is_finite() {
            roofs.push(roof);
        }
    }
    roofline_chart(&roofs, &points)
}

/// What ran where, in each engine's own account.
fn placement(rows: &[(usize, &str, &Measured)]) -> Vec<Value> {
    let of = |(_, label, m): &(usize, &str, &Measured)| {
        let places = m.opened.placement.as_array().cloned().unwrap_or_default();
        let place = |place: &serde_json::Value| {
            let device = place["device"].as_str().unwrap_or("unknown").to_owned();
            match place["nodes"].as_f64() {
                Some(nodes) => format!("{} nodes on {device}", significant(nodes, 6)),
                None => format!("all on {device}"),
            }
        };
        let library = m.opened.library.as_ref().map(|path| path.display().to_string());
        context! {
            label => *label,
            version => m.opened.version.as_str(),
            library => library.unwrap_or_else(|| "part of the program".to_owned()),
            places => places.iter().map(place).collect::<Vec<_>>().join(", "),
        }
    };
    rows.iter().map(of).collect()
}
