//! ONNX Runtime's log: to the program's log under the target `ort`, and to whoever listens.

use ort::environment::Environment;
use ort::logging::{LogLevel, LoggerFunction};
use std::sync::{Arc, Mutex, PoisonError};

/// Hears every message of ONNX Runtime, on whichever of its threads says it.
pub(crate) type Listener = Arc<dyn Fn(&str) + Send + Sync>;

/// What the environment tells where nobody listens.
pub(super) const QUIET: LogLevel = LogLevel::Warning;

/// Hears what ONNX Runtime says outside of sessions, which is where a provider's builder speaks.
static LISTENER: Mutex<Option<Listener>> = Mutex::new(None);

/// The logger of the process's environment.
pub(super) fn of_environment() -> LoggerFunction {
    Arc::new(|level, _, _, _, message| {
        let listener = LISTENER.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(listener) = listener {
            listener(message);
        }
        forward(level, message);
    })
}

/// The logger of a session, heard by `listener`.
pub(super) fn of_session(listener: Listener) -> LoggerFunction {
    Arc::new(move |level, _, _, _, message| {
        listener(message);
        forward(level, message);
    })
}

/// While this lives, its listener hears the environment, which tells everything.
pub(super) struct Listening<'a> {
    environment: &'a Environment,
}

impl<'a> Listening<'a> {
    pub(super) fn begin(environment: &'a Environment, listener: Listener) -> Self {
        *LISTENER.lock().unwrap_or_else(PoisonError::into_inner) = Some(listener);
        environment.set_log_level(LogLevel::Verbose);
        Self { environment }
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.environment.set_log_level(QUIET);
        *LISTENER.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn forward(level: LogLevel, message: &str) {
    match level {
        LogLevel::Verbose | LogLevel::Info => tracing::trace!(target: "ort", "{message}"),
        LogLevel::Warning => tracing::warn!(target: "ort", "{message}"),
        LogLevel::Error | LogLevel::Fatal => tracing::error!(target: "ort", "{message}"),
    }
}
