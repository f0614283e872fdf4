//! Which cells were given: one row for each modality, one column for each segment.

use super::Drawing;

/// The grid; empty without segments.
pub(in super::super) fn cells_chart(video: &[bool], audio: &[bool]) -> String {
    let columns = video.len().max(audio.len());
    if columns == 0 {
        return String::new();
    }
    let width = (176.0 / columns as f64).clamp(3.0, 26.0);
    let mut drawing = Drawing::new(50.0 + columns as f64 * width, 42.0);
    for (row, (name, cells)) in [("video", video), ("audio", audio)].into_iter().enumerate() {
        let y = row as f64 * 22.0;
        drawing.text(42.0, y + 14.0, "row", "end", name);
        for (i, given) in cells.iter().enumerate() {
            let x = 50.0 + i as f64 * width;
            let class = if *given { format!("{name} given") } else { "made".into() };
            let side = (width - 3.0).max(2.0);
            drawing.add(format_args!(
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{side:.1}\" height=\"17\" rx=\"3\"/>",
                y + 1.0
            ));
        }
    }
    drawing.finish("cells", &cells_in_words(video, audio))
}

/// `given: video segments 1–2 of 5, audio all 5 segments`.
pub(in super::super) fn cells_in_words(video: &[bool], audio: &[bool]) -> String {
    let parts: Vec<String> = [("video", video), ("audio", audio)]
        .into_iter()
        .filter_map(|(name, cells)| in_words(name, cells))
        .collect();
    if parts.is_empty() {
        "nothing given: all cells made".into()
    } else {
        format!("given: {}", parts.join(", "))
    }
}

fn in_words(name: &str, cells: &[bool]) -> Option<String> {
    let n = cells.len();
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for i in (0..n).filter(|&i| cells[i]) {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == i => *last = i,
            _ => runs.push((i, i)),
        }
    }
    let part = |&(first, last): &(usize, usize)| match first == last {
        true => (first + 1).to_string(),
        false => format!("{}–{}", first + 1, last + 1),
    };
    match runs.as_slice() {
        [] => None,
        [(0, last)] if last + 1 == n => Some(format!("all of {name}")),
        [(first, last)] if first == last => Some(format!("{name} segment {} of {n}", first + 1)),
        _ => Some(format!("{name} segments {} of {n}", runs.iter().map(part).collect::<Vec<_>>().join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_cells_are_told_in_words() {
        assert_eq!(cells_in_words(&[false; 3], &[false; 3]), "nothing given: all cells made");
        assert_eq!(cells_in_words(&[false; 3], &[true; 3]), "given: all of audio");
        assert_eq!(
            cells_in_words(&[true, true, false, true], &[true, false, false, false]),
            "given: video segments 1–2, 4 of 4, audio segment 1 of 4"
        );
    }

    #[test]
    fn every_cell_is_drawn_and_given_ones_are_filled() {
        let svg = cells_chart(&[true, true, false], &[false, true, false]);
        assert_eq!(svg.matches("class=\"video given\"").count(), 2);
        assert_eq!(svg.matches("class=\"audio given\"").count(), 1);
        assert_eq!(svg.matches("class=\"made\"").count(), 3);
        assert_eq!(cells_chart(&[], &[]), "");
    }
}
