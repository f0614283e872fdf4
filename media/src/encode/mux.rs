//! Access units to an mp4 file: `ftyp`, `moov`, `mdat`, in that order, so that a player can start at once.
//!
//! Each track has its own timescale in which its times are whole numbers. The edit list of the sound skips the
//! encoder's priming, so both tracks are presented from 0.

use super::aac::{Aac, FRAME};
use super::h264::H264;
use crate::{Error, Rational, Result, metadata};
use mp4_atom::{
    Audio as AudioEntry, Avc1, Avcc, Codec, Colr, Dinf, Dref, DrefEntry, Edts, Elst, ElstEntry, Encode,
    FixedPoint, FourCC, Ftyp, Hdlr, Mdhd, Mdia, Minf, Moov, Mp4a, Mvhd, Smhd, Stbl, Stco, Stsc, StscEntry,
    Stsd, Stss, Stsz, StszSamples, Stts, SttsEntry, Tkhd, Trak, Url, Visual, Vmhd, esds, u24,
};
use std::path::Path;

/// Sound and picture alternate in the file in pieces of about this length.
const CHUNK_S: f64 = 0.5;
/// Ticks a second of the movie where no common multiple of the tracks' timescales is at hand.
const FALLBACK_TIMESCALE: u64 = 90_000;

/// Boxes and samples of one track, the offsets of its chunks not yet known.
struct Track<'a> {
    trak: Trak,
    /// Samples of each chunk.
    chunks: Vec<Vec<&'a [u8]>>,
    /// When each chunk begins.
    starts_s: Vec<f64>,
}

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
        tracks.push(movie.video_track(h264, fps, tracks.len() as u32 + 1).map_err(failed)?);
    }
    if let Some(aac) = audio {
        tracks.push(movie.audio_track(aac, tracks.len() as u32 + 1).map_err(failed)?);
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

/// The clock that all tracks share.
struct Movie {
    timescale: u64,
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
        Self { timescale, duration: (longest * timescale as f64).round() as u64 }
    }

    fn ticks(&self, count: u64, scale: u64) -> u64 {
        (count as f64 * self.timescale as f64 / scale as f64).round() as u64
    }

    fn encode(&self, tracks: &[Track<'_>], udta: Option<&[u8]>) -> Result<Vec<u8>, mp4_atom::Error> {
        let moov = Moov {
            mvhd: Mvhd {
                timescale: self.timescale as u32,
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

    fn video_track<'a>(
        &self,
        h264: &'a H264,
        fps: Rational,
        track_id: u32,
    ) -> Result<Track<'a>, mp4_atom::Error> {
        let count = h264.units.len();
        let media_duration = count as u64 * u64::from(fps.den);
        let duration = self.ticks(media_duration, u64::from(fps.num));
        let keyframes = h264.units.iter().enumerate().filter(|(_, unit)| unit.is_keyframe);
        let codec = Codec::Avc1(Avc1 {
            visual: Visual {
                data_reference_index: 1,
                width: h264.width,
                height: h264.height,
                ..Visual::default()
            },
            avcc: Avcc::new(&h264.sps, &h264.pps)?,
            colr: Some(Colr::Nclx {
                colour_primaries: 1,
                transfer_characteristics: 1,
                matrix_coefficients: 1,
                full_range_flag: false,
            }),
            ..Avc1::default()
        });
        let per_chunk = ((CHUNK_S * fps.value()) as usize).max(1);
        let samples: Vec<&[u8]> = h264.units.iter().map(|unit| unit.bytes.as_slice()).collect();
        let mut stbl = sample_table(codec, &samples, per_chunk);
        stbl.stts.entries = vec![SttsEntry { sample_count: count as u32, sample_delta: fps.den }];
        stbl.stss = Some(Stss { entries: keyframes.map(|(index, _)| index as u32 + 1).collect() });
        let trak = Trak {
            tkhd: Tkhd {
                track_id,
                duration,
                enabled: true,
                in_movie: true,
                width: FixedPoint::new(h264.width, 0),
                height: FixedPoint::new(h264.height, 0),
                ..Tkhd::default()
            },
            edts: Some(edit(duration, 0)),
            mdia: Mdia {
                mdhd: media_header(fps.num, media_duration),
                hdlr: Hdlr { handler: FourCC::new(b"vide"), name: "VideoHandler".to_owned() },
                minf: Minf { vmhd: Some(Vmhd::default()), dinf: here(), stbl, ..Minf::default() },
            },
            ..Trak::default()
        };
        Ok(Track::new(trak, samples, per_chunk, 1.0 / fps.value()))
    }

    fn audio_track<'a>(&self, aac: &'a Aac, track_id: u32) -> Result<Track<'a>, mp4_atom::Error> {
        let rate = aac.sample_rate_hz;
        let media_duration = (aac.priming + aac.samples) as u64;
        let duration = self.ticks(aac.samples as u64, u64::from(rate));
        let largest = aac.units.iter().map(Vec::len).max().unwrap_or(0) as u32;
        let codec = Codec::Mp4a(Mp4a {
            audio: AudioEntry {
                data_reference_index: 1,
                channel_count: 1,
                sample_size: 16,
                sample_rate: FixedPoint::new(u16::try_from(rate).unwrap_or(0), 0),
            },
            esds: esds::Esds {
                es_desc: esds::EsDescriptor {
                    es_id: track_id as u16,
                    dec_config: esds::DecoderConfig {
                        object_type_indication: 0x40,
                        stream_type: 5,
                        buffer_size_db: u24::try_from(largest).map_err(|_| mp4_atom::Error::InvalidSize)?,
                        max_bitrate: aac.bit_rate_bps,
                        avg_bitrate: aac.bit_rate_bps,
                        dec_specific: Some(esds::DecoderSpecific {
                            raw: aac.config.clone(),
                            ..esds::DecoderSpecific::default()
                        }),
                        ..esds::DecoderConfig::default()
                    },
                    ..esds::EsDescriptor::default()
                },
            },
            btrt: None,
            taic: None,
        });
        let frame_s = FRAME as f64 / f64::from(rate);
        let per_chunk = ((CHUNK_S / frame_s) as usize).max(1);
        // Units past the one that holds the last sample would be presented to nobody.
        let needed = media_duration.div_ceil(FRAME as u64) as usize;
        let samples: Vec<&[u8]> = aac.units.iter().take(needed).map(Vec::as_slice).collect();
        let mut stbl = sample_table(codec, &samples, per_chunk);
        let last = media_duration as usize - (needed - 1) * FRAME;
        stbl.stts.entries = [(needed - 1, FRAME), (1, last)]
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|&(count, delta)| SttsEntry { sample_count: count as u32, sample_delta: delta as u32 })
            .collect();
        let trak = Trak {
            tkhd: Tkhd {
                track_id,
                duration,
                enabled: true,
                in_movie: true,
                alternate_group: 1,
                volume: FixedPoint::new(1, 0),
                ..Tkhd::default()
            },
            edts: Some(edit(duration, aac.priming as u64)),
            mdia: Mdia {
                mdhd: media_header(rate, media_duration),
                hdlr: Hdlr { handler: FourCC::new(b"soun"), name: "SoundHandler".to_owned() },
                minf: Minf { smhd: Some(Smhd::default()), dinf: here(), stbl, ..Minf::default() },
            },
            ..Trak::default()
        };
        Ok(Track::new(trak, samples, per_chunk, frame_s))
    }
}

impl<'a> Track<'a> {
    fn new(trak: Trak, samples: Vec<&'a [u8]>, per_chunk: usize, sample_s: f64) -> Self {
        let chunks: Vec<Vec<&[u8]>> = samples.chunks(per_chunk).map(<[&[u8]]>::to_vec).collect();
        let starts_s = (0..chunks.len()).map(|chunk| (chunk * per_chunk) as f64 * sample_s).collect();
        Self { trak, chunks, starts_s }
    }
}

fn sample_table(codec: Codec, samples: &[&[u8]], per_chunk: usize) -> Stbl {
    let chunks = samples.len().div_ceil(per_chunk);
    let rest = samples.len() - (chunks - 1) * per_chunk;
    let run = |first_chunk: usize, samples_per_chunk: usize| StscEntry {
        first_chunk: first_chunk as u32,
        samples_per_chunk: samples_per_chunk as u32,
        sample_description_index: 1,
    };
    let mut entries = Vec::new();
    if chunks > 1 {
        entries.push(run(1, per_chunk));
    }
    if chunks == 1 || rest != per_chunk {
        entries.push(run(chunks, rest));
    }
    Stbl {
        stsd: Stsd { codecs: vec![codec] },
        stts: Stts::default(),
        stsc: Stsc { entries },
        stsz: Stsz {
            samples: StszSamples::Different {
                sizes: samples.iter().map(|sample| sample.len() as u32).collect(),
            },
        },
        stco: Some(Stco { entries: vec![0; chunks] }),
        ..Stbl::default()
    }
}

fn media_header(timescale: u32, duration: u64) -> Mdhd {
    Mdhd { timescale, duration, language: "und".to_owned(), ..Mdhd::default() }
}

fn edit(duration: u64, media_time: u64) -> Edts {
    let entry = ElstEntry {
        segment_duration: duration,
        media_time: Some(media_time),
        media_rate: FixedPoint::new(1, 0),
    };
    Edts { elst: Some(Elst { entries: vec![entry] }) }
}

/// The media data are in this file.
fn here() -> Dinf {
    Dinf { dref: Dref { entries: vec![DrefEntry::Url(Url::default())] } }
}

fn lcm(a: u64, b: u64) -> u64 {
    a / gcd(a, b) * b
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
