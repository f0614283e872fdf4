//! Looking at a library without loading it.

use super::{LIBRARY_STEM, MINIMUM_MINOR, is_library_name};
use object::read::{NameOrOrdinal, ReadCache};
use object::{Architecture, Object, ObjectKind, ObjectSection};
use std::fs::File;
use std::path::Path;

/// The version of an ONNX Runtime in a file, where the file tells it, or why the file must not be loaded.
///
/// Nothing in the file is run.
///
/// # Errors
/// The reason, to be shown beside the path.
pub fn inspect(path: &Path) -> Result<Option<String>, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if metadata.is_dir() {
        return Err(format!("is a folder; give the file in it that is named {LIBRARY_STEM}.…"));
    }
    if !metadata.is_file() {
        return Err("is not a regular file".to_owned());
    }
    let resolved = path.canonicalize().map_err(|error| error.to_string())?;
    if !is_library_name(path) && !is_library_name(&resolved) {
        return Err(format!("is not named like ONNX Runtime's library ({LIBRARY_STEM}.…); it is not loaded"));
    }
    let cache = ReadCache::new(File::open(path).map_err(|error| error.to_string())?);
    // The table of sections lies at the end: a file that was cut off, which would end the process when loaded,
    // does not parse.
    let library =
        object::File::parse(&cache).map_err(|error| format!("is not a whole shared library: {error}"))?;
    if library.kind() != ObjectKind::Dynamic {
        return Err(format!("is not a shared library but {:?}", library.kind()));
    }
    if library.architecture() != this_architecture() {
        return Err(format!(
            "is for {:?}, this machine is {:?}",
            library.architecture(),
            this_architecture()
        ));
    }
    let mut exports = library.exports().map_err(|error| format!("is not a whole shared library: {error}"))?;
    let is_entry = |name: &[u8]| name == b"OrtGetApiBase" || name == b"_OrtGetApiBase";
    if !exports.any(|export| {
        export.is_ok_and(|export| matches!(export.name(), NameOrOrdinal::Name(name) if is_entry(name)))
    }) {
        return Err("is a library, but not ONNX Runtime: it does not export OrtGetApiBase".to_owned());
    }
    let version = version(&library);
    if let Some(minor) =
        version.as_deref().and_then(|v| v.split('.').nth(1)).and_then(|m| m.parse::<u32>().ok())
        && minor < MINIMUM_MINOR
    {
        let found = version.unwrap_or_default();
        return Err(format!("is ONNX Runtime {found}, 1.{MINIMUM_MINOR} or newer is needed"));
    }
    Ok(version)
}

/// ONNX Runtime's Linux builds export their symbols under the name `VERS_1.31.1`.
fn version<'a>(library: &object::File<'a, &'a ReadCache<File>>) -> Option<String> {
    let section = library.section_by_name(".dynstr")?;
    let names = section.data().ok()?;
    let name = names.split(|&byte| byte == 0).find_map(|name| name.strip_prefix(b"VERS_"))?;
    Some(std::str::from_utf8(name).ok()?.to_owned())
}

pub(crate) fn this_architecture() -> Architecture {
    match std::env::consts::ARCH {
        "x86_64" => Architecture::X86_64,
        "aarch64" => Architecture::Aarch64,
        "x86" => Architecture::I386,
        "arm" => Architecture::Arm,
        "riscv64" => Architecture::Riscv64,
        _ => Architecture::Unknown,
    }
}
