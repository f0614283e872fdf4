//! Charts as inline SVG: axes, ticks and paths. No coordinate that is not finite ever reaches the page; colours come
//! from the page's style by class.

mod agreement;
pub(super) mod bench;
mod cells;
mod heat;
mod latency;
mod lines;
mod loss;
mod outline;
mod quality;

pub(super) use agreement::agreement_chart;
pub(super) use cells::{cells_chart, cells_in_words};
pub(super) use heat::heat_chart;
pub(super) use latency::latency_chart;
pub(super) use lines::{Curve, Look, curves_chart};
pub(super) use loss::loss_chart;
pub(super) use outline::outline;
pub(super) use quality::{Set, quality_chart};

use super::format::{count, significant};
use std::fmt::Write;

fn escape(text: &str) -> String {
    minijinja::HtmlEscape(text).to_string()
}

/// A map from values to places on the page.
#[derive(Clone, Copy, Debug)]
struct Scale {
    low: f64,
    high: f64,
    log: bool,
    from: f64,
    to: f64,
}

impl Scale {
    /// Covers all finite `values`, and `include`; something sensible without any.
    fn covering(values: impl Iterator<Item = f64>, include: Option<f64>, from: f64, to: f64) -> Self {
        let range = values.chain(include).filter(|v| v.is_finite());
        let (low, high) = range.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        let (low, high) = match () {
            () if low > high => (0.0, 1.0),
            () if low == high => (low - low.abs().max(1.0) * 0.5, low + low.abs().max(1.0) * 0.5),
            () => (low, high),
        };
        // Halves, so that the span of the widest doubles does not overflow.
        let (low, high) = (low.clamp(-1e300, 1e300), high.clamp(-1e300, 1e300));
        Self { low, high, log: false, from, to }
    }

    /// The same with a logarithmic axis, if every value lies above zero and they span more than `ratio`.
    fn log_beyond(self, ratio: f64) -> Self {
        Self { log: self.low > 0.0 && self.high / self.low > ratio, ..self }
    }

    /// Widened to whole ticks on a linear axis, a little on a logarithmic one.
    fn rounded(self) -> Self {
        if self.log {
            return Self { low: self.low / 1.1, high: self.high * 1.1, ..self };
        }
        let step = tick_step(self.low, self.high);
        Self { low: (self.low / step).floor() * step, high: (self.high / step).ceil() * step, ..self }
    }

    /// Where a value lies; `None` if it has no place.
    fn at(&self, value: f64) -> Option<f64> {
        let share = if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        let place = self.from + share.clamp(-0.01, 1.01) * (self.to - self.from);
        place.is_finite().then_some(place)
    }

    /// Values worth a tick.
    fn ticks(&self) -> Vec<f64> {
        if self.log {
            let decades = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
            let fine: &[f64] = if self.high / self.low > 300.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
            let all = decades.flat_map(|decade| fine.iter().map(move |m| m * 10f64.powi(decade)));
            return all.filter(|v| (self.low..=self.high).contains(v)).collect();
        }
        let step = tick_step(self.low, self.high);
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).take(20).map(|i| i as f64 * step).collect()
    }
}

/// 1, 2 or 5 times a power of ten, for four to nine ticks.
fn tick_step(low: f64, high: f64) -> f64 {
    let rough = (high - low) / 6.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|step| *step >= rough * 0.999);
    step.filter(|step| step.is_finite() && *step > 0.0).unwrap_or(1.0)
}

/// A drawing under construction.
struct Drawing {
    width: f64,
    height: f64,
    body: String,
}

impl Drawing {
    fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        self.body.write_fmt(element).expect("writing to a string cannot fail");
    }

    fn text(&mut self, x: f64, y: f64, class: &str, anchor: &str, text: &str) {
        let text = escape(text);
        self.add(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.add(format_args!("<path class=\"{class}\" d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\"/>"));
    }

    /// A line through the points that have a place, broken where one has none; a point alone is a dot.
    fn path(&mut self, class: &str, points: impl Iterator<Item = Option<(f64, f64)>>) {
        let mut d = String::new();
        let mut run = 0;
        for point in points.chain([None]) {
            match point {
                Some((x, y)) => {
                    let command = if run == 0 { 'M' } else { 'L' };
                    write!(d, "{command}{x:.1} {y:.1}").expect("writing to a string cannot fail");
                    run += 1;
                }
                None => {
                    if run == 1 {
                        d.push_str("h0");
                    }
                    run = 0;
                }
            }
        }
        if !d.is_empty() {
            self.add(format_args!("<path class=\"{class}\" d=\"{d}\"/>"));
        }
    }

    /// Grid, ticks and titles of both axes.
    fn axes(&mut self, x: &Scale, y: &Scale, x_title: &str, y_title: &str) {
        self.axes_of(x, y, x_title, y_title, true);
    }

    /// The same; an axis that counts has ticks at `whole` numbers alone.
    fn axes_of(&mut self, x: &Scale, y: &Scale, x_title: &str, y_title: &str, whole: bool) {
        let (bottom, top) = (y.from, y.to);
        for tick in y.ticks() {
            if let Some(at) = y.at(tick) {
                self.line("grid", (x.from, at), (x.to, at));
                self.text(x.from - 8.0, at + 4.0, "tick", "end", &tick_label(tick, y));
            }
        }
        self.line("axis", (x.from, bottom), (x.to, bottom));
        for tick in x.ticks().into_iter().filter(|tick| !whole || (tick - tick.round()).abs() < 1e-6) {
            if let Some(at) = x.at(tick) {
                self.line("axis", (at, bottom), (at, bottom + 5.0));
                let label = if whole { count(tick.round() as u64) } else { tick_label(tick, x) };
                self.text(at, bottom + 19.0, "tick", "middle", &label);
            }
        }
        self.text((x.from + x.to) / 2.0, bottom + 38.0, "title", "middle", x_title);
        self.text(x.from - 44.0, top - 14.0, "title", "start", y_title);
    }

    /// Ticks of a horizontal axis alone, with lines over the whole height.
    fn columns(&mut self, x: &Scale, top: f64, bottom: f64, title: &str) {
        for tick in x.ticks() {
            if let Some(at) = x.at(tick) {
                self.line("grid", (at, top), (at, bottom));
                self.text(at, bottom + 18.0, "tick", "middle", &tick_label(tick, x));
            }
        }
        self.text((x.from + x.to) / 2.0, bottom + 36.0, "title", "middle", title);
    }

    /// The whole element, with what it shows in words.
    fn finish(self, class: &str, label: &str) -> String {
        let Self { width, height, body } = self;
        let label = escape(label);
        format!(
            "<svg class=\"{class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">\
             <title>{label}</title>{body}</svg>"
        )
    }
}

/// No more digits than tell this tick from the next; as a power of ten where it would not fit beside the axis.
fn tick_label(tick: f64, scale: &Scale) -> String {
    let step = if scale.log { tick } else { tick_step(scale.low, scale.high) };
    let size = tick.abs().max(step);
    if tick == 0.0 || !(1e-5..1e5).contains(&size) {
        return if tick == 0.0 { "0".into() } else { format!("{tick:.0e}") };
    }
    significant(tick, (size.log10().floor() - step.log10().floor()) as usize + 1)
}
