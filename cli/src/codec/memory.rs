//! Memory for networks of pictures: in which tiles, and how many at a time.

use avdit_nets::vae::VaeConfig;
use std::sync::{Condvar, Mutex, PoisonError};

/// Taps of a convolution of 3 × 3.
const TAPS: u64 = 9;
/// Bytes of a number.
const BYTES: u64 = 4;
/// Sides of tiles are multiples of this, and not shorter than twice it.
const STEP: usize = 8;

/// About how many bytes it takes to decode latents of `[h, w]`: the largest convolution, whose input an engine may copy once
/// for each tap, or what the places of the coarsest resolution are to one another.
pub fn decoder_bytes(vae: &VaeConfig, [h, w]: [usize; 2]) -> u64 {
    let widths = &vae.block_out_channels;
    let places = (h * w) as u64;
    let convolutions = widths.iter().enumerate().map(|(level, &own)| {
        // What comes up from the coarser resolution has its width.
        let input = widths.get(level + 1).map_or(own, |&coarser| coarser.max(own)) as u64;
        let finer = 1u64 << (2 * (widths.len() - 1 - level));
        places * finer * (input * (TAPS + 1) + own as u64)
    });
    let attention = if vae.mid_block_add_attention { 2 * places * places } else { 0 };
    BYTES * convolutions.max().unwrap_or(0).max(attention)
}

/// The side of tiles that are decoded in half of the memory that is available; `None` if the whole is, or nobody knows how
/// much there is.
pub fn tile(vae: &VaeConfig, size: [usize; 2], available: Option<u64>) -> Option<usize> {
    let budget = available? / 2;
    if decoder_bytes(vae, size) <= budget {
        return None;
    }
    let longest = size[0].max(size[1]);
    let sides = (2..=longest / STEP).rev().map(|n| n * STEP).filter(|&side| side < longest);
    let fits = |side: &usize| decoder_bytes(vae, size.map(|len| len.min(*side))) <= budget;
    let smallest = (longest > 2 * STEP).then_some(2 * STEP);
    sides.into_iter().find(fits).or(smallest)
}

/// How many may work at a time.
pub struct Permits {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Permits {
    /// As many as fit into three quarters of what is available, each needing `bytes`; one at least, and no more than there
    /// are cores.
    pub fn for_memory(bytes: u64, available: Option<u64>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let fit = available.map_or(cores, |available| (available / 4 * 3 / bytes.max(1)) as usize);
        Self { free: Mutex::new(fit.clamp(1, cores)), freed: Condvar::new() }
    }

    /// Does some work when there is a permit. The work may not ask for another.
    pub fn with<T>(&self, work: impl FnOnce() -> T) -> T {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.freed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        drop(free);
        let _held = Held(self);
        work()
    }
}

/// Gives a permit back, also where the work panics.
struct Held<'a>(&'a Permits);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn tiles_are_as_large_as_half_of_the_memory_allows() {
        let vae = VaeConfig::stable_diffusion();
        // 256 channels of 256 × 256 ten times, 128 more once.
        assert_eq!(decoder_bytes(&vae, [32, 32]), 4 * 65_536 * (2560 + 128));
        assert_eq!(tile(&vae, [32, 32], Some(2 << 30)), None);
        assert_eq!(tile(&vae, [32, 32], Some(1 << 30)), Some(24));
        assert_eq!(tile(&vae, [32, 64], Some(2 << 30)), Some(48));
        assert_eq!((tile(&vae, [32, 32], Some(1)), tile(&vae, [8, 8], Some(1))), (Some(16), None));
        assert_eq!(tile(&vae, [512, 512], None), None);
    }

    #[test]
    fn no_more_work_at_a_time_than_there_are_permits() {
        let permits = Permits::for_memory(10, Some(9));
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    permits.with(|| {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::sleep(std::time::Duration::from_millis(5));
                        now.fetch_sub(1, Ordering::SeqCst);
                    });
                });
            }
        });
        assert_eq!((most.into_inner(), *permits.free.lock().unwrap()), (1, 1));
    }
}
