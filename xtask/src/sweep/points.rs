//! What is measured: a base network, and along each axis the networks and settings that differ from it in one thing.

/// A network on a grid, and how it is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    /// Side of the square of latents of a video frame; patches of 2×2 make tokens.
    pub(super) side: u64,
    pub(super) width: u64,
    pub(super) depth: u64,
    pub(super) batch: u64,
    pub(super) threads: u64,
}

/// Video frames, each a segment, and audio frames, as in the presets.
const FRAMES: u64 = 5;
const AUDIO: [u64; 5] = [6, 25, 25, 25, 25];
/// Channels of a video latent and of an audio latent.
const CHANNELS: [u64; 2] = [8, 32];
const PATCH: u64 = 2;
const HEAD: u64 = 64;

/// The network from which each axis starts: 426 tokens.
pub(super) const BASE: Point = Point { side: 16, width: 384, depth: 6, batch: 1, threads: 1 };

/// What differs along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    Tokens,
    Width,
    Depth,
    Batch,
    Threads,
}

impl Axis {
    pub(super) const ALL: [Axis; 5] = [Axis::Tokens, Axis::Width, Axis::Depth, Axis::Batch, Axis::Threads];

    pub(super) fn name(self) -> &'static str {
        match self {
            Axis::Tokens => "tokens",
            Axis::Width => "width",
            Axis::Depth => "depth",
            Axis::Batch => "batch",
            Axis::Threads => "threads",
        }
    }

    /// Where on the axis a point lies.
    pub(super) fn value(self, point: &Point) -> u64 {
        match self {
            Axis::Tokens => point.tokens(),
            Axis::Width => point.width,
            Axis::Depth => point.depth,
            Axis::Batch => point.batch,
            Axis::Threads => point.threads,
        }
    }

    /// The points of the axis in order, the base among them; on a machine with so many processors.
    pub(super) fn points(self, quick: bool, processors: u64) -> Vec<Point> {
        let pick = |all: &[u64], few: &[u64]| if quick { few.to_vec() } else { all.to_vec() };
        let each = |values: Vec<u64>, change: fn(&mut Point, u64)| {
            let changed = |value| {
                let mut point = BASE;
                change(&mut point, value);
                point
            };
            values.into_iter().map(changed).collect()
        };
        match self {
            Axis::Tokens => each(pick(&[8, 16, 24, 32, 48], &[8, 16]), |point, side| point.side = side),
            Axis::Width => {
                each(pick(&[128, 256, 384, 512, 768], &[128, 384]), |point, width| point.width = width)
            }
            Axis::Depth => each(pick(&[2, 4, 6, 8, 12], &[2, 6]), |point, depth| point.depth = depth),
            Axis::Batch => each(pick(&[1, 2, 4, 8], &[1, 2]), |point, batch| point.batch = batch),
            Axis::Threads => {
                let doubled = std::iter::successors(Some(1), |n| Some(n * 2)).take_while(|&n| n < processors);
                each(doubled.chain([processors]).collect(), |point, threads| point.threads = threads)
            }
        }
    }
}

impl Point {
    pub(super) fn tokens(&self) -> u64 {
        FRAMES * (self.side / PATCH).pow(2) + AUDIO.iter().sum::<u64>()
    }

    /// Multiply-adds of one step: the layers of every token, attention between all tokens, and what is computed for
    /// each cell.
    pub(super) fn multiply_adds(&self) -> u64 {
        let (d, tokens, audio) = (self.width, self.tokens(), AUDIO.iter().sum::<u64>());
        let (video, cells) = (tokens - audio, 2 * FRAMES);
        let patch = CHANNELS[0] * PATCH * PATCH;
        // q, k, v, the projection and both layers of the MLP; scores and their sums; adaLN.
        let block = tokens * 12 * d * d + 2 * tokens * tokens * d + cells * 6 * d * d;
        // Into the network and out of it; the levels; adaLN of both outputs.
        let ends = 2 * (video * patch * d + audio * CHANNELS[1] * d) + cells * (256 * d + d * d + 4 * d * d);
        self.batch * (self.depth * block + ends)
    }

    /// What the time of a step should follow: multiply-adds, shared among the threads.
    pub(super) fn work(&self) -> f64 {
        self.multiply_adds() as f64 / self.threads as f64
    }

    /// A name for its network, whatever the batch and threads.
    pub(super) fn model(&self) -> String {
        format!("{}-tokens-{}-wide-{}-deep", self.tokens(), self.width, self.depth)
    }

    /// The network as `avdit export --config` reads it.
    pub(super) fn toml(&self) -> String {
        let Point { side, width, depth, .. } = self;
        let (heads, frames) = (width / HEAD, AUDIO.iter().sum::<u64>());
        let [video, audio] = CHANNELS;
        format!(
            "width = {width}\ndepth = {depth}\nheads = {heads}\nmlp_ratio = 4.0\nqk_norm = true\n\
             [video]\nframes = {FRAMES}\nchannels = {video}\nheight = {side}\nwidth = {side}\npatch = {PATCH}\n\
             segments = {:?}\n[audio]\nframes = {frames}\nchannels = {audio}\nsegments = {AUDIO:?}\n",
            [1; FRAMES as usize]
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_of_twelve_blocks_takes_what_its_matrices_say() {
        // 12 blocks of width 384 over 426 tokens: 21.4 GFLOP in blocks, and the little that cells and ends take.
        let flop = 2.0 * Point { depth: 12, ..BASE }.multiply_adds() as f64;
        assert!((21.4e9..21.9e9).contains(&flop), "{flop}");
        assert_eq!(Point { batch: 3, ..BASE }.multiply_adds(), 3 * BASE.multiply_adds());
        assert_eq!(BASE.tokens(), 426);
    }

    #[test]
    fn every_axis_goes_up_and_passes_the_base() {
        for (axis, quick) in Axis::ALL.into_iter().flat_map(|axis| [(axis, false), (axis, true)]) {
            let points = axis.points(quick, 6);
            assert!(points.contains(&BASE), "{}", axis.name());
            assert!(
                points.windows(2).all(|pair| axis.value(&pair[0]) < axis.value(&pair[1])),
                "{}",
                axis.name()
            );
            assert!(points.iter().all(|point| point.width % HEAD == 0));
        }
        assert_eq!(
            Axis::Threads.points(false, 6).iter().map(|p| p.threads).collect::<Vec<_>>(),
            [1, 2, 4, 6]
        );
        assert_eq!(Axis::Threads.points(false, 1), [BASE]);
    }
}
