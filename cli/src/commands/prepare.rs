//! `avdit prepare`: clips → dataset.

use crate::args::{DecoderChoice, PrepareArgs};
use crate::cancel;
use crate::output::{say, say_json};
use crate::progress::Stage;
use anyhow::{Context, Result};
use avdit_media::codec::CodecConfig;
use avdit_media::prepare::{CodecChoice, PrepareOptions, Progress, Stage as Work, Summary};
use avdit_media::{ClipGrid, Preference, Rational};
use avdit_nets::AvditConfig;
use serde_json::json;
use std::path::{Path, PathBuf};

pub fn run(args: &PrepareArgs) -> Result<()> {
    let codec = match &args.codec {
        Some(path) => CodecChoice::File(path.clone()),
        None => CodecChoice::Fit(codec_config(&args.preset)?),
    };
    let mut options = PrepareOptions::new(codec);
    options.decode.preference = match args.decoder {
        DecoderChoice::Auto => Preference::Auto,
        DecoderChoice::BuiltIn => Preference::BuiltIn,
        DecoderChoice::Ffmpeg => Preference::Ffmpeg,
    };
    options.decode.folder_fps = Rational::new(args.png_fps, 1);
    let summary = with_progress(&args.clips, &args.out, &options)?;
    if args.json {
        return say_json(&as_json(&summary));
    }
    let quality = &summary.codec.reconstruction;
    say(format!("{} clips of {} files in {}", summary.dataset.clips, summary.files, args.out.display()));
    for (reason, count) in summary.left_out() {
        say(format!("  left out: {count} × {}", reason.describe()));
    }
    say(format!(
        "codec: {:.1} dB PSNR of pictures, {:.1} dB log-spectral distance of sound",
        quality.video_psnr_db, quality.audio_log_spectral_distance_db
    ));
    say(format!("the audit of every clip is in {}", args.out.join("audit.md").display()));
    Ok(())
}

/// The codec configuration of a preset's latents on its grid.
pub fn codec_config(preset: &str) -> Result<CodecConfig> {
    let network = AvditConfig::preset(preset).with_context(|| format!("there is no preset {preset}"))?;
    let side = if preset == "tiny" { 64 } else { 128 };
    let grid =
        ClipGrid { frames: 17, fps: Rational::new(8, 1), width: side, height: side, sample_rate_hz: 16_000 };
    Ok(CodecConfig::for_layout(grid, &network.layout())?)
}

/// Prepares with a bar for each stage.
pub fn with_progress(clips: &[PathBuf], out: &Path, options: &PrepareOptions) -> Result<Summary> {
    let mut current: Option<(Work, Stage)> = None;
    let mut total = 0;
    let mut show = |progress: Progress| {
        let changed = current.as_ref().is_none_or(|(work, _)| *work != progress.stage);
        if changed {
            if let Some((work, stage)) = current.take() {
                stage.finish(&format!("{total} {}", words(work).1));
            }
            let (label, unit) = words(progress.stage);
            current = Some((progress.stage, Stage::new(label, progress.total, unit)));
        }
        if let Some((_, stage)) = &mut current {
            total = progress.total;
            stage.set_total(progress.total);
            stage.set(progress.done, "");
        }
    };
    let summary = avdit_media::prepare::prepare(clips, out, options, &mut show, &cancel::asked)?;
    if let Some((_, stage)) = current {
        stage.finish(&format!("{} clips kept, {} left out", summary.dataset.clips, summary.dataset.left_out));
    }
    Ok(summary)
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
        "resumed_files": summary.resumed, "left_out": left_out,
    })
}
