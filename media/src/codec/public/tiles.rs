//! A picture in tiles that overlap, so that a network of convolutions needs the memory of a tile alone.
//!
//! Every tile has the same size, so that one graph runs them all; they are spread evenly and overlap by a quarter of their
//! side at least. Where tiles overlap, what the network made of each is mixed with weights that fall linearly to its edge.
//! Norms and attention over places see a tile in place of the picture, so tiles are an approximation: not so one tile that
//! covers all.

use crate::error::{Error, Result};

/// The part of a tile's side that overlaps the next, at least.
const OVERLAP: usize = 4;

/// Tiles of a picture, in the places of its latents.
#[derive(Clone, Debug, PartialEq)]
pub struct Tiles {
    axes: [Axis; 2],
}

/// Tiles along one side.
#[derive(Clone, Debug, PartialEq)]
struct Axis {
    len: usize,
    tile: usize,
    starts: Vec<usize>,
}

/// A map of a tile: channels, and places of it along the side of a latent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    /// Channels.
    pub channels: usize,
    /// 1 for latents, the codec's factor for pictures.
    pub unit: usize,
}

impl Tiles {
    /// Of latents of `[h, w]`; no tile is larger than they are. Without a size one tile covers all.
    ///
    /// # Errors
    /// [`Error::Value`] if a side of a tile is too short to overlap.
    pub fn new(size: [usize; 2], side: Option<usize>) -> Result<Self> {
        let tile = size.map(|len| side.map_or(len, |side| side.min(len)));
        if let Some((&tile, _)) = tile.iter().zip(&size).find(|(tile, len)| tile < len && **tile < OVERLAP) {
            return Err(Error::value("side of a tile in latents", format!("at least {OVERLAP}"), tile));
        }
        Ok(Self { axes: [Axis::new(size[0], tile[0]), Axis::new(size[1], tile[1])] })
    }

    /// The size of a tile `[h, w]` in latents.
    pub fn tile(&self) -> [usize; 2] {
        [self.axes[0].tile, self.axes[1].tile]
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.axes[0].starts.len() * self.axes[1].starts.len()
    }

    /// What `network` makes of x (channels, height, width), tile by tile: (channels, height, width) of the side `to`.
    ///
    /// # Errors
    /// [`Error::Count`] if x or what the network makes is of another size; whatever the network reports.
    pub fn run(
        &self,
        x: &[f32],
        from: Side,
        to: Side,
        network: &mut dyn FnMut(&[f32]) -> Result<Vec<f32>>,
    ) -> Result<Vec<f32>> {
        let [rows, columns] = &self.axes;
        let len = |side: Side, [h, w]: [usize; 2]| side.channels * h * side.unit * w * side.unit;
        let size = [rows.len, columns.len];
        Error::check_count("values of a picture in tiles", len(from, size), x.len())?;
        if self.count() == 1 {
            let made = network(x)?;
            Error::check_count("values that a network makes of a picture", len(to, size), made.len())?;
            return Ok(made);
        }
        let (row_weights, column_weights) = (rows.weights(to.unit), columns.weights(to.unit));
        let mut whole = vec![0.0; len(to, size)];
        for (i, &top) in rows.starts.iter().enumerate() {
            for (j, &left) in columns.starts.iter().enumerate() {
                let made = network(&self.cut(x, from, [top, left]))?;
                Error::check_count(
                    "values that a network makes of a tile",
                    len(to, self.tile()),
                    made.len(),
                )?;
                let (height, width) = (rows.tile * to.unit, columns.tile * to.unit);
                for (line, values) in made.chunks_exact(width).enumerate() {
                    let (channel, row) = (line / height, line % height);
                    let begin = (channel * rows.len * to.unit + top * to.unit + row) * columns.len * to.unit
                        + left * to.unit;
                    let place = whole[begin..begin + width].iter_mut();
                    for ((sum, value), weight) in place.zip(values).zip(&column_weights[j]) {
                        *sum += row_weights[i][row] * weight * value;
                    }
                }
            }
        }
        Ok(whole)
    }

    /// The values of x in a tile.
    fn cut(&self, x: &[f32], side: Side, [top, left]: [usize; 2]) -> Vec<f32> {
        let [rows, columns] = &self.axes;
        let width = columns.len * side.unit;
        let mut part = Vec::with_capacity(side.channels * rows.tile * columns.tile * side.unit * side.unit);
        for channel in 0..side.channels {
            for row in top * side.unit..(top + rows.tile) * side.unit {
                let begin = (channel * rows.len * side.unit + row) * width + left * side.unit;
                part.extend_from_slice(&x[begin..begin + columns.tile * side.unit]);
            }
        }
        part
    }
}

impl Axis {
    fn new(len: usize, tile: usize) -> Self {
        if tile >= len {
            return Self { len, tile: len, starts: vec![0] };
        }
        let stride = tile - tile.div_ceil(OVERLAP);
        let gaps = (len - tile).div_ceil(stride);
        let start = |i: usize| (i * (len - tile) + gaps / 2) / gaps;
        Self { len, tile, starts: (0..=gaps).map(start).collect() }
    }

    /// The weight of each of a tile's `tile · unit` places. All weights of a place have the sum 1, and are 1 where there
    /// is one tile.
    fn weights(&self, unit: usize) -> Vec<Vec<f32>> {
        let tile = self.tile * unit;
        let ramp = |place: usize, overlap: Option<usize>| match overlap {
            Some(overlap) => ((place + 1) as f64 / (overlap + 1) as f64).min(1.0),
            None => 1.0,
        };
        let overlap = |a: usize, b: usize| Some((self.starts[a] + self.tile - self.starts[b]) * unit);
        let last = self.starts.len() - 1;
        let raw: Vec<Vec<f64>> = (0..=last)
            .map(|i| {
                let before = if i > 0 { overlap(i - 1, i) } else { None };
                let behind = if i < last { overlap(i, i + 1) } else { None };
                (0..tile).map(|p| ramp(p, before).min(ramp(tile - 1 - p, behind))).collect()
            })
            .collect();
        let mut sums = vec![0.0; self.len * unit];
        for (start, raw) in self.starts.iter().zip(&raw) {
            sums[start * unit..].iter_mut().zip(raw).for_each(|(sum, weight)| *sum += weight);
        }
        let normed = |(start, raw): (&usize, Vec<f64>)| {
            raw.iter().zip(&sums[start * unit..]).map(|(weight, sum)| (weight / sum) as f32).collect()
        };
        self.starts.iter().zip(raw).map(normed).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATENTS: Side = Side { channels: 1, unit: 1 };
    const PICTURES: Side = Side { channels: 2, unit: 2 };

    /// Twice as large in two channels, each place the mean of it and its neighbours: what a network of one convolution
    /// does, which sees zeros beyond the ends.
    fn network(x: &[f32], [h, w]: [usize; 2]) -> Vec<f32> {
        let at = |i: usize, j: usize| if i < h && j < w { x[i * w + j] } else { 0.0 };
        let mut y = Vec::new();
        for channel in 0..2 {
            for (i, j) in (0..2 * h).flat_map(|i| (0..2 * w).map(move |j| (i / 2, j / 2))) {
                let around = [at(i, j), at(i.wrapping_sub(1), j), at(i + 1, j), at(i, j + 1)];
                y.push(around.iter().sum::<f32>() * 0.25 + channel as f32);
            }
        }
        y
    }

    fn picture(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect()
    }

    #[test]
    fn tiles_cover_everything_evenly_and_weights_have_the_sum_one() {
        for (len, tile) in [(8, 8), (9, 8), (32, 8), (33, 12), (100, 16), (5, 4), (64, 63)] {
            let axis = Axis::new(len, tile);
            assert_eq!((axis.starts[0], axis.starts.last().unwrap() + axis.tile), (0, len));
            for pair in axis.starts.windows(2) {
                assert!(pair[0] < pair[1] && pair[0] + tile >= pair[1] + tile.div_ceil(4), "{axis:?}");
            }
            for unit in [1, 8] {
                let mut sums = vec![0.0; len * unit];
                for (start, weights) in axis.starts.iter().zip(axis.weights(unit)) {
                    assert!(weights.len() == axis.tile * unit && weights.iter().all(|w| *w > 0.0));
                    sums[start * unit..].iter_mut().zip(weights).for_each(|(sum, w)| *sum += w);
                }
                assert!(sums.iter().all(|sum| (sum - 1.0f32).abs() < 1e-6), "{len} of {tile}: {sums:?}");
            }
        }
        assert_eq!(Axis::new(5, 4).weights(1)[0], [1.0, 0.75, 0.5, 0.25], "linear over the overlap of three");
    }

    #[test]
    fn tiles_agree_with_the_whole_but_at_their_edges_and_one_tile_is_the_whole() {
        let (size, x) = ([17, 20], picture(17 * 20));
        let whole = network(&x, size);
        let one = Tiles::new(size, Some(20)).unwrap();
        let run = |tiles: &Tiles| {
            let size = tiles.tile();
            tiles.run(&x, LATENTS, PICTURES, &mut |x| Ok(network(x, size))).unwrap()
        };
        assert_eq!((one.count(), one.tile()), (1, size));
        assert_eq!(run(&one), whole);
        let tiles = Tiles::new(size, Some(8)).unwrap();
        assert_eq!((tiles.count(), tiles.tile()), (9, [8, 8]));
        let made = run(&tiles);
        assert_eq!(made.len(), whole.len());
        // An edge of a tile lies within the picture, its first or last row or column being wrong by one neighbour.
        let edges = |axis: &Axis| -> Vec<usize> {
            axis.starts
                .iter()
                .flat_map(|&s| [s, s + axis.tile - 1])
                .filter(|&p| p > 0 && p + 1 < axis.len)
                .collect()
        };
        let [rows, columns] = [edges(&tiles.axes[0]), edges(&tiles.axes[1])];
        let (mut seams, mut elsewhere) = (0, 0);
        for (n, (a, b)) in made.iter().zip(&whole).enumerate() {
            let (row, column) = (n / 40 % 34 / 2, n % 40 / 2);
            if rows.contains(&row) || columns.contains(&column) {
                seams += usize::from((a - b).abs() > 1e-3);
            } else {
                assert!((a - b).abs() < 1e-6, "row {row}, column {column}: {a} and {b}");
                elsewhere += 1;
            }
        }
        assert!(seams > 0 && elsewhere > 0);
    }

    #[test]
    fn what_no_tiling_can_be_is_refused() {
        assert!(Tiles::new([8, 8], Some(3)).unwrap_err().to_string().contains("at least 4"));
        assert!(Tiles::new([2, 2], Some(3)).is_ok(), "one tile covers all");
        let tiles = Tiles::new([8, 8], Some(4)).unwrap();
        assert!(tiles.run(&[0.0; 63], LATENTS, PICTURES, &mut |_| Ok(Vec::new())).is_err());
        let error =
            tiles.run(&[0.0; 64], LATENTS, PICTURES, &mut |_| Ok(Vec::new())).unwrap_err().to_string();
        assert!(error.contains("of a tile: expected 128, got 0"), "{error}");
    }
}
