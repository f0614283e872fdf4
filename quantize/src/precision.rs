//! What can be asked for.

use crate::error::{Error, Result};
use crate::half_precision::Half;
use crate::int8::Form;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 16-bit floats of 11 bits of precision.
    Fp16,
    /// 16-bit floats with the range of single precision.
    Bf16,
    /// Weights and activations in 8 bits, ranges of activations taken as they arise.
    Int8Dynamic,
    /// Weights and activations in 8 bits, ranges of activations taken from calibration.
    Int8Static,
    /// Weights in 8 bits.
    Int8Weight,
    /// Weights in 4 bits by blocks.
    Int4Weight,
}

impl Precision {
    /// Every one.
    pub const ALL: [Precision; 6] = [
        Precision::Fp16,
        Precision::Bf16,
        Precision::Int8Dynamic,
        Precision::Int8Static,
        Precision::Int8Weight,
        Precision::Int4Weight,
    ];

    /// `fp16`, `bf16`, `int8-dynamic`, `int8-static`, `int8-weight`, `int4-weight`.
    pub fn name(self) -> &'static str {
        match self {
            Precision::Fp16 => "fp16",
            Precision::Bf16 => "bf16",
            Precision::Int8Dynamic => "int8-dynamic",
            Precision::Int8Static => "int8-static",
            Precision::Int8Weight => "int8-weight",
            Precision::Int4Weight => "int4-weight",
        }
    }

    /// The float of 16 bits, where it is one.
    pub fn half(self) -> Option<Half> {
        match self {
            Precision::Fp16 => Some(Half::Fp16),
            Precision::Bf16 => Some(Half::Bf16),
            _ => None,
        }
    }

    /// The form of units, where integers are stored.
    pub fn form(self) -> Option<Form> {
        match self {
            Precision::Int8Dynamic => Some(Form::Int8Dynamic),
            Precision::Int8Static => Some(Form::Int8Static),
            Precision::Int8Weight => Some(Form::Int8Weight),
            Precision::Int4Weight => Some(Form::Int4Weight),
            _ => None,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = Error;

    /// By name.
    fn from_str(name: &str) -> Result<Self> {
        let names = || Precision::ALL.map(Precision::name).join(", ");
        Precision::ALL
            .into_iter()
            .find(|precision| precision.name() == name)
            .ok_or_else(|| Error::mismatch("precision", names(), name))
    }
}
