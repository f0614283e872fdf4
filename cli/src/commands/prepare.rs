//! `avdit prepare`: clips → dataset.

use crate::args::{DecoderChoice, PrepareArgs};
use crate::cancel;
use crate::exit::Coded;
use crate::grids::codec_config;
use crate::output::{command_line, say, say_json, shell_word};
use crate::place;
use crate::progress::Stage;
use crate::report::audit_page;
use anyhow::Result;
use avdit_media::prepare::{
    self, CodecChoice, OpenCodec, Part, PrepareOptions, Progress, Stage as Work, Summary,
};
use avdit_media::{Preference, Rational};
use avdit_trainer::codec::CodecFile;
use serde_json::json;
use std::path::{Path, PathBuf};

pub fn run(args: &PrepareArgs) -> Result<()> {
    place::check(&args.out, place::Kind::Dataset, "-o")?;
    if args.join {
        let info = prepare::join(&args.clips, &args.out, args.overwrite)?;
        if args.json {
            return say_json(&json!({ "schema": "avdit-prepare-join/1", "dataset": info }));
        }
        say(format!("{} clips of {} datasets in {}", info.clips, args.clips.len(), args.out.display()));
        return Ok(());
    }
    let codec = match &args.codec {
        Some(path) => {
            let file = crate::codec::file_of(path);
            match CodecFile::kind(&file)?.as_str() {
                "linear" => CodecChoice::File(file),
                _ => CodecChoice::Open(OpenCodec { codec: crate::codec::open(&file)?.into(), file }),
            }
        }
        None => CodecChoice::Fit(codec_config(&args.preset)?),
    };
    let mut options = PrepareOptions::new(codec);
    options.decode.preference = match args.decoder {
        DecoderChoice::Auto => Preference::Auto,
        DecoderChoice::BuiltIn => Preference::BuiltIn,
        DecoderChoice::Ffmpeg => Preference::Ffmpeg,
    };
    options.decode.folder_fps = Rational::new(args.png_fps, 1);
    options.overwrite = args.overwrite;
    if let Some(part) = args.shard {
        return run_part(args, part, &options);
    }
    let summary = match args.merge {
        true => merged(args, &options)?,
        false => with_progress(&args.clips, &args.out, &options)?,
    };
    if args.json {
        return say_json(&as_json(&summary));
    }
    say_summary(&summary, &args.out);
    Ok(())
}

fn say_summary(summary: &Summary, out: &Path) {
    say(format!("{} clips of {} files in {}", summary.dataset.clips, summary.files, out.display()));
    for (reason, count) in summary.left_out() {
        say(format!("  left out: {count} × {}", reason.describe()));
    }
    if let Some(report) = &summary.codec {
        let quality = &report.reconstruction;
        say(format!(
            "codec: {:.1} dB PSNR of pictures, {:.1} dB log-spectral distance of sound",
            quality.video_psnr_db, quality.audio_log_spectral_distance_db
        ));
    }
    for (name, stats) in [("pictures", &summary.stats.video), ("sound", &summary.stats.audio)] {
        let (low, high) = stats.channel_stds();
        say(format!(
            "latents of {name}: {:.2} ± {:.2}, {:.1} to {:.1}; deviations of channels {low:.2} to {high:.2}; segments \
             drift by {:.2}; {:.2} % beyond ±5",
            stats.all.mean,
            stats.all.std,
            stats.all.min,
            stats.all.max,
            stats.drift(),
            100.0 * stats.beyond_5
        ));
    }
    say(format!("the audit of every clip: {}", out.join("audit.html").display()));
}

/// One of several parts.
fn run_part(args: &PrepareArgs, part: Part, options: &PrepareOptions) -> Result<()> {
    let mut bars = Bars::default();
    let mut show = |progress: Progress| bars.show(progress);
    let made = prepare::prepare_part(&args.clips, &args.out, part, options, &mut show, &cancel::asked)?;
    bars.finish(&format!("{} clips can be kept, {} not", made.kept, made.left_out));
    if args.json {
        return say_json(&json!({
            "schema": "avdit-prepare-part/1", "part": part.to_string(), "files": made.files,
            "resumed_files": made.resumed, "kept": made.kept, "left_out": made.left_out,
        }));
    }
    say(format!("part {part}: {} files, {} clips can be kept", made.files, made.kept));
    say(format!("when all {} parts are done: {}", part.of, this_command("--merge")));
    Ok(())
}

/// The dataset of all parts; those that are missing are told with the commands that make them.
fn merged(args: &PrepareArgs, options: &PrepareOptions) -> Result<Summary> {
    let mut bars = Bars::default();
    let mut show = |progress: Progress| bars.show(progress);
    let merged = prepare::merge(&args.clips, &args.out, &with_page(options), &mut show, &cancel::asked);
    let summary = match merged {
        Err(avdit_media::Error::MissingParts { path, missing }) => {
            let most = 8;
            let commands = missing.iter().take(most).map(|part| this_command(&format!("--shard {part}")));
            let mut text = commands.collect::<Vec<_>>().join("\n  ");
            if missing.len() > most {
                text += &format!("\n  and {} more", missing.len() - most);
            }
            let error = avdit_media::Error::MissingParts { path, missing };
            let (what, _) = crate::output::error_text(&anyhow::Error::from(error));
            return Err(Coded::bad_input(format!("{what}\n\nhint: run\n  {text}")).into());
        }
        other => other.map_err(|error| explained(error, &args.clips, &args.out))?,
    };
    bars.finish(&kept_and_left_out(&summary));
    Ok(summary)
}

/// This command with another choice in place of `--shard` or `--merge`.
fn this_command(choice: &str) -> String {
    let mut words = Vec::new();
    let mut given = command_line().into_iter().skip(1);
    while let Some(word) = given.next() {
        match word.as_str() {
            "--shard" => drop(given.next()),
            "--merge" => {}
            _ if word.starts_with("--shard=") => {}
            _ => words.push(shell_word(&word)),
        }
    }
    format!("avdit {} {choice}", words.join(" "))
}

fn with_page(options: &PrepareOptions) -> PrepareOptions {
    PrepareOptions { page: Some(audit_page), ..options.clone() }
}

/// Prepares with a bar for each stage, and the page of the audit.
pub fn with_progress(clips: &[PathBuf], out: &Path, options: &PrepareOptions) -> Result<Summary> {
    let mut bars = Bars::default();
    let mut show = |progress: Progress| bars.show(progress);
    let prepared = prepare::prepare(clips, out, &with_page(options), &mut show, &cancel::asked);
    let summary = prepared.map_err(|error| explained(error, clips, out))?;
    bars.finish(&kept_and_left_out(&summary));
    Ok(summary)
}

/// An error with its cause, where no clips were found because what lies where the dataset goes is none of them.
fn explained(error: avdit_media::Error, clips: &[PathBuf], out: &Path) -> anyhow::Error {
    let nothing = matches!(&error, avdit_media::Error::Value { got, .. } if got == "no files");
    let real = |path: &Path| path.canonicalize().ok();
    let is_inside = |out: PathBuf| {
        clips.iter().filter_map(|input| real(input)).any(|input| out != input && out.starts_with(&input))
    };
    if !(nothing && real(out).is_some_and(is_inside)) {
        return error.into();
    }
    let hint = format!(
        "{} is where the dataset goes, and what lies in it is left out; choose another folder with -o",
        out.display()
    );
    Coded::bad_input(format!("{error}\n\nhint: {hint}")).into()
}

fn kept_and_left_out(summary: &Summary) -> String {
    format!("{} clips kept, {} left out", summary.dataset.clips, summary.dataset.left_out)
}

/// A bar for each stage, one after the other.
#[derive(Default)]
struct Bars {
    current: Option<(Work, Stage)>,
    total: usize,
}

impl Bars {
    fn show(&mut self, progress: Progress) {
        if self.current.as_ref().is_none_or(|(work, _)| *work != progress.stage) {
            if let Some((work, stage)) = self.current.take() {
                stage.finish(&format!("{} {}", self.total, words(work).1));
            }
            let (label, unit) = words(progress.stage);
            self.current = Some((progress.stage, Stage::new(label, progress.total, unit)));
        }
        if let Some((_, stage)) = &mut self.current {
            self.total = progress.total;
            stage.set_total(progress.total);
            stage.set(progress.done, "");
        }
    }

    fn finish(self, result: &str) {
        if let Some((_, stage)) = self.current {
            stage.finish(result);
        }
    }
}

/// What a stage is called, and what it counts.
fn words(work: Work) -> (&'static str, &'static str) {
    match work {
        Work::Decode => ("read and check clips", "files"),
        Work::Fit => ("fit the latent codec", "passes over a clip"),
        Work::Encode => ("encode latents", "clips"),
    }
}

fn as_json(summary: &Summary) -> serde_json::Value {
    let left_out: Vec<_> = summary
        .left_out()
        .into_iter()
        .map(|(reason, count)| json!({ "reason": reason, "count": count }))
        .collect();
    json!({
        "schema": "avdit-prepare/1", "dataset": summary.dataset, "codec": summary.codec, "files": summary.files,
        "stats": summary.stats, "resumed_files": summary.resumed, "left_out": left_out,
    })
}
