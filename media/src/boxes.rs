//! The outermost boxes of an mp4 file.

use std::fs::File;
use std::io::{Read, Result, Seek, SeekFrom};

/// No movie header is larger; a size beyond this is damage.
const LARGEST_MOOV_BYTES: u64 = 1 << 28;

/// What a walk over the outermost boxes came to.
pub(crate) enum Found {
    /// The body of the movie header.
    Moov(Vec<u8>),
    /// Movie fragments before any movie header.
    Fragments,
    /// No movie header, and why.
    Nothing(String),
}

/// Walks to the first `moov`.
pub(crate) fn moov(file: &mut File) -> Result<Found> {
    let length = file.metadata()?.len();
    if length == 0 {
        return Ok(Found::Nothing("the file is empty".to_owned()));
    }
    let mut at = 0;
    while at + 8 <= length {
        let mut head = [0; 16];
        file.seek(SeekFrom::Start(at))?;
        let known = (length - at).min(16) as usize;
        file.read_exact(&mut head[..known])?;
        let [a, b, c, d, kind @ .., _, _, _, _, _, _, _, _] = head;
        let kind: [u8; 4] = kind;
        let (header, size) = match u32::from_be_bytes([a, b, c, d]) {
            0 => (8, length - at),
            1 => (16, u64::from_be_bytes(std::array::from_fn(|index| head[8 + index]))),
            size => (8, u64::from(size)),
        };
        if at == 0
            && !matches!(&kind, b"ftyp" | b"moov" | b"mdat" | b"free" | b"skip" | b"wide" | b"pnot" | b"styp")
        {
            return Ok(Found::Nothing("this is no mp4 or mov file".to_owned()));
        }
        let name = String::from_utf8_lossy(&kind).into_owned();
        if size < header {
            return Ok(Found::Nothing(format!("box {name:?} at byte {at} is damaged: its size is {size}")));
        }
        if size > length - at {
            return Ok(Found::Nothing(format!(
                "truncated: box {name:?} at byte {at} has {size} bytes, the file ends after {}",
                length - at
            )));
        }
        match &kind {
            b"moov" if size > LARGEST_MOOV_BYTES => {
                return Ok(Found::Nothing(format!("the movie header is damaged: its size is {size}")));
            }
            b"moov" => {
                let mut body = vec![0; (size - header) as usize];
                file.seek(SeekFrom::Start(at + header))?;
                file.read_exact(&mut body)?;
                return Ok(Found::Moov(body));
            }
            b"moof" => return Ok(Found::Fragments),
            _ => at += size,
        }
    }
    Ok(Found::Nothing("truncated: no movie header".to_owned()))
}
