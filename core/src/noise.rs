//! Counter-based noise: (seed, stream, element) → number, the same on every machine, thread count and batch split.

/// What the numbers of a stream are for; streams of different purposes never overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    /// The start of sampling.
    Initial = 1,
    /// Noise that a stochastic sampler adds in a step.
    Step = 2,
    /// Fresh noise in the given cells of the unconditional branch of guidance.
    Guidance = 3,
    /// ε of a training example.
    Training = 4,
    /// Levels of a training example.
    Levels = 5,
    /// Which example comes when.
    Shuffle = 6,
    /// Initial parameters.
    Parameters = 7,
    /// Synthetic clips.
    Clips = 8,
    /// Random inputs of a check.
    Check = 9,
    /// Phases from which sound is reconstructed.
    Phase = 10,
    /// Resampling in statistics.
    Statistics = 11,
}

/// Names a sequence of numbers: its purpose, the step it belongs to, and the item (clip, parameter, …).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// What it is for.
    pub purpose: Purpose,
    /// Training or sampling step.
    pub step: u32,
    /// Index of the clip or parameter, over the whole run and not within its batch.
    pub item: u32,
}

impl Stream {
    /// The stream of `purpose` at `step` for `item`.
    pub fn new(purpose: Purpose, step: u32, item: u32) -> Self {
        Self { purpose, step, item }
    }
}

/// Numbers from a seed. Philox 4×32 with 10 rounds (Salmon et al. 2011), key = seed,
/// counter = (element / 4, purpose, step, item).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noise {
    seed: u64,
}

impl Noise {
    /// The noise of a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    fn block(self, stream: Stream, block: u32) -> [u32; 4] {
        philox(
            [block, stream.purpose as u32, stream.step, stream.item],
            [self.seed as u32, (self.seed >> 32) as u32],
        )
    }

    /// The 32 random bits of an element.
    pub fn bits(self, stream: Stream, element: u32) -> u32 {
        self.block(stream, element / 4)[element as usize % 4]
    }

    /// Uniform in the open interval (0, 1).
    pub fn uniform(self, stream: Stream, element: u32) -> f64 {
        open_unit(self.bits(stream, element))
    }

    /// Uniform in `0..n` (by 64-bit multiplication; bias below n / 2³²).
    pub fn below(self, stream: Stream, element: u32, n: u32) -> u32 {
        ((u64::from(self.bits(stream, element)) * u64::from(n)) >> 32) as u32
    }

    /// Fills `out` with standard normals, elements `0..out.len()` of the stream (Box & Muller 1958).
    pub fn normals(self, stream: Stream, out: &mut [f32]) {
        for (block, chunk) in out.chunks_mut(4).enumerate() {
            let bits = self.block(stream, block as u32);
            let pairs = [normal_pair(bits[0], bits[1]), normal_pair(bits[2], bits[3])];
            for (value, normal) in chunk.iter_mut().zip(pairs.into_iter().flatten()) {
                *value = normal as f32;
            }
        }
    }

    /// A permutation of `0..n` (Fisher & Yates), from the elements `0..n` of the stream.
    pub fn permutation(self, stream: Stream, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, self.below(stream, i as u32, i as u32 + 1) as usize);
        }
        order
    }
}

fn open_unit(bits: u32) -> f64 {
    (f64::from(bits) + 0.5) / 4_294_967_296.0
}

/// `libm` in place of the platform's functions, so that every machine gets the same bits.
fn normal_pair(a: u32, b: u32) -> [f64; 2] {
    let radius = libm::sqrt(-2.0 * libm::log(open_unit(a)));
    let (sin, cos) = libm::sincos(std::f64::consts::TAU * open_unit(b));
    [radius * cos, radius * sin]
}

/// Philox 4×32-10 on one counter.
pub fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let product = |m: u32, c: u32| {
            let wide = u64::from(m) * u64::from(c);
            ((wide >> 32) as u32, wide as u32)
        };
        let (hi0, lo0) = product(0xD251_1F53, counter[0]);
        let (hi1, lo1) = product(0xCD9E_8D57, counter[2]);
        counter = [hi1 ^ counter[1] ^ key[0], lo1, hi0 ^ counter[3] ^ key[1], lo0];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers published with Random123 (`kat_vectors`, philox4x32 10).
    #[test]
    fn philox_gives_the_published_known_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        let pi = ([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]);
        assert_eq!(philox(pi.0, pi.1), [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }

    #[test]
    fn normals_have_mean_0_and_variance_1_and_do_not_depend_on_how_many_are_drawn() {
        let noise = Noise::new(7);
        let stream = Stream::new(Purpose::Initial, 0, 3);
        let mut many = vec![0f32; 100_000];
        noise.normals(stream, &mut many);
        let mean = many.iter().map(|&x| f64::from(x)).sum::<f64>() / 1e5;
        let variance = many.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / 1e5;
        // Standard errors are 0.0032 and 0.0045; four of them.
        assert!(mean.abs() < 0.013 && (variance - 1.0).abs() < 0.018, "{mean} {variance}");
        let mut few = vec![0f32; 7];
        noise.normals(stream, &mut few);
        assert_eq!(few, many[..7]);
    }

    #[test]
    fn a_permutation_holds_every_index_once_and_differs_between_steps() {
        let noise = Noise::new(1);
        let mut first = noise.permutation(Stream::new(Purpose::Shuffle, 0, 0), 50);
        assert_ne!(first, noise.permutation(Stream::new(Purpose::Shuffle, 1, 0), 50));
        first.sort_unstable();
        assert_eq!(first, (0..50).collect::<Vec<_>>());
    }
}
