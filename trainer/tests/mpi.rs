//! Ranks that are processes under `mpirun`.
//!
//! Each test starts this very program under `mpirun`, where only [`rank`] runs, with a scenario by name.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod made_up;

use avdit_core::{Noise, Purpose, Stream, example_at};
use avdit_trainer::parallel::{Collective, Launch, Mpi, Ranks};
use avdit_trainer::{Examples, StartOptions, StepMetrics, train_on};
use made_up::MadeUp;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// Seconds after which a rank gives the others up.
const TIMEOUT: &str = "AVDIT_TEST_TIMEOUT";
const SCENARIO: &str = "AVDIT_TEST_SCENARIO";
const OUT: &str = "AVDIT_TEST_OUT";

#[test]
#[ignore = "the other tests run it under mpirun"]
fn rank() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let launch = Launch::of_environment().unwrap().expect("this is run by mpirun");
    let timeout = Duration::from_secs_f64(variable(TIMEOUT).parse().unwrap());
    let mpi = Mpi::start(&launch, timeout).unwrap();
    let out = PathBuf::from(variable(OUT));
    match variable(SCENARIO).as_str() {
        "sums" => sums(mpi),
        "train" => training(mpi, &out, false, None),
        "resume" => training(mpi, &out, true, None),
        // The last position of the first batch, which is the last rank's.
        "unreadable" => {
            let index = example_at(Noise::new(3), Examples::count(&MadeUp::new()), 7);
            training(mpi, &out, false, Some(index));
        }
        other => panic!("no scenario {other}"),
    }
}

/// Sums of values that each rank knows of all others.
fn sums(mut mpi: Mpi) {
    let (rank, ranks) = (mpi.rank(), mpi.ranks());
    for len in [0, 1, 3, 1024, 1025, 4099, 100_003] {
        let values = |rank: usize| {
            let mut values = vec![0f32; len];
            Noise::new(5).normals(Stream::new(Purpose::Check, len as u32, rank as u32), &mut values);
            values
        };
        let mut mine = values(rank);
        mpi.sum_f32(&mut mine).unwrap();
        let mut expected = values(0);
        for other in 1..ranks {
            expected.iter_mut().zip(values(other)).for_each(|(sum, value)| *sum += value);
        }
        assert!(mine == expected, "{len} values are not summed in the order of ranks");
        let mut mine: Vec<f64> = values(rank).into_iter().map(f64::from).collect();
        mpi.sum_f64(&mut mine).unwrap();
        let near = |(a, b): (&f64, &f32)| (a - f64::from(*b)).abs() < 1e-5;
        assert!(mine.iter().zip(&expected).all(near), "{len} doubles");
    }
    let bytes = mpi.gather(&vec![rank as u8; rank * 1000]).unwrap();
    let expected: Vec<_> = (0..ranks).map(|rank| vec![rank as u8; rank * 1000]).collect();
    assert_eq!(bytes, expected);
    mpi.barrier().unwrap();
}

/// A run, slow enough to be hit in the middle; an error goes into a file of each rank.
fn training(mpi: Mpi, out: &Path, resume: bool, unreadable: Option<usize>) {
    let rank = mpi.rank();
    std::fs::create_dir_all(out).unwrap();
    std::fs::write(out.join(format!("pid-{rank}")), std::process::id().to_string()).unwrap();
    let examples = MadeUp { unreadable, ..MadeUp::new() };
    let mut slow = |_: &StepMetrics| std::thread::sleep(Duration::from_millis(10));
    let start = StartOptions { resume, ..StartOptions::default() };
    let config = made_up::config(out);
    let mut ranks = Ranks::new(Box::new(mpi));
    if let Err(error) = train_on(&mut ranks, &config, &examples, start, &mut slow, &|| false) {
        std::fs::write(out.join(format!("error-{rank}")), error.to_string()).unwrap();
        ranks.let_the_first_tell();
        // As a program would, and not by a panic.
        std::process::exit(3);
    }
}

fn command(ranks: usize, scenario: &str, out: &Path) -> Command {
    let mut command = Command::new("mpirun");
    command.args(["--oversubscribe", "-n", &ranks.to_string()]);
    command.arg(std::env::current_exe().unwrap()).args(["--exact", "rank", "--ignored", "--nocapture"]);
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command.env("RAYON_NUM_THREADS", "1").env(SCENARIO, scenario).env(OUT, out).env(TIMEOUT, "60");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(ranks: usize, scenario: &str, out: &Path) {
    let ended = command(ranks, scenario, out).output().unwrap();
    assert!(ended.status.success(), "{}", shown(&ended));
}

fn shown(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}\n{}", output.status, text(&output.stdout), text(&output.stderr))
}

fn losses(run: &Path) -> Vec<f64> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let loss =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["loss"].as_f64().unwrap();
    text.lines().map(loss).collect()
}

/// The files of the last checkpoint.
fn result(run: &Path) -> Vec<Vec<u8>> {
    let folder = run.join("checkpoints/step-000040");
    ["model.safetensors", "ema.safetensors", "optimizer.safetensors"]
        .map(|file| std::fs::read(folder.join(file)).unwrap())
        .to_vec()
}

/// Sends a signal to a rank as soon as the run has a checkpoint and some more steps.
fn signal(mpirun: &mut Child, out: &Path, rank: usize, signal: &str, later: Duration) {
    while !out.join("checkpoints/step-000010/state.json").exists() {
        assert!(mpirun.try_wait().unwrap().is_none(), "it ended before its first checkpoint");
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(later);
    let pid = std::fs::read_to_string(out.join(format!("pid-{rank}"))).unwrap();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
}

#[test]
fn sums_are_in_the_order_of_ranks_with_the_same_bits_on_all() {
    let folder = tempfile::tempdir().unwrap();
    for ranks in [2, 3, 4] {
        run(ranks, "sums", folder.path());
    }
}

#[test]
fn two_and_four_processes_train_as_one_does_and_twice_alike() {
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &str| folder.path().join(name);
    let (config, examples) = (made_up::config(&out("one")), MadeUp::new());
    train_on(
        &mut Ranks::single(),
        &config,
        &examples,
        StartOptions::default(),
        &mut |_: &StepMetrics| {},
        &|| false,
    )
    .unwrap();
    let one = losses(&out("one"));
    for ranks in [2, 4] {
        let names = ["a", "b"].map(|name| out(&format!("{ranks}{name}")));
        names.iter().for_each(|out| run(ranks, "train", out));
        for (step, (one, many)) in one.iter().zip(losses(&names[0])).enumerate() {
            assert!((one - many).abs() < 1e-5, "step {step}: {one} alone, {many} on {ranks} ranks");
        }
        assert!(result(&names[0]) == result(&names[1]), "two runs on {ranks} ranks differ");
    }
}

#[test]
fn an_example_that_one_process_cannot_read_ends_all_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let ended = command(4, "unreadable", folder.path()).output().unwrap();
    assert!(!ended.status.success(), "{}", shown(&ended));
    let error = std::fs::read_to_string(folder.path().join("error-0")).unwrap();
    assert!(error.contains("of 4 ranks: shard-000007: is cut off"), "{error}");
}

#[test]
fn a_process_killed_at_any_moment_leaves_a_run_that_goes_on_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    run(2, "train", &whole);
    for (rank, later) in [(1, 3), (1, 47), (0, 81)] {
        let out = folder.path().join(format!("killed-{rank}-{later}"));
        let mut mpirun = command(2, "train", &out).spawn().unwrap();
        signal(&mut mpirun, &out, rank, "-KILL", Duration::from_millis(later));
        let ended = mpirun.wait_with_output().unwrap();
        assert!(!ended.status.success(), "{}", shown(&ended));
        run(2, "resume", &out);
        assert!(result(&out) == result(&whole), "rank {rank} killed {later} ms after the first checkpoint");
        assert_eq!(losses(&out), losses(&whole));
    }
}

#[test]
fn a_process_that_hangs_is_named_and_the_steps_before_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    let mut mpirun = command(3, "train", out).env(TIMEOUT, "2").spawn().unwrap();
    signal(&mut mpirun, out, 2, "-STOP", Duration::from_millis(30));
    let ended = mpirun.wait_with_output().unwrap();
    assert!(!ended.status.success(), "{}", shown(&ended));
    let error = std::fs::read_to_string(out.join("error-0")).unwrap();
    assert!(error.starts_with("lost rank 2 of 3 ranks: no word for 2 s"), "{error}");
    let newest = avdit_trainer::checkpoint::latest(out).unwrap();
    let step = avdit_trainer::Checkpoint::read(&newest).unwrap().state.step;
    assert_eq!(step, losses(out).len(), "a checkpoint of the last step that was done");
}
