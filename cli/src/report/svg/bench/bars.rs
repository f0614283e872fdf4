//! The median step of each case as a bar, with whiskers to the 90th and 99th percentile.

use super::super::super::format::milliseconds;
use super::super::{Drawing, Scale, escape};
use super::{LEFT, RIGHT, series_class};

const ROW: f64 = 46.0;

/// A case; times in milliseconds.
pub(in super::super::super) struct Bar {
    pub(in super::super::super) label: String,
    pub(in super::super::super) index: usize,
    pub(in super::super::super) p50: f64,
    pub(in super::super::super) p90: f64,
    pub(in super::super::super) p99: f64,
}

/// The chart; empty without cases.
pub(in super::super::super) fn bars_chart(bars: &[Bar]) -> String {
    if bars.is_empty() {
        return String::new();
    }
    let ends = bars.iter().flat_map(|bar| [bar.p50, bar.p90, bar.p99]);
    let x = Scale::covering(ends, Some(0.0), LEFT, RIGHT).rounded();
    let bottom = bars.len() as f64 * ROW + 6.0;
    let mut drawing = Drawing::new(720.0, bottom + 44.0);
    drawing.columns(&x, 0.0, bottom, "ms per step");
    let mut words = Vec::new();
    for (i, bar) in bars.iter().enumerate() {
        let top = i as f64 * ROW;
        // The value stands beside the name, where a narrow screen shows it too.
        let (label, value) = (escape(&bar.label), milliseconds(bar.p50));
        drawing.add(format_args!(
            "<text x=\"{LEFT:.1}\" y=\"{:.1}\" class=\"task\">{label}<tspan class=\"beside\" dx=\"10\">{value}</tspan></text>",
            top + 15.0
        ));
        let y = top + 21.0;
        if let Some(at) = x.at(bar.p50) {
            let (width, class) = ((at - x.from).max(1.0), series_class(bar.index));
            drawing.add(format_args!(
                "<rect class=\"{class}\" x=\"{:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"16\" rx=\"3\"/>",
                x.from
            ));
        }
        if let (Some(p50), Some(p90), Some(p99)) = (x.at(bar.p50), x.at(bar.p90), x.at(bar.p99)) {
            let middle = y + 8.0;
            drawing.line("whisker", (p50, middle), (p99, middle));
            drawing.line("whisker", (p90, middle - 5.0), (p90, middle + 5.0));
            drawing.line("whisker", (p99, middle - 8.0), (p99, middle + 8.0));
        }
        words.push(format!("{} {}", bar.label, milliseconds(bar.p50)));
    }
    drawing.finish("chart", &format!("Median step: {}", words.join(", ")))
}
