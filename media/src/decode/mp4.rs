//! mp4 and mov, with nothing but this crate: H.264 pictures, AAC-LC sound, edit lists honoured.

use super::demux::{Movie, Track};
use super::{Decoder, FrameSize, aac, h264, timeline};
use crate::{Audio, Clip, Error, Result, Video};
use mp4_atom::Codec;
use std::path::Path;

/// The built-in decoder of mp4 and mov.
///
/// It reads H.264 in 8-bit 4:2:0, progressive (baseline, main and high profiles, B-frames included), and AAC-LC
/// in mono or stereo; fragmented files and several edits of a track are beyond it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mp4 {
    /// What size frames are kept in.
    pub size: FrameSize,
}

impl Decoder for Mp4 {
    fn name(&self) -> &'static str {
        "mp4"
    }

    fn accepts(&self, path: &Path) -> bool {
        super::has_extension(path, &["mp4", "m4v", "mov", "m4a"])
    }

    fn decode(&self, path: &Path) -> Result<Clip> {
        let mut movie = Movie::open(path)?;
        let pictures = movie.track(b"vide");
        let sound = movie.track(b"soun");
        if pictures.is_none() && sound.is_none() {
            return Err(Error::undecodable(path, "neither a picture nor a sound track"));
        }
        let video = pictures.map(|track| decode_video(path, &mut movie, &track, self.size)).transpose()?;
        let audio = sound.map(|track| decode_audio(path, &mut movie, &track)).transpose()?;
        Ok(align(video, audio))
    }
}

/// A track and when its first frame or sample is presented, in seconds.
struct Placed<T> {
    media: T,
    starts_s: f64,
}

fn decode_video(path: &Path, movie: &mut Movie, track: &Track, size: FrameSize) -> Result<Placed<Video>> {
    let Codec::Avc1(entry) = track.codec()? else {
        return Err(super::unsupported(path, &format!("the pictures are {}", track.codec_name())));
    };
    if let Some(pixel) = entry.pasp.as_ref().filter(|pixel| pixel.h_spacing != pixel.v_spacing) {
        let what = format!("the pixels are not square ({}:{})", pixel.h_spacing, pixel.v_spacing);
        return Err(super::unsupported(path, &what));
    }
    let mut stream = h264::Stream::new(path, &entry.avcc, entry.colr.as_ref(), size, track.rotation())?;
    let samples = movie.samples(track)?;
    for sample in &samples {
        stream.push(&movie.read(sample)?)?;
    }
    let decoded = stream.finish(samples.len())?;

    // The decoder gives frames in the order of presentation, so the sorted times are theirs.
    let mut times: Vec<(i64, u64)> =
        samples.iter().map(|sample| (sample.presented, sample.duration)).collect();
    times.sort_unstable();
    let window = movie.window(track)?;
    let kept: Vec<usize> = (0..times.len())
        .filter(|&index| {
            let (start, duration) = times[index];
            let middle = start + duration as i64 / 2;
            middle >= window.begin && window.end.is_none_or(|end| middle < end)
        })
        .collect();
    let (Some(&first), Some(&last)) = (kept.first(), kept.last()) else {
        return Err(Error::undecodable(path, "the edit list leaves no picture"));
    };
    let origin = times[first].0;
    let starts: Vec<u64> = kept.iter().map(|&index| (times[index].0 - origin) as u64).collect();
    let end = (times[last].0 - origin) as u64 + times[last].1.max(1);
    let rate = timeline::constant_rate(&starts, end, track.timescale())
        .ok_or_else(|| Error::undecodable(path, "two pictures share a time"))?;
    let (width, height) = decoded.size;
    let mut frames: Vec<Option<Vec<u8>>> = decoded.frames.into_iter().map(Some).collect();
    let shown: Vec<usize> = rate.shows.iter().map(|&shown| kept[shown]).collect();
    let frames = (0..shown.len())
        .map(|index| {
            let frame = &mut frames[shown[index]];
            // A frame shown again is copied, its last showing takes it.
            if shown.get(index + 1) == Some(&shown[index]) { frame.clone() } else { frame.take() }
        })
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| Error::undecodable(path, "two pictures share a time"))?;
    let starts_s = window.delay_s + (origin - window.begin) as f64 / f64::from(track.timescale());
    Ok(Placed { media: Video { width, height, fps: rate.fps, frames }, starts_s })
}

fn decode_audio(path: &Path, movie: &mut Movie, track: &Track) -> Result<Placed<Audio>> {
    let Codec::Mp4a(entry) = track.codec()? else {
        return Err(super::unsupported(path, &format!("the sound is {}", track.codec_name())));
    };
    let mut stream = aac::Stream::new(path, &entry.esds.es_desc.dec_config)?;
    let samples = movie.samples(track)?;
    for sample in &samples {
        stream.push(&movie.read(sample)?)?;
    }
    let mut audio = stream.finish()?;
    let window = movie.window(track)?;
    let rate = f64::from(audio.sample_rate_hz) / f64::from(track.timescale());
    let at = |ticks: i64| (ticks.max(0) as f64 * rate).round() as usize;
    let media_end = samples.last().map_or(0, |last| last.presented + last.duration as i64);
    let end = at(window.end.map_or(media_end, |end| end.min(media_end))).min(audio.samples.len());
    let begin = at(window.begin).min(end);
    audio.samples.truncate(end);
    audio.samples.drain(..begin);
    Ok(Placed { media: audio, starts_s: window.delay_s })
}

/// Both from the first picture on: sound before it is cut, missing sound is silence.
fn align(video: Option<Placed<Video>>, audio: Option<Placed<Audio>>) -> Clip {
    let audio = audio.map(|mut audio| {
        let begin = video.as_ref().map_or(audio.starts_s, |video| video.starts_s);
        let late = ((audio.starts_s - begin) * f64::from(audio.media.sample_rate_hz)).round();
        if late > 0.0 {
            audio.media.samples.splice(..0, std::iter::repeat_n(0.0, late as usize));
        } else {
            let early = (-late as usize).min(audio.media.samples.len());
            audio.media.samples.drain(..early);
        }
        audio.media
    });
    Clip { video: video.map(|video| video.media), audio: audio.filter(|audio| !audio.samples.is_empty()) }
}
