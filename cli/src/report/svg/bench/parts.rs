//! Parts of a step: network, copies and sampler end to end, and below them all but the network, enlarged.

use super::super::super::format::{milliseconds, percent};
use super::super::{Drawing, Scale};
use super::{LEFT, RIGHT};

const ROW: f64 = 62.0;

/// A case; medians in milliseconds.
pub(in super::super::super) struct Parts {
    pub(in super::super::super) label: String,
    pub(in super::super::super) network: f64,
    pub(in super::super::super) copies: f64,
    pub(in super::super::super) sampler: f64,
}

impl Parts {
    fn rest(&self) -> f64 {
        self.copies + self.sampler
    }

    fn whole(&self) -> f64 {
        self.network + self.rest()
    }
}

/// The chart; empty without cases.
pub(in super::super::super) fn parts_chart(cases: &[Parts]) -> String {
    if cases.is_empty() {
        return String::new();
    }
    let whole = Scale::covering(cases.iter().map(Parts::whole), Some(0.0), LEFT, RIGHT);
    let rest = Scale::covering(cases.iter().map(Parts::rest), Some(0.0), LEFT, RIGHT);
    let mut drawing = Drawing::new(720.0, cases.len() as f64 * ROW);
    let mut words = Vec::new();
    for (i, case) in cases.iter().enumerate() {
        let top = i as f64 * ROW;
        drawing.text(LEFT, top + 15.0, "task", "start", &case.label);
        let all = [("network", case.network), ("copies", case.copies), ("sampler", case.sampler)];
        let end = stack(&mut drawing, &whole, top + 21.0, 14.0, &all);
        drawing.text(end + 8.0, top + 32.0, "value", "start", &milliseconds(case.whole()));
        let end = stack(&mut drawing, &rest, top + 38.0, 10.0, &all[1..]);
        let share = percent(case.rest() / case.whole());
        let text = format!("{} ({share})", milliseconds(case.rest()));
        drawing.text(end + 8.0, top + 47.0, "tick", "start", &text);
        words.push(format!("{} {share}", case.label));
    }
    drawing.finish("chart", &format!("All but the network, of a step: {}", words.join(", ")))
}

/// Parts end to end; where the last one ends.
fn stack(drawing: &mut Drawing, x: &Scale, y: f64, height: f64, parts: &[(&str, f64)]) -> f64 {
    let (mut from, mut sum) = (x.from, 0.0);
    for (class, value) in parts {
        sum += value;
        let Some(to) = x.at(sum) else { continue };
        let width = (to - from).max(0.0);
        drawing.add(format_args!(
            "<rect class=\"part-{class}\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.0}\"/>"
        ));
        from = from.max(to);
    }
    from
}
