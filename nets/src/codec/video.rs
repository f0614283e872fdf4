//! The autoencoder of pictures: patches, then convolutions that see their own frame and those before it.

use super::{VideoAutoencoder, residual};
use crate::ops::Ops;
use crate::parameters::{Parameter, conv};
use crate::window::Window;

/// Within a frame: 3 × 3 places.
fn within() -> Window {
    Window::new(3).padding(&[(0, 0), (1, 1), (1, 1)])
}

/// Over a frame and the two before it: 3 × 3 × 3 places.
fn causal() -> Window {
    Window::new(3).padding(&[(2, 0), (1, 1), (1, 1)])
}

/// The window of a kernel of one place.
fn point() -> Window {
    Window::new(3)
}

/// Pictures (F, 3, H, W) → latents (F', C, H', W').
///
/// # Errors
/// Whatever the interpreter reports.
pub fn encode<O: Ops>(ops: &O, config: &VideoAutoencoder, x: &O::Tensor) -> Result<O::Tensor, O::Error> {
    let name = |layer: &str| format!("video.encoder.{layer}");
    ops.scope("video.encoder");
    let (f, p, [rows, columns]) = (config.frames, config.patch, config.patches());
    let x = ops.reshape(x, &[f, 3, rows, p, columns, p])?;
    let x = ops.permute(&x, &[1, 3, 5, 0, 2, 4])?; // (3, p, p, F, rows, columns)
    let x = ops.reshape(&x, &[config.patch_len(), f, rows, columns])?;
    let x = ops.conv(&x, &name("conv_in"), &within())?;
    let halve = Window::new(3).stride(&[1, 2, 2]).padding(&[(0, 0), (0, 1), (0, 1)]);
    let mut x = ops.conv(&ops.gelu(&x)?, &name("down_space"), &halve)?; // (wide, F, H', W')
    for i in 0..2 {
        let halve = causal().stride(&[2, 1, 1]);
        x = ops.conv(&ops.gelu(&x)?, &name(&format!("down_time{i}")), &halve)?;
        x = residual(ops, &x, &name(&format!("res{i}")), &causal(), &causal())?;
    }
    let z = ops.conv(&ops.gelu(&x)?, &name("conv_out"), &point())?; // (C, F', H', W')
    ops.permute(&z, &[1, 0, 2, 3])
}

/// Latents (F', C, H', W') → pictures (F, 3, H, W).
///
/// # Errors
/// Whatever the interpreter reports.
pub fn decode<O: Ops>(ops: &O, config: &VideoAutoencoder, z: &O::Tensor) -> Result<O::Tensor, O::Error> {
    let name = |layer: &str| format!("video.decoder.{layer}");
    ops.scope("video.decoder");
    let [_, _, rows, columns] = config.latents()[..] else { unreachable!("latents have four dimensions") };
    let (narrow, wide) = (config.widths[0], config.widths[1]);
    let z = ops.permute(z, &[1, 0, 2, 3])?;
    let mut x = ops.conv(&z, &name("conv_in"), &point())?;
    let mut frames = config.latents()[0];
    for i in 0..2 {
        x = residual(ops, &x, &name(&format!("res{i}")), &causal(), &causal())?;
        let y = ops.conv(&ops.gelu(&x)?, &name(&format!("up_time{i}")), &causal())?;
        let y = ops.reshape(&y, &[2, wide, frames, rows * columns])?;
        let y = ops.permute(&y, &[1, 2, 0, 3])?; // (wide, frames, 2, places)
        let y = ops.reshape(&y, &[wide, 2 * frames, rows, columns])?;
        // The first frame is one and not two.
        frames = 2 * frames - 1;
        x = ops.narrow(&y, 1, 1, frames)?;
    }
    let y = ops.conv(&ops.gelu(&x)?, &name("up_space"), &within())?;
    let y = ops.reshape(&y, &[2, 2, narrow * frames, rows, columns])?;
    let y = ops.permute(&y, &[2, 3, 0, 4, 1])?; // (narrow · frames, rows, 2, columns, 2)
    let x = ops.reshape(&y, &[narrow, frames, 2 * rows, 2 * columns])?;
    let x = residual(ops, &x, &name("res2"), &within(), &within())?;
    let y = ops.conv(&ops.gelu(&x)?, &name("conv_out"), &within())?; // (3·p², F, rows, columns)
    let (p, [rows, columns]) = (config.patch, config.patches());
    let y = ops.reshape(&y, &[3, p, p, frames, rows, columns])?;
    let y = ops.permute(&y, &[3, 0, 4, 1, 5, 2])?; // (F, 3, rows, p, columns, p)
    ops.reshape(&y, &config.pictures())
}

pub(super) fn parameters(config: &VideoAutoencoder) -> Vec<Parameter> {
    let (narrow, wide, patch, c) = (config.widths[0], config.widths[1], config.patch_len(), config.channels);
    let mut list = Vec::new();
    let mut add = |layer: &str, outputs: usize, inputs: usize, kernel: [usize; 3], gain: f64| {
        conv(&mut list, &format!("video.{layer}"), &[&[outputs, inputs], &kernel[..]].concat(), gain);
    };
    let (within, causal, point) = ([1, 3, 3], [3, 3, 3], [1, 1, 1]);
    let gain = super::GAIN;
    add("encoder.conv_in", narrow, patch, within, 1.0);
    add("encoder.down_space", wide, narrow, within, gain);
    for i in 0..2 {
        add(&format!("encoder.down_time{i}"), wide, wide, causal, gain);
        add(&format!("encoder.res{i}.conv1"), wide, wide, causal, gain);
        add(&format!("encoder.res{i}.conv2"), wide, wide, causal, 0.0);
    }
    add("encoder.conv_out", c, wide, point, gain);
    add("decoder.conv_in", wide, c, point, 1.0);
    for i in 0..2 {
        add(&format!("decoder.res{i}.conv1"), wide, wide, causal, gain);
        add(&format!("decoder.res{i}.conv2"), wide, wide, causal, 0.0);
        add(&format!("decoder.up_time{i}"), 2 * wide, wide, causal, gain);
    }
    add("decoder.up_space", 4 * narrow, wide, within, gain);
    add("decoder.res2.conv1", narrow, narrow, within, gain);
    add("decoder.res2.conv2", narrow, narrow, within, 0.0);
    add("decoder.conv_out", patch, narrow, within, 1.0);
    list
}
