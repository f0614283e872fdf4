//! Agreement of matched and shuffled pairs and their difference: dots with intervals, and the line of zero.

use super::super::data::{Agreement, Interval};
use super::super::format::signed;
use super::{Drawing, Scale};

const ROW: f64 = 28.0;
const GAP: f64 = 34.0;
const TOP: f64 = 8.0;

/// The chart; empty without tasks.
pub(in super::super) fn agreement_chart(agreements: &[Agreement]) -> String {
    if agreements.is_empty() {
        return String::new();
    }
    let rows = |a: &Agreement| {
        [
            ("matched", "own sound", a.matched),
            ("shuffled", "other clips' sounds", a.shuffled),
            ("difference", "difference", a.difference),
        ]
    };
    let ends = agreements.iter().flat_map(|a| rows(a).map(|(.., i)| [i.mean, i.low, i.high])).flatten();
    let ceilings = agreements.iter().filter_map(|a| a.ceiling);
    let x = Scale::covering(ends.chain(ceilings).chain([1.0]), Some(-0.2), 176.0, 640.0).rounded();
    let bottom = TOP + agreements.len() as f64 * (GAP + 3.0 * ROW) + 4.0;
    let mut drawing = Drawing::new(720.0, bottom + 46.0);
    for tick in x.ticks() {
        if let Some(at) = x.at(tick) {
            drawing.line(if tick == 0.0 { "zero" } else { "grid" }, (at, TOP + 12.0), (at, bottom));
            drawing.text(at, bottom + 18.0, "tick", "middle", &super::tick_label(tick, &x));
        }
    }
    drawing.text((x.from + x.to) / 2.0, bottom + 38.0, "title", "middle", "agreement (1: perfect, 0: none)");
    let mut words = Vec::new();
    for (i, agreement) in agreements.iter().enumerate() {
        let top = TOP + i as f64 * (GAP + 3.0 * ROW);
        drawing.text(0.0, top + 24.0, "task", "start", &agreement.task);
        for (row, (class, name, interval)) in rows(agreement).into_iter().enumerate() {
            let y = top + GAP + (row as f64 + 0.5) * ROW;
            drawing.text(164.0, y + 4.0, "row", "end", name);
            interval_row(&mut drawing, &x, y, class, interval);
            words.push(format!("{} {name} {}", agreement.task, signed(interval.mean)));
        }
        if let Some(at) = agreement.ceiling.and_then(|ceiling| x.at(ceiling)) {
            drawing.line("ceiling", (at, top + GAP), (at, top + GAP + ROW));
        }
    }
    drawing.finish("chart agreement", &format!("Agreement of sight and sound: {}", words.join(", ")))
}

fn interval_row(drawing: &mut Drawing, x: &Scale, y: f64, class: &str, interval: Interval) {
    if let (Some(low), Some(high)) = (x.at(interval.low), x.at(interval.high)) {
        drawing.line(&format!("{class} bar"), (low, y), (high, y));
    }
    if let Some(mean) = x.at(interval.mean) {
        drawing.add(format_args!("<circle class=\"{class} dot\" cx=\"{mean:.1}\" cy=\"{y:.1}\" r=\"5\"/>"));
    }
    drawing.text(652.0, y + 4.0, "value", "start", &signed(interval.mean));
}
