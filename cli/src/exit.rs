//! Exit codes: what a script can tell from a failure.

/// Something failed that has no code of its own.
const FAILED: u8 = 1;
/// What was typed does not fit together.
const USAGE: u8 = 2;
/// A file, folder, checkpoint or configuration cannot be used.
const BAD_INPUT: u8 = 3;
/// ONNX Runtime is not there.
const NO_LIBRARY: u8 = 4;
/// The device or provider that was asked for does not run here.
const NO_PROVIDER: u8 = 5;
/// A graph does not compute what the checkpoint does.
const GATE: u8 = 6;
/// A step became longer than is allowed.
const SLOWER: u8 = 7;
/// Stopped by the user; what was done is kept.
const INTERRUPTED: u8 = 130;

/// For `--help`.
pub const HELP: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a file or setting cannot be used, \
4 ONNX Runtime is missing, 5 the engine asked for cannot run here, 6 an accuracy check failed, \
7 a performance check failed, 130 interrupted (work kept)";

/// Work stopped by ctrl-C, with what to do to go on.
#[derive(Debug)]
pub struct Interrupted(pub String);

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "interrupted\n\nhint: {}", self.0)
    }
}

impl std::error::Error for Interrupted {}

/// An error that another rank of the same run prints; the number is the exit code.
#[derive(Debug)]
pub struct Told(pub u8);

impl Told {
    /// Work that the user stopped.
    pub fn interrupted() -> Self {
        Self(INTERRUPTED)
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("told by another rank")
    }
}

impl std::error::Error for Told {}

/// Arguments that do not fit together, which the parser cannot see.
#[derive(Debug)]
pub struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// A check whose figures are out of tolerance.
#[derive(Debug)]
pub struct GateFailed(pub String);

impl std::fmt::Display for GateFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for GateFailed {}

/// A failure that says itself what the program ends with.
#[derive(Debug)]
pub struct Coded {
    /// The exit code.
    pub code: u8,
    /// The message.
    pub text: String,
}

impl Coded {
    /// Something that cannot be used.
    pub fn bad_input(text: String) -> Self {
        Self { code: BAD_INPUT, text }
    }

    /// Something that no engine here can run.
    pub fn no_provider(text: String) -> Self {
        Self { code: NO_PROVIDER, text }
    }

    /// A performance check that failed.
    pub fn gate(text: String) -> Self {
        Self { code: SLOWER, text }
    }
}

impl std::fmt::Display for Coded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Coded {}

/// The exit code of an error.
pub fn code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if cause.is::<Interrupted>() {
            return INTERRUPTED;
        }
        if let Some(Told(code)) = cause.downcast_ref() {
            return *code;
        }
        if cause.is::<Usage>() {
            return USAGE;
        }
        if let Some(coded) = cause.downcast_ref::<Coded>() {
            return coded.code;
        }
        if cause.is::<GateFailed>() {
            return GATE;
        }
        if matches!(cause.downcast_ref(), Some(avdit_media::Error::Interrupted { .. })) {
            return INTERRUPTED;
        }
        if let Some(error) = cause.downcast_ref::<avdit_runtime::Error>() {
            return match error {
                avdit_runtime::Error::NoOnnxRuntime { .. } => NO_LIBRARY,
                avdit_runtime::Error::Provider { .. } => NO_PROVIDER,
                _ => BAD_INPUT,
            };
        }
        let bad_input = cause.is::<avdit_media::Error>()
            || cause.is::<avdit_trainer::Error>()
            || cause.is::<avdit_export::Error>()
            || cause.is::<avdit_onnx::Error>()
            || cause.is::<avdit_quantize::Error>()
            || cause.is::<avdit_core::Error>()
            || cause.is::<std::io::Error>();
        if bad_input {
            return BAD_INPUT;
        }
    }
    FAILED
}
