//! What a configuration accepts and refuses.

use super::*;

const SMALLEST: &str = "data = \"d\"\nout = \"o\"\n[run]\nsteps = 3\n";

fn parse(text: &str) -> Result<TrainConfig> {
    TrainConfig::parse(text, Path::new("x.toml"))
}

#[test]
fn what_is_written_out_reads_back_the_same() {
    let config = parse(SMALLEST).unwrap();
    assert_eq!(parse(&config.to_toml().unwrap()).unwrap(), config);
    config.check().unwrap();
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_known_one() {
    let error =
        parse("data = \"d\"\nout = \"o\"\n[optimizer]\nlearning_rat = 1\nweigth_decay = 2\n[run]\nsteps = 1")
            .unwrap_err()
            .to_string();
    assert!(error.starts_with("x.toml: ") && error.contains("line 4"), "{error}");
    let error = parse(&format!("{SMALLEST}checkpoint_evry = 1")).unwrap_err().to_string();
    assert!(error.ends_with("hint: did you mean `checkpoint_every`?"), "{error}");
    let error =
        parse(&SMALLEST.replace("[run]", "[objective]\nstrategy = \"mono\"\n[run]")).unwrap_err().to_string();
    assert!(error.ends_with("hint: did you mean `monl`?"), "{error}");
}

#[test]
fn settings_out_of_range_are_named() {
    let config = parse(&SMALLEST.replace("steps = 3", "steps = 0")).unwrap();
    assert_eq!(config.check().unwrap_err().to_string(), "configuration: run.steps is 0, expected at least 1");
    let config = parse(&SMALLEST.replace("[run]", "[objective]\nstrategy = \"conditional\"\n[run]")).unwrap();
    assert!(config.check().unwrap_err().to_string().contains("objective.task is needed"));
}
