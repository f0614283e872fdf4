//! Kind `metrics`: Fréchet distance and polynomial-kernel discrepancy of two sets of features.
//!
//! Every case has tensors `CASE.x` and `CASE.y`, `(n, d)`, and its values under `values.CASE`. Tolerances are prose,
//! clauses with commas between: a clause holds for the cases it names (by how their names begin), the first one for
//! the others.

use super::{Golden, Row};
use anyhow::{Context, Result};
use avdit_media::metrics::{Features, frechet, polynomial_mmd};
use serde_json::Value;

const ENGINE: &str = "media f64";
/// "Where the value is near 0", an error relative to it says nothing.
const NEAR_ZERO: f64 = 1e-3;

/// Both quantities of every case.
pub(super) fn cases(golden: &Golden) -> Vec<Row> {
    let values = match golden.object("values") {
        Ok(values) => values,
        Err(error) => return vec![Row::failed(&golden.name, "values", ENGINE, &error)],
    };
    let mut rows = Vec::new();
    for (case, values) in values {
        for (what, of) in [("fd", fd as Measure), ("mmd", mmd)] {
            let name = format!("{case}: {what}");
            rows.push(match of(golden, case, values) {
                Ok((error, tolerance)) => Row::new(&golden.name, name, ENGINE, error, tolerance),
                Err(error) => Row::failed(&golden.name, name, ENGINE, &error),
            });
        }
    }
    rows
}

/// The error of a case and its tolerance.
type Measure = fn(&Golden, &str, &Value) -> Result<(f64, f64)>;

fn fd(golden: &Golden, case: &str, values: &Value) -> Result<(f64, f64)> {
    let (x, y) = (features(golden, case, "x")?, features(golden, case, "y")?);
    let tolerance = Tolerance::of(golden, "fd", case)?;
    Ok((tolerance.error(frechet(&x, &y)?, number(values, "fd_eigh_f64")?), tolerance.most))
}

fn mmd(golden: &Golden, case: &str, values: &Value) -> Result<(f64, f64)> {
    let (x, y) = (features(golden, case, "x")?, features(golden, case, "y")?);
    let tolerance = Tolerance::of(golden, "mmd", case)?;
    Ok((tolerance.error(polynomial_mmd(&x, &y)?, number(values, "mmd_poly_f64")?), tolerance.most))
}

fn features(golden: &Golden, case: &str, side: &str) -> Result<Features> {
    let tensor = golden.tensor(&format!("{case}.{side}"))?;
    let dims = *tensor.shape.last().context("features without dimensions")?;
    Ok(Features::new(dims, tensor.data.clone())?)
}

fn number(values: &Value, key: &str) -> Result<f64> {
    values[key].as_f64().with_context(|| format!("no number '{key}' in the values of the case"))
}

/// How far a value may be off.
struct Tolerance {
    relative: bool,
    most: f64,
}

impl Tolerance {
    fn of(golden: &Golden, what: &str, case: &str) -> Result<Self> {
        let prose = golden.json["tolerance"][what].as_str();
        let prose = prose.with_context(|| format!("{}: no tolerance '{what}'", golden.name))?;
        clause(prose, case).with_context(|| format!("{}: no tolerance of {case} in: {prose}", golden.name))
    }

    fn error(&self, got: f64, expected: f64) -> f64 {
        let apart = (got - expected).abs();
        if self.relative && expected.abs() > NEAR_ZERO { apart / expected.abs() } else { apart }
    }
}

/// The clause for a case: its first `rel` or `abs` with a number.
fn clause(prose: &str, case: &str) -> Option<Tolerance> {
    // What stands in brackets explains.
    let prose = prose.split(['(', ')']).step_by(2).collect::<String>();
    let clauses: Vec<&str> = prose.split([',', ';']).collect();
    let words = |clause: &&&str| {
        let mut words = clause.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.any(|word| word.len() > 3 && case.starts_with(word))
    };
    let chosen = clauses.iter().find(words).or(clauses.first())?;
    let mut words = chosen.split_whitespace().skip_while(|word| !["rel", "abs"].contains(word));
    let relative = words.next()? == "rel";
    Some(Tolerance { relative, most: words.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_case_has_the_tolerance_of_the_clause_that_names_it() {
        let fd = "compare with x_f64: rel 1e-6 for regular/same/large_mean, abs 1e-5 for near_singular and \
                  identical (see values.* for what, and who)";
        let mmd = "rel 1e-9 in float64 (abs 1e-8 where near 0), large_mean rel 1e-7";
        for (prose, case, relative, most) in [
            (fd, "same_distribution", true, 1e-6),
            (fd, "near_singular", false, 1e-5),
            (fd, "identical", false, 1e-5),
            (fd, "unheard_of", true, 1e-6),
            (mmd, "regular", true, 1e-9),
            (mmd, "large_mean", true, 1e-7),
        ] {
            let found = clause(prose, case).unwrap();
            assert_eq!((found.relative, found.most), (relative, most), "{case} in: {prose}");
        }
    }
}
