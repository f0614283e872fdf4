//! Anything ffmpeg reads, by the ffmpeg found at run time.
//!
//! Three runs: what streams there are; one frame as y4m, whose header states size and rate exactly; then all
//! frames and all samples through a pipe, both from the beginning of the file on.

use super::{Decoder, FrameSize};
use crate::{Audio, Clip, Error, Rational, Result, Video};
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The environment variable that names ffmpeg where it is not in PATH.
pub const FFMPEG_VARIABLE: &str = "AVDIT_FFMPEG";
/// Bytes of the header of an au file that ffmpeg writes, at least.
const AU_HEADER: usize = 24;
/// How much of ffmpeg's complaints an error repeats.
const COMPLAINT_LINES: usize = 2;
/// What it says when the system could not read the file.
const UNREADABLE: &str = "Input/output error";

/// The decoder that asks ffmpeg.
#[derive(Clone, Debug)]
pub struct Ffmpeg {
    program: PathBuf,
    version: String,
    size: FrameSize,
}

impl Ffmpeg {
    /// The ffmpeg that [`FFMPEG_VARIABLE`] names, else the one in PATH; `None` if it does not run.
    pub fn find(size: FrameSize) -> Option<Self> {
        let program = std::env::var_os(FFMPEG_VARIABLE).filter(|name| !name.is_empty());
        let program = PathBuf::from(program.unwrap_or_else(|| "ffmpeg".into()));
        let said = Command::new(&program).arg("-version").stdin(Stdio::null()).output().ok()?;
        let version = version(&String::from_utf8_lossy(&said.stdout));
        said.status.success().then_some(Self { program, version, size })
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Its version, as it says.
    pub fn version(&self) -> &str {
        &self.version
    }

    fn command(&self, path: &Path, output: &[&str]) -> Command {
        let mut input = OsString::from("file:");
        input.push(path);
        let mut command = Command::new(&self.program);
        command.args([
            "-hide_banner",
            "-nostdin",
            "-nostats",
            "-xerror",
            "-protocol_whitelist",
            "file,pipe",
            "-i",
        ]);
        command.arg(input).args(output);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Feeds what ffmpeg writes to `take`.
    fn stream<T>(&self, path: &Path, output: &[&str], take: impl FnOnce(&mut dyn Read) -> T) -> Result<T> {
        let io = |source| Error::io(&self.program, source);
        let mut child = self.command(path, output).spawn().map_err(io)?;
        let stderr = child.stderr.take();
        let complaints = std::thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(mut stderr) = stderr {
                // What could not be read of a complaint is not worth another.
                let _ = stderr.read_to_end(&mut text);
            }
            String::from_utf8_lossy(&text).into_owned()
        });
        let taken = child.stdout.take().map(|mut stdout| {
            let taken = take(&mut stdout);
            // Drained, so that ffmpeg ends by itself.
            let _ = std::io::copy(&mut stdout, &mut std::io::sink());
            taken
        });
        let status = child.wait().map_err(io)?;
        let complaints = complaints.join().unwrap_or_default();
        // ffmpeg takes the end of a cut file for the end of the clip.
        let cut = complaints.lines().find(|line| line.ends_with(": partial file"));
        match taken {
            Some(_) if cut.is_some() => {
                Err(Error::undecodable(path, format!("truncated: ffmpeg: {}", cut.unwrap_or_default())))
            }
            Some(taken) if status.success() => Ok(taken),
            // Not the file's fault: what was under way is not known to fail again.
            _ if status.code().is_none() => Err(io(std::io::Error::other(format!("ended by a {status}")))),
            _ if complaints.contains(UNREADABLE) => {
                Err(Error::io(path, std::io::Error::other(last_lines(&complaints))))
            }
            _ => Err(Error::undecodable(path, format!("ffmpeg: {}", last_lines(&complaints)))),
        }
    }

    /// What ffmpeg says of the file's streams: (pictures, sound).
    fn streams(&self, path: &Path) -> Result<(bool, bool)> {
        let output = self.command(path, &[]).output().map_err(|source| Error::io(&self.program, source))?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let has = |kind: &str| {
            text.lines().any(|line| {
                let line = line.trim_start();
                line.starts_with("Stream #") && line.contains(kind) && !line.contains("(attached pic)")
            })
        };
        let found = (has(": Video: "), has(": Audio: "));
        if found == (false, false) {
            return Err(Error::undecodable(path, format!("ffmpeg: {}", last_lines(&text))));
        }
        Ok(found)
    }

    fn video(&self, path: &Path) -> Result<Video> {
        const SQUARE: &str = "scale=iw*sar:ih,setsar=1";
        let probe = [
            "-map",
            "0:V:0",
            "-frames:v",
            "1",
            "-vf",
            SQUARE,
            "-pix_fmt",
            "yuv444p",
            "-f",
            "yuv4mpegpipe",
            "-",
        ];
        let header = self.stream(path, &probe, |pipe| {
            let mut head = Vec::new();
            pipe.take(512).read_to_end(&mut head).map(|_| head)
        })?;
        let header = header.map_err(|source| Error::io(&self.program, source))?;
        let (width, height, fps) =
            y4m_header(&header).ok_or_else(|| Error::undecodable(path, "ffmpeg gave no picture"))?;
        let filter = format!("{SQUARE},fps={}/{}:start_time=0", fps.num, fps.den);
        let all = ["-map", "0:V:0", "-vf", &filter, "-pix_fmt", "rgb24", "-f", "rawvideo", "-"];
        let size = self.size;
        let (frames, size) = self.stream(path, &all, |pipe| {
            let (mut frames, mut kept) = (Vec::new(), (width, height));
            let mut frame = vec![0; width * height * 3];
            while pipe.read_exact(&mut frame).is_ok() {
                let (rgb, size) = size.bring(frame.clone(), (width, height));
                kept = size;
                frames.push(rgb);
            }
            (frames, kept)
        })?;
        if frames.is_empty() {
            return Err(Error::undecodable(path, "ffmpeg gave no picture"));
        }
        Ok(Video { width: size.0, height: size.1, fps, frames })
    }

    fn audio(&self, path: &Path) -> Result<Audio> {
        let all = [
            "-map",
            "0:a:0",
            "-ac",
            "1",
            "-af",
            "aresample=async=1:first_pts=0:rematrix_maxval=1.0",
            "-c:a",
            "pcm_f32be",
            "-f",
            "au",
            "-",
        ];
        let bytes = self.stream(path, &all, |pipe| {
            let mut bytes = Vec::new();
            pipe.read_to_end(&mut bytes).map(|_| bytes)
        })?;
        let bytes = bytes.map_err(|source| Error::io(&self.program, source))?;
        au(&bytes).ok_or_else(|| Error::undecodable(path, "ffmpeg gave no sound"))
    }
}

impl Decoder for Ffmpeg {
    fn name(&self) -> &'static str {
        "ffmpeg"
    }

    fn accepts(&self, path: &Path) -> bool {
        path.is_file()
    }

    fn decode(&self, path: &Path) -> Result<Clip> {
        let (pictures, sound) = self.streams(path)?;
        let video = pictures.then(|| self.video(path)).transpose()?;
        let audio = sound.then(|| self.audio(path)).transpose()?;
        Ok(Clip { video, audio })
    }
}

/// `4.4.2-0ubuntu0.22.04.1` of `ffmpeg version 4.4.2-0ubuntu0.22.04.1 Copyright …`; the first line if it begins otherwise.
fn version(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim();
    let word = line.strip_prefix("ffmpeg version ").and_then(|rest| rest.split_whitespace().next());
    let version = word.unwrap_or(line);
    if version.is_empty() { "of no version".to_owned() } else { version.to_owned() }
}

/// Width, height and rate of `YUV4MPEG2 W64 H64 F8:1 …`.
fn y4m_header(bytes: &[u8]) -> Option<(usize, usize, Rational)> {
    let line = bytes.split(|byte| *byte == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    if words.next()? != "YUV4MPEG2" {
        return None;
    }
    let (mut width, mut height, mut fps) = (None, None, None);
    for word in words {
        match word.split_at_checked(1)? {
            ("W", rest) => width = rest.parse().ok(),
            ("H", rest) => height = rest.parse().ok(),
            ("F", rest) => {
                let (num, den) = rest.split_once(':')?;
                fps = Some(Rational::new(num.parse().ok()?, den.parse().ok()?));
            }
            _ => {}
        }
    }
    let fps = fps.filter(|fps| fps.num > 0 && fps.den > 0)?;
    Some((width.filter(|width| *width > 0)?, height.filter(|height| *height > 0)?, fps))
}

/// Mono big-endian f32 behind the header of an au file.
fn au(bytes: &[u8]) -> Option<Audio> {
    let word = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let offset = word(4)? as usize;
    if bytes.get(..4)? != b".snd" || offset < AU_HEADER || word(12)? != 6 || word(20)? != 1 {
        return None;
    }
    let samples: Vec<f32> = bytes
        .get(offset..)?
        .chunks_exact(4)
        .map(|value| f32::from_be_bytes([value[0], value[1], value[2], value[3]]))
        .collect();
    (!samples.is_empty()).then_some(Audio { sample_rate_hz: word(16)?, samples })
}

fn last_lines(text: &str) -> String {
    let known = "At least one output file must be specified";
    let lines: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.contains(known)).collect();
    lines[lines.len().saturating_sub(COMPLAINT_LINES)..].join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_word_that_names_it() {
        let text =
            "ffmpeg version 4.4.2-0ubuntu0.22.04.1 Copyright (c) 2000-2021 the FFmpeg developers\nbuilt";
        assert_eq!(version(text), "4.4.2-0ubuntu0.22.04.1");
        assert_eq!((version("other 5\nx"), version("")), ("other 5".to_owned(), "of no version".to_owned()));
    }

    #[test]
    fn the_header_states_size_and_rate() {
        let header = b"YUV4MPEG2 W64 H48 F30000:1001 Ip A1:1 C444 XYSCSS=444\nFRAME\n";
        assert_eq!(y4m_header(header), Some((64, 48, Rational::new(30_000, 1001))));
        assert_eq!(y4m_header(b"YUV4MPEG2 W64 H48 F0:0\n"), None);
        assert_eq!(y4m_header(b""), None);
    }
}
