//! What a step costs as networks grow: time against the multiply-adds that it should follow.
//!
//! Networks with random weights are exported and measured by the program itself, each in a process of its own. Writes
//! `sweep.csv`, `sweep.md` and a chart for each axis.

mod chart;
mod points;

use crate::process::{output, root, run, shown};
use anyhow::{Context, Result, bail};
use chart::Curve;
use points::{Axis, BASE, Point};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Engines that every point is measured on, each with a graph written for it.
const ENGINES: [(&str, &str); 2] = [("ort-cpu", "ort-cpu"), ("tract", "portable")];

/// What was measured at a point.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Figures {
    p50_ms: f64,
    p90_ms: f64,
    cpu_ms: f64,
    peak_bytes: Option<f64>,
}

/// A row of the table; a failure is one too.
struct Row {
    axis: Axis,
    point: Point,
    engine: &'static str,
    result: Result<Figures, String>,
}

/// Measures every axis and writes the results into `out`. `avdit` is the program; it is built if not given.
pub(crate) fn sweep(out: &Path, quick: bool, avdit: Option<PathBuf>) -> Result<()> {
    let avdit = match avdit {
        Some(avdit) => avdit,
        None => build()?,
    };
    let models = out.join("models");
    std::fs::create_dir_all(&models).with_context(|| models.display().to_string())?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let (mut rows, mut done): (Vec<Row>, Vec<(Point, &str)>) = (Vec::new(), Vec::new());
    for axis in Axis::ALL {
        for point in axis.points(quick, processors) {
            for (engine, target) in ENGINES {
                // The base lies on every axis and is measured once.
                let known = done.iter().position(|seen| *seen == (point, engine));
                let result = match known {
                    Some(place) => rows[place].result.clone(),
                    None => {
                        let model = export(&avdit, &models, &point, target)?;
                        measure(&avdit, &model, &point, engine, quick).map_err(|error| format!("{error:#}"))
                    }
                };
                let told = match &result {
                    Ok(figures) => format!("{:.2} ms", figures.p50_ms),
                    Err(error) => error.lines().next().unwrap_or_default().to_owned(),
                };
                println!("{} {}: {engine}: {told}", axis.name(), axis.value(&point));
                done.push((point, engine));
                rows.push(Row { axis, point, engine, result });
            }
        }
    }
    std::fs::remove_dir_all(&models).with_context(|| models.display().to_string())?;
    let write = |name: &str, text: String| {
        let path = out.join(name);
        std::fs::write(&path, text).with_context(|| path.display().to_string())
    };
    write("sweep.csv", csv(&rows))?;
    write("sweep.md", markdown(&rows))?;
    for axis in Axis::ALL {
        let title = format!("A sampling step over {}", axis.name());
        if let Some(svg) = chart::svg(&title, axis.name(), "ms", &curves(&rows, axis)) {
            write(&format!("sweep-{}.svg", axis.name()), svg)?;
        }
    }
    if rows.iter().all(|row| row.result.is_err()) {
        bail!("nothing could be measured; {} says why", out.join("sweep.csv").display());
    }
    Ok(())
}

fn build() -> Result<PathBuf> {
    run(Command::new("cargo").args(["build", "--release", "-p", "avdit"]).current_dir(root()))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(target.join("release").join(format!("avdit{}", std::env::consts::EXE_SUFFIX)))
}

/// Exports the network of a point, unless it is there.
fn export(avdit: &Path, models: &Path, point: &Point, target: &str) -> Result<PathBuf> {
    let model = models.join(format!("{}-{target}", point.model()));
    if !model.exists() {
        let config = models.join("network.toml");
        std::fs::write(&config, point.toml()).with_context(|| config.display().to_string())?;
        let mut command = Command::new(avdit);
        command
            .args(["export", "--random", "0", "--check", "none", "--target", target, "--config"])
            .arg(&config)
            .arg("-o")
            .arg(&model);
        output(&mut command)?;
    }
    Ok(model)
}

fn measure(avdit: &Path, model: &Path, point: &Point, engine: &str, quick: bool) -> Result<Figures> {
    let (runs, seconds) = if quick { ("2", "0.3") } else { ("5", "3") };
    let mut command = Command::new(avdit);
    command.arg("bench").arg(model).args(["--json", "--no-limits", "--steps", "2", "--engine", engine]);
    command.args(["--min-runs", runs, "--duration-s", seconds]);
    command.args(["--threads", &point.threads.to_string(), "--batch", &point.batch.to_string()]);
    let text = output(&mut command)?;
    let json: Value = serde_json::from_str(&text).with_context(|| format!("`{}`", shown(&command)))?;
    figures(&json).with_context(|| format!("`{}`", shown(&command)))
}

/// The figures of the only row in what `avdit bench --json` writes.
fn figures(json: &Value) -> Result<Figures> {
    let number = |path: &str| json.pointer(&format!("/rows/0/measured{path}")).and_then(Value::as_f64);
    let needed = |path: &str| number(path).with_context(|| format!("its result has no number at {path}"));
    Ok(Figures {
        p50_ms: needed("/step_ms/p50")?,
        p90_ms: needed("/step_ms/p90")?,
        cpu_ms: needed("/cpu_ms_per_step")?,
        peak_bytes: number("/memory/run_peak_bytes"),
    })
}

/// For each engine what was measured along an axis, and what it would be if it grew from the base as the work does.
fn curves(rows: &[Row], axis: Axis) -> Vec<Curve> {
    let of_engine = |&(engine, _): &(&'static str, &str)| {
        let measured = rows.iter().filter(|row| row.axis == axis && row.engine == engine);
        let measured: Vec<(Point, f64)> =
            measured.filter_map(|row| Some((row.point, row.result.as_ref().ok()?.p50_ms))).collect();
        let base = measured.iter().find(|(point, _)| *point == BASE).map(|(_, ms)| *ms);
        let expected = |ms: f64| {
            let at = |(point, _): &(Point, f64)| (axis.value(point) as f64, ms * point.work() / BASE.work());
            measured.iter().map(at).collect()
        };
        Curve {
            name: engine.to_owned(),
            expected: base.map(expected).unwrap_or_default(),
            measured: measured.iter().map(|(point, ms)| (axis.value(point) as f64, *ms)).collect(),
        }
    };
    ENGINES.iter().map(of_engine).filter(|curve| !curve.measured.is_empty()).collect()
}

fn csv(rows: &[Row]) -> String {
    let mut text = String::from(
        "axis,engine,tokens,width,depth,batch,threads,gflop,p50_ms,p90_ms,cpu_ms,gflop_per_s,peak_mib,error\n",
    );
    for Row { axis, point, engine, result } in rows {
        let gflop = 2e-9 * point.multiply_adds() as f64;
        let Point { width, depth, batch, threads, .. } = point;
        let result = match result {
            Ok(Figures { p50_ms, p90_ms, cpu_ms, peak_bytes }) => {
                let peak = peak_bytes.map_or(String::new(), |bytes| format!("{:.0}", bytes / 1048576.0));
                let rate = gflop / p50_ms * 1e3;
                format!("{p50_ms:.4},{p90_ms:.4},{cpu_ms:.4},{rate:.1},{peak},")
            }
            Err(error) => format!(",,,,,\"{}\"", error.replace('"', "'").replace('\n', " ")),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{},{engine},{},{width},{depth},{batch},{threads},{gflop:.4},{result}",
            axis.name(),
            point.tokens()
        );
    }
    text
}

fn markdown(rows: &[Row]) -> String {
    let mut text = format!(
        "Base: {} tokens, width {}, depth {}, batch {}, {} thread. GFLOP counts a multiply-add as two; \
         GFLOP/s are those of wall time, which other work on the machine lengthens.\n",
        BASE.tokens(),
        BASE.width,
        BASE.depth,
        BASE.batch,
        BASE.threads
    );
    for axis in Axis::ALL {
        let of_axis: Vec<&Row> = rows.iter().filter(|row| row.axis == axis).collect();
        let heads = ENGINES.map(|(engine, _)| format!(" {engine} ms | CPU ms | GFLOP/s |")).concat();
        let _ = writeln!(
            text,
            "\n| {} | GFLOP |{heads}\n|---:|---:|{}",
            axis.name(),
            "---:|---:|---:|".repeat(ENGINES.len())
        );
        for group in of_axis.chunks(ENGINES.len()) {
            let point = group[0].point;
            let gflop = 2e-9 * point.multiply_adds() as f64;
            let cell = |row: &&Row| match &row.result {
                Ok(Figures { p50_ms, cpu_ms, .. }) => {
                    format!(" {p50_ms:.2} | {cpu_ms:.2} | {:.0} |", gflop / p50_ms * 1e3)
                }
                Err(_) => " not run | | |".to_owned(),
            };
            let cells: String = group.iter().map(cell).collect();
            let _ = writeln!(text, "| {} | {gflop:.2} |{cells}", axis.value(&point));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows() -> Vec<Row> {
        let figures = |ms| Figures { p50_ms: ms, p90_ms: ms, cpu_ms: ms, peak_bytes: Some(1048576.0) };
        let row = |point: Point, engine, result| Row { axis: Axis::Depth, point, engine, result };
        let deeper = Point { depth: 12, ..BASE };
        vec![
            row(BASE, ENGINES[0].0, Ok(figures(10.0))),
            row(BASE, ENGINES[1].0, Err("no \"library\"\nhere".into())),
            row(deeper, ENGINES[0].0, Ok(figures(25.0))),
            row(deeper, ENGINES[1].0, Ok(figures(30.0))),
        ]
    }

    #[test]
    fn figures_are_those_of_the_row() {
        let measured = json!({
            "step_ms": { "p50": 2.0, "p90": 3.0 }, "cpu_ms_per_step": 4.0, "memory": { "run_peak_bytes": 5 },
        });
        let expected = Figures { p50_ms: 2.0, p90_ms: 3.0, cpu_ms: 4.0, peak_bytes: Some(5.0) };
        assert_eq!(figures(&json!({ "rows": [{ "measured": measured }] })).unwrap(), expected);
        let error = figures(&json!({ "rows": [{ "measured": null }] })).unwrap_err().to_string();
        assert_eq!(error, "its result has no number at /step_ms/p50");
    }

    #[test]
    fn what_is_expected_starts_at_the_base_and_grows_with_the_work() {
        let curves = curves(&rows(), Axis::Depth);
        assert_eq!(curves[0].measured, [(6.0, 10.0), (12.0, 25.0)]);
        let [(_, first), (_, second)] = curves[0].expected[..] else { panic!("two points") };
        assert_eq!(first, 10.0);
        assert!((19.5..20.0).contains(&second), "{second}");
        assert!(curves[1].expected.is_empty(), "without its base an engine has nothing to grow from");
    }

    #[test]
    fn failures_stay_in_the_tables_with_their_reason() {
        let (csv, markdown) = (csv(&rows()), markdown(&rows()));
        let columns = |line: &str| line.split(',').count();
        let lines: Vec<_> = csv.lines().collect();
        assert_eq!(lines.len(), 5);
        assert!(lines.iter().all(|line| columns(line) == columns(lines[0])), "{csv}");
        assert!(lines[2].ends_with("\"no 'library' here\""), "{csv}");
        assert!(markdown.contains(" not run | | |"), "{markdown}");
        assert!(markdown.lines().any(|line| line.starts_with("| 12 | 21.")), "{markdown}");
    }
}
