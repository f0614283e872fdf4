//! `avdit doctor`: what can run here.

use crate::args::DoctorArgs;
use crate::commands::bench::describe;
use crate::output::{say, say_json};
use anyhow::Result;
use avdit_media::FrameSize;
use avdit_media::decode::{Decoder, FFMPEG_VARIABLE, Ffmpeg};
use avdit_runtime::doctor::{RuntimeReport, examine};
use serde_json::json;

pub fn run(args: &DoctorArgs) -> Result<()> {
    let report = examine(args.onnxruntime.as_deref());
    let ffmpeg = Ffmpeg::find(FrameSize::Own);
    if args.json {
        let mut value = serde_json::to_value(&report)?;
        if let Some(object) = value.as_object_mut() {
            object.insert("schema".into(), json!("avdit-doctor/1"));
            object.insert("avdit".into(), json!(env!("CARGO_PKG_VERSION")));
            object.insert("ffmpeg".into(), json!({ "found": ffmpeg.is_some() }));
        }
        return say_json(&value);
    }
    say_report(&report);
    match ffmpeg {
        Some(decoder) => {
            say(format!("✓ {:<10} found: reads clips that the built-in decoders do not", decoder.name()))
        }
        None => {
            say(
                "· ffmpeg     not found: mp4/mov with H.264 and AAC, gif, png folders and sound files are read without it",
            );
            say(format!("             install it, or set {FFMPEG_VARIABLE}, for any other kind of clip"));
        }
    }
    Ok(())
}

fn say_report(report: &RuntimeReport) {
    say(format!("avdit {} on {}", env!("CARGO_PKG_VERSION"), describe(&report.machine)));
    for engine in &report.engines {
        let version = engine.version.as_deref().unwrap_or("-");
        if engine.usable {
            let place = engine.path.as_ref().map_or("built in".to_owned(), |path| path.display().to_string());
            say(format!("✓ {:<10} {version}  {place}", engine.engine.name()));
        } else {
            say(format!(
                "✗ {:<10} {}",
                engine.engine.name(),
                engine.problem.as_deref().unwrap_or("cannot run")
            ));
        }
        for attempt in &engine.tried {
            say(format!("             tried {attempt}"));
        }
        if let Some(remedy) = &engine.remedy {
            for line in remedy.lines() {
                say(format!("             {line}"));
            }
        }
    }
    let mark = if report.gpu.driver.is_some() { "·" } else { "✗" };
    say(format!("{mark} {:<10} {}", "gpu", report.gpu.note));
    for device in &report.gpu.devices {
        say(format!("             {device}"));
    }
}
