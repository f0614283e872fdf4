//! What the experiment is: its settings, its methods, and the runs that they make, in the order of work.

use crate::args::MonlArgs;
use anyhow::{Context, Result};
use avdit_core::Task;
use avdit_core::sampler::SamplerKind;
use avdit_media::world::WorldKind;
use avdit_trainer::TrainConfig;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

macro_rules! file {
    ($name:literal) => {
        include_str!(concat!("../../../../trainer/experiments/monl/", $name))
    };
}

/// The files of the methods, in the order in which the report lists them.
const METHODS: [(&str, &str); 8] = [
    ("monl", file!("monl.toml")),
    ("vanilla", file!("vanilla.toml")),
    ("per-modality", file!("per-modality.toml")),
    ("per-segment", file!("per-segment.toml")),
    ("per-segment-and-modality", file!("per-segment-and-modality.toml")),
    ("without-vanilla", file!("without-vanilla.toml")),
    ("conditional-a2v", file!("conditional-a2v.toml")),
    ("conditional-continue", file!("conditional-continue.toml")),
];

/// The names of all methods.
pub fn method_names() -> impl Iterator<Item = &'static str> {
    METHODS.iter().map(|(name, _)| *name)
}

/// The method whose claim is tested.
pub const MONL: &str = "monl";

/// The settings of the experiment: `experiment.toml`, and what the command line changes of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub seeds: Vec<u64>,
    pub steps: usize,
    pub samples: usize,
    pub training_clips: usize,
    pub world_seed: u64,
    pub tasks: Vec<String>,
    pub phase_iterations: usize,
    pub rounds: usize,
    pub sampling: Sampling,
    pub world: Vec<WorldPlan>,
    /// Settings of every training that replace those of `common.toml`.
    #[serde(default)]
    pub train: Table,
}

/// How clips are sampled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    pub sampler: SamplerKind,
    pub steps: usize,
    pub batch: usize,
    pub seed: u64,
}

/// What is run on a world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorldPlan {
    pub name: WorldKind,
    pub methods: Vec<String>,
    /// So many of the first world's rivals of MoNL, the strongest, are run too.
    #[serde(default)]
    pub strongest_rivals: usize,
}

impl Settings {
    /// The settings of a command.
    pub fn of(args: &MonlArgs) -> Result<Self> {
        let mut table: Table = file!("experiment.toml").parse()?;
        if args.smoke {
            merge(&mut table, file!("smoke.toml").parse()?);
        }
        let mut settings: Self = table.try_into()?;
        settings.steps = args.steps.unwrap_or(settings.steps);
        settings.samples = args.samples.map_or(settings.samples, usize::from);
        Ok(settings)
    }

    /// The command whose settings these are.
    pub fn command(&self) -> Result<String> {
        let usual: Self = file!("experiment.toml").parse::<Table>()?.try_into()?;
        let smoke = usual != Self { steps: usual.steps, samples: usual.samples, ..self.clone() };
        let smoke = if smoke { " --smoke" } else { "" };
        Ok(format!("avdit experiment monl{smoke} --steps {} --samples {}", self.steps, self.samples))
    }

    /// The tasks.
    pub fn tasks(&self) -> Result<Vec<Task>> {
        self.tasks.iter().map(|task| Ok(task.parse()?)).collect()
    }
}

/// A way to draw levels in training.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Method {
    #[serde(skip)]
    pub name: String,
    pub title: String,
    /// Whether it competes with MoNL for the average over all tasks.
    #[serde(default)]
    pub rival: bool,
    /// Whether it is one strategy and no mixture.
    #[serde(default)]
    pub single: bool,
    /// The tasks that it is for; all without.
    tasks: Option<Vec<String>>,
    #[serde(skip)]
    config: Table,
}

impl Method {
    /// The method of a name.
    pub fn named(name: &str) -> Result<Self> {
        let found = METHODS.iter().find(|(known, _)| *known == name);
        let (name, text) = found.with_context(|| format!("there is no method {name}"))?;
        Self::read(name, text)
    }

    fn read(name: &str, text: &str) -> Result<Self> {
        let mut config: Table = text.parse()?;
        let head = config.remove("method").context("no [method]")?;
        Ok(Self { name: name.to_owned(), config, ..head.try_into()? })
    }

    /// Of the experiment's tasks, those that its models are measured on.
    pub fn tasks(&self, settings: &Settings) -> Result<Vec<Task>> {
        let mut tasks = settings.tasks()?;
        if let Some(own) = &self.tasks {
            tasks.retain(|task| own.contains(&task.to_string()));
        }
        Ok(tasks)
    }

    /// The whole configuration of a training.
    pub fn train_config(
        &self,
        settings: &Settings,
        seed: u64,
        data: PathBuf,
        out: PathBuf,
    ) -> Result<TrainConfig> {
        let mut table: Table = file!("common.toml").parse()?;
        merge(&mut table, self.config.clone());
        merge(&mut table, settings.train.clone());
        let mut own = Table::new();
        let text = |path: PathBuf| path.to_str().map(|text| Value::from(text.to_owned()));
        own.insert("data".into(), text(data).context("the folder's name is no text")?);
        own.insert("out".into(), text(out).context("the folder's name is no text")?);
        own.insert("seed".into(), Value::Integer(i64::try_from(seed)?));
        let steps = Value::Integer(i64::try_from(settings.steps)?);
        own.insert("run".into(), Value::Table(Table::from_iter([("steps".to_owned(), steps)])));
        merge(&mut table, own);
        Ok(TrainConfig::parse(&toml::to_string(&table)?, Path::new(&format!("{}.toml", self.name)))?)
    }
}

/// Puts the values of `over` in the place of those of `base`, table by table.
fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => merge(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// A training and what is measured of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunId {
    pub world: WorldKind,
    pub method: String,
    pub seed: u64,
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}-{}", self.world, self.method, self.seed)
    }
}

/// The runs of a world, seed by seed, so that an experiment that is cut off has every method once.
pub fn runs(world: WorldKind, methods: &[String], seeds: &[u64]) -> Vec<RunId> {
    let of_seed =
        |&seed: &u64| methods.iter().map(move |method| RunId { world, method: method.clone(), seed });
    seeds.iter().flat_map(of_seed).collect()
}

/// Whether a name is of a form in which `*` stands for any text and `?` for one letter.
pub fn matches(form: &str, name: &str) -> bool {
    fn rest(form: &[char], name: &[char]) -> bool {
        match (form.first(), name.first()) {
            (None, None) => true,
            (Some('*'), _) => rest(&form[1..], name) || (!name.is_empty() && rest(form, &name[1..])),
            (Some(&f), Some(&n)) => (f == '?' || f == n) && rest(&form[1..], &name[1..]),
            _ => false,
        }
    }
    rest(&form.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use avdit_core::Mixture;
    use avdit_core::mixture::Strategy;

    fn settings(smoke: bool) -> Settings {
        let mut table: Table = file!("experiment.toml").parse().unwrap();
        if smoke {
            merge(&mut table, file!("smoke.toml").parse().unwrap());
        }
        table.try_into().unwrap()
    }

    fn all() -> Vec<Method> {
        METHODS.iter().map(|(name, _)| Method::named(name).unwrap()).collect()
    }

    #[test]
    fn methods_differ_in_nothing_but_their_strategy() {
        let settings = settings(false);
        let config = |method: &Method| {
            let config = method.train_config(&settings, 1, "data".into(), "run".into()).unwrap();
            config.check().unwrap();
            config
        };
        let methods = all();
        let first = config(&methods[0]);
        assert_eq!((first.seed, first.run.steps, first.run.keep_last), (1, settings.steps, 1));
        assert_eq!(first.mixture().unwrap(), Mixture::MONL);
        for method in &methods[1..] {
            let mut other = config(method);
            let mixture = other.mixture().unwrap();
            assert_ne!(mixture, Mixture::MONL, "{}", method.name);
            assert_eq!(method.rival, !matches!(mixture, Mixture::Conditional(_)), "{}", method.name);
            let objective = &mut other.objective;
            objective.strategy = first.objective.strategy;
            objective.monl_weights = first.objective.monl_weights;
            objective.task = None;
            assert_eq!(other, first, "{}", method.name);
        }
        let vanilla = config(&Method::named("vanilla").unwrap()).mixture().unwrap();
        assert_eq!(vanilla, Mixture::Single(Strategy::Vanilla));
    }

    #[test]
    fn a_conditional_model_is_measured_on_the_task_it_is_trained_for() {
        let settings = settings(true);
        for method in all() {
            let config = method.train_config(&settings, 0, "d".into(), "o".into()).unwrap();
            let tasks: Vec<_> = method.tasks(&settings).unwrap().iter().map(Task::to_string).collect();
            match config.objective.task {
                Some(task) => assert_eq!(tasks, [task]),
                None => assert_eq!(tasks, settings.tasks),
            }
            assert_eq!(config.optimizer.lr, 4e-3, "smoke keeps what it does not change");
        }
    }

    #[test]
    fn the_first_seed_of_all_methods_comes_first() {
        let methods = ["a".to_owned(), "b".to_owned()];
        let names: Vec<_> = runs(WorldKind::Ball, &methods, &[0, 1]).iter().map(RunId::to_string).collect();
        assert_eq!(names, ["ball/a-0", "ball/b-0", "ball/a-1", "ball/b-1"]);
    }

    #[test]
    fn forms_match_names() {
        for (form, name, meant) in [
            ("ball/monl-0", "ball/monl-0", true),
            ("ball/*-0", "ball/monl-0", true),
            ("*", "ball/monl-0", true),
            ("*/per-*-?", "ball/per-segment-1", true),
            ("ball/monl", "ball/monl-0", false),
            ("monologue/*", "ball/monl-0", false),
            ("", "ball/monl-0", false),
        ] {
            assert_eq!(matches(form, name), meant, "{form} {name}");
        }
    }
}
