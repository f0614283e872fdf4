//! What can be typed.

mod adapter;
mod bench;
mod codec;
mod codec_command;
mod demo;
mod engine;
mod engine_command;
mod experiment;
mod export;
mod images;
mod import;
mod inspect;
mod profile;
mod quantize;
mod ranks;
mod report;

pub use adapter::{AdapterCommand, ExtractArgs, FromPeftArgs, MergeArgs, ToPeftArgs};
pub use bench::{BenchArgs, CompareArgs};
pub use codec::{CodecArgs, TrainWhat};
pub use codec_command::{AssembleArgs, CheckArgs, CodecCommand, Tile};
pub use demo::{AdapterPart, DemoArgs, DemoNetwork, Fusion, SamplerSteps};
pub use engine::{EngineArgs, SetupArgs};
pub use engine_command::{BuildArgs, EngineCommand, ExplainArgs, GcArgs, ListArgs};
pub use experiment::{ExperimentCommand, MonlArgs};
pub use export::{ExportArgs, ExternalChoice};
pub use images::ImagesArgs;
pub use import::ImportArgs;
pub use inspect::InspectArgs;
pub use profile::ProfileArgs;
pub use quantize::{Asked, QuantizeArgs, QuantizeWhat, Smooth};
pub use ranks::{RankArgs, RanksBy};
pub use report::ReportArgs;

use crate::exit;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Audio-video diffusion transformers from training to a workstation.
#[derive(Debug, Parser)]
#[command(name = "avdit", version, after_help = exit::HELP, propagate_version = true)]
pub struct Args {
    /// Log more (twice: everything)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Log nothing; progress is still shown
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The whole pipeline on clips made for the purpose: files, codec, training, ONNX, sampling, report
    #[command(
        after_help = "Examples:\n  avdit demo\n  avdit demo --out first --seed 7\n  avdit demo --network av-dit --out av-dit-demo\n  \
        avdit demo --network av-dit --without temporal --out without\n  avdit demo --network av-dit --fusion cross --out cross\n  \
        avdit demo --network av-dit --out av-dit-demo --compare ddpm-learned@250,dpm++2m@20,dpm++2m@10"
    )]
    Demo(DemoArgs),
    /// Turn clips into a dataset of latents
    #[command(
        after_help = "Examples:\n  avdit prepare clips/ -o data/\n  avdit prepare *.mp4 -o data/ --preset small\n  \
        avdit prepare more/ -o data2/ --codec data/codec.safetensors\n  \
        avdit prepare clips/ -o data/ --codec codec/                    # of avdit train codec, or avdit codec assemble\n  \
        avdit prepare clips/ -o data/ --shard $SLURM_ARRAY_TASK_ID/16   # in a job of --array=0-15\n  \
        avdit prepare clips/ -o data/ --merge                           # when all of it is done\n  \
        avdit prepare --join data/ data2/ -o both/\n\nReads mp4/mov (H.264, AAC), gif or a folder of png \
        with a wav beside it, and whatever ffmpeg reads where it is installed. Run it again after an interruption: it goes on. \
        Parts may run anywhere that sees the same files under the same names, in any order and number: the dataset has the same bytes. \
        With --codec they also encode; without, the merge fits the codec and encodes. Beside the dataset: audit.html, audit.jsonl, \
        audit.md and stats.json."
    )]
    Prepare(PrepareArgs),
    /// Make a codec of public networks, or measure any codec
    #[command(subcommand)]
    Codec(CodecCommand),
    /// Train a MoNL AVDiT
    #[command(after_help = "Examples:\n  avdit train --example > run.toml\n  avdit train run.toml\n  \
        avdit train run.toml --dry-run\n  \
        avdit train run.toml --overfit-one-batch\n  avdit train runs/first --resume\n  avdit train run.toml --set optimizer.lr=3e-4 --set run.steps=20000\n  \
        mpirun -n 4 avdit train run.toml\n  avdit train codec clips/ -o codec/\n\nUnder mpirun or srun every process trains on its part of each batch; the program must be built \
        with --features mpi (or nccl).")]
    Train(TrainArgs),
    /// Write the page of a training run, or set several side by side
    #[command(
        after_help = "Examples:\n  avdit report runs/first\n  avdit report runs/first runs/second -o comparison.html"
    )]
    Report(ReportArgs),
    /// Take a public checkpoint (DiT, a VAE, HiFi-GAN, EnCodec) under this project's names
    #[command(
        after_help = "Examples:\n  avdit import DiT-XL-2-256x256.pt -o dit/\n  avdit import vae/diffusion_pytorch_model.safetensors -o sd-vae/\n  \
        avdit import v1-5-pruned.safetensors --within first_stage_model. --config stable-diffusion -o sd-vae/\n  \
        avdit import model-*.safetensors --as dit --heads 16 --size 32x32 -o dit/\n\nReads PyTorch's checkpoints without running their \
        pickle, and safetensors. Every tensor must be one of the network's and of its shape: what is missing, unknown or \
        misshapen is told in one table, and nothing is written (exit code 3). The folder: network.json and model.safetensors in float32."
    )]
    Import(ImportArgs),
    /// Write a run's network as an ONNX model, checked against the checkpoint
    #[command(
        after_help = "Examples:\n  avdit export runs/first -o model/\n  avdit export runs/first -o model/ --batch 1 --raw\n  \
        avdit export runs/first -o model/ --target ort-cpu --freeze-schedule 20 --fused-step=dpm++2m
  \
        avdit export --random 0 --preset avdit-420m -o untrained/ && avdit bench untrained/"
    )]
    Export(ExportArgs),
    /// Make a model smaller and faster in fewer bits, and prove that it still sounds and looks the same
    #[command(
        after_help = "Examples:\n  avdit quantize model/ -o small-int8/                          # search for the units that int8 does no harm to\n  \
        avdit quantize model/ --precision fp16 -o half/\n  avdit quantize model/ --precision int8 --budget-snr 30dB --calibrate data/ -o int8/\n  \
        avdit quantize model/ --curve -o curve/                     # and what sets between none and all would do\n  \
        avdit quantize model/ --precision int8 --target ort-tensorrt -o trt/\n  avdit quantize model/ --recipe int8/quant.toml -o again/\n  avdit quantize report int8/\n\nBeside the graph: quant.toml (the recipe, to edit and \
        give again; calibration.json where it needs one), quality.json, quality.html with samples of both models. A model that does not keep the budget is not written; the \
        exit code is then 6. Stopped by ctrl-C, the search goes on where it was when the same command is run again."
    )]
    Quantize(Box<QuantizeArgs>),
    /// Make clips with an exported model
    #[command(after_help = "Examples:\n  avdit sample model/ --task joint -o out.mp4\n  \
        avdit sample model/ --task a2v --audio voice.wav -o out.mp4\n  \
        avdit sample model/ --task v2a --video silent.mp4 -o out.mp4 --engine ort\n  \
        avdit sample model/ --given 'video:0-1;audio:0-1' --video clip.mp4 -o out.mp4")]
    Sample(SampleArgs),
    /// Make images of classes with an imported DiT
    #[command(
        after_help = "Examples:\n  avdit images dit/ --classes 207,360 --vae sd-vae/ -o images/ --engine ort\n  \
        avdit images dit/ --classes 88 --sampler dpm++2m --steps 20 --guided-channels 4 -o images/\n\nWithout --vae the pictures are \
        the latents in false colours. In the folder: latents.safetensors, a png of each image, sheet.png, and recipe.json, with which \
        the same images can be made again."
    )]
    Images(Box<ImagesArgs>),
    /// Measure what a sampling step costs
    #[command(
        after_help = "Examples:\n  avdit bench model/\n  avdit bench model/ --engine tract,ort-cpu --batch 1,4 --threads 1,2 --html bench.html\n  \
        avdit bench a/ b/ --engine ort-cpu --steps 20 --json-out now.json\n\nEach case runs in a process of its own, all in turn. \
        A case that fails is a row with its reason; the exit code is then that failure's."
    )]
    Bench(BenchArgs),
    /// Run an experiment of many trainings and report on it
    #[command(subcommand)]
    Experiment(ExperimentCommand),
    /// Build, list, explain and remove TensorRT engines
    #[command(subcommand)]
    Engine(EngineCommand),
    /// Adapters of AV-DiT: out of a run, to peft and back
    #[command(subcommand)]
    Adapter(AdapterCommand),
    /// Write an adapter and the DiT that it stands on as one network, LoRA folded in
    #[command(
        after_help = "Examples:\n  avdit merge --base dit/ --adapter adapter/ -o merged/\n  avdit merge --base dit/ --adapter adapter/ -o merged/ --keep-factors\n\n\
        Only LoRA can be folded: into a copy of the attention for each site, 4·D² values more in each block. Temporal attention, \
        the audio adapter, the fusion gates and cross-attentions are no linear updates of a frozen matrix, and stay."
    )]
    Merge(MergeArgs),
    /// Say what a model is and what it costs: parameters, operations, bytes, memory, and what each target changes
    #[command(
        after_help = "Examples:\n  avdit inspect model/\n  avdit inspect model/ --batch 4 --nodes --json"
    )]
    Inspect(InspectArgs),
    /// Say where the time of a step goes, operation by operation (what a step costs is for bench to say)
    #[command(
        after_help = "Examples:\n  avdit profile model/ --engine ort-cpu --threads 1\n  avdit profile model/ --chrome trace.json"
    )]
    Profile(ProfileArgs),
    /// Set two results of `bench` side by side
    #[command(
        after_help = "Examples:\n  avdit compare before.json after.json\n  avdit compare before.json after.json --max-regression 3%"
    )]
    Compare(CompareArgs),
    /// The process in which `bench` measures a case
    #[command(hide = true)]
    BenchWorker,
    /// Say which engines can run here, and what is missing
    #[command(after_help = "Examples:\n  avdit doctor\n  avdit doctor --json")]
    Doctor(DoctorArgs),
}

impl Command {
    /// The threads that were asked for, where the command takes them for all its work.
    pub fn threads(&self) -> Option<usize> {
        match self {
            Command::Experiment(ExperimentCommand::Monl(args)) => args.threads.map(usize::from),
            _ => None,
        }
    }
}

/// Options of `prepare`.
#[derive(Debug, ClapArgs)]
pub struct PrepareArgs {
    /// Files and folders
    #[arg(required = true)]
    pub clips: Vec<PathBuf>,
    /// Folder of the dataset
    #[arg(short, long)]
    pub out: PathBuf,
    /// Whose grid of pixels, samples and latents: 64×64 for tiny and frames, 128×128 for the others, 17 frames at 8 fps; frames has latents picture by picture, for dit and av-dit
    #[arg(long, default_value = "tiny", value_parser = clap::builder::PossibleValuesParser::new(crate::grids::NAMES))]
    pub preset: String,
    /// Use this codec and its grid in place of fitting one: linear, learned (`train codec`) or of public networks
    /// (`codec assemble`); its file, or the folder that holds it
    #[arg(long, conflicts_with = "preset")]
    pub codec: Option<PathBuf>,
    /// Which decoder
    #[arg(long, value_enum, default_value_t = DecoderChoice::Auto)]
    pub decoder: DecoderChoice,
    /// Make part I of N (from 0) alone: every N-th file; --merge makes the dataset of all parts
    #[arg(long, value_name = "I/N", conflicts_with = "merge")]
    pub shard: Option<avdit_media::prepare::Part>,
    /// Make the dataset of parts that were made with --shard and the same files and options
    #[arg(long)]
    pub merge: bool,
    /// Make one dataset of several, named in place of clips; their latents stay where they are
    #[arg(long, conflicts_with_all = ["shard", "merge", "codec", "preset"])]
    pub join: bool,
    /// Replace a dataset that is in the folder; it stays until the new one is whole
    #[arg(long)]
    pub overwrite: bool,
    /// Frames per second of folders of png files
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub png_fps: u32,
    /// The result as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// Which decoder reads clips.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum DecoderChoice {
    /// The built-in ones; ffmpeg, where installed, for other kinds
    Auto,
    /// The built-in ones alone
    BuiltIn,
    /// ffmpeg alone
    Ffmpeg,
}

/// Options of `train`.
#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct TrainArgs {
    /// Something else to train
    #[command(subcommand)]
    pub what: Option<TrainWhat>,
    /// The run's configuration, or with --resume the run's folder
    #[arg(required_unless_present = "example")]
    pub config: Option<PathBuf>,
    /// Print a configuration with every setting explained
    #[arg(long)]
    pub example: bool,
    /// Go on from the newest checkpoint
    #[arg(long)]
    pub resume: bool,
    /// Remove what an earlier run left in the same folder
    #[arg(long, conflicts_with = "resume")]
    pub overwrite: bool,
    /// Stop after this step (to go on later with --resume)
    #[arg(long)]
    pub until: Option<usize>,
    /// Only check configuration and data, and predict memory and time
    #[arg(long, conflicts_with = "until")]
    pub dry_run: bool,
    /// Train on one batch again and again for 200 steps, in OUT-overfit, and fail (exit code 6) unless its loss falls below half
    #[arg(long)]
    pub overfit_one_batch: bool,
    /// Replace a setting, such as optimizer.lr=3e-4
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// How ranks work together.
    #[command(flatten)]
    pub ranks: RankArgs,
    /// The result as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// How is sampled.
#[derive(Clone, Debug, ClapArgs)]
pub struct SamplerArgs {
    /// ddim, ddim:0.5 (η), ddpm, ddpm-large, ddpm-learned (AV-DiT), dpm++1, dpm++2m, dpm++3m, unipc, unipc:3 (order), euler, heun, flow
    #[arg(long, default_value = "ddim")]
    pub sampler: avdit_core::sampler::SamplerKind,
    /// Sampling steps
    #[arg(long, default_value_t = 20)]
    pub steps: usize,
    /// Decides all noise
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Strength of the given cells; 1 is off, above 1 costs a second network run per step
    #[arg(long, default_value_t = 1.0)]
    pub guidance: f64,
}

/// Options of `sample`.
#[derive(Debug, ClapArgs)]
pub struct SampleArgs {
    /// The model's folder
    pub model: PathBuf,
    /// joint, a2v, v2a, continue, continue:N or inpaint
    #[arg(long, conflicts_with = "given", required_unless_present = "given")]
    pub task: Option<avdit_core::Task>,
    /// Any given cells, such as 'video:0-1;audio:0-1'
    #[arg(long)]
    pub given: Option<String>,
    /// Where given sound comes from; the sound of --video if not given
    #[arg(long)]
    pub audio: Option<PathBuf>,
    /// Where given pictures come from
    #[arg(long)]
    pub video: Option<PathBuf>,
    /// The mp4 to write; its recipe goes into it and beside it
    #[arg(short, long)]
    pub out: PathBuf,
    /// Also write these beside it, separated by commas: gif, wav, png
    #[arg(long, value_delimiter = ',', value_enum)]
    pub also: Vec<ExtraFile>,
    /// Each pixel of the pictures becomes this many squared
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=32))]
    pub scale: u8,
    /// How is sampled
    #[command(flatten)]
    pub sampler: SamplerArgs,
    /// How the model is run
    #[command(flatten)]
    pub engine: EngineArgs,
    /// The result as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// A file that can be written beside an mp4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExtraFile {
    /// The pictures
    Gif,
    /// The sound
    Wav,
    /// The frames above the spectrogram
    Png,
}

impl ExtraFile {
    /// How such a file's name ends.
    pub fn extension(self) -> &'static str {
        match self {
            ExtraFile::Gif => "gif",
            ExtraFile::Wav => "wav",
            ExtraFile::Png => "png",
        }
    }
}

/// Options of `doctor`.
#[derive(Debug, ClapArgs)]
pub struct DoctorArgs {
    /// The ONNX Runtime library to try (after ORT_DYLIB_PATH)
    #[arg(long, value_name = "FILE")]
    pub onnxruntime: Option<PathBuf>,
    /// The result as JSON on stdout
    #[arg(long)]
    pub json: bool,
}
