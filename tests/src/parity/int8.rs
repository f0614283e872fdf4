//! Kind `int8`: numbers as integers, against ONNX's reference and ONNX Runtime.
//!
//! Tensors `dql.CASE.{x,y,scale,zero_point}` are activations; `wqNAME.{W,scale,q,dequant}` weights by output channel (the
//! first axis); `mm.*` a product of both; `sat.*` and `ort_tool.*` one scale for a whole tensor. An integer may be off by
//! one only where the quotient lies within `TIE` of a half, as the specification allows.

use super::{Golden, Row, relative};
use anyhow::{Context, Result};
use avdit_quantize::numbers::{Affine, Columns, quantize_symmetric, symmetric_scale};
use std::collections::BTreeSet;

const ENGINE: &str = "quantize";
/// How near to a half a quotient may round either way.
const TIE: f64 = 1e-5;
/// An integer that is off and not near a half is an error of its own; none is allowed.
const EXACT: f64 = 0.0;
/// Sums of products in f64, against ours of integers and single-precision scales.
const PRODUCT: f64 = 1e-6;

/// Every quantity of every case.
pub(super) fn cases(golden: &Golden) -> Vec<Row> {
    let case_of = |name: &String, prefix: &str| {
        Some(name.strip_prefix(prefix)?.split('.').next().unwrap_or_default().to_owned())
    };
    let mut rows = Vec::new();
    let mut run = |case: String, found: Result<Vec<Row>>| match found {
        Ok(found) => rows.extend(found),
        Err(error) => rows.push(Row::failed(&golden.name, case, ENGINE, &error)),
    };
    let activations: BTreeSet<String> =
        golden.tensors.keys().filter_map(|name| case_of(name, "dql.")).collect();
    for case in &activations {
        run(format!("dql.{case}"), activation(golden, case));
    }
    let weights: BTreeSet<&str> = golden.tensors.keys().filter_map(|name| name.strip_suffix(".W")).collect();
    for case in &weights {
        run((*case).to_owned(), weight(golden, case));
    }
    if golden.tensors.contains_key("mm.X") {
        run("mm".to_owned(), product(golden));
    }
    if golden.tensors.contains_key("sat.x") {
        run("sat".to_owned(), saturated(golden));
    }
    if golden.tensors.contains_key("ort_tool.per_tensor_q") {
        run("ort_tool".to_owned(), per_tensor(golden));
    }
    rows
}

fn row(golden: &Golden, case: String, error: f64, tolerance: f64) -> Row {
    Row::new(&golden.name, case, ENGINE, error, tolerance)
}

/// The tolerance of scales: `scales rel 1e-6`.
fn scale_tolerance(golden: &Golden) -> Result<f64> {
    golden.tolerance("scales rel ")
}

/// The values of a tensor that is in single precision.
fn values(golden: &Golden, name: &str) -> Result<Vec<f32>> {
    Ok(golden.tensor(name)?.data.iter().map(|&x| x as f32).collect())
}

/// How many integers are off, those whose quotient is near a half apart.
fn off(
    got: impl IntoIterator<Item = f64>,
    expected: &[f64],
    quotients: impl IntoIterator<Item = f64>,
) -> f64 {
    let got: Vec<f64> = got.into_iter().collect();
    if got.len() != expected.len() {
        return f64::NAN;
    }
    let pairs = got.iter().zip(expected).zip(quotients);
    let wrong = pairs.filter(|((got, expected), quotient)| {
        let near_half = (quotient.abs().fract() - 0.5).abs() <= TIE;
        got != expected && !(near_half && (**got - **expected).abs() <= 1.0)
    });
    wrong.count() as f64
}

fn activation(golden: &Golden, case: &str) -> Result<Vec<Row>> {
    let tensor = |what: &str| golden.tensor(&format!("dql.{case}.{what}"));
    let x = values(golden, &format!("dql.{case}.x"))?;
    let affine = Affine::of(&x);
    let scale = relative(&[affine.scale.into()], &tensor("scale")?.data);
    let zero = off([affine.zero_point.into()], &tensor("zero_point")?.data, [0.0]);
    let quotients = x.iter().map(|x| f64::from(*x) / f64::from(affine.scale));
    let wrong = off(x.iter().map(|&x| affine.quantize(x).into()), &tensor("y")?.data, quotients);
    Ok(vec![
        row(golden, format!("dql.{case}.scale"), scale, scale_tolerance(golden)?),
        row(golden, format!("dql.{case}.zero_point"), zero, EXACT),
        row(golden, format!("dql.{case}.y"), wrong, EXACT),
    ])
}

/// A weight by output channel: ours are stored transposed, a column for each.
fn weight(golden: &Golden, case: &str) -> Result<Vec<Row>> {
    let tensor = |what: &str| golden.tensor(&format!("{case}.{what}"));
    let (w, channels) = (values(golden, &format!("{case}.W"))?, tensor("W")?.shape[0]);
    let stored = Columns::quantize(&transposed(&w, channels), channels, 127);
    let scales: Vec<f64> = stored.scales.iter().map(|&x| x.into()).collect();
    let inner = w.len() / channels.max(1);
    let back = |values: Vec<f64>| transposed(&values, inner);
    let q = back(stored.q.iter().map(|&q| q.into()).collect());
    let dequant = back(stored.dequantize().into_iter().map(f64::from).collect());
    let quotients = w.iter().enumerate().map(|(i, x)| f64::from(*x) / scales[i / inner]);
    let tolerance = scale_tolerance(golden)?;
    let mut rows = vec![
        row(golden, format!("{case}.scale"), relative(&scales, &tensor("scale")?.data), tolerance),
        row(golden, format!("{case}.q"), off(q, &tensor("q")?.data, quotients), EXACT),
    ];
    // Not every case has it.
    if let Ok(expected) = tensor("dequant") {
        rows.push(row(golden, format!("{case}.dequant"), relative(&dequant, &expected.data), tolerance));
    }
    Ok(rows)
}

/// (rows, columns) as (columns, rows).
fn transposed<T: Copy>(values: &[T], rows: usize) -> Vec<T> {
    let columns = values.len() / rows.max(1);
    (0..columns).flat_map(|c| (0..rows).map(move |r| (r, c))).map(|(r, c)| values[r * columns + c]).collect()
}

fn product(golden: &Golden) -> Result<Vec<Row>> {
    let (x, w) = (values(golden, "mm.X")?, values(golden, "wq.W")?);
    let channels = golden.tensor("wq.W")?.shape[0];
    let inner = w.len() / channels.max(1);
    let affine = Affine::of(&x);
    let weights = Columns::quantize(&transposed(&w, channels), channels, 127);
    let xq: Vec<u8> = x.iter().map(|&x| affine.quantize(x)).collect();
    let mut sums = Vec::new();
    for row in xq.chunks_exact(inner) {
        for channel in 0..channels {
            let terms = row.iter().enumerate().map(|(k, &x)| {
                (i32::from(x) - i32::from(affine.zero_point)) * i32::from(weights.q[k * channels + channel])
            });
            sums.push(terms.sum::<i32>());
        }
    }
    let y = sums
        .iter()
        .enumerate()
        .map(|(i, &sum)| f64::from(sum) * f64::from(affine.scale) * f64::from(weights.scales[i % channels]));
    let expected = golden.tensor("mm.y_dequant_f64")?;
    let quotients = x.iter().map(|x| f64::from(*x) / f64::from(affine.scale));
    Ok(vec![
        row(
            golden,
            "mm.xq".into(),
            off(xq.iter().map(|&q| q.into()), &golden.tensor("mm.xq")?.data, quotients),
            EXACT,
        ),
        row(
            golden,
            "mm.acc_int32".into(),
            off(
                sums.iter().map(|&s| s.into()),
                &golden.tensor("mm.acc_int32")?.data,
                sums.iter().map(|_| 0.0),
            ),
            EXACT,
        ),
        row(golden, "mm.y_dequant_f64".into(), relative(&y.collect::<Vec<_>>(), &expected.data), PRODUCT),
    ])
}

fn saturated(golden: &Golden) -> Result<Vec<Row>> {
    let x = values(golden, "sat.x")?;
    let scale = *golden.tensor("sat.scale")?.data.first().context("no scale")? as f32;
    let q = x.iter().map(|&x| quantize_symmetric(x, scale, 127).into());
    let quotients = x.iter().map(|x| f64::from(*x) / f64::from(scale));
    Ok(vec![row(golden, "sat.q".into(), off(q, &golden.tensor("sat.q")?.data, quotients), EXACT)])
}

fn per_tensor(golden: &Golden) -> Result<Vec<Row>> {
    let w = values(golden, "wq.W")?;
    let scale = symmetric_scale(w.iter().fold(0.0, |most: f32, x| most.max(x.abs())), 127);
    let q = w.iter().map(|&x| quantize_symmetric(x, scale, 127).into());
    let quotients = w.iter().map(|x| f64::from(*x) / f64::from(scale));
    let of_scale = relative(&[scale.into()], &golden.tensor("ort_tool.per_tensor_scale")?.data);
    Ok(vec![
        row(golden, "ort_tool.scale".into(), of_scale, scale_tolerance(golden)?),
        row(
            golden,
            "ort_tool.q".into(),
            off(q, &golden.tensor("ort_tool.per_tensor_q")?.data, quotients),
            EXACT,
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_may_be_off_by_one_near_a_half_alone() {
        assert_eq!(off([3.0], &[2.0], [2.500_001]), 0.0);
        assert_eq!(off([3.0], &[2.0], [2.6]), 1.0);
        assert_eq!(off([4.0], &[2.0], [2.5]), 1.0);
        assert!(off([], &[2.0], [2.5]).is_nan());
    }
}
