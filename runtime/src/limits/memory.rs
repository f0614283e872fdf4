//! The bandwidth of memory.

use super::{Rate, rate};
use std::convert::Infallible;
use std::fs::read_to_string;
use std::hint::black_box;
use std::time::Duration;

/// Values in each of three buffers at least and at most: 64 and 256 MiB of them.
const SMALLEST: usize = 16 << 20;
const LARGEST: usize = 64 << 20;

/// Bytes of `a = b + s · c` over buffers far larger than the caches, on so many threads: 12 bytes a
/// value, without what the processor reads of `a` before it writes there. McCalpin's triad, within `duration`.
pub fn triad_rate(threads: usize, duration: Duration) -> Rate {
    // Four times the last cache, in bytes of one buffer.
    let wanted = last_cache_bytes().unwrap_or(0);
    let n = wanted.clamp(SMALLEST, LARGEST).next_multiple_of(threads.max(1));
    let (b, c) = (vec![1.5f32; n], vec![0.25f32; n]);
    let mut a = vec![0f32; n];
    let chunk = n / threads.max(1);
    let pass = || -> Result<(), Infallible> {
        std::thread::scope(|scope| {
            for ((a, b), c) in a.chunks_mut(chunk).zip(b.chunks(chunk)).zip(c.chunks(chunk)) {
                scope.spawn(move || triad(a, b, c, black_box(3.0)));
            }
        });
        Ok(())
    };
    let Ok(rate) = rate(12.0 * n as f64, duration, pass);
    black_box(&a);
    rate
}

fn triad(a: &mut [f32], b: &[f32], c: &[f32], s: f32) {
    for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
        *a = b + s * c;
    }
}

/// The largest cache that the system names.
fn last_cache_bytes() -> Option<usize> {
    let sizes = (0..5).filter_map(|index| {
        let path = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size");
        let text = read_to_string(path).ok()?;
        let text = text.trim();
        let scale = if text.ends_with('M') { 1 << 20 } else { 1 << 10 };
        Some(text.trim_end_matches(['K', 'M']).parse::<usize>().ok()? * scale)
    });
    sizes.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bandwidth_is_a_number_above_zero() {
        for threads in [1, 3] {
            let rate = triad_rate(threads, Duration::ZERO);
            assert!(rate.wall > 0.01 && rate.wall.is_finite() && rate.cpu > 0.01, "{rate:?}");
        }
        let mut a = [0.0; 2];
        triad(&mut a, &[1.0, 2.0], &[3.0, 4.0], 2.0);
        assert_eq!(a, [7.0, 10.0]);
    }
}
