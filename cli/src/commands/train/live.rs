//! The line that tells how training goes: what is left, the loss, the pace.

use crate::report::format::{seconds, significant};
use avdit_trainer::StepMetrics;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Where there is no terminal, a line comes after so long, or after so many steps and a little while.
const HEARTBEAT: Duration = Duration::from_secs(10);
const LINE_STEPS: usize = 50;
const LEAST: Duration = Duration::from_secs(2);
/// What a smoothed figure keeps of what it was.
const KEEP: f64 = 0.98;

/// A figure averaged over the last steps, from its first value on without bias.
#[derive(Clone, Copy, Debug, Default)]
struct Smooth {
    sum: f64,
    weight: f64,
}

impl Smooth {
    fn add(&mut self, value: f64) {
        self.sum = KEEP * self.sum + (1.0 - KEEP) * value;
        self.weight = KEEP * self.weight + (1.0 - KEEP);
    }

    fn value(self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

/// How training goes.
#[derive(Clone, Debug, Default)]
struct Pace {
    /// Steps to be done in all, until which this start goes.
    last: usize,
    batch: usize,
    sample_every: usize,
    step: usize,
    lr: f64,
    loss: Smooth,
    step_ms: Smooth,
    gflops: Smooth,
    share: Option<f64>,
    /// Wall time between the ends of steps, samples left out.
    wall_s: Smooth,
    /// Wall time of the last samples.
    sample_s: f64,
}

impl Pace {
    fn add(&mut self, metrics: &StepMetrics, wall: Duration) {
        (self.step, self.lr) = (metrics.step, metrics.lr);
        self.loss.add(metrics.loss);
        self.step_ms.add(metrics.step_ms);
        self.gflops.add(metrics.gflops);
        self.wall_s.add(wall.as_secs_f64());
        self.share = metrics.matmul_gflops.and_then(|rate| Some(self.gflops.value()? / rate));
    }

    /// Seconds until the last step, samples on the way included.
    fn left_s(&self) -> Option<f64> {
        let steps = self.last.saturating_sub(self.step);
        let samples = match self.sample_every {
            0 => 0,
            every => (self.last / every).saturating_sub(self.step / every),
        };
        Some(steps as f64 * self.wall_s.value()? + samples as f64 * self.sample_s)
    }

    fn text(&self) -> String {
        let show = |value: Option<f64>, digits| value.map_or("–".to_owned(), |v| significant(v, digits));
        let ms = self.step_ms.value();
        let rate = ms.filter(|ms| *ms > 0.0).map(|ms| self.batch as f64 * 1e3 / ms);
        let share =
            self.share.map_or(String::new(), |share| format!(" ({:.0} % of its matrix rate)", 100.0 * share));
        let left = self.left_s().filter(|_| self.step < self.last);
        format!(
            "loss {}  {}{} ms/step  {} examples/s  {} GFLOP/s{share}  lr {:.1e}",
            show(self.loss.value(), 3),
            left.map_or(String::new(), |left| format!("{} left  ", seconds(left))),
            show(ms, 3),
            show(rate, 3),
            show(self.gflops.value().filter(|rate| *rate > 0.0), 3),
            self.lr,
        )
    }
}

/// The line: redrawn on a terminal, written now and then elsewhere.
pub struct Live {
    bar: ProgressBar,
    plain: bool,
    pace: Pace,
    started: Instant,
    /// When the last step ended.
    ended: Instant,
    /// Time in samples since then.
    aside: Duration,
    line: Option<(Instant, usize)>,
}

impl Live {
    /// Before the first of the steps after `step` up to `last`.
    pub fn new(step: usize, last: usize, batch: usize, sample_every: usize) -> Self {
        let plain = !std::io::stderr().is_terminal();
        let target = if plain { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(last as u64), target);
        if let Ok(style) = ProgressStyle::with_template("train {bar:20} {pos}/{len}  {wide_msg}") {
            bar.set_style(style.progress_chars("━╸ "));
        }
        bar.set_position(step as u64);
        if plain {
            eprintln!("train: from step {step} to {last} …");
        }
        let now = Instant::now();
        let pace = Pace { last, batch, sample_every, step, ..Pace::default() };
        Self { bar, plain, pace, started: now, ended: now, aside: Duration::ZERO, line: None }
    }

    /// After a step.
    pub fn step(&mut self, metrics: &StepMetrics) {
        let now = Instant::now();
        self.pace.add(metrics, (now - self.ended).saturating_sub(self.aside));
        (self.ended, self.aside) = (now, Duration::ZERO);
        self.bar.set_position(metrics.step as u64);
        self.bar.set_message(self.pace.text());
        let due = self.line.is_none_or(|(at, step)| {
            let (waited, steps) = (now - at, metrics.step.saturating_sub(step));
            waited >= HEARTBEAT || (steps >= LINE_STEPS && waited >= LEAST)
        });
        if self.plain && due {
            self.line = Some((now, metrics.step));
            eprintln!("train: step {}/{}  {}", metrics.step, self.pace.last, self.pace.text());
        }
    }

    /// Before samples.
    pub fn sampling(&self, step: usize) {
        self.bar.set_message(format!("samples of step {step} …"));
    }

    /// After samples that took so long.
    pub fn sampled(&mut self, step: usize, clips: usize, took: Duration) {
        self.aside += took;
        self.pace.sample_s = took.as_secs_f64();
        self.say(&format!("samples of step {step}: {clips} clips in {}", seconds(took.as_secs_f64())));
    }

    /// A line above the live one.
    pub fn say(&self, text: &str) {
        if self.plain { eprintln!("train: {text}") } else { self.bar.println(text) }
    }

    /// Ends, leaving a line that says what came of it.
    pub fn finish(self) {
        let took = self.started.elapsed().as_secs_f64();
        self.bar.finish_and_clear();
        let (loss, ms) = (self.pace.loss.value(), self.pace.step_ms.value());
        let result = match (loss, ms) {
            (Some(loss), Some(ms)) => format!("step {}, loss {loss:.3}, {ms:.0} ms/step", self.pace.step),
            _ => format!("step {}: nothing left to do", self.pace.step),
        };
        eprintln!("✓ {:<28} {took:>6.1} s  {result}", "train");
    }

    /// Ends without a word, where an error will say what happened.
    pub fn abandon(self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(step: usize, loss: f64) -> StepMetrics {
        StepMetrics {
            step,
            loss,
            step_ms: 120.0,
            gflops: 40.0,
            matmul_gflops: Some(80.0),
            lr: 1e-3,
            ..StepMetrics::default()
        }
    }

    #[test]
    fn the_line_tells_loss_pace_share_and_what_is_left() {
        let mut pace = Pace { last: 100, batch: 8, sample_every: 30, sample_s: 5.0, ..Pace::default() };
        for step in 1..=40 {
            pace.add(&metrics(step, 0.5), Duration::from_millis(200));
        }
        // 60 steps of 0.2 s with what lies between them, and samples at 60 and 90.
        assert!((pace.left_s().unwrap() - (12.0 + 10.0)).abs() < 1e-9);
        let text = pace.text();
        for part in [
            "loss 0.500",
            "22.0 s left",
            "120 ms/step",
            "66.7 examples/s",
            "40.0 GFLOP/s (50 % of",
            "lr 1.0e-3",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn the_first_loss_is_told_as_it_is_and_later_ones_smoothed() {
        let mut pace = Pace::default();
        pace.add(&metrics(1, 2.0), Duration::ZERO);
        assert_eq!(pace.loss.value(), Some(2.0));
        pace.add(&metrics(2, 1.0), Duration::ZERO);
        let smooth = pace.loss.value().unwrap();
        assert!((1.4..1.5).contains(&smooth), "{smooth}");
    }
}
