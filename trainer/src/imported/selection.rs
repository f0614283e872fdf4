//! A part of the tensors of foreign files: one network of a checkpoint that holds several.

use super::sources::Sources;
use crate::error::{Error, Result};
use std::collections::BTreeSet;

/// Names that are told where a prefix fits none.
const TOLD: usize = 8;

/// Which tensors are taken.
#[derive(Clone, Copy)]
pub(super) struct Selection<'a> {
    /// Those whose name begins so, without that beginning.
    pub(super) within: Option<&'a str>,
    /// Of these, those whose rest does not begin so.
    pub(super) leave_out: &'a [String],
}

impl Selection<'_> {
    /// Keeps those tensors alone.
    ///
    /// # Errors
    /// [`Error::Config`] naming a beginning that no tensor has, and what names begin with.
    pub(super) fn of(self, sources: Sources) -> Result<Sources> {
        let mut sources = sources;
        if let Some(within) = self.within {
            self.must_fit(&sources, "--within", within)?;
            sources.rename(|name| name.strip_prefix(within).map(str::to_owned));
        }
        for prefix in self.leave_out {
            self.must_fit(&sources, "--leave-out", prefix)?;
        }
        let is_out = |name: &str| self.leave_out.iter().any(|prefix| name.starts_with(prefix.as_str()));
        sources.rename(|name| (!is_out(name)).then(|| name.to_owned()));
        if sources.names().next().is_none() {
            return Err(Error::content(sources.path(), "holds no tensors but those that --leave-out names"));
        }
        Ok(sources)
    }

    fn must_fit(self, sources: &Sources, option: &str, prefix: &str) -> Result<()> {
        if sources.names().any(|name| name.starts_with(prefix)) {
            return Ok(());
        }
        let first = |name: &str| name.split_inclusive('.').next().unwrap_or_default().to_owned();
        let all: BTreeSet<String> = sources.names().map(first).collect();
        let more = if all.len() > TOLD { ", …" } else { "" };
        let told = all.into_iter().take(TOLD).collect::<Vec<_>>().join(", ");
        let file = sources.path().display();
        Err(Error::Config(format!(
            "{option} {prefix}: no tensor of {file} begins so; they begin with {told}{more}"
        )))
    }
}
