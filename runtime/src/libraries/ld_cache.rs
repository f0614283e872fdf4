//! The loader's cache of libraries, `/etc/ld.so.cache`, in the format that glibc has written since 2.2.
//!
//! The magic `glibc-ld.so.cache1.1`; the number of entries and the length of the texts, u32 each; 20 more bytes;
//! entries of 24 bytes: i32 flags, u32 name, u32 path, u32 and u64 of no use here. Names and paths are offsets from
//! the magic, of texts that end with 0. A part in an older format may come before it. Numbers are little-endian.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER: usize = 48;
const ENTRY: usize = 24;

/// Names of libraries and where they lie, in the loader's order; nothing if there is no such file.
pub(super) fn read(path: &Path) -> HashMap<String, Vec<PathBuf>> {
    std::fs::read(path).ok().and_then(|bytes| parse(&bytes)).unwrap_or_default()
}

fn parse(bytes: &[u8]) -> Option<HashMap<String, Vec<PathBuf>>> {
    let start = bytes.windows(MAGIC.len()).position(|window| window == MAGIC)?;
    let bytes = &bytes[start..];
    let number = |at: usize| {
        bytes.get(at..at + 4)?.try_into().ok().map(|four: [u8; 4]| u32::from_le_bytes(four) as usize)
    };
    let text = |at: usize| {
        let rest = bytes.get(at..)?;
        let end = rest.iter().position(|&byte| byte == 0)?;
        std::str::from_utf8(&rest[..end]).ok()
    };
    let mut found: HashMap<String, Vec<PathBuf>> = HashMap::new();
    for index in 0..number(MAGIC.len())? {
        let at = HEADER + index * ENTRY;
        let (name, path) = (text(number(at + 4)?)?, text(number(at + 8)?)?);
        found.entry(name.to_owned()).or_default().push(path.into());
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_and_a_damaged_cache_is_none() {
        let texts = b"libx.so.1\0/a/libx.so.1\0/b/libx.so.1\0";
        let (count, base) = (2, HEADER + 2 * ENTRY);
        let mut bytes = MAGIC.to_vec();
        bytes.extend(u32::to_le_bytes(count));
        bytes.extend(u32::to_le_bytes(texts.len() as u32));
        bytes.resize(HEADER, 0);
        for path in [10, 23] {
            for number in [0x303, base as u32, base as u32 + path, 0, 0, 0] {
                bytes.extend(number.to_le_bytes());
            }
        }
        bytes.extend(texts);
        let expected = vec![PathBuf::from("/a/libx.so.1"), "/b/libx.so.1".into()];
        assert_eq!(parse(&bytes).unwrap()["libx.so.1"], expected);
        let older = [b"ld.so-1.7.0 and more".as_slice(), &bytes].concat();
        assert_eq!(parse(&older).unwrap()["libx.so.1"], expected);
        for damaged in [&bytes[..bytes.len() - 1], &bytes[..60], b"", b"text"] {
            assert!(parse(damaged).is_none());
        }
    }
}
