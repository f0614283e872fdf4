//! Runs on several ranks of one process.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod made_up;

use avdit_trainer::parallel::{Collective, Ranks, Threads};
use avdit_trainer::{Checkpoint, Error, Observer, Result, StartOptions, StepMetrics, TrainConfig, train_on};
use made_up::{MadeUp, config};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

/// What a rank is given.
struct Given {
    config: TrainConfig,
    examples: MadeUp,
    start: StartOptions,
    /// The step after which it asks to stop.
    cancel: Option<usize>,
    /// The step after which it vanishes.
    vanish: Option<usize>,
    /// The step after which its observer fails.
    fail: Option<usize>,
}

impl Given {
    fn new(out: &Path) -> Self {
        let start = StartOptions::default();
        Self { config: config(out), examples: MadeUp::new(), start, cancel: None, vanish: None, fail: None }
    }
}

struct Watch {
    seen: Vec<StepMetrics>,
    fail: Option<usize>,
}

impl Observer for Watch {
    fn step(&mut self, metrics: &StepMetrics) -> Result<()> {
        self.seen.push(metrics.clone());
        let failed = Err(Error::Config("the observer's disk is full".into()));
        if self.fail == Some(metrics.step) { failed } else { Ok(()) }
    }
}

/// What a rank saw, and how it ended: its last step or its error.
type Ended = (Vec<StepMetrics>, Result<usize>);

/// Runs a run on as many ranks as are given something; `None` for one that vanished.
fn run(given: &[Given]) -> Vec<Option<Ended>> {
    let work = |mut ranks: Ranks, given: &Given| {
        let mut watch = Watch { seen: Vec::new(), fail: given.fail };
        let asked = AtomicUsize::new(0);
        let cancelled = || {
            let step = Some(1 + asked.fetch_add(1, Ordering::Relaxed));
            assert!(given.vanish.is_none() || given.vanish != step, "vanished on purpose");
            given.cancel.is_some() && given.cancel == step
        };
        let Given { config, examples, start, .. } = given;
        let outcome = train_on(&mut ranks, config, examples, *start, &mut watch, &cancelled);
        (watch.seen, outcome.map(|outcome| outcome.step))
    };
    std::thread::scope(|scope| {
        let ranks: Vec<Ranks> = match given.len() {
            1 => vec![Ranks::single()],
            count => Threads::group(count, Duration::from_secs(120))
                .into_iter()
                .map(|rank| Ranks::new(Box::new(rank)))
                .collect(),
        };
        let running: Vec<ScopedJoinHandle<'_, Ended>> = ranks
            .into_iter()
            .zip(given)
            .map(|(ranks, given)| scope.spawn(move || work(ranks, given)))
            .collect();
        running.into_iter().map(|rank| rank.join().ok()).collect()
    })
}

fn all_alike(out: &Path, ranks: usize) -> Vec<Given> {
    (0..ranks).map(|_| Given::new(out)).collect()
}

/// What the first rank saw of a run that came to its end on all.
fn whole(given: &[Given]) -> Vec<StepMetrics> {
    let mut ended: Vec<Ended> = run(given).into_iter().map(Option::unwrap).collect();
    let last = given[0].start.until.unwrap_or(40);
    assert!(ended.iter().all(|(_, step)| *step.as_ref().unwrap() == last));
    assert!(ended[1..].iter().all(|(seen, _)| seen.is_empty()), "the first rank alone tells its observer");
    ended.swap_remove(0).0
}

fn errors(given: &[Given]) -> Vec<String> {
    run(given).into_iter().map(|ended| ended.unwrap().1.unwrap_err().to_string()).collect()
}

fn near(a: &[StepMetrics], b: &[StepMetrics]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a.loss - b.loss).abs() < 1e-5, "step {}: {} and {}", a.step, a.loss, b.loss);
    }
}

fn files(run: &Path) -> Vec<Vec<u8>> {
    let read = |file: &str| std::fs::read(run.join("checkpoints/step-000040").join(file)).unwrap();
    ["model.safetensors", "ema.safetensors", "optimizer.safetensors"].map(read).to_vec()
}

#[test]
fn two_three_and_four_ranks_train_as_one_does_and_twice_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let one = whole(&all_alike(&folder.path().join("1"), 1));
    for ranks in [2, 3, 4] {
        let outs = ["a", "b"].map(|name| folder.path().join(format!("{ranks}{name}")));
        let seen = whole(&all_alike(&outs[0], ranks));
        near(&one, &seen);
        assert_eq!(seen[0].ranks, Some(ranks));
        let again = whole(&all_alike(&outs[1], ranks));
        assert!(seen.iter().zip(&again).all(|(a, b)| a.loss == b.loss && a.gradient_norm == b.gradient_norm));
        assert!(files(&outs[0]) == files(&outs[1]), "two runs on {ranks} ranks differ");
    }
}

#[test]
fn the_figures_of_a_step_are_those_of_the_whole_batch() {
    let folder = tempfile::tempdir().unwrap();
    let [one, four] = [1, 4].map(|ranks| {
        let mut given = all_alike(&folder.path().join(ranks.to_string()), ranks);
        given.iter_mut().for_each(|given| given.config.run.measure_matmul = true);
        whole(&given)
    });
    assert!(four[0].matmul_gflops.unwrap() > 0.0 && four[0].exchange_ms.unwrap() > 0.0);
    for (one, four) in one.iter().zip(&four) {
        let near =
            |a: f64, b: f64| assert!((a - b).abs() < 1e-5 * a.abs().max(1.0), "step {}: {a} {b}", one.step);
        near(one.loss_video, four.loss_video);
        near(one.loss_audio, four.loss_audio);
        near(one.gradient_norm, four.gradient_norm);
        assert!(one.by_strategy.keys().eq(four.by_strategy.keys()));
        for (one, four) in one.by_strategy.values().zip(four.by_strategy.values()) {
            assert_eq!(one.examples, four.examples);
            near(one.loss, four.loss);
        }
        for (one, four) in one.by_level_bin.iter().zip(&four.by_level_bin) {
            assert_eq!((one.cells, one.video.is_some()), (four.cells, four.video.is_some()));
            near(one.video.unwrap_or_default(), four.video.unwrap_or_default());
            near(one.audio.unwrap_or_default(), four.audio.unwrap_or_default());
        }
    }
}

#[test]
fn every_example_is_read_by_one_rank() {
    let folder = tempfile::tempdir().unwrap();
    let mut given = all_alike(folder.path(), 4);
    given.iter_mut().for_each(|given| given.start.until = Some(3));
    whole(&given);
    let read: Vec<Vec<usize>> =
        given.into_iter().map(|given| given.examples.read.into_inner().unwrap()).collect();
    assert!(read.iter().all(|read| read.len() == 6), "{read:?}");
    let mut all = read.concat();
    all.sort_unstable();
    assert_eq!(all, (0..24).collect::<Vec<_>>(), "three batches of 8 are one pass over 24 examples");
}

#[test]
fn a_run_goes_on_with_the_same_bits_or_on_other_ranks_with_the_same_losses() {
    let folder = tempfile::tempdir().unwrap();
    let straight = whole(&all_alike(&folder.path().join("whole"), 2));
    for (name, ranks) in [("same", 2), ("more", 4), ("one", 1)] {
        let out = folder.path().join(name);
        let mut given = all_alike(&out, 2);
        given.iter_mut().for_each(|given| given.start.until = Some(17));
        whole(&given);
        let mut given = all_alike(&out, ranks);
        given.iter_mut().for_each(|given| given.start.resume = true);
        near(&straight[17..], &whole(&given));
        if ranks == 2 {
            assert!(files(&out) == files(&folder.path().join("whole")));
        }
    }
}

/// Counts how often a rank adds something up, agreements included.
struct Counting(Threads, Arc<AtomicUsize>);

impl Collective for Counting {
    fn rank(&self) -> usize {
        self.0.rank()
    }

    fn ranks(&self) -> usize {
        self.0.ranks()
    }

    fn sum_f32(&mut self, values: &mut [f32]) -> Result<()> {
        self.0.sum_f32(values)
    }

    fn sum_f64(&mut self, values: &mut [f64]) -> Result<()> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.sum_f64(values)
    }

    fn gather(&mut self, mine: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.0.gather(mine)
    }
}

#[test]
fn a_step_asks_twice_whether_all_are_well() {
    let folder = tempfile::tempdir().unwrap();
    let count = |until: usize| {
        let mut given = Given::new(&folder.path().join(until.to_string()));
        (given.start.until, given.config.run.checkpoint_every) = (Some(until), 100);
        let sums = Arc::new(AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for rank in Threads::group(2, Duration::from_secs(120)) {
                let (given, sums) = (&given, sums.clone());
                let mut ranks = Ranks::new(Box::new(Counting(rank, sums)));
                scope.spawn(move || {
                    let ignored = &mut |_: &StepMetrics| {};
                    train_on(&mut ranks, &given.config, &given.examples, given.start, ignored, &|| false)
                        .unwrap();
                });
            }
        });
        sums.load(Ordering::Relaxed)
    };
    let steps = 5;
    assert_eq!(count(8) - count(8 - steps), 2 * steps * 3, "two ranks; two questions and the sums of a step");
}

#[test]
fn what_one_rank_cannot_read_ends_all_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut given = all_alike(folder.path(), 4);
    given.iter_mut().for_each(|given| given.examples.unreadable = Some(11));
    let errors = errors(&given);
    let own = errors.iter().filter(|error| error.starts_with("shard-000007: is cut off")).count();
    let told = errors.iter().filter(|error| error.contains("of 4 ranks: shard-000007: is cut off")).count();
    assert_eq!((own, told), (1, 3), "{errors:?}");
}

#[test]
fn numbers_that_are_not_finite_on_one_rank_end_all_and_its_batch_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut given = all_alike(folder.path(), 2);
    given.iter_mut().for_each(|given| given.examples.bad = Some(11));
    let errors = errors(&given);
    assert!(
        errors.iter().all(|error| error.contains("the loss is") && error.contains("example 11")),
        "{errors:?}"
    );
    assert_eq!(errors.iter().filter(|error| error.contains("of 2 ranks: the loss is")).count(), 1);
    assert!(errors.iter().all(|error| error.contains("the batch is in ")), "all say where: {errors:?}");
    let kept = ["bad-batch.safetensors", "bad-batch-from-4.safetensors"].map(|name| folder.path().join(name));
    assert_eq!(kept.iter().filter(|path| path.is_file()).count(), 1, "{errors:?}");
}

#[test]
fn a_rank_that_vanishes_is_named_and_the_steps_before_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut given = all_alike(folder.path(), 3);
    given[2].vanish = Some(17);
    let ended = run(&given);
    assert!(ended[2].is_none());
    for ended in &ended[..2] {
        let error = ended.as_ref().unwrap().1.as_ref().unwrap_err().to_string();
        assert!(error.starts_with("lost rank 2 of 3 ranks: it has ended"), "{error}");
    }
    let newest = avdit_trainer::checkpoint::latest(folder.path()).unwrap();
    assert_eq!(Checkpoint::read(&newest).unwrap().state.step, 17);
}

#[test]
fn what_the_first_rank_cannot_write_ends_all() {
    let folder = tempfile::tempdir().unwrap();
    for step in [7, 40] {
        let mut given = all_alike(&folder.path().join(step.to_string()), 2);
        given[0].fail = Some(step);
        let errors = errors(&given);
        assert_eq!(errors[0], "configuration: the observer's disk is full");
        assert_eq!(errors[1], "rank 0 of 2 ranks: configuration: the observer's disk is full");
    }
}

#[test]
fn any_rank_can_stop_all_after_the_same_step() {
    let folder = tempfile::tempdir().unwrap();
    let mut given = all_alike(folder.path(), 3);
    given[1].cancel = Some(7);
    let steps: Vec<usize> = run(&given).into_iter().map(|ended| ended.unwrap().1.unwrap()).collect();
    assert_eq!(steps, [7, 7, 7]);
    let newest = avdit_trainer::checkpoint::latest(folder.path()).unwrap();
    assert_eq!(Checkpoint::read(&newest).unwrap().state.step, 7);
}

#[test]
fn ranks_that_differ_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut given = all_alike(&out, 3);
    given[2].config.optimizer.lr = 1e-3;
    for error in errors(&given) {
        assert!(error.contains("optimizer.lr: rank 0 has 0.003, rank 2 has 0.001"), "{error}");
    }
    assert!(!out.exists());
    let mut given = all_alike(&out, 2);
    given.iter_mut().for_each(|given| given.config.run.batch = 1);
    assert!(errors(&given)[0].contains("run.batch is 1, expected at least 1 for each of 2 ranks"));
}

#[test]
fn a_folder_that_ranks_do_not_share_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (out, elsewhere) = (folder.path().join("a"), folder.path().join("b"));
    for error in errors(&[Given::new(&out), Given::new(&elsewhere)]) {
        let named = format!("{}: rank 1 of 2 ranks does not find in this folder", elsewhere.display());
        assert!(error.contains(&named) && error.contains("a folder that all ranks share"), "{error}");
    }
    let left = std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), [".lock"], "the first rank has not begun");
    let mut given = all_alike(&out, 2);
    given.iter_mut().for_each(|given| given.start.until = Some(10));
    whole(&given);
    let mut given = vec![Given::new(&out), Given::new(&elsewhere)];
    given.iter_mut().for_each(|given| given.start.resume = true);
    for error in errors(&given) {
        assert!(error.contains("rank 0 has \"step-000010\", rank 1 has null"), "{error}");
        assert!(error.contains("`out` must be a folder that all of them share"), "{error}");
    }
}
