//! The type of a convolution.

use super::{Inferred, Site, one, same_type};
use crate::attribute;
use crate::types::{Dim, show};

/// x (batch, in, …), weight (out, in / group, kernel…), bias (out): (batch, out, …).
pub(crate) fn conv(site: &Site<'_>) -> Inferred {
    let (x, weight) = (site.input(0)?, site.input(1)?);
    same_type(x, weight)?;
    let fail = || format!("weight {} does not fit {}", show(&weight.shape), show(&x.shape));
    let ([batch, channels, places @ ..], [outputs, inputs, kernel @ ..]) = (&x.shape[..], &weight.shape[..])
    else {
        return Err(fail());
    };
    if places.len() != kernel.len() || places.is_empty() {
        return Err(fail());
    }
    let group = usize::try_from(attribute::int_or(site.node, "group", 1)).ok().filter(|&group| group > 0);
    let group = group.ok_or_else(|| "group is below 1".to_owned())?;
    match (channels, outputs, inputs) {
        (Dim::Known(channels), Dim::Known(outputs), Dim::Known(inputs))
            if inputs.checked_mul(group) == Some(*channels) && outputs.is_multiple_of(group) => {}
        _ => return Err(format!("{} in {group} groups", fail())),
    }
    if site.node.input.get(2).is_some_and(|name| !name.is_empty()) {
        let bias = site.input(2)?;
        same_type(x, bias)?;
        if bias.shape != [outputs.clone()] {
            return Err(format!("bias {} for {outputs} outputs", show(&bias.shape)));
        }
    }
    if attribute::find(site.node, "auto_pad").is_some_and(|attribute| attribute.s() != b"NOTSET") {
        return Err("auto_pad is not supported: give pads".to_owned());
    }
    let rank = kernel.len();
    let strides = sizes(site, "strides", rank, 1)?;
    let dilations = sizes(site, "dilations", rank, 1)?;
    let pads = sizes(site, "pads", 2 * rank, 0)?;
    let mut shape = vec![batch.clone(), outputs.clone()];
    for d in 0..rank {
        let (Dim::Known(size), Dim::Known(taps)) = (&places[d], &kernel[d]) else { return Err(fail()) };
        let reach = taps.checked_sub(1).and_then(|gaps| gaps.checked_mul(dilations[d])?.checked_add(1));
        let padded = size.checked_add(pads[d]).and_then(|size| size.checked_add(pads[rank + d]));
        let room = reach.zip(padded).and_then(|(reach, padded)| padded.checked_sub(reach));
        let room =
            room.filter(|_| strides[d] > 0).ok_or_else(|| format!("{}: the window has no place", fail()))?;
        shape.push(Dim::Known(room / strides[d] + 1));
    }
    let told = attribute::find(site.node, "kernel_shape").map(|attribute| attribute.ints.clone());
    if let Some(told) = told {
        let same = told.len() == rank
            && told.iter().zip(kernel).all(|(&told, size)| *size == Dim::Known(told as usize));
        if !same {
            return Err(format!("kernel_shape {told:?}, but the weight is {}", show(&weight.shape)));
        }
    }
    one(x.data_type, shape)
}

/// The integers of an attribute, none of them below 0; so many times `default` without it.
pub(super) fn sizes(site: &Site<'_>, name: &str, len: usize, default: usize) -> Result<Vec<usize>, String> {
    let Some(attribute) = attribute::find(site.node, name) else { return Ok(vec![default; len]) };
    let values: Option<Vec<usize>> =
        attribute.ints.iter().map(|&value| usize::try_from(value).ok()).collect();
    let values = values.filter(|values| values.len() == len);
    values.ok_or_else(|| format!("{name} {:?}: expected {len} that are not negative", attribute.ints))
}
