//! H.264 access units to pictures, by OpenH264.

use super::FrameSize;
use crate::yuv::{ColorMatrix, PlanesRef, to_rgb};
use crate::{Error, Result, grid};
use h264_reader::nal::sps::{ChromaFormat, FrameMbsFlags, SeqParameterSet};
use h264_reader::rbsp::{BitReader, decode_nal};
use mp4_atom::{Avcc, Colr};
use openh264::OpenH264API;
use openh264::decoder::{DecodedYUV, Decoder, DecoderConfig, Flush};
use openh264::formats::YUVSource;
use std::path::{Path, PathBuf};

const START_CODE: [u8; 4] = [0, 0, 0, 1];
/// The largest picture OpenH264 takes.
const LARGEST_PIXELS: usize = 4096 * 2304;

/// Decoded frames in the order of presentation.
pub(crate) struct Decoded {
    pub(crate) size: (usize, usize),
    pub(crate) frames: Vec<Vec<u8>>,
}

/// A decoder that is being fed.
pub(crate) struct Stream {
    path: PathBuf,
    decoder: Decoder,
    /// Bytes of the length before each NAL unit.
    length_bytes: usize,
    /// Parameter sets with start codes, to go before the first access unit.
    header: Vec<u8>,
    sink: Sink,
}

/// Where decoded pictures are kept.
struct Sink {
    matrix: ColorMatrix,
    size: FrameSize,
    rotation: u8,
    kept: Option<(usize, usize)>,
    frames: Vec<Vec<u8>>,
    damage: Option<String>,
}

impl Stream {
    pub(crate) fn new(
        path: &Path,
        avcc: &Avcc,
        colr: Option<&Colr>,
        size: FrameSize,
        rotation: u8,
    ) -> Result<Self> {
        let sps = avcc
            .sequence_parameter_sets
            .first()
            .ok_or_else(|| Error::undecodable(path, "the pictures have no sequence parameters"))?;
        let sps =
            parse(sps).ok_or_else(|| Error::undecodable(path, "the sequence parameters are damaged"))?;
        check(path, &sps)?;
        let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
        let decoder = Decoder::with_api_config(OpenH264API::from_source(), config)
            .map_err(|error| Error::undecodable(path, format!("H.264 decoder: {error}")))?;
        let mut header = Vec::new();
        for set in avcc.sequence_parameter_sets.iter().chain(&avcc.picture_parameter_sets) {
            header.extend(START_CODE);
            header.extend(set);
        }
        let matrix = color_matrix(&sps, colr);
        let sink = Sink { matrix, size, rotation, kept: None, frames: Vec::new(), damage: None };
        Ok(Self { path: path.to_owned(), decoder, length_bytes: usize::from(avcc.length_size), header, sink })
    }

    /// Decodes one access unit as mp4 stores it.
    pub(crate) fn push(&mut self, sample: &[u8]) -> Result<()> {
        let mut annex_b = std::mem::take(&mut self.header);
        let mut rest = sample;
        while !rest.is_empty() {
            let damaged =
                || Error::undecodable(&self.path, "a picture is damaged: its parts are longer than it is");
            let (length, tail) = rest.split_at_checked(self.length_bytes).ok_or_else(damaged)?;
            let length = length.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
            let (nal, tail) = tail.split_at_checked(length).ok_or_else(damaged)?;
            if !nal.is_empty() {
                annex_b.extend(START_CODE);
                annex_b.extend(nal);
            }
            rest = tail;
        }
        match self.decoder.decode(&annex_b) {
            Ok(Some(picture)) => self.sink.keep(&picture),
            Ok(None) => {}
            Err(error) => return Err(Error::undecodable(&self.path, format!("H.264 decoder: {error}"))),
        }
        self.sink.check(&self.path)
    }

    /// All pictures, which must be `expected`.
    pub(crate) fn finish(mut self, expected: usize) -> Result<Decoded> {
        let rest = self
            .decoder
            .flush_remaining()
            .map_err(|error| Error::undecodable(&self.path, format!("H.264 decoder: {error}")))?;
        rest.iter().for_each(|picture| self.sink.keep(picture));
        drop(rest);
        self.sink.check(&self.path)?;
        let got = self.sink.frames.len();
        match self.sink.kept {
            Some(size) if got == expected => Ok(Decoded { size, frames: self.sink.frames }),
            _ => {
                Err(super::unsupported(&self.path, &format!("of {expected} pictures {got} could be decoded")))
            }
        }
    }
}

impl Sink {
    fn keep(&mut self, picture: &DecodedYUV<'_>) {
        let (width, height) = picture.dimensions();
        let (y, u, v) = picture.strides();
        let source =
            PlanesRef { width, height, planes: [picture.y(), picture.u(), picture.v()], strides: [y, u, v] };
        if !source.is_whole() {
            self.damage = Some(format!("a picture is {width} × {height} with fewer pixels"));
            return;
        }
        let rgb = to_rgb(&source, self.matrix);
        let (rgb, size) = grid::turn(rgb, (width, height), self.rotation);
        let (rgb, size) = self.size.bring(rgb, size);
        if *self.kept.get_or_insert(size) == size {
            self.frames.push(rgb);
        } else {
            self.damage = Some("the pictures change their size".to_owned());
        }
    }

    fn check(&self, path: &Path) -> Result<()> {
        self.damage.as_ref().map_or(Ok(()), |what| Err(Error::undecodable(path, what.as_str())))
    }
}

fn parse(sps: &[u8]) -> Option<SeqParameterSet> {
    SeqParameterSet::from_bits(BitReader::new(decode_nal(sps).ok()?.as_ref())).ok()
}

/// What OpenH264 cannot decode, or would decode to garbage, is refused by name.
fn check(path: &Path, sps: &SeqParameterSet) -> Result<()> {
    let chroma = &sps.chroma_info;
    if chroma.bit_depth_luma_minus8 > 0 || chroma.bit_depth_chroma_minus8 > 0 {
        return Err(super::unsupported(
            path,
            &format!("the pictures have {} bits", chroma.bit_depth_luma_minus8 + 8),
        ));
    }
    if chroma.chroma_format != ChromaFormat::YUV420 {
        return Err(super::unsupported(
            path,
            &format!("the pictures are {:?}, not YUV420", chroma.chroma_format),
        ));
    }
    if !matches!(sps.frame_mbs_flags, FrameMbsFlags::Frames) {
        return Err(super::unsupported(path, "the pictures are interlaced"));
    }
    let (width, height) = sps
        .pixel_dimensions()
        .map_err(|_| Error::undecodable(path, "the sequence parameters are damaged"))?;
    if width as usize * height as usize > LARGEST_PIXELS {
        return Err(super::unsupported(path, &format!("the pictures are {width} × {height}")));
    }
    Ok(())
}

/// From the file, else from the stream, else BT.601 as players do.
fn color_matrix(sps: &SeqParameterSet, colr: Option<&Colr>) -> ColorMatrix {
    let signal = sps.vui_parameters.as_ref().and_then(|vui| vui.video_signal_type.as_ref());
    let stream = signal.map(|signal| {
        let code = signal.colour_description.as_ref().map_or(2, |color| u64::from(color.matrix_coefficients));
        (code, signal.video_full_range_flag)
    });
    let file = match colr {
        Some(Colr::Nclx { matrix_coefficients, full_range_flag, .. }) => {
            Some((u64::from(*matrix_coefficients), *full_range_flag))
        }
        Some(Colr::Nclc { matrix_coefficients, .. }) => {
            Some((u64::from(*matrix_coefficients), stream.is_some_and(|(_, full)| full)))
        }
        _ => None,
    };
    let full_range = file.or(stream).is_some_and(|(_, full)| full);
    [file, stream]
        .into_iter()
        .flatten()
        .find_map(|(code, _)| ColorMatrix::from_code(code, full_range))
        .or(ColorMatrix::from_code(6, full_range))
        .unwrap_or(ColorMatrix::BT601)
}
