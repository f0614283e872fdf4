//! Whether sight and sound agree, and whether who is seen and heard stays the same.

use super::words::{difference, fixed, head, row, task_title, verdict};
use crate::commands::experiment::kept::against;
use crate::commands::experiment::results::{Agreements, MethodResults, WorldResults};
use avdit_core::Task;
use avdit_media::metrics::Interval;
use avdit_media::world::{Agreement, Kept, WorldKind};

/// What is compared in a world.
pub fn law_in_words(kind: WorldKind) -> &'static str {
    match kind {
        WorldKind::Ball => "the height of the ball and the pitch of the tone",
        WorldKind::Monologue => "the opening of the mouth and the loudness of the voice",
    }
}

/// The mean over seeds of an interval: its ends are averaged too, which is wider than if seeds were other clips.
fn over_seeds(found: &[Interval]) -> Option<Interval> {
    let n = found.len() as f64;
    let mean = |of: fn(&Interval) -> f64| found.iter().map(of).sum::<f64>() / n;
    (!found.is_empty()).then(|| Interval {
        mean: mean(|i| i.mean),
        low: mean(|i| i.low),
        high: mean(|i| i.high),
    })
}

fn law_cell(found: &[&Agreement]) -> String {
    let of =
        |of: fn(&Agreement) -> Interval| over_seeds(&found.iter().map(|law| of(law)).collect::<Vec<_>>());
    match (of(|law| law.matched), of(|law| law.shuffled), of(|law| law.difference)) {
        (Some(matched), Some(shuffled), Some(apart)) => {
            format!("{} / {}, {}", fixed(matched.mean, 2), fixed(shuffled.mean, 2), difference(apart, 2))
        }
        _ => "–".into(),
    }
}

/// Agreement with the law, method by method and task by task.
pub fn law(world: &WorldResults, tasks: &[Task]) -> String {
    let mut text = head(&["own / shuffled, difference"], tasks.iter().map(task_title));
    for method in world.methods.iter().filter(|method| !method.runs.is_empty()) {
        let cells = tasks.iter().map(|task| {
            let found = method.of_task(task);
            law_cell(&found.iter().filter_map(|found| found.agreements.law.as_ref()).collect::<Vec<_>>())
        });
        text += &row([method.method.title.clone()].into_iter().chain(cells));
    }
    if let Some(truth) = &world.truth {
        let one = |agreements: &Agreements| law_cell(&agreements.law.iter().collect::<Vec<_>>());
        text +=
            &format!("\nTrue clips: {}; through the codec: {}.\n", one(&truth.law), one(&truth.law_coded));
    }
    text + "\n"
}

/// Identity kept in continuation.
pub fn identity(world: &WorldResults, tasks: &[Task]) -> String {
    let Some(task) = tasks.iter().find(|task| matches!(task, Task::Continue(_))) else {
        return String::new();
    };
    let columns =
        ["colour: own / shuffled", "kept", "timbre: own / shuffled", "kept", "nothing seen / heard"];
    let mut text = head(&["method"], columns.map(str::to_owned));
    for method in world.methods.iter().filter(|method| !method.of_task(task).is_empty()) {
        let found: Vec<&Agreements> = method.of_task(task).iter().map(|found| &found.agreements).collect();
        text += &row([method.method.title.clone()].into_iter().chain(identity_cells(&found)));
    }
    if let Some((_, truth, coded)) = world.truth.as_ref().and_then(|truth| truth.continued.as_ref()) {
        for (name, set) in [("*true clips*", truth), ("*through the codec*", coded)] {
            text += &row([name.to_owned()].into_iter().chain(identity_cells(&[set])));
        }
    }
    text.push('\n');
    if let Some(words) = paired(world, task) {
        text += &format!("Clip by clip, Vanilla's own difference less MoNL's: {words}.\n\n");
    }
    text
}

/// A line that says whether MoNL keeps identity better than Vanilla; nothing before both have run.
pub fn answer(world: &WorldResults, tasks: &[Task]) -> String {
    let task = tasks.iter().find(|task| matches!(task, Task::Continue(_)));
    match task.and_then(|task| paired(world, task)) {
        Some(words) => format!(
            "- World **{}**, identity in continuation, by how much MoNL stays nearer to what was given than Vanilla: {words}.\n",
            world.kind
        ),
        None => String::new(),
    }
}

fn identity_cells(found: &[&Agreements]) -> Vec<String> {
    let who = || found.iter().filter_map(|found| found.identity.as_ref());
    let look: Vec<&Kept> = who().filter_map(|found| found.look.as_ref()).collect();
    let voice: Vec<&Kept> = who().filter_map(|found| found.voice.as_ref()).collect();
    let cells = |kept: &[&Kept]| {
        let of =
            |of: fn(&Kept) -> Interval| over_seeds(&kept.iter().map(|kept| of(kept)).collect::<Vec<_>>());
        match (of(|kept| kept.own), of(|kept| kept.shuffled), of(|kept| kept.difference)) {
            (Some(own), Some(shuffled), Some(apart)) => {
                [format!("{} / {}", fixed(own.mean, 3), fixed(shuffled.mean, 3)), difference(apart, 3)]
            }
            _ => ["–".into(), "–".into()],
        }
    };
    let lost = |kept: &[&Kept]| match kept.len() {
        0 => "–".to_owned(),
        n => fixed(kept.iter().map(|kept| kept.lost).sum::<usize>() as f64 / n as f64, 1),
    };
    let lost = format!("{} / {}", lost(&look), lost(&voice));
    cells(&look).into_iter().chain(cells(&voice)).chain([lost]).collect()
}

/// MoNL against Vanilla, clip by clip; none before both have run.
fn paired(world: &WorldResults, task: &Task) -> Option<String> {
    let vanilla = world.method("vanilla").filter(|found| !found.of_task(task).is_empty())?;
    let monl = world.monl()?;
    let words = |name: &str, look: bool| match compare(monl, vanilla, task, look) {
        Ok(Some((found, by_seed))) => {
            let words = verdict(found, &by_seed, ["Vanilla keeps it better", "MoNL keeps it better"]);
            format!("{name} {} ({words})", difference(found, 3))
        }
        Ok(None) => format!("{name} –"),
        Err(error) => format!("{name} cannot be compared ({error})"),
    };
    Some(format!("{}, {}", words("colour", true), words("timbre", false)))
}

/// Over all seeds with its interval, and of each seed.
fn compare(
    monl: &MethodResults,
    vanilla: &MethodResults,
    task: &Task,
    look: bool,
) -> anyhow::Result<Option<(Interval, Vec<f64>)>> {
    let (ours, theirs) = monl.common(vanilla);
    let pairs: Vec<_> = ours.iter().zip(&theirs).map(|(a, b)| (&a.folder, &b.folder)).collect();
    let Some(all) = against(&pairs, task, look)? else { return Ok(None) };
    let of_seed = |pair: &(_, _)| Ok(against(&[*pair], task, look)?.map_or(f64::NAN, |found| found.mean));
    Ok(Some((all, pairs.iter().map(of_seed).collect::<anyhow::Result<_>>()?)))
}
