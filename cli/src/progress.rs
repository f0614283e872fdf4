//! Progress of long work on stderr: a bar or a clock on a terminal, a line now and then elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Time between two lines where there is no terminal.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// A stage of work whose size is known.
pub struct Stage {
    bar: ProgressBar,
    label: String,
    plain: bool,
    /// What was done before this stage began, as when a run is resumed.
    before: Option<usize>,
    started: Instant,
    last_line: Instant,
}

impl Stage {
    /// Begins a stage of `total` units, such as `clips` or `steps`.
    pub fn new(label: &str, total: usize, unit: &str) -> Self {
        let plain = !std::io::stderr().is_terminal();
        let target = if plain { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(total as u64), target);
        let template = format!(
            "{{msg:<28}} {{bar:32}} {{pos}}/{{len}} {unit}  {{elapsed}} elapsed, {{eta}} left  {{prefix}}"
        );
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style.progress_chars("━╸ "));
        }
        bar.set_message(label.to_owned());
        let now = Instant::now();
        if plain {
            eprintln!("{label} …");
        }
        Self { bar, label: label.to_owned(), plain, before: None, started: now, last_line: now }
    }

    /// What was done before the stage began, where the first that is heard is more than one unit.
    pub fn begin_at(&mut self, before: usize) {
        self.before = Some(before);
        self.bar.set_position(before as u64);
        self.bar.reset_eta();
    }

    /// Says how much is done, with a note such as the current loss.
    pub fn set(&mut self, done: usize, note: &str) {
        let before = match self.before {
            Some(before) => before,
            None => {
                let before = done.saturating_sub(1);
                self.begin_at(before);
                before
            }
        };
        self.bar.set_position(done as u64);
        self.bar.set_prefix(note.to_owned());
        if self.plain && self.last_line.elapsed() >= HEARTBEAT {
            self.last_line = Instant::now();
            let (total, elapsed) =
                (self.bar.length().unwrap_or(0) as usize, self.started.elapsed().as_secs_f64());
            let left =
                elapsed / done.saturating_sub(before).max(1) as f64 * total.saturating_sub(done) as f64;
            eprintln!("{}: {done}/{total}, {elapsed:.0} s elapsed, {left:.0} s left  {note}", self.label);
        }
    }

    /// Sets the size, where it only becomes known on the way.
    pub fn set_total(&mut self, total: usize) {
        self.bar.set_length(total as u64);
    }

    /// Ends the stage, leaving a line that says what came of it; returns the seconds it took.
    pub fn finish(self, result: &str) -> f64 {
        let seconds = self.started.elapsed().as_secs_f64();
        self.bar.finish_and_clear();
        eprintln!("✓ {:<28} {seconds:>6.1} s  {result}", self.label);
        seconds
    }
}

/// Work whose size is not known: the time that it has taken, and the last that was heard of it.
pub struct Activity {
    bar: ProgressBar,
    label: String,
    plain: bool,
    started: Instant,
    last_line: Instant,
}

impl Activity {
    /// Begins.
    pub fn new(label: &str) -> Self {
        let plain = !std::io::stderr().is_terminal();
        let target = if plain { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) =
            ProgressStyle::with_template("{msg:<28} {spinner} {elapsed} elapsed  {wide_prefix}")
        {
            bar.set_style(style);
        }
        bar.set_message(label.to_owned());
        if plain {
            eprintln!("{label} …");
        }
        let now = Instant::now();
        Self { bar, label: label.to_owned(), plain, started: now, last_line: now }
    }

    /// Says that it goes on, and what was last heard; to be called several times a second.
    pub fn set(&mut self, note: &str) {
        self.bar.set_prefix(note.to_owned());
        self.bar.tick();
        if self.plain && self.last_line.elapsed() >= HEARTBEAT {
            self.last_line = Instant::now();
            eprintln!("{}: {:.0} s elapsed  {note}", self.label, self.started.elapsed().as_secs_f64());
        }
    }

    /// Ends it, leaving a line that says what came of it.
    pub fn finish(self, result: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.bar.finish_and_clear();
        eprintln!("✓ {:<28} {seconds:>6.1} s  {result}", self.label);
    }

    /// Ends it without a word, where an error will say what happened.
    pub fn abandon(self) {
        self.bar.finish_and_clear();
    }
}
