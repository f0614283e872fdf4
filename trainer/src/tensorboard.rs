//! Event files that TensorBoard reads: `RUN/tensorboard/events.out.tfevents.*`.
//!
//! Such a file is a sequence of TFRecords (length, its masked CRC-32C, the bytes, theirs), each a protobuf `Event`. Of
//! that message only what scalars need is here, under the field numbers of TensorFlow's `event.proto` and
//! `summary.proto`.

mod record;
mod scalars;

use crate::error::{Error, Result};
use crate::metrics::StepMetrics;
use avdit_media::atomic::write_bytes_atomically;
use prost::Message;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The folder in a run's folder.
pub const FOLDER: &str = "tensorboard";
/// How the name of an event file begins; TensorBoard looks for it.
const PREFIX: &str = "events.out.tfevents.";
/// What the first event of a file says.
const VERSION: &str = "brain.Event:2";

#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// The event file of a run that is going on.
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Begins a new file for the steps after `step`; whatever earlier files say of later steps goes, so that no step is
    /// told twice.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub fn begin(run: &Path, step: usize) -> Result<Self> {
        let folder = run.join(FOLDER);
        std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        drop_after(&folder, step)?;
        // TensorBoard reads the files of a folder in the order of their names.
        let path = folder.join(format!("{PREFIX}{:010}.{step:09}.avdit", now() as u64));
        let file = File::create(&path).map_err(Error::io(&path))?;
        let mut events = Self { path, file };
        let version = Some(VERSION.to_owned());
        events.append(Event { wall_time: now(), file_version: version, ..Event::default() })?;
        Ok(events)
    }

    /// Appends the scalars of a step, as one record.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub fn write(&mut self, metrics: &StepMetrics) -> Result<()> {
        let value = scalars::of(metrics);
        let value = value.into_iter().map(|(tag, value)| Value { tag, simple_value: Some(value as f32) });
        let summary = Some(Summary { value: value.collect() });
        self.append(Event { wall_time: now(), step: metrics.step as i64, summary, file_version: None })
    }

    fn append(&mut self, event: Event) -> Result<()> {
        self.file.write_all(&record::frame(&event.encode_to_vec())).map_err(Error::io(&self.path))
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Drops events past a step from the event files of this writer; a file in which none is left goes.
fn drop_after(folder: &Path, step: usize) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !(name.starts_with(PREFIX) && name.ends_with(".avdit")) {
            continue;
        }
        let bytes = std::fs::read(&path).map_err(Error::io(&path))?;
        // What a crash cut off ends the file.
        let stays = |payload: &&[u8]| Event::decode(*payload).is_ok_and(|event| event.step <= step as i64);
        let kept: Vec<&[u8]> = record::payloads(&bytes).filter(stays).collect();
        if kept.len() < 2 {
            std::fs::remove_file(&path).map_err(Error::io(&path))?;
            continue;
        }
        let kept: Vec<u8> = kept.into_iter().flat_map(record::frame).collect();
        if kept.len() < bytes.len() {
            write_bytes_atomically(&path, &kept)?;
        }
    }
    Ok(())
}
