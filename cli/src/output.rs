//! Results on stdout, logs on stderr.

use serde::Serialize;
use std::io::{IsTerminal, Write};
use tracing_subscriber::EnvFilter;

/// Logs of `info` and above of this project, more with each `-v`, none with `-q`; `RUST_LOG` overrides.
pub fn start_logging(verbose: u8, quiet: bool) {
    let level = match (quiet, verbose) {
        (true, _) => "off",
        (_, 0) => "avdit=info,warn,mp4_atom=error,ort=error,tract_core=error,symphonia_core=error",
        (_, 1) => "debug,ort=warn,tract_core=warn",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let format = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    // A second subscriber in one process is a test's doing; the first one stays.
    let _ = format.without_time().try_init();
}

/// An error as its chain, without repeating what an outer message already says.
pub fn print_error(error: &anyhow::Error) {
    let mut text = String::new();
    let mut hint = String::new();
    for cause in error.chain().map(ToString::to_string) {
        let (message, help) = cause.split_once("\n\nhint: ").unwrap_or((&cause, ""));
        if !help.is_empty() {
            hint = format!("\n\nhint: {help}");
        }
        if !text.contains(message) {
            text += if text.is_empty() { "" } else { ": " };
            text += message;
        }
    }
    eprintln!("error: {text}{hint}");
}

/// A line of the result.
pub fn say(text: impl AsRef<str>) {
    let mut out = std::io::stdout();
    let written = writeln!(out, "{}", text.as_ref()).and_then(|()| out.flush());
    if let Err(error) = written
        // A closed pipe (`avdit … | head`) is the reader's choice and no failure of ours.
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        eprintln!("error: the result cannot be written to stdout: {error}");
        std::process::exit(1);
    }
}

/// The result as JSON.
///
/// # Errors
/// If a value cannot be written as JSON.
pub fn say_json(value: &impl Serialize) -> anyhow::Result<()> {
    say(serde_json::to_string_pretty(value)?);
    Ok(())
}
