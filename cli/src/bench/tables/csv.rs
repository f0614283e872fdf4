//! A result as CSV (RFC 4180): one line for each row, figures unrounded, empty where there is none.

use crate::bench::result::{BenchResult, Row};
use std::fmt::Display;

/// The whole file.
pub fn csv(result: &BenchResult) -> String {
    let lines = result.rows.iter().map(columns).collect::<Vec<_>>();
    let head =
        lines.first().map_or_else(Vec::new, |line| line.iter().map(|(name, _)| name.to_string()).collect());
    let mut out = line(head.into_iter());
    for columns in lines {
        out += &line(columns.into_iter().map(|(_, value)| value));
    }
    out
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let quoted = cells.map(|cell| match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell,
    });
    quoted.collect::<Vec<_>>().join(",") + "\r\n"
}

fn columns(row: &Row) -> Vec<(&'static str, String)> {
    fn of<T: Display>(value: Option<T>) -> String {
        value.map_or(String::new(), |value| value.to_string())
    }
    let m = row.measured.as_ref();
    let step = m.map(|m| m.step_ms);
    let roofline = m.and_then(|m| m.roofline);
    let decode = m.and_then(|m| m.decode);
    let device = m.and_then(|m| m.device.as_ref());
    let memory = m.map(|m| m.memory);
    vec![
        ("model", row.model.name.clone()),
        ("precision", of(row.model.precision)),
        ("engine", row.engine.clone()),
        ("engine_version", of(m.map(|m| &m.opened.version))),
        ("batch", row.sampling.batch.to_string()),
        ("threads", row.threads.to_string()),
        ("sampler", row.sampling.sampler.clone()),
        ("steps", row.sampling.steps.to_string()),
        ("task", row.sampling.task.clone()),
        ("guidance", row.sampling.guidance.to_string()),
        ("runs", of(m.map(|m| m.runs))),
        ("step_p50_ms", of(step.map(|s| s.p50))),
        ("step_p90_ms", of(step.map(|s| s.p90))),
        ("step_p99_ms", of(step.map(|s| s.p99))),
        ("step_mean_ms", of(step.map(|s| s.mean))),
        ("step_min_ms", of(step.map(|s| s.min))),
        ("step_max_ms", of(step.map(|s| s.max))),
        ("step_cv", of(step.map(|s| s.cv))),
        ("network_p50_ms", of(m.map(|m| m.network_ms.p50))),
        ("copies_p50_ms", of(m.map(|m| m.copies_ms.p50))),
        ("sampler_p50_ms", of(m.map(|m| m.sampler_ms.p50))),
        ("overhead", of(m.map(|m| m.overhead))),
        ("cpu_ms_per_step", of(m.map(|m| m.cpu_ms_per_step))),
        ("threads_busy", of(m.map(|m| m.threads_busy))),
        ("steps_per_s", of(m.map(|m| m.steps_per_s))),
        ("clips_per_s", of(m.map(|m| m.clips_per_s))),
        ("clip_seconds_per_s", of(m.and_then(|m| m.clip_seconds_per_s))),
        ("decode_video_ms", of(decode.map(|d| d.video_ms))),
        ("decode_audio_ms", of(decode.map(|d| d.audio_ms))),
        ("library_load_ms", of(m.and_then(|m| m.opened.library_load_ms))),
        ("load_ms", of(m.map(|m| m.opened.load_ms))),
        ("session_ms", of(m.map(|m| m.opened.session_ms))),
        ("engine_build_ms", of(m.and_then(|m| m.opened.engine_build_ms))),
        ("first_step_ms", of(m.map(|m| m.opened.first_step_ms))),
        ("weights_bytes", of(row.model.bytes)),
        ("open_peak_bytes", of(memory.and_then(|m| m.open_peak_bytes))),
        ("run_peak_bytes", of(memory.and_then(|m| m.run_peak_bytes))),
        ("above_weights_bytes", of(memory.and_then(|m| m.above_weights_bytes))),
        ("device_peak_bytes", of(device.and_then(|d| d.peak_memory_bytes))),
        ("joules_per_clip", of(device.and_then(|d| d.joules_per_clip))),
        ("gflop_per_step", of(roofline.map(|r| r.gflop))),
        ("reached_gflop_per_s", of(roofline.map(|r| r.reached_gflop_per_s))),
        ("matmul_gflop_per_s", of(roofline.map(|r| r.matmul_gflop_per_s))),
        ("share_of_matmul", of(roofline.map(|r| r.share_of_matmul))),
        ("share_of_matmul_cpu", of(roofline.and_then(|r| r.share_of_matmul_cpu))),
        ("share_of_bound", of(roofline.map(|r| r.share_of_bound))),
        ("failed", of(row.failed.as_ref().map(|failed| &failed.reason))),
        ("exit_code", of(row.failed.as_ref().map(|failed| failed.exit_code))),
        ("notes", row.notes.join("; ")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::sample;

    /// RFC 4180, as strictly as it is written.
    fn parse(text: &str) -> Vec<Vec<String>> {
        let (mut rows, mut row, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match (c, quoted) {
                ('"', true) if chars.peek() == Some(&'"') => cell.extend(chars.next()),
                ('"', _) => quoted = !quoted,
                (',', false) => row.push(std::mem::take(&mut cell)),
                ('\r', false) => {
                    assert_eq!(chars.next(), Some('\n'));
                    row.push(std::mem::take(&mut cell));
                    rows.push(std::mem::take(&mut row));
                }
                _ => cell.push(c),
            }
        }
        assert!(cell.is_empty() && row.is_empty() && !quoted);
        rows
    }

    #[test]
    fn csv_can_be_read_back() {
        let result = sample::result();
        let rows = parse(&csv(&result));
        assert_eq!(rows.len(), 4);
        let at = |row: usize, name: &str| {
            let column = rows[0].iter().position(|head| head == name).unwrap();
            rows[row][column].clone()
        };
        assert!(rows.iter().all(|row| row.len() == rows[0].len()));
        let p50 = result.rows[1].measured.as_ref().unwrap().step_ms.p50;
        assert_eq!((at(2, "engine"), at(2, "step_p50_ms").parse()), ("tract".into(), Ok(p50)));
        // No figure for what did not run, and its reason with the quotes that it had.
        assert_eq!(at(3, "step_p50_ms"), "");
        assert_eq!(at(3, "failed"), "ort-cuda cannot run here: <no> \"GPU\"");
        assert_eq!(at(3, "exit_code"), "5");
    }
}
