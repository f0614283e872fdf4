//! A chart with logarithmic axes as SVG: for each engine what was measured, and what it should follow.

use std::fmt::Write as _;

/// A named curve in two forms, as points (x, y).
pub(super) struct Curve {
    pub(super) name: String,
    pub(super) measured: Vec<(f64, f64)>,
    pub(super) expected: Vec<(f64, f64)>,
}

const SIZE: (f64, f64) = (640.0, 424.0);
/// Left, top, right and bottom of the plot.
const PLOT: [f64; 4] = [64.0, 48.0, 616.0, 348.0];
const COLORS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

/// Where a value lies between two bounds, by its logarithm: 0 to 1.
fn place(value: f64, (low, high): (f64, f64)) -> f64 {
    if high > low { (value / low).ln() / (high / low).ln() } else { 0.5 }
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, 0.0), |(low, high), value| (low.min(value), high.max(value)))
}

/// 1, 2 and 5 times the powers of ten between two bounds.
fn ticks((low, high): (f64, f64)) -> Vec<f64> {
    let powers = (low.log10().floor() as i32)..=(high.log10().ceil() as i32);
    let all = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power)));
    all.filter(|tick| (low * 0.999..=high * 1.001).contains(tick)).collect()
}

fn number(value: f64) -> String {
    let text = if value < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// The chart; `None` if there is nothing to show. The values of x are marked as they are.
pub(super) fn svg(title: &str, x_name: &str, y_name: &str, curves: &[Curve]) -> Option<String> {
    let points = || curves.iter().flat_map(|curve| curve.measured.iter().chain(&curve.expected));
    points().next()?;
    let x_bounds = bounds(points().map(|point| point.0));
    let (low, high) = bounds(points().map(|point| point.1));
    let y_bounds = (low / 1.15, high * 1.15);
    let [left, top, right, bottom] = PLOT;
    let x = |value| left + 24.0 + place(value, x_bounds) * (right - left - 48.0);
    let y = |value| bottom - place(value, y_bounds) * (bottom - top);
    let (width, height) = SIZE;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" font-family=\"system-ui, sans-serif\" font-size=\"12\">\n<title>{title}</title>\n\
         <style>text{{fill:#333}}.grid{{stroke:#ddd}}.back{{fill:#fff}}\
         @media(prefers-color-scheme:dark){{text{{fill:#ccc}}.grid{{stroke:#444}}.back{{fill:#1c1c1c}}}}</style>\n\
         <rect class=\"back\" width=\"{width}\" height=\"{height}\"/>\n\
         <text x=\"{left}\" y=\"20\" font-size=\"15\">{title}</text>\n"
    );
    // Writing to a string cannot fail.
    for tick in ticks(y_bounds) {
        let (at, label) = (y(tick), number(tick));
        let _ = writeln!(out, "<path class=\"grid\" d=\"M{left} {at:.1}H{right}\"/>");
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            left - 6.0,
            at + 4.0
        );
    }
    let mut marks: Vec<f64> = points().map(|point| point.0).collect();
    marks.sort_by(f64::total_cmp);
    marks.dedup();
    for mark in marks {
        let (at, label) = (x(mark), number(mark));
        let _ = writeln!(out, "<path class=\"grid\" d=\"M{at:.1} {top}V{bottom}\"/>");
        let _ = writeln!(
            out,
            "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            bottom + 18.0
        );
    }
    let middle = f64::midpoint(left, right);
    let _ =
        writeln!(out, "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{x_name}</text>", bottom + 38.0);
    let _ = writeln!(out, "<text x=\"{}\" y=\"{}\">{y_name}</text>", 8.0, top - 10.0);
    for (i, (curve, color)) in curves.iter().zip(COLORS.iter().cycle()).enumerate() {
        let path = |points: &[(f64, f64)]| {
            let at = points.iter().map(|&(a, b)| format!("{:.1} {:.1}", x(a), y(b)));
            at.collect::<Vec<_>>().join("L")
        };
        if !curve.expected.is_empty() {
            let line = path(&curve.expected);
            let _ = writeln!(
                out,
                "<path d=\"M{line}\" fill=\"none\" stroke=\"{color}\" stroke-dasharray=\"5 4\"/>"
            );
        }
        if !curve.measured.is_empty() {
            let line = path(&curve.measured);
            let _ =
                writeln!(out, "<path d=\"M{line}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>");
        }
        for &(a, b) in &curve.measured {
            let _ =
                writeln!(out, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\" fill=\"{color}\"/>", x(a), y(b));
        }
        let (at, line) = (left + 8.0 + 110.0 * i as f64, height - 8.0);
        let _ = writeln!(out, "<path d=\"M{at} {}h18\" stroke=\"{color}\" stroke-width=\"2\"/>", line - 4.0);
        let _ = writeln!(out, "<text x=\"{}\" y=\"{line}\">{}</text>", at + 24.0, curve.name);
    }
    let note = "dashed: as the multiply-adds grow, from the base network";
    let _ =
        writeln!(out, "<text x=\"{right}\" y=\"{}\" text-anchor=\"end\">{note}</text>\n</svg>", height - 8.0);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_ten_times_apart_are_as_far_apart_anywhere_on_an_axis() {
        let bounds = (1.0, 1000.0);
        let steps = [1.0, 10.0, 100.0, 1000.0].map(|value| place(value, bounds));
        for pair in steps.windows(2) {
            assert!((pair[1] - pair[0] - 1.0 / 3.0).abs() < 1e-12);
        }
        assert_eq!(ticks((0.9, 21.0)), [1.0, 2.0, 5.0, 10.0, 20.0]);
        assert_eq!([0.05, 0.5, 2.0, 10.0, 426.0].map(number), ["0.05", "0.5", "2", "10", "426"]);
    }

    #[test]
    fn a_chart_shows_every_point_and_nothing_is_drawn_of_nothing() {
        let curve = |name: &str, measured| Curve {
            name: name.into(),
            measured,
            expected: vec![(1.0, 2.0), (4.0, 8.0)],
        };
        let curves = [curve("a", vec![(1.0, 2.0), (4.0, 9.0)]), curve("b", vec![(1.0, 3.0)])];
        let text = svg("Title", "tokens", "ms", &curves).unwrap();
        assert_eq!(text.matches("<circle").count(), 3);
        assert_eq!(text.matches("stroke-dasharray").count(), 2);
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        assert!(svg("Title", "tokens", "ms", &[]).is_none());
    }
}
