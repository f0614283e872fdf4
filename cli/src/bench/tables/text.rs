//! Tables as text.

use super::Table;

/// For a terminal: columns of equal width.
pub fn text(table: &Table) -> String {
    let all = || std::iter::once(&table.head).chain(&table.rows);
    let widths: Vec<usize> =
        (0..table.head.len()).map(|i| all().map(|row| row[i].chars().count()).max().unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(i, (cell, width))| match i < table.words {
            true => format!("{cell:<width$}"),
            false => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all().map(line).fold(format!("{}\n", table.title), |text, line| text + &line + "\n")
}

/// For Markdown, with its heading.
pub fn markdown(table: &Table) -> String {
    let row = |cells: &mut dyn Iterator<Item = String>| {
        let cells: Vec<_> = cells.map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let rule = (0..table.head.len()).map(|i| if i < table.words { "---" } else { "---:" }.to_owned());
    let mut out = format!("## {}\n\n", table.title);
    if !table.about.is_empty() {
        out += &format!("{}\n\n", table.about);
    }
    out += &row(&mut table.head.iter().cloned());
    out += &row(&mut rule.into_iter());
    for cells in &table.rows {
        out += &row(&mut cells.iter().map(|cell| escaped(cell)));
    }
    out
}

/// Letter for letter, whatever Markdown would make of it.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        if "\\`*_<>[]".contains(c) {
            out.push('\\');
        }
        out.push(c);
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new("Title", "About.", &["case", "p50"], 1);
        table.rows = vec![vec!["a|b_c".into(), "7 ms".into()], vec!["d".into(), "10 µs".into()]];
        table
    }

    #[test]
    fn numbers_stand_on_the_right() {
        assert_eq!(text(&table()), "Title\ncase     p50\na|b_c   7 ms\nd      10 µs\n");
    }

    #[test]
    fn markdown_keeps_its_columns_whatever_is_in_them() {
        let text = markdown(&table());
        assert!(text.starts_with("## Title\n\nAbout.\n\n| case | p50 |\n| --- | ---: |\n"), "{text}");
        assert!(text.contains("| a\\|b\\_c | 7 ms |"), "{text}");
    }
}
