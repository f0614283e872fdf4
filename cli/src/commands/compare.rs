//! `avdit compare`: two results of `bench` side by side.

use crate::args::CompareArgs;
use crate::bench::compare::{Comparison, Pair, compare, differences, read, repeated};
use crate::bench::tables::{Table, text};
use crate::exit::Coded;
use crate::output::{say, say_json};
use crate::report::format::{NO_NUMBER, milliseconds, percent};
use anyhow::{Result, bail};

pub fn run(args: &CompareArgs) -> Result<()> {
    let (a, b) = (read(&args.a)?, read(&args.b)?);
    let (a_name, b_name) = (args.a.display().to_string(), args.b.display().to_string());
    for (name, result) in [(&a_name, &a), (&b_name, &b)] {
        if let Some(case) = repeated(result) {
            let hint = "give model folders names of their own and measure again";
            bail!(Coded::bad_input(format!("{name}: two rows are '{case}'\n\nhint: {hint}")));
        }
    }
    let differing = differences(&a, &b);
    if !differing.is_empty() && !args.force {
        let list: String = differing.iter().map(|d| format!("\n  {}: {} / {}", d.what, d.a, d.b)).collect();
        let hint = "measure both on one machine in one state; --force compares all the same";
        let text = format!(
            "{a_name} and {b_name} were not measured on the same machine in the same state:{list}\n\nhint: {hint}"
        );
        bail!(Coded::bad_input(text));
    }
    let comparison = compare((&a_name, &a), (&b_name, &b), args.by, args.max_regression);
    match args.json {
        true => say_json(&comparison)?,
        false => say_comparison(&comparison),
    }
    let regressed: Vec<&Pair> = comparison.rows.iter().filter(|pair| pair.regressed).collect();
    if args.max_regression.is_some() && comparison.rows.iter().all(|pair| pair.ratio.is_none()) {
        let text = format!("nothing to judge: no case ran often enough in both {a_name} and {b_name}");
        bail!(Coded::bad_input(text));
    }
    match args.max_regression {
        Some(most) if !regressed.is_empty() => {
            let list: String =
                regressed.iter().map(|pair| format!("\n  {}: {}", pair.case, ratio(pair))).collect();
            let what = format!("{b_name} is slower than {a_name} by more than {}", percent(most));
            bail!(Coded::gate(format!("{what}:{list}")))
        }
        _ => Ok(()),
    }
}

fn say_comparison(comparison: &Comparison) {
    say(format!("A: {}\nB: {}", comparison.a, comparison.b));
    let table = Table {
        title: format!("B over A by the {}, with a 95 % interval over runs", comparison.figure.words()),
        about: String::new(),
        head: ["case", "A", "B", "B/A", "verdict"].map(Into::into).into(),
        words: 1,
        rows: comparison.rows.iter().map(row).collect(),
    };
    say(text(&table).trim_end());
    for difference in &comparison.differences {
        say(format!("differs: {}: {} / {}", difference.what, difference.a, difference.b));
    }
    for pair in &comparison.rows {
        if let Some((a, b)) = &pair.versions {
            say(format!("differs: engine or graph, {}: {a} / {b}", pair.case));
        }
    }
    for note in &comparison.notes {
        say(format!("note: {note}"));
    }
}

fn row(pair: &Pair) -> Vec<String> {
    let ms = |value: Option<f64>| value.map_or_else(|| NO_NUMBER.to_owned(), milliseconds);
    let verdict = format!("{}{}", pair.verdict.words(), if pair.regressed { ": regressed" } else { "" });
    vec![pair.case.clone(), ms(pair.a_ms), ms(pair.b_ms), ratio(pair), verdict]
}

fn ratio(pair: &Pair) -> String {
    match pair.ratio {
        Some(r) => format!("{:.3} ({:.3} to {:.3})", r.estimate, r.low, r.high),
        None => pair.verdict.words().to_owned(),
    }
}
