//! The autoencoder of sound: causal convolutions of growing stride, and back by cutting channels into samples.

use super::{AudioAutoencoder, residual};
use crate::ops::Ops;
use crate::parameters::{Parameter, conv};
use crate::window::Window;

/// Taps of the dilated convolution of a residual unit.
const TAPS: usize = 7;
/// Taps of the convolution before channels become samples.
const UP_TAPS: usize = 3;

/// Over `taps` places, the last of which is the present one.
fn causal(taps: usize, dilation: usize) -> Window {
    Window::new(1).dilation(&[dilation]).padding(&[((taps - 1) * dilation, 0)])
}

fn units<O: Ops>(
    ops: &O,
    config: &AudioAutoencoder,
    mut x: O::Tensor,
    name: &str,
) -> Result<O::Tensor, O::Error> {
    for (i, &dilation) in config.dilations.iter().enumerate() {
        let (dilated, point) = (causal(TAPS, dilation), Window::new(1));
        x = residual(ops, &x, &format!("{name}.res{i}"), &dilated, &point)?;
    }
    Ok(x)
}

/// Sound (samples) → latents (A, Ca).
///
/// # Errors
/// Whatever the interpreter reports.
pub fn encode<O: Ops>(ops: &O, config: &AudioAutoencoder, x: &O::Tensor) -> Result<O::Tensor, O::Error> {
    ops.scope("audio.encoder");
    let mut x = ops.reshape(x, &[1, config.samples])?;
    for (i, &stride) in config.strides.iter().enumerate() {
        let name = format!("audio.encoder.stage{i}");
        // Before the clip is silence: as much as the first frame reaches beyond it.
        let before = stride + if i == 0 { config.lead() } else { 0 };
        let down = Window::new(1).stride(&[stride]).padding(&[(before, 0)]);
        let y = if i == 0 { x } else { ops.gelu(&x)? };
        x = ops.conv(&y, &format!("{name}.down"), &down)?;
        x = units(ops, config, x, &name)?;
    }
    let z = ops.conv(&ops.gelu(&x)?, "audio.encoder.conv_out", &causal(UP_TAPS, 1))?; // (Ca, A)
    ops.permute(&z, &[1, 0])
}

/// Latents (A, Ca) → sound (samples).
///
/// # Errors
/// Whatever the interpreter reports.
pub fn decode<O: Ops>(ops: &O, config: &AudioAutoencoder, z: &O::Tensor) -> Result<O::Tensor, O::Error> {
    ops.scope("audio.decoder");
    let z = ops.permute(z, &[1, 0])?;
    let mut x = ops.conv(&z, "audio.decoder.conv_in", &Window::new(1))?;
    let mut places = config.frames();
    for (i, &stride) in config.strides.iter().enumerate().rev() {
        let name = format!("audio.decoder.stage{i}");
        x = units(ops, config, x, &name)?;
        let y = ops.conv(&ops.gelu(&x)?, &format!("{name}.up"), &causal(UP_TAPS, 1))?;
        let width = config.width_above(i);
        let y = ops.permute(&ops.reshape(&y, &[stride, width, places])?, &[1, 2, 0])?;
        places *= stride;
        x = ops.reshape(&y, &[width, places])?;
    }
    let x = ops.narrow(&x, 1, config.lead(), config.samples)?;
    ops.reshape(&x, &[config.samples])
}

pub(super) fn parameters(config: &AudioAutoencoder) -> Vec<Parameter> {
    let mut list = Vec::new();
    let mut add = |layer: &str, outputs: usize, inputs: usize, taps: usize, gain: f64| {
        conv(&mut list, &format!("audio.{layer}"), &[outputs, inputs, taps], gain);
    };
    let gain = super::GAIN;
    let last = config.strides.len() - 1;
    for (i, (&stride, &width)) in config.strides.iter().zip(&config.widths).enumerate() {
        let above = config.width_above(i);
        add(&format!("encoder.stage{i}.down"), width, above, 2 * stride, if i == 0 { 1.0 } else { gain });
        for unit in 0..config.dilations.len() {
            add(&format!("encoder.stage{i}.res{unit}.conv1"), width, width, TAPS, gain);
            add(&format!("encoder.stage{i}.res{unit}.conv2"), width, width, 1, 0.0);
        }
    }
    add("encoder.conv_out", config.channels, config.widths[last], UP_TAPS, gain);
    add("decoder.conv_in", config.widths[last], config.channels, 1, 1.0);
    for (i, (&stride, &width)) in config.strides.iter().zip(&config.widths).enumerate().rev() {
        let above = config.width_above(i);
        for unit in 0..config.dilations.len() {
            add(&format!("decoder.stage{i}.res{unit}.conv1"), width, width, TAPS, gain);
            add(&format!("decoder.stage{i}.res{unit}.conv2"), width, width, 1, 0.0);
        }
        add(&format!("decoder.stage{i}.up"), stride * above, width, UP_TAPS, gain);
    }
    list
}
