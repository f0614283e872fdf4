//! Events summed up by operation and by provider.

use super::events::Event;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// One operation of the engine's graph over all runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OpTime {
    /// The node's name; engines keep the graph's own where they do not merge nodes.
    pub name: String,
    /// Its operator, in the engine's words.
    pub op: String,
    /// The execution provider or device that ran it.
    pub provider: String,
    /// How often it ran.
    pub calls: usize,
    /// All of its calls.
    pub total_ms: f64,
    /// Its shortest call.
    pub least_ms: f64,
}

/// The time of a provider.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProviderTime {
    /// The execution provider or device.
    pub provider: String,
    /// Operations that it runs.
    pub operations: usize,
    /// Their time.
    pub total_ms: f64,
}

/// Operations in the order in which they run first, and each event's place among them.
pub(super) fn sum(events: &mut [Event]) -> Vec<OpTime> {
    let mut places: HashMap<usize, usize> = HashMap::new();
    let mut operations: Vec<OpTime> = Vec::new();
    for event in events {
        let ms = event.duration_us * 1e-3;
        let place = *places.entry(event.operation).or_insert_with(|| {
            operations.push(OpTime {
                name: event.name.clone(),
                op: event.op.clone(),
                provider: event.provider.clone(),
                calls: 0,
                total_ms: 0.0,
                least_ms: f64::INFINITY,
            });
            operations.len() - 1
        });
        event.operation = place;
        let operation = &mut operations[place];
        operation.calls += 1;
        operation.total_ms += ms;
        operation.least_ms = operation.least_ms.min(ms);
    }
    operations
}

/// Providers, the busiest first.
pub(super) fn by_provider(operations: &[OpTime]) -> Vec<ProviderTime> {
    let mut providers: BTreeMap<&str, (usize, f64)> = BTreeMap::new();
    for operation in operations {
        let entry = providers.entry(&operation.provider).or_default();
        entry.0 += 1;
        entry.1 += operation.total_ms;
    }
    let mut providers: Vec<_> = providers
        .into_iter()
        .map(|(provider, (operations, total_ms))| ProviderTime {
            provider: provider.to_owned(),
            operations,
            total_ms,
        })
        .collect();
    providers.sort_by(|a, b| b.total_ms.total_cmp(&a.total_ms));
    providers
}
