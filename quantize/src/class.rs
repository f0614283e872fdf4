//! Units that are alike: what fewer bits do to the time of one, they do to the time of all.

use crate::unit::Unit;
use serde::{Deserialize, Serialize};

/// Units of the same kind, size and work, so that they take the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class<'a> {
    /// One or more.
    pub units: Vec<&'a Unit>,
}

impl Class<'_> {
    /// Their names.
    pub fn names(&self) -> Vec<String> {
        self.units.iter().map(|unit| unit.name.clone()).collect()
    }
}

/// What fewer bits do to the time of a prediction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassTime {
    /// The units of a class, all of them quantized.
    pub units: Vec<String>,
    /// The time of a prediction over the source's, the median of pairs that were measured in turn.
    pub ratio: f64,
    /// The share of pairs in which it was slower.
    pub slower: f64,
}

impl ClassTime {
    /// Of pairs: the source's time and that of the graph with the class quantized.
    pub fn of(class: &Class<'_>, pairs: &[[f64; 2]]) -> Self {
        let mut ratios: Vec<f64> = pairs.iter().map(|[source, quantized]| quantized / source).collect();
        ratios.sort_by(f64::total_cmp);
        let slower = ratios.iter().filter(|ratio| **ratio > 1.0).count() as f64 / ratios.len().max(1) as f64;
        let ratio = ratios.get(ratios.len() / 2).copied().unwrap_or(1.0);
        Self { units: class.names(), ratio, slower }
    }

    /// Whether it is slower beyond doubt: in four pairs of five, and by the median.
    pub fn is_slower(&self) -> bool {
        self.ratio > 1.0 && self.slower >= 0.8
    }
}

/// The classes of units, in the order of their first.
pub fn classes(units: &[(Unit, u64)]) -> Vec<Class<'_>> {
    // Products of two activations have no matrix: their work alone tells them apart. Attention's kind holds its sizes.
    let key = |(unit, multiply_adds): &(Unit, u64)| {
        (unit.kind, unit.rows, unit.columns, *multiply_adds, unit.nodes.len())
    };
    let mut found: Vec<(&(Unit, u64), Class<'_>)> = Vec::new();
    for entry in units {
        match found.iter_mut().find(|(first, _)| key(first) == key(entry)) {
            Some((_, class)) => class.units.push(&entry.0),
            None => found.push((entry, Class { units: vec![&entry.0] })),
        }
    }
    found.into_iter().map(|(_, class)| class).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::Kind;

    fn unit(name: &str, kind: Kind, rows: usize, columns: usize) -> Unit {
        Unit { name: name.into(), kind, rows, columns, nodes: vec![name.into()], inputs: vec!["x".into()] }
    }

    #[test]
    fn units_of_one_size_and_work_are_a_class() {
        let units = [
            (unit("a.fc1", Kind::Weights, 8, 32), 100),
            (unit("a.fc2", Kind::Weights, 32, 8), 100),
            (unit("a.scores", Kind::Activations, 0, 0), 100),
            (unit("b.fc1", Kind::Weights, 8, 32), 100),
            (unit("few.rows", Kind::Weights, 8, 32), 4),
        ];
        let names: Vec<Vec<String>> = classes(&units).iter().map(Class::names).collect();
        assert_eq!(names, [vec!["a.fc1", "b.fc1"], vec!["a.fc2"], vec!["a.scores"], vec!["few.rows"]]);
    }

    #[test]
    fn slower_is_what_is_so_in_nearly_all_pairs() {
        let units = [(unit("a", Kind::Weights, 8, 32), 100)];
        let class = &classes(&units)[0];
        let time = |pairs: &[[f64; 2]]| ClassTime::of(class, pairs);
        assert!(time(&[[1.0, 1.1], [1.0, 1.2], [2.0, 2.1], [2.0, 1.0], [1.0, 1.3]]).is_slower());
        assert!(!time(&[[1.0, 1.1], [1.0, 0.9], [2.0, 2.1], [2.0, 1.0], [1.0, 1.3]]).is_slower());
        let faster = time(&[[1.0, 0.5], [4.0, 2.0], [1.0, 0.25]]);
        assert!(!faster.is_slower() && faster.ratio == 0.5 && faster.slower == 0.0, "{faster:?}");
    }
}
