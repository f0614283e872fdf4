//! `avdit codec check`: what a codec loses of clips.

use super::clips::files;
use crate::args::CheckArgs;
use crate::codec;
use crate::exit::Interrupted;
use crate::output::{json_text, say, say_json};
use crate::progress::Stage;
use anyhow::{Context, Result, bail};
use avdit_media::audit::count_reasons;
use avdit_media::codec::{ClipSource, Codec, Fidelity, fidelity};
use avdit_media::picture::{Picture, write_png};
use avdit_media::prepare::{CodecChoice, OpenCodec, PrepareOptions, Progress, Survey, survey};
use avdit_media::sheet::sheet;
use avdit_media::{EncodeOptions, write_clip};
use avdit_runtime::EngineOptions;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const GROUND: [u8; 3] = [255, 255, 255];

pub fn run(args: &CheckArgs) -> Result<()> {
    let file = codec::file_of(&args.codec);
    let codec: Arc<dyn Codec> = codec::open_on(&file, args.engine, &EngineOptions::default())?.into();
    let options =
        PrepareOptions::new(CodecChoice::Open(OpenCodec { codec: codec.clone(), file: file.clone() }));
    let Survey { clips, rows, .. } = look(args, &options)?;
    if clips.is_empty() {
        let reasons: Vec<String> = count_reasons(&rows)
            .iter()
            .map(|(reason, count)| format!("{count} {}", reason.describe()))
            .collect();
        bail!(avdit_media::Error::value(
            "clips to measure the codec on",
            "at least 1 that can be kept",
            reasons.join(", ")
        ));
    }
    let (all, count) = (clips.len(), clips.len().min(args.count as usize));
    let chosen = (0..count).map(|i| clips[i * all / count].clone()).collect();
    let source = files(codec.grid(), options, chosen);
    let mut stage = Stage::new("encode and decode", 1, "passes");
    let measured = fidelity(codec.as_ref(), source.as_ref())?;
    stage.set(1, "");
    stage.finish(&format!("{count} of {all} clips"));
    let written = match &args.out {
        Some(out) => write(out, codec.as_ref(), source.as_ref())?,
        None => Vec::new(),
    };
    let value = json!({
        "schema": "avdit-codec-check/1", "codec": file, "engine": args.engine.name(), "grid": codec.grid(),
        "layout": codec.layout(), "fidelity": measured, "files": written,
    });
    if let Some(out) = &args.out {
        let text = json_text(&value)? + "\n";
        avdit_media::atomic::write_bytes_atomically(&out.join("codec-check.json"), text.as_bytes())?;
    }
    if args.json {
        return say_json(&value);
    }
    tell(&measured, &written);
    Ok(())
}

/// Lists and judges the files as `prepare` does.
fn look(args: &CheckArgs, options: &PrepareOptions) -> Result<Survey> {
    let mut stage = Stage::new("look at clips", 0, "files");
    let mut show = |progress: Progress| {
        stage.set_total(progress.total);
        stage.set(progress.done, "");
    };
    let out = args.out.as_deref().unwrap_or(Path::new(""));
    let seen = survey(&args.clips, out, options, &mut show, &crate::cancel::asked)?;
    stage.finish(&format!("{} clips", seen.clips.len()));
    Ok(seen)
}

/// Writes each clip and what the codec makes of it: two films, and one page with the clip above.
fn write(out: &Path, codec: &dyn Codec, source: &dyn ClipSource) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    let mut files = Vec::new();
    for index in 0..source.len() {
        if crate::cancel::asked() {
            bail!(Interrupted("run the same command again".to_owned()));
        }
        let clip = source.clip(index)?;
        let back = codec.decode(&codec.encode(&clip)?)?;
        for (name, clip) in [("clip", &clip), ("codec", &back)] {
            let path = out.join(format!("{index:03}-{name}.mp4"));
            write_clip(&path, clip, None, EncodeOptions::default())?;
            files.push(path);
        }
        let pages = [sheet(&clip)?, sheet(&back)?];
        let width = pages.iter().map(|page| page.width).max().unwrap_or(0);
        let mut both = Picture::filled(width, pages.iter().map(|page| page.height).sum(), GROUND);
        both.paste(&pages[0], 0, 0);
        both.paste(&pages[1], 0, pages[0].height);
        let path = out.join(format!("{index:03}.png"));
        write_png(&path, &both)?;
        files.push(path);
    }
    Ok(files)
}

fn tell(fidelity: &Fidelity, files: &[PathBuf]) {
    let Fidelity { codec, clips, video_latents, audio_latents, .. } = fidelity;
    say(format!("{codec} codec, {clips} clips of {video_latents} video and {audio_latents} audio latents:"));
    say(format!("  pictures: {:.1} dB PSNR", fidelity.video_psnr_db));
    say(format!("  spectra of sound: {:.1} dB apart", fidelity.audio_log_spectral_distance_db));
    say(format!("  sound: {:.1} dB SNR, below 0 where phase or level are not kept", fidelity.audio_snr_db));
    for file in files {
        say(format!("  {}", file.display()));
    }
}
