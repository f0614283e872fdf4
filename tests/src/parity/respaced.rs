//! Kind `respaced_diffusion`.

use super::{Golden, Row};

pub(super) fn cases(_golden: &Golden) -> Vec<Row> {
    Vec::new()
}
