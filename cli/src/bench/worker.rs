//! The worker: one process that opens one case, or measures the machine, and does what its parent says.

use super::protocol::{CaseJob, Command, Finished, Job, LimitJob, Reply, Run, WorkerError};
use super::result::{Decode, Device, Memory, Opened};
use crate::output::{error_text, say};
use crate::{engines, exit};
use anyhow::{Context, Result};
use avdit_core::{Latents, Modality, Noise, Purpose, SampleRequest, Stream, Task};
use avdit_runtime::engine::load_onnx_runtime;
use avdit_runtime::limits::{Rate, matmul_rate, triad_rate};
use avdit_runtime::machine::{cpu_seconds, peak_memory_bytes, reset_peak_memory, resident_memory_bytes};
use avdit_runtime::{Engine, TimedSample, sample_timed};
use std::io::{BufRead, Stdin};
use std::time::{Duration, Instant};

/// Rows and columns of the matrices whose product is a limit.
const PRODUCT_SIZE: usize = 2048;

/// How long each limit is measured.
const LIMIT_DURATION: Duration = Duration::from_millis(300);

/// Decodings of which the median is told.
const DECODES: usize = 3;

/// What reads a device's own counters around each run that counts.
pub trait Meter {
    /// Before a run.
    fn before_run(&mut self);
    /// After it.
    fn after_run(&mut self);
    /// What was read, over so many clips.
    fn finish(&mut self, clips: usize) -> Device;
}

/// Does the job on stdin. `meter` is asked for what reads the counters of the case's device, where it has one.
pub fn run(meter: &dyn Fn(&CaseJob) -> Option<Box<dyn Meter>>) -> Result<()> {
    let Err(error) = work(meter) else { return Ok(()) };
    let (message, hint) = error_text(&error);
    let exit_code = exit::code(&error);
    tell(&Reply::Failed(WorkerError { message, hint, exit_code }))?;
    std::process::exit(exit_code.into());
}

fn work(meter: &dyn Fn(&CaseJob) -> Option<Box<dyn Meter>>) -> Result<()> {
    let input = std::io::stdin();
    let job = read(&input)?.context("no job on stdin: this command is for `avdit bench` to start")?;
    match job {
        Job::Case(job) => {
            let meter = meter(&job);
            case(&job, &input, meter)
        }
        Job::Limits(limits) => limits.iter().try_for_each(|limit| tell(&Reply::Limit(measure(limit)))),
    }
}

fn read<T: serde::de::DeserializeOwned>(input: &Stdin) -> Result<Option<T>> {
    let mut line = String::new();
    match input.lock().read_line(&mut line)? {
        0 => Ok(None),
        _ => Ok(Some(serde_json::from_str(&line)?)),
    }
}

fn tell(reply: &Reply) -> Result<()> {
    say(serde_json::to_string(reply)?);
    Ok(())
}

fn measure(limit: &LimitJob) -> Result<Rate, String> {
    match limit {
        LimitJob::Bandwidth(threads) => Ok(triad_rate(*threads, LIMIT_DURATION)),
        LimitJob::MatMul { engine, precision, options } => {
            matmul_rate(*engine, *precision, options, PRODUCT_SIZE, LIMIT_DURATION)
                .map_err(|error| error_text(&error.into()).0)
        }
    }
}

/// A model open on an engine, and what is sampled with it.
struct Sampler {
    engine: Box<dyn Engine>,
    request: SampleRequest,
    given: Option<Latents>,
}

impl Sampler {
    fn sample(&mut self) -> Result<TimedSample> {
        Ok(sample_timed(self.engine.as_mut(), &self.request, self.given.as_ref(), &mut |_| {})?)
    }
}

fn case(job: &CaseJob, input: &Stdin, mut meter: Option<Box<dyn Meter>>) -> Result<()> {
    let start_bytes = resident_memory_bytes();
    let (request, given) = request(job)?;
    let library_load_ms = match job.engine.name().starts_with("ort") {
        true => {
            let start = Instant::now();
            load_onnx_runtime(job.options.onnx_runtime.as_deref())?;
            Some(milliseconds(start))
        }
        false => None,
    };
    let engine = engines::open(&job.model, job.engine, &job.options)?;
    let open_peak_bytes = peak_memory_bytes();
    let is_reset = reset_peak_memory();
    let mut sampler = Sampler { engine, request, given };

    let (warming, warm_up) = (Instant::now(), Duration::from_millis(job.warm_up_ms));
    let first = sampler.sample()?;
    while warming.elapsed() < warm_up {
        sampler.sample()?;
    }
    let facts = sampler.engine.facts();
    tell(&Reply::Opened(Box::new(Opened {
        version: facts.version.clone(),
        library: facts.library.clone(),
        network: facts.graph.path.clone(),
        threads: facts.threads,
        library_load_ms,
        load_ms: facts.load_ms,
        session_ms: facts.session_ms,
        engine_build_ms: facts.build_ms,
        first_step_ms: first.timings.steps.first().context("a run of no steps")?.wall_ms,
        nodes: facts.graph.nodes,
        placement: serde_json::to_value(&facts.placement)?,
    })))?;
    let weights = facts.graph.bytes;

    let (mut runs, mut latents) = (0, first.latents);
    while let Some(command) = read(input)? {
        match command {
            Command::Run => {
                if let Some(meter) = &mut meter {
                    meter.before_run();
                }
                let (start, cpu) = (Instant::now(), cpu_seconds());
                let sample = sampler.sample()?;
                let (wall_s, cpu_s) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
                if let Some(meter) = &mut meter {
                    meter.after_run();
                }
                runs += 1;
                tell(&Reply::Ran(told(&sample, wall_s, cpu_s)))?;
                latents = sample.latents;
            }
            Command::Finish => {
                let memory = memory(start_bytes.filter(|_| is_reset), open_peak_bytes, weights);
                let clips = runs * sampler.request.batch;
                let device = meter.as_mut().map(|meter| meter.finish(clips));
                let (clip_seconds, decode) = decode(job, &latents)?;
                return tell(&Reply::Finished(Box::new(Finished { memory, clip_seconds, decode, device })));
            }
        }
    }
    Ok(())
}

fn request(job: &CaseJob) -> Result<(SampleRequest, Option<Latents>)> {
    let spec = engines::spec(&job.model, job.engine)?;
    let task: Task = job.sampling.task.parse()?;
    let mask = task.given(spec.layout.segments())?;
    let batch = job.options.batch;
    let given = (task != Task::Joint).then(|| {
        let mut given = Latents::zeros(&spec.layout, batch);
        for modality in Modality::ALL {
            Noise::new(0).normals(Stream::new(Purpose::Check, 0, modality as u32), given.get_mut(modality));
        }
        given
    });
    let request = SampleRequest {
        batch,
        seed: job.sampling.seed,
        steps: job.sampling.steps,
        sampler: job.sampling.sampler.parse()?,
        guidance: job.sampling.guidance,
        given: mask,
        ..SampleRequest::new(spec.layout.segments())
    };
    Ok((request, given))
}

fn told(sample: &TimedSample, wall_s: f64, cpu_s: f64) -> Run {
    let steps = &sample.timings.steps;
    Run {
        steps: steps.iter().map(|step| [step.wall_ms, step.network_ms, step.copies_ms]).collect(),
        predictions: steps.iter().map(|step| step.predictions).sum(),
        wall_s,
        cpu_s,
    }
}

fn memory(start_bytes: Option<u64>, open_peak_bytes: Option<u64>, weights: u64) -> Memory {
    let run_peak_bytes = peak_memory_bytes();
    let above = |peak: u64, start: u64| peak as i64 - start as i64 - weights as i64;
    Memory {
        start_bytes,
        open_peak_bytes,
        run_peak_bytes,
        above_weights_bytes: run_peak_bytes.zip(start_bytes).map(|(peak, start)| above(peak, start)),
    }
}

/// How long a clip of the model plays, and how long its first clip takes to decode.
fn decode(job: &CaseJob, latents: &Latents) -> Result<(Option<f64>, Option<Decode>)> {
    let path = job.model.join("codec.safetensors");
    if !path.is_file() {
        return Ok((None, None));
    }
    let codec = crate::codec::open(&path)?;
    let part = |modality| &latents.get(modality)[..latents.get(modality).len() / latents.batch];
    let median = |decode: &dyn Fn() -> Result<()>| -> Result<f64> {
        let mut times = Vec::new();
        for _ in 0..DECODES {
            let start = Instant::now();
            decode()?;
            times.push(milliseconds(start));
        }
        times.sort_unstable_by(f64::total_cmp);
        Ok(times[DECODES / 2])
    };
    let video_ms = median(&|| codec.decode_video(part(Modality::Video)).map(drop).map_err(Into::into))?;
    let audio_ms = median(&|| codec.decode_audio(part(Modality::Audio)).map(drop).map_err(Into::into))?;
    Ok((Some(codec.grid().duration_s()), Some(Decode { video_ms, audio_ms })))
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
