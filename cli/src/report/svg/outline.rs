//! The outline of a sound, small.

use std::fmt::Write;

/// Least and greatest sample of equal stretches, −100 to 100, as upright strokes.
pub(in crate::report) fn outline(stretches: &[[i8; 2]]) -> String {
    let mut path = String::new();
    for (x, [low, high]) in stretches.iter().enumerate() {
        // Half a stroke's width at least, so that silence is a line.
        let (top, bottom) = (100 - i32::from(*high), 100 - i32::from(*low));
        let height = (bottom - top).max(4);
        let top = top.min(200 - height);
        write!(path, "M{} {top}v{height}", 2 * x + 1).expect("writing to a string cannot fail");
    }
    let width = 2 * stretches.len();
    format!(
        "<svg class=\"sound\" viewBox=\"0 0 {width} 200\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><path d=\"{path}\"/></svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strokes_span_the_samples_and_silence_is_a_line() {
        let svg = outline(&[[-50, 100], [0, 0], [-100, -100]]);
        assert!(
            svg.contains("viewBox=\"0 0 6 200\"") && svg.contains("d=\"M1 0v150M3 100v4M5 196v4\""),
            "{svg}"
        );
    }
}
