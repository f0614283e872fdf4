//! The types that each operator's outputs have.

mod conv;
mod convolutional;
mod layers;
mod reshape;

pub(crate) use conv::conv;
pub(crate) use convolutional::{conv_transpose, instance_norm, lstm, pad, resize};
pub(crate) use layers::{gemm, layer_norm, matmul_bits, multi_head_attention};
pub(crate) use reshape::reshape;

use crate::attribute;
use crate::proto::NodeProto;
use crate::types::{DataType, Dim, ValueType, show};

/// The types of a node's outputs, or what is wrong with it.
pub(crate) type Inferred = Result<Vec<ValueType>, String>;

/// A node with what is known of its inputs.
pub(crate) struct Site<'a> {
    pub(crate) node: &'a NodeProto,
    /// One for each input; `None` for one that is left out.
    pub(crate) inputs: Vec<Option<&'a ValueType>>,
    /// The values of an integer initializer.
    pub(crate) constants: &'a dyn Fn(&str) -> Option<Vec<i64>>,
}

impl Site<'_> {
    pub(crate) fn input(&self, i: usize) -> Result<&ValueType, String> {
        self.inputs.get(i).copied().flatten().ok_or_else(|| format!("input {i} is missing"))
    }

    pub(crate) fn shape(&self, i: usize) -> Result<&[Dim], String> {
        Ok(&self.input(i)?.shape)
    }

    pub(crate) fn constant(&self, i: usize) -> Result<Vec<i64>, String> {
        let name = self.node.input.get(i).ok_or_else(|| format!("input {i} is missing"))?;
        (self.constants)(name).ok_or_else(|| format!("input {i} ({name}) is not an int64 initializer"))
    }

    fn axis(&self, rank: usize, default: i64) -> Result<usize, String> {
        place(attribute::int_or(self.node, "axis", default), rank)
    }
}

/// An axis that may be counted from the end.
fn place(axis: i64, rank: usize) -> Result<usize, String> {
    let from_start = if axis < 0 { axis + rank as i64 } else { axis };
    let inside = usize::try_from(from_start).ok().filter(|&axis| axis < rank);
    inside.ok_or_else(|| format!("axis {axis} lies outside rank {rank}"))
}

pub(crate) fn one(data_type: DataType, shape: Vec<Dim>) -> Inferred {
    Ok(vec![ValueType { data_type, shape }])
}

pub(crate) fn same_type(a: &ValueType, b: &ValueType) -> Result<(), String> {
    if a.data_type == b.data_type {
        return Ok(());
    }
    Err(format!("inputs of type {} and {}", a.data_type.as_str_name(), b.data_type.as_str_name()))
}

pub(crate) fn broadcast_shapes(a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, String> {
    let rank = a.len().max(b.len());
    let at = |shape: &[Dim], i: usize| (i + shape.len()).checked_sub(rank).map(|i| shape[i].clone());
    let join = |i| match (at(a, i), at(b, i)) {
        (Some(x), None | Some(Dim::Known(1))) | (None | Some(Dim::Known(1)), Some(x)) => Ok(x),
        (Some(x), Some(y)) if x == y => Ok(x),
        _ => Err(format!("shapes {} and {} do not broadcast", show(a), show(b))),
    };
    (0..rank).map(join).collect()
}

pub(crate) fn broadcast(site: &Site<'_>) -> Inferred {
    let (a, b) = (site.input(0)?, site.input(1)?);
    same_type(a, b)?;
    one(a.data_type, broadcast_shapes(&a.shape, &b.shape)?)
}

pub(crate) fn compare(site: &Site<'_>) -> Inferred {
    let (a, b) = (site.input(0)?, site.input(1)?);
    same_type(a, b)?;
    one(DataType::Bool, broadcast_shapes(&a.shape, &b.shape)?)
}

pub(crate) fn choose(site: &Site<'_>) -> Inferred {
    let (condition, a, b) = (site.input(0)?, site.input(1)?, site.input(2)?);
    if condition.data_type != DataType::Bool {
        return Err(format!("a condition of type {}", condition.data_type.as_str_name()));
    }
    same_type(a, b)?;
    one(a.data_type, broadcast_shapes(&condition.shape, &broadcast_shapes(&a.shape, &b.shape)?)?)
}

pub(crate) fn same(site: &Site<'_>) -> Inferred {
    Ok(vec![site.input(0)?.clone()])
}

pub(crate) fn cast(site: &Site<'_>) -> Inferred {
    one(named_type(site, "to", DataType::Undefined)?, site.shape(0)?.to_vec())
}

/// The type that an attribute names; 0 is the default too.
fn named_type(site: &Site<'_>, attribute: &str, default: DataType) -> Result<DataType, String> {
    let told = attribute::int_or(site.node, attribute, i64::from(default as i32));
    let known = i32::try_from(told).ok().and_then(|told| DataType::try_from(told).ok());
    let known = known.map(|found| if found == DataType::Undefined { default } else { found });
    known.filter(|&found| found != DataType::Undefined).ok_or_else(|| format!("unknown type {told}"))
}

pub(crate) fn concat(site: &Site<'_>) -> Inferred {
    let first = site.input(0)?;
    let mut shape = first.shape.clone();
    let axis = site.axis(shape.len(), 0)?;
    for i in 1..site.node.input.len() {
        let next = site.input(i)?;
        same_type(first, next)?;
        let agrees = next.shape.len() == shape.len()
            && next.shape.iter().zip(&shape).enumerate().all(|(d, (a, b))| d == axis || a == b);
        let sum = match (&shape[axis], next.shape.get(axis)) {
            (Dim::Known(a), Some(Dim::Known(b))) if agrees => a.saturating_add(*b).min(i64::MAX as usize),
            _ => {
                let (a, b) = (show(&first.shape), show(&next.shape));
                return Err(format!("shapes {a} and {b} do not join along axis {axis}"));
            }
        };
        shape[axis] = Dim::Known(sum);
    }
    one(first.data_type, shape)
}

pub(crate) fn gather(site: &Site<'_>) -> Inferred {
    let (data, indices) = (site.input(0)?, site.input(1)?);
    if !matches!(indices.data_type, DataType::Int64 | DataType::Int32) {
        return Err(format!("indices of type {}", indices.data_type.as_str_name()));
    }
    let axis = site.axis(data.shape.len(), 0)?;
    if let (Dim::Known(size), Ok(values)) = (&data.shape[axis], site.constant(1))
        && let Some(index) = values.iter().find(|&&i| i < -(*size as i64) || i >= *size as i64)
    {
        return Err(format!("index {index} lies outside the {size} entries of axis {axis}"));
    }
    let shape = [&data.shape[..axis], &indices.shape, &data.shape[axis + 1..]].concat();
    one(data.data_type, shape)
}

pub(crate) fn matmul(site: &Site<'_>) -> Inferred {
    let (a, b) = (site.input(0)?, site.input(1)?);
    same_type(a, b)?;
    one(a.data_type, product(&a.shape, &b.shape)?)
}

pub(crate) fn matmul_integer(site: &Site<'_>) -> Inferred {
    one(DataType::Int32, product(site.shape(0)?, site.shape(1)?)?)
}

pub(crate) fn matmul_to_float(site: &Site<'_>) -> Inferred {
    one(DataType::Float, product(site.shape(0)?, site.shape(1)?)?)
}

pub(crate) fn product(a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, String> {
    match (a, b) {
        ([a_batch @ .., rows, inner], [b_batch @ .., inner_b, columns]) if inner == inner_b => {
            let mut shape = broadcast_shapes(a_batch, b_batch)?;
            shape.extend([rows.clone(), columns.clone()]);
            Ok(shape)
        }
        _ => Err(format!("shapes {} and {} cannot be multiplied", show(a), show(b))),
    }
}

pub(crate) fn dynamic_quantize(site: &Site<'_>) -> Inferred {
    let scalar = |data_type| ValueType { data_type, shape: Vec::new() };
    let quantized = ValueType { data_type: DataType::Uint8, shape: site.shape(0)?.to_vec() };
    Ok(vec![quantized, scalar(DataType::Float), scalar(DataType::Uint8)])
}

pub(crate) fn quantize(site: &Site<'_>) -> Inferred {
    let (x, scale) = (site.input(0)?, site.input(1)?);
    // Without a zero point the attribute tells the type, and without both it is an unsigned byte.
    let has_zero = site.node.input.get(2).is_some_and(|zero| !zero.is_empty());
    let data_type = match has_zero {
        true => site.input(2)?.data_type,
        false => named_type(site, "output_dtype", DataType::Uint8)?,
    };
    if matches!(data_type, DataType::Float | DataType::Double | DataType::Float16 | DataType::Bfloat16) {
        return Err(format!("quantizes to {}", data_type.as_str_name()));
    }
    let block = attribute::int_or(site.node, "block_size", 0);
    if block != 0 {
        by_blocks(x, scale, place(attribute::int_or(site.node, "axis", 1), x.shape.len())?, block)?;
    }
    one(data_type, x.shape.clone())
}

/// A scale for every so many values along an axis.
fn by_blocks(x: &ValueType, scale: &ValueType, axis: usize, block: i64) -> Result<(), String> {
    let mut expected = x.shape.clone();
    if let (Dim::Known(size), Ok(block @ 1..)) = (&x.shape[axis], usize::try_from(block)) {
        expected[axis] = Dim::Known(size.div_ceil(block));
    }
    match expected == scale.shape {
        true => Ok(()),
        false => {
            let (x, scale) = (show(&x.shape), show(&scale.shape));
            Err(format!("scales {scale} are not one for every {block} values of {x} along axis {axis}"))
        }
    }
}

pub(crate) fn dequantize(site: &Site<'_>) -> Inferred {
    one(site.input(1)?.data_type, site.shape(0)?.to_vec())
}

pub(crate) fn reduce(site: &Site<'_>) -> Inferred {
    let x = site.input(0)?;
    let rank = x.shape.len();
    let axes = if site.node.input.len() > 1 { site.constant(1)? } else { (0..rank as i64).collect() };
    let axes = axes.into_iter().map(|axis| place(axis, rank)).collect::<Result<Vec<_>, _>>()?;
    let keep = attribute::int_or(site.node, "keepdims", 1) != 0;
    let dims = x.shape.iter().enumerate().filter_map(|(d, dim)| match (axes.contains(&d), keep) {
        (false, _) => Some(dim.clone()),
        (true, true) => Some(Dim::Known(1)),
        (true, false) => None,
    });
    one(x.data_type, dims.collect())
}

pub(crate) fn slice(site: &Site<'_>) -> Inferred {
    let x = site.input(0)?;
    let (starts, ends) = (site.constant(1)?, site.constant(2)?);
    let given = |i: usize| site.node.input.get(i).is_some_and(|name| !name.is_empty());
    let axes = if given(3) { site.constant(3)? } else { (0..starts.len() as i64).collect() };
    let steps = if given(4) { site.constant(4)? } else { vec![1; starts.len()] };
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err("starts, ends, axes and steps differ in length".to_owned());
    }
    let mut shape = x.shape.clone();
    for (((start, end), axis), step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
        let axis = place(*axis, shape.len())?;
        let Dim::Known(size) = shape[axis] else { return Err(format!("axis {axis} has no known size")) };
        let size = size as i64;
        let bound = |at: i64| (if at < 0 { at + size } else { at }).clamp(0, size);
        if *step < 1 {
            return Err(format!("step {step} is not supported"));
        }
        let len = (bound(*end) - bound(*start)).max(0);
        shape[axis] = Dim::Known((len as u64).div_ceil(*step as u64) as usize);
    }
    one(x.data_type, shape)
}

pub(crate) fn split(site: &Site<'_>) -> Inferred {
    let (x, sizes) = (site.input(0)?, site.constant(1)?);
    let axis = site.axis(x.shape.len(), 0)?;
    if sizes.len() != site.node.output.len() {
        return Err(format!("{} sizes for {} outputs", sizes.len(), site.node.output.len()));
    }
    if sizes.iter().any(|&n| n < 0) || x.shape[axis] != Dim::Known(sizes.iter().sum::<i64>() as usize) {
        return Err(format!("axis {axis} of {} cannot be cut into {sizes:?}", show(&x.shape)));
    }
    let part = |size: &i64| {
        let mut shape = x.shape.clone();
        shape[axis] = Dim::Known(*size as usize);
        ValueType { data_type: x.data_type, shape }
    };
    Ok(sizes.iter().map(part).collect())
}

pub(crate) fn transpose(site: &Site<'_>) -> Inferred {
    let x = site.input(0)?;
    let rank = x.shape.len();
    let order = match attribute::find(site.node, "perm") {
        Some(perm) => perm.ints.clone(),
        None => (0..rank as i64).rev().collect(),
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if sorted != (0..rank as i64).collect::<Vec<_>>() {
        return Err(format!("perm {order:?} is not an order of {rank} dimensions"));
    }
    one(x.data_type, order.iter().map(|&d| x.shape[d as usize].clone()).collect())
}
