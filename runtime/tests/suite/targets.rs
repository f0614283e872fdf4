//! Graphs that were written for a target, on the engines that there are.

use crate::support::{engines, exported, one_thread};
use avdit_export::{ExportOptions, Lowering, Tolerance, validate_batches};
use avdit_runtime::{EngineKind, EngineOptions, open};

#[test]
fn every_target_is_the_same_network_on_every_engine_that_takes_it() {
    for batch in [None, Some(2)] {
        let export = |lowering| exported(&ExportOptions { lowering, batch, ..ExportOptions::default() });
        let portable = export(Lowering::Portable);
        let mut reference = open(portable.path(), EngineKind::Tract, &one_thread()).unwrap();
        for (target, kind) in Lowering::ALL.iter().flat_map(|t| engines().into_iter().map(move |k| (*t, k))) {
            let (folder, batch) = (export(target), batch.unwrap_or(3));
            let options = EngineOptions { batch, ..one_thread() };
            let opened = open(folder.path(), kind, &options);
            if kind == EngineKind::Tract && !target.is_plain_onnx() {
                let Err(error) = opened else { panic!("tract takes a graph for {target}") };
                assert!(error.to_string().contains("--target portable"), "{error}");
                continue;
            }
            let mut engine = opened.unwrap();
            let report =
                validate_batches(reference.as_mut(), engine.as_mut(), 7, 3, batch, Tolerance::SAME_MATH);
            let report = report.unwrap();
            assert!(report.passed, "{target} on {kind}: {:?}", report.worst());
        }
    }
}
