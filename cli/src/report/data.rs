//! What a report says, as plain data: the commands fill it, the page shows it. Nothing here knows of files beyond
//! their relative names, nor of any engine or network.

use serde::Serialize;

/// Everything on the page. What is empty or `None` is left out, except that samples and stages say so.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Report {
    /// The heading: `avdit demo`.
    pub(crate) title: String,
    /// One sentence on what was done.
    pub(crate) summary: String,
    /// When, as text: `2026-11-20 09:41 UTC`.
    pub(crate) created: String,
    /// The command line.
    pub(crate) command: String,
    /// The seed of everything that is random.
    pub(crate) seed: Option<u64>,
    /// Whether the model has learnt the law, task by task.
    pub(crate) agreement: Vec<Agreement>,
    /// The law and the time of a clip with several samplers.
    pub(crate) compared: Vec<Compared>,
    /// Samples, task by task.
    pub(crate) tasks: Vec<TaskSamples>,
    /// The training run.
    pub(crate) training: Option<Training>,
    /// Latency of sampling steps, one entry for each engine measured.
    pub(crate) latency: Vec<Latency>,
    /// What ran where.
    pub(crate) engines: Vec<EngineUse>,
    /// The stages in order, with their times.
    pub(crate) stages: Vec<Stage>,
    /// The clips trained on.
    pub(crate) dataset: Option<Dataset>,
    /// The codec.
    pub(crate) codec: Option<Codec>,
    /// The machine.
    pub(crate) machine: Machine,
    /// Name and version of what took part.
    pub(crate) versions: Vec<Fact>,
    /// What was not run, and why.
    pub(crate) not_run: Vec<NotRun>,
}

/// A name and what it stands for.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Fact {
    /// The name.
    pub(crate) name: String,
    /// Its value, with unit.
    pub(crate) value: String,
}

impl Fact {
    /// A fact from its two halves.
    pub(crate) fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// A mean and its 95 % interval.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Interval {
    /// The mean.
    pub(crate) mean: f64,
    /// Lower end.
    pub(crate) low: f64,
    /// Upper end.
    pub(crate) high: f64,
}

/// How well sight and sound agree in one task's clips.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Agreement {
    /// The task: `a2v`.
    pub(crate) task: String,
    /// What is measured: `correlation of the ball's height and the pitch`.
    pub(crate) measure: String,
    /// Clips measured.
    pub(crate) n_clips: usize,
    /// Clips in which nothing could be measured; they count as 0.
    pub(crate) n_without_track: usize,
    /// Pictures with their own sounds.
    pub(crate) matched: Interval,
    /// The same pictures with other clips' sounds.
    pub(crate) shuffled: Interval,
    /// Matched less shuffled, clip by clip.
    pub(crate) difference: Interval,
    /// The best that could be reached: true clips after the codec, if measured.
    pub(crate) ceiling: Option<f64>,
}

/// What a sampler makes of a task, and in what time.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Compared {
    /// Its name.
    pub(crate) sampler: String,
    /// Its steps.
    pub(crate) steps: usize,
    /// Clips that were sampled at once.
    pub(crate) batch: usize,
    /// What ran the network: `tract, 2 threads`.
    pub(crate) engine: String,
    /// Sampling of one of them, in seconds.
    pub(crate) clip_s: f64,
    /// The task: `a2v`.
    pub(crate) task: String,
    /// Agreement of pictures with their own sounds less that with other clips' sounds.
    pub(crate) difference: Interval,
    /// Correlation over clips of what lasts through a clip, if measured.
    pub(crate) lasting: Option<Interval>,
    /// How much the motion changes its course, to that in true clips, where pictures were made.
    pub(crate) motion: Option<f64>,
}

/// The samples of one task.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct TaskSamples {
    /// The task: `inpaint`.
    pub(crate) task: String,
    /// What it asks of the model; if empty, the page's own words for the known tasks.
    pub(crate) description: String,
    /// Its samples.
    pub(crate) samples: Vec<Sample>,
}

/// One generated clip.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Sample {
    /// Its name, unique in the report.
    pub(crate) name: String,
    /// Its files.
    pub(crate) media: Media,
    /// The cells that were given, for each segment; as long as `given_audio`.
    pub(crate) given_video: Vec<bool>,
    /// The cells that were given, for each segment.
    pub(crate) given_audio: Vec<bool>,
    /// The clip that the given cells were taken from.
    pub(crate) reference: Option<Media>,
    /// How it was made.
    pub(crate) recipe: Recipe,
    /// Agreement of sight and sound in this clip alone, if measured.
    pub(crate) agreement: Option<f64>,
}

/// The files of a clip, relative to the report, with `/` between folders. An empty name is not shown.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Media {
    /// Picture and sound.
    pub(crate) mp4: String,
    /// Picture alone, for viewers without mp4.
    pub(crate) gif: String,
    /// Sound alone.
    pub(crate) wav: String,
    /// Frames above their spectrogram.
    pub(crate) png: String,
}

/// What is needed to make a sample again.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Recipe {
    /// Seed.
    pub(crate) seed: u64,
    /// Sampler.
    pub(crate) sampler: String,
    /// Sampling steps.
    pub(crate) steps: usize,
    /// Guidance, as text: `none`, `2.0`.
    pub(crate) guidance: String,
    /// Engine.
    pub(crate) engine: String,
}

/// A training run.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Training {
    /// Points of the curve, in order of step.
    pub(crate) points: Vec<LossPoint>,
    /// What the loss is: `mean square error of v`.
    pub(crate) loss: String,
    /// Configuration and figures: parameters, batch, learning rate, seconds per step.
    pub(crate) facts: Vec<Fact>,
}

/// One point of the loss curve.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct LossPoint {
    /// Training step, from 1.
    pub(crate) step: usize,
    /// The video term.
    pub(crate) video: f64,
    /// The audio term.
    pub(crate) audio: f64,
    /// The learning rate, if told.
    pub(crate) learning_rate: Option<f64>,
}

/// Statistics of measurements, in milliseconds but for `cv`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Summary {
    /// Measurements.
    pub(crate) n: usize,
    /// Median.
    pub(crate) p50: f64,
    /// 90th percentile.
    pub(crate) p90: f64,
    /// 99th percentile.
    pub(crate) p99: f64,
    /// Mean.
    pub(crate) mean: f64,
    /// Standard deviation over mean.
    pub(crate) cv: f64,
}

/// Latency per sampling step on one engine.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Latency {
    /// The engine.
    pub(crate) engine: String,
    /// Threads inside an operation.
    pub(crate) threads: usize,
    /// Clips in a batch.
    pub(crate) batch: usize,
    /// What was sampled and what is excluded: `20 steps of ddim, after 2 runs to warm up`.
    pub(crate) protocol: String,
    /// A whole step.
    pub(crate) step: Summary,
    /// The network in it, if told apart.
    pub(crate) network: Option<Summary>,
    /// The copies in and out of the engine, if told apart.
    pub(crate) copies: Option<Summary>,
    /// The sampler's arithmetic in it, if told apart.
    pub(crate) sampler: Option<Summary>,
    /// By step index, from the first step.
    pub(crate) by_step: Vec<StepLatency>,
    /// From request to latents, seconds per clip.
    pub(crate) clip_s: Option<f64>,
    /// Seconds of clip made per second.
    pub(crate) clip_seconds_per_s: Option<f64>,
}

/// Latency of the steps with one index.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct StepLatency {
    /// Median.
    pub(crate) p50_ms: f64,
    /// 90th percentile.
    pub(crate) p90_ms: f64,
}

/// One thing that ran.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct EngineUse {
    /// What ran: `training`, `sampling`.
    pub(crate) what: String,
    /// On which engine.
    pub(crate) engine: String,
    /// Its version.
    pub(crate) version: String,
    /// The library it was loaded from; empty if part of the program.
    pub(crate) library: String,
    /// Where the nodes ran: `1,204 nodes on CPU`.
    pub(crate) placement: String,
}

/// One stage of the pipeline.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Stage {
    /// Its name.
    pub(crate) name: String,
    /// How long it took.
    pub(crate) seconds: f64,
    /// What ran: `Candle, 2 threads`.
    pub(crate) what: String,
    /// What a reader should know.
    pub(crate) note: String,
}

/// The clips trained on.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Dataset {
    /// Where from.
    pub(crate) source: String,
    /// Clips kept.
    pub(crate) n_kept: usize,
    /// Clips left out, with the reason.
    pub(crate) left_out: Vec<LeftOut>,
    /// Frame rate, size, sample rate, splits.
    pub(crate) facts: Vec<Fact>,
}

/// A clip or file that was left out.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct LeftOut {
    /// The clip.
    pub(crate) clip: String,
    /// Why, in a word or two.
    pub(crate) reason: String,
    /// What was measured or went wrong.
    pub(crate) detail: String,
}

/// The codec between clips and latents.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Codec {
    /// Its name.
    pub(crate) name: String,
    /// Clips the reconstruction was measured on.
    pub(crate) n_clips: usize,
    /// Peak signal-to-noise ratio of reconstructed pictures.
    pub(crate) video_psnr_db: Option<f64>,
    /// Log-spectral distance of reconstructed sound.
    pub(crate) audio_distance_db: Option<f64>,
    /// Latent shapes, tokens, segments.
    pub(crate) facts: Vec<Fact>,
}

/// The machine.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Machine {
    /// The processor's name.
    pub(crate) cpu: String,
    /// Logical processors that the process may use.
    pub(crate) cores: usize,
    /// Memory.
    pub(crate) memory_bytes: Option<u64>,
    /// Operating system and kernel.
    pub(crate) os: String,
    /// Anything else: instruction sets, load, GPU.
    pub(crate) facts: Vec<Fact>,
}

/// Something that was not run.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct NotRun {
    /// What.
    pub(crate) what: String,
    /// Why.
    pub(crate) why: String,
}
