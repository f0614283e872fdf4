//! The types of reshapes, where a batch may be joined with the rows behind it and split from them again.

use super::{Inferred, Site, one};
use crate::types::{Dim, show};

/// A number of elements: a size, and the symbols that multiply it, in order.
#[derive(PartialEq)]
struct Count<'a> {
    known: usize,
    symbols: Vec<&'a str>,
}

impl<'a> Count<'a> {
    /// A symbol may be a product that a reshape made, such as `426*batch`.
    fn of(shape: &'a [Dim]) -> Self {
        let (mut known, mut symbols) = (1, Vec::new());
        for dim in shape {
            match dim {
                Dim::Known(size) => known *= size,
                Dim::Symbol(product) => {
                    for factor in product.split('*') {
                        match factor.parse::<usize>() {
                            Ok(size) => known *= size,
                            Err(_) => symbols.push(factor),
                        }
                    }
                }
            }
        }
        symbols.sort_unstable();
        Self { known, symbols }
    }

    /// What `other` must be multiplied by to become this.
    fn over(mut self, other: &Self) -> Option<Dim> {
        for symbol in &other.symbols {
            let place = self.symbols.iter().position(|own| own == symbol)?;
            self.symbols.remove(place);
        }
        let known = if self.known == other.known { 1 } else { self.known.checked_div(other.known)? };
        if known * other.known != self.known {
            return None;
        }
        if self.symbols.is_empty() {
            return Some(Dim::Known(known));
        }
        let number = (known != 1).then(|| known.to_string());
        let factors: Vec<_> = number.as_deref().into_iter().chain(self.symbols).collect();
        Some(Dim::Symbol(factors.join("*")))
    }
}

pub(crate) fn reshape(site: &Site<'_>) -> Inferred {
    let (x, target) = (site.input(0)?, site.constant(1)?);
    let fail = || format!("shape {} cannot become {target:?}", show(&x.shape));
    let (mut shape, mut open) = (Vec::new(), None);
    for (i, &dim) in target.iter().enumerate() {
        shape.push(match dim {
            0 => x.shape.get(i).ok_or_else(fail)?.clone(),
            -1 if open.is_none() => {
                open = Some(i);
                Dim::Known(1)
            }
            _ => Dim::Known(usize::try_from(dim).map_err(|_| fail())?),
        });
    }
    let rest = Count::of(&x.shape).over(&Count::of(&shape)).ok_or_else(fail)?;
    match open {
        Some(i) => shape[i] = rest,
        None if rest == Dim::Known(1) => {}
        None => return Err(fail()),
    }
    one(x.data_type, shape)
}
