//! Weights that a checkpoint stores as direction and length (Salimans & Kingma 2016, arXiv:1602.07868), as one tensor.

use crate::network::NetworkError;
use std::collections::BTreeMap;

/// Tensors by name: shape and values.
pub type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// How the names of length and direction of a weight end, behind the name of the layer: PyTorch's present form and its
/// former one.
pub const FORMS: [[&str; 2]; 2] =
    [["parametrizations.weight.original0", "parametrizations.weight.original1"], ["weight_g", "weight_v"]];

/// Puts `{layer}.weight` = g · v / ‖v‖ in the place of every pair of length g and direction v, the norm being over all
/// dimensions but the first (Eq. 2). Other tensors stay as they are.
///
/// # Errors
/// [`NetworkError`] naming the layer whose g or v is missing, or does not fit the other.
pub fn fold_weight_norm(mut tensors: Tensors) -> Result<Tensors, NetworkError> {
    for [length, direction] in FORMS {
        let layers: Vec<String> = tensors
            .keys()
            .filter_map(|name| name.strip_suffix(length).or_else(|| name.strip_suffix(direction)))
            .map(str::to_owned)
            .collect();
        for layer in layers {
            let (g, v) = (format!("{layer}{length}"), format!("{layer}{direction}"));
            // The other of the two names has been here before.
            let (g, v) = match (tensors.remove(&g), tensors.remove(&v)) {
                (None, None) => continue,
                (Some(g), Some(v)) => (g, v),
                (None, Some(_)) => return Err(missing(&g, &v)),
                (Some(_), None) => return Err(missing(&v, &g)),
            };
            let weight = format!("{layer}weight");
            let folded = fold(&weight, &g, v)?;
            if tensors.insert(weight.clone(), folded).is_some() {
                let what = format!("{weight} is there beside its {length} and {direction}");
                return Err(NetworkError::new("weight norm", what));
            }
        }
    }
    Ok(tensors)
}

fn missing(absent: &str, present: &str) -> NetworkError {
    NetworkError::new("weight norm", format!("{present} is there, {absent} is not"))
}

fn fold(
    name: &str,
    (g_shape, g): &(Vec<usize>, Vec<f32>),
    (shape, mut v): (Vec<usize>, Vec<f32>),
) -> Result<(Vec<usize>, Vec<f32>), NetworkError> {
    let rows = shape.first().copied().unwrap_or(0);
    let len: usize = shape.iter().product();
    if g.len() != rows || g_shape.iter().product::<usize>() != rows || v.len() != len || len == 0 {
        let what = format!("{name}: lengths {g_shape:?} do not fit directions {shape:?}");
        return Err(NetworkError::new("weight norm", what));
    }
    for (row, g) in v.chunks_exact_mut(len / rows).zip(g) {
        let norm = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        // A direction of zeros has no length but 0.
        let scale = if norm == 0.0 { 0.0 } else { f64::from(*g) / norm };
        row.iter_mut().for_each(|x| *x = (f64::from(*x) * scale) as f32);
    }
    Ok((shape, v))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors(list: &[(&str, &[usize], &[f32])]) -> Tensors {
        list.iter().map(|(name, shape, data)| ((*name).to_owned(), (shape.to_vec(), data.to_vec()))).collect()
    }

    #[test]
    fn both_forms_become_a_weight_whose_rows_have_the_lengths() {
        for [g, v] in FORMS {
            let (g, v) = (format!("a.{g}"), format!("a.{v}"));
            let list = tensors(&[
                (&g, &[2, 1], &[10.0, 1.0]),
                (&v, &[2, 2], &[3.0, 4.0, 0.0, 0.0]),
                ("a.bias", &[2], &[7.0, 8.0]),
            ]);
            let folded = fold_weight_norm(list).unwrap();
            let expected =
                tensors(&[("a.bias", &[2], &[7.0, 8.0]), ("a.weight", &[2, 2], &[6.0, 8.0, 0.0, 0.0])]);
            assert_eq!(folded, expected);
        }
    }

    #[test]
    fn half_a_pair_and_lengths_that_do_not_fit_are_refused_by_name() {
        let error = |list| fold_weight_norm(tensors(list)).unwrap_err().to_string();
        assert!(error(&[("a.weight_v", &[1, 2], &[1.0, 2.0])]).contains("a.weight_g is not"));
        let wrong = error(&[("a.weight_v", &[1, 2], &[1.0, 2.0]), ("a.weight_g", &[2], &[1.0, 2.0])]);
        assert!(wrong.contains("a.weight: lengths [2] do not fit directions [1, 2]"), "{wrong}");
    }
}
