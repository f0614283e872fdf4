//! From foreign files to the folder of an imported network.

use super::plan::Plan;
use super::selection::Selection;
use super::sources::Sources;
use super::{
    FORMAT, Imported, ImportedConfig, Kind, NETWORK_FILE, NetworkRecord, Source, SourceFile, WEIGHTS_FILE,
    codecs, dit,
};
use crate::checkpoint::{read_json, write_json};
use crate::error::{Error, Result};
use avdit_media::codec::file_sha256;
use avdit_media::draft::FolderDraft;
use avdit_media::tensors::write_tensors_from;
use avdit_nets::encodec::EncodecConfig;
use avdit_nets::hifigan::HifiganConfig;
use avdit_nets::vae::VaeConfig;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What files do not say of themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// What they hold; seen from names and `config.json` if not given.
    pub kind: Option<Kind>,
    /// The configuration in its publisher's form, or one of [`ImportOptions::KNOWN`] by name; `config.json` beside the first
    /// file if not given.
    pub config: Option<PathBuf>,
    /// The key of a pickle that the tensors stand under.
    pub key: Option<String>,
    /// Take the tensors alone whose names begin so, and their names without that.
    pub within: Option<String>,
    /// Of these, leave out the tensors whose names begin so.
    pub leave_out: Vec<String>,
    /// Heads of a DiT.
    pub heads: Option<usize>,
    /// Rows and columns of the latents of a DiT.
    pub size: Option<[usize; 2]>,
    /// Whether every label of a DiT is a class, and none stands for no class.
    pub no_null_class: bool,
}

impl ImportOptions {
    /// Configurations that are known by name: the autoencoders of Stable Diffusion 1 and 2 and of AudioLDM, AudioLDM's vocoder
    /// and EnCodec at 24 kHz.
    pub const KNOWN: [&str; 4] = ["stable-diffusion", "audioldm", "audioldm-vocoder", "encodec-24khz"];

    fn known(name: &str) -> Option<(Kind, Value)> {
        let (kind, value) = match name {
            "stable-diffusion" => (Kind::Vae, serde_json::to_value(VaeConfig::stable_diffusion())),
            "audioldm" => (Kind::Vae, serde_json::to_value(VaeConfig::audioldm())),
            "audioldm-vocoder" => (Kind::Hifigan, serde_json::to_value(HifiganConfig::audioldm())),
            "encodec-24khz" => (Kind::Encodec, serde_json::to_value(EncodecConfig::default())),
            _ => return None,
        };
        Some((kind, value.ok()?))
    }

    /// What is known by name of a kind.
    fn known_of(kind: Kind) -> Vec<&'static str> {
        let is_of = |name: &&str| Self::known(name).is_some_and(|(known, _)| known == kind);
        Self::KNOWN.into_iter().filter(is_of).collect()
    }
}

/// What files are seen to be.
pub(super) struct Imports {
    pub(super) config: ImportedConfig,
    pub(super) plan: Plan,
    pub(super) names: String,
}

/// Foreign files whose tensors are those of a network.
pub struct Import {
    sources: Sources,
    imports: Imports,
    within: Option<String>,
    left_out: Vec<String>,
}

impl Import {
    /// Reads what files say of their tensors, and compares it with the network that they are to be. Nothing in a file is
    /// executed.
    ///
    /// # Errors
    /// [`Error::Content`] naming a file that cannot be understood or whose pickle calls what tensors do not need, or
    /// with a table of every tensor that is missing, unknown or of another shape; [`Error::Config`] naming the option that
    /// says what the files do not, or that fits no tensor.
    pub fn read(paths: &[PathBuf], options: &ImportOptions) -> Result<Self> {
        let selection = Selection { within: options.within.as_deref(), leave_out: &options.leave_out };
        let sources = selection.of(Sources::open(paths, options.key.as_deref())?)?;
        let config = public_config(sources.path(), options)?;
        let found = config.as_ref().map(|config| (config.path.as_path(), &config.value));
        let known = config.as_ref().and_then(|config| config.known);
        let kind = match options.kind.or(known) {
            Some(kind) => kind,
            None => detected(&sources, found.map(|(_, value)| value))?,
        };
        if let Some(known) = known.filter(|known| *known != kind) {
            let name = found.map_or(Path::new(""), |(path, _)| path).display();
            let (known, kind) = (known.name(), kind.name());
            return Err(Error::Config(format!("--config {name} is of kind {known}, --as says {kind}")));
        }
        let config = || {
            let what = format!(
                "no configuration is beside it\n\nhint: put the config.json that a {} is published with there, or name it \
                with --config, or the public one by {}",
                kind.name(),
                ImportOptions::known_of(kind).join(" or ")
            );
            found.ok_or_else(|| Error::content(sources.path(), what))
        };
        let imports = match kind {
            Kind::Dit => dit::read(&sources, found.map(|(_, value)| value), options)?,
            Kind::Vae => codecs::vae(&sources, config()?)?,
            Kind::Hifigan => codecs::hifigan(&sources, config()?)?,
            Kind::Encodec => codecs::encodec(&sources, config()?)?,
        };
        imports.plan.check(&sources, &describe(&imports.config))?;
        imports.plan.check_extras(&sources)?;
        let (within, left_out) = (options.within.clone(), options.leave_out.clone());
        Ok(Self { sources, imports, within, left_out })
    }

    /// What the network is made of.
    pub fn config(&self) -> &ImportedConfig {
        &self.imports.config
    }

    /// Number of its tensors.
    pub fn tensors(&self) -> usize {
        self.imports.plan.targets.len()
    }

    /// Number of its values.
    pub fn parameters(&self) -> usize {
        self.imports.plan.targets.iter().map(|target| target.shape.iter().product::<usize>()).sum()
    }

    /// Writes the folder, which appears under its name when all of it is there; `done` is told of every tensor. One that
    /// is there is replaced if it is empty or an imported network.
    ///
    /// # Errors
    /// [`Error::Content`] if the folder is something else, or a tensor holds a value that is not finite; a media error or
    /// [`Error::Io`] if a file cannot be read or written.
    pub fn write(&self, out: &Path, done: &mut dyn FnMut(usize, &str)) -> Result<NetworkRecord> {
        let staged = FolderDraft::begin(out, "an imported network", Imported::is_in)?;
        let weights = staged.path().join(WEIGHTS_FILE);
        let targets = &self.imports.plan.targets;
        let shapes: Vec<_> = targets.iter().map(|t| (t.name.as_str(), t.shape.as_slice())).collect();
        let metadata =
            BTreeMap::from([("format".to_owned(), "pt".to_owned()), ("avdit".to_owned(), FORMAT.to_owned())]);
        write_tensors_from(&weights, &metadata, &shapes, |name| {
            let (i, target) = targets
                .iter()
                .enumerate()
                .find(|(_, target)| target.name == name)
                .expect("a name of the list");
            let values = target.from.load(&self.sources)?;
            done(i + 1, name);
            Ok::<_, Error>(values)
        })?;
        let file = |path: &PathBuf| -> Result<_> {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok(SourceFile { file, sha256: file_sha256(path)? })
        };
        let mut files = self.sources.paths.iter().map(file).collect::<Result<Vec<_>>>()?;
        let first = files.remove(0);
        let (key, names) = (self.sources.key.clone(), self.imports.names.clone());
        let (within, left_out) = (self.within.clone(), self.left_out.clone());
        let record = NetworkRecord {
            format: FORMAT.to_owned(),
            config: self.imports.config.clone(),
            weights_sha256: file_sha256(&weights)?,
            source: Source { first, more: files, key, within, left_out, names },
        };
        write_json(&staged.path().join(NETWORK_FILE), &record)?;
        staged.commit()?;
        Ok(record)
    }
}

/// A network in words.
fn describe(config: &ImportedConfig) -> String {
    match config {
        ImportedConfig::Dit(c) => {
            let [height, width] = c.size;
            format!(
                "a DiT of width {}, {} blocks, {} heads, patches of {}, {} classes on latents of {} x {height} x {width}",
                c.width, c.depth, c.heads, c.patch, c.classes, c.channels
            )
        }
        other => format!("the {} of its configuration", other.kind().name()),
    }
}

/// A publisher's configuration.
struct PublicConfig {
    /// Its file, or the name that it is known by.
    path: PathBuf,
    value: Value,
    /// Of what it is, where it is known by name.
    known: Option<Kind>,
}

/// The publisher's configuration. What lies beside a file and is no configuration is not heeded.
fn public_config(file: &Path, options: &ImportOptions) -> Result<Option<PublicConfig>> {
    let of_file = |path: PathBuf| Ok(Some(PublicConfig { value: read_json(&path)?, path, known: None }));
    if let Some(path) = options.config.clone() {
        let known = path.to_str().filter(|_| !path.is_file()).and_then(ImportOptions::known);
        return match known {
            Some((kind, value)) => Ok(Some(PublicConfig { path, value, known: Some(kind) })),
            None => of_file(path),
        };
    }
    let beside = file.with_file_name("config.json");
    if !beside.is_file() {
        return Ok(None);
    }
    of_file(beside)
}

/// What tensors and configuration are seen to be of.
fn detected(sources: &Sources, config: Option<&Value>) -> Result<Kind> {
    // Not within other networks: an AudioLDM holds its vocoder beside its autoencoder.
    let begins = |part: &str| sources.names().any(|name| name.starts_with(part));
    let any = |parts: &[&str]| parts.iter().all(|part| sources.names().any(|name| name.contains(part)));
    let said = |key: &str| config.and_then(|config| config.get(key)?.as_str()).unwrap_or_default();
    let class = format!("{} {}", said("_class_name"), said("model_type"));
    let found: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| match kind {
            Kind::Dit => dit::Names::of(sources).is_some() || class.contains("DiTTransformer2DModel"),
            Kind::Vae => any(&["encoder.conv_in.", "decoder.conv_out."]) || class.contains("AutoencoderKL"),
            Kind::Hifigan => {
                begins("conv_pre.") && (begins("upsampler.") || begins("ups.")) || class.contains("hifigan")
            }
            Kind::Encodec => any(&["encoder.layers.0.conv.", "decoder.layers."]) || class.contains("encodec"),
        })
        .collect();
    if let [kind] = found.as_slice() {
        return Ok(*kind);
    }
    let list = |kinds: &[Kind]| kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
    let candidates = if found.is_empty() { &Kind::ALL[..] } else { &found };
    let names: Vec<_> = sources.names().take(3).collect();
    let what = format!(
        "which network it is cannot be told from its names ({}, …); candidates: {}\n\nhint: say which with --as, \
        and with --within where the tensors of one of several networks begin",
        names.join(", "),
        list(candidates)
    );
    Err(Error::content(sources.path(), what))
}
