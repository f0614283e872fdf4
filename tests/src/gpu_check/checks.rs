//! The checks, in their order.

use super::command::{Said, Tools};
use super::models::{Network, networks};
use super::report::{Check, Outcome, Report};
use anyhow::{Context, Result};
use avdit_runtime::EngineKind;
use serde_json::Value;

/// Latents of ten steps, of two engines in single precision; 2e-6 was measured on the CPU.
const TWO_ENGINES: &str = "1e-3";
/// A fused step against the plain loop, on one engine.
const FUSED: &str = "1e-5";
/// A captured graph against the same one uncaptured: the same kernels, which may add in another order.
const CAPTURED: &str = "1e-5";

struct Run<'a> {
    tools: &'a Tools,
    report: &'a mut Report,
    say: &'a mut dyn FnMut(&str),
    dry_run: bool,
    engine: EngineKind,
}

/// Does all that can be done and adds it to the report.
pub(super) fn run(
    tools: &Tools,
    doctor: &Value,
    said: &Said,
    report: &mut Report,
    say: &mut dyn FnMut(&str),
) -> Result<()> {
    let dry_run = tools.options.dry_run;
    let engine = if dry_run { EngineKind::OrtCpu } else { EngineKind::OrtCuda };
    let mut run = Run { tools, report, say, dry_run, engine };
    let unusable = |engine: EngineKind| problem(doctor, engine);
    let outcome = unusable(engine).map_or(Outcome::Passed, Outcome::Failed);
    let is_usable = outcome == Outcome::Passed;
    run.record(&format!("{engine} is usable"), outcome, Some(said), Vec::new(), doctor.clone());
    if !is_usable {
        run.not_run("everything else", &format!("{engine} is not usable"));
        return Ok(());
    }
    run.parity(engine)?;
    run.not_run("parity, fp16", "fp16 graphs are not in this version");
    run.not_run(
        "share of the bf16 matrix rate",
        "bf16 graphs are not in this version; shares are of the fp32 rate",
    );
    let networks = networks(dry_run);
    let mut exported = Vec::new();
    for network in &networks {
        if run.export(network, network.name, &["--target", target(engine)])? {
            exported.push(network);
        }
    }
    if let Some(small) = exported.first().filter(|network| network.name == "small") {
        run.agreement(small)?;
    }
    for network in exported {
        run.latency(network.name, engine, &network.what())?;
    }
    run.tensorrt(unusable(EngineKind::OrtTensorRt), &networks[0])
}

/// Why an engine cannot run, in doctor's words.
fn problem(doctor: &Value, engine: EngineKind) -> Option<String> {
    let engines = doctor["engines"].as_array();
    let Some(report) = engines.into_iter().flatten().find(|report| report["engine"] == engine.name()) else {
        return Some("doctor does not know it".to_owned());
    };
    if report["usable"] == true {
        return None;
    }
    Some(report["problem"].as_str().unwrap_or("no reason given").to_owned())
}

/// The form of graph that an engine runs fastest.
fn target(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::OrtTensorRt => "tensorrt",
        EngineKind::OrtCuda => "ort-cuda",
        EngineKind::OrtCpu => "ort-cpu",
        _ => "portable",
    }
}

impl Run<'_> {
    fn record(
        &mut self,
        name: &str,
        outcome: Outcome,
        said: Option<&Said>,
        figures: Vec<String>,
        data: Value,
    ) {
        let result = match &outcome {
            Outcome::Passed => "passed".to_owned(),
            Outcome::Failed(reason) => format!("FAILED: {reason}"),
            Outcome::NotRun(reason) => format!("not run: {reason}"),
        };
        (self.say)(&format!("{name}: {result} {}", figures.join("; ")));
        let (command, seconds) =
            said.map_or((None, 0.0), |said| (Some(said.command.clone()), said.took.as_secs_f64()));
        self.report.checks.push(Check { name: name.to_owned(), outcome, command, seconds, figures, data });
    }

    fn not_run(&mut self, name: &str, why: &str) {
        self.record(name, Outcome::NotRun(why.to_owned()), None, Vec::new(), Value::Null);
    }

    /// A command of `parity`, judged by its rows on an engine, with whichever graph.
    fn rows(&mut self, name: &str, said: &Said, engine: &str) {
        let data = said.json().unwrap_or(Value::Null);
        let rows = data["rows"].as_array().into_iter().flatten();
        let rows: Vec<&Value> = rows.filter(|row| is_of(row, engine)).collect();
        let failed = rows.iter().filter(|row| row["ok"] != true).count();
        let error = |row: &&Value| row["error"].as_f64().zip(row["tolerance"].as_f64());
        let worst = rows.iter().filter_map(error).max_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
        let outcome = if said.ok() && failed == 0 && !rows.is_empty() {
            Outcome::Passed
        } else if rows.is_empty() {
            Outcome::Failed(format!("no row on {engine}; {}", said.complaint()))
        } else {
            let first = rows.iter().find(|row| row["ok"] != true);
            let reason = first.and_then(|row| row["failure"].as_str()).unwrap_or("out of tolerance");
            Outcome::Failed(format!("{failed} of {} rows: {reason}", rows.len()))
        };
        let mut figures = vec![format!("{} rows", rows.len())];
        figures.extend(worst.map(|(error, tolerance)| format!("worst error {error:.1e} of {tolerance:.0e}")));
        self.record(name, outcome, Some(said), figures, data);
    }

    fn parity(&mut self, engine: EngineKind) -> Result<()> {
        let golden = self.tools.options.golden.as_os_str();
        let arguments = ["--json".as_ref(), "--engine".as_ref(), engine.name().as_ref(), golden];
        let said = self.tools.parity(&format!("parity-{engine}"), &arguments)?;
        self.rows(&format!("parity of the golden networks on {engine}, fp32"), &said, engine.name());
        Ok(())
    }

    /// Writes a model with random weights; whether that went well.
    fn export(&mut self, network: &Network, name: &str, options: &[&str]) -> Result<bool> {
        let folder = self.tools.model(name);
        let config = self.tools.options.out.join(format!("{}.json", network.name));
        let text = serde_json::to_string_pretty(&network.config)?;
        std::fs::write(&config, text).with_context(|| format!("{} cannot be written", config.display()))?;
        // An earlier check may have left one here.
        let _ = std::fs::remove_dir_all(&folder);
        let mut arguments = vec!["export".as_ref(), "--random".as_ref(), "0".as_ref(), "--config".as_ref()];
        arguments.extend([config.as_os_str(), "-o".as_ref(), folder.as_os_str(), "--json".as_ref()]);
        arguments.extend(["--check", "none"].map(AsRef::<std::ffi::OsStr>::as_ref));
        arguments.extend(options.iter().map(AsRef::<std::ffi::OsStr>::as_ref));
        let said = self.tools.avdit(&format!("export-{name}"), &arguments)?;
        let outcome = if said.ok() { Outcome::Passed } else { Outcome::Failed(said.complaint()) };
        let went_well = outcome == Outcome::Passed;
        let data = said.json().unwrap_or(Value::Null);
        self.record(&format!("export of {name}"), outcome, Some(&said), Vec::new(), data);
        Ok(went_well)
    }

    /// Whether a model folder holds a fused step: two plain graphs agree as well.
    fn is_fused(&self, model: &str) -> bool {
        let text = std::fs::read_to_string(self.tools.model(model).join("config.json")).unwrap_or_default();
        serde_json::from_str(&text).is_ok_and(|config: Value| config["step"].is_object())
    }

    /// The latents of the first model against those of the second, each on an engine.
    fn same(&mut self, name: &str, log: &str, sides: [(&str, &str); 2], tolerance: &str) -> Result<()> {
        let [a, b] = sides.map(|(model, engine)| format!("{}={engine}", self.tools.model(model).display()));
        let arguments = ["--json", "--same", &a, &b, "--tolerance", tolerance];
        let said = self.tools.parity(log, &arguments)?;
        self.rows(name, &said, sides[1].1);
        Ok(())
    }

    /// Whatever should make the same latents does.
    fn agreement(&mut self, small: &Network) -> Result<()> {
        let engine = self.engine.name();
        let (reference, other) = if self.dry_run { ("tract", "portable") } else { ("ort-cpu", "ort-cpu") };
        if self.export(small, "small-reference", &["--target", other])? {
            let name = format!("latents of ten steps, {engine} against {reference}");
            self.same(
                &name,
                "same-engine",
                [("small-reference", reference), ("small", engine)],
                TWO_ENGINES,
            )?;
        }
        if self.export(small, "small-fused", &["--target", target(self.engine), "--fused-step"])? {
            let sides = [("small", engine), ("small-fused", engine)];
            let name = "fused step against the plain loop";
            if self.is_fused("small-fused") {
                self.same(name, "same-fused", sides, FUSED)?;
            } else {
                let reason = "its config.json tells of no fused step".to_owned();
                self.record(name, Outcome::Failed(reason), None, Vec::new(), Value::Null);
            }
            self.latency("small-fused", self.engine, "the fused step of small")?;
        }
        let captured = "CUDA graph against the same run without, two runs of different noise";
        if self.dry_run {
            self.not_run(captured, "a dry run on the CPU has no CUDA");
            return Ok(());
        }
        if !self.is_fused("small-fused") {
            self.not_run(captured, "there is no fused step, and nothing else can be captured");
            return Ok(());
        }
        let sides = [("small-fused", engine), ("small-fused", "ort-cuda+graph")];
        self.same(captured, "same-graph", sides, CAPTURED)
    }

    fn latency(&mut self, model: &str, engine: EngineKind, what: &str) -> Result<()> {
        let folder = self.tools.model(model);
        let mut arguments = vec!["bench".as_ref(), folder.as_os_str(), "--json".as_ref()];
        arguments.extend(["--engine", engine.name()].map(AsRef::<std::ffi::OsStr>::as_ref));
        let quick = ["--steps", "2", "--min-runs", "2", "--duration-s", "0.1", "--warm-up-ms", "0"];
        if self.dry_run {
            arguments.extend(quick.map(AsRef::<std::ffi::OsStr>::as_ref));
        }
        let said = self.tools.avdit(&format!("bench-{model}-{engine}"), &arguments)?;
        let data = said.json().unwrap_or(Value::Null);
        let row = &data["rows"][0];
        let measured = &row["measured"];
        let p50 = measured["step_ms"]["p50"].as_f64();
        let outcome = match p50 {
            Some(_) if said.ok() => Outcome::Passed,
            _ => Outcome::Failed(row["failed"]["reason"].as_str().map_or(said.complaint(), str::to_owned)),
        };
        let mut figures = vec![what.to_owned()];
        if let Some(p50) = p50 {
            let percentile = |name: &str| measured["step_ms"][name].as_f64().unwrap_or(f64::NAN);
            figures.push(format!(
                "step p50 {p50:.3} ms, p90 {:.3}, p99 {:.3}",
                percentile("p90"),
                percentile("p99")
            ));
        }
        let roofline = &measured["roofline"];
        match roofline["share_of_matmul"].as_f64().zip(roofline["matmul_gflop_per_s"].as_f64()) {
            Some((share, rate)) => figures.push(format!(
                "{:.0} % of the measured {} matrix rate of {rate:.0} GFLOP/s",
                share * 100.0,
                roofline["precision"].as_str().unwrap_or("unknown")
            )),
            None => figures.push("share of the matrix rate not measured".to_owned()),
        }
        let device = &measured["device"];
        if let Some(bytes) = device["peak_memory_bytes"].as_f64() {
            figures.push(format!("{:.2} GiB of device memory", bytes / f64::from(1 << 30)));
        }
        if let Some(joules) = device["joules_per_clip"].as_f64() {
            figures.push(format!("{joules:.2} J a clip"));
        }
        self.record(&format!("step of {model} on {engine}"), outcome, Some(&said), figures, data);
        Ok(())
    }

    fn tensorrt(&mut self, unusable: Option<String>, small: &Network) -> Result<()> {
        let engine = EngineKind::OrtTensorRt;
        if let Some(reason) = unusable {
            self.not_run("TensorRT", &reason);
            return Ok(());
        }
        self.parity(engine)?;
        let name = "small-tensorrt";
        if !self.export(small, name, &["--target", target(engine)])? {
            return Ok(());
        }
        let folder = self.tools.model(name);
        let arguments = ["engine".as_ref(), "build".as_ref(), folder.as_os_str()];
        let said = self.tools.avdit("engine-build", &arguments)?;
        let outcome = if said.ok() { Outcome::Passed } else { Outcome::Failed(said.complaint()) };
        self.record("TensorRT engine of small", outcome, Some(&said), Vec::new(), Value::Null);
        self.same(
            "TensorRT against CUDA",
            "same-tensorrt",
            [("small", "ort-cuda"), (name, engine.name())],
            TWO_ENGINES,
        )?;
        self.latency(name, engine, &small.what())
    }
}

/// Whether a row is an engine's: `ort-cuda`, or `ort-cuda, for ort-cuda`.
fn is_of(row: &Value, engine: &str) -> bool {
    let rest = row["engine"].as_str().and_then(|name| name.strip_prefix(engine));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(", "))
}
