//! The roofline: what memory and the matrix product allow at each intensity, and where the cases lie below.

use super::super::super::format::significant;
use super::super::{Drawing, Scale};
use super::series_class;

/// What bounds some cases: rates in 10⁹ a second.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super::super) struct Roof {
    pub(in super::super::super) label: String,
    pub(in super::super::super) gflop_per_s: f64,
    pub(in super::super::super) gb_per_s: f64,
}

/// A case: operations a byte, and 10⁹ operations a second.
pub(in super::super::super) struct Point {
    pub(in super::super::super) label: String,
    pub(in super::super::super) index: usize,
    pub(in super::super::super) intensity: f64,
    pub(in super::super::super) gflop_per_s: f64,
}

/// The chart; empty without cases.
pub(in super::super::super) fn roofline_chart(roofs: &[Roof], points: &[Point]) -> String {
    let known = |value: f64| (value.is_finite() && value > 0.0).then_some(value);
    let ridges = roofs.iter().filter_map(|roof| known(roof.gflop_per_s / roof.gb_per_s));
    let intensities: Vec<f64> = points.iter().filter_map(|p| known(p.intensity)).chain(ridges).collect();
    let rates = points.iter().map(|p| p.gflop_per_s).chain(roofs.iter().map(|roof| roof.gflop_per_s));
    let rates: Vec<f64> = rates.filter_map(known).collect();
    if points.is_empty() || intensities.is_empty() {
        return String::new();
    }
    let widened = |values: &[f64], low: f64, high: f64| {
        let (least, most) = values.iter().fold((f64::INFINITY, 0.0f64), |(l, m), v| (l.min(*v), m.max(*v)));
        [least * low, most * high]
    };
    let x = Scale::covering(widened(&intensities, 0.2, 4.0).into_iter(), None, 64.0, 700.0).log_beyond(1.5);
    let y = Scale::covering(widened(&rates, 0.4, 2.0).into_iter(), None, 304.0, 34.0).log_beyond(1.5);
    let mut drawing = Drawing::new(720.0, 350.0);
    drawing.axes_of(&x, &y, "operations for each byte of weights", "GFLOP/s", false);
    for roof in roofs {
        let reached = |intensity: f64| roof.gflop_per_s.min(roof.gb_per_s * intensity);
        // The slanted part begins where it enters the drawing.
        let start = x.low.max(y.low / roof.gb_per_s);
        let bends = [start, (roof.gflop_per_s / roof.gb_per_s).clamp(start, x.high.max(start)), x.high];
        let corner = |intensity: f64| x.at(intensity).zip(y.at(reached(intensity)));
        drawing.path("roof", bends.into_iter().map(corner));
    }
    let place = |roof: &Roof| Some((y.at(roof.gflop_per_s)?, roof.label.clone()));
    let mut names: Vec<(f64, String)> = roofs.iter().filter_map(place).collect();
    names.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    // From the lowest up, so that no name covers another.
    let mut last = f64::INFINITY;
    for (at, name) in names {
        last = (at - 6.0).min(last - 15.0);
        drawing.text(x.to, last, "tick over", "end", &name);
    }
    for point in points {
        if let (Some(cx), Some(cy)) = (x.at(point.intensity), y.at(point.gflop_per_s)) {
            let class = series_class(point.index);
            let title = super::super::escape(&format!(
                "{}: {} GFLOP/s",
                point.label,
                significant(point.gflop_per_s, 3)
            ));
            drawing.add(format_args!(
                "<circle class=\"{class}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"6\"><title>{title}</title></circle>"
            ));
        }
    }
    let words = points.iter().map(|p| format!("{} {} GFLOP/s", p.label, significant(p.gflop_per_s, 3)));
    drawing.finish("chart", &format!("Roofline: {}", words.collect::<Vec<_>>().join(", ")))
}
