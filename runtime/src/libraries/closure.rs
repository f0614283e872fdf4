//! Every library that some libraries need, and whether it is there.

use super::elf;
use super::known::{self, MINIMUM_DRIVER};
use super::search::{FoundBy, Search};
use serde::Serialize;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// A library that something asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Library {
    /// The name by which it is asked for.
    pub name: String,
    /// What asks for it.
    pub needed_by: String,
    /// Where it is.
    pub path: Option<PathBuf>,
    /// Why there.
    pub found_by: Option<FoundBy>,
    /// Its version, where the file's name or its package tells.
    pub version: Option<String>,
    /// The product, and its range of versions that would do.
    pub wanted: Option<String>,
    /// What is wrong with it.
    pub problem: Option<String>,
    /// What would help.
    pub remedy: Option<String>,
    /// Where it was looked for, if it was not found.
    pub looked_in: Vec<String>,
}

/// The parts of cuDNN that its first library opens.
const CUDNN: [&str; 7] =
    ["graph", "ops", "heuristic", "adv", "cnn", "engines_precompiled", "engines_runtime_compiled"];

/// The libraries called `roots`, those `opened` by the last of them, and all that they need, needed ones first.
/// Libraries of the system are listed where they are missing, parts of cuDNN where cuDNN itself is not.
pub fn closure(roots: &[&str], opened: &[String], search: &Search) -> Vec<Library> {
    let mut walk = Walk { search, seen: HashSet::new(), found: Vec::new() };
    for root in roots {
        walk.visit(root, "ONNX Runtime", &[]);
    }
    let opener = format!("{}, while running", roots.last().copied().unwrap_or("ONNX Runtime"));
    for name in opened {
        walk.visit(name, &opener, &[]);
    }
    if walk.found.iter().any(|library| library.name == "libcudnn.so.9" && library.path.is_some()) {
        for part in CUDNN {
            walk.visit(&format!("libcudnn_{part}.so.9"), "libcudnn.so.9, while running", &[]);
        }
    }
    walk.found
}

struct Walk<'a> {
    search: &'a Search,
    seen: HashSet<String>,
    found: Vec<Library>,
}

impl Walk<'_> {
    fn visit(&mut self, name: &str, needed_by: &str, runpath: &[PathBuf]) {
        if !self.seen.insert(name.to_owned()) {
            return;
        }
        let wanted = known::wanted(name);
        let mut library = Library {
            name: name.to_owned(),
            needed_by: needed_by.to_owned(),
            path: None,
            found_by: None,
            version: None,
            wanted: wanted.as_ref().map(|wanted| wanted.version.clone()),
            problem: None,
            remedy: None,
            looked_in: Vec::new(),
        };
        let Some((path, found_by)) = self.search.find(name, runpath) else {
            library.problem = Some("not found".to_owned());
            library.remedy = wanted.map(|wanted| wanted.remedy);
            library.looked_in = self.search.looked_in(runpath);
            self.found.push(library);
            return;
        };
        if wanted.is_none() && found_by == FoundBy::System {
            return;
        }
        // `find` has read it before.
        let elf = elf::read(&path).unwrap_or_default();
        for needed in &elf.needed {
            self.visit(needed, name, &elf.folders);
        }
        library.version = version(name, &path, wanted.as_ref().and_then(|wanted| wanted.package));
        if let (true, Some(version)) = (name == "libcuda.so.1", &library.version)
            && version
                .split('.')
                .next()
                .and_then(|v| v.parse::<u32>().ok())
                .is_some_and(|v| v < MINIMUM_DRIVER)
        {
            library.problem = Some(format!("is of driver {version}"));
            library.remedy = wanted.map(|wanted| wanted.remedy);
        }
        library.path = Some(path);
        library.found_by = Some(found_by);
        self.found.push(library);
    }
}

/// The version at the end of a file's name (`libcuda.so.580.65.06` behind `libcuda.so.1`), or else that of the
/// Python package it lies in. A name that tells no more than the one asked for tells nothing.
fn version(name: &str, path: &Path, package: Option<&str>) -> Option<String> {
    let real = path.canonicalize().ok()?;
    let real_name = real.file_name()?.to_string_lossy().into_owned();
    let number = real_name.split_once(".so.").map(|(_, number)| number.to_owned());
    let tells_more = number.as_ref().is_some_and(|n| n.contains('.') && !name.ends_with(&format!(".so.{n}")));
    if tells_more {
        return number;
    }
    // site-packages/nvidia/cu13/lib/libcublas.so.13
    let prefix = format!("{}-", package?.replace('-', "_"));
    let entries = std::fs::read_dir(real.ancestors().nth(4)?).ok()?;
    entries.flatten().find_map(|entry| {
        let entry = entry.file_name().to_string_lossy().into_owned();
        Some(entry.strip_prefix(&prefix)?.strip_suffix(".dist-info")?.to_owned())
    })
}

/// Loads the libraries that were found outside the loader's own places, so that whoever asks for them by name gets
/// them. What is loaded stays.
///
/// # Errors
/// The first that does not load, and the loader's reason.
pub fn preload(libraries: &[Library]) -> Result<(), String> {
    let is_provider = |library: &Library| library.name.starts_with("libonnxruntime");
    for library in libraries.iter().filter(|library| !is_provider(library)) {
        let Some(path) = &library.path else { continue };
        if !matches!(library.found_by, Some(FoundBy::System | FoundBy::Environment)) {
            load(path)?;
        }
    }
    Ok(())
}

/// Loads a library for good.
///
/// # Errors
/// The loader's reason.
pub(crate) fn load(path: &Path) -> Result<(), String> {
    ort::util::preload_dylib(path)
        .map_err(|error| format!("{} cannot be loaded: {}", path.display(), reason(&error)))
}

/// The loader's own words, which its error has as a source.
fn reason(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}
