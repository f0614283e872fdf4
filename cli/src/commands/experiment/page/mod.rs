//! The report: `monl.md`, with its charts and sheets in a folder beside it. Made from what is there; what is missing
//! is said.

mod claim;
mod law;
mod method;
mod table;
mod words;

pub use words::signed;

use super::measured::{AUDIO_MADE, VIDEO_MADE};
use super::paper;
use super::results::{Results, WorldResults};
use super::rivals::{PRIMARY, SECOND};
use super::settings::Settings;
use super::sheet;
use anyhow::{Context, Result};
use avdit_core::Task;
use avdit_media::atomic::write_bytes_atomically;
use std::path::{Path, PathBuf};
use words::{list, task_title};

/// The folder beside the page.
const FOLDER: &str = "monl";

/// Writes the report of a folder; returns the page.
pub fn write(out: &Path, settings: &Settings, notes: Option<&str>) -> Result<PathBuf> {
    let folder = out.join(FOLDER);
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let results = Results::read(out, settings)?;
    let text = page(&results, &folder, notes)?;
    let path = out.join("monl.md");
    write_bytes_atomically(&path, text.as_bytes())?;
    Ok(path)
}

/// Copies a report and what it links to.
pub fn copy(page: &Path, to: &Path) -> Result<()> {
    let stem = to.file_stem().and_then(|stem| stem.to_str()).context("--doc names no file")?;
    let folder = to.with_file_name(stem);
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let from = page.with_file_name(FOLDER);
    for entry in std::fs::read_dir(&from).with_context(|| from.display().to_string())? {
        let path = entry?.path();
        if let (true, Some(name)) = (path.is_file(), path.file_name()) {
            write_bytes_atomically(&folder.join(name), &std::fs::read(&path)?)?;
        }
    }
    let text = std::fs::read_to_string(page)?.replace(&format!("]({FOLDER}/"), &format!("]({stem}/"));
    Ok(write_bytes_atomically(to, text.as_bytes())?)
}

fn page(results: &Results, folder: &Path, notes: Option<&str>) -> Result<String> {
    let settings = &results.settings;
    let (tasks, rows) = (settings.tasks()?, paper::rows()?);
    let (finished, meant) = results.counts();
    let mut text = String::from(
        "# The claim of MoNL, in small\n\nMade by `avdit experiment monl`; no line is written by hand",
    );
    text += if notes.is_some() { " but those under *Notes*.\n\n" } else { ".\n\n" };
    text += "Kim et al. 2024 train one network with a mixture of noise levels (MoNL) and find it better, averaged over tasks, than \
        networks trained with simpler level strategies (their Table 1). Here the same question is asked of small networks on \
        synthetic worlds whose law is known. **Is one model trained with MoNL better on average than one trained with the best \
        single strategy?**\n\n";
    for world in &results.worlds {
        text += &claim::answer(results, world);
        text += &law::answer(world, &tasks);
    }
    text += &format!("\n{finished} of {meant} runs are finished.\n\n");
    if settings.steps < 100 || settings.samples < 128 {
        text += "**These settings are too small to learn or to tell anything: a test of the program.**\n\n";
    }
    let unlike = results.unlike();
    if !unlike.is_empty() {
        text += &format!(
            "**These trainings do not share what they should, so they cannot be compared: {}.**\n\n",
            list(&unlike)
        );
    }
    for world in &results.worlds {
        text += &of_world(results, world, &tasks, &rows, folder)?;
    }
    if let Some(notes) = notes {
        text += &format!("## Notes\n\n{}\n\n", notes.trim());
    }
    text += "## What was done\n\n";
    text += &method::method(results, &tasks);
    text += "## What it took\n\n";
    text += &method::costs(results);
    text += &format!("Made with `{}`.\n", settings.command()?);
    Ok(text)
}

fn of_world(
    results: &Results,
    world: &WorldResults,
    tasks: &[Task],
    rows: &[paper::Row],
    folder: &Path,
) -> Result<String> {
    let mut text = format!("## World: {}\n\n{}\n\n", world.kind, about(world));
    if let (Some(choice), false) =
        (&results.choice, results.settings.world.first().is_some_and(|w| w.name == world.kind))
    {
        let scores: Vec<String> =
            choice.scores.iter().map(|(name, score)| format!("{name} {}", words::fixed(*score, 3))).collect();
        text += &format!(
            "Rivals by their score on the first world ({}): {}.\n\n",
            list(&scores),
            list(&choice.chosen)
        );
    } else if !world.rivals_are_chosen {
        text += "Its rivals are chosen once all of the first world's have run.\n\n";
    }
    if world.methods.iter().all(|method| method.runs.is_empty()) {
        return Ok(text + "Not run yet.\n\n");
    }
    text += "### MoNL against its rivals\n\nThe mean logarithm of the distances, MoNL less the rival: below 0 MoNL is better.\n\n";
    let chart = format!("{}-score.svg", world.kind);
    let (section, svg) = claim::section(results, world, &format!("{FOLDER}/{chart}"));
    text += &section;
    if let Some(svg) = svg {
        write_bytes_atomically(&folder.join(chart), svg.as_bytes())?;
    }
    text += "### Beside the paper's Table 1\n\nFréchet distances, sound / pictures, lower is better; the best of a column in bold. \
        Ours are from the \
        true clips as the codec rebuilds them; the paper's are FAD / FVD on Monologues: compare orders, not numbers.\n\n";
    text += &table::beside(results, world, tasks, rows);
    text += &table::floor(world);
    text += &table::missing(world);
    text += "### Where the order is not the paper's\n\n";
    text += &table::deviations(world, tasks, rows);
    text += "### Distances with intervals\n\n";
    text += "From the true clips as the codec rebuilds them:\n\n";
    text += &table::intervals(world, tasks, PRIMARY);
    text += "From the true clips themselves:\n\n";
    text += &table::intervals(world, tasks, SECOND);
    let made = table::intervals(world, tasks, [VIDEO_MADE, AUDIO_MADE]);
    if !made.is_empty() {
        text += "Of the made part alone, from the same part of the true clips:\n\n";
        text += &made;
    }
    text += &format!("### The law\n\nCorrelation of {}.\n\n", law::law_in_words(world.kind));
    text += &law::law(world, tasks);
    let identity = law::identity(world, tasks);
    if !identity.is_empty() {
        text += "### Identity in continuation\n\n";
        text += &identity;
    }
    text += "### Samples\n\n";
    for task in tasks {
        let name = format!("{}-{}.png", world.kind, super::reality::file_name(task));
        let shown = sheet::write(&folder.join(&name), world, task)?;
        if !shown.is_empty() {
            text += &format!(
                "{}, from the top down: {}.\n\n![samples]({FOLDER}/{name})\n\n",
                task_title(task),
                list(&shown)
            );
        }
    }
    Ok(text)
}

fn about(world: &WorldResults) -> &'static str {
    use avdit_media::world::WorldKind;
    match world.kind {
        WorldKind::Ball => {
            "A ball bounces; its height is the pitch of a tone, its touching the ground a click, its colour the timbre."
        }
        WorldKind::Monologue => {
            "A face speaks; its mouth opens with the loudness of a voice, its head rises with the voice's pitch, its colour is the \
            voice's timbre."
        }
    }
}
