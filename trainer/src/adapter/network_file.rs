//! What a folder of a network says of itself: `network.json`, beside `model.safetensors`.

use crate::checkpoint::read_json;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::Path;

/// The format's name, in `network.json`.
pub(crate) const FORMAT: &str = "avdit-network/1";

/// What a folder of a network says of itself.
pub(crate) const CONFIG_FILE: &str = "network.json";

/// A network's tensors, in its folder.
pub(crate) const WEIGHTS_FILE: &str = "model.safetensors";

/// `network.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct NetworkFile<C> {
    /// [`FORMAT`].
    pub(crate) format: String,
    /// Which network: `dit`, `av-dit`.
    pub(crate) kind: String,
    /// Its configuration.
    pub(crate) config: C,
    /// The SHA-256 of `model.safetensors`.
    pub(crate) weights_sha256: String,
    /// Where it comes from.
    #[serde(default)]
    pub(crate) source: Map<String, Value>,
}

impl NetworkFile<Value> {
    /// The kind of the network in a folder; `None` where there is none.
    pub(crate) fn kind(folder: &Path) -> Option<String> {
        let file: Self = read_json(&folder.join(CONFIG_FILE)).ok()?;
        (file.format == FORMAT).then_some(file.kind)
    }
}
