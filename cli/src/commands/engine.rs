//! `avdit engine`: TensorRT engines, built once and kept.

use crate::args::{BuildArgs, EngineCommand, ExplainArgs, GcArgs, ListArgs};
use crate::output::{say, say_json};
use crate::progress::Activity;
use anyhow::Result;
use avdit_runtime::engine_cache::{self, Entry, Keep, Store};
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, SystemTime};

pub fn run(command: &EngineCommand) -> Result<()> {
    match command {
        EngineCommand::Build(args) => build(args),
        EngineCommand::List(args) => list(args),
        EngineCommand::Explain(args) => explain(args),
        EngineCommand::Gc(args) => collect(args),
    }
}

/// Builds on a thread of its own, so that the time goes on being shown while TensorRT is silent.
fn build(args: &BuildArgs) -> Result<()> {
    let options = args.wanted.options();
    let last = Arc::new(Mutex::new(String::new()));
    let hear = Arc::clone(&last);
    let on_message = Arc::new(move |message: &str| {
        message.trim().clone_into(&mut hear.lock().unwrap_or_else(PoisonError::into_inner));
    });
    let mut activity = Activity::new("build the TensorRT engine");
    let (done, finished) = mpsc::channel();
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            let built = engine_cache::build(&args.wanted.model, &options, args.force, on_message);
            // The receiver waits until this is sent.
            let _ = done.send(built);
        });
        loop {
            match finished.recv_timeout(Duration::from_millis(250)) {
                Ok(built) => break built.map_err(anyhow::Error::from),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    activity.set(&last.lock().unwrap_or_else(PoisonError::into_inner));
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    anyhow::bail!("the build ended without a result")
                }
            }
        }
    });
    let report = match report {
        Ok(report) => report,
        Err(error) => {
            activity.abandon();
            return Err(error);
        }
    };
    activity.finish(if report.was_cached { "it was there; --force builds it again" } else { "" });
    if args.json {
        return say_json(&json!({ "schema": "avdit-engine-build/1", "report": report }));
    }
    say(describe(&report.entry));
    for place in &report.placement {
        say(format!("  {} nodes on {}", place.nodes.map_or("?".to_owned(), |n| n.to_string()), place.device));
    }
    Ok(())
}

fn list(args: &ListArgs) -> Result<()> {
    let store = Store::new(args.engine_cache.as_deref())?;
    let entries = store.list()?;
    if args.json {
        return say_json(&json!({ "schema": "avdit-engines/1", "cache": store.root(), "engines": entries }));
    }
    if entries.is_empty() {
        say(format!("no engines in {}", store.root().display()));
    }
    for entry in &entries {
        say(describe(entry));
    }
    Ok(())
}

fn explain(args: &ExplainArgs) -> Result<()> {
    let explained = engine_cache::explain(&args.wanted.model, &args.wanted.options())?;
    if args.json {
        return say_json(&json!({ "schema": "avdit-engine-explain/1", "explanation": explained }));
    }
    if let Some(entry) = &explained.hit {
        say(format!("a run would use {}", entry.folder.display()));
        say(describe(entry));
        return Ok(());
    }
    say(format!("a run would find no engine in {}", explained.cache.display()));
    if let Some(nearest) = &explained.nearest {
        say(format!("the nearest is {}", describe(nearest)));
        say("and differs:");
        for difference in &explained.differences {
            let (wanted, cached) = (&difference.wanted, &difference.cached);
            say(format!("  {:<14} wanted {wanted}, it has {cached}", difference.field));
        }
    }
    say(format!("to build it: {}", explained.command));
    Ok(())
}

fn collect(args: &GcArgs) -> Result<()> {
    let store = Store::new(args.engine_cache.as_deref())?;
    let keep = match (args.keep, args.older_than) {
        (Some(n), _) => Keep::Newest(n),
        (None, Some(time)) => Keep::UsedWithin(time),
        (None, None) => Keep::Nothing,
    };
    let removed = store.collect(keep, SystemTime::now())?;
    if args.json {
        return say_json(&json!({ "schema": "avdit-engine-gc/1", "removed": removed }));
    }
    for folder in &removed.folders {
        say(format!("removed {}", folder.display()));
    }
    let left = store.list()?.len();
    say(format!("{:.1} MiB freed, {left} engines left", removed.bytes as f64 / f64::from(1 << 20)));
    Ok(())
}

/// An engine in a line.
fn describe(entry: &Entry) -> String {
    let (manifest, key) = (&entry.manifest, &entry.manifest.key);
    let told = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
    let used = Duration::from_secs(
        SystemTime::UNIX_EPOCH.elapsed().map_or(0, |now| now.as_secs()).saturating_sub(entry.used_unix) / 60
            * 60,
    );
    format!(
        "{}  {}  {:.1} MiB  built in {:.0} s from {}  on {} with TensorRT {}, ONNX Runtime {}  used {} ago",
        &key.id()[..12],
        key.profile,
        entry.bytes as f64 / f64::from(1 << 20),
        manifest.build_s,
        manifest.model.display(),
        told(&key.gpu),
        told(&key.tensorrt),
        key.onnx_runtime,
        humantime::format_duration(used),
    )
}
