//! The loss curve: each term smoothed, over its raw values drawn faintly; the learning rate on an axis of its own.

use super::super::data::LossPoint;
use super::super::format::significant;
use super::{Drawing, Scale};

/// More raw points than this are drawn as the extremes of as many stretches.
const MOST_POINTS: usize = 600;
/// The smoothing window is this part of the run.
const WINDOW_PART: usize = 40;

/// The chart; empty without points.
pub(in super::super) fn loss_chart(points: &[LossPoint]) -> String {
    if points.is_empty() {
        return String::new();
    }
    let steps: Vec<f64> = points.iter().map(|p| p.step as f64).collect();
    let terms: [(&str, Vec<f64>); 2] = [
        ("video", points.iter().map(|p| p.video).collect()),
        ("audio", points.iter().map(|p| p.audio).collect()),
    ];
    let x = Scale::covering(steps.iter().copied(), None, 64.0, 650.0);
    let values = terms.iter().flat_map(|(_, values)| values.iter().copied());
    let y = Scale::covering(values, None, 254.0, 34.0).log_beyond(6.0).rounded();
    let mut drawing = Drawing::new(720.0, 300.0);
    let title = if y.log { "loss (logarithmic)" } else { "loss" };
    drawing.axes(&x, &y, "training step", title);
    learning_rate(&mut drawing, &x, points);
    let place = |(step, value): (f64, f64)| x.at(step).zip(y.at(value)).filter(|_| value.is_finite());
    for (name, values) in &terms {
        let raw = thinned(&steps, values);
        drawing.path(&format!("{name} raw"), raw.into_iter().map(place));
    }
    let mut words = Vec::new();
    for (name, values) in &terms {
        let smooth = smoothed(values);
        let ends = smooth.first().zip(smooth.last());
        words.extend(
            ends.map(|(a, b)| format!("{name} from {} to {}", significant(*a, 3), significant(*b, 3))),
        );
        let sparse = steps.len().div_ceil(MOST_POINTS);
        let last = steps.len() - 1;
        let kept = (0..steps.len()).filter(|i| i.is_multiple_of(sparse) || *i == last);
        drawing.path(&format!("{name} smooth"), kept.map(|i| place((steps[i], smooth[i]))));
    }
    let label = format!(
        "Loss over {} points up to step {}, smoothed: {}",
        points.len(),
        steps[steps.len() - 1],
        words.join(", ")
    );
    drawing.finish("chart", &label)
}

fn learning_rate(drawing: &mut Drawing, x: &Scale, points: &[LossPoint]) {
    let rates: Vec<(f64, f64)> = points
        .iter()
        .filter_map(|p| Some((p.step as f64, p.learning_rate.filter(|rate| rate.is_finite())?)))
        .collect();
    let most = rates.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
    if most <= 0.0 {
        return;
    }
    let scale = Scale::covering([most].into_iter(), Some(0.0), 254.0, 44.0);
    let sparse = rates.len().div_ceil(MOST_POINTS);
    drawing.path("rate", rates.iter().step_by(sparse).map(|(step, rate)| x.at(*step).zip(scale.at(*rate))));
    for value in [0.0, most] {
        if let Some(at) = scale.at(value) {
            drawing.text(x.to + 8.0, at + 4.0, "tick", "start", &short(value));
        }
    }
    drawing.text(720.0, 20.0, "title", "end", "learning rate");
}

fn short(rate: f64) -> String {
    if rate == 0.0 { "0".into() } else { format!("{rate:.1e}").replace(".0e", "e") }
}

/// The mean over a window around each point, of what is finite in it.
pub(super) fn smoothed(values: &[f64]) -> Vec<f64> {
    let reach = values.len() / WINDOW_PART / 2;
    let window = |i: usize| &values[i.saturating_sub(reach)..(i + reach + 1).min(values.len())];
    let mean = |values: &[f64]| {
        let finite: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
        finite.iter().sum::<f64>() / finite.len() as f64
    };
    (0..values.len()).map(|i| mean(window(i))).collect()
}

/// All points, or the smallest and largest of each stretch in their order.
pub(super) fn thinned(steps: &[f64], values: &[f64]) -> Vec<(f64, f64)> {
    let pairs: Vec<(f64, f64)> = steps.iter().copied().zip(values.iter().copied()).collect();
    if pairs.len() <= MOST_POINTS {
        return pairs;
    }
    let extremes = |stretch: &[(f64, f64)]| {
        let by = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let (Some(low), Some(high)) = (stretch.iter().min_by(by), stretch.iter().max_by(by)) else {
            return Vec::new();
        };
        if low.0 <= high.0 { vec![*low, *high] } else { vec![*high, *low] }
    };
    pairs.chunks(pairs.len().div_ceil(MOST_POINTS / 2)).flat_map(extremes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[f64]) -> Vec<LossPoint> {
        let point =
            |(i, v): (usize, &f64)| LossPoint { step: i + 1, video: *v, audio: 2.0 * v, learning_rate: None };
        values.iter().enumerate().map(point).collect()
    }

    #[test]
    fn smoothing_leaves_a_constant_and_skips_what_is_not_finite() {
        let mut values = vec![0.5; 400];
        values[100] = f64::NAN;
        assert!(smoothed(&values).iter().all(|v| *v == 0.5));
    }

    #[test]
    fn thinning_keeps_the_extremes() {
        let mut values = vec![1.0; 10_000];
        values[4321] = 9.0;
        values[8765] = -9.0;
        let steps: Vec<f64> = (0..10_000).map(f64::from).collect();
        let kept = thinned(&steps, &values);
        assert!(kept.len() <= MOST_POINTS + 2);
        assert!(kept.contains(&(4321.0, 9.0)) && kept.contains(&(8765.0, -9.0)));
        assert!(kept.is_sorted_by_key(|(step, _)| *step));
    }

    #[test]
    fn a_wide_range_has_a_logarithmic_axis_and_says_so() {
        assert!(loss_chart(&points(&[1.0, 0.5, 0.01])).contains("loss (logarithmic)"));
        assert!(!loss_chart(&points(&[1.0, 0.9, 0.8])).contains("logarithmic"));
    }
}
