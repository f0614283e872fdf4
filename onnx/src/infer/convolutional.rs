//! The types of what networks of convolutions are made of, convolutions apart.

use super::conv::sizes;
use super::{Inferred, Site, one, place, same_type};
use crate::attribute;
use crate::types::{Dim, show};

/// x (batch, in, …), weight (in, out / group, kernel…), bias (out): (batch, out, …).
pub(crate) fn conv_transpose(site: &Site<'_>) -> Inferred {
    let (x, weight) = (site.input(0)?, site.input(1)?);
    same_type(x, weight)?;
    let fail = || format!("weight {} does not fit {}, transposed", show(&weight.shape), show(&x.shape));
    let ([batch, channels, places @ ..], [inputs, Dim::Known(outputs), kernel @ ..]) =
        (&x.shape[..], &weight.shape[..])
    else {
        return Err(fail());
    };
    let group = usize::try_from(attribute::int_or(site.node, "group", 1)).unwrap_or(0);
    let outputs = outputs.checked_mul(group).filter(|&outputs| outputs > 0).ok_or_else(fail)?;
    if places.len() != kernel.len() || places.is_empty() || channels != inputs {
        return Err(fail());
    }
    if site.node.input.get(2).is_some_and(|name| !name.is_empty()) {
        let bias = site.input(2)?;
        same_type(x, bias)?;
        if bias.shape != [Dim::Known(outputs)] {
            return Err(format!("bias {} for {outputs} outputs", show(&bias.shape)));
        }
    }
    let others = ["auto_pad", "output_padding", "output_shape"];
    if let Some(name) = others.into_iter().find(|name| attribute::find(site.node, name).is_some()) {
        return Err(format!("{name} is not supported: give pads"));
    }
    let rank = kernel.len();
    let strides = sizes(site, "strides", rank, 1)?;
    let dilations = sizes(site, "dilations", rank, 1)?;
    let pads = sizes(site, "pads", 2 * rank, 0)?;
    let mut shape = vec![batch.clone(), Dim::Known(outputs)];
    for d in 0..rank {
        let (Dim::Known(size), Dim::Known(taps)) = (&places[d], &kernel[d]) else { return Err(fail()) };
        let made = || {
            let reach = taps.checked_sub(1)?.checked_mul(dilations[d])?.checked_add(1)?;
            let all = size.checked_sub(1)?.checked_mul(strides[d])?.checked_add(reach)?;
            all.checked_sub(pads[d])?.checked_sub(pads[rank + d]).filter(|&made| made > 0)
        };
        shape.push(Dim::Known(made().ok_or_else(|| format!("{}: nothing is left", fail()))?));
    }
    one(x.data_type, shape)
}

/// x (batch, C, …) with scale (C) and shift (C): the same shape.
pub(crate) fn instance_norm(site: &Site<'_>) -> Inferred {
    let x = site.input(0)?;
    for i in 1..3 {
        let factor = site.input(i)?;
        same_type(x, factor)?;
        if x.shape.len() < 3 || factor.shape != x.shape[1..2] {
            return Err(format!("{} does not fit the channels of {}", show(&factor.shape), show(&x.shape)));
        }
    }
    one(x.data_type, x.shape.clone())
}

/// The axes that input `i` names, all where it is left out.
fn axes(site: &Site<'_>, i: usize, rank: usize) -> Result<Vec<usize>, String> {
    let given = site.node.input.get(i).is_some_and(|name| !name.is_empty());
    let axes = if given { site.constant(i)? } else { (0..rank as i64).collect() };
    axes.into_iter().map(|axis| place(axis, rank)).collect()
}

/// x with places before and after along some axes; pads (before…, after…) and axes are known.
pub(crate) fn pad(site: &Site<'_>) -> Inferred {
    let x = site.input(0)?;
    let (pads, axes) = (site.constant(1)?, axes(site, 3, x.shape.len())?);
    if pads.len() != 2 * axes.len() {
        return Err(format!("{} pads for {} axes", pads.len(), axes.len()));
    }
    let mirrors = attribute::find(site.node, "mode").is_some_and(|mode| mode.s() == b"reflect");
    let mut shape = x.shape.clone();
    for (i, &axis) in axes.iter().enumerate() {
        let (before, after) = (pads[i], pads[axes.len() + i]);
        if (before, after) == (0, 0) {
            continue;
        }
        let Dim::Known(size) = shape[axis] else { return Err(format!("axis {axis} has no known size")) };
        let most = if mirrors { size as i64 - 1 } else { i64::MAX };
        if !(0..=most).contains(&before) || !(0..=most).contains(&after) {
            return Err(format!("pads {before} and {after} of axis {axis} with {size} places"));
        }
        shape[axis] = Dim::Known(size.saturating_add(before as usize).saturating_add(after as usize));
    }
    one(x.data_type, shape)
}

/// x with other sizes along the axes that the attribute names; the sizes are known.
pub(crate) fn resize(site: &Site<'_>) -> Inferred {
    let (x, sizes) = (site.input(0)?, site.constant(3)?);
    if (1..3).any(|i| !site.node.input[i].is_empty()) {
        return Err("regions and scales are not supported: give sizes".to_owned());
    }
    let rank = x.shape.len();
    let axes = attribute::find(site.node, "axes").map(|attribute| attribute.ints.clone());
    let axes = axes.unwrap_or_else(|| (0..rank as i64).collect());
    if axes.len() != sizes.len() {
        return Err(format!("{} sizes for {} axes", sizes.len(), axes.len()));
    }
    let mut shape = x.shape.clone();
    for (axis, &size) in axes.into_iter().zip(&sizes) {
        let size = usize::try_from(size).ok().filter(|&size| size > 0);
        shape[place(axis, rank)?] =
            Dim::Known(size.ok_or_else(|| format!("sizes {sizes:?}: each must be positive"))?);
    }
    one(x.data_type, shape)
}

/// x (T, batch, in), weights (1, 4H, in), recurrent weights (1, 4H, H), biases (1, 8H): (T, 1, batch, H).
pub(crate) fn lstm(site: &Site<'_>) -> Inferred {
    let (x, w, r) = (site.input(0)?, site.input(1)?, site.input(2)?);
    same_type(x, w)?;
    same_type(x, r)?;
    let hidden = usize::try_from(attribute::int_or(site.node, "hidden_size", 0)).unwrap_or(0);
    let others = ["direction", "layout", "activations"];
    if let Some(name) = others.into_iter().find(|name| attribute::find(site.node, name).is_some()) {
        return Err(format!("{name} is not supported"));
    }
    let [time, batch, inputs] = &x.shape[..] else {
        return Err(format!("{} is not (time, batch, width)", show(&x.shape)));
    };
    let one_of = |rows: usize, columns: &Dim| [Dim::Known(1), Dim::Known(rows), columns.clone()];
    let rows = 4usize.saturating_mul(hidden);
    let fits = w.shape == one_of(rows, inputs) && r.shape == one_of(rows, &Dim::Known(hidden));
    if hidden == 0 || !fits {
        let [x, w, r] = [x, w, r].map(|x| show(&x.shape));
        return Err(format!("weights {w} and {r} do not fit {x} with {hidden} cells"));
    }
    if site.node.input.get(3).is_some_and(|name| !name.is_empty()) {
        let bias = site.input(3)?;
        same_type(x, bias)?;
        if bias.shape != [Dim::Known(1), Dim::Known(2 * rows)] {
            return Err(format!("bias {} for {hidden} cells", show(&bias.shape)));
        }
    }
    one(x.data_type, vec![time.clone(), Dim::Known(1), batch.clone(), Dim::Known(hidden)])
}
