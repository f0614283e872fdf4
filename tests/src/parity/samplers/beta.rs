//! Quantiles of the Beta(0.6, 0.6) distribution, by which some schedulers space their sigmas.

/// Both parameters.
const A: f64 = 0.6;
/// B(0.6, 0.6) = Γ(0.6)²/Γ(1.2).
const BETA: f64 = 2.415_344_208_002_472_3;

/// The x below which a share `p` of the distribution lies.
pub(super) fn quantile(p: f64) -> f64 {
    if p <= 0.0 {
        return 0.0;
    }
    if p > 0.5 {
        return 1.0 - quantile(1.0 - p);
    }
    // Bisection in the logarithm, so that small quantiles keep their digits.
    let (mut low, mut high) = (-745.0f64, 0.5f64.ln());
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if share_below(middle.exp()) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    (0.5 * (low + high)).exp()
}

/// I_x(a, a) for x ≤ 0.5, by its power series: x^a (1−x)^a / (a·B) · Σ_n Π (2a+k)/(a+1+k)·x.
fn share_below(x: f64) -> f64 {
    let (mut term, mut sum, mut k) = (1.0, 1.0, 0.0);
    while term > 1e-18 * sum {
        term *= (2.0 * A + k) / (A + 1.0 + k) * x;
        sum += term;
        k += 1.0;
    }
    (x * (1.0 - x)).powf(A) / (A * BETA) * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_a_symmetric_distribution_lies_below_its_middle() {
        assert!((share_below(0.5) - 0.5).abs() < 1e-13, "{}", share_below(0.5));
        for p in [1e-6, 0.01, 0.3] {
            assert!((share_below(quantile(p)) / p - 1.0).abs() < 1e-12);
        }
        assert_eq!((quantile(0.0), quantile(1.0)), (0.0, 1.0));
    }
}
