//! The table beside the paper's, the same with intervals, and where the two disagree.

use super::words::{difference, distance, head, list, row, task_title};
use crate::commands::experiment::measured::{AUDIO, VIDEO};
use crate::commands::experiment::paper::{Pair, Row, makes};
use crate::commands::experiment::results::{Results, WorldResults};
use crate::commands::experiment::rivals::primary;
use crate::commands::experiment::score::Distance;
use crate::commands::experiment::settings::MONL;
use crate::report::format::significant;
use avdit_core::Task;

/// The rows that a world has.
fn rows<'a>(paper: &'a [Row], world: &WorldResults) -> Vec<&'a Row> {
    paper.iter().filter(|row| row.is_on(world)).collect()
}

/// Our numbers and the paper's, row by row.
pub fn beside(results: &Results, world: &WorldResults, tasks: &[Task], paper: &[Row]) -> String {
    let rows = rows(paper, world);
    let columns = tasks.iter().map(task_title).chain(["Average".into()]);
    let mut text = head(&["", "sound / pictures"], columns);
    let mut partial = false;
    for method in &rows {
        let theirs = tasks.iter().map(|task| {
            let of = |kind: &str| {
                let value = method.paper(task).of(kind)?;
                Some((
                    value,
                    rows.iter().filter_map(|row| row.paper(task).of(kind)).all(|other| value <= other),
                ))
            };
            cell(task, of(AUDIO), of(VIDEO), |x| format!("{x:.1}"))
        });
        let average = |pair: Pair| {
            let of = |kind: &str| {
                pair.of(kind).map(|value| (value, best(&rows, value, |row| row.paper_average().of(kind))))
            };
            both(of(AUDIO), of(VIDEO), |x| format!("{x:.1}"))
        };
        let theirs = theirs.chain([average(method.paper_average())]);
        text += &row([method.name.clone(), "paper".into()].into_iter().chain(theirs));
        let ours = tasks.iter().map(|task| {
            let of = |kind: &str| {
                let value = method.ours(world, task, primary(kind))?.all;
                Some((value, best(&rows, value, |row| Some(row.ours(world, task, primary(kind))?.all))))
            };
            let seeds = method.seeds(world, task);
            let some = seeds > 0 && seeds < results.settings.seeds.len();
            partial |= some;
            let text = match (method.method(world, task), seeds) {
                (None, _) => "–".into(),
                (Some(found), 0)
                    if found.method.tasks(&results.settings).is_ok_and(|own| !own.contains(task)) =>
                {
                    "–".into()
                }
                (Some(_), 0) => "not run yet".into(),
                _ => cell(task, of(AUDIO), of(VIDEO), |x| significant(x, 3)),
            };
            if some { format!("{text} ¹") } else { text }
        });
        let mut ours: Vec<String> = ours.collect();
        let of = |kind: &str| {
            let value = method.our_average(world, tasks, primary(kind))?.all;
            Some((value, best(&rows, value, |row| Some(row.our_average(world, tasks, primary(kind))?.all))))
        };
        ours.push(both(of(AUDIO), of(VIDEO), |x| significant(x, 3)));
        text += &row([String::new(), "here".into()].into_iter().chain(ours));
    }
    if partial {
        text += "\n¹ one seed of several so far.\n";
    }
    text + "\n"
}

fn best(rows: &[&Row], value: f64, of: impl Fn(&Row) -> Option<f64>) -> bool {
    rows.iter().filter_map(|row| of(row)).all(|other| value <= other)
}

/// The numbers of a task that it makes, the best of a column in bold.
fn cell(
    task: &Task,
    audio: Option<(f64, bool)>,
    video: Option<(f64, bool)>,
    format: impl Fn(f64) -> String,
) -> String {
    let bold =
        |value: Option<(f64, bool)>| value.map_or("–".into(), |(value, best)| strong(format(value), best));
    match task {
        Task::AudioToVideo => bold(video),
        Task::VideoToAudio => bold(audio),
        _ => both(audio, video, format),
    }
}

fn both(audio: Option<(f64, bool)>, video: Option<(f64, bool)>, format: impl Fn(f64) -> String) -> String {
    match (audio, video) {
        (None, None) => "–".into(),
        _ => {
            let one =
                |value: Option<(f64, bool)>| value.map_or("–".into(), |(x, best)| strong(format(x), best));
            format!("{} / {}", one(audio), one(video))
        }
    }
}

fn strong(text: String, is_best: bool) -> String {
    if is_best { format!("**{text}**") } else { text }
}

/// What the codec alone leaves, and what another set of true clips has.
pub fn floor(world: &WorldResults) -> String {
    let Some(truth) = &world.truth else { return String::new() };
    let one = |distance: Option<&Distance>| distance.map_or(f64::NAN, |distance| distance.all);
    let of = |set: &crate::commands::experiment::score::Distances| {
        format!("{} / {}", significant(one(set.get(AUDIO)), 3), significant(one(set.get(VIDEO)), 3))
    };
    let mut text = format!(
        "The floor of distances from the true clips (sound / pictures): these clips themselves through the codec {}; as many other true clips {}. The paper's \
        autoencoders leave 2.7 / 3.3.\n\n",
        of(&truth.coded),
        of(&truth.other)
    );
    for (kind, what) in [(VIDEO, "pictures"), (AUDIO, "sound")] {
        let floor = one(truth.coded.get(kind));
        let runs = world.methods.iter().flat_map(|method| &method.runs).flat_map(|run| &run.tasks);
        let found: Vec<f64> = runs.filter_map(|task| Some(task.distances.get(kind)?.all)).collect();
        let below = found.iter().filter(|distance| **distance < floor).count();
        if below > 0 {
            text += &format!(
                "In {below} of {} measurements of {what} a model lies nearer to the true clips than the coded true clips do: these \
                distances tell of the codec as much as of the model.\n\n",
                found.len()
            );
        }
    }
    text
}

/// Every distance of two kinds, of pictures and of sound, with its interval.
pub fn intervals(world: &WorldResults, tasks: &[Task], [video, audio]: [&str; 2]) -> String {
    let mut text = String::new();
    for (kind, title) in [(video, "pictures"), (audio, "sound")] {
        let there = |task: &&Task| world.methods.iter().any(|method| method.distance(task, kind).is_some());
        let tasks: Vec<&Task> = tasks.iter().filter(there).collect();
        if tasks.is_empty() {
            continue;
        }
        text += &head(&[title], tasks.iter().map(|task| task_title(task)));
        for method in world.methods.iter().filter(|method| !method.runs.is_empty()) {
            let cells = tasks.iter().map(|task| {
                method.distance(task, kind).map_or("–".into(), |found| distance(found.interval()))
            });
            text += &row([method.method.title.clone()].into_iter().chain(cells));
        }
        text.push('\n');
    }
    text
}

/// Where the order of two methods here is not the paper's, in words.
pub fn deviations(world: &WorldResults, tasks: &[Task], paper: &[Row]) -> String {
    let rows = rows(paper, world);
    let models: Vec<&&Row> = rows.iter().filter(|row| row.is_one_model()).collect();
    let Some(monl) =
        models.iter().find(|row| row.method(world, &Task::Joint).is_some_and(|m| m.method.name == MONL))
    else {
        return String::new();
    };
    let (mut same, mut pairs, mut lines) = (0, 0, Vec::new());
    for task in tasks {
        for (kind, what) in [(VIDEO, "pictures"), (AUDIO, "sound")] {
            if !makes(task, kind) {
                continue;
            }
            let both = |row: &Row| Some((row.paper(task).of(kind)?, row.ours(world, task, primary(kind))?));
            for (i, a) in models.iter().enumerate() {
                for b in &models[i + 1..] {
                    if let (Some(a), Some(b)) = (both(a), both(b)) {
                        // Two that are equal in the paper have no order there.
                        pairs += usize::from(a.0 != b.0);
                        same += usize::from(a.0 != b.0 && (a.0 < b.0) == (a.1.all < b.1.all));
                    }
                }
            }
            let Some(ours) = both(monl) else { continue };
            for other in models.iter().filter(|row| row.name != monl.name) {
                let Some(theirs) = both(other) else { continue };
                if ours.0 != theirs.0 && (ours.0 < theirs.0) != (ours.1.all < theirs.1.all) {
                    lines.push(disagreement(task, what, &other.name, &ours, &theirs));
                }
            }
        }
    }
    if pairs == 0 {
        return "Not run yet.\n\n".into();
    }
    let mut text = format!(
        "Of {pairs} pairs of methods in a column, {same} stand in the paper's order. MoNL and a rival stand in the other order in \
        {} of them:\n\n",
        lines.len()
    );
    if lines.is_empty() {
        text = text.replace(" of them:", " of them.");
    }
    for line in lines {
        text += &format!("- {line}\n");
    }
    text + "\n"
}

fn disagreement(
    task: &Task,
    what: &str,
    other: &str,
    ours: &(f64, Distance),
    theirs: &(f64, Distance),
) -> String {
    let found = ours.1.log().less(&theirs.1.log());
    let chance = if found.excludes_zero() { "more than clips explain" } else { "no more than clips explain" };
    let ahead = |mine: f64, their: f64| if mine < their { "MoNL is ahead" } else { "MoNL is behind" };
    format!(
        "{}, {what}: in the paper {} of {other} ({:.1} against {:.1}), here {} ({} against {}; difference of logarithms {}, \
        {chance}).",
        task_title(task),
        ahead(ours.0, theirs.0),
        ours.0,
        theirs.0,
        ahead(ours.1.all, theirs.1.all).trim_start_matches("MoNL is "),
        significant(ours.1.all, 3),
        significant(theirs.1.all, 3),
        difference(found, 2),
    )
}

/// The methods of a world that have no run yet.
pub fn missing(world: &WorldResults) -> String {
    let none: Vec<String> =
        world.methods.iter().filter(|m| m.runs.is_empty()).map(|m| m.method.title.clone()).collect();
    if none.is_empty() { String::new() } else { format!("Not run yet: {}.\n\n", list(&none)) }
}
