//! Quality against time: sets of units as points.

use super::super::format::significant;
use super::{Drawing, Scale, escape};

/// A set of units.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Set {
    pub(in super::super) units: usize,
    pub(in super::super) chosen: bool,
    /// Time over the source's.
    pub(in super::super) ratio: f64,
    /// The worst trajectory, in decibels.
    pub(in super::super) db: f64,
}

/// The chart; empty without a finite point.
pub(in super::super) fn quality_chart(sets: &[Set], budget_db: f64) -> String {
    let known = || sets.iter().filter(|set| set.ratio.is_finite() && set.db.is_finite());
    if known().next().is_none() {
        return String::new();
    }
    let x = Scale::covering(known().map(|set| set.ratio), Some(1.0), 64.0, 660.0).rounded();
    let y = Scale::covering(known().map(|set| set.db), Some(budget_db), 254.0, 34.0).rounded();
    let mut drawing = Drawing::new(720.0, 300.0);
    drawing.axes_of(&x, &y, "time of a prediction over the source's", "worst trajectory, dB", false);
    if let Some(at) = y.at(budget_db) {
        drawing.line("roof", (x.from, at), (x.to, at));
        drawing.text(x.to, at - 6.0, "tick over", "end", "budget");
    }
    if let Some(at) = x.at(1.0) {
        drawing.line("zero", (at, y.from), (at, y.to));
    }
    let place = |set: &Set| x.at(set.ratio).zip(y.at(set.db));
    drawing.path("p50", known().map(place));
    for set in known() {
        let Some((cx, cy)) = place(set) else { continue };
        let (class, radius) = if set.chosen { ("chosen", 7.0) } else { ("p50-dot", 4.0) };
        let (ratio, db) = (significant(set.ratio, 3), significant(set.db, 3));
        let title = escape(&format!("{} units: {ratio} × the time, {db} dB", set.units));
        drawing.add(format_args!(
            "<circle class=\"{class}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"{radius}\"><title>{title}</title></circle>"
        ));
        drawing.text(cx + 10.0, cy - 6.0, "value", "start", &set.units.to_string());
    }
    let words: Vec<String> = known()
        .map(|set| {
            let (ratio, db) = (significant(set.ratio, 3), significant(set.db, 3));
            format!("{} units {ratio} × and {db} dB", set.units)
        })
        .collect();
    drawing.finish("chart", &format!("Quality against time: {}", words.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_is_a_point_with_its_number() {
        let set = |units, ratio, db| Set { units, chosen: units == 3, ratio, db };
        let chart = quality_chart(&[set(3, 0.8, 31.0), set(9, 0.6, 14.0), set(5, f64::NAN, 2.0)], 20.0);
        assert_eq!(chart.matches("<circle").count(), 2);
        assert!(chart.contains("3 units: 0.800 × the time, 31.0 dB") && !chart.contains("NaN"), "{chart}");
        assert!(quality_chart(&[], 20.0).is_empty());
    }
}
