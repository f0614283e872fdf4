//! The boxes of one track: how it is coded, when and where its samples are.

use super::aac::{Aac, FRAME};
use super::h264::H264;
use crate::Rational;
use mp4_atom::{
    Audio as AudioEntry, Avc1, Avcc, Codec, Colr, Dinf, Dref, DrefEntry, Edts, Elst, ElstEntry, FixedPoint,
    FourCC, Hdlr, Mdhd, Mdia, Minf, Mp4a, Smhd, Stbl, Stco, Stsc, StscEntry, Stsd, Stss, Stsz, StszSamples,
    Stts, SttsEntry, Tkhd, Trak, Url, Visual, Vmhd, esds, u24,
};

/// Sound and picture alternate in the file in pieces of about this length.
const CHUNK_S: f64 = 0.5;

/// Ticks a second of the picture track, at least.
const LEAST_TIMESCALE: u32 = 10_000;

/// The clock of the movie, which all tracks share.
pub(crate) struct Clock {
    pub(crate) timescale: u64,
}

impl Clock {
    /// `count` ticks of `1 / scale` s in ticks of this clock.
    fn ticks(&self, count: u64, scale: u64) -> u64 {
        (count as f64 * self.timescale as f64 / scale as f64).round() as u64
    }
}

/// Boxes and samples of one track, the offsets of its chunks not yet known.
pub(crate) struct Track<'a> {
    pub(crate) trak: Trak,
    /// Samples of each chunk.
    pub(crate) chunks: Vec<Vec<&'a [u8]>>,
    /// When each chunk begins.
    pub(crate) starts_s: Vec<f64>,
}

/// The boxes of the picture track.
pub(crate) fn video_track<'a>(
    clock: &Clock,
    h264: &'a H264,
    fps: Rational,
    track_id: u32,
) -> Result<Track<'a>, mp4_atom::Error> {
    let count = h264.units.len();
    // Fine enough for players that round to the track's ticks.
    let finer = LEAST_TIMESCALE.div_ceil(fps.num).max(1);
    let (timescale, delta) = (fps.num.saturating_mul(finer), fps.den.saturating_mul(finer));
    let media_duration = count as u64 * u64::from(delta);
    let duration = clock.ticks(media_duration, u64::from(timescale));
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
    stbl.stts.entries = vec![SttsEntry { sample_count: count as u32, sample_delta: delta }];
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
            mdhd: media_header(timescale, media_duration),
            hdlr: Hdlr { handler: FourCC::new(b"vide"), name: "VideoHandler".to_owned() },
            minf: Minf { vmhd: Some(Vmhd::default()), dinf: here(), stbl, ..Minf::default() },
        },
        ..Trak::default()
    };
    Ok(Track::new(trak, samples, per_chunk, 1.0 / fps.value()))
}

/// The boxes of the sound track, its edit list skipping the priming.
pub(crate) fn audio_track<'a>(
    clock: &Clock,
    aac: &'a Aac,
    track_id: u32,
) -> Result<Track<'a>, mp4_atom::Error> {
    let rate = aac.sample_rate_hz;
    let media_duration = (aac.priming + aac.samples) as u64;
    let duration = clock.ticks(aac.samples as u64, u64::from(rate));
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
