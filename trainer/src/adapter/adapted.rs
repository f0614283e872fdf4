//! A base and an adapter as the weights of one network.

use super::table::{Row, shown, verdict};
use super::{Adapter, AdapterConfig};
use crate::base::Base;
use crate::error::Result;
use crate::weight_file::WeightFile;
use avdit_nets::AvDitConfig;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The tensors of an AV-DiT: a trained one is the adapter's, a frozen one the base's. They are read one at a time.
pub struct Adapted {
    base: WeightFile,
    adapter: WeightFile,
    /// Every tensor of the network, and whether it is trained.
    shapes: BTreeMap<String, (Vec<usize>, bool)>,
}

impl Adapted {
    /// Of two files whose own headers are sound.
    ///
    /// # Errors
    /// [`Error::Content`](crate::Error::Content) with a table of every tensor that neither has, that has another shape
    /// where it is, or that is in a file and not of the network. A trained tensor must be in the adapter, whether the base
    /// has it or not, and a frozen one must not.
    pub fn new(base: WeightFile, adapter: WeightFile, config: &AvDitConfig) -> Result<Self> {
        let shapes: BTreeMap<_, _> =
            config.marked_parameters().into_iter().map(|(p, trained)| (p.name, (p.shape, trained))).collect();
        let mut rows = Vec::new();
        let all: BTreeSet<String> =
            shapes.keys().cloned().chain(base.names()).chain(adapter.names()).collect();
        for name in &all {
            let (in_base, in_adapter) = (base.shape(name), adapter.shape(name));
            let found = format!(
                "{} in the base, {} in the adapter",
                shown(in_base.as_deref(), "missing"),
                shown(in_adapter.as_deref(), "missing")
            );
            let (expected, is_right) = match shapes.get(name) {
                None => ("none".to_owned(), false),
                Some((shape, true)) => (
                    format!("{shape:?} in the adapter"),
                    in_adapter.as_ref() == Some(shape) && in_base.is_none_or(|found| found == *shape),
                ),
                Some((shape, false)) => (
                    format!("{shape:?} in the base alone"),
                    in_base.as_ref() == Some(shape) && in_adapter.is_none(),
                ),
            };
            if !is_right {
                rows.push(Row::new(name, expected, found));
            }
        }
        verdict(adapter.path(), shapes.len(), &rows)?;
        Ok(Self { base, adapter, shapes })
    }

    /// Opens a base's folder and an adapter's, and makes sure that they belong together: the hash of the base's tensors,
    /// the configuration of its network, names and shapes.
    ///
    /// # Errors
    /// As [`Adapter::open`] and [`Adapted::new`]; [`Error::Content`](crate::Error::Content) with every field in which the
    /// base is not the network's backbone; [`Error::OtherBase`](crate::Error::OtherBase) with both hashes.
    pub fn open(base: &Path, adapter: &Path) -> Result<(AdapterConfig, Self)> {
        let (config, file) = Adapter::open(adapter)?;
        let base = Base::open(base)?;
        base.check_fits(&config.network)?;
        config.check_base(&base.sha256()?)?;
        let adapted = Self::new(base.weights, file, &config.network)?;
        Ok((config, adapted))
    }

    /// The file of what is trained.
    pub fn path(&self) -> &Path {
        self.adapter.path()
    }

    /// The names of all tensors of the network, sorted.
    pub fn names(&self) -> Vec<String> {
        self.shapes.keys().cloned().collect()
    }

    /// The shape of a tensor; `None` if the network has no such tensor.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.shapes.get(name).map(|(shape, _)| shape.clone())
    }

    /// The values of a tensor, all finite: the adapter's if it is trained, else the base's.
    ///
    /// # Errors
    /// As [`WeightFile::load`].
    pub fn load(&self, name: &str) -> Result<Vec<f32>> {
        match self.shapes.get(name) {
            Some((_, true)) => self.adapter.load(name),
            _ => self.base.load(name),
        }
    }
}
