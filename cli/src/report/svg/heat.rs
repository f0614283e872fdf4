//! A table of numbers as a field of colour: rows from the bottom up, columns over training steps; the fuller, the more.

use super::super::format::{count, significant};
use super::{Drawing, escape};

const LEFT: f64 = 84.0;
const RIGHT: f64 = 700.0;
const ROW: f64 = 20.0;

/// The chart of `rows` (name, values) over stretches of steps; empty without a finite value.
pub(in super::super) fn heat_chart(
    class: &str,
    what: &str,
    row_title: &str,
    stretches: &[(usize, usize)],
    rows: &[(String, Vec<Option<f64>>)],
) -> String {
    let known = || {
        rows.iter().flat_map(|(_, row)| row.iter().flatten().copied()).filter(|v| v.is_finite() && *v > 0.0)
    };
    let (low, high) = known().fold((f64::INFINITY, 0.0f64), |(l, h), v| (l.min(v), h.max(v)));
    if stretches.is_empty() || low > high {
        return String::new();
    }
    let bottom = 24.0 + rows.len() as f64 * ROW;
    let mut drawing = Drawing::new(720.0, bottom + 44.0);
    drawing.text(LEFT - 64.0, 14.0, "title", "start", row_title);
    let width = (RIGHT - LEFT) / stretches.len() as f64;
    // Equal steps of colour for equal ratios: losses of high and of low levels differ by powers of ten.
    let fill = |value: f64| {
        let span = (high / low).ln();
        let share = if span > 0.0 { (value.max(low) / low).ln() / span } else { 1.0 };
        0.06 + 0.94 * share.clamp(0.0, 1.0)
    };
    for (i, (name, values)) in rows.iter().enumerate() {
        let y = bottom - (i + 1) as f64 * ROW;
        drawing.text(LEFT - 8.0, y + 14.0, "tick", "end", name);
        for (column, value) in values.iter().enumerate() {
            let Some(value) = value.filter(|value| value.is_finite()) else { continue };
            let (from, to) = stretches.get(column).copied().unwrap_or_default();
            let title = escape(&format!("{name}, steps {from}–{to}: {}", significant(value, 3)));
            drawing.add(format_args!(
                "<rect class=\"{class}\" fill-opacity=\"{:.2}\" x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{title}</title></rect>",
                fill(value),
                LEFT + column as f64 * width,
                (width - 0.5).max(0.5),
                ROW - 1.0,
            ));
        }
    }
    let ends = stretches.first().zip(stretches.last());
    if let Some(((first, _), (_, last))) = ends {
        drawing.text(LEFT, bottom + 16.0, "tick", "start", &count(*first as u64));
        drawing.text(RIGHT, bottom + 16.0, "tick", "end", &count(*last as u64));
    }
    drawing.text((LEFT + RIGHT) / 2.0, bottom + 36.0, "title", "middle", "training step");
    let (low, high) = (significant(low, 3), significant(high, 3));
    drawing.text(RIGHT, 14.0, "tick", "end", &format!("{what}: pale {low}, full {high}"));
    drawing.finish("chart heat", &format!("{what} by {row_title} over training, from {low} to {high}"))
}
