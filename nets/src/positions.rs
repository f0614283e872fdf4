//! Fixed position codes and timestep frequencies, computed in f64.

/// `[sin(p·ω), cos(p·ω)]` with ω_k = 10000^(−k/(n/2)), k = 0…n/2−1 (Vaswani et al. 2017, halves not interleaved).
pub fn sincos(position: f64, n: usize) -> Vec<f64> {
    let half = n / 2;
    let angles = (0..half).map(|k| position * (-(10_000f64.ln()) * k as f64 / half as f64).exp());
    angles.clone().map(f64::sin).chain(angles.map(f64::cos)).collect()
}

/// The time coordinate of every frame, in segments: segment index + (index in segment + ½)/frames in that segment.
pub fn segment_times(segments: &[usize]) -> Vec<f64> {
    let times = segments.iter().enumerate();
    times
        .flat_map(|(n, &frames)| (0..frames).map(move |i| n as f64 + (i as f64 + 0.5) / frames as f64))
        .collect()
}

/// Frequencies of the timestep features: exp(−ln(10000)·k/half), k = 0…half−1.
pub fn timestep_frequencies(half: usize) -> Vec<f32> {
    (0..half).map(|k| (-(10_000f64.ln()) * k as f64 / half as f64).exp() as f32).collect()
}

/// [`timestep_frequencies`] with every step rounded to single precision, as the networks of DiT's public checkpoints had
/// them: a last digit that a timestep near 1000 makes 4e-5 of a cosine.
pub fn timestep_frequencies_in_single(half: usize) -> Vec<f32> {
    let slope = -(10_000f64.ln()) as f32;
    (0..half).map(|k| f64::from(slope * k as f32 / half as f32).exp() as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sight_and_sound_of_a_segment_share_its_middle() {
        let (video, audio) = (segment_times(&[1, 1]), segment_times(&[1, 3]));
        assert_eq!(video, [0.5, 1.5]);
        assert!((audio[2] - video[1]).abs() < 1e-15);
    }

    #[test]
    fn the_code_begins_with_sines_of_the_position_itself() {
        let code = sincos(0.5, 4);
        // ω = 1, 10000^(−1/2) = 0.01
        let expected = [0.5f64.sin(), 0.005f64.sin(), 0.5f64.cos(), 0.005f64.cos()];
        assert!(code.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15), "{code:?}");
    }
}
