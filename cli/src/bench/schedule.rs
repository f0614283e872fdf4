//! The order of runs: cases take turns, so that whatever drifts while they run hits all alike.

use super::case::Case;
use super::child::{Worker, failure};
use super::protocol::{Command, Finished, Job, Reply, Run};
use super::result::{Failure, Opened};

/// Whether cases take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// All are open at once and take turns.
    Interleaved,
    /// One after another, each closed before the next is opened.
    Sequential,
}

/// How much of each case.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// Runs, at least.
    pub runs: usize,
    /// Seconds in them, at least.
    pub seconds: f64,
}

impl Amount {
    /// What share is done, up to 1.
    fn share(&self, runs: &[Run]) -> f64 {
        let seconds: f64 = runs.iter().map(|run| run.wall_s).sum();
        let of_time = if self.seconds > 0.0 { seconds / self.seconds } else { 1.0 };
        (runs.len() as f64 / self.runs.max(1) as f64).min(of_time).min(1.0)
    }
}

/// What came of a case.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How it was opened.
    pub opened: Option<Opened>,
    /// Its runs.
    pub runs: Vec<Run>,
    /// What it told at its end.
    pub finished: Option<Finished>,
    /// Why it did not get there.
    pub failure: Option<Failure>,
    /// What the worker wrote to its standard error.
    pub log: Vec<String>,
}

/// Measures the cases. `on_progress` hears the share that is done and the case that runs, between runs.
pub fn measure(
    cases: &[Case],
    order: Order,
    amount: Amount,
    on_progress: &mut dyn FnMut(f64, &Case),
) -> Vec<Outcome> {
    match order {
        Order::Interleaved => together(cases, amount, on_progress),
        Order::Sequential => {
            let mut outcomes = Vec::new();
            for (i, case) in cases.iter().enumerate() {
                let mut part =
                    |share: f64, case: &Case| on_progress((i as f64 + share) / cases.len() as f64, case);
                outcomes.extend(together(std::slice::from_ref(case), amount, &mut part));
            }
            outcomes
        }
    }
}

fn together(cases: &[Case], amount: Amount, on_progress: &mut dyn FnMut(f64, &Case)) -> Vec<Outcome> {
    let mut running: Vec<(Option<Worker>, Outcome)> = Vec::new();
    for case in cases {
        on_progress(0.0, case);
        running.push(open(case));
    }
    loop {
        let shares: Vec<Option<f64>> = running
            .iter()
            .map(|(worker, outcome)| worker.as_ref().map(|_| amount.share(&outcome.runs)))
            .collect();
        let Some(next) = next(&shares) else { break };
        on_progress(
            shares.iter().map(|share| share.unwrap_or(1.0)).sum::<f64>() / cases.len() as f64,
            &cases[next],
        );
        let (worker, outcome) = &mut running[next];
        step(worker, outcome);
    }
    running.into_iter().map(|(worker, outcome)| close(worker, outcome)).collect()
}

/// The case that has done the least of those that are not done; the first of equals.
fn next(shares: &[Option<f64>]) -> Option<usize> {
    let open = shares.iter().enumerate().filter_map(|(i, share)| Some((i, (*share)?)));
    let least = open.filter(|(_, share)| *share < 1.0).min_by(|(_, a), (_, b)| a.total_cmp(b));
    least.map(|(i, _)| i)
}

fn open(case: &Case) -> (Option<Worker>, Outcome) {
    let mut outcome = Outcome::default();
    let mut worker = match Worker::start(&Job::Case(Box::new(case.job.clone()))) {
        Ok(worker) => worker,
        Err(failure) => return (None, Outcome { failure: Some(failure), ..outcome }),
    };
    match worker.answer("open") {
        Ok(Reply::Opened(opened)) => {
            outcome.opened = Some(*opened);
            (Some(worker), outcome)
        }
        other => (None, Outcome { failure: Some(unexpected("open", other)), log: worker.log(), ..outcome }),
    }
}

fn step(worker: &mut Option<Worker>, outcome: &mut Outcome) {
    let Some(open) = worker else { return };
    match open.ask("run", Command::Run) {
        Ok(Reply::Ran(run)) => outcome.runs.push(run),
        other => {
            outcome.failure = Some(unexpected("run", other));
            outcome.log = open.log();
            *worker = None;
        }
    }
}

fn close(worker: Option<Worker>, mut outcome: Outcome) -> Outcome {
    let Some(mut worker) = worker else { return outcome };
    match worker.ask("finish", Command::Finish) {
        Ok(Reply::Finished(finished)) => outcome.finished = Some(*finished),
        other => outcome.failure = Some(unexpected("finish", other)),
    }
    outcome.log = worker.log();
    outcome
}

fn unexpected(stage: &str, answer: Result<Reply, Failure>) -> Failure {
    match answer {
        Err(failure) => failure,
        Ok(reply) => failure(stage, format!("the worker answers out of turn: {reply:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(wall_s: f64) -> Run {
        Run { steps: vec![[1.0, 0.9, 0.05]], predictions: 1, wall_s, cpu_s: wall_s }
    }

    /// The order in which cases run whose runs take so many seconds.
    fn order(seconds: &[f64], amount: Amount) -> Vec<usize> {
        let mut runs: Vec<Vec<Run>> = vec![Vec::new(); seconds.len()];
        let mut order = Vec::new();
        while let Some(i) = next(&runs.iter().map(|runs| Some(amount.share(runs))).collect::<Vec<_>>()) {
            runs[i].push(run(seconds[i]));
            order.push(i);
        }
        order
    }

    #[test]
    fn cases_take_turns_until_each_has_runs_and_time_enough() {
        let amount = Amount { runs: 3, seconds: 1.0 };
        assert_eq!(order(&[1.0, 1.0], amount), [0, 1, 0, 1, 0, 1]);
        // An eighth of a second a run: eight of them, spread over the three of the slow one.
        let order = order(&[2.0, 0.125], amount);
        assert_eq!(order.iter().filter(|i| **i == 1).count(), 8);
        assert_eq!(order.iter().filter(|i| **i == 0).count(), 3);
        let last_slow = order.iter().rposition(|i| *i == 0).unwrap();
        assert!(last_slow > 6, "{order:?}");
    }

    #[test]
    fn one_that_is_gone_does_not_hold_up_the_rest() {
        assert_eq!(next(&[None, Some(0.5), Some(0.4)]), Some(2));
        assert_eq!(next(&[None, Some(1.0)]), None);
        assert_eq!(next(&[]), None);
    }
}
