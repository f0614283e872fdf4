//! The methods, with every option that published samplers have.

/// Variance of the noise that a DDPM step adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variance {
    /// That of the posterior q(x_s | x_t, x0): `fixed_small`.
    Small,
    /// That of the forward step q(x_t | x_s): `fixed_large`.
    Large,
    /// Between the two in the logarithm, by the network's second output in −1…1 (Nichol & Dhariwal 2021, Eq. 15).
    LearnedRange,
    /// The network's second output itself.
    Learned,
}

/// What DPM-Solver keeps of each evaluation, and whether it adds noise (Lu et al. 2022).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DpmForm {
    /// DPM-Solver++: clean latents.
    Data,
    /// DPM-Solver: noise.
    Noise,
    /// SDE-DPM-Solver++.
    StochasticData,
    /// SDE-DPM-Solver.
    StochasticNoise,
}

impl DpmForm {
    /// Whether clean latents are kept, and not noise.
    pub fn keeps_data(self) -> bool {
        matches!(self, DpmForm::Data | DpmForm::StochasticData)
    }

    /// Whether it adds noise.
    pub fn is_stochastic(self) -> bool {
        matches!(self, DpmForm::StochasticData | DpmForm::StochasticNoise)
    }
}

/// Where DPM-Solver of order 2 places its slope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HalfStep {
    /// `midpoint`.
    Midpoint,
    /// `heun`.
    Heun,
}

/// B(h) of UniPC (Zhao et al. 2023, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UniPcBasis {
    /// `bh1`: B(h) = h.
    Bh1,
    /// `bh2`: B(h) = e^h − 1.
    Bh2,
}

/// In which variables Heun's two slopes are averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corner {
    /// x/α over σ/α (Karras et al. 2022); undefined where α = 0.
    Exploding,
    /// x/(α+σ) over σ/(α+σ): the straight path of flow matching, defined everywhere.
    Straight,
}

/// A sampling method.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// Ancestral sampling (Ho et al. 2020).
    Ddpm {
        /// Of the noise.
        variance: Variance,
        /// Whether noise is added by a step that arrives at clean latents too; the published loops do so unless the
        /// step leaves from their index 0.
        noisy_end: bool,
    },
    /// Song et al. 2021.
    Ddim {
        /// 0: no noise; 1: as DDPM's small variance.
        eta: f64,
        /// Whether the direction is recomputed from clipped clean latents, as ADM does, or taken from the prediction.
        from_clipped: bool,
    },
    /// Euler's method; flow matching's sampler.
    Euler,
    /// Clean latents as predicted, fresh noise on top.
    Renoise,
    /// Heun's method: two evaluations a step, one if it arrives at clean latents.
    Heun(Corner),
    /// Multistep DPM-Solver and DPM-Solver++ of order 1 to 3.
    Dpm {
        /// What it keeps.
        form: DpmForm,
        /// 1, 2 or 3.
        order: usize,
        /// At order 2.
        half_step: HalfStep,
    },
    /// Multistep predictor and corrector of order 1 to 3.
    UniPc {
        /// 1, 2 or 3.
        order: usize,
        /// B(h).
        basis: UniPcBasis,
        /// Whether clean latents are kept, and not noise.
        data: bool,
    },
}

impl Method {
    /// Earlier evaluations that a step may look back on.
    pub fn history(self) -> usize {
        match self {
            Method::Heun(_) => 1,
            Method::Dpm { order, .. } => order - 1,
            Method::UniPc { order, .. } => order,
            _ => 0,
        }
    }

    /// Whether an earlier state is needed besides.
    pub fn saves_state(self) -> bool {
        matches!(self, Method::Heun(_) | Method::UniPc { .. })
    }

    /// Whether what is kept are clean latents, and not noise or a slope.
    pub fn keeps_data(self) -> bool {
        match self {
            Method::Dpm { form, .. } => form.keeps_data(),
            Method::UniPc { data, .. } => data,
            Method::Heun(_) => false,
            _ => true,
        }
    }

    /// Whether any step adds noise.
    pub fn is_stochastic(self) -> bool {
        match self {
            Method::Ddpm { .. } | Method::Renoise => true,
            Method::Ddim { eta, .. } => eta != 0.0,
            Method::Dpm { form, .. } => form.is_stochastic(),
            _ => false,
        }
    }

    /// Whether the network's second output is needed.
    pub fn needs_variance(self) -> bool {
        matches!(self, Method::Ddpm { variance: Variance::LearnedRange | Variance::Learned, .. })
    }

    /// The highest order that a stable run allows a cell at its step `index` of `steps`: multistep methods come down
    /// towards the end, DPM-Solver only in runs of fewer than 15 steps, as published.
    pub fn order_at(self, index: usize, steps: usize) -> usize {
        let left = steps.saturating_sub(index).max(1);
        match self {
            Method::Dpm { order, .. } if steps < 15 => order.min(left),
            Method::Dpm { order, .. } => order,
            Method::UniPc { order, .. } => order.min(left),
            _ => 1,
        }
    }
}
