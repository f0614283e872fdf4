//! Whether the graph computes what it was made from, engine by engine.
//!
//! The reference and the engines each hold the weights once, or twice where they pack them. So the reference is asked
//! first and is gone when the first engine opens, and engines are open one at a time.

use crate::engines;
use crate::exit::{GateFailed, Usage};
use crate::network::Network;
use anyhow::{Result, bail};
use avdit_export::{Acceptance, ExportOptions, ExportRecord, NotChecked};
use avdit_runtime::{EngineKind, EngineOptions};
use std::path::Path;
use std::str::FromStr;

/// Weights up to this many bytes are checked on every engine and in many cases; above, on one and in each kind of case
/// once.
const SMALL: u64 = 1 << 30;

/// Kinds of levels that cases go through.
const KINDS: usize = 7;

/// On which engines a graph is compared with what it was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// All for small weights; for large ones ONNX Runtime, or tract where that is not here.
    Auto,
    /// All that need no GPU.
    All,
    /// None.
    None,
    /// These, which must be here.
    On(Vec<EngineKind>),
}

impl FromStr for Check {
    type Err = Usage;

    fn from_str(text: &str) -> Result<Self, Usage> {
        match text {
            "auto" => Ok(Check::Auto),
            "all" => Ok(Check::All),
            "none" => Ok(Check::None),
            _ => {
                let engine = |name: &str| match name.parse() {
                    Ok(EngineKind::Candle) => Err(Usage("candle is what graphs are compared with".into())),
                    Ok(kind) => Ok(kind),
                    Err(error) => Err(Usage(format!("auto, all, none, or engines: {error}"))),
                };
                text.split(',').map(engine).collect::<Result<_, _>>().map(Check::On)
            }
        }
    }
}

/// What is to be done for a check.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Engines in order.
    pub(super) engines: Vec<EngineKind>,
    /// Whether one is enough: the next is tried only if the last is not here.
    pub(super) first_suffices: bool,
    cases: usize,
    batch: usize,
}

impl Plan {
    pub(super) fn of(
        check: &Check,
        weight_bytes: u64,
        &ExportOptions { batch, lowering, .. }: &ExportOptions,
    ) -> Self {
        let small = weight_bytes <= SMALL;
        let (cases, batch) =
            if small { (2 * KINDS, batch.unwrap_or(2)) } else { (KINDS, batch.unwrap_or(1)) };
        let (tract, ort) = (EngineKind::Tract, EngineKind::OrtCpu);
        let engines = match check {
            Check::None => vec![],
            // Its own operators are for ONNX Runtime alone.
            Check::Auto | Check::All if !lowering.is_plain_onnx() => vec![ort],
            Check::Auto if !small => vec![ort, tract],
            Check::Auto | Check::All => vec![tract, ort],
            Check::On(engines) => engines.clone(),
        };
        Self { engines, first_suffices: *check == Check::Auto && !small, cases, batch }
    }
}

/// Compares the graph in `model` with the network that it was made from, and adds what was found to the record.
///
/// # Errors
/// [`GateFailed`] if an engine computes something else; that of an engine that was named, or is here, and fails.
pub fn run(
    check: &Check,
    network: &Network,
    model: &Path,
    options: &ExportOptions,
    record: &mut ExportRecord,
) -> Result<()> {
    let plan = Plan::of(check, record.parameters as u64 * 4, options);
    let mut leave_out = |kind: EngineKind, reason: &str| {
        let engine = kind.name().to_owned();
        record.not_checked.push(NotChecked { engine, reason: reason.to_owned() });
    };
    if plan.engines.is_empty() {
        EngineKind::ON_CPU.into_iter().for_each(|kind| leave_out(kind, "not asked for"));
        return Ok(());
    }
    let acceptance = {
        let mut reference = network.source_denoiser()?;
        Acceptance::ask(&mut reference, options, plan.cases, plan.batch)?
    };
    let opening = EngineOptions { batch: plan.batch, ..EngineOptions::default() };
    for &kind in &plan.engines {
        if plan.first_suffices && !record.parity.is_empty() {
            leave_out(kind, "the weights are large: one engine was checked (--check all checks every one)");
            continue;
        }
        let mut engine = match engines::open(model, kind, &opening) {
            Ok(engine) => engine,
            Err(error) if may_be_absent(check, &error) => {
                tracing::warn!(
                    "the graph was not checked on ONNX Runtime, which is not here (`avdit doctor` says more)"
                );
                leave_out(kind, "there is no ONNX Runtime");
                continue;
            }
            Err(error) => return Err(error),
        };
        let report = acceptance.of(engine.as_mut())?;
        record.parity.push(report.between("candle", kind.name()));
    }
    match record.parity.iter().find(|report| !report.passed) {
        None => Ok(()),
        Some(failed) => {
            let worst = failed.worst().and_then(|case| case.relative_error).unwrap_or(f64::INFINITY);
            bail!(GateFailed(format!(
                "the graph on {} differs from what it was made from by {worst:.1e} of the output, allowed is {:.0e}; nothing was written",
                failed.candidate, failed.tolerance
            )))
        }
    }
}

/// Whether an engine did not open because ONNX Runtime is not here, which nobody said it was.
pub(super) fn may_be_absent(check: &Check, error: &anyhow::Error) -> bool {
    !matches!(check, Check::On(_)) && no_runtime(error) && !runtime_named()
}

/// Whether the user has said which ONNX Runtime to load; it must then be usable.
fn runtime_named() -> bool {
    std::env::var_os("ORT_DYLIB_PATH").is_some_and(|path| !path.is_empty())
}

fn no_runtime(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(avdit_runtime::Error::NoOnnxRuntime { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use EngineKind::{OrtCpu, OrtCuda, Tract};
    use avdit_export::Lowering;

    #[test]
    fn large_weights_are_checked_on_one_engine_unless_more_are_asked_for() {
        let options = ExportOptions::default();
        let plan = |check: &str, bytes| Plan::of(&check.parse().unwrap(), bytes, &options);
        let small = plan("auto", SMALL);
        assert_eq!((small.engines, small.first_suffices, small.cases), (vec![Tract, OrtCpu], false, 14));
        let large = plan("auto", SMALL + 1);
        assert_eq!((large.engines, large.first_suffices, large.cases), (vec![OrtCpu, Tract], true, 7));
        let all = plan("all", SMALL + 1);
        assert_eq!((all.engines, all.first_suffices), (vec![Tract, OrtCpu], false));
        let for_ort = ExportOptions { lowering: Lowering::OrtCpu, ..options.clone() };
        assert_eq!(Plan::of(&Check::All, 1, &for_ort).engines, [OrtCpu]);
        assert_eq!(plan("none", 1).engines, []);
        assert_eq!(plan("ort-cuda,tract", 1).engines, [OrtCuda, Tract]);
        for wrong in ["", "auto,tract", "candle", "torch"] {
            assert!(wrong.parse::<Check>().is_err(), "{wrong}");
        }
    }
}
