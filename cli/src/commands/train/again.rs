//! The commands that are offered for a run that stopped: to go on, and to begin again.

use super::config;
use crate::args::TrainArgs;
use crate::output::shell_word;
use avdit_trainer::TrainConfig;
use std::path::Path;

/// Goes on with a run, whatever it was started with: its folder has its settings.
pub fn resume(args: &TrainArgs, config: &TrainConfig) -> String {
    let mut words = vec![place(&config.out), "--resume".to_owned()];
    words.extend(options(args, config));
    command(&words)
}

/// Begins a run that was started with the file or folder `named` again, at a third of its rate and in a folder beside
/// its own, with all else that the command line sets.
pub fn slower(args: &TrainArgs, config: &TrainConfig, named: &Path) -> String {
    let file = if named.is_dir() { named.join("config.toml") } else { named.to_owned() };
    let mut words = vec![place(&file)];
    words.extend(options(args, config));
    let key = |setting: &str| setting.split('=').next().unwrap_or_default().to_owned();
    let mut settings: Vec<String> = args.set.clone();
    settings.retain(|setting| !["optimizer.lr", "out"].contains(&key(setting).as_str()));
    if args.overfit_one_batch && named.is_dir() && !settings.iter().any(|s| key(s) == "run.steps") {
        settings.push(format!("run.steps={}", config.run.steps));
    }
    settings.push(format!("optimizer.lr={:.0e}", config.optimizer.lr / 3.0));
    settings.push(format!("out={}", config::beside(&config.out, "slower").display()));
    words.extend(settings.into_iter().flat_map(|setting| ["--set".to_owned(), setting]));
    command(&words)
}

/// What the command line asks for beyond the settings.
fn options(args: &TrainArgs, config: &TrainConfig) -> Vec<String> {
    let mut words = Vec::new();
    if args.overfit_one_batch {
        words.push("--overfit-one-batch".to_owned());
    }
    if let Some(until) = args.until.filter(|until| *until < config.run.steps) {
        words.extend(["--until".to_owned(), until.to_string()]);
    }
    words
}

/// A path that the command line takes for nothing else.
fn place(path: &Path) -> String {
    match path.display().to_string() {
        text if text.is_empty() => ".".to_owned(),
        text if text.starts_with('-') || ["codec", "help"].contains(&text.as_str()) => format!("./{text}"),
        text => text,
    }
}

fn command(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| shell_word(word)).collect();
    format!("avdit train {}", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        train: TrainArgs,
    }

    fn args(words: &str) -> TrainArgs {
        Line::parse_from(["train"].into_iter().chain(words.split(' '))).train
    }

    fn config(out: &str) -> TrainConfig {
        let text = format!("data = 'd'\nout = '{out}'\n[optimizer]\nlr = 3e-3\n[run]\nsteps = 100\n");
        TrainConfig::parse(&text, Path::new("run.toml")).unwrap()
    }

    #[test]
    fn a_run_goes_on_in_its_own_folder_with_what_its_settings_do_not_say() {
        let cases = [
            ("run.toml", "runs/a", "runs/a --resume"),
            ("run.toml --set out=b --set optimizer.lr=1", "b", "b --resume"),
            ("run.toml --overfit-one-batch", "a-overfit", "a-overfit --resume --overfit-one-batch"),
            ("run.toml --until 50", "a", "a --resume --until 50"),
            ("run.toml --until 100", "a", "a --resume"),
            ("run.toml", "my runs/$1", "'my runs/$1' --resume"),
            ("run.toml", "codec", "./codec --resume"),
            ("run.toml", "-a", "./-a --resume"),
        ];
        for (given, out, expected) in cases {
            assert_eq!(resume(&args(given), &config(out)), format!("avdit train {expected}"));
        }
    }

    #[test]
    fn a_run_begins_again_with_all_that_was_set_but_rate_and_folder() {
        let given = args("run.toml --set seed=7 --set optimizer.lr=3e-3 --set out=a --set model.width=64");
        let expected = "avdit train run.toml --set seed=7 --set model.width=64 --set optimizer.lr=1e-3 --set out=a-slower";
        assert_eq!(slower(&given, &config("a"), Path::new("run.toml")), expected);
        let folder = tempfile::tempdir().unwrap();
        let given = args("FOLDER --resume --overfit-one-batch");
        let said = slower(&given, &config("runs/a/"), folder.path());
        let expected = "config.toml --overfit-one-batch --set run.steps=100 --set optimizer.lr=1e-3 --set out=runs/a-slower";
        assert!(said.ends_with(expected), "{said}");
    }
}
