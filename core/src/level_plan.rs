//! The levels of every cell over a whole run of sampling: a matrix, step × cell.

use crate::error::{Error, Result};
use crate::task::CellMask;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// In which order the segments are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LevelPlanKind {
    /// `uniform`: all cells go down together.
    Uniform,
    /// `autoregressive`: one segment after the other.
    Autoregressive,
    /// `pyramid:U`: each segment starts U steps after the one before it (Chen et al. 2024).
    Pyramid(usize),
}

/// The levels of a run. Row 0 is its start, the last row all zeros; each step goes from one row to the next.
#[derive(Clone, Debug, PartialEq)]
pub struct LevelPlan {
    cells: usize,
    levels: Vec<f64>,
    first_moves: Vec<usize>,
    moves: usize,
}

impl LevelPlan {
    /// The plan of a kind in which every cell that is not given takes `steps` steps from level `timesteps` to 0.
    ///
    /// The levels are whole numbers, as in training, spread so that the first is T itself ("trailing"), without
    /// which few steps start from a level that the noise does not have (Lin et al. 2024).
    ///
    /// # Errors
    /// [`Error::Value`] if `steps` is 0 or above T.
    pub fn new(kind: LevelPlanKind, given: &CellMask, steps: usize, timesteps: usize) -> Result<Self> {
        if steps == 0 || steps > timesteps {
            return Err(Error::value("sampling steps", format!("1 to {timesteps}"), steps));
        }
        let segments = given.segments();
        let delay = match kind {
            LevelPlanKind::Uniform => 0,
            LevelPlanKind::Autoregressive => steps,
            LevelPlanKind::Pyramid(delay) => delay,
        };
        // Segments that are wholly given wait for nothing and are waited for by none.
        let made = |segment: usize| !given.cells()[segment] || !given.cells()[segments + segment];
        let mut starts = vec![0; segments];
        let mut count = 0;
        for (segment, start) in starts.iter_mut().enumerate() {
            *start = count * delay;
            count += usize::from(made(segment));
        }
        let rows = steps + count.saturating_sub(1) * delay;
        let level = |done: usize| (timesteps as f64 * (steps - done) as f64 / steps as f64).round_ties_even();
        let mut levels = Vec::with_capacity((rows + 1) * 2 * segments);
        for row in 0..=rows {
            for (cell, &is_given) in given.cells().iter().enumerate() {
                let done = row.saturating_sub(starts[cell % segments]).min(steps);
                levels.push(if is_given { 0.0 } else { level(done) });
            }
        }
        let first_moves = (0..2 * segments).map(|cell| starts[cell % segments]).collect();
        Ok(Self { cells: 2 * segments, levels, first_moves, moves: steps })
    }

    /// Steps of the run.
    pub fn steps(&self) -> usize {
        self.levels.len() / self.cells - 1
    }

    /// Steps that each cell takes.
    pub fn cell_steps(&self) -> usize {
        self.moves
    }

    /// The steps that a cell has taken before step `step`.
    pub fn taken(&self, step: usize, cell: usize) -> usize {
        step.saturating_sub(self.first_moves[cell]).min(self.moves)
    }

    /// The levels before step `row`, `(2N,)` in cell order.
    pub fn row(&self, row: usize) -> &[f64] {
        &self.levels[row * self.cells..(row + 1) * self.cells]
    }
}

impl fmt::Display for LevelPlanKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LevelPlanKind::Uniform => f.write_str("uniform"),
            LevelPlanKind::Autoregressive => f.write_str("autoregressive"),
            LevelPlanKind::Pyramid(delay) => write!(f, "pyramid:{delay}"),
        }
    }
}

impl FromStr for LevelPlanKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match (text, text.strip_prefix("pyramid:").map(str::parse)) {
            ("uniform", _) => Ok(LevelPlanKind::Uniform),
            ("autoregressive", _) => Ok(LevelPlanKind::Autoregressive),
            (_, Some(Ok(delay))) => Ok(LevelPlanKind::Pyramid(delay)),
            _ => {
                let expected = "uniform, autoregressive, or pyramid:U with U steps between segments";
                Err(Error::value("level plan", expected, format!("'{text}'")))
            }
        }
    }
}

impl Serialize for LevelPlanKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LevelPlanKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(kind: LevelPlanKind, given: &str) -> Vec<Vec<f64>> {
        let given = if given.is_empty() { CellMask::none(3) } else { CellMask::parse(given, 3).unwrap() };
        let plan = LevelPlan::new(kind, &given, 2, 10).unwrap();
        (0..=plan.steps()).map(|row| plan.row(row).to_vec()).collect()
    }

    #[test]
    fn uniform_goes_down_together_and_leaves_given_cells_at_zero() {
        let expected: Vec<Vec<f64>> = [10.0, 5.0, 0.0].map(|t| vec![0.0, t, t, t, t, t]).to_vec();
        assert_eq!(rows(LevelPlanKind::Uniform, "video:0"), expected);
    }

    #[test]
    fn autoregressive_finishes_a_segment_before_the_next_starts_and_skips_given_ones() {
        let rows = rows(LevelPlanKind::Autoregressive, "video:1;audio:1");
        let video: Vec<&[f64]> = rows.iter().map(|row| &row[..3]).collect();
        let expected =
            [[10.0, 0.0, 10.0], [5.0, 0.0, 10.0], [0.0, 0.0, 10.0], [0.0, 0.0, 5.0], [0.0, 0.0, 0.0]];
        assert_eq!(video, expected);
    }

    #[test]
    fn a_pyramid_delays_each_segment() {
        let rows = rows(LevelPlanKind::Pyramid(1), "");
        let audio: Vec<&[f64]> = rows.iter().map(|row| &row[3..]).collect();
        let expected =
            [[10.0, 10.0, 10.0], [5.0, 10.0, 10.0], [0.0, 5.0, 10.0], [0.0, 0.0, 5.0], [0.0, 0.0, 0.0]];
        assert_eq!(audio, expected);
    }

    #[test]
    fn names_come_back_and_impossible_step_counts_are_refused() {
        for kind in [LevelPlanKind::Uniform, LevelPlanKind::Autoregressive, LevelPlanKind::Pyramid(3)] {
            assert_eq!(kind.to_string().parse::<LevelPlanKind>().unwrap(), kind);
        }
        assert!("pyramid".parse::<LevelPlanKind>().is_err());
        for steps in [0, 11] {
            assert!(LevelPlan::new(LevelPlanKind::Uniform, &CellMask::none(3), steps, 10).is_err());
        }
    }
}
