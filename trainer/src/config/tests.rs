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

#[test]
fn numbers_that_would_break_arithmetic_later_are_refused_by_name() {
    let cases = [
        ("run", "batch = 0", "run.batch is 0, expected at least 1"),
        ("run", "chunk = 0", "run.chunk is 0"),
        ("run", "loaders = 0", "run.loaders is 0"),
        ("run", "batch = 9223372036854775807", "run.batch is 9223372036854775807, expected at most 16777216"),
        ("run", "prefetch = 1000000000000", "run.prefetch is"),
        ("run", "checkpoint_minutes = nan", "run.checkpoint_minutes is NaN"),
        ("model", "width = 8589934592", "model.width is 8589934592, expected at most 65536"),
        ("model", "depth = 1000000000000", "model.depth is"),
        (
            "objective",
            "clean_fraction = 0.9999999",
            "objective.clean_fraction is 0.9999999, expected 0 to 0.999",
        ),
        ("objective", "clean_fraction = nan", "objective.clean_fraction is NaN"),
        ("objective", "timesteps = 4294967295", "objective.timesteps is 4294967295"),
        ("objective", "timesteps = 0", "objective.timesteps is 0, expected 2 to"),
        ("objective", "snr_gamma = inf", "objective.snr_gamma is inf"),
        ("optimizer", "lr = inf", "optimizer.lr is inf"),
        ("optimizer", "eps = 1e-60", "optimizer.eps is"),
        (
            "optimizer",
            "betas = [0.9, 0.999999999]",
            "optimizer.betas[1] is 0.999999999, expected 0 or more, below 1",
        ),
        ("optimizer", "ema_decay = []", "optimizer.ema_decay is []"),
        ("optimizer", "ema_decay = nan", "optimizer.ema_decay is NaN"),
    ];
    for (section, line, expected) in cases {
        let text = match section {
            "run" => format!("{SMALLEST}{line}"),
            _ => SMALLEST.replace("[run]", &format!("[{section}]\n{line}\n[run]")),
        };
        let error = parse(&text).unwrap().check().unwrap_err().to_string();
        assert!(error.contains(expected), "{line}: {error}");
    }
    let unusual = "prefetch = 0\nsample_every = 7\ncheckpoint_minutes = 1e300\nchunk = 9223372036854775807";
    let config =
        parse(&format!("{SMALLEST}{unusual}").replace("[run]", "[optimizer]\nwarmup_steps = 99\n[run]"));
    config.unwrap().check().unwrap();
}
