//! The folder of engines: what is in it, and taking things out.

use super::{EngineKey, Prepared, Shapes};
use crate::error::{Error, Result};
use crate::find::cache_folder;
use crate::graph::Model;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const FORMAT: &str = "avdit-engine/1";
const MANIFEST: &str = "manifest.json";
const USED: &str = "used";
const TIMING: &str = "timing";
const BUILDING: &str = ".building-";

/// What is known of an engine in the cache.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `avdit-engine/1`.
    pub format: String,
    /// What it depends on.
    pub key: EngineKey,
    /// The model folder it was built from.
    pub model: PathBuf,
    /// When, in seconds since 1970.
    pub built_unix: u64,
    /// How long that took.
    pub build_s: f64,
    /// Its files, with their sizes in bytes.
    pub files: BTreeMap<String, u64>,
}

/// An engine in the cache.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Its folder.
    pub folder: PathBuf,
    /// What is known of it.
    pub manifest: Manifest,
    /// Bytes of its files.
    pub bytes: u64,
    /// Its last use, in seconds since 1970.
    pub used_unix: u64,
}

/// Which engines stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// None.
    Nothing,
    /// So many, those used last.
    Newest(usize),
    /// Those used within this time.
    UsedWithin(Duration),
}

/// What was taken out of the cache.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// The folders.
    pub folders: Vec<PathBuf>,
    /// Their bytes.
    pub bytes: u64,
}

/// A folder of engines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The folder given, else `engines` in the project's cache.
    ///
    /// # Errors
    /// [`Error::Value`] if neither is known.
    pub fn new(folder: Option<&Path>) -> Result<Self> {
        let cached = || cache_folder().map(|cache| cache.join("engines"));
        let root = folder.map(Path::to_path_buf).or_else(cached).ok_or_else(|| Error::Value {
            what: "engine cache".to_owned(),
            expected: "AVDIT_CACHE_DIR, XDG_CACHE_HOME or HOME to be set, or --engine-cache".to_owned(),
            got: "none of them".to_owned(),
        })?;
        // TensorRT's provider takes the path as it is, whatever the working folder then is.
        let root = std::path::absolute(&root).map_err(|source| Error::Io { path: root, source })?;
        Ok(Self { root })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The engines in it that are whole, last used first.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be read; one that does not exist is empty.
    pub fn list(&self) -> Result<Vec<Entry>> {
        let mut entries: Vec<_> = self.folders()?.iter().filter_map(|folder| read(folder)).collect();
        entries.sort_by(|a, b| b.used_unix.cmp(&a.used_unix).then_with(|| a.folder.cmp(&b.folder)));
        Ok(entries)
    }

    /// Takes out every engine but those to keep, and whatever is no whole engine: left over from a build that was
    /// stopped, damaged, or of another format. How fast layers were stays, unless nothing is kept.
    ///
    /// # Errors
    /// [`Error::Io`] if something cannot be read or removed.
    pub fn collect(&self, keep: Keep, now: SystemTime) -> Result<Removed> {
        let entries = self.list()?;
        let stays = |place: usize, entry: &Entry| match keep {
            Keep::Nothing => false,
            Keep::Newest(n) => place < n,
            Keep::UsedWithin(time) => unix(now).saturating_sub(entry.used_unix) <= time.as_secs(),
        };
        let kept: Vec<_> =
            entries.iter().enumerate().filter(|(i, e)| stays(*i, e)).map(|(_, e)| &e.folder).collect();
        let mut removed = Removed::default();
        let timing = (keep == Keep::Nothing).then(|| self.root.join(TIMING)).filter(|folder| folder.is_dir());
        for folder in self.folders()?.into_iter().filter(|folder| !kept.contains(&folder)).chain(timing) {
            let is_recent_build = name(&folder).starts_with(BUILDING)
                && keep != Keep::Nothing
                && modified(&folder).is_some_and(|time| unix(now).saturating_sub(time) < 24 * 3600);
            if is_recent_build {
                continue;
            }
            removed.bytes += sizes(&folder).values().sum::<u64>();
            fs::remove_dir_all(&folder).map_err(|source| Error::Io { path: folder.clone(), source })?;
            removed.folders.push(folder);
        }
        Ok(removed)
    }

    /// Notes that an engine is used now.
    pub(super) fn touch(&self, entry: &Entry) -> Result<()> {
        let path = entry.folder.join(USED);
        fs::write(&path, "").map_err(|source| Error::Io { path, source })
    }

    pub(super) fn prepared(&self, entry: &Entry, model: &Model) -> Prepared {
        let profile = entry.manifest.key.profile;
        Prepared {
            folder: entry.folder.clone(),
            timing_cache: self.root.join(TIMING),
            profile,
            shapes: Shapes::of(model, profile),
            building: false,
            built: Duration::ZERO,
        }
    }

    /// An empty folder for a build, beside the engines.
    pub(super) fn begin(&self, key: &EngineKey, model: &Model) -> Result<Prepared> {
        let folder = self.root.join(format!("{BUILDING}{}-{}", key.id(), std::process::id()));
        let timing_cache = self.root.join(TIMING);
        for folder in [&folder, &timing_cache] {
            fs::create_dir_all(folder).map_err(|source| Error::Io { path: folder.clone(), source })?;
        }
        let shapes = Shapes::of(model, key.profile);
        Ok(Prepared {
            folder,
            timing_cache,
            profile: key.profile,
            shapes,
            building: true,
            built: Duration::ZERO,
        })
    }

    /// Puts a folder filled by a build in its place.
    pub(super) fn commit(
        &self,
        built: &Prepared,
        key: EngineKey,
        model: &Path,
        build_s: f64,
    ) -> Result<Entry> {
        let files = sizes(&built.folder);
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            model: model.canonicalize().unwrap_or_else(|_| model.to_owned()),
            built_unix: unix(SystemTime::now()),
            build_s,
            files,
            key,
        };
        let target = self.root.join(manifest.key.id());
        let path = built.folder.join(MANIFEST);
        let text = serde_json::to_vec_pretty(&manifest).expect("strings and numbers can be written as JSON");
        fs::write(&path, text).map_err(|source| Error::Io { path, source })?;
        let used = built.folder.join(USED);
        fs::write(&used, "").map_err(|source| Error::Io { path: used, source })?;
        if target.exists() {
            fs::remove_dir_all(&target).map_err(|source| Error::Io { path: target.clone(), source })?;
        }
        fs::rename(&built.folder, &target).map_err(|source| Error::Io { path: target.clone(), source })?;
        let damaged = || Error::Value {
            what: format!("engine {}", target.display()),
            expected: "a whole one".to_owned(),
            got: "one whose files changed while it was put there".to_owned(),
        };
        read(&target).ok_or_else(damaged)
    }

    /// Every folder that may be an engine.
    fn folders(&self) -> Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|source| Error::Io { path: self.root.clone(), source })?,
        };
        let is_id = |name: &str| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut folders: Vec<_> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.is_dir() && (is_id(&name(path)) || name(path).starts_with(BUILDING)))
            .collect();
        folders.sort();
        Ok(folders)
    }
}

/// An engine's folder, if it is whole: its manifest is read, its name is its key's, and its files are those listed.
fn read(folder: &Path) -> Option<Entry> {
    let manifest: Manifest = serde_json::from_slice(&fs::read(folder.join(MANIFEST)).ok()?).ok()?;
    let files = sizes(folder);
    let is_whole = manifest.format == FORMAT
        && manifest.key.id() == name(folder)
        && !manifest.files.is_empty()
        && manifest.files.iter().all(|(name, bytes)| files.get(name) == Some(bytes));
    let used_unix = modified(&folder.join(USED)).unwrap_or(manifest.built_unix);
    let bytes = files.values().sum();
    is_whole.then(|| Entry { folder: folder.to_owned(), manifest, bytes, used_unix })
}

/// The files of a folder that TensorRT wrote, and our own.
fn sizes(folder: &Path) -> BTreeMap<String, u64> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let file = |entry: fs::DirEntry| {
        let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
        Some((entry.file_name().into_string().ok()?, metadata.len()))
    };
    entries.filter_map(file).collect()
}

/// The files of an engine with their sizes and times: what changes if it is built again.
pub(crate) fn snapshot(folder: &Path) -> BTreeMap<String, (u64, Option<SystemTime>)> {
    let time = |name: &str| fs::metadata(folder.join(name)).and_then(|m| m.modified()).ok();
    let own = [MANIFEST, USED];
    let files = sizes(folder).into_iter().filter(|(name, _)| !own.contains(&name.as_str()));
    files.map(|(name, bytes)| (name.clone(), (bytes, time(&name)))).collect()
}

fn modified(path: &Path) -> Option<u64> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok().map(unix)
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
