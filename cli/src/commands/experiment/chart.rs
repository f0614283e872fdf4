//! Differences with their intervals as an SVG file that stands by itself.

use super::page::signed;
use avdit_media::metrics::Interval;
use std::fmt::Write;

/// A row of the chart.
pub struct Bar {
    pub name: String,
    pub interval: Interval,
}

const LEFT: f64 = 210.0;
const RIGHT: f64 = 560.0;
const TOP: f64 = 44.0;
const ROW: f64 = 30.0;
const STYLE: &str = "text{fill:#333}.grid{stroke:#ddd}.zero{stroke:#888}.back{fill:#fff}.bar{stroke:#0072b2}.dot{fill:#0072b2}\
    @media(prefers-color-scheme:dark){text{fill:#ccc}.grid{stroke:#444}.zero{stroke:#999}.back{fill:#1c1c1c}\
    .bar{stroke:#56b4e9}.dot{fill:#56b4e9}}";

/// A dot with its interval in each row, and the line of zero.
pub fn forest(title: &str, axis: &str, bars: &[Bar]) -> String {
    let ends = bars.iter().flat_map(|bar| [bar.interval.low, bar.interval.high]).filter(|x| x.is_finite());
    let (low, high) = ends.fold((0.0f64, 0.0f64), |(low, high), x| (low.min(x), high.max(x)));
    let step = step((high - low).max(1e-3) / 5.0);
    let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
    let high = if high > low { high } else { low + step };
    let x = |value: f64| LEFT + (value.clamp(low, high) - low) / (high - low) * (RIGHT - LEFT);
    let bottom = TOP + bars.len() as f64 * ROW;
    let (width, height) = (680.0, bottom + 52.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
        role=\"img\" font-family=\"system-ui, sans-serif\" font-size=\"12\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
        <rect class=\"back\" width=\"{width}\" height=\"{height}\"/>\n<text x=\"12\" y=\"22\" font-size=\"14\">{title}</text>\n",
        title = escape(title)
    );
    let mut add = |text: std::fmt::Arguments<'_>| {
        let _ = svg.write_fmt(text);
        svg.push('\n');
    };
    for i in 0..=((high - low) / step).round() as usize {
        let value = low + i as f64 * step;
        let class = if value.abs() < step * 1e-6 { "zero" } else { "grid" };
        let at = x(value);
        add(format_args!("<path class=\"{class}\" d=\"M{at:.1} {:.1}V{bottom:.1}\"/>", TOP - 8.0));
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let label = signed(value, decimals);
        add(format_args!(
            "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
            bottom + 16.0
        ));
    }
    for (i, Bar { name, interval }) in bars.iter().enumerate() {
        let y = TOP + (i as f64 + 0.5) * ROW;
        let name = escape(name);
        add(format_args!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>",
            LEFT - 12.0,
            y + 4.0
        ));
        if [interval.mean, interval.low, interval.high].iter().any(|x| !x.is_finite()) {
            continue;
        }
        let (from, to, at) = (x(interval.low), x(interval.high), x(interval.mean));
        add(format_args!("<path class=\"bar\" d=\"M{from:.1} {y:.1}H{to:.1}\" stroke-width=\"2.5\"/>"));
        add(format_args!("<circle class=\"dot\" cx=\"{at:.1}\" cy=\"{y:.1}\" r=\"4.5\"/>"));
        let label = signed(interval.mean, 2);
        add(format_args!("<text x=\"{:.1}\" y=\"{:.1}\">{label}</text>", RIGHT + 14.0, y + 4.0));
    }
    let middle = 0.5 * (LEFT + RIGHT);
    let axis = escape(axis);
    add(format_args!("<text x=\"{middle}\" y=\"{:.1}\" text-anchor=\"middle\">{axis}</text>", bottom + 38.0));
    svg + "</svg>\n"
}

/// The next of 1, 2, 5 times a power of ten.
fn step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|m| m * power).find(|step| *step >= least * 0.999).unwrap_or(10.0 * power)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bar_lies_on_the_page_and_zero_is_marked() {
        let bar = |mean: f64| Bar {
            name: "a < b".into(),
            interval: Interval { mean, low: mean - 0.1, high: mean + 0.1 },
        };
        let svg = forest("differences", "x", &[bar(-0.4), bar(0.05), bar(f64::NAN)]);
        assert_eq!((svg.matches("<circle").count(), svg.matches("class=\"zero\"").count()), (2, 1));
        assert!(svg.contains("a &lt; b") && !svg.contains("NaN") && svg.contains("−0.40"));
        for at in
            svg.split("cx=\"").skip(1).map(|rest| rest.split('"').next().unwrap().parse::<f64>().unwrap())
        {
            assert!((LEFT..=RIGHT).contains(&at), "{at}");
        }
        assert!(!forest("one", "x", &[bar(0.0)]).contains("NaN"));
    }
}
