//! The types of layers: whole operations of a network as one operator.

use super::{Inferred, Site, broadcast_shapes, one, product, same_type};
use crate::attribute;
use crate::types::{DataType, Dim, show};

/// `x·W + c` of matrices; the operator's factors and transpositions are not used here.
pub(crate) fn gemm(site: &Site<'_>) -> Inferred {
    let (x, weight) = (site.input(0)?, site.input(1)?);
    same_type(x, weight)?;
    if [x, weight].iter().any(|value| value.shape.len() != 2) {
        return Err(format!("{} and {} are not two matrices", show(&x.shape), show(&weight.shape)));
    }
    let matrix = |shape: &[Dim], transposed: &str| match attribute::int_or(site.node, transposed, 0) {
        0 => shape.to_vec(),
        _ => shape.iter().rev().cloned().collect(),
    };
    let shape = product(&matrix(&x.shape, "transA"), &matrix(&weight.shape, "transB"))?;
    if site.node.input.len() > 2 {
        let c = site.input(2)?;
        same_type(x, c)?;
        if broadcast_shapes(&shape, &c.shape)? != shape {
            return Err(format!("{} does not broadcast to {}", show(&c.shape), show(&shape)));
        }
    }
    one(x.data_type, shape)
}

/// A norm over the last dimension, whose scale and shift broadcast to its input.
pub(crate) fn layer_norm(site: &Site<'_>) -> Inferred {
    let x = site.input(0)?;
    for i in 1..site.node.input.len() {
        let factor = site.input(i)?;
        same_type(x, factor)?;
        if broadcast_shapes(&x.shape, &factor.shape)? != x.shape {
            return Err(format!("{} does not broadcast to {}", show(&factor.shape), show(&x.shape)));
        }
    }
    one(x.data_type, x.shape.clone())
}

/// q, k, v (batch, tokens, heads·width), as many tokens in k as in v, as wide a k as q.
pub(crate) fn multi_head_attention(site: &Site<'_>) -> Inferred {
    let (q, k, v) = (site.input(0)?, site.input(1)?, site.input(2)?);
    same_type(q, k)?;
    same_type(q, v)?;
    let ([b, rows, width], [bk, tokens, wk], [bv, tv, wv]) = (&q.shape[..], &k.shape[..], &v.shape[..])
    else {
        let [q, k, v] = [q, k, v].map(|x| show(&x.shape));
        return Err(format!("{q}, {k} and {v} are not all (batch, tokens, width)"));
    };
    if (b, b, width, tokens) != (bk, bv, wk, tv) {
        let [q, k, v] = [q, k, v].map(|x| show(&x.shape));
        return Err(format!("q {q}, k {k} and v {v} do not belong together"));
    }
    let heads = attribute::int_or(site.node, "num_heads", 0);
    let divides = |dim: &Dim| match (usize::try_from(heads), dim) {
        (Ok(heads @ 1..), Dim::Known(size)) => size.is_multiple_of(heads),
        _ => false,
    };
    if !divides(width) || !divides(wv) {
        return Err(format!("{heads} heads do not divide the widths {width} and {wv}"));
    }
    one(q.data_type, vec![b.clone(), rows.clone(), wv.clone()])
}

/// x (…, K) times a matrix (K, N) that is stored in blocks of few bits: (N, blocks, bytes), (N·blocks) scales.
pub(crate) fn matmul_bits(site: &Site<'_>) -> Inferred {
    let (x, packed, scales) = (site.input(0)?, site.input(1)?, site.input(2)?);
    let size = |name: &str| {
        usize::try_from(attribute::int_or(site.node, name, 0))
            .ok()
            .filter(|&n| n > 0)
            .ok_or_else(|| format!("no {name}"))
    };
    let (rows, columns, bits, block) = (size("K")?, size("N")?, size("bits")?, size("block_size")?);
    let blocks = rows.div_ceil(block);
    let known = |dims: &[usize]| dims.iter().copied().map(Dim::Known).collect::<Vec<_>>();
    if packed.shape != known(&[columns, blocks, block * bits / 8]) || packed.data_type != DataType::Uint8 {
        return Err(format!("{packed} is no matrix of {rows} × {columns} in {bits} bits by {block}"));
    }
    if scales.shape != known(&[columns * blocks]) && scales.shape != known(&[columns, blocks]) {
        return Err(format!("{} scales for {columns} columns of {blocks} blocks", show(&scales.shape)));
    }
    match x.shape.split_last() {
        Some((last, front)) if *last == Dim::Known(rows) => {
            one(x.data_type, [front, &[Dim::Known(columns)]].concat())
        }
        _ => Err(format!("{} cannot be multiplied with {rows} rows", show(&x.shape))),
    }
}
