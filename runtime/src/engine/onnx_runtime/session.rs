//! Building a session: the provider that was asked for, its options, and where the nodes went.

use super::library::OrtLibrary;
use super::relay::{Listener, Listening, of_session};
use super::{engine_error, preload, providers, refusal};
use crate::engine::placement::{CPU, PlacementLog, verify_placement};
use crate::engine::{EngineKind, EngineOptions, Placement};
use crate::engine_cache::Prepared;
use crate::error::Result;
use ort::ep::ExecutionProviderDispatch;
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// What a session is to be.
pub(crate) struct Opening<'a> {
    pub(crate) library: &'a OrtLibrary,
    pub(crate) kind: EngineKind,
    pub(crate) options: &'a EngineOptions,
    /// The TensorRT engine to use or build; none for other providers.
    pub(crate) prepared: Option<&'a Prepared>,
    /// Hears ONNX Runtime's log while the session is built.
    pub(crate) listener: Option<Listener>,
}

impl<'a> Opening<'a> {
    pub(crate) fn new(library: &'a OrtLibrary, kind: EngineKind, options: &'a EngineOptions) -> Self {
        Self { library, kind, options, prepared: None, listener: None }
    }

    /// Opens the graph at `path`, and says where its nodes went.
    ///
    /// # Errors
    /// [`Error::Provider`](crate::Error::Provider) if the provider cannot run here, or not all of the graph and
    /// that is not allowed; [`Error::Engine`](crate::Error::Engine) if ONNX Runtime refuses the graph.
    pub(crate) fn session(&self, path: &Path) -> Result<(Session, Vec<Placement>)> {
        self.preload();
        let open = || self.with_providers(path, &self.providers(self.prepared));
        match self.prepared {
            Some(prepared) => prepared.unchanged(path, open),
            None => open(),
        }
    }

    /// Sees whether the provider can be had at all, without a graph.
    ///
    /// # Errors
    /// [`Error::Provider`](crate::Error::Provider) if not.
    pub(crate) fn probe(&self) -> Result<()> {
        self.preload();
        let builder =
            Session::builder(self.library.environment()).map_err(|error| self.refused(&error.to_string()))?;
        let built = builder.with_execution_providers(self.providers(None));
        built.map(|_| ()).map_err(|error| self.refused(&error.to_string()))
    }

    fn refused(&self, said: &str) -> crate::Error {
        refusal::provider_error(self.kind, self.library, said)
    }

    fn preload(&self) {
        if self.kind != EngineKind::OrtCpu {
            preload::preload(&self.library.path, self.kind == EngineKind::OrtTensorRt);
        }
    }

    fn providers(&self, prepared: Option<&Prepared>) -> Vec<ExecutionProviderDispatch> {
        match self.kind {
            EngineKind::OrtCuda => vec![providers::cuda(&self.options.cuda)],
            EngineKind::OrtTensorRt => {
                let tensorrt = providers::tensorrt(&self.options.tensorrt, prepared);
                match self.options.allow_fallback {
                    true => vec![tensorrt, providers::cuda(&self.options.cuda)],
                    false => vec![tensorrt],
                }
            }
            _ => Vec::new(),
        }
    }

    fn with_providers(
        &self,
        path: &Path,
        providers: &[ExecutionProviderDispatch],
    ) -> Result<(Session, Vec<Placement>)> {
        let (kind, allowed) = (self.kind, self.options.allow_fallback);
        let refuse_fallback = !allowed && kind != EngineKind::OrtCpu;
        let (session, log) = match self.commit(path, providers, refuse_fallback) {
            // ONNX Runtime refuses to fall back without saying which nodes: look where they would go.
            Err(Refusal::Session(said)) if refuse_fallback && said.contains("fallback to CPU EP") => {
                self.commit(path, providers, false).map(|(_, log)| (None, log))
            }
            built => built.map(|(session, log)| (Some(session), log)),
        }
        .map_err(|refusal| match refusal {
            Refusal::Provider(said) => self.refused(&said),
            Refusal::Session(said) if kind != EngineKind::OrtCpu && refusal::is_about_the_device(&said) => {
                self.refused(&said)
            }
            Refusal::Session(said) => engine_error(kind, "open", path, refusal::clean(&said)),
        })?;
        let mut placement = log.placement();
        let elsewhere = log.elsewhere(kind);
        if kind == EngineKind::OrtCpu && placement.is_empty() {
            // No other provider is registered, so nothing can run elsewhere.
            placement.push(Placement { device: CPU.to_owned(), nodes: None });
        } else {
            verify_placement(kind, &placement, &elsewhere, allowed)
                .map_err(|reason| refusal::placement_error(kind, self.library, reason))?;
        }
        for node in &elsewhere {
            tracing::debug!("{node}");
        }
        let others: usize = placement.iter().skip(1).filter_map(|place| place.nodes).sum();
        if others > 0 {
            tracing::warn!("{kind}: {}", describe(&placement));
        }
        match session {
            Some(session) => Ok((session, placement)),
            None => {
                let reason = "ONNX Runtime would run nodes on the CPU and does not say which".to_owned();
                Err(refusal::placement_error(kind, self.library, reason))
            }
        }
    }

    fn commit(
        &self,
        path: &Path,
        providers: &[ExecutionProviderDispatch],
        refuse_fallback: bool,
    ) -> Result<(Session, PlacementLog), Refusal> {
        let log = Arc::new(Mutex::new(PlacementLog::default()));
        let (reader, listener) = (Arc::clone(&log), self.listener.clone());
        let hear: Listener = Arc::new(move |message| {
            reader.lock().unwrap_or_else(PoisonError::into_inner).read(message);
            if let Some(listener) = &listener {
                listener(message);
            }
        });
        let builder = builder(self.library, self.options, hear).map_err(Refusal::Session)?;
        let builder = builder
            .with_execution_providers(providers)
            .map_err(|error| Refusal::Provider(error.to_string()))?;
        let said = |error: ort::Error<SessionBuilder>| Refusal::Session(error.to_string());
        let mut builder =
            if refuse_fallback { builder.with_disable_cpu_fallback().map_err(said)? } else { builder };
        let environment = self.library.environment();
        let _listening = self.listener.clone().map(|listener| Listening::begin(environment, listener));
        let session = builder.commit_from_file(path).map_err(|error| Refusal::Session(error.to_string()))?;
        let log = log.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok((session, log))
    }
}

/// In ONNX Runtime's words.
enum Refusal {
    /// The provider cannot be had.
    Provider(String),
    /// The session cannot be built.
    Session(String),
}

/// `CUDAExecutionProvider 570 nodes, CPUExecutionProvider 7 nodes`.
fn describe(placement: &[Placement]) -> String {
    let one = |place: &Placement| match place.nodes {
        Some(nodes) => format!("{} {nodes} nodes", place.device),
        None => place.device.clone(),
    };
    placement.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// What all providers have in common. The builder's errors carry the builder and are not `Send`: their text is all
/// that leaves here.
///
/// Where nodes are placed is told at the most talkative level alone; a session so set says nothing more when it runs.
fn builder(library: &OrtLibrary, options: &EngineOptions, hear: Listener) -> Result<SessionBuilder, String> {
    let builder = Session::builder(library.environment())
        .map_err(|error| error.to_string())?
        .with_no_environment_execution_providers()
        .map_err(|error| error.to_string())?
        .with_log_level(LogLevel::Verbose)
        .map_err(|error| error.to_string())?
        .with_logger(of_session(hear))
        .map_err(|error| error.to_string())?
        .with_optimization_level(GraphOptimizationLevel::All)
        .map_err(|error| error.to_string())?
        .with_intra_threads(options.threads)
        .map_err(|error| error.to_string())?
        .with_intra_op_spinning(options.spin)
        .map_err(|error| error.to_string())?;
    match &options.profile {
        Some(prefix) => builder.with_profiling(prefix).map_err(|error| error.to_string()),
        None => Ok(builder),
    }
}

/// A session on the CPU over a graph in memory.
///
/// # Errors
/// ONNX Runtime's own words.
pub(crate) fn from_memory(
    library: &OrtLibrary,
    options: &EngineOptions,
    bytes: &[u8],
) -> Result<Session, String> {
    let mut builder = builder(library, options, Arc::new(|_| {}))?;
    builder.commit_from_memory(bytes).map_err(|error| error.to_string())
}

/// A session on the CPU over the graph of a file.
///
/// # Errors
/// ONNX Runtime's own words.
pub(crate) fn from_file(
    library: &OrtLibrary,
    options: &EngineOptions,
    path: &Path,
) -> Result<Session, String> {
    let mut builder = builder(library, options, Arc::new(|_| {}))?;
    builder.commit_from_file(path).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use crate::engine::onnx_runtime::library::load;
    use crate::engine::self_check::graph;

    /// What a session of `kind` becomes if its provider can be had but takes no node: the providers given are none.
    fn with_an_idle_provider(kind: EngineKind, allow_fallback: bool) -> Option<Result<Vec<Placement>>> {
        let library = match load(None) {
            Ok(library) => library,
            Err(error) if std::env::var("AVDIT_REQUIRE_ORT").is_ok_and(|value| value == "1") => {
                panic!("{error}")
            }
            Err(_) => return None,
        };
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("model.onnx");
        std::fs::write(&path, graph()).unwrap();
        let options = EngineOptions { threads: 1, allow_fallback, ..EngineOptions::default() };
        let opened = Opening::new(library, kind, &options).with_providers(&path, &[]);
        Some(opened.map(|(_, placement)| placement))
    }

    #[test]
    fn a_provider_that_takes_no_node_is_an_error_and_not_a_slow_success() {
        for kind in [EngineKind::OrtCuda, EngineKind::OrtTensorRt] {
            for allow_fallback in [false, true] {
                let Some(opened) = with_an_idle_provider(kind, allow_fallback) else { return };
                let Err(Error::Provider { engine, reason, .. }) = opened else {
                    panic!("{kind}: {opened:?}")
                };
                assert_eq!(engine, kind.name());
                let told = "was registered, but runs none of 1 nodes; CPUExecutionProvider runs 1";
                assert!(reason.ends_with(told), "{reason}");
            }
        }
    }

    #[test]
    fn who_listens_hears_a_session_being_built_and_not_run() {
        let Ok(library) = load(None) else { return };
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("model.onnx");
        std::fs::write(&path, graph()).unwrap();
        let options = EngineOptions { threads: 1, ..EngineOptions::default() };
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hear = Arc::clone(&heard);
        let listener: Listener = Arc::new(move |message| hear.lock().unwrap().push(message.to_owned()));
        let opening =
            Opening { listener: Some(listener), ..Opening::new(library, EngineKind::OrtCpu, &options) };
        let (mut session, _) = opening.session(&path).unwrap();
        let built = heard.lock().unwrap().len();
        assert!(heard.lock().unwrap().iter().any(|message| message == "Node placements"), "{heard:?}");
        let x = ort::value::TensorRef::from_array_view(([2usize], &[1.0f32, 2.0][..])).unwrap();
        session.run(ort::inputs!["x" => x]).unwrap();
        // What a run would say costs time in every step.
        assert_eq!(heard.lock().unwrap().len(), built);
    }

    #[test]
    fn nodes_on_the_cpu_are_counted() {
        let Some(opened) = with_an_idle_provider(EngineKind::OrtCpu, false) else { return };
        assert_eq!(opened.unwrap(), [Placement { device: CPU.to_owned(), nodes: Some(1) }]);
    }
}
