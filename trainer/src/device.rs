//! Where a run trains, and in which precision.

use crate::error::{Error, Result};
use candle_core::{DType, Device};
use serde::{Deserialize, Serialize};

/// The precision of activations and of the weights that they meet. The weights that the optimizer changes, their
/// gradients, norms, softmax and the loss are float32 in either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// float32.
    #[default]
    F32,
    /// bfloat16. Made for CUDA; a CPU computes it in float32 and rounds, several times slower.
    Bf16,
}

impl Precision {
    /// As Candle names it.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
        }
    }
}

/// Where a name such as `cpu` or `cuda:0` points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Cpu,
    Cuda(usize),
}

fn place(name: &str) -> Result<Place> {
    let number = |text: &str| text.parse().ok();
    match (name, name.strip_prefix("cuda:").and_then(number)) {
        ("cpu", _) => Ok(Place::Cpu),
        (_, Some(ordinal)) => Ok(Place::Cuda(ordinal)),
        _ => Err(Error::Config(format!(
            "run.device is \"{name}\", expected \"cpu\" or \"cuda:0\" (or another number)"
        ))),
    }
}

/// Checks a device by its name, without opening it.
///
/// # Errors
/// [`Error::Config`] naming the setting and the remedy.
pub fn check(name: &str) -> Result<()> {
    match place(name)? {
        Place::Cuda(_) if cfg!(not(feature = "cuda")) => Err(Error::Config(format!(
            "run.device is \"{name}\", but this program was built without CUDA\n\n\
             hint: cargo build --release --features cuda (needs nvcc), or set run.device = \"cpu\""
        ))),
        _ => Ok(()),
    }
}

/// Opens a device by its name.
///
/// # Errors
/// As [`check`]; if CUDA cannot open the device.
pub fn open(name: &str) -> Result<Device> {
    check(name)?;
    match place(name)? {
        Place::Cpu => Ok(Device::Cpu),
        Place::Cuda(ordinal) => Ok(Device::new_cuda(ordinal)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_cannot_be_used_is_refused_with_a_remedy() {
        let said = |name| check(name).err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(said("cpu"), "");
        assert!(said("gpu").contains("run.device is \"gpu\", expected \"cpu\""));
        assert!(said("cuda:x").contains("expected"));
        if cfg!(not(feature = "cuda")) {
            assert!(said("cuda:1").contains("cargo build --release --features cuda"));
        }
    }
}
