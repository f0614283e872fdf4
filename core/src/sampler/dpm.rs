//! DPM-Solver and DPM-Solver++, multistep, orders 1 to 3, without and with noise (Lu et al. 2022).

use super::method::{DpmForm, HalfStep};
use super::update::Sum;
use crate::schedule::Rates;

/// The step from `from` to `to` with the kept values of the points in `past`, the newest first, at `order` ≤
/// 1 + past.len(). Arriving at clean latents allows order 1 alone, where λ is infinite.
pub(super) fn step(
    from: Rates,
    to: Rates,
    past: &[Rates],
    form: DpmForm,
    order: usize,
    half_step: HalfStep,
) -> Sum {
    let h = to.lambda() - from.lambda();
    // e^−h·α' and e^h·σ', which stay finite where h does not.
    let alpha_decayed = from.alpha * to.sigma / from.sigma;
    let sigma_grown = to.alpha * from.sigma / from.alpha;
    let decay = alpha_decayed / to.alpha;
    // Factors of x, of D0, and of the noise.
    let (x, d0, noise) = match form {
        DpmForm::Data => (to.sigma / from.sigma, to.alpha - alpha_decayed, 0.0),
        DpmForm::Noise => (to.alpha / from.alpha, to.sigma - sigma_grown, 0.0),
        DpmForm::StochasticData => {
            let lost = 1.0 - decay * decay;
            (to.sigma / from.sigma * decay, to.alpha * lost, to.sigma * lost.sqrt())
        }
        DpmForm::StochasticNoise => {
            let grown = (sigma_grown * sigma_grown - to.sigma * to.sigma).sqrt();
            (to.alpha / from.alpha, 2.0 * (to.sigma - sigma_grown), grown)
        }
    };
    let mut sum = Sum { x, noise, ..Sum::default() };
    if order == 1 {
        sum.kept = d0;
        return sum;
    }
    // First-order terms of the exponential integrals, for Heun's form and order 3.
    let slope = match form {
        DpmForm::Data => to.alpha * ((-h).exp_m1() / h + 1.0),
        DpmForm::Noise => -to.sigma * (h.exp_m1() / h - 1.0),
        DpmForm::StochasticData => to.alpha * ((-2.0 * h).exp_m1() / (2.0 * h) + 1.0),
        DpmForm::StochasticNoise => -2.0 * to.sigma * (h.exp_m1() / h - 1.0),
    };
    let r0 = (from.lambda() - past[0].lambda()) / h;
    if order == 2 {
        let d1 = if half_step == HalfStep::Midpoint { 0.5 * d0 } else { slope };
        // D1 = (m0 − m1)/r0
        sum.kept = d0 + d1 / r0;
        sum.history[0] = -d1 / r0;
        return sum;
    }
    let curve = match form {
        DpmForm::Data => -to.alpha * (((-h).exp_m1() + h) / (h * h) - 0.5),
        DpmForm::Noise => -to.sigma * ((h.exp_m1() - h) / (h * h) - 0.5),
        DpmForm::StochasticData => to.alpha * ((-(-2.0 * h).exp_m1() - 2.0 * h) / (4.0 * h * h) - 0.5),
        DpmForm::StochasticNoise => -2.0 * to.sigma * ((h.exp_m1() - h) / (h * h) - 0.5),
    };
    let r1 = (past[0].lambda() - past[1].lambda()) / h;
    // D1 = a + r0/(r0+r1)·(a − b), D2 = (a − b)/(r0+r1) with a = (m0 − m1)/r0, b = (m1 − m2)/r1
    let a = slope * (1.0 + r0 / (r0 + r1)) + curve / (r0 + r1);
    let b = -slope * r0 / (r0 + r1) - curve / (r0 + r1);
    sum.kept = d0 + a / r0;
    sum.history = [-a / r0 + b / r1, -b / r1, 0.0];
    sum
}
