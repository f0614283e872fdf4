//! A worker as its parent sees it.

use super::protocol::{Command, Job, Reply};
use super::result::Failure;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Lines of a worker's standard error that are kept, the newest.
const KEPT_LINES: usize = 12;

/// The name of the hidden subcommand.
pub const WORKER: &str = "bench-worker";

/// A worker's process. It ends when this is dropped.
pub struct Worker {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts this program once more and tells it its job.
    pub fn start(job: &Job) -> Result<Self, Failure> {
        let wrong =
            |error: &dyn std::fmt::Display| failure("open", format!("cannot start a worker: {error}"));
        let program = std::env::current_exe().map_err(|error| wrong(&error))?;
        let mut process = std::process::Command::new(program)
            .arg(WORKER)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| wrong(&error))?;
        let input = process.stdin.take();
        let (Some(output), Some(errors)) = (process.stdout.take(), process.stderr.take()) else {
            return Err(wrong(&"its pipes are missing"));
        };
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = log.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok).filter(|line| !line.is_empty()) {
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                if lines.len() == KEPT_LINES {
                    lines.remove(0);
                }
                lines.push(line);
            }
        });
        let output = BufReader::new(output);
        let mut worker = Self { process, input, output, log, reader: Some(reader) };
        worker.tell(&serde_json::to_string(job).map_err(|error| wrong(&error))?);
        Ok(worker)
    }

    /// A worker that is gone does not hear; the next answer says so.
    fn tell(&mut self, line: &str) {
        if let Some(input) = &mut self.input {
            let _ = writeln!(input, "{line}").and_then(|()| input.flush());
        }
    }

    /// Says a command and waits for its answer.
    pub fn ask(&mut self, stage: &str, command: Command) -> Result<Reply, Failure> {
        let line = serde_json::to_string(&command).map_err(|error| failure(stage, error.to_string()))?;
        self.tell(&line);
        self.answer(stage)
    }

    /// Waits for the next answer.
    pub fn answer(&mut self, stage: &str) -> Result<Reply, Failure> {
        loop {
            let mut line = String::new();
            match self.output.read_line(&mut line) {
                Ok(0) | Err(_) => return Err(self.gone(stage)),
                Ok(_) => match serde_json::from_str(&line) {
                    Ok(Reply::Failed(error)) => {
                        return Err(Failure {
                            hint: error.hint,
                            exit_code: error.exit_code,
                            ..failure(stage, error.message)
                        });
                    }
                    Ok(reply) => return Ok(reply),
                    // Libraries write where they like.
                    Err(_) => self
                        .log
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(line.trim_end().to_owned()),
                },
            }
        }
    }

    /// The reason why a worker ended without a word.
    fn gone(&mut self, stage: &str) -> Failure {
        let status = self.process.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        let last = self.log().pop();
        let (reason, exit_code, signal) = match status {
            Ok(status) => end(status),
            Err(error) => (format!("the worker is lost: {error}"), 1, None),
        };
        let reason = last.map_or(reason.clone(), |last| format!("{reason}; its last words: {last}"));
        Failure { exit_code, signal, ..failure(stage, reason) }
    }

    /// What it has written to its standard error.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.input = None;
        // One that has finished is ending by itself; any other has nothing to lose.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// A failure at a stage, with the exit code of failures that have none of their own.
pub fn failure(stage: &str, reason: String) -> Failure {
    Failure { stage: stage.to_owned(), reason, hint: None, exit_code: 1, signal: None }
}

/// How a process ended: in words, what `avdit bench` ends with for it, and the signal.
fn end(status: ExitStatus) -> (String, u8, Option<i32>) {
    if let Some(signal) = signal(status) {
        let name = match signal {
            4 => " (illegal instruction)",
            6 => " (abort)",
            7 => " (bus error)",
            9 => " (killed: most likely memory ran out)",
            11 => " (segmentation fault)",
            _ => "",
        };
        // As shells do.
        let code = u8::try_from(128 + signal).unwrap_or(1);
        return (format!("the worker was ended by signal {signal}{name}"), code, Some(signal));
    }
    match status.code() {
        Some(0) | None => ("the worker ended before its work was done".to_owned(), 1, None),
        Some(code) => {
            (format!("the worker ended with exit code {code}"), u8::try_from(code).unwrap_or(1), None)
        }
    }
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal(_: ExitStatus) -> Option<i32> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn a_process_that_was_killed_is_told_from_one_that_gave_up() {
        let (text, code, signal) = end(ExitStatus::from_raw(9));
        assert_eq!((code, signal), (137, Some(9)));
        assert!(text.contains("signal 9") && text.contains("memory"), "{text}");
        assert_eq!(end(ExitStatus::from_raw(3 << 8)).1, 3);
        assert_eq!(end(ExitStatus::from_raw(0)).1, 1);
    }
}
