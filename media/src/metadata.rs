//! The recipe in an mp4 file: `moov/udta/meta/ilst/©cmt`, the place of an iTunes comment, which players and
//! `ffprobe -show_format` show as `comment`.

use crate::boxes::{self, Found};
use crate::{Error, Result};
use std::fs::File;
use std::path::Path;

const COMMENT: [u8; 4] = *b"\xa9cmt";
const TOOL: [u8; 4] = *b"\xa9too";
/// `data` of UTF-8 text, no locale.
const TEXT: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 0];

fn atom(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let size = 8 + parts.iter().map(|part| part.len()).sum::<usize>();
    let mut bytes = Vec::with_capacity(size);
    bytes.extend((size as u32).to_be_bytes());
    bytes.extend(kind);
    parts.iter().for_each(|part| bytes.extend(*part));
    bytes
}

/// The `udta` box that holds `recipe`.
pub(crate) fn user_data(recipe: &str) -> Vec<u8> {
    let tool = concat!("avdit ", env!("CARGO_PKG_VERSION"));
    let item = |kind: &[u8; 4], text: &str| atom(kind, &[&atom(b"data", &[&TEXT, text.as_bytes()])]);
    let list = atom(b"ilst", &[&item(&TOOL, tool), &item(&COMMENT, recipe)]);
    let handler = atom(b"hdlr", &[&[0; 8], b"mdirappl", &[0; 9]]);
    atom(b"udta", &[&atom(b"meta", &[&[0; 4], &handler, &list])])
}

/// The recipe a clip was written with: from the mp4's own metadata, or for any other file from the sidecar
/// `<stem>.json`. `None` where there is none.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::Malformed`] if the recipe is no JSON.
pub fn read_recipe(path: &Path) -> Result<Option<serde_json::Value>> {
    let mut file = File::open(path).map_err(|source| Error::io(path, source))?;
    if let Found::Moov(moov) = boxes::moov(&mut file).map_err(|source| Error::io(path, source))?
        && let Some(text) = comment(&moov)
    {
        return parse(path, text).map(Some);
    }
    let sidecar = path.with_extension("json");
    match std::fs::read(&sidecar) {
        Ok(text) => parse(&sidecar, &text).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::io(&sidecar, source)),
    }
}

fn parse(path: &Path, text: &[u8]) -> Result<serde_json::Value> {
    serde_json::from_slice(text)
        .map_err(|error| Error::malformed(path, format!("the recipe is no JSON: {error}")))
}

/// The text of the comment in the body of a `moov`.
fn comment(moov: &[u8]) -> Option<&[u8]> {
    let meta = child(child(moov, b"udta")?, b"meta")?;
    // `meta` is a full box in mp4 and a plain one in QuickTime.
    let list = child(meta.get(4..)?, b"ilst").or_else(|| child(meta, b"ilst"))?;
    child(child(list, &COMMENT)?, b"data")?.get(8..)
}

/// The body of the first box of `kind` among those that `bytes` hold.
fn child<'a>(mut bytes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    loop {
        let size = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
        let body = bytes.get(8..size)?;
        if bytes.get(4..8)? == kind {
            return Some(body);
        }
        bytes = bytes.get(size..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_comment_is_found_in_the_box_that_holds_it() {
        let udta = user_data("{\"seed\":7}");
        assert_eq!(udta.len(), u32::from_be_bytes(udta[..4].try_into().unwrap()) as usize);
        let moov = [atom(b"mvhd", &[&[0; 100]]), udta].concat();
        assert_eq!(comment(&moov), Some(b"{\"seed\":7}".as_slice()));
        for end in 0..moov.len() {
            assert_eq!(comment(&moov[..end]), None, "cut at {end}");
        }
    }
}
