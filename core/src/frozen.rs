//! The levels that a network can be told whose conditioning was computed beforehand.

use crate::error::{Error, Result};
use crate::latents::Levels;
use crate::layout::Modality;
use crate::level_plan::{LevelPlan, LevelPlanKind};
use crate::task::CellMask;
use serde::{Deserialize, Serialize};

/// How far a level may lie from one of the schedule.
const TOLERANCE: f32 = 1e-3;

/// The levels that sampling in a fixed number of steps visits, whatever the task and the order of the segments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrozenSchedule {
    /// Steps that each cell takes from T to 0.
    pub steps: usize,
    /// Ascending, from 0 (given cells) to T (the start, and guidance).
    pub levels: Vec<f32>,
}

impl FrozenSchedule {
    /// The levels of `steps` steps from level `timesteps`.
    ///
    /// # Errors
    /// As [`LevelPlan::new`].
    pub fn new(steps: usize, timesteps: usize) -> Result<Self> {
        let plan = LevelPlan::new(LevelPlanKind::Uniform, &CellMask::none(1), steps, timesteps)?;
        let levels = (0..=plan.steps()).rev().map(|row| plan.row(row)[0] as f32).collect();
        Ok(Self { steps, levels })
    }

    /// Checks a schedule that was read from a file.
    ///
    /// # Errors
    /// [`Error::Value`] if the levels do not ascend from 0.
    pub fn check(&self) -> Result<()> {
        let ascends = self.levels.windows(2).all(|pair| pair[1] - pair[0] > 2.0 * TOLERANCE);
        if self.levels.len() > 1 && self.levels[0] == 0.0 && ascends {
            return Ok(());
        }
        let got = format!("{:?}", self.levels);
        Err(Error::value("levels of the frozen schedule", "at least two that ascend from 0", got))
    }

    /// Checks that every level of a batch is one of the schedule.
    ///
    /// # Errors
    /// [`Error::Value`] naming the first cell whose level is not, and what can be done.
    pub fn check_levels(&self, levels: &Levels, segments: usize) -> Result<()> {
        for modality in Modality::ALL {
            for (i, &level) in levels.get(modality).iter().enumerate() {
                if self.has(level) {
                    continue;
                }
                let cell = format!("level of {} cell {}", modality.name(), i % segments.max(1));
                let steps = self.steps;
                let expected = format!(
                    "one of the {steps}-step schedule that the graph was frozen for (sample with --steps {steps}, \
                     or export without --freeze-schedule)"
                );
                return Err(Error::value(cell, expected, level));
            }
        }
        Ok(())
    }

    fn has(&self, level: f32) -> bool {
        let next = self.levels.partition_point(|&known| known < level - TOLERANCE);
        self.levels.get(next).is_some_and(|&known| (known - level).abs() <= TOLERANCE)
    }

    /// The row of each level: how many of these lie below it. Between neighbours, in the middle.
    pub fn midpoints(&self) -> Vec<f32> {
        self.levels.windows(2).map(|pair| 0.5 * (pair[0] + pair[1])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_of_so_many_steps_stays_on_the_schedule() {
        for (steps, timesteps) in [(1, 1000), (7, 1000), (20, 1000), (1000, 1000)] {
            let frozen = FrozenSchedule::new(steps, timesteps).unwrap();
            frozen.check().unwrap();
            assert_eq!((frozen.levels[0], frozen.levels[steps]), (0.0, 1000.0));
            let given = CellMask::parse("audio:0", 3).unwrap();
            for kind in [LevelPlanKind::Uniform, LevelPlanKind::Autoregressive, LevelPlanKind::Pyramid(2)] {
                let plan = LevelPlan::new(kind, &given, steps, timesteps).unwrap();
                for row in 0..=plan.steps() {
                    let cells: Vec<f32> = plan.row(row).iter().map(|&level| level as f32).collect();
                    frozen.check_levels(&Levels::repeat(&cells, 2), 3).unwrap();
                }
            }
        }
    }

    #[test]
    fn a_level_off_the_schedule_is_named_with_its_cell_and_the_way_out() {
        let frozen = FrozenSchedule::new(20, 1000).unwrap();
        let levels = Levels { video: vec![50.0, 0.0, 1000.0, 950.0], audio: vec![50.0, 0.0, 1000.0, 33.0] };
        let message = frozen.check_levels(&levels, 2).unwrap_err().to_string();
        assert_eq!(
            message,
            "level of audio cell 1: 33 is not allowed, expected one of the 20-step schedule that the graph was frozen \
             for (sample with --steps 20, or export without --freeze-schedule)"
        );
        assert!(!frozen.has(f32::NAN) && !frozen.has(1001.0) && !frozen.has(-1.0) && frozen.has(50.0004));
    }

    #[test]
    fn a_levels_row_is_the_number_of_midpoints_below_it() {
        let frozen = FrozenSchedule::new(7, 1000).unwrap();
        for (row, level) in frozen.levels.iter().enumerate() {
            assert_eq!(frozen.midpoints().iter().filter(|&middle| level > middle).count(), row);
        }
        let wrong = FrozenSchedule { levels: vec![0.0, 5.0, 5.0], ..frozen };
        assert!(
            wrong
                .check()
                .unwrap_err()
                .to_string()
                .starts_with("levels of the frozen schedule: [0.0, 5.0, 5.0]")
        );
    }
}
