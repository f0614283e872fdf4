//! An inspection as text of at most 100 columns.

use super::targets::{Target, Targets};
use super::{BlockRow, Inspection};
use crate::cost::{Attention, Figures};
use crate::output::say;

pub fn say_inspection(x: &Inspection) {
    facts(x);
    totals(x);
    heading("block", "numbers");
    for (name, numbers, figures) in joined(&x.blocks) {
        row(&name, Some(numbers), &figures, &x.total);
    }
    heading("all blocks, by what they do", "");
    x.kinds.iter().for_each(|kind| row(&kind.kind.to_string(), None, &kind.figures, &x.total));
    if !x.modalities.is_empty() {
        heading("modality (joint parts by tokens)", "");
        for modality in &x.modalities {
            let name = format!("{} ({} tokens)", modality.modality, modality.tokens);
            row(&name, None, &modality.figures, &x.total);
        }
    }
    heading("operator", "");
    x.operators.iter().for_each(|operator| row(&operator.operator, None, &operator.figures, &x.total));
    if let Some(nodes) = &x.nodes {
        heading("node", "");
        nodes.iter().for_each(|node| row(&node.name, None, &node.figures, &x.total));
    }
    if !x.not_counted.is_empty() {
        say(format!("\nnot counted (no rule for what they compute): {}", x.not_counted.join(", ")));
    }
    match &x.targets {
        Some(Targets::Compared { this, targets }) => compared(this, targets),
        Some(Targets::Unknown { reason }) => {
            say(format!("\nwhat targets would change is not known: {reason}"));
        }
        None => {}
    }
}

fn facts(x: &Inspection) {
    let graph = &x.graph;
    let opsets: Vec<_> = graph.opsets.iter().map(|(domain, version)| format!("{domain} {version}")).collect();
    let opsets = opsets.join(", ");
    say(format!(
        "{}: by {}, opset {opsets}, IR {}, {} nodes",
        graph.path, graph.producer, graph.ir_version, graph.nodes
    ));
    let files = x.integrity.files.join(", ");
    say(match (&x.integrity.difference, x.integrity.is_recorded) {
        (Some(difference), _) => format!("integrity    NOT what was exported: {difference}"),
        (None, true) => format!("integrity    {files}: size and SHA-256 as export.json has them"),
        (None, false) => "integrity    not known: there is no export.json".to_owned(),
    });
    say(format!("form         {}", x.form.describe()));
    for (what, ports) in [("inputs", &graph.inputs), ("outputs", &graph.outputs)] {
        for (i, port) in ports.iter().enumerate() {
            say(format!("{:<12} {} {}", if i == 0 { what } else { "" }, port.name, port.r#type));
        }
    }
    let learned = x.parameters.map(|n| format!("{} learned values by export.json", count(n as u64)));
    let held = x.weights.iter().map(|w| {
        format!(
            "{} of {} in the graph: {}, {} tensors",
            count(w.numbers),
            w.r#type,
            bytes(w.bytes),
            w.tensors
        )
    });
    for (i, line) in learned.into_iter().chain(held).enumerate() {
        say(format!("{:<12} {line}", if i == 0 { "weights" } else { "" }));
    }
    say(format!("attention    {}", attention(x.attention)));
}

fn totals(x: &Inspection) {
    let (total, memory) = (&x.total, &x.memory);
    say(format!(
        "\nbatch {}      {} multiply-adds, {} other operations: {} in all",
        x.batch,
        count(total.multiply_adds),
        count(total.other_operations),
        operations(total.operations)
    ));
    say(format!(
        "             {} moved (weights {}, activations {}): {:.1} operations a byte",
        bytes(total.bytes),
        bytes(total.weight_read_bytes),
        bytes(total.activation_read_bytes + total.written_bytes),
        total.operations_per_byte
    ));
    say(format!(
        "memory       {} weights + {} activations = {} at {}",
        bytes(memory.weight_bytes),
        bytes(memory.arena_bytes),
        bytes(memory.peak_bytes),
        memory.at
    ));
    say(format!(
        "             ({} is alive there; an ONNX Runtime that keeps its first run's memory: {})",
        bytes(memory.live_bytes),
        bytes(memory.with_first_run_bytes)
    ));
}

/// Blocks of the same figures that follow each other, as one row that has their sum.
fn joined(blocks: &[BlockRow]) -> Vec<(String, u64, Figures)> {
    let mut rows: Vec<(String, u64, Figures)> = Vec::new();
    let mut rest = blocks;
    while let Some(first) = rest.first() {
        let is_alike = |row: &&BlockRow| {
            row.block.starts_with("blocks.") && (row.figures, row.weights) == (first.figures, first.weights)
        };
        let n = rest.iter().take_while(is_alike).count().max(1);
        let name = match n {
            1 => first.block.clone(),
            n => format!("{} to {} (alike)", first.block, rest[n - 1].block.trim_start_matches("blocks.")),
        };
        rows.push((name, first.weights * n as u64, times(&first.figures, n)));
        rest = &rest[n..];
    }
    rows
}

fn times(figures: &Figures, n: usize) -> Figures {
    let m = n as u64;
    Figures {
        nodes: figures.nodes * n,
        multiply_adds: figures.multiply_adds * m,
        other_operations: figures.other_operations * m,
        operations: figures.operations * m,
        activation_read_bytes: figures.activation_read_bytes * m,
        weight_read_bytes: figures.weight_read_bytes * m,
        written_bytes: figures.written_bytes * m,
        bytes: figures.bytes * m,
        operations_per_byte: figures.operations_per_byte,
    }
}

fn heading(name: &str, numbers: &str) {
    say(format!(
        "\n{name:<34} {:>5} {numbers:>8} {:>9} {:>6} {:>9} {:>9} {:>7}",
        "nodes", "mult-adds", "share", "other ops", "moved", "ops/B"
    ));
}

fn row(name: &str, numbers: Option<u64>, x: &Figures, total: &Figures) {
    let share = 100.0 * x.operations as f64 / total.operations.max(1) as f64;
    say(format!(
        "{:<34} {:>5} {:>8} {:>9} {share:>5.1}% {:>9} {:>9} {:>7.1}",
        shortened(name, 34),
        x.nodes,
        numbers.map_or(String::new(), count),
        count(x.multiply_adds),
        count(x.other_operations),
        bytes(x.bytes),
        x.operations_per_byte
    ));
}

fn compared(this: &Target, targets: &[Target]) {
    say(format!(
        "\n{:<12} {:>6} {:<28} {:>9} {:>9} {:>9} {:>11}",
        "target", "nodes", "attention", "all ops", "moved", "weights", "activations"
    ));
    for target in std::iter::once(this).chain(targets) {
        if let Some(problem) = &target.problem {
            say(format!("{:<12} {problem}", target.target));
            continue;
        }
        say(format!(
            "{:<12} {:>6} {:<28} {:>9} {:>9} {:>9} {:>11}",
            target.target,
            target.nodes,
            attention(target.attention),
            count(target.operations),
            bytes(target.bytes),
            bytes(target.weight_bytes),
            bytes(target.arena_bytes)
        ));
        let changes: Vec<_> = target.changes(this).iter().map(|(op, n)| format!("{n:+} {op}")).collect();
        wrapped(&changes, 13, 100).iter().for_each(say);
    }
    say("(of the plain network; counted at one block and two, and carried on to its depth)");
}

/// Words separated by commas on lines of `width`, each indented.
fn wrapped(words: &[String], indent: usize, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (i, word) in words.iter().enumerate() {
        let word = if i + 1 < words.len() { format!("{word}, ") } else { word.clone() };
        match lines.last_mut() {
            Some(line) if line.len() + word.trim_end().len() <= width => line.push_str(&word),
            _ => lines.push(" ".repeat(indent) + &word),
        }
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

fn attention(attention: Attention) -> String {
    match (attention.fused, attention.written_out) {
        (0, 0) => "none found".to_owned(),
        (fused, 0) => format!("{fused} fused"),
        (0, written_out) => format!("{written_out} written out"),
        (fused, written_out) => format!("{fused} fused, {written_out} written out"),
    }
}

/// The end of a path says more than its beginning.
fn shortened(name: &str, width: usize) -> String {
    let letters: Vec<char> = name.chars().collect();
    match letters.len() > width {
        true => "…".chars().chain(letters[letters.len() + 1 - width..].iter().copied()).collect(),
        false => name.to_owned(),
    }
}

fn operations(n: u64) -> String {
    format!("{:.2} GFLOP", n as f64 * 1e-9)
}

/// `21.4 M`.
pub fn count(n: u64) -> String {
    scaled(n as f64, 1e3, &["", " k", " M", " G", " T"])
}

/// `21.4 MB`, of 10⁶ bytes.
pub fn bytes(n: u64) -> String {
    scaled(n as f64, 1e3, &[" B", " kB", " MB", " GB", " TB"])
}

fn scaled(mut x: f64, step: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while x >= step * 0.99995 && unit + 1 < units.len() {
        x /= step;
        unit += 1;
    }
    let digits = if unit == 0 || x >= 100.0 {
        0
    } else if x >= 10.0 {
        1
    } else {
        2
    };
    format!("{x:.digits$}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_readable() {
        let texts: Vec<_> = [0, 999, 1000, 12_345, 999_999, 21_400_000_000].map(count).into_iter().collect();
        assert_eq!(texts, ["0", "999", "1.00 k", "12.3 k", "1.00 M", "21.4 G"]);
        assert_eq!(bytes(131_104_080), "131 MB");
        assert_eq!(shortened("/blocks.0/attn/scores/MatMul", 10), "…es/MatMul");
    }

    #[test]
    fn lines_stay_within_their_width() {
        let words: Vec<_> =
            ["-24 MatMul", "-12 Softmax", "+12 com.microsoft.MultiHeadAttention"].map(String::from).into();
        let lines = wrapped(&words, 2, 30);
        assert_eq!(lines, ["  -24 MatMul, -12 Softmax,", "  +12 com.microsoft.MultiHeadAttention"]);
    }
}
