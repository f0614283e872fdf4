//! A result as tables of text, which the terminal, Markdown and the page share, and as CSV.

mod csv;
mod of_result;
mod text;

pub use csv::csv;
pub use of_result::{common, labels, summary, tables};
pub use text::{markdown, text};

use serde::Serialize;

/// A table; cells are as a person reads them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Table {
    /// The heading.
    pub title: String,
    /// What a reader must know of it.
    pub about: String,
    /// The columns.
    pub head: Vec<String>,
    /// How many columns from the left hold words.
    pub words: usize,
    /// The rows, each as long as the head.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    fn new(title: &str, about: &str, head: &[&str], words: usize) -> Self {
        Self {
            title: title.into(),
            about: about.into(),
            head: head.iter().map(|&name| name.into()).collect(),
            words,
            rows: Vec::new(),
        }
    }

    /// Without the columns in which no row has anything but a dash.
    fn without_empty_columns(mut self) -> Self {
        let kept: Vec<bool> = (0..self.head.len())
            .map(|i| i == 0 || self.rows.iter().any(|row| row[i] != crate::report::format::NO_NUMBER))
            .collect();
        let keep = |row: &mut Vec<String>| {
            let mut place = kept.iter();
            row.retain(|_| place.next().copied().unwrap_or(true));
        };
        keep(&mut self.head);
        self.rows.iter_mut().for_each(keep);
        self.words = kept[..self.words].iter().filter(|kept| **kept).count();
        self
    }
}
