//! What a page about an audit shows: all counts, and of many rows a choice that does not grow with the dataset.

use super::{AuditRow, Look, Reason, count_reasons};
use crate::codec::FitReport;
use crate::shard::{DatasetInfo, LatentStats};

/// Kept clips shown at most, spread evenly.
const KEPT: usize = 200;
/// Rows shown at most of those left out, and of those with one reason.
const LEFT_OUT: usize = 1000;

/// Writes the page, whole: what [`prepare`](crate::prepare::prepare) is given to put beside the tables.
pub type RenderPage = fn(&AuditPage<'_>) -> Result<String, String>;

/// An audit, as a page shows it.
#[derive(Debug)]
pub struct AuditPage<'a> {
    /// The dataset; `None` if no clip could be kept.
    pub dataset: Option<&'a DatasetInfo>,
    /// The codec's loss.
    pub codec: Option<&'a FitReport>,
    /// Its latents.
    pub stats: Option<&'a LatentStats>,
    /// Files that were looked at.
    pub files: usize,
    /// Clips kept.
    pub kept: usize,
    /// Rows left out, by reason.
    pub reasons: Vec<(Reason, usize)>,
    /// The rows shown, in order.
    pub rows: Vec<PageRow<'a>>,
}

/// A row of the page.
#[derive(Debug)]
pub struct PageRow<'a> {
    /// The row of the audit.
    pub row: &'a AuditRow,
    /// The clip at a glance, if it could be decoded.
    pub look: Look,
}

impl<'a> AuditPage<'a> {
    /// The page of an audit without its dataset; `look` gives the look of a row by its index.
    pub fn new(files: usize, rows: &'a [AuditRow], mut look: impl FnMut(usize) -> Look) -> Self {
        let shown = shown(rows);
        Self {
            dataset: None,
            codec: None,
            stats: None,
            files,
            kept: rows.iter().filter(|row| row.reason.is_none()).count(),
            reasons: count_reasons(rows),
            rows: shown.into_iter().map(|index| PageRow { row: &rows[index], look: look(index) }).collect(),
        }
    }
}

/// The indices of the rows that are shown: kept clips, and each reason's, thinned out evenly.
fn shown(rows: &[AuditRow]) -> Vec<usize> {
    let of = |reason: Option<Reason>| -> Vec<usize> {
        (0..rows.len()).filter(|&i| rows[i].reason == reason).collect()
    };
    let reasons = count_reasons(rows);
    let left_out: usize = reasons.iter().map(|(_, n)| n).sum();
    // Rare reasons are shown whole: what they leave is shared by the common ones.
    let (mut room, mut rest) = (LEFT_OUT.min(left_out), reasons.len());
    let mut by_count = reasons;
    by_count.sort_by_key(|&(reason, n)| (n, reason));
    let mut all = thinned(&of(None), KEPT);
    for (reason, n) in by_count {
        let share = n.min(room / rest);
        all.extend(thinned(&of(Some(reason)), share));
        (room, rest) = (room - share, rest - 1);
    }
    all.sort_unstable();
    all
}

/// At most `most` of them, evenly spread.
fn thinned(of: &[usize], most: usize) -> Vec<usize> {
    let n = most.min(of.len());
    (0..n).map(|i| of[i * of.len() / n]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_rare_reasons_whole_and_of_the_rest_a_bounded_even_choice() {
        let row = |i: usize| AuditRow {
            source: format!("{i}"),
            start_s: None,
            reason: match i {
                _ if i % 5 != 0 => None,
                _ if i % 1000 == 0 => Some(Reason::Still),
                _ => Some(Reason::Silent),
            },
            detail: String::new(),
            measured: None,
        };
        let rows: Vec<AuditRow> = (0..20_000).map(row).collect();
        let page = AuditPage::new(7, &rows, |_| Look::default());
        assert_eq!((page.kept, page.reasons), (16_000, vec![(Reason::Silent, 3980), (Reason::Still, 20)]));
        let count = |reason| page.rows.iter().filter(|row| row.row.reason == reason).count();
        assert_eq!((count(None), count(Some(Reason::Still)), count(Some(Reason::Silent))), (200, 20, 980));
        let places: Vec<usize> = page.rows.iter().map(|row| row.row.source.parse().unwrap()).collect();
        assert!(places.is_sorted() && places[places.len() - 1] > 19_900);
        assert_eq!(AuditPage::new(0, &rows[..3], |_| Look::default()).rows.len(), 3);
    }
}
