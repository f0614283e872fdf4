//! What is allowed.

/// A member of the workspace: its folder, its package, and the packages of ours that it may import.
pub(crate) struct Member {
    pub(crate) folder: &'static str,
    pub(crate) package: &'static str,
    pub(crate) may_import: &'static [&'static str],
    /// And these in tests of its own.
    pub(crate) tests_may_import: &'static [&'static str],
}

const LIBRARIES: &[&str] = &[
    "avdit-core",
    "avdit-nets",
    "avdit-media",
    "avdit-onnx",
    "avdit-trainer",
    "avdit-export",
    "avdit-quantize",
    "avdit-runtime",
];

const fn member(folder: &'static str, package: &'static str, may_import: &'static [&'static str]) -> Member {
    Member { folder, package, may_import, tests_may_import: &[] }
}

/// Every member there may be. `runtime` builds without Candle and `trainer` without ONNX Runtime.
pub(crate) const MEMBERS: &[Member] = &[
    member("core", "avdit-core", &[]),
    member("nets", "avdit-nets", &["avdit-core"]),
    member("media", "avdit-media", &["avdit-core"]),
    member("onnx", "avdit-onnx", &[]),
    member("trainer", "avdit-trainer", &["avdit-core", "avdit-nets", "avdit-media"]),
    member("export", "avdit-export", &["avdit-core", "avdit-nets", "avdit-onnx"]),
    member("quantize", "avdit-quantize", &["avdit-core", "avdit-onnx"]),
    Member {
        folder: "runtime",
        package: "avdit-runtime",
        may_import: &["avdit-core"],
        tests_may_import: &["avdit-nets", "avdit-onnx", "avdit-export"],
    },
    member("cli", "avdit", LIBRARIES),
    member("tests", "avdit-tests", LIBRARIES),
    member("benches", "avdit-benches", LIBRARIES),
    member("xtask", "xtask", &[]),
];

/// A crate that few may know: its name, or the beginning of it before `*`, and the members that may.
pub(crate) struct Owned {
    pub(crate) name: &'static str,
    pub(crate) by: &'static [&'static str],
}

const fn owned(name: &'static str, by: &'static [&'static str]) -> Owned {
    Owned { name, by }
}

/// What has owners. The suites of `tests` run Candle as one more engine.
pub(crate) const OWNED: &[Owned] = &[
    owned("candle-*", &["trainer", "tests"]),
    owned("ort", &["runtime"]),
    owned("ort-*", &["runtime"]),
    owned("tract-*", &["runtime"]),
    owned("cudarc", &["runtime", "trainer"]),
    owned("mpi", &["trainer"]),
    owned("nvml-wrapper*", &["runtime"]),
    owned("prost*", &["onnx", "trainer"]),
    owned("half", &["quantize", "runtime"]),
    owned("clap*", &["cli", "xtask"]),
    owned("openh264*", &["media"]),
    owned("h264-reader", &["media"]),
    owned("mp4-atom", &["media"]),
    owned("syom", &["media"]),
    owned("symphonia*", &["media"]),
    owned("hound", &["media"]),
    owned("image", &["media"]),
    owned("png", &["media"]),
    owned("gif", &["media"]),
];

/// Lines of a source file, at most.
pub(crate) const MAX_LINES: usize = 400;

/// Source files that a program wrote.
pub(crate) const GENERATED: &[&str] = &["onnx/src/proto.rs"];

/// The members whose programs write to the terminal.
pub(crate) const PRINTING: &[&str] = &["cli", "tests", "benches", "xtask"];
