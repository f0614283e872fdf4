//! What the command does while a run trains: the live line, samples, history, the page.

use super::live::Live;
use super::samples::Sampler;
use crate::commands::report;
use crate::output::command_line;
use crate::run::history::{self, Data, End, Event, Start};
use anyhow::Result;
use avdit_media::shard::Dataset;
use avdit_runtime::machine::Machine;
use avdit_trainer::examples::Examples;
use avdit_trainer::observer::{Observer, RunFacts};
use avdit_trainer::train::Outcome;
use avdit_trainer::{CandleDenoiser, Error, StepMetrics, TrainConfig};
use std::path::Path;
use std::time::{Duration, Instant};

/// The page is made again at a checkpoint if that takes at most this share of the time since the last one.
const PAGE_SHARE: u32 = 50;

/// Watches a run.
pub struct Watch<'a> {
    config: &'a TrainConfig,
    examples: &'a Dataset,
    until: Option<usize>,
    sampler: Option<Sampler>,
    live: Option<Live>,
    started: Instant,
    sampling: Duration,
    /// When the last page was ready, and how long it took.
    page: (Instant, Duration),
    /// Whether a start was written into the history.
    begun: bool,
    step: usize,
    /// An error of ours that stopped the run.
    failed: Option<anyhow::Error>,
}

impl<'a> Watch<'a> {
    /// Reads what samples need, so that it is missed before the first step.
    ///
    /// # Errors
    /// If a clip that gives cells cannot be used.
    pub fn new(config: &'a TrainConfig, examples: &'a Dataset, until: Option<usize>) -> Result<Self> {
        let sampler = if config.run.sample_every > 0 { Some(Sampler::new(config, examples)?) } else { None };
        let now = Instant::now();
        Ok(Self {
            config,
            examples,
            until,
            sampler,
            live: None,
            started: now,
            sampling: Duration::ZERO,
            page: (now, Duration::ZERO),
            begun: false,
            step: 0,
            failed: None,
        })
    }

    fn begin(&mut self, facts: &RunFacts) -> Result<()> {
        let last = self.until.unwrap_or(facts.steps).min(facts.steps);
        let run = &self.config.run;
        (self.step, self.started) = (facts.step, Instant::now());
        self.live = Some(Live::new(facts.step, last, run.batch, run.sample_every));
        if facts.step >= last {
            return Ok(());
        }
        if facts.step == 0 {
            Sampler::remove_stale(&self.config.out)?;
        }
        let start = Start {
            at: report::now(),
            from_step: facts.step,
            command: command_line(),
            avdit: env!("CARGO_PKG_VERSION").to_owned(),
            machine: Machine::this(),
            threads: rayon::current_num_threads(),
            parameters: facts.parameters,
            multiply_adds: facts.multiply_adds,
            data: data(self.config, self.examples)?,
        };
        history::add(&self.config.out, &Event::Start(Box::new(start)), facts.step == 0)?;
        self.begun = true;
        Ok(())
    }

    fn make_samples(&mut self, step: usize, denoiser: &mut CandleDenoiser) -> Result<()> {
        let Some(sampler) = &self.sampler else { return Ok(()) };
        let started = Instant::now();
        if let Some(live) = &self.live {
            live.sampling(step);
        }
        let clips = sampler.make(step, denoiser)?;
        let took = started.elapsed();
        self.sampling += took;
        if let (Some(live), Some(clips)) = (&mut self.live, clips) {
            live.sampled(step, clips, took);
        }
        Ok(())
    }

    /// Makes the page, unless that would take time from training. What goes wrong with it stops no run.
    fn make_page(&mut self, always: bool) {
        let (ready, took) = self.page;
        if !always && ready.elapsed() < took * PAGE_SHARE {
            return;
        }
        let started = Instant::now();
        if let Err(error) = report::of_run(&self.config.out) {
            tracing::warn!("the page of the run could not be made: {error:#}");
        }
        self.page = (Instant::now(), started.elapsed());
    }

    /// Ends the line, the history and the page; the run's outcome, or what stopped it.
    ///
    /// # Errors
    /// What stopped the run.
    pub fn finish(mut self, result: avdit_trainer::Result<Outcome>) -> Result<Outcome> {
        let result = match (self.failed.take(), result) {
            (Some(error), _) => Err(error),
            (None, result) => result.map_err(anyhow::Error::from),
        };
        match (self.live.take(), &result) {
            (Some(live), Ok(_)) => live.finish(),
            (Some(live), Err(_)) => live.abandon(),
            (None, _) => {}
        }
        if self.begun {
            let why = match &result {
                Ok(outcome) if outcome.step == self.config.run.steps => "complete".to_owned(),
                Ok(_) if crate::cancel::asked() => "interrupted".to_owned(),
                Ok(_) => "stopped".to_owned(),
                Err(error) => error.to_string().lines().next().unwrap_or_default().to_owned(),
            };
            let end = End {
                at: report::now(),
                step: result.as_ref().map_or(self.step, |outcome| outcome.step),
                why,
                seconds: self.started.elapsed().as_secs_f64(),
                sampling_seconds: self.sampling.as_secs_f64(),
            };
            if let Err(error) = history::add(&self.config.out, &Event::End(end), false) {
                tracing::warn!("the end of the run could not be written down: {error:#}");
            }
            self.make_page(true);
        }
        result
    }

    /// Keeps an error of ours for the end, and stops the run.
    fn told(&mut self, result: Result<()>) -> avdit_trainer::Result<()> {
        result.map_err(|error| {
            let stopped = Error::content(&self.config.out, "the run was stopped by what watches it");
            self.failed = Some(error);
            stopped
        })
    }
}

impl Observer for Watch<'_> {
    fn start(&mut self, facts: &RunFacts) -> avdit_trainer::Result<()> {
        let result = self.begin(facts);
        self.told(result)
    }

    fn step(&mut self, metrics: &StepMetrics) -> avdit_trainer::Result<()> {
        self.step = metrics.step;
        if let Some(live) = &mut self.live {
            live.step(metrics);
        }
        Ok(())
    }

    fn sample(&mut self, step: usize, denoiser: &mut CandleDenoiser) -> avdit_trainer::Result<()> {
        let result = self.make_samples(step, denoiser);
        self.told(result)
    }

    fn checkpoint(&mut self, step: usize, _folder: &Path) -> avdit_trainer::Result<()> {
        if step < self.until.unwrap_or(self.config.run.steps) {
            self.make_page(false);
        }
        Ok(())
    }
}

/// The data of a start.
fn data(config: &TrainConfig, examples: &Dataset) -> Result<Data> {
    let (info, layout) = (examples.info(), examples.layout());
    let (grid, v, a) = (&info.grid, &layout.video, &layout.audio);
    Ok(Data {
        folder: config.data.canonicalize().unwrap_or_else(|_| config.data.clone()),
        clips: info.clips,
        left_out: info.left_out,
        identity: examples.identity()?,
        pictures: format!("{} frames of {}×{} at {} fps", grid.frames, grid.width, grid.height, grid.fps),
        sound: format!("{} samples at {} Hz", grid.samples(), grid.sample_rate_hz),
        latents: format!(
            "video {} × {} × {} × {}, audio {} × {}, {} segments",
            v.frames,
            v.channels,
            v.height,
            v.width,
            a.frames,
            a.channels,
            layout.segments()
        ),
        codec: info.codec.kind.clone(),
    })
}
