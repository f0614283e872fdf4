//! What a shared library of Linux says of itself, read without loading it.

use crate::find::this_architecture;
use object::elf::{DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_SONAME};
use object::read::ReadCache;
use object::{Object, ObjectSymbol};
use std::fs::File;
use std::path::{Path, PathBuf};

/// What a library says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Elf {
    /// The name under which others ask for it.
    pub(super) soname: Option<String>,
    /// The names that it asks for, in its order.
    pub(super) needed: Vec<String>,
    /// The folders in which it has them looked for, `$ORIGIN` replaced.
    pub(super) folders: Vec<PathBuf>,
}

/// Reads a library.
///
/// # Errors
/// Why it cannot be loaded here, as far as its header tells.
pub(super) fn read(path: &Path) -> Result<Elf, String> {
    with_file(path, |file| {
        let mut elf = Elf::default();
        let table =
            file.elf_dynamic_table().map_err(|error| format!("is not a whole shared library: {error}"))?;
        for entry in &table {
            let text = || {
                let bytes = table.string(entry).map_err(|e| format!("is not a whole shared library: {e}"))?;
                Ok::<_, String>(String::from_utf8_lossy(bytes).into_owned())
            };
            match entry.tag {
                DT_NEEDED => elf.needed.push(text()?),
                DT_SONAME => elf.soname = Some(text()?),
                DT_RPATH | DT_RUNPATH => elf.folders.extend(folders(&text()?, path)),
                _ => (),
            }
        }
        Ok(elf)
    })
}

/// Whether a library exports all of these functions; else the first that it does not.
///
/// # Errors
/// As [`read`].
pub(crate) fn first_missing_export<'a>(path: &Path, names: &[&'a str]) -> Result<Option<&'a str>, String> {
    with_file(path, |file| {
        let exported: std::collections::HashSet<_> = file
            .dynamic_symbols()
            .filter(|symbol| symbol.is_definition())
            .filter_map(|s| s.name_bytes().ok())
            .collect();
        Ok(names.iter().copied().find(|name| !exported.contains(name.as_bytes())))
    })
}

type Elf64<'a> = object::read::elf::ElfFile64<'a, object::Endianness, &'a ReadCache<File>>;

fn with_file<T>(path: &Path, read: impl FnOnce(&Elf64) -> Result<T, String>) -> Result<T, String> {
    let cache = ReadCache::new(File::open(path).map_err(|error| error.to_string())?);
    let file =
        object::File::parse(&cache).map_err(|error| format!("is not a whole shared library: {error}"))?;
    if file.architecture() != this_architecture() {
        return Err(format!("is for {:?}, this machine is {:?}", file.architecture(), this_architecture()));
    }
    match &file {
        object::File::Elf64(file) => read(file),
        _ => Err("is not a 64-bit library of Linux".to_owned()),
    }
}

/// `a:b` with `$ORIGIN`, the folder of the file that says so.
fn folders(text: &str, of: &Path) -> Vec<PathBuf> {
    let of = of.canonicalize().unwrap_or_else(|_| of.to_owned());
    let origin = of.parent().unwrap_or(Path::new("/")).to_string_lossy();
    let replaced = text.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin);
    replaced.split(':').filter(|folder| !folder.is_empty()).map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_is_the_folder_of_the_file() {
        let found = folders("$ORIGIN:${ORIGIN}/../lib:/opt/x::", Path::new("/nowhere/a/b.so"));
        assert_eq!(found, ["/nowhere/a", "/nowhere/a/../lib", "/opt/x"].map(PathBuf::from));
    }

    #[test]
    fn a_file_that_is_no_library_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libx.so");
        assert!(read(&path).unwrap_err().contains("No such file"));
        std::fs::write(&path, "not one").unwrap();
        assert!(read(&path).unwrap_err().starts_with("is not a whole shared library"));
    }
}
