//! `avdit quantize`: a model in fewer bits, searched for, proven, written.

mod bench;
mod cache;
mod curve;
mod gate;
mod integers;
mod quality;
mod recipe;
mod target;
mod worth;

pub use quality::{Quality, file_name};

use crate::args::{Asked, QuantizeArgs, QuantizeWhat};
use crate::exit::{GateFailed, Usage};
use crate::output::{say, say_json};
use crate::place;
use anyhow::{Context, Result, bail};
use avdit_core::{Latents, Task};
use avdit_export::{ExportRecord, FileRecord, ModelConfig, ModelFolder};
use avdit_media::shard::Dataset;
use avdit_onnx::{Model, WriteOptions};
use avdit_quantize::states::{self, Run, State, Trajectories};
use avdit_quantize::{Calibration, Precision, Recipe};
use avdit_runtime::{EngineKind, EngineOptions};
use bench::EngineBench;
use recipe::Made;
use std::path::{Path, PathBuf};

/// Beside a recipe: what the inputs of units were seen to be.
const CALIBRATION: &str = "calibration.json";
/// Clips of a dataset that tasks are given parts of.
const GIVEN: usize = 8;

/// What all stages have.
struct Job<'a> {
    args: &'a QuantizeArgs,
    source: &'a Path,
    out: &'a Path,
    precision: Precision,
    target: EngineKind,
    /// The recipe that was given, and what it was calibrated with.
    recipe: Option<(Recipe, Calibration)>,
    model: Model,
    config: ModelConfig,
    record: ExportRecord,
    plan: Trajectories,
    states: Vec<State>,
    runs: Vec<Run>,
}

pub fn run(args: &QuantizeArgs) -> Result<()> {
    if let Some(QuantizeWhat::Report { folder, json }) = &args.what {
        let quality = Quality::read(folder)?;
        return if *json { say_json(&quality) } else { tell(&quality, folder) };
    }
    let source = args.model.as_deref().context("no model was named")?;
    let out = args.out.as_deref().context("no -o was given")?;
    place::check_export(out, Some(source), ExportRecord::SCHEMA)?;
    if !EngineKind::ON_CPU.contains(&args.engine) {
        let names = EngineKind::ON_CPU.map(EngineKind::name).join(" or ");
        bail!(Usage(format!(
            "--engine {}: quality is measured on {names}\n\nhint: quantize there, then `avdit bench` on the GPU; ONNX Runtime's \
             CUDA provider has no kernels for 8-bit products, so int8 runs there in weights alone (int8-weight)",
            args.engine
        )));
    }
    let mut job = Job::open(args, source, out)?;
    job.walk()?;
    let made = recipe::make(&job)?;
    write(&job, made)
}

impl<'a> Job<'a> {
    fn open(args: &'a QuantizeArgs, source: &'a Path, out: &'a Path) -> Result<Self> {
        let recipe = args.recipe.as_deref().map(read_recipe).transpose()?;
        let target = args.target.unwrap_or(args.engine);
        let asked = recipe.as_ref().map_or(args.precision, |(recipe, _)| Asked::Exactly(recipe.precision));
        let precision = target::precision(asked, target)?;
        if args.half_ports && precision.half().is_none() {
            bail!(Usage(format!(
                "--half-ports: inputs and outputs can be fp16 or bf16 where the graph computes in it, and --precision is {precision}"
            )));
        }
        let config = ModelConfig::read(source)?;
        let record = ExportRecord::read(source)?;
        let wrong =
            |what: &str| -> anyhow::Error { avdit_trainer::Error::content(source, what.to_owned()).into() };
        if config.step.is_some() {
            return Err(wrong(
                "is a fused step, whose predictions cannot be judged\n\nhint: quantize an export without --fused-step",
            ));
        }
        if record.dtype != "float32" {
            return Err(wrong("is quantized already\n\nhint: give the model in single precision"));
        }
        // Weights are read when they are needed: the engine holds them once already.
        let model = Model::read_graph(source.join("model.onnx"))?;
        if config.frozen.as_ref().is_some_and(|frozen| frozen.levels.len() != args.steps + 1) {
            return Err(wrong(
                "was exported with --freeze-schedule for another number of steps\n\nhint: give the same number as --steps",
            ));
        }
        let plan = Trajectories {
            tasks: args.tasks.clone(),
            sampler: args.sampler,
            steps: args.steps,
            seed: args.seed,
            per_stratum: args.per_stratum.into(),
            grid: config.frozen.is_none(),
        };
        let (states, runs) = (Vec::new(), Vec::new());
        Ok(Self { args, source, out, precision, target, recipe, model, config, record, plan, states, runs })
    }

    fn options(&self) -> EngineOptions {
        let (threads, onnx_runtime) = (self.args.threads.into(), self.args.onnxruntime.clone());
        EngineOptions { threads, onnx_runtime, ..EngineOptions::default() }
    }

    fn bench(&self) -> Result<EngineBench<'_>> {
        let room =
            self.out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(room).with_context(|| room.display().to_string())?;
        let room = room.to_owned();
        Ok(EngineBench { source: self.source, kind: self.args.engine, options: self.options(), room })
    }

    /// Walks the trajectories of the source.
    fn walk(&mut self) -> Result<()> {
        let given = self.given()?;
        let mut engine = crate::engines::open(self.source, self.args.engine, &self.options())?;
        let segments = self.config.spec.layout.segments();
        // The network's own sample, where tasks are given parts of it and it is not one of them; and levels of no task.
        let needs = |task: &Task| task.given(segments).is_ok_and(|given| given.cells().contains(&true));
        let own = given.is_empty() && self.plan.tasks.first().is_some_and(needs);
        let grid = if self.plan.grid { states::BINS * states::BINS } else { 0 };
        let total = (self.plan.tasks.len() + usize::from(own)) * self.plan.steps + grid;
        let mut stage = crate::progress::Stage::new("source's trajectories", total, "predictions");
        let mut done = 0;
        let walked = states::walk(engine.as_mut(), &self.plan, &given, &mut || {
            done += 1;
            stage.set(done, "");
        })?;
        (self.states, self.runs) = walked;
        stage.finish(&format!("{} tasks, {} states to judge by", self.runs.len(), self.states.len()));
        Ok(())
    }

    /// Clips of the dataset.
    fn given(&self) -> Result<Vec<Latents>> {
        let Some(folder) = &self.args.calibrate else { return Ok(Vec::new()) };
        let dataset = Dataset::open(folder)?;
        if dataset.is_empty() {
            let what = "holds no clips to calibrate on\n\nhint: leave --calibrate out, and the model's own samples are used";
            return Err(avdit_trainer::Error::content(folder, what).into());
        }
        if *dataset.layout() != self.config.spec.layout {
            let what = format!(
                "its latents are {:?}, the model's are {:?}",
                dataset.layout(),
                self.config.spec.layout
            );
            return Err(avdit_trainer::Error::content(folder, what).into());
        }
        let clips = (0..dataset.len().min(GIVEN)).map(|index| Ok(dataset.latents(index)?));
        clips.collect()
    }
}

/// A recipe and, where it needs one, the calibration beside it.
fn read_recipe(path: &Path) -> Result<(Recipe, Calibration)> {
    let recipe = Recipe::read(path)?;
    let calibration = match recipe.needs_calibration() {
        true => Calibration::read(&path.with_file_name(CALIBRATION))?,
        false => Calibration::default(),
    };
    Ok((recipe, calibration))
}

/// Judges the graph, and writes the folder if it keeps the budget.
fn write(job: &Job<'_>, made: Made) -> Result<()> {
    let Made { recipe, .. } = &made;
    let staged = ModelFolder::begin(job.out)?;
    let folder = staged.path();
    let written = made.model.write(folder.join("model.onnx"), &WriteOptions::default())?;
    std::fs::copy(job.source.join("config.json"), folder.join("config.json"))?;
    let codec = job.source.join("codec.safetensors");
    if codec.is_file() {
        std::fs::copy(&codec, folder.join("codec.safetensors"))?;
    }
    let files = std::iter::once(&written.model).chain(&written.data);
    let files: Vec<FileRecord> = files.map(|path| FileRecord::of(path)).collect::<Result<_, _>>()?;
    let bytes = |files: &[FileRecord]| files.iter().map(|file| file.bytes).sum();
    let size = quality::Size { source_bytes: bytes(&job.record.files), quantized_bytes: bytes(&files) };
    let judged = gate::judge(job, folder, &made, size)?;
    let failures = judged.failures();
    if !failures.is_empty() {
        bail!(GateFailed(format!(
            "{} of {} does not keep {} dB, and nothing was written: {}\n\nhint: a lower --budget-snr, another --precision, or \
             (for integers) a search without --everything and --recipe",
            recipe.precision,
            job.source.display(),
            job.args.budget_snr,
            failures.join("; ")
        )));
    }
    std::fs::write(folder.join("quant.toml"), recipe.to_text()?)?;
    if recipe.needs_calibration() {
        std::fs::write(folder.join(CALIBRATION), serde_json::to_vec(&made.calibration)?)?;
    }
    std::fs::write(folder.join("quality.json"), serde_json::to_vec_pretty(&judged)?)?;
    std::fs::write(folder.join("quality.html"), crate::report::quality_page(&judged)?)?;
    let record = ExportRecord {
        // Attention in bytes needs a newer operator set than the source.
        opset: made.model.opset("").unwrap_or(job.record.opset),
        ir_version: made.model.ir_version(),
        dtype: recipe.precision.name().to_owned(),
        files,
        parity: Vec::new(),
        not_checked: Vec::new(),
        ..job.record.clone()
    };
    staged.commit(&record)?;
    if let Some(cache) = made.cache {
        cache.done();
    }
    if job.args.json { say_json(&judged) } else { tell(&judged, job.out) }
}

fn tell(quality: &Quality, folder: &Path) -> Result<()> {
    let (predictions, trajectories) = quality.worst_db();
    let size = quality.size.quantized_bytes as f64 / quality.size.source_bytes as f64;
    say(format!("{}: {}, {:.3} × the size", folder.display(), quality.precision, size));
    say(format!(
        "  worst prediction {predictions:.1} dB, worst trajectory {trajectories:.1} dB (budget {} dB)",
        quality.budget_snr_db
    ));
    say(format!("  {}", quality.speed()));
    for task in &quality.tasks {
        let show = |fidelity: Option<avdit_quantize::quality::Fidelity>| {
            fidelity.map_or("given".to_owned(), |f| format!("{:.1} dB", f.snr_db))
        };
        say(format!("  {:<12} picture {:>8}   sound {:>8}", task.task, show(task.video), show(task.audio)));
    }
    let page: PathBuf = folder.join("quality.html");
    say(format!("  {}", page.display()));
    Ok(())
}
