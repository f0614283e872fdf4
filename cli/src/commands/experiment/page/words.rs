//! Numbers and names as the page has them.

use crate::report::format::{NO_NUMBER, significant};
use avdit_core::Task;
use avdit_media::metrics::Interval;

/// A task as the paper's table heads its column.
pub fn task_title(task: &Task) -> String {
    match task {
        Task::Joint => "Joint".into(),
        Task::AudioToVideo => "A2V".into(),
        Task::VideoToAudio => "V2A".into(),
        Task::Inpaint => "AV-inpaint".into(),
        Task::Continue(_) => "AV-continue".into(),
        Task::Custom(text) => format!("`{text}`"),
    }
}

/// `0.94`, with the minus of typographers.
pub fn fixed(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return NO_NUMBER.into();
    }
    let text = format!("{:.decimals$}", value.abs());
    let is_zero = text.chars().all(|c| c == '0' || c == '.');
    if value < 0.0 && !is_zero { format!("−{text}") } else { text }
}

/// `+0.94`.
pub fn signed(value: f64, decimals: usize) -> String {
    let text = fixed(value, decimals);
    if value > 0.0 && text != NO_NUMBER { format!("+{text}") } else { text }
}

/// `+0.94 [+0.91, +0.97]`.
pub fn difference(interval: Interval, decimals: usize) -> String {
    let Interval { mean, low, high } = interval;
    format!("{} [{}, {}]", signed(mean, decimals), signed(low, decimals), signed(high, decimals))
}

/// `12.3 [11.9, 12.8]`.
pub fn distance(interval: Interval) -> String {
    let Interval { mean, low, high } = interval;
    format!("{} [{}, {}]", significant(mean, 3), significant(low, 3), significant(high, 3))
}

/// A difference of logarithms as a change in percent: `12 % [8 %, 15 %] smaller`.
pub fn change(interval: Interval) -> String {
    let sign = if interval.mean < 0.0 { -1.0 } else { 1.0 };
    let percent = |x: f64| sign * 100.0 * (x.exp() - 1.0);
    let mut ends = [percent(interval.low), percent(interval.high)];
    ends.sort_by(f64::total_cmp);
    let word = if interval.mean < 0.0 { "smaller" } else { "larger" };
    let [low, high] = ends.map(|end| fixed(end, 0));
    format!("{} % [{low} %, {high} %] {word}", fixed(percent(interval.mean), 0))
}

/// What a difference says, of which below 0 means the first and above 0 the second: its interval tells how it depends
/// on the clips, so all seeds must say the same for themselves.
pub fn verdict(interval: Interval, by_seed: &[f64], [below, above]: [&str; 2]) -> String {
    let side = match interval {
        i if i.high < 0.0 => below,
        i if i.low > 0.0 => above,
        _ => return "not told apart".into(),
    };
    match by_seed {
        [_] => format!("{side}, by its one seed"),
        all if all.iter().all(|x| x.signum() == interval.mean.signum()) => side.into(),
        _ => "seeds disagree".into(),
    }
}

/// A row of a table.
pub fn row(cells: impl IntoIterator<Item = String>) -> String {
    format!("| {} |\n", cells.into_iter().collect::<Vec<_>>().join(" | "))
}

/// The head of a table whose first columns are text and the rest numbers.
pub fn head(texts: &[&str], numbers: impl IntoIterator<Item = String>) -> String {
    let numbers: Vec<String> = numbers.into_iter().collect();
    let mut text = row(texts.iter().map(|text| (*text).to_owned()).chain(numbers.iter().cloned()));
    text += &row(texts.iter().map(|_| "---".to_owned()).chain(numbers.iter().map(|_| "---:".to_owned())));
    text
}

/// `a, b and c`.
pub fn list(items: &[String]) -> String {
    match items {
        [] => "none".into(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_in_the_direction_of_their_mean() {
        let less = Interval { mean: 0.8f64.ln(), low: 0.7f64.ln(), high: 1.05f64.ln() };
        assert_eq!(change(less), "20 % [−5 %, 30 %] smaller");
        let more = Interval { mean: 1.5f64.ln(), low: 1.2f64.ln(), high: 2f64.ln() };
        assert_eq!(change(more), "50 % [20 %, 100 %] larger");
    }

    #[test]
    fn a_verdict_needs_an_interval_without_0_and_all_seeds() {
        let words = ["better", "worse"];
        let of = |low: f64, high: f64, seeds: &[f64]| {
            verdict(Interval { mean: 0.5 * (low + high), low, high }, seeds, words)
        };
        assert_eq!(of(-0.2, -0.1, &[-0.2, -0.1]), "better");
        assert_eq!(of(0.1, 0.2, &[0.2, 0.1]), "worse");
        assert_eq!(of(-0.2, -0.1, &[-0.5, 0.2]), "seeds disagree");
        assert_eq!(of(-0.2, -0.1, &[-0.15]), "better, by its one seed");
        assert_eq!(of(-0.2, 0.1, &[-0.1, -0.01]), "not told apart");
    }

    #[test]
    fn numbers_have_signs_where_they_are_differences() {
        assert_eq!(difference(Interval { mean: -0.5, low: -1.0, high: 0.001 }, 2), "−0.50 [−1.00, +0.00]");
        assert_eq!((fixed(f64::NAN, 2), fixed(-0.001, 2)), ("–".into(), "0.00".into()));
        assert_eq!(list(&["a".into(), "b".into(), "c".into()]), "a, b and c");
    }
}
