//! The samplers by name.

use super::method::{Corner, DpmForm, HalfStep, Method, UniPcBasis, Variance};
use crate::error::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// A sampler at its usual settings, as written on a command line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SamplerKind {
    /// `ddpm`: small variance.
    Ddpm,
    /// `ddpm-large`: large variance.
    DdpmLarge,
    /// `ddpm-learned`: the variance that the network has learnt, for networks that have ([`Variance::LearnedRange`]).
    DdpmLearned,
    /// `ddim` or `ddim:0.5`: with η in 0…1.
    Ddim {
        /// 0: no noise.
        eta: f64,
    },
    /// `dpm++1`, `dpm++2m`, `dpm++3m`.
    DpmSolver {
        /// 1, 2 or 3.
        order: usize,
    },
    /// `unipc`, or `unipc:1`, `unipc:3` for other orders than 2.
    UniPc {
        /// 1, 2 or 3.
        order: usize,
    },
    /// `euler`.
    Euler,
    /// `heun`: two evaluations a step.
    Heun,
    /// `flow`: flow matching's Euler steps.
    Flow,
}

impl SamplerKind {
    /// Every sampler that any network can do.
    pub const NAMES: [&str; 10] =
        ["ddpm", "ddpm-large", "ddim", "dpm++1", "dpm++2m", "dpm++3m", "unipc", "euler", "heun", "flow"];

    /// Every sampler at its usual settings, in the order of [`Self::NAMES`].
    pub fn all() -> Vec<SamplerKind> {
        let named = Self::NAMES.iter().map(|name| name.parse());
        named.collect::<Result<_>>().expect("every listed name is read by from_str")
    }

    /// Its method; `straight` for a schedule of straight paths, whose first level holds no signal.
    pub fn method(self, straight: bool) -> Method {
        let ddpm = |variance| Method::Ddpm { variance, noisy_end: false };
        match self {
            SamplerKind::Ddpm => ddpm(Variance::Small),
            SamplerKind::DdpmLarge => ddpm(Variance::Large),
            SamplerKind::DdpmLearned => ddpm(Variance::LearnedRange),
            SamplerKind::Ddim { eta } => Method::Ddim { eta, from_clipped: false },
            SamplerKind::DpmSolver { order } => {
                Method::Dpm { form: DpmForm::Data, order, half_step: HalfStep::Midpoint }
            }
            SamplerKind::UniPc { order } => Method::UniPc { order, basis: UniPcBasis::Bh2, data: true },
            SamplerKind::Euler | SamplerKind::Flow => Method::Euler,
            SamplerKind::Heun if straight => Method::Heun(Corner::Straight),
            SamplerKind::Heun => Method::Heun(Corner::Exploding),
        }
    }
}

impl fmt::Display for SamplerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SamplerKind::Ddpm => f.write_str("ddpm"),
            SamplerKind::DdpmLarge => f.write_str("ddpm-large"),
            SamplerKind::DdpmLearned => f.write_str("ddpm-learned"),
            SamplerKind::Ddim { eta } if *eta == 0.0 => f.write_str("ddim"),
            SamplerKind::Ddim { eta } => write!(f, "ddim:{eta}"),
            SamplerKind::DpmSolver { order: 1 } => f.write_str("dpm++1"),
            SamplerKind::DpmSolver { order } => write!(f, "dpm++{order}m"),
            SamplerKind::UniPc { order: 2 } => f.write_str("unipc"),
            SamplerKind::UniPc { order } => write!(f, "unipc:{order}"),
            SamplerKind::Euler => f.write_str("euler"),
            SamplerKind::Heun => f.write_str("heun"),
            SamplerKind::Flow => f.write_str("flow"),
        }
    }
}

impl FromStr for SamplerKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let unknown = || {
            let expected = format!("one of {}, ddpm-learned, ddim:ETA, unipc:ORDER", Self::NAMES.join(", "));
            Error::value("sampler", expected, format!("'{text}'"))
        };
        match text.split_once(':') {
            Some(("ddim", eta)) => {
                let eta: f64 = eta.parse().map_err(|_| unknown())?;
                if (0.0..=1.0).contains(&eta) {
                    Ok(SamplerKind::Ddim { eta })
                } else {
                    Err(Error::value("eta of ddim", "0 to 1", eta))
                }
            }
            Some(("unipc", order)) => match order.parse() {
                Ok(order @ 1..=3) => Ok(SamplerKind::UniPc { order }),
                _ => Err(Error::value("order of unipc", "1, 2 or 3", order)),
            },
            Some(_) => Err(unknown()),
            None => match text {
                "ddpm" => Ok(SamplerKind::Ddpm),
                "ddpm-large" => Ok(SamplerKind::DdpmLarge),
                "ddpm-learned" => Ok(SamplerKind::DdpmLearned),
                "ddim" => Ok(SamplerKind::Ddim { eta: 0.0 }),
                "dpm++1" => Ok(SamplerKind::DpmSolver { order: 1 }),
                "dpm++2m" => Ok(SamplerKind::DpmSolver { order: 2 }),
                "dpm++3m" => Ok(SamplerKind::DpmSolver { order: 3 }),
                "unipc" => Ok(SamplerKind::UniPc { order: 2 }),
                "euler" => Ok(SamplerKind::Euler),
                "heun" => Ok(SamplerKind::Heun),
                "flow" => Ok(SamplerKind::Flow),
                _ => Err(unknown()),
            },
        }
    }
}

impl Serialize for SamplerKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SamplerKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_and_written_back() {
        for (kind, name) in SamplerKind::all().into_iter().zip(SamplerKind::NAMES) {
            assert_eq!(kind.to_string(), name);
        }
        for text in ["ddpm-learned", "ddim:0.5", "ddim:1", "unipc:1", "unipc:3"] {
            assert_eq!(text.parse::<SamplerKind>().unwrap().to_string(), text);
        }
        assert_eq!("ddim:0".parse::<SamplerKind>().unwrap().to_string(), "ddim");
    }

    #[test]
    fn a_wrong_name_is_answered_with_the_right_ones() {
        for text in ["dpm", "ddim:2", "ddim:x", "unipc:4", "euler:1", ""] {
            assert!(text.parse::<SamplerKind>().is_err(), "{text}");
        }
        let message = "dpm".parse::<SamplerKind>().unwrap_err().to_string();
        assert!(message.contains("'dpm'") && message.contains("dpm++2m"), "{message}");
    }
}
