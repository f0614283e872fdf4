//! `avdit codec assemble`: imported public networks → a codec.

use crate::args::{AssembleArgs, Tile};
use crate::codec::file::{self, PublicFile};
use crate::codec::memory::{self, decoder_bytes};
use crate::codec::nets::{AudioNets, Choices, Nets};
use crate::codec::{FILE, public};
use crate::exit::{Coded, Usage};
use crate::output::{say, say_json};
use crate::place;
use anyhow::{Context, Result, bail};
use avdit_media::codec::{Codec, PublicConfig};
use avdit_runtime::{EngineKind, EngineOptions, machine};
use avdit_trainer::Imported;
use serde_json::{Value, json};
use std::path::Path;

/// Opens an imported network, and makes sure that its tensors are those that were imported.
fn open(folder: &Path) -> Result<Imported> {
    let network = Imported::open(folder)?;
    network.verify()?;
    Ok(network)
}

pub fn run(args: &AssembleArgs) -> Result<()> {
    let (video, audio) = match (&args.video, &args.audio) {
        (Some(video), Some(audio)) => (open(video)?, open(audio)?),
        (given, _) => {
            let (one, other) = if given.is_some() { ("--video", "--audio") } else { ("--audio", "--video") };
            bail!(Usage(format!(
                "{one} without {other} makes no codec: a clip's latents are those of its pictures and of its sound\n\n\
                 hint: name the folders of both with --video and --audio"
            )));
        }
    };
    let vocoder = args.vocoder.as_deref().map(open).transpose()?;
    place::check_public(&args.out)?;
    let nets = Nets::of(&video.config, &audio.config, vocoder.as_ref().map(|vocoder| &vocoder.config));
    let nets = nets.map_err(|what| Coded::bad_input(named(args, &what)))?;
    if matches!(nets.audio, AudioNets::Mel { .. }) && args.audio_scale.is_some() {
        let what =
            "--audio-scale: the autoencoder of mel spectrograms states its own scale\n\nhint: leave it out";
        bail!(Usage(what.to_owned()));
    }
    let config = config(args, &nets).map_err(|what| Coded::bad_input(named(args, &what)))?;
    std::fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    let path = args.out.join(FILE);
    file::write(&path, &config, &nets, [&video, &audio], vocoder.as_ref())?;
    // What was written is opened as it will be used.
    let written = PublicFile::open(&path)?;
    let codec = public::run_on(&written, &path, EngineKind::Tract, &EngineOptions::default())?;
    let record = record(&path, &written, &codec);
    let text = crate::output::json_text(&record)? + "\n";
    avdit_media::atomic::write_bytes_atomically(&args.out.join(place::PUBLIC_CODEC_FILE), text.as_bytes())?;
    if args.json {
        return say_json(&record);
    }
    tell(&path, &written, &record);
    Ok(())
}

/// A message about an option, with the folder that was given to it.
fn named(args: &AssembleArgs, what: &str) -> String {
    let folders = [("--video", &args.video), ("--audio", &args.audio), ("--vocoder", &args.vocoder)];
    let found = folders.into_iter().find_map(|(option, folder)| {
        let rest = what.strip_prefix(option)?.strip_prefix(": ")?;
        Some(format!("{option} {}: {rest}", folder.as_ref()?.display()))
    });
    found.unwrap_or_else(|| what.to_owned())
}

fn config(args: &AssembleArgs, nets: &Nets) -> Result<PublicConfig, String> {
    let choices = Choices {
        frames: args.frames,
        fps: args.fps,
        size: args.size,
        segments: usize::from(args.segments),
        tile: if let Tile::Of(side) = args.tile { Some(side) } else { None },
        audio_scale: args.audio_scale.unwrap_or(1.0),
    };
    let config = nets.config(&choices)?;
    if args.tile != Tile::Auto {
        return Ok(config);
    }
    let tile = memory::tile(&nets.video, config.picture_size(), machine::available_memory_bytes());
    nets.config(&Choices { tile, ..choices })
}

fn record(path: &Path, file: &PublicFile, codec: &dyn Codec) -> Value {
    let parameters = file.nets.parameters().into_iter().map(|(prefix, list)| {
        let count: usize = list.iter().map(avdit_nets::Parameter::len).sum();
        (prefix.trim_end_matches('.').to_owned(), json!(count))
    });
    let tile = file.config.pictures.tile;
    json!({
        "schema": "avdit-public-codec/1", "codec": path, "grid": codec.grid(), "layout": codec.layout(),
        "tile": tile, "decoder_bytes": file.config.tiles().ok().map(|tiles| decoder_bytes(&file.nets.video, tiles.tile())),
        "parameters": parameters.collect::<serde_json::Map<_, _>>(), "sources": file.sources,
    })
}

fn tell(path: &Path, file: &PublicFile, record: &Value) {
    let (grid, layout) = (file.config.grid, file.config.layout());
    say(format!("{}: a codec of public networks", path.display()));
    for (name, count) in record["parameters"].as_object().into_iter().flatten() {
        say(format!("  {name}: {count} parameters"));
    }
    let (v, a) = (&layout.video, &layout.audio);
    say(format!(
        "  clips: {} frames of {}x{} at {} fps, {:.3} s, sound at {} Hz",
        grid.frames,
        grid.width,
        grid.height,
        grid.fps,
        grid.duration_s(),
        grid.sample_rate_hz
    ));
    say(format!("  latents of pictures: {} frames × {} × {} × {}", v.frames, v.channels, v.height, v.width));
    say(format!("  latents of sound: {} frames × {}, {} segments", a.frames, a.channels, layout.segments()));
    let mebibytes = record["decoder_bytes"].as_u64().unwrap_or(0) >> 20;
    match file.config.pictures.tile {
        None => {
            say(format!("  pictures are coded whole: about {mebibytes} MiB at a time beside the weights"))
        }
        Some(tile) => {
            say(format!("  pictures are coded in tiles of {tile} latents: about {mebibytes} MiB at a time"))
        }
    }
    say(format!("measure it: avdit codec check {} CLIPS", path.display()));
    say(format!("use it: avdit prepare CLIPS -o DATA --codec {}", path.display()));
}
