//! Latency by step index: the median, and the band up to the 90th percentile.

use super::super::data::StepLatency;
use super::super::format::milliseconds;
use super::{Drawing, Scale};

/// The chart; empty without a step that has a latency.
pub(in super::super) fn latency_chart(engine: &str, steps: &[StepLatency]) -> String {
    let known: Vec<f64> = steps.iter().map(|step| step.p50_ms).filter(|v| v.is_finite()).collect();
    if known.is_empty() {
        return String::new();
    }
    let x = Scale::covering((1..=steps.len()).map(|i| i as f64), Some(1.0), 64.0, 700.0);
    let all = steps.iter().flat_map(|step| [step.p50_ms, step.p90_ms]);
    let y = Scale::covering(all, Some(0.0), 204.0, 34.0).rounded();
    let mut drawing = Drawing::new(720.0, 250.0);
    drawing.axes(&x, &y, "sampling step", "ms per step");
    let place = |i: usize, value: f64| x.at((i + 1) as f64).zip(y.at(value));
    let upper =
        steps.iter().enumerate().filter_map(|(i, step)| place(i, step.p90_ms).zip(place(i, step.p50_ms)));
    let (above, below): (Vec<_>, Vec<_>) = upper.unzip();
    if above.len() > 1 {
        drawing.path("band", above.into_iter().chain(below.into_iter().rev()).map(Some));
    }
    drawing.path("p50", steps.iter().enumerate().map(|(i, step)| place(i, step.p50_ms)));
    for (i, step) in steps.iter().enumerate().filter(|_| steps.len() <= 60) {
        if let Some((cx, cy)) = place(i, step.p50_ms) {
            let title = format!(
                "step {}: p50 {}, p90 {}",
                i + 1,
                milliseconds(step.p50_ms),
                milliseconds(step.p90_ms)
            );
            drawing.add(format_args!(
                "<circle class=\"p50-dot\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"3\"><title>{title}</title></circle>"
            ));
        }
    }
    let (least, most) = known.iter().fold((f64::INFINITY, 0.0f64), |(l, h), v| (l.min(*v), h.max(*v)));
    let label = format!(
        "Latency by step index on {engine}, {} steps: median from {} to {}",
        steps.len(),
        milliseconds(least),
        milliseconds(most)
    );
    drawing.finish("chart", &label)
}
