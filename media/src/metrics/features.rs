//! Vectors of clips.

use crate::error::{Error, Result};

/// One vector a clip: `(n, d)`, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    dims: usize,
    values: Vec<f64>,
}

impl Features {
    /// Rows of `dims` values.
    ///
    /// # Errors
    /// [`Error::Value`] if there are no dimensions or a value is not finite, [`Error::Count`] if the last row is not
    /// whole.
    pub fn new(dims: usize, values: Vec<f64>) -> Result<Self> {
        if dims == 0 {
            return Err(Error::value("dimensions of features", "at least 1", 0));
        }
        Error::check_count("values of whole rows of features", values.len() / dims * dims, values.len())?;
        if let Some(x) = values.iter().find(|x| !x.is_finite()) {
            return Err(Error::value("a value of features", "a finite number", x));
        }
        Ok(Self { dims, values })
    }

    /// Rows of one length.
    ///
    /// # Errors
    /// As [`Features::new`]; [`Error::Count`] if rows differ in length.
    pub fn from_rows<T: Copy + Into<f64>>(rows: &[Vec<T>]) -> Result<Self> {
        let dims = rows.first().map_or(0, Vec::len);
        rows.iter().try_for_each(|row| Error::check_count("values of a row of features", dims, row.len()))?;
        Self::new(dims, rows.iter().flatten().map(|&x| x.into()).collect())
    }

    /// Clips.
    pub fn len(&self) -> usize {
        self.values.len() / self.dims
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Values of a clip.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// The vector of a clip.
    pub fn row(&self, index: usize) -> &[f64] {
        &self.values[index * self.dims..(index + 1) * self.dims]
    }

    /// All vectors.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.values.chunks_exact(self.dims)
    }

    /// The rows of these indices, which may repeat.
    pub fn select(&self, indices: &[usize]) -> Self {
        Self { dims: self.dims, values: indices.iter().flat_map(|&i| self.row(i)).copied().collect() }
    }

    /// Both sets, this one's rows first.
    ///
    /// # Errors
    /// [`Error::Count`] if they differ in dimensions.
    pub fn and(&self, other: &Self) -> Result<Self> {
        Error::check_count("dimensions of features", self.dims, other.dims)?;
        Ok(Self { dims: self.dims, values: [&self.values[..], &other.values].concat() })
    }

    /// Mean of each dimension.
    pub(super) fn mean(&self) -> Vec<f64> {
        let mut mean = vec![0.0; self.dims];
        for row in self.rows() {
            mean.iter_mut().zip(row).for_each(|(m, x)| *m += x);
        }
        mean.iter_mut().for_each(|m| *m /= self.len() as f64);
        mean
    }
}

/// The shift and scale that give each dimension of a reference set mean 0 and variance 1.
///
/// Fréchet distances are not free of units: with the truth's own spread as unit, every dimension counts alike, and a
/// set that lies one standard deviation off in all of them is `d` away.
#[derive(Clone, Debug, PartialEq)]
pub struct Standard {
    mean: Vec<f64>,
    scale: Vec<f64>,
}

impl Standard {
    /// That of a reference set. A dimension that hardly varies there (below a thousandth of the median) keeps the
    /// scale of that thousandth, so that it cannot drown the others.
    ///
    /// # Errors
    /// [`Error::Value`] with fewer than two rows.
    pub fn of(reference: &Features) -> Result<Self> {
        if reference.len() < 2 {
            return Err(Error::value("clips of a reference", "at least 2", reference.len()));
        }
        let mean = reference.mean();
        let mut scale = vec![0.0; reference.dims];
        for row in reference.rows() {
            for ((s, x), m) in scale.iter_mut().zip(row).zip(&mean) {
                *s += (x - m).powi(2) / (reference.len() - 1) as f64;
            }
        }
        scale.iter_mut().for_each(|s| *s = s.sqrt());
        let mut sorted = scale.clone();
        sorted.sort_by(f64::total_cmp);
        let least = (1e-3 * sorted[sorted.len() / 2]).max(f64::MIN_POSITIVE);
        scale.iter_mut().for_each(|s| *s = s.max(least));
        Ok(Self { mean, scale })
    }

    /// Features in its units.
    ///
    /// # Errors
    /// [`Error::Count`] if they have other dimensions.
    pub fn apply(&self, features: &Features) -> Result<Features> {
        Error::check_count("dimensions of features", self.mean.len(), features.dims)?;
        let own = self.mean.iter().zip(&self.scale).cycle();
        let values = features.values.iter().zip(own).map(|(x, (m, s))| (x - m) / s).collect();
        Features::new(features.dims, values)
    }
}
