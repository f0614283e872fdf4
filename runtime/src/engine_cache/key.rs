//! What an engine depends on, and the name that follows from it.

use crate::engine::{BatchProfile, ByteSize};
use crate::error::{Error, Result};
use crate::graph::Model;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Everything that a TensorRT engine depends on. Two engines of the same key are the same engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineKey {
    /// Of the graph and the weights beside it.
    pub graph_sha256: String,
    /// The batches that the engine is for.
    pub profile: BatchProfile,
    /// The limit of scratch memory, where one was set.
    pub workspace: Option<ByteSize>,
    /// How hard the builder searched, where that was set.
    pub builder_level: Option<u8>,
    /// Whether nodes might be left to CUDA or the CPU, which divides the graph otherwise.
    pub fallback: bool,
    /// `NVIDIA_TF32_OVERRIDE`: without 0, TensorRT may round float32 products to TF32.
    pub tf32_override: Option<String>,
    /// The GPU's name.
    pub gpu: Option<String>,
    /// Its architecture.
    pub sm: Option<String>,
    /// The driver's version.
    pub driver: Option<String>,
    /// TensorRT's version.
    pub tensorrt: Option<String>,
    /// ONNX Runtime's version.
    pub onnx_runtime: String,
}

impl EngineKey {
    /// The SHA-256 of its fields, in hexadecimal: the name of the engine's folder.
    pub fn id(&self) -> String {
        // A struct of plain fields is written in the order of its declaration.
        let text = serde_json::to_vec(self).expect("strings and numbers can be written as JSON");
        hex(&Sha256::digest(text))
    }

    /// Whether nothing but the batches differs.
    pub fn is_same_but_profile(&self, other: &Self) -> bool {
        Self { profile: other.profile, ..self.clone() } == *other
    }

    /// Its fields as names and texts, in the order in which a difference matters most.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let told = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
        vec![
            ("graph", self.graph_sha256.clone()),
            ("profile", self.profile.to_string()),
            ("GPU", told(&self.gpu)),
            ("architecture", told(&self.sm)),
            ("TensorRT", told(&self.tensorrt)),
            ("ONNX Runtime", self.onnx_runtime.clone()),
            ("driver", told(&self.driver)),
            ("workspace", self.workspace.map_or("not limited".to_owned(), |size| size.to_string())),
            (
                "builder level",
                self.builder_level.map_or("TensorRT's own".to_owned(), |level| level.to_string()),
            ),
            ("NVIDIA_TF32_OVERRIDE", self.tf32_override.clone().unwrap_or_else(|| "not set".to_owned())),
            ("fallback", if self.fallback { "allowed" } else { "refused" }.to_owned()),
        ]
    }
}

/// Of a graph's file and of the files with its weights, in the order of their names.
pub(super) fn graph_sha256(model: &Model) -> Result<String> {
    let mut hash = Sha256::new();
    let path = &model.facts.path;
    add(&mut hash, path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    for location in model.external_files() {
        hash.update(location.as_bytes());
        add(&mut hash, &folder.join(&location))?;
    }
    Ok(hex(&hash.finalize()))
}

/// A file, with its length before it so that no two sets of files look alike.
fn add(hash: &mut Sha256, path: &Path) -> Result<()> {
    let wrong = |source| Error::Io { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(wrong)?;
    hash.update(file.metadata().map_err(wrong)?.len().to_le_bytes());
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(wrong)? {
            0 => return Ok(()),
            n => hash.update(&buffer[..n]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
