//! The log of a run as points to draw.

use crate::report::data::LossPoint;
use crate::report::svg::Curve;
use crate::run::log::Line;

/// A field of the log over its steps; no number where a line lacks it.
pub(super) fn curve(lines: &[Line], class: &str, label: &str, field: fn(&Line) -> Option<f64>) -> Curve {
    let point = |line: &Line| (line.step as f64, field(line).unwrap_or(f64::NAN));
    Curve { class: class.to_owned(), label: label.to_owned(), points: lines.iter().map(point).collect() }
}

/// Both terms of the loss, and the learning rate.
pub(super) fn loss_points(lines: &[Line]) -> Vec<LossPoint> {
    let point = |line: &Line| LossPoint {
        step: line.step,
        video: line.loss_video.unwrap_or(f64::NAN),
        audio: line.loss_audio.unwrap_or(f64::NAN),
        learning_rate: line.lr,
    };
    lines.iter().map(point).collect()
}
