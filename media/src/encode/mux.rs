//! Access units to an mp4 file: `ftyp`, `moov`, `mdat`, in that order, so that a player can start at once.
//!
//! Each track has its own timescale in which its times are whole numbers. The edit list of the sound skips the
//! encoder's priming, so both tracks are presented from 0.

use super::aac::Aac;
use super::h264::H264;
use super::track::{Clock, Track, audio_track, video_track};
use crate::{Error, Rational, Result, metadata};
use mp4_atom::{Encode, FixedPoint, FourCC, Ftyp, Moov, Mvhd};
use std::path::Path;

/// Ticks a second of the movie where no common multiple of the tracks' timescales is at hand.
const FALLBACK_TIMESCALE: u64 = 90_000;

/// The bytes of an mp4 file.
pub(crate) fn mux(
    path: &Path,
    video: Option<(&H264, Rational)>,
    audio: Option<&Aac>,
    recipe: Option<&str>,
) -> Result<Vec<u8>> {
    let failed = |error: mp4_atom::Error| Error::unencodable(path, format!("mp4: {error}"));
    let movie = Movie::new(video, audio);
    let mut tracks = Vec::new();
    if let Some((h264, fps)) = video {
        tracks.push(video_track(&movie.clock, h264, fps, tracks.len() as u32 + 1).map_err(failed)?);
    }
    if let Some(aac) = audio {
        tracks.push(audio_track(&movie.clock, aac, tracks.len() as u32 + 1).map_err(failed)?);
    }
    let udta = recipe.map(metadata::user_data);

    let mut head = Vec::new();
    let ftyp = Ftyp {
        major_brand: FourCC::new(b"isom"),
        minor_version: 512,
        compatible_brands: [b"isom", b"iso2", b"avc1", b"mp41"].map(FourCC::new).to_vec(),
    };
    ftyp.encode(&mut head).map_err(failed)?;

    // The size of `moov` does not depend on the offsets in it: lay it out once to learn where `mdat` begins.
    let moov_bytes = movie.encode(&tracks, udta.as_deref()).map_err(failed)?.len();
    let order = interleaved(&tracks);
    let mut data: Vec<u8> = Vec::new();
    let begin = head.len() + moov_bytes + 8;
    for (track, chunk) in order {
        let offset = u32::try_from(begin + data.len())
            .map_err(|_| Error::unencodable(path, "the file would be larger than 4 GiB".to_owned()))?;
        tracks[track].chunks[chunk].iter().for_each(|sample| data.extend_from_slice(sample));
        let stco = tracks[track].trak.mdia.minf.stbl.stco.get_or_insert_default();
        stco.entries[chunk] = offset;
    }
    head.extend(movie.encode(&tracks, udta.as_deref()).map_err(failed)?);
    let size = u32::try_from(data.len() + 8)
        .map_err(|_| Error::unencodable(path, "the file would be larger than 4 GiB".to_owned()))?;
    head.extend(size.to_be_bytes());
    head.extend(b"mdat");
    head.extend(data);
    Ok(head)
}

/// (track, chunk) in order of presentation.
fn interleaved(tracks: &[Track<'_>]) -> Vec<(usize, usize)> {
    let mut order: Vec<(usize, usize)> = tracks
        .iter()
        .enumerate()
        .flat_map(|(track, t)| (0..t.chunks.len()).map(move |chunk| (track, chunk)))
        .collect();
    order.sort_by(|a, b| {
        let at = |&(track, chunk): &(usize, usize)| tracks[track].starts_s[chunk];
        at(a).total_cmp(&at(b)).then(a.cmp(b))
    });
    order
}

/// What the header says of the whole.
struct Movie {
    clock: Clock,
    duration: u64,
}

impl Movie {
    fn new(video: Option<(&H264, Rational)>, audio: Option<&Aac>) -> Self {
        let scales =
            [video.map(|(_, fps)| u64::from(fps.num)), audio.map(|aac| u64::from(aac.sample_rate_hz))];
        let timescale = scales.into_iter().flatten().fold(1, lcm);
        let timescale = if timescale > u64::from(u32::MAX) { FALLBACK_TIMESCALE } else { timescale };
        let seconds = [
            video.map(|(h264, fps)| h264.units.len() as f64 / fps.value()),
            audio.map(|aac| aac.samples as f64 / f64::from(aac.sample_rate_hz)),
        ];
        let longest = seconds.into_iter().flatten().fold(0.0, f64::max);
        Self { clock: Clock { timescale }, duration: (longest * timescale as f64).round() as u64 }
    }

    fn encode(&self, tracks: &[Track<'_>], udta: Option<&[u8]>) -> Result<Vec<u8>, mp4_atom::Error> {
        let moov = Moov {
            mvhd: Mvhd {
                timescale: self.clock.timescale as u32,
                duration: self.duration,
                rate: FixedPoint::new(1, 0),
                volume: FixedPoint::new(1, 0),
                next_track_id: tracks.len() as u32 + 1,
                ..Mvhd::default()
            },
            trak: tracks.iter().map(|track| track.trak.clone()).collect(),
            ..Moov::default()
        };
        let mut bytes = Vec::new();
        moov.encode(&mut bytes)?;
        if let Some(udta) = udta {
            bytes.extend(udta);
            let size = bytes.len() as u32;
            bytes[..4].copy_from_slice(&size.to_be_bytes());
        }
        Ok(bytes)
    }
}

fn lcm(a: u64, b: u64) -> u64 {
    a / gcd(a, b) * b
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
