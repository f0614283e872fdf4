//! The machine's limits, measured twice by workers of their own: before the first case and after the last.

use super::case::Case;
use super::child::Worker;
use super::protocol::{Job, LimitJob, Reply};
use super::result::Limit;
use avdit_runtime::EngineOptions;
use avdit_runtime::limits::Rate;

/// What the cases are to be judged by: each engine's own product in each precision, and the bandwidth of memory, on
/// as many threads as the cases use.
fn jobs(cases: &[Case]) -> Vec<LimitJob> {
    let mut jobs = Vec::new();
    let mut add = |job: LimitJob| {
        if !jobs.contains(&job) {
            jobs.push(job);
        }
    };
    for case in cases {
        // What a model multiplies is not guessed.
        let Some(precision) = case.model.precision else { continue };
        let options = EngineOptions { batch: 1, ..case.job.options.clone() };
        add(LimitJob::MatMul { engine: case.job.engine, precision, options });
    }
    for case in cases {
        add(LimitJob::Bandwidth(case.job.options.threads));
    }
    jobs
}

/// Measures the limits before and after `between`, and returns them beside what that returned.
pub fn measure<T>(cases: &[Case], between: impl FnOnce() -> T) -> (Vec<Limit>, T) {
    let jobs = jobs(cases);
    let before = reading(&jobs);
    let made = between();
    let after = reading(&jobs);
    let limits = jobs.iter().zip(before.into_iter().zip(after));
    (limits.map(|(job, (before, after))| limit(job, before, after)).collect(), made)
}

fn reading(jobs: &[LimitJob]) -> Vec<Result<Rate, String>> {
    let mut worker = Worker::start(&Job::Limits(jobs.to_vec()));
    let read = |_: &LimitJob| match &mut worker {
        Ok(worker) => match worker.answer("limits") {
            Ok(Reply::Limit(limit)) => limit,
            Ok(other) => Err(format!("the worker answers out of turn: {other:?}")),
            Err(failure) => Err(failure.reason),
        },
        Err(failure) => Err(failure.reason.clone()),
    };
    jobs.iter().map(read).collect()
}

fn limit(job: &LimitJob, before: Result<Rate, String>, after: Result<Rate, String>) -> Limit {
    let (engine, precision, threads, unit) = match job {
        LimitJob::MatMul { engine, precision, options } => {
            (Some(engine.name().to_owned()), Some(*precision), options.threads, "GFLOP/s")
        }
        LimitJob::Bandwidth(threads) => (None, None, *threads, "GB/s"),
    };
    let rates = || before.iter().chain(&after);
    let readings: Vec<f64> = rates().map(|rate| rate.wall).collect();
    let value = readings.iter().copied().reduce(f64::max);
    let per_cpu_second = rates().map(|rate| rate.cpu).reduce(f64::max);
    let reason = before.as_ref().err().or(after.as_ref().err()).cloned();
    Limit { engine, precision, threads, unit: unit.to_owned(), readings, value, per_cpu_second, reason }
}
