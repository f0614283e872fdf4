//! How steps are spread: the share of steps that take at most so many times the median of their case.

use super::super::{Drawing, Scale};
use super::series_class;

/// The chart of `(series, percentiles 0 to 100)`; empty without one.
pub(in super::super::super) fn distribution_chart(series: &[(usize, &[f64])]) -> String {
    let relative = |percentiles: &[f64]| -> Vec<f64> {
        let median = percentiles.get(percentiles.len() / 2).copied().unwrap_or(f64::NAN);
        percentiles.iter().map(|value| value / median).collect()
    };
    let series: Vec<_> = series.iter().map(|(index, percentiles)| (*index, relative(percentiles))).collect();
    if series.iter().all(|(_, percentiles)| percentiles.is_empty()) {
        return String::new();
    }
    // The longest twentieth of all steps may lie beyond the end: the axis is for the rest.
    let inner = series.iter().flat_map(|(_, percentiles)| {
        let last = (percentiles.len() * 95).div_ceil(100);
        percentiles.iter().copied().take(last)
    });
    let x = Scale::covering(inner.chain([0.98, 1.02]), Some(1.0), 64.0, 700.0).rounded();
    let y = Scale::covering([0.0, 100.0].into_iter(), None, 224.0, 34.0);
    let mut drawing = Drawing::new(720.0, 270.0);
    drawing.axes_of(&x, &y, "step over the median of its case", "% of steps", false);
    for (index, percentiles) in &series {
        let share = |i: usize| 100.0 * i as f64 / (percentiles.len() - 1).max(1) as f64;
        let place = |(i, value): (usize, &f64)| x.at(*value).zip(y.at(share(i)));
        drawing.path(&format!("series {}", series_class(*index)), percentiles.iter().enumerate().map(place));
    }
    drawing
        .finish("chart", &format!("Distribution of the steps of {} cases around their medians", series.len()))
}
