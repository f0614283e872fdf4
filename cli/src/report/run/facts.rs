//! What a run's page says in words and tables.

use crate::report::data::{Fact, NotRun};
use crate::report::format::{bytes, count, milliseconds, percent, seconds, significant};
use crate::run::Run;
use crate::run::audit::{ParameterGradient, StepGradients};
use crate::run::figures::Figures;
use crate::run::history::Event;
use serde::Serialize;
use std::collections::BTreeSet;

const UNKNOWN: &str = "not recorded";

/// Whether the run is complete.
pub(super) fn state(run: &Run, figures: &Figures) -> &'static str {
    match (figures.steps, run.history.last()) {
        (Some(steps), _) if figures.step >= steps => "complete",
        (_, Some(Event::Start(_))) => "running or killed",
        (_, Some(Event::End(end))) if end.why == "interrupted" => "interrupted",
        (_, Some(Event::End(end))) if end.why == "stopped" => "stopped",
        (_, Some(Event::End(_))) => "failed",
        _ => "unfinished",
    }
}

/// The run in a sentence.
pub(super) fn headline(run: &Run, figures: &Figures) -> String {
    let of = figures.steps.map_or(String::new(), |steps| format!(" of {}", count(steps as u64)));
    let loss = match (figures.loss_first, figures.loss_last) {
        (Some(first), Some(last)) => {
            let (from, to) = (significant(first, 3), significant(last, 3));
            let verb = if last < first { "fell" } else { "went" };
            let over = if figures.window == 1 {
                "first and last step".to_owned()
            } else {
                format!("means of the first and last {} steps", figures.window)
            };
            format!("; the loss {verb} from {from} to {to} ({over})")
        }
        _ => String::new(),
    };
    format!("Step {}{of}, {}{loss}.", count(figures.step as u64), state(run, figures))
}

/// The figures at the top.
pub(super) fn big(run: &Run, figures: &Figures) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut add = |value: Option<String>, name: &str| facts.extend(value.map(|value| Fact::new(name, value)));
    add(figures.loss_last.map(|loss| significant(loss, 3)), "loss at the end");
    add(figures.step_ms_p50.map(milliseconds), "a step (median)");
    add(examples_per_s(run, figures).map(|rate| significant(rate, 3)), "examples a second");
    add(figures.gflops.map(|rate| format!("{} GFLOP/s", significant(rate, 3))), "reached (median)");
    add(figures.share.map(percent), "of the machine's matrix rate");
    add(Some(seconds(figures.steps_seconds)), "in steps");
    add(figures.waiting.filter(|share| *share >= 0.01).map(percent), "of it waiting for batches");
    if let (Some(ranks), Some(share)) = (figures.ranks.filter(|ranks| *ranks > 1), figures.exchanging) {
        add(Some(percent(share)), &format!("of it in exchanges of {ranks} ranks"));
    }
    let took = run.samples.iter().fold(0.0, |sum, set| sum + set.seconds);
    add((took > 0.0).then(|| seconds(took)), "in samples");
    facts
}

/// Examples a second at the median step.
pub(crate) fn examples_per_s(run: &Run, figures: &Figures) -> Option<f64> {
    let batch = run.setting("run", "batch")?.as_integer()? as f64;
    figures.step_ms_p50.filter(|ms| *ms > 0.0).map(|ms| batch * 1e3 / ms)
}

/// A moving average of the parameters, and how far it has come.
#[derive(Debug, Serialize)]
pub(super) struct Average {
    decay: f64,
    horizon: f64,
    initial_left: f64,
}

/// The moving averages that the run keeps.
pub(super) fn averages(run: &Run, figures: &Figures) -> Vec<Average> {
    let decays = match run.setting("optimizer", "ema_decay") {
        Some(toml::Value::Array(list)) => list.iter().filter_map(number).collect(),
        Some(value) => number(value).into_iter().collect(),
        None => Vec::new(),
    };
    let of = |decay: f64| Average {
        decay,
        horizon: 1.0 / (1.0 - decay),
        initial_left: decay.powf(figures.step as f64),
    };
    decays.into_iter().filter(|decay| (0.0..1.0).contains(decay)).map(of).collect()
}

fn number(value: &toml::Value) -> Option<f64> {
    value.as_float().or_else(|| Some(value.as_integer()? as f64))
}

/// An audited step.
#[derive(Debug, Serialize)]
pub(super) struct Audited {
    step: usize,
    parameters: usize,
    /// Gradients that are zero because they must be.
    expected_zero: usize,
    /// Names of those that are zero, or absent, and must not be.
    dead: Vec<String>,
    least: Option<f64>,
    most: Option<f64>,
}

/// The gradients of the first steps.
pub(super) fn audit(run: &Run) -> Vec<Audited> {
    let of = |step: &StepGradients| {
        let alive = || step.parameters.iter().filter(|p| !p.expected_zero);
        let is_dead = |p: &&ParameterGradient| p.gradient_norm.is_none_or(|norm| norm == 0.0);
        let norms = || alive().filter_map(|p| p.gradient_norm).filter(|norm| *norm > 0.0);
        Audited {
            step: step.step,
            parameters: step.parameters.len(),
            expected_zero: step.parameters.iter().filter(|p| p.expected_zero).count(),
            dead: alive().filter(is_dead).map(|p| p.name.clone()).collect(),
            least: norms().reduce(f64::min),
            most: norms().reduce(f64::max),
        }
    };
    run.audit.iter().map(of).collect()
}

/// Every gradient of the last audited step: name, shape, its norm, and the norm of the parameter.
pub(super) fn gradients(run: &Run) -> Vec<[String; 4]> {
    let show = |value: Option<f64>| value.map_or("none".to_owned(), |value| significant(value, 3));
    let row = |p: &ParameterGradient| {
        let shape: Vec<String> = p.shape.iter().map(usize::to_string).collect();
        [p.name.clone(), shape.join(" × "), show(p.gradient_norm), show(Some(p.parameter_norm))]
    };
    run.audit.last().map(|step| step.parameters.iter().map(row).collect()).unwrap_or_default()
}

/// A section of the configuration.
#[derive(Debug, Serialize)]
pub(super) struct Section {
    title: String,
    facts: Vec<Fact>,
}

/// The configuration, section by section.
pub(super) fn settings(run: &Run) -> Vec<Section> {
    let fact = |(name, value): (&String, &toml::Value)| Fact::new(name, plain(value));
    let top = run.settings.iter().filter(|(_, value)| !value.is_table()).map(fact).collect();
    let mut sections = vec![Section { title: "run of".into(), facts: top }];
    for (title, table) in run.settings.iter().filter_map(|(name, value)| Some((name, value.as_table()?))) {
        sections.push(Section { title: title.clone(), facts: table.iter().map(fact).collect() });
    }
    sections.retain(|section| !section.facts.is_empty());
    sections
}

fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Float(value) => format!("{value}"),
        toml::Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// The data of the newest start, or what the checkpoint tells of it.
pub(super) fn data(run: &Run) -> Vec<Fact> {
    let mut facts = Vec::new();
    let identities: BTreeSet<&str> = run.starts().map(|start| start.data.identity.as_str()).collect();
    if let Some(start) = run.starts().last() {
        let data = &start.data;
        facts = vec![
            Fact::new("folder", data.folder.display().to_string()),
            Fact::new(
                "clips",
                format!("{}, {} left out", count(data.clips as u64), count(data.left_out as u64)),
            ),
            Fact::new("pictures", &data.pictures),
            Fact::new("sound", &data.sound),
            Fact::new("latents", &data.latents),
            Fact::new("codec", &data.codec),
            Fact::new("parameters of the network", count(start.parameters as u64)),
            Fact::new("multiply-adds of a forward pass", count(start.multiply_adds)),
        ];
    } else if let Some(newest) = &run.newest {
        facts.push(Fact::new("parameters of the network", count(newest.network.parameter_count() as u64)));
    }
    let identity = run.newest.as_ref().map(|config| config.dataset.as_str());
    if let Some(identity) = identity.or(identities.iter().next_back().copied()) {
        facts.push(Fact::new("identity (SHA-256)", identity));
    }
    facts.push(Fact::new("checkpoints kept", run.checkpoints.join(", ")));
    facts.retain(|fact| !fact.value.is_empty());
    facts
}

/// The machine of the newest start.
pub(super) fn machine(run: &Run) -> Vec<Fact> {
    let Some(start) = run.starts().last() else { return Vec::new() };
    let machine = &start.machine;
    let mut facts = vec![
        Fact::new("processor", &machine.cpu),
        Fact::new("logical processors", machine.threads.to_string()),
        Fact::new("threads used", start.threads.to_string()),
        Fact::new("instruction sets", machine.instruction_sets.join(", ")),
        Fact::new("system", format!("{}, {}", machine.os, machine.kernel)),
        Fact::new("avdit", &start.avdit),
    ];
    facts.extend(machine.memory_bytes.map(|size| Fact::new("memory", bytes(size as f64))));
    facts.extend(
        machine.load_average.map(|load| Fact::new("load average at the start", significant(load, 2))),
    );
    facts
}

/// A start and its end.
#[derive(Debug, Default, Serialize)]
pub(super) struct Stretch {
    at: String,
    from_step: usize,
    to_step: Option<usize>,
    why: String,
    took: String,
    in_samples: String,
    command: String,
}

/// Starts with their ends.
pub(super) fn history(run: &Run) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for event in &run.history {
        match event {
            Event::Start(start) => stretches.push(Stretch {
                at: start.at.clone(),
                from_step: start.from_step,
                why: "no end on record: killed, or still running".into(),
                took: UNKNOWN.into(),
                command: start.command.join(" "),
                ..Stretch::default()
            }),
            Event::End(end) => {
                if let Some(last) = stretches.last_mut() {
                    last.to_step = Some(end.step);
                    last.why.clone_from(&end.why);
                    last.took = seconds(end.seconds);
                    last.in_samples = seconds(end.sampling_seconds);
                }
            }
        }
    }
    stretches
}

/// What this page cannot show, and why.
pub(super) fn not_run(run: &Run, figures: &Figures) -> Vec<NotRun> {
    let mut list = Vec::new();
    let mut add = |missing: bool, what: &str, why: &str| {
        if missing {
            list.push(NotRun { what: what.into(), why: why.into() });
        }
    };
    let every = run.setting("run", "sample_every").and_then(toml::Value::as_integer).unwrap_or(0);
    let why =
        if every == 0 { "run.sample_every is 0" } else { "the run has not come to run.sample_every yet" };
    add(run.samples.is_empty(), "samples", why);
    let has = |found: fn(&crate::run::log::Line) -> bool| run.lines.iter().any(found);
    add(!has(|line| line.by_strategy.is_some()), "loss by strategy", "the log does not tell it");
    add(!has(|line| line.by_level_bin.is_some()), "loss by noise level", "the log does not tell it");
    add(figures.gflops.is_none(), "GFLOP/s", "the log does not tell it");
    add(figures.share.is_none(), "share of the machine's matrix rate", "it was not measured at the start");
    add(run.audit.is_empty(), "gradients of the first step", "the run has no record of them");
    add(run.history.is_empty(), "machine and history", "the run has no history.jsonl");
    add(
        true,
        "held-out clips",
        "a run measures its loss on the clips that it trains on; export it and sample clips that it has not seen",
    );
    list
}

/// Names for runs that tell them apart.
pub(super) fn labels(runs: &[Run]) -> Vec<String> {
    let names: Vec<String> = runs.iter().map(Run::name).collect();
    let twice = |name: &String| names.iter().filter(|other| *other == name).count() > 1;
    let label = |(run, name): (&Run, &String)| {
        if twice(name) { run.folder.display().to_string() } else { name.clone() }
    };
    runs.iter().zip(&names).map(label).collect()
}

/// The head of [`row`].
pub(super) const ROW_HEAD: [&str; 9] = [
    "run",
    "steps",
    "loss, first",
    "loss, last",
    "video, last",
    "audio, last",
    "a step",
    "examples/s",
    "of rate",
];

/// A run as a row of a table.
pub(super) fn row(run: &Run, figures: &Figures) -> Vec<String> {
    let show = |value: Option<f64>| value.map_or("–".to_owned(), |value| significant(value, 4));
    vec![
        count(figures.step as u64),
        show(figures.loss_first),
        show(figures.loss_last),
        show(figures.loss_video_last),
        show(figures.loss_audio_last),
        figures.step_ms_p50.map_or("–".to_owned(), milliseconds),
        show(examples_per_s(run, figures)),
        figures.share.map_or("–".to_owned(), percent),
    ]
}

/// Settings that are not the same in all runs: name and value in each.
pub(super) fn differences(runs: &[Run]) -> Vec<(String, Vec<String>)> {
    let flat = |run: &Run| -> Vec<(String, String)> {
        let inner = |(section, value): (&String, &toml::Value)| -> Vec<(String, String)> {
            match value.as_table() {
                Some(table) => table.iter().map(|(k, v)| (format!("{section}.{k}"), plain(v))).collect(),
                None => vec![(section.clone(), plain(value))],
            }
        };
        run.settings.iter().flat_map(inner).filter(|(name, _)| name != "out").collect()
    };
    let all: Vec<Vec<(String, String)>> = runs.iter().map(flat).collect();
    let names: BTreeSet<&String> = all.iter().flatten().map(|(name, _)| name).collect();
    let value = |settings: &Vec<(String, String)>, name: &str| {
        settings.iter().find(|(known, _)| known == name).map_or("–".to_owned(), |(_, value)| value.clone())
    };
    let row =
        |name: &String| (name.clone(), all.iter().map(|settings| value(settings, name)).collect::<Vec<_>>());
    let differs = |(_, values): &(String, Vec<String>)| values.iter().any(|value| *value != values[0]);
    names.into_iter().map(row).filter(differs).collect()
}
