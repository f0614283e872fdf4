//! `avdit doctor`: what can run here.

use crate::args::DoctorArgs;
use crate::commands::bench::describe;
use crate::output::{say, say_json};
use anyhow::Result;
use avdit_media::FrameSize;
use avdit_media::decode::{Decoder, FFMPEG_VARIABLE, Ffmpeg};
use avdit_runtime::doctor::{Gpu, RuntimeReport, examine};
use avdit_runtime::libraries::Library;
use serde_json::json;

const INDENT: &str = "               ";

pub fn run(args: &DoctorArgs) -> Result<()> {
    let report = examine(args.onnxruntime.as_deref());
    let ffmpeg = Ffmpeg::find(FrameSize::Own);
    if args.json {
        let mut value = serde_json::to_value(&report)?;
        if let Some(object) = value.as_object_mut() {
            object.insert("schema".into(), json!("avdit-doctor/2"));
            object.insert("avdit".into(), json!(env!("CARGO_PKG_VERSION")));
            object.insert("ffmpeg".into(), json!({ "found": ffmpeg.is_some() }));
        }
        return say_json(&value);
    }
    say_report(&report);
    match ffmpeg {
        Some(decoder) => {
            say(format!("✓ {:<12} found: reads clips that the built-in decoders do not", decoder.name()))
        }
        None => {
            say(
                "· ffmpeg       not found: mp4/mov with H.264 and AAC, gif, png folders and sound files are read without it",
            );
            say(format!("               install it, or set {FFMPEG_VARIABLE}, for any other kind of clip"));
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
            say(format!("✓ {:<12} {version}  {place}", engine.engine.name()));
        } else {
            say(format!(
                "✗ {:<12} {}",
                engine.engine.name(),
                engine.problem.as_deref().unwrap_or("cannot run")
            ));
            say_libraries(&engine.libraries);
        }
        for attempt in &engine.tried {
            say(format!("               tried {attempt}"));
        }
        if let Some(remedy) = &engine.remedy {
            for line in remedy.lines() {
                say(format!("               {line}"));
            }
        }
    }
    say_gpu(&report.gpu);
}

/// The libraries behind a provider, where that is there and cannot run: what each is missing for, and where it was
/// looked for.
fn say_libraries(libraries: &[Library]) {
    let provider = libraries.iter().find(|library| {
        library.name.starts_with("libonnxruntime_providers_")
            && library.name != "libonnxruntime_providers_shared.so"
    });
    if provider.is_none_or(|provider| provider.path.is_none()) {
        return;
    }
    let mut looked_in: Option<&[String]> = None;
    for library in libraries {
        let wanted = library.wanted.as_deref().unwrap_or("part of the system");
        match (&library.path, &library.problem) {
            (Some(path), None) => {
                let version = library.version.as_deref().map_or(String::new(), |v| format!(" {v}"));
                say(format!("{INDENT}✓ {:<34} {}{version}", library.name, path.display()));
            }
            (_, problem) => {
                let problem = problem.as_deref().unwrap_or("not usable");
                say(format!("{INDENT}✗ {:<34} {problem}: {wanted}; for {}", library.name, library.needed_by));
                if looked_in.is_none() && !library.looked_in.is_empty() {
                    looked_in = Some(&library.looked_in);
                }
            }
        }
    }
    if let Some(places) = looked_in {
        say(format!("{INDENT}looked in {}", places.join(", ")));
    }
}

fn say_gpu(gpu: &Gpu) {
    for device in &gpu.devices {
        let driver = device.driver.as_deref().unwrap_or("of unknown version");
        let cuda = device.cuda.as_deref().unwrap_or("unknown");
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        say(format!(
            "✓ {:<12} {}: {}, sm_{}, {:.0} GiB, driver {driver}, CUDA up to {cuda}",
            "gpu",
            device.index,
            device.name,
            device.sm,
            gib(device.memory_bytes)
        ));
        let Some(state) = &device.state else { continue };
        let facts = [
            state.memory_free_bytes.map(|bytes| format!("{:.0} GiB free", gib(bytes))),
            state.power_w.zip(state.power_limit_w).map(|(now, limit)| format!("{now:.0} of {limit:.0} W")),
            state.clock_sm_mhz.zip(state.clock_sm_max_mhz).map(|(now, max)| format!("{now} of {max} MHz")),
            state.temperature_c.map(|c| format!("{c} °C")),
            state.persistence.map(|on| format!("persistence {}", if on { "on" } else { "off" })),
            state.other_processes.map(|n| format!("{n} other processes")),
        ];
        say(format!("{INDENT}{}", facts.into_iter().flatten().collect::<Vec<_>>().join(", ")));
    }
    if let Some(problem) = &gpu.problem {
        say(format!("· {:<12} {}: {problem}", "gpu", gpu.note));
    }
}
