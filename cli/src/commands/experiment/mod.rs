//! `avdit experiment`: many trainings that differ in one thing, measured alike.
//!
//! A run is a training and what is measured of it; it leaves its material and, at last, `result.json` in a folder of
//! its own. The report is made from what lies there, whatever is missing.

mod chart;
mod kept;
mod measured;
mod page;
mod paper;
mod part;
mod progress;
mod reality;
mod results;
mod rivals;
mod run;
mod score;
mod settings;
mod sheet;

use crate::args::{ExperimentCommand, MonlArgs};
use crate::cancel;
use crate::exit::{Interrupted, Usage};
use crate::output::say;
use anyhow::{Context, Result, bail};
use avdit_media::world::WorldKind;
use avdit_runtime::EngineKind;
use avdit_trainer::checkpoint::{read_json, write_json};
use reality::{Place, Reality};
use run::{Bench, RunFolder};
use serde::{Deserialize, Serialize};
use settings::{Method, RunId, Settings, WorldPlan, matches, runs};
use std::path::Path;

pub fn run(command: &ExperimentCommand) -> Result<()> {
    match command {
        ExperimentCommand::Monl(args) => monl(args),
    }
}

/// What a folder of the experiment says that it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Stamp {
    schema: String,
    settings: Settings,
    /// Of all runs.
    engine: EngineKind,
}

fn monl(args: &MonlArgs) -> Result<()> {
    let settings = Settings::of(args)?;
    for name in settings::method_names() {
        // Before a folder becomes this experiment's.
        Method::named(name)?.train_config(&settings, 0, "data".into(), "run".into())?.check()?;
    }
    if let Some(form) = &args.only {
        check_names(form, &settings)?;
    }
    let stamp = claim(&args.out, settings, args.report_only)?;
    if !args.report_only {
        let threads = args.threads.map_or_else(rayon::current_num_threads, usize::from);
        work(args, &stamp, threads)?;
    }
    report(args, &stamp)
}

/// Writes the report of what is there.
fn report(args: &MonlArgs, stamp: &Stamp) -> Result<()> {
    let notes = args.notes.as_ref();
    let read =
        |path: &std::path::PathBuf| std::fs::read_to_string(path).with_context(|| path.display().to_string());
    let notes = notes.map(read).transpose()?;
    let page = page::write(&args.out, &stamp.settings, notes.as_deref())?;
    say(page.display().to_string());
    if let Some(doc) = &args.doc {
        page::copy(&page, doc)?;
        say(doc.display().to_string());
    }
    Ok(())
}

/// Does all runs that are left, world by world.
fn work(args: &MonlArgs, stamp: &Stamp, threads: usize) -> Result<()> {
    let (settings, out) = (&stamp.settings, args.out.as_path());
    let wanted = |id: &RunId| args.only.as_ref().is_none_or(|form| matches(form, &id.to_string()));
    for plan in &settings.world {
        let Some(methods) = methods(out, settings, plan)? else {
            eprintln!(
                "{}: its methods are chosen once the first world's rivals have run; run the same command again then",
                plan.name
            );
            continue;
        };
        let mut left = Vec::new();
        for id in runs(plan.name, &methods, &settings.seeds).into_iter().filter(wanted) {
            if RunFolder::of(out, &id).finished_as(&id, settings)?.is_none() {
                left.push(id);
            }
        }
        if left.is_empty() {
            continue;
        }
        let reality = Reality::open(place(out, plan.name), settings)?;
        let bench = Bench { out, settings, reality: &reality, engine: stamp.engine, threads };
        for id in &left {
            check_cancelled()?;
            match run::run(&bench, id)? {
                Some(_) => {
                    let words = progress::words(out, settings, &wanted, args.only.is_none())?;
                    eprintln!("{id}: finished ({words})");
                }
                None => eprintln!("{id}: another process has it in hand"),
            }
        }
    }
    Ok(())
}

/// Refuses a form of names that no run can have, whichever rivals are chosen.
fn check_names(form: &str, settings: &Settings) -> Result<()> {
    let names: Vec<String> = settings
        .world
        .iter()
        .flat_map(|plan| {
            let all: Vec<String> = settings::method_names().map(str::to_owned).collect();
            runs(plan.name, &all, &settings.seeds)
        })
        .map(|id| id.to_string())
        .collect();
    if names.iter().any(|name| matches(form, name)) {
        return Ok(());
    }
    let example = names.first().map_or("", String::as_str);
    bail!(Usage(format!(
        "--only '{form}': no run has such a name\n\nhint: names are WORLD/METHOD-SEED, such as {example}; * stands for any \
         text\n  worlds: {}\n  methods: {}\n  seeds: {:?}",
        settings.world.iter().map(|plan| plan.name.to_string()).collect::<Vec<_>>().join(", "),
        settings::method_names().collect::<Vec<_>>().join(", "),
        settings.seeds
    )))
}

/// The methods of a world; none where they depend on runs that are not finished.
fn methods(out: &Path, settings: &Settings, plan: &WorldPlan) -> Result<Option<Vec<String>>> {
    if plan.strongest_rivals == 0 {
        return Ok(Some(plan.methods.clone()));
    }
    let chosen = rivals::choose(out, settings, plan)?;
    Ok(chosen.map(|chosen| plan.methods.iter().cloned().chain(chosen).collect()))
}

/// Where a world's files are.
fn place(out: &Path, kind: WorldKind) -> Place {
    Place { kind, folder: out.join("worlds").join(kind.to_string()) }
}

/// Makes a folder this experiment's, or checks that it is.
fn claim(out: &Path, settings: Settings, report_only: bool) -> Result<Stamp> {
    let path = out.join("experiment.json");
    if path.is_file() {
        let found: Stamp = read_json(&path)?;
        // A report is of what is there.
        if !report_only && found.settings != settings {
            let (there, here) = (serde_json::to_value(&found.settings)?, serde_json::to_value(&settings)?);
            bail!(Usage(format!(
                "{}: an experiment with other settings\n  {}\n\nhint: go on with `{} --out {}`, or choose another folder with \
                 --out",
                out.display(),
                run::differences(&there, &here, &[]).join("\n  "),
                found.settings.command()?,
                out.display()
            )));
        }
        return Ok(found);
    }
    let empty = std::fs::read_dir(out).map_or(true, |mut entries| entries.next().is_none());
    if report_only || !empty {
        let hint = "give the folder of an experiment with --out";
        bail!(Usage(format!("{}: holds no experiment\n\nhint: {hint}", out.display())));
    }
    std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    // Whatever runs here; all runs of this experiment then use the same.
    let engine = match avdit_runtime::engine::load_onnx_runtime(None) {
        Ok(_) => EngineKind::OrtCpu,
        Err(avdit_runtime::Error::NoOnnxRuntime { .. }) => EngineKind::Tract,
        Err(error) => return Err(error.into()),
    };
    let stamp = Stamp { schema: "avdit-experiment-monl/1".into(), settings, engine };
    write_json(&path, &stamp)?;
    Ok(stamp)
}

/// What is said when the user has stopped it.
fn interrupted() -> anyhow::Error {
    Interrupted("run the same command again: it goes on from what is there".into()).into()
}

/// An error if the user wants to stop.
fn check_cancelled() -> Result<()> {
    if cancel::asked() { Err(interrupted()) } else { Ok(()) }
}
