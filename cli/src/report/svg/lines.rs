//! Curves over training steps: each smoothed, over its raw values drawn faintly.

use super::super::format::significant;
use super::loss::{smoothed, thinned};
use super::{Drawing, Scale};

/// Points of a smoothed curve that are drawn, at most.
const MOST_POINTS: usize = 400;

/// A curve.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Curve {
    /// The colour, by class.
    pub(in super::super) class: String,
    /// What it is, in words.
    pub(in super::super) label: String,
    /// `(step, value)` in order of step; what is not finite breaks the line.
    pub(in super::super) points: Vec<(f64, f64)>,
}

/// How curves are drawn.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Look<'a> {
    /// The title of the vertical axis.
    pub(in super::super) title: &'a str,
    /// Whether the axis begins at zero; otherwise it is logarithmic where values span a wide range.
    pub(in super::super) from_zero: bool,
    /// Whether the curves are smoothed over the raw values; otherwise they are drawn as they are.
    pub(in super::super) smooth: bool,
    /// A level to compare with, and what it is.
    pub(in super::super) roof: Option<(f64, &'a str)>,
    /// Steps with a mark: where the run was resumed.
    pub(in super::super) marks: &'a [usize],
}

/// The chart; empty without a finite point.
pub(in super::super) fn curves_chart(curves: &[Curve], look: &Look<'_>) -> String {
    let all = || curves.iter().flat_map(|curve| curve.points.iter()).filter(|(_, value)| value.is_finite());
    if all().next().is_none() {
        return String::new();
    }
    let x = Scale::covering(all().map(|(step, _)| *step), None, 64.0, 700.0);
    let roof = look.roof.filter(|(level, _)| level.is_finite());
    let values = inner(curves, look.smooth).into_iter().chain(roof.map(|(level, _)| level));
    let y = Scale::covering(values, look.from_zero.then_some(0.0), 224.0, 34.0);
    let y = if look.from_zero { y.rounded() } else { y.log_beyond(6.0).rounded() };
    let mut drawing = Drawing::new(720.0, 270.0);
    let title = if y.log { format!("{} (logarithmic)", look.title) } else { look.title.to_owned() };
    drawing.axes(&x, &y, "training step", &title);
    for mark in look.marks {
        if let Some(at) = x.at(*mark as f64) {
            drawing.line("resumed", (at, y.from), (at, y.to));
        }
    }
    if let Some((at, name)) = roof.and_then(|(level, name)| Some((y.at(level)?, name))) {
        drawing.line("roof", (x.from, at), (x.to, at));
        drawing.text(x.to, at - 6.0, "tick over", "end", name);
    }
    let place = |(step, value): (f64, f64)| x.at(step).zip(y.at(value)).filter(|_| value.is_finite());
    for curve in curves.iter().filter(|_| look.smooth) {
        let (steps, values): (Vec<f64>, Vec<f64>) = curve.points.iter().copied().unzip();
        drawing.path(&format!("raw {}", curve.class), thinned(&steps, &values).into_iter().map(place));
    }
    let mut words = Vec::new();
    for curve in curves {
        let (steps, values): (Vec<f64>, Vec<f64>) = curve.points.iter().copied().unzip();
        let values = if look.smooth { smoothed(&values) } else { values };
        let finite = || values.iter().copied().filter(|v| v.is_finite());
        if let (Some(first), Some(last)) = (finite().next(), finite().last()) {
            let (first, last) = (significant(first, 3), significant(last, 3));
            words.push(format!("{} from {first} to {last}", curve.label));
        }
        let (every, end) = (steps.len().div_ceil(MOST_POINTS).max(1), steps.len().saturating_sub(1));
        let kept = (0..steps.len()).filter(|i| i.is_multiple_of(every) || *i == end);
        drawing.path(&format!("series {}", curve.class), kept.map(|i| place((steps[i], values[i]))));
    }
    drawing.finish("chart", &format!("{} over training steps: {}", look.title, words.join(", ")))
}

/// What the axis is for: all values, or without their outermost hundredth where curves are smoothed, so that one spike
/// does not flatten the rest.
fn inner(curves: &[Curve], smooth: bool) -> Vec<f64> {
    let mut values: Vec<f64> = curves
        .iter()
        .flat_map(|curve| curve.points.iter().map(|(_, value)| *value))
        .filter(|value| value.is_finite())
        .collect();
    values.sort_by(f64::total_cmp);
    let cut = if smooth { values.len() / 200 } else { 0 };
    values[cut..values.len() - cut].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spike_does_not_decide_the_axis_but_is_drawn_at_its_edge() {
        let mut points: Vec<(f64, f64)> = (0..1000).map(|i| (f64::from(i), 1.0 + f64::from(i % 7))).collect();
        points[500].1 = 1e6;
        let curve = Curve { class: "s0".into(), label: "norm".into(), points };
        let chart = curves_chart(&[curve], &Look { title: "norm", smooth: true, ..Look::default() });
        assert!(!chart.contains("1e6") && !chart.contains("1,000,000"), "{chart}");
    }

    #[test]
    fn a_curve_without_a_number_is_no_chart() {
        let curve = Curve { points: vec![(1.0, f64::NAN)], ..Curve::default() };
        assert_eq!(curves_chart(&[curve], &Look::default()), "");
        assert_eq!(curves_chart(&[], &Look::default()), "");
    }
}
