//! The pipeline run once, small, and shared by the tests that look at what it leaves.

use avdit_media::world::World;
use avdit_media::{ClipGrid, EncodeOptions, Rational, write_clip};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// What the fixture leaves behind; removed with the process's temporary folder.
pub struct Fixture {
    _folder: tempfile::TempDir,
    root: PathBuf,
}

impl Fixture {
    pub fn at(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A copy of a folder of the fixture, to damage.
    pub fn copy_of(&self, name: &str, to: &Path) -> PathBuf {
        let target = to.join(name);
        copy_folder(&self.at(name), &target);
        target
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// What a command said.
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Fails the test unless the command succeeded.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.out, self.err);
        self
    }

    /// Fails the test unless the command failed with `code`, a message that holds every part, and no panic.
    pub fn refused(self, code: i32, parts: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        for part in parts {
            assert!(self.err.contains(part), "no '{part}' in: {}", self.err);
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }
}

/// `avdit` with arguments, not yet started.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_avdit"));
    command.args(args);
    command
}

/// Runs `avdit`.
pub fn avdit(args: &[&str]) -> Said {
    Said::of(command(args).output().unwrap())
}

/// The text of a path.
pub fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// A configuration that trains in a second.
pub fn small_config(data: &Path, out: &Path, steps: usize) -> String {
    format!(
        "data = '{}'\nout = '{}'\nseed = 1\n[model]\nwidth = 32\ndepth = 1\nheads = 2\n\
         [objective]\ntarget = 'v'\nschedule = 'cosine'\n[optimizer]\nlr = 1e-3\nema_decay = 0.9\n\
         [run]\nsteps = {steps}\nbatch = 4\ncheckpoint_every = 10\n",
        data.display(),
        out.display()
    )
}

/// The world's clips as mp4 files.
pub fn write_clips(folder: &Path, indices: std::ops::Range<u32>) {
    std::fs::create_dir_all(folder).unwrap();
    let grid =
        ClipGrid { frames: 17, fps: Rational::new(8, 1), width: 64, height: 64, sample_rate_hz: 16_000 };
    for index in indices {
        let path = folder.join(format!("clip-{index:04}.mp4"));
        write_clip(&path, &World::new(5, grid).clip(index), None, EncodeOptions::default()).unwrap();
    }
}

/// `clips/`, `data/`, `run/` and `model/` of the small pipeline, made once.
pub fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        let fixture = Fixture { _folder: folder, root };
        let at = |name: &str| text(&fixture.at(name));
        write_clips(&fixture.at("clips"), 0..24);
        avdit(&["prepare", &at("clips"), "-o", &at("data")]).ok();
        std::fs::write(fixture.at("run.toml"), small_config(&fixture.at("data"), &fixture.at("run"), 20))
            .unwrap();
        avdit(&["train", &at("run.toml")]).ok();
        avdit(&["export", &at("run"), "-o", &at("model")]).ok();
        fixture
    })
}
