//! `Σ (weight·error)²`.

/// Returns the loss, summed in double precision, and leaves its gradient in the place of the error.
pub(in crate::tape) fn loss(error: &mut [f32], weight: &[f32]) -> f64 {
    let mut sum = 0f64;
    for (error, &weight) in error.iter_mut().zip(weight) {
        let weighted = *error * weight;
        sum += f64::from(weighted) * f64::from(weighted);
        *error = 2.0 * weighted * weight;
    }
    sum
}
