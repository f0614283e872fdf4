//! What a learned codec loses of held-out clips, beside linear codecs fitted to the same clips.

use super::clips::Clips;
use crate::args::CodecArgs;
use crate::codec::run_on;
use crate::grids::codec_config;
use crate::output::say;
use crate::progress::Stage;
use anyhow::Result;
use avdit_media::codec::{Codec, CodecConfig, Fidelity, LinearCodec, fidelity};
use avdit_media::picture::{Picture, write_png};
use avdit_media::sheet::sheet;
use avdit_runtime::{EngineKind, EngineOptions};
use avdit_trainer::codec::CodecFile;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Held-out clips that are shown.
const SHEETS: usize = 3;
const GROUND: [u8; 3] = [255, 255, 255];

/// A codec and what it loses.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Which codec.
    pub name: String,
    /// What it loses.
    #[serde(flatten)]
    pub fidelity: Fidelity,
}

/// The comparison.
pub struct Report {
    pub rows: Vec<Row>,
    pub sheets: Vec<PathBuf>,
}

/// Fits the linear codecs and measures all.
pub fn make(args: &CodecArgs, codec: &CodecFile, clips: &Clips) -> Result<Report> {
    let path = args.out.join(crate::codec::FILE);
    let learned = run_on(codec, &path, EngineKind::Tract, &EngineOptions::default())?;
    let configs = [
        ("linear, same latents".to_owned(), CodecConfig::for_layout(codec.grid, &codec.layout())?),
        (format!("linear, preset {}", args.preset), codec_config(&args.preset)?),
    ];
    let mut codecs: Vec<(String, Box<dyn Codec>)> = vec![("learned".to_owned(), Box::new(learned))];
    for (name, config) in configs {
        let mut stage = Stage::new(&format!("fit {name}"), 1, "passes over a clip");
        let mut progress = |done, total| {
            stage.set_total(total);
            stage.set(done, "");
            let asked = crate::cancel::asked();
            let stopped = || avdit_media::Error::Interrupted { what: "train codec".to_owned() };
            if asked { Err(stopped()) } else { Ok(()) }
        };
        let fitted = LinearCodec::fit(config, clips.training.as_ref(), &mut progress)?;
        stage.finish(&format!("{} clips", fitted.report().clips));
        codecs.push((name, Box::new(fitted)));
    }
    let mut stage = Stage::new("measure on held-out clips", codecs.len(), "codecs");
    let mut rows = Vec::new();
    for (i, (name, codec)) in codecs.iter().enumerate() {
        let fidelity = fidelity(codec.as_ref(), clips.held_out.as_ref())?;
        rows.push(Row { name: name.clone(), fidelity });
        stage.set(i + 1, name);
    }
    stage.finish(&format!("{} clips", clips.held_out.len()));
    let sheets = (0..SHEETS.min(clips.held_out.len())).map(|i| show(&args.out, &codecs, clips, i));
    Ok(Report { rows, sheets: sheets.collect::<Result<_>>()? })
}

/// A held-out clip above what each codec makes of it.
fn show(out: &Path, codecs: &[(String, Box<dyn Codec>)], clips: &Clips, index: usize) -> Result<PathBuf> {
    let clip = clips.held_out.clip(index)?;
    let mut pages = vec![sheet(&clip)?];
    for (_, codec) in codecs {
        pages.push(sheet(&codec.decode(&codec.encode(&clip)?)?)?);
    }
    let width = pages.iter().map(|page| page.width).max().unwrap_or(0);
    let mut all = Picture::filled(width, pages.iter().map(|page| page.height).sum(), GROUND);
    let mut top = 0;
    for page in &pages {
        all.paste(page, 0, top);
        top += page.height;
    }
    let path = out.join(format!("compare-{index}.png"));
    write_png(&path, &all)?;
    Ok(path)
}

impl Report {
    /// The table, and which codec is better at what.
    pub fn say(&self, codec: &CodecFile, path: &Path) {
        let held_out = self.rows.first().map_or(0, |row| row.fidelity.clips);
        say(format!("{held_out} held-out clips of {:.3} s:", codec.grid.duration_s()));
        let (psnr, spectra) = ("pictures PSNR", "sound spectra");
        say(format!(
            "  {:<24} {:>8} {:>8} {psnr:>14} {spectra:>14} {:>10}",
            "codec", "video", "audio", "sound SNR"
        ));
        for Row { name, fidelity } in &self.rows {
            let Fidelity { video_latents, audio_latents, video_psnr_db, audio_snr_db, .. } = fidelity;
            let distance = fidelity.audio_log_spectral_distance_db;
            say(format!(
                "  {name:<24} {video_latents:>8} {audio_latents:>8} {video_psnr_db:>11.1} dB {distance:>11.1} dB {audio_snr_db:>7.1} dB"
            ));
        }
        let best = |of: fn(&Fidelity) -> f64| {
            self.rows
                .iter()
                .max_by(|a, b| of(&a.fidelity).total_cmp(&of(&b.fidelity)))
                .map_or("", |row| &row.name)
        };
        say(format!("  best pictures: {}", best(|f| f.video_psnr_db)));
        say(format!("  best spectra of sound: {}", best(|f| -f.audio_log_spectral_distance_db)));
        for sheet in &self.sheets {
            say(format!("  {}: the clip, then each codec in this order", sheet.display()));
        }
        say(format!("use it: avdit prepare CLIPS -o DATA --codec {}", path.display()));
    }
}
