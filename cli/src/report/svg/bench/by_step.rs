//! The median of the steps with one index, for every case.

use super::super::{Drawing, Scale};
use super::series_class;

/// The chart of `(series, medians by index in milliseconds)`; empty without one.
pub(in super::super::super) fn by_step_chart(series: &[(usize, Vec<f64>)]) -> String {
    let longest = series.iter().map(|(_, steps)| steps.len()).max().unwrap_or(0);
    if longest == 0 {
        return String::new();
    }
    let x = Scale::covering((1..=longest).map(|i| i as f64), Some(1.0), 64.0, 700.0);
    let all = series.iter().flat_map(|(_, steps)| steps.iter().copied());
    let y = Scale::covering(all, Some(0.0), 224.0, 34.0).rounded();
    let mut drawing = Drawing::new(720.0, 270.0);
    drawing.axes(&x, &y, "sampling step", "ms per step");
    for (index, steps) in series {
        let place = |(i, value): (usize, &f64)| x.at((i + 1) as f64).zip(y.at(*value));
        drawing.path(&format!("series {}", series_class(*index)), steps.iter().enumerate().map(place));
    }
    drawing.finish("chart", &format!("Median by step index of {} cases over {longest} steps", series.len()))
}
