//! The boxes of an mp4 file: which tracks it has, where their samples lie and when they are presented.

use crate::{Error, Result, boxes};
use mp4_atom::{Atom, Codec, Moov, StszSamples, Trak};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// No sample is larger; a size beyond this is damage.
const LARGEST_SAMPLE_BYTES: u64 = 1 << 28;

/// An open file and its description.
pub(crate) struct Movie {
    path: PathBuf,
    file: File,
    length: u64,
    timescale: u32,
    traks: Vec<Trak>,
}

/// A track of an open file.
pub(crate) struct Track {
    trak: Trak,
    path: PathBuf,
}

/// One coded frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    offset: u64,
    size: u64,
    /// When it is presented and for how long, in the track's ticks, before any edit.
    pub(crate) presented: i64,
    pub(crate) duration: u64,
}

/// The part of a track's media that its edit list presents, in the track's ticks.
#[derive(Debug, PartialEq)]
pub(crate) struct Window {
    pub(crate) begin: i64,
    pub(crate) end: Option<i64>,
    /// How long after the movie's beginning.
    pub(crate) delay_s: f64,
}

impl Movie {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let io = |source| Error::io(path, source);
        let mut file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let body = match boxes::moov(&mut file).map_err(io)? {
            boxes::Found::Moov(body) => body,
            boxes::Found::Fragments => return Err(super::unsupported(path, "the file is a fragmented mp4")),
            boxes::Found::Nothing(why) => return Err(Error::undecodable(path, why)),
        };
        let moov = Moov::decode_body(&mut body.as_slice())
            .map_err(|error| Error::undecodable(path, format!("the movie header is damaged: {error}")))?;
        if moov.mvex.is_some() {
            return Err(super::unsupported(path, "the file is a fragmented mp4"));
        }
        Ok(Self { path: path.to_owned(), file, length, timescale: moov.mvhd.timescale, traks: moov.trak })
    }

    /// The first enabled track with samples whose handler is `handler`.
    pub(crate) fn track(&self, handler: &[u8; 4]) -> Option<Track> {
        let of_kind = |trak: &&Trak| <[u8; 4]>::from(trak.mdia.hdlr.handler) == *handler;
        let has_samples = |trak: &&Trak| match &trak.mdia.minf.stbl.stsz.samples {
            StszSamples::Identical { count, .. } => *count > 0,
            StszSamples::Different { sizes } => !sizes.is_empty(),
        };
        let trak = self.traks.iter().filter(of_kind).find(has_samples)?.clone();
        Some(Track { trak, path: self.path.clone() })
    }

    /// Every sample of `track`, in the order of decoding.
    pub(crate) fn samples(&self, track: &Track) -> Result<Vec<Sample>> {
        let damaged =
            |what: &str| Error::undecodable(&self.path, format!("the sample table is damaged: {what}"));
        let stbl = &track.trak.mdia.minf.stbl;
        let count = match &stbl.stsz.samples {
            StszSamples::Identical { count, size } => {
                if u64::from(*count) * u64::from(*size) > self.length {
                    return Err(damaged("samples are larger than the file"));
                }
                *count as usize
            }
            StszSamples::Different { sizes } => sizes.len(),
        };
        let size_of = |index: usize| match &stbl.stsz.samples {
            StszSamples::Identical { size, .. } => u64::from(*size),
            StszSamples::Different { sizes } => u64::from(sizes[index]),
        };
        let mut offsets = chunk_offsets(&track.trak);
        let mut deltas = stbl.stts.entries.iter().flat_map(|run| repeat(run.sample_count, run.sample_delta));
        let shifts = stbl.ctts.as_ref().map(|ctts| ctts.entries.as_slice()).unwrap_or_default();
        let mut shifts = shifts.iter().flat_map(|run| repeat(run.sample_count, run.sample_offset));
        let mut samples = Vec::with_capacity(count.min(1 << 20));
        let mut decoded = 0_i64;
        let mut chunk = (0_u64, 0_u32); // (where the next sample lies, samples left in the chunk)
        for index in 0..count {
            while chunk.1 == 0 {
                chunk = offsets.next().ok_or_else(|| damaged("fewer places than samples"))?;
            }
            let size = size_of(index);
            let end =
                chunk.0.checked_add(size).filter(|end| *end <= self.length && size <= LARGEST_SAMPLE_BYTES);
            if end.is_none() {
                return Err(Error::undecodable(
                    &self.path,
                    format!(
                        "truncated: sample {} of {count} ends at byte {}, the file has {}",
                        index + 1,
                        chunk.0.saturating_add(size),
                        self.length
                    ),
                ));
            }
            let duration = u64::from(deltas.next().ok_or_else(|| damaged("fewer durations than samples"))?);
            let shift = shifts.next().unwrap_or(0);
            samples.push(Sample { offset: chunk.0, size, presented: decoded + shift, duration });
            decoded += duration as i64;
            chunk = (chunk.0 + size, chunk.1 - 1);
        }
        Ok(samples)
    }

    /// The bytes of `sample`.
    pub(crate) fn read(&mut self, sample: &Sample) -> Result<Vec<u8>> {
        let mut bytes = vec![0; sample.size as usize];
        self.file
            .seek(SeekFrom::Start(sample.offset))
            .and_then(|_| self.file.read_exact(&mut bytes))
            .map_err(|source| Error::io(&self.path, source))?;
        Ok(bytes)
    }

    /// What the edit list of `track` presents.
    pub(crate) fn window(&self, track: &Track) -> Result<Window> {
        let entries = track.trak.edts.as_ref().and_then(|edts| edts.elst.as_ref());
        let entries = entries.map(|elst| elst.entries.as_slice()).unwrap_or_default();
        let timescale = f64::from(self.timescale.max(1));
        let empty = entries.iter().take_while(|entry| entry.media_time.is_none()).count();
        let delay_s = entries[..empty].iter().map(|entry| entry.segment_duration as f64 / timescale).sum();
        match &entries[empty..] {
            [] => Ok(Window { begin: 0, end: None, delay_s }),
            [entry] if entry.media_rate.integer() == 1 => {
                let begin = i64::try_from(entry.media_time.unwrap_or(0)).unwrap_or(i64::MAX);
                let ticks = entry.segment_duration as f64 / timescale * f64::from(track.timescale());
                let end = (entry.segment_duration > 0).then(|| begin.saturating_add(ticks.round() as i64));
                Ok(Window { begin, end, delay_s })
            }
            [_] => Err(super::unsupported(&self.path, "an edit plays at another speed")),
            several => Err(super::unsupported(&self.path, &format!("a track has {} edits", several.len()))),
        }
    }
}

/// (offset, samples) of each chunk.
fn chunk_offsets(trak: &Trak) -> impl Iterator<Item = (u64, u32)> + '_ {
    let stbl = &trak.mdia.minf.stbl;
    let short = stbl.stco.iter().flat_map(|stco| stco.entries.iter().map(|offset| u64::from(*offset)));
    let long = stbl.co64.iter().flat_map(|co64| co64.entries.iter().copied());
    let runs = &stbl.stsc.entries;
    let mut run = 0;
    short.chain(long).enumerate().map(move |(index, offset)| {
        while runs.get(run + 1).is_some_and(|next| next.first_chunk as usize <= index + 1) {
            run += 1;
        }
        (offset, runs.get(run).map_or(0, |run| run.samples_per_chunk))
    })
}

fn repeat<T: Copy>(count: u32, value: T) -> impl Iterator<Item = T> {
    std::iter::repeat_n(value, count as usize)
}

impl Track {
    pub(crate) fn codec(&self) -> Result<&Codec> {
        let codecs = &self.trak.mdia.minf.stbl.stsd.codecs;
        codecs.first().ok_or_else(|| Error::undecodable(&self.path, "a track does not say how it is coded"))
    }

    /// The codec's four letters, or its name.
    pub(crate) fn codec_name(&self) -> String {
        match self.codec() {
            Ok(Codec::Unknown(kind, _)) => format!("{kind}"),
            Ok(codec) => {
                let name = format!("{codec:?}");
                name.split(['(', ' ']).next().unwrap_or_default().to_lowercase()
            }
            Err(_) => "of no kind".to_owned(),
        }
    }

    pub(crate) fn timescale(&self) -> u32 {
        self.trak.mdia.mdhd.timescale.max(1)
    }

    /// Quarter turns clockwise that a player applies.
    pub(crate) fn rotation(&self) -> u8 {
        let matrix = &self.trak.tkhd.matrix;
        match (matrix.a.signum(), matrix.b.signum(), matrix.c.signum(), matrix.d.signum()) {
            (0, 1, -1, 0) => 1,
            (-1, 0, 0, -1) => 2,
            (0, -1, 1, 0) => 3,
            _ => 0,
        }
    }
}
