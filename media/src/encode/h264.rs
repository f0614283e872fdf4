//! Pictures to H.264 access units, by OpenH264.

use crate::yuv::{ColorMatrix, Planes, to_yuv};
use crate::{Error, Result, Video};
use openh264::OpenH264API;
use openh264::encoder::{
    BitRate, Encoder, EncoderConfig, FrameRate, FrameType, IntraFramePeriod, QpRange, RateControlMode,
    VuiConfig,
};
use openh264::formats::YUVSource;
use std::path::Path;

/// Quantisers low enough for no loss to be seen; OpenH264 allows none below 12.
const QUANTISERS: (u8, u8) = (12, 14);
/// The bit rate from which the level follows; the quantisers alone decide what is used.
const BITS_PER_PIXEL: f64 = 4.0;
const LEAST_BIT_RATE_BPS: f64 = 400_000.0;
/// A player seeks to every such frame.
const FRAMES_BETWEEN_KEYFRAMES: u32 = 48;

/// An encoded picture track.
pub(crate) struct H264 {
    pub(crate) width: u16,
    pub(crate) height: u16,
    pub(crate) sps: Vec<u8>,
    pub(crate) pps: Vec<u8>,
    /// One a frame, each NAL unit behind its length in four bytes.
    pub(crate) units: Vec<AccessUnit>,
}

/// One encoded frame.
pub(crate) struct AccessUnit {
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_keyframe: bool,
}

impl YUVSource for Planes {
    fn dimensions(&self) -> (usize, usize) {
        (self.width, self.height)
    }
    fn strides(&self) -> (usize, usize, usize) {
        (self.width, self.width / 2, self.width / 2)
    }
    fn y(&self) -> &[u8] {
        &self.y
    }
    fn u(&self) -> &[u8] {
        &self.u
    }
    fn v(&self) -> &[u8] {
        &self.v
    }
}

/// Encodes all frames of `video`, one access unit each; `path` is for the errors alone.
pub(crate) fn encode(path: &Path, video: &Video) -> Result<H264> {
    let (width, height) = (video.width, video.height);
    let refuse = |what: String| Error::unencodable(path, what);
    if width % 2 == 1 || height % 2 == 1 {
        return Err(refuse(format!(
            "pictures are {width} × {height}, H.264 4:2:0 holds even sizes alone\n\nhint: an even scale makes any size even"
        )));
    }
    if width < 16 || height < 16 || width.max(height) > 3840 || width.min(height) > 2160 {
        return Err(refuse(format!("pictures are {width} × {height}, expected 16 × 16 to 3840 × 2160")));
    }
    let pixels_per_s = (width * height) as f64 * video.fps.value();
    let bit_rate_bps = (pixels_per_s * BITS_PER_PIXEL).clamp(LEAST_BIT_RATE_BPS, 200e6) as u32;
    let config = EncoderConfig::new()
        .rate_control_mode(RateControlMode::Bufferbased)
        .bitrate(BitRate::from_bps(bit_rate_bps))
        .qp(QpRange::new(QUANTISERS.0, QUANTISERS.1))
        .max_frame_rate(FrameRate::from_hz(video.fps.value() as f32))
        .skip_frames(false)
        .adaptive_quantization(false)
        .background_detection(false)
        .scene_change_detect(false)
        .intra_frame_period(IntraFramePeriod::from_num_frames(FRAMES_BETWEEN_KEYFRAMES))
        .num_threads(1)
        .vui(VuiConfig::bt709());
    let failed = |error: openh264::Error| refuse(format!("H.264 encoder: {error}"));
    let mut encoder = Encoder::with_api_config(OpenH264API::from_source(), config).map_err(failed)?;
    let mut track = H264 {
        width: width as u16,
        height: height as u16,
        sps: Vec::new(),
        pps: Vec::new(),
        units: Vec::new(),
    };
    for (index, frame) in video.frames.iter().enumerate() {
        let planes = to_yuv(frame, width, height, ColorMatrix::BT709);
        let encoded = encoder.encode(&planes).map_err(failed)?;
        let kind = encoded.frame_type();
        if !matches!(kind, FrameType::IDR | FrameType::I | FrameType::P) {
            return Err(refuse(format!("H.264 encoder: frame {index} became {kind:?}, not a picture")));
        }
        track.push(&encoded.to_vec(), kind == FrameType::IDR);
    }
    if track.sps.is_empty() || track.pps.is_empty() {
        return Err(refuse("H.264 encoder: no parameter sets".to_owned()));
    }
    Ok(track)
}

impl H264 {
    /// Takes an access unit with start codes; parameter sets go to the header, the rest behind its lengths.
    fn push(&mut self, annex_b: &[u8], is_keyframe: bool) {
        let mut bytes = Vec::with_capacity(annex_b.len());
        for nal in openh264::nal_units(annex_b) {
            let nal = strip_start_code(nal);
            match nal.first().map(|header| header & 0x1f) {
                Some(7) => self.sps = nal.to_vec(),
                Some(8) => self.pps = nal.to_vec(),
                Some(_) => {
                    bytes.extend((nal.len() as u32).to_be_bytes());
                    bytes.extend(nal);
                }
                None => {}
            }
        }
        self.units.push(AccessUnit { bytes, is_keyframe });
    }
}

fn strip_start_code(nal: &[u8]) -> &[u8] {
    let zeros = nal.iter().take_while(|byte| **byte == 0).count();
    if zeros >= 2 && nal.get(zeros) == Some(&1) { &nal[zeros + 1..] } else { nal }
}
