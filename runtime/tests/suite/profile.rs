//! Where time goes, as the engines tell.

use crate::support::{engines, exported_as, one_thread};
use avdit_core::{SampleRequest, sampler::SamplerKind};
use avdit_export::ExportOptions;
use avdit_nets::AvditConfig;
use avdit_runtime::profile::{Profile, ProfileOptions, profile};
use avdit_runtime::{EngineKind, Error};
use std::path::Path;

const STEPS: usize = 3;

fn options(runs: usize) -> ProfileOptions {
    let request =
        SampleRequest { steps: STEPS, sampler: SamplerKind::Ddim { eta: 0.0 }, ..SampleRequest::new(5) };
    ProfileOptions { request, given: None, runs }
}

fn profiled(folder: &Path, kind: EngineKind, runs: usize) -> Profile {
    let mut heard = Vec::new();
    let profile = profile(folder, kind, &one_thread(), &options(runs), &mut |run| heard.push(run)).unwrap();
    assert_eq!(heard, (1..=runs).collect::<Vec<_>>());
    profile
}

#[test]
fn operations_account_for_the_time_of_the_network() {
    let config = AvditConfig { depth: 2, ..AvditConfig::preset("tiny").unwrap() };
    let folder = exported_as(config, &ExportOptions::default());
    for kind in engines() {
        let profile = profiled(folder.path(), kind, 4);
        // How much depends on what else the machine does between two operations.
        assert!(profile.coverage > 0.0 && profile.coverage < 1.05, "{kind}: {}", profile.coverage);
        assert_eq!(profile.predictions, 4 * STEPS);
        assert_eq!((profile.plain_ms.n, profile.profiled_ms.n), (4 * STEPS, 4 * STEPS));
        // Every operation runs once in every prediction, and those before the first that counts are left out.
        assert!(profile.operations.iter().all(|operation| operation.calls == profile.predictions), "{kind}");
        let sum: f64 = profile.operations.iter().map(|operation| operation.total_ms).sum();
        assert!((sum / profile.wall_ms - profile.coverage).abs() < 1e-9);
        let events: f64 = profile.events.iter().map(|event| event.duration_us).sum();
        assert!((events * 1e-3 - sum).abs() < 1e-6 * sum);
        assert!(
            profile.operations.iter().all(|operation| operation.least_ms * 12.0 <= operation.total_ms + 1e-9)
        );
        assert!(profile.events.iter().all(|event| event.run < profile.predictions && event.start_us >= 0.0));
        let products = profile.operations.iter().filter(|operation| operation.op.contains("MatMul")).count();
        assert!(kind == EngineKind::Tract || products > 10, "{kind}: {products} products");
        let named =
            profile.operations.iter().filter(|operation| operation.name.starts_with("/blocks.1/")).count();
        assert!(named > 10, "{kind}: {named} operations of block 1");
        let by_provider: usize = profile.providers.iter().map(|provider| provider.operations).sum();
        assert_eq!(by_provider, profile.operations.len());
        assert!(profile.providers[0].provider.starts_with("CPU"), "{kind}: {:?}", profile.providers);
        if let Some(arena) = profile.arena {
            assert!(arena.most_bytes > arena.least_bytes, "{arena:?}");
        }
    }
}

#[test]
fn nothing_to_profile_is_refused() {
    let folder = crate::support::model();
    let error =
        profile(folder.path(), EngineKind::Tract, &one_thread(), &options(0), &mut |_| {}).unwrap_err();
    assert!(matches!(error, Error::Value { .. }), "{error}");
}

#[test]
fn an_engine_that_was_not_asked_leaves_no_profile() {
    let folder = crate::support::model();
    for kind in engines() {
        let mut engine = avdit_runtime::open(folder.path(), kind, &one_thread()).unwrap();
        assert_eq!(engine.finish_profile().unwrap(), None, "{kind}");
    }
}
