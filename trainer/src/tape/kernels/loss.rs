//! `Σ (weight·(prediction − target))²`.

/// Returns the loss, summed in double precision, and leaves its gradient in the place of the prediction.
pub(in crate::tape) fn loss(prediction: &mut [f32], target: &[f32], weight: &[f32]) -> f64 {
    let mut sum = 0f64;
    for ((p, &target), &weight) in prediction.iter_mut().zip(target).zip(weight) {
        let error = (*p - target) * weight;
        sum += f64::from(error) * f64::from(error);
        *p = 2.0 * error * weight;
    }
    sum
}
