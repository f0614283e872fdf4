//! Where ONNX Runtime has put the nodes of a graph, in its own words, and whether that is what was asked for.

use super::{EngineKind, Placement};

/// ONNX Runtime's names of the providers that engines stand for.
pub(crate) const CPU: &str = "CPUExecutionProvider";
const CUDA: &str = "CUDAExecutionProvider";
const TENSORRT: &str = "TensorrtExecutionProvider";

/// How many nodes an error names.
const NAMED: usize = 8;

/// What ONNX Runtime logs about the placement of nodes once a graph is optimised and divided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PlacementLog {
    providers: Vec<Provider>,
    /// Whether the last message belongs to the list, so that the next may name a node.
    inside: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Provider {
    name: String,
    nodes: usize,
    /// `Operator (name)`, told only where several providers share a graph.
    names: Vec<String>,
}

impl PlacementLog {
    /// Takes a message of the session's log; those about anything else are passed over.
    pub(crate) fn read(&mut self, message: &str) {
        if message.trim() == "Node placements" {
            // A graph that is prepared again is placed again.
            *self = Self { providers: Vec::new(), inside: true };
        } else if let Some(provider) = self.inside.then(|| count(message)).flatten() {
            self.providers.push(provider);
        } else if let Some(last) = self.providers.last_mut()
            && self.inside
            && message.starts_with("  ")
            && last.names.len() < last.nodes
        {
            last.names.push(message.trim().to_owned());
        } else {
            self.inside = false;
        }
    }

    /// Nodes by provider, most first; nothing if ONNX Runtime did not tell.
    pub(crate) fn placement(&self) -> Vec<Placement> {
        let one = |p: &Provider| Placement { device: p.name.clone(), nodes: Some(p.nodes) };
        let mut placement: Vec<_> = self.providers.iter().map(one).collect();
        placement.sort_by_key(|place| std::cmp::Reverse(place.nodes));
        placement
    }

    /// The nodes that are elsewhere than on the provider of `kind`, as far as they were told, with their provider.
    pub(crate) fn elsewhere(&self, kind: EngineKind) -> Vec<String> {
        let others = self.providers.iter().filter(|provider| Some(provider.name.as_str()) != name_of(kind));
        others.flat_map(|p| p.names.iter().map(|name| format!("{name} on {}", p.name))).collect()
    }
}

/// ` All nodes placed on [X]. Number of nodes: 577` or ` Node(s) placed on [X]. Number of nodes: 12`.
fn count(message: &str) -> Option<Provider> {
    let (_, rest) = message.split_once("placed on [")?;
    let (name, rest) = rest.split_once(']')?;
    let (_, nodes) = rest.split_once("Number of nodes:")?;
    Some(Provider { name: name.to_owned(), nodes: nodes.trim().parse().ok()?, names: Vec::new() })
}

/// The provider that an engine stands for.
fn name_of(kind: EngineKind) -> Option<&'static str> {
    match kind {
        EngineKind::OrtCpu => Some(CPU),
        EngineKind::OrtCuda => Some(CUDA),
        EngineKind::OrtTensorRt => Some(TENSORRT),
        EngineKind::Tract | EngineKind::Candle => None,
    }
}

/// Whether a graph's nodes lie where `asked` says: all of them, or with `allow_fallback` at least one.
///
/// `elsewhere` names nodes that lie on other providers, as far as they are known.
///
/// # Errors
/// The reason, for [`Error::Provider`](crate::Error::Provider).
pub fn verify_placement(
    asked: EngineKind,
    placement: &[Placement],
    elsewhere: &[String],
    allow_fallback: bool,
) -> Result<(), String> {
    let Some(provider) = name_of(asked) else { return Ok(()) };
    if placement.is_empty() || placement.iter().any(|place| place.nodes.is_none()) {
        return Err(format!("ONNX Runtime does not tell whether {provider} runs anything"));
    }
    let nodes = |place: &Placement| place.nodes.unwrap_or(0);
    let all: usize = placement.iter().map(nodes).sum();
    let here: usize = placement.iter().filter(|place| place.device == provider).map(nodes).sum();
    let others = placement.iter().filter(|place| place.device != provider && nodes(place) > 0);
    let others: Vec<_> = others.map(|place| format!("{} runs {}", place.device, nodes(place))).collect();
    if here == 0 {
        return Err(format!(
            "{provider} was registered, but runs none of {all} nodes; {}",
            others.join(", ")
        ));
    }
    if here < all && !allow_fallback {
        let named = match elsewhere {
            [] => String::new(),
            _ => format!(": {}", elsewhere.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ")),
        };
        let more = elsewhere.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        return Err(format!("{provider} cannot run {} of {all} nodes{named}{more}", all - here));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was asked for, nodes by provider, whether fallback is allowed, and a part of the reason to refuse.
    type Case = (EngineKind, &'static [(&'static str, usize)], bool, Option<&'static str>);

    fn read(messages: &[&str]) -> PlacementLog {
        let mut log = PlacementLog::default();
        messages.iter().for_each(|message| log.read(message));
        log
    }

    fn places(counts: &[(&str, usize)]) -> Vec<Placement> {
        counts.iter().map(|&(device, n)| Placement { device: device.to_owned(), nodes: Some(n) }).collect()
    }

    #[test]
    fn a_graph_on_one_provider_is_a_count() {
        let log = read(&[
            "GraphTransformer GeluFusionL2 modified: 0 with status: OK",
            "Node placements",
            " All nodes placed on [CPUExecutionProvider]. Number of nodes: 577",
            "SaveMLValueNameIndexMapping",
            "  an indented message about something else",
        ]);
        assert_eq!(log.placement(), places(&[(CPU, 577)]));
        assert!(log.elsewhere(EngineKind::OrtCpu).is_empty());
    }

    #[test]
    fn a_graph_on_several_providers_is_counts_and_names() {
        let messages = [
            "Node placements",
            " Node(s) placed on [CPUExecutionProvider]. Number of nodes: 2",
            "  Gather (/blocks.0/ada/Gather)",
            "  Shape (/x)",
            " Node(s) placed on [CUDAExecutionProvider]. Number of nodes: 3",
            "  MatMul (/a)",
            "  MatMul (/b)",
            "  Add (/c)",
            "Done saving OrtValue mappings.",
        ];
        let log = read(&messages);
        assert_eq!(log.placement(), places(&[(CUDA, 3), (CPU, 2)]));
        let named =
            ["Gather (/blocks.0/ada/Gather) on CPUExecutionProvider", "Shape (/x) on CPUExecutionProvider"];
        assert_eq!(log.elsewhere(EngineKind::OrtCuda), named);
        let reason =
            verify_placement(EngineKind::OrtCuda, &log.placement(), &named.map(str::to_owned), false);
        let told = "CUDAExecutionProvider cannot run 2 of 5 nodes: Gather (/blocks.0/ada/Gather) on CPU";
        assert!(reason.unwrap_err().starts_with(told));
        // The graph is placed once more: what counts is the last time.
        let again = [
            &messages[..],
            &["Node placements", " All nodes placed on [CUDAExecutionProvider]. Number of nodes: 4"],
        ];
        assert_eq!(read(&again.concat()).placement(), places(&[(CUDA, 4)]));
    }

    #[test]
    fn words_that_only_look_like_a_placement_are_passed_over() {
        for message in [
            " All nodes placed on [CPUExecutionProvider]. Number of nodes: 577",
            "Node placements of another kind",
            "placed on [X]. Number of nodes: many",
        ] {
            assert!(read(&[message]).placement().is_empty(), "{message}");
        }
        assert!(read(&["Node placements", " placed on [X]. Number of nodes: many"]).placement().is_empty());
    }

    #[test]
    fn nodes_lie_where_they_were_asked_to_or_there_is_a_reason() {
        use EngineKind::{OrtCpu, OrtCuda, OrtTensorRt, Tract};
        const NONE: &str = "was registered, but runs none of";
        let cases: [Case; 14] = [
            (OrtCpu, &[(CPU, 577)], false, None),
            (OrtCpu, &[("AzureExecutionProvider", 1), (CPU, 576)], false, Some("cannot run 1 of 577 nodes")),
            (OrtCpu, &[], false, Some("does not tell")),
            (OrtCuda, &[(CUDA, 577)], false, None),
            (OrtCuda, &[(CUDA, 577)], true, None),
            (OrtCuda, &[(CUDA, 577), (CPU, 0)], false, None),
            (OrtCuda, &[(CUDA, 570), (CPU, 7)], false, Some("cannot run 7 of 577 nodes")),
            (OrtCuda, &[(CUDA, 570), (CPU, 7)], true, None),
            (OrtCuda, &[(CPU, 577)], false, Some(NONE)),
            (OrtCuda, &[(CPU, 577)], true, Some(NONE)),
            (OrtCuda, &[(TENSORRT, 577)], true, Some(NONE)),
            (OrtTensorRt, &[(TENSORRT, 1)], false, None),
            (OrtTensorRt, &[(TENSORRT, 1), (CUDA, 3)], false, Some("cannot run 3 of 4 nodes")),
            (Tract, &[], false, None),
        ];
        for (asked, counts, allow_fallback, wanted) in cases {
            let result = verify_placement(asked, &places(counts), &[], allow_fallback);
            match (&result, wanted) {
                (Ok(()), None) => {}
                (Err(reason), Some(wanted)) => assert!(reason.contains(wanted), "{asked}: {reason}"),
                _ => panic!("{asked} {counts:?} {allow_fallback}: {result:?}, expected {wanted:?}"),
            }
        }
        let untold = [Placement { device: CUDA.to_owned(), nodes: None }];
        assert!(verify_placement(OrtCuda, &untold, &[], true).is_err());
    }

    #[test]
    fn an_error_names_some_nodes_and_counts_the_rest() {
        let names: Vec<_> = (0..11).map(|i| format!("Gather (/{i}) on {CPU}")).collect();
        let counts = places(&[(CUDA, 5), (CPU, 11)]);
        let reason = verify_placement(EngineKind::OrtCuda, &counts, &names, false).unwrap_err();
        assert!(reason.contains("Gather (/7)") && !reason.contains("Gather (/8)"), "{reason}");
        assert!(reason.ends_with(" and 3 more"), "{reason}");
    }
}
