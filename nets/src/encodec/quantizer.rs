//! The quantizer of EnCodec's latents: codebooks, each of which codes what those before it left over.

use super::config::{EncodecConfig, NAME};
use crate::network::NetworkError;
use crate::parameters::{Init, Parameter};

/// Codebooks of residual vector quantization (Zeghidour et al. 2021, arXiv:2107.03312, Algorithm 1).
#[derive(Clone, Debug)]
pub struct Quantizer {
    width: usize,
    /// (entries, width) each.
    books: Vec<Vec<f32>>,
}

impl Quantizer {
    /// The codebooks' names and shapes in a checkpoint, for a quantizer of so many.
    pub fn parameters(config: &EncodecConfig, books: usize) -> Vec<Parameter> {
        let parameter = |i| Parameter {
            name: format!("quantizer.layers.{i}.codebook.embed"),
            shape: vec![config.codebook_size, config.hidden_size],
            init: Init::Normal(1.0),
        };
        (0..books).map(parameter).collect()
    }

    /// With the values of each codebook (entries, hidden).
    ///
    /// # Errors
    /// [`NetworkError`] naming the codebook that is of another size.
    pub fn new(config: &EncodecConfig, books: Vec<Vec<f32>>) -> Result<Self, NetworkError> {
        config.check()?;
        let len = config.codebook_size * config.hidden_size;
        if let Some((i, book)) = books.iter().enumerate().find(|(_, book)| book.len() != len) {
            let what = format!("codebook {i} has {} values, expected {len}", book.len());
            return Err(NetworkError::new(NAME, what));
        }
        Ok(Self { width: config.hidden_size, books })
    }

    /// The codes of latents (hidden, frames): (codebooks, frames). Of equally near entries the first is taken.
    ///
    /// # Errors
    /// [`NetworkError`] if the latents are not whole frames.
    pub fn encode(&self, latents: &[f32]) -> Result<Vec<Vec<usize>>, NetworkError> {
        let frames = self.frames(latents.len())?;
        let mut codes = vec![Vec::with_capacity(frames); self.books.len()];
        for frame in 0..frames {
            let mut rest: Vec<f32> = (0..self.width).map(|c| latents[c * frames + frame]).collect();
            for (codes, book) in codes.iter_mut().zip(&self.books) {
                let nearest = self.nearest(book, &rest);
                rest.iter_mut().zip(self.entry(book, nearest)).for_each(|(x, entry)| *x -= entry);
                codes.push(nearest);
            }
        }
        Ok(codes)
    }

    /// The latents (hidden, frames) that codes stand for: the sum of their entries.
    ///
    /// # Errors
    /// [`NetworkError`] if there are more rows of codes than codebooks, rows differ in length, or a code has no entry.
    pub fn decode(&self, codes: &[Vec<usize>]) -> Result<Vec<f32>, NetworkError> {
        let fail = |what: String| Err(NetworkError::new(NAME, what));
        if codes.len() > self.books.len() {
            return fail(format!("{} rows of codes for {} codebooks", codes.len(), self.books.len()));
        }
        let frames = codes.first().map_or(0, Vec::len);
        let mut latents = vec![0.0; self.width * frames];
        for (codes, book) in codes.iter().zip(&self.books) {
            if codes.len() != frames {
                return fail(format!("a row of {} codes, expected {frames}", codes.len()));
            }
            let entries = book.len() / self.width;
            if let Some(code) = codes.iter().find(|&&code| code >= entries) {
                return fail(format!("code {code} of a codebook of {entries} entries"));
            }
            for (frame, &code) in codes.iter().enumerate() {
                let entry = self.entry(book, code);
                entry.iter().enumerate().for_each(|(c, x)| latents[c * frames + frame] += x);
            }
        }
        Ok(latents)
    }

    fn entry<'a>(&self, book: &'a [f32], code: usize) -> &'a [f32] {
        &book[code * self.width..(code + 1) * self.width]
    }

    fn nearest(&self, book: &[f32], x: &[f32]) -> usize {
        let distance = |entry: &[f32]| -> f64 {
            entry.iter().zip(x).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
        };
        let distances = book.chunks_exact(self.width).map(distance).enumerate();
        distances.min_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(code, _)| code)
    }

    fn frames(&self, len: usize) -> Result<usize, NetworkError> {
        if len.is_multiple_of(self.width) {
            return Ok(len / self.width);
        }
        Err(NetworkError::new(NAME, format!("{len} values are not frames of {} latents", self.width)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_codebook_codes_what_the_one_before_left_over() {
        let config = EncodecConfig { hidden_size: 2, codebook_size: 2, ..EncodecConfig::default() };
        let books = vec![vec![0.0, 0.0, 4.0, 4.0], vec![0.0, 0.0, 1.0, -1.0]];
        let quantizer = Quantizer::new(&config, books).unwrap();
        let codes = quantizer.encode(&[5.1, 0.9, 3.0, -0.9]).unwrap(); // frames (5.1, 3.0) and (0.9, −0.9)
        assert_eq!(codes, [vec![1, 0], vec![1, 1]]);
        assert_eq!(quantizer.decode(&codes).unwrap(), [5.0, 1.0, 3.0, -1.0]);
        assert!(quantizer.encode(&[0.0; 3]).is_err() && quantizer.decode(&[vec![2]]).is_err());
        assert!(Quantizer::new(&config, vec![vec![0.0; 3]]).is_err());
    }
}
