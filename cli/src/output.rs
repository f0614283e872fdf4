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

/// An error on stderr.
pub fn print_error(error: &anyhow::Error) {
    let (text, hint) = error_text(error);
    let hint = hint.map_or(String::new(), |hint| format!("\n\nhint: {hint}"));
    eprintln!("error: {text}{hint}");
}

/// An error as its chain, without repeating what an outer message already says, and what to do about it.
pub fn error_text(error: &anyhow::Error) -> (String, Option<String>) {
    let mut text = String::new();
    let mut hint = None;
    for cause in error.chain().map(ToString::to_string) {
        let (message, help) = cause.split_once("\n\nhint: ").unwrap_or((&cause, ""));
        if !help.is_empty() {
            hint = Some(help.to_owned());
        }
        if !text.contains(message) {
            text += if text.is_empty() { "" } else { ": " };
            text += message;
        }
    }
    (text, hint)
}

/// The words that started this program; what is no text in them has � in its place.
pub fn command_line() -> Vec<String> {
    std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect()
}

/// A word as a shell takes it: in quotes where it needs them.
pub fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
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
    say(json_text(value)?);
    Ok(())
}

/// JSON as a person reads it: one member a line, lists of numbers on one.
///
/// # Errors
/// If a value cannot be written as JSON.
pub fn json_text(value: &impl Serialize) -> anyhow::Result<String> {
    let text = serde_json::to_string_pretty(value)?;
    // A string holds no line break, so a line that ends in a bracket opens a list.
    let (mut out, mut lines) = (String::with_capacity(text.len()), text.lines().peekable());
    let is_number = |line: &str| line.trim().trim_end_matches(',').parse::<f64>().is_ok();
    while let Some(line) = lines.next() {
        out += line;
        if line.ends_with('[') && lines.peek().is_some_and(|next| is_number(next)) {
            while let Some(number) = lines.next_if(|line| is_number(line)) {
                out += number.trim();
                out += if number.ends_with(',') { " " } else { "" };
            }
            out += lines.next().unwrap_or_default().trim();
        }
        out.push('\n');
    }
    Ok(out.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_where_a_shell_would_take_it_for_something_else() {
        let words = ["runs/ä-1", "optimizer.lr=3e-4", "a b", "it's", "$x", ""].map(shell_word);
        assert_eq!(words.join(" "), r"runs/ä-1 optimizer.lr=3e-4 'a b' 'it'\''s' '$x' ''");
    }

    #[test]
    fn lists_of_numbers_stay_on_a_line_and_nothing_else_changes() {
        let value = serde_json::json!({
            "a": [1, 2.5e-3, -7], "b": ["1", "x ["], "c": [], "d": { "e": [[1, 2], [3]], "f": null }
        });
        let text = json_text(&value).unwrap();
        assert!(text.contains("\"a\": [1, 0.0025, -7],\n"), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
