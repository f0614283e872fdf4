//! The closed-form model of the specification.

use super::super::Golden;
use anyhow::{Context, Result};

/// Its coefficients.
pub(in crate::parity) struct Model {
    a: [f64; 2],
    b: [f64; 3],
    s: [f64; 2],
    v: [f64; 4],
    f: [f64; 5],
}

impl Model {
    /// Reads them.
    ///
    /// # Errors
    /// If one is missing.
    pub(in crate::parity) fn new(golden: &Golden) -> Result<Self> {
        fn read<const N: usize>(golden: &Golden, letter: char) -> Result<[f64; N]> {
            let mut values = [0.0; N];
            for (index, value) in values.iter_mut().enumerate() {
                let name = format!("{letter}{index}");
                let found = golden.json["coefficients"][&name].as_f64();
                *value = found.with_context(|| format!("{}: no coefficient {name}", golden.name))?;
            }
            Ok(values)
        }
        Ok(Self {
            a: read(golden, 'a')?,
            b: read(golden, 'b')?,
            s: read(golden, 's')?,
            v: read(golden, 'v')?,
            f: read(golden, 'f')?,
        })
    }

    /// What it calls ε, at u = t/1000.
    pub(in crate::parity) fn epsilon(&self, x: f64, u: f64) -> f64 {
        let ([a0, a1], [b0, b1, b2], [s0, s1]) = (self.a, self.b, self.s);
        (1.0 - (-(a0 * u + a1 * u * u)).exp()).sqrt() * x
            + (-5.0 * u).exp() * (b0 * (b1 * u).cos() + b2 + s0 * (s1 * x).sin())
    }

    /// Its second output.
    pub(in crate::parity) fn variance(&self, x: f64, u: f64) -> f64 {
        let [v0, v1, v2, v3] = self.v;
        v0 * (v1 * x + v2).sin() + v3 * (u - 0.5)
    }

    /// Its velocity.
    pub(in crate::parity) fn velocity(&self, x: f64, u: f64) -> f64 {
        let [f0, f1, f2, f3, f4] = self.f;
        f0 * u * x + (f1 + f2 * u) + f3 * (f4 * x).sin()
    }
}
