//! Which foreign tensors a network's parameters are made of, and whether all of them are there.

use super::sources::Sources;
use crate::error::{Error, Result};
use avdit_nets::Parameter;
use avdit_nets::weight_norm::{Tensors, fold_weight_norm};
use std::collections::BTreeSet;

/// What a parameter is made of.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum From {
    /// A tensor of its shape.
    Whole(String),
    /// A matrix that may be kept as a convolution over one place.
    Matrix(String),
    /// Matrices or vectors below one another, of equal size.
    Rows(Vec<String>),
    /// Length and direction of a weight.
    Norm([String; 2]),
    /// Nothing of the file: these values, which its form of the network goes without.
    Fixed(Vec<f32>),
}

/// A parameter and what it is made of.
pub(super) struct Target {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) from: From,
}

/// A tensor that no parameter is made of, and that may or must be there.
pub(super) struct Extra {
    pub(super) name: String,
    /// None where it does not matter.
    pub(super) shape: Option<Vec<usize>>,
    pub(super) role: Role,
}

/// What such a tensor is for.
pub(super) enum Role {
    /// Must be the same as another, bit for bit.
    Copy(String),
    /// Must be near these values, where it is there.
    Computed(Vec<f32>),
    /// State of a training, which is left out.
    Unused,
}

/// Every parameter in the network's order, and the rest.
pub(super) struct Plan {
    pub(super) targets: Vec<Target>,
    pub(super) extras: Vec<Extra>,
}

/// Largest difference of a stored position code from the computed one: what float16 loses of it, and no more.
const POSITION_TOLERANCE: f32 = 1e-3;

/// A line of the table of what does not fit.
struct Fault {
    name: String,
    what: &'static str,
    expected: Option<Vec<usize>>,
    found: Option<Vec<usize>>,
}

impl Plan {
    pub(super) fn new(parameters: Vec<Parameter>, from: impl Fn(&str) -> From, extras: Vec<Extra>) -> Self {
        let target = |Parameter { name, shape, .. }| Target { from: from(&name), name, shape };
        Self { targets: parameters.into_iter().map(target).collect(), extras }
    }

    /// That names and shapes are those of the network, in both directions.
    ///
    /// # Errors
    /// [`Error::Content`] with a table of all that is missing, unknown or of another shape.
    pub(super) fn check(&self, sources: &Sources, network: &str) -> Result<()> {
        let (mut faults, mut known) = (Vec::new(), BTreeSet::new());
        for Target { shape, from, .. } in &self.targets {
            for (name, expected) in from.needs(shape) {
                let fits = |found: &[usize]| match from {
                    From::Matrix(_) if found.len() > expected.len() => {
                        let (front, back) = found.split_at(expected.len());
                        front == expected && back.iter().all(|&size| size == 1)
                    }
                    _ => found == expected,
                };
                add(&mut faults, &name, Some(&expected), sources.shape(&name), fits);
                known.insert(name);
            }
        }
        for Extra { name, shape, role } in &self.extras {
            let found = sources.shape(name);
            let fits = |found: &[usize]| shape.as_ref().is_none_or(|shape| shape == found);
            if found.is_some() || matches!(role, Role::Copy(_)) {
                add(&mut faults, name, shape.as_deref(), found, fits);
            }
            known.insert(name.clone());
        }
        for name in sources.names().filter(|name| !known.contains(*name)) {
            let found = sources.shape(name).map(<[usize]>::to_vec);
            faults.push(Fault { name: name.to_owned(), what: "unknown", expected: None, found });
        }
        if faults.is_empty() {
            return Ok(());
        }
        let (table, count) = (table(&faults), faults.len());
        let has_others = faults.iter().any(|fault| fault.what == "unknown");
        let hint = "--within and --leave-out take a part of a file's tensors";
        let hint = if has_others { format!("\n\nhint: {hint}") } else { String::new() };
        let what = format!("{count} tensors do not fit {network}; nothing was written\n{table}{hint}");
        Err(Error::content(sources.path(), what))
    }

    /// That what is there twice is the same, and what is computed is what the file has.
    ///
    /// # Errors
    /// [`Error::Content`] naming the tensor and by how much it differs.
    pub(super) fn check_extras(&self, sources: &Sources) -> Result<()> {
        for Extra { name, role, .. } in self.extras.iter().filter(|e| sources.shape(&e.name).is_some()) {
            match role {
                Role::Unused => {}
                Role::Copy(of) => {
                    let same = sources
                        .load(name)?
                        .iter()
                        .zip(sources.load(of)?)
                        .all(|(a, b)| a.to_bits() == b.to_bits());
                    if !same {
                        let what = format!("tensor {name} differs from {of}, of which the network has one");
                        return Err(Error::content(sources.path(), what));
                    }
                }
                Role::Computed(values) => {
                    let errors = sources.load(name)?.into_iter().zip(values).map(|(a, b)| (a - b).abs());
                    let worst = errors.fold(0.0, f32::max);
                    if worst > POSITION_TOLERANCE {
                        let what = format!(
                            "tensor {name} differs by {worst:.1e} from the position code that the network computes, \
                            allowed is {POSITION_TOLERANCE:.0e}\n\nhint: --size says for which latents it is"
                        );
                        return Err(Error::content(sources.path(), what));
                    }
                }
            }
        }
        Ok(())
    }
}

impl From {
    /// Names and shapes of what a parameter of a shape is made of.
    fn needs(&self, shape: &[usize]) -> Vec<(String, Vec<usize>)> {
        match self {
            From::Whole(name) | From::Matrix(name) => vec![(name.clone(), shape.to_vec())],
            From::Rows(names) => {
                let mut part = shape.to_vec();
                part[0] /= names.len();
                names.iter().map(|name| (name.clone(), part.clone())).collect()
            }
            From::Norm([length, direction]) => {
                let mut lengths = vec![1; shape.len()];
                lengths[0] = shape[0];
                vec![(length.clone(), lengths), (direction.clone(), shape.to_vec())]
            }
            From::Fixed(_) => Vec::new(),
        }
    }

    /// The values of the parameter.
    ///
    /// # Errors
    /// As [`Sources::load`].
    pub(super) fn load(&self, sources: &Sources) -> Result<Vec<f32>> {
        match self {
            From::Whole(name) | From::Matrix(name) => sources.load(name),
            From::Fixed(values) => Ok(values.clone()),
            From::Rows(names) => {
                let parts = names.iter().map(|name| sources.load(name)).collect::<Result<Vec<_>>>()?;
                Ok(parts.concat())
            }
            From::Norm(names) => {
                let tensor = |name: &String| -> Result<_> {
                    let shape = sources.shape(name).unwrap_or_default().to_vec();
                    Ok((name.clone(), (shape, sources.load(name)?)))
                };
                let pair = names.iter().map(tensor).collect::<Result<Tensors>>()?;
                let folded = fold_weight_norm(pair).map_err(|error| Error::content(sources.path(), error))?;
                Ok(folded.into_values().next().map(|(_, values)| values).unwrap_or_default())
            }
        }
    }
}

fn add(
    faults: &mut Vec<Fault>,
    name: &str,
    expected: Option<&[usize]>,
    found: Option<&[usize]>,
    fits: impl Fn(&[usize]) -> bool,
) {
    let what = match found {
        None => "missing",
        Some(found) if !fits(found) => "misshapen",
        Some(_) => return,
    };
    let [expected, found] = [expected, found].map(|shape| shape.map(<[usize]>::to_vec));
    faults.push(Fault { name: name.to_owned(), what, expected, found });
}

/// Name, fault, both shapes, a line each.
fn table(faults: &[Fault]) -> String {
    let shape =
        |shape: &Option<Vec<usize>>| shape.as_ref().map_or("-".to_owned(), |shape| format!("{shape:?}"));
    let mut rows = vec![["tensor", "fault", "in the network", "in the file"].map(str::to_owned)];
    rows.extend(
        faults.iter().map(|f| [f.name.clone(), f.what.to_owned(), shape(&f.expected), shape(&f.found)]),
    );
    let widths = [0, 1, 2].map(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0));
    let line = |[name, what, expected, found]: &[String; 4]| {
        format!("  {name:0$}  {what:1$}  {expected:2$}  {found}", widths[0], widths[1], widths[2])
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
