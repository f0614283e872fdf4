//! What a folder of this module's making holds.

use std::path::Path;

/// The codec of the latents, which may lie beside an adapter or a merged network.
const CODEC_FILE: &str = "codec.safetensors";

/// Whether a folder has all of these files and, but for a codec, no other entry.
pub(super) fn holds_only(folder: &Path, files: &[&str]) -> bool {
    let is_named = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.is_ok_and(|entry| files.iter().chain(&[CODEC_FILE]).any(|name| entry.file_name() == *name))
    };
    files.iter().all(|name| folder.join(name).is_file())
        && std::fs::read_dir(folder).is_ok_and(|mut entries| entries.all(is_named))
}
