//! Graphs that are no denoisers: the parts of a codec, and networks under test.

use crate::engine::onnx_runtime::{library, session};
use crate::engine::{EngineKind, EngineOptions};
use crate::error::{Error, Result};
use ort::session::{Session, SessionInputValue};
use ort::value::TensorRef;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tract_onnx::prelude::*;

/// A graph that turns tensors into others, ready to run on a CPU engine. It may be asked by many threads at once; ONNX
/// Runtime answers one after another.
pub struct Function {
    /// Where it comes from, for errors.
    path: PathBuf,
    kind: EngineKind,
    /// Whole shapes, in the order of the graph.
    inputs: Vec<Vec<usize>>,
    outputs: Vec<Vec<usize>>,
    runner: Runner,
}

/// Where a graph is.
enum Graph<'a> {
    Bytes(&'a [u8]),
    File(&'a Path),
}

enum Runner {
    Tract(Arc<TypedRunnableModel>),
    OnnxRuntime(Box<Mutex<Session>>),
}

impl Function {
    /// Opens a graph of one input and one output for a batch of one, whose shapes are those of one example, without the batch;
    /// the rest as [`Function::with_shapes`].
    ///
    /// # Errors
    /// As [`Function::with_shapes`].
    pub fn open(
        bytes: &[u8],
        path: &Path,
        shapes: [&[usize]; 2],
        kind: EngineKind,
        options: &EngineOptions,
    ) -> Result<Self> {
        Self::with_shapes(bytes, path, shapes.map(|dims| vec![[&[1], dims].concat()]), kind, options)
    }

    /// Opens the bytes of an ONNX file, which holds its weights. `path` says in errors where they come from; `inputs` and
    /// `outputs` are whole shapes in the order of the graph, which may have a batch of any size. Of `options`, ONNX Runtime's library and the threads
    /// inside an operation count; tract uses one thread.
    ///
    /// # Errors
    /// [`Error::NoOnnxRuntime`] if that is asked for and not there; [`Error::Engine`] if the engine refuses the graph or
    /// finds other shapes in it; [`Error::Value`] for an engine that does not run graphs on the CPU.
    pub fn with_shapes(
        bytes: &[u8],
        path: &Path,
        shapes: [Vec<Vec<usize>>; 2],
        kind: EngineKind,
        options: &EngineOptions,
    ) -> Result<Self> {
        Self::of(Graph::Bytes(bytes), path, shapes, kind, options)
    }

    /// Opens an ONNX file, whose weights may lie in a file of their own; the rest as [`Function::with_shapes`].
    ///
    /// # Errors
    /// As [`Function::with_shapes`].
    pub fn from_file(
        path: &Path,
        shapes: [Vec<Vec<usize>>; 2],
        kind: EngineKind,
        options: &EngineOptions,
    ) -> Result<Self> {
        Self::of(Graph::File(path), path, shapes, kind, options)
    }

    fn of(
        graph: Graph<'_>,
        path: &Path,
        [inputs, outputs]: [Vec<Vec<usize>>; 2],
        kind: EngineKind,
        options: &EngineOptions,
    ) -> Result<Self> {
        let failed = |reason| engine_error(kind, "open", path, reason);
        let runner = match kind {
            EngineKind::Tract => Runner::Tract(plan(graph, &inputs, &outputs).map_err(failed)?),
            EngineKind::OrtCpu => {
                let library = library::load(options.onnx_runtime.as_deref())?;
                let session = match graph {
                    Graph::Bytes(bytes) => session::from_memory(library, options, bytes),
                    Graph::File(path) => session::from_file(library, options, path),
                };
                Runner::OnnxRuntime(Box::new(Mutex::new(session.map_err(failed)?)))
            }
            _ => {
                return Err(Error::Value {
                    what: "engine of a graph that is no denoiser".to_owned(),
                    expected: EngineKind::ON_CPU.map(EngineKind::name).join(" or "),
                    got: kind.name().to_owned(),
                });
            }
        };
        Ok(Self { path: path.to_owned(), kind, inputs, outputs, runner })
    }

    /// The engine that runs it.
    pub fn engine(&self) -> EngineKind {
        self.kind
    }

    /// What a graph of one input and one output makes of some values.
    ///
    /// # Errors
    /// As [`Function::run_all`].
    pub fn run(&self, x: &[f32]) -> Result<Vec<f32>> {
        Ok(self.run_all(&[x])?.into_iter().next().unwrap_or_default())
    }

    /// What the graph makes of the values of all its inputs, in its order.
    ///
    /// # Errors
    /// [`Error::Core`] if there are more or fewer inputs, or values of one; [`Error::Engine`] if the engine fails.
    pub fn run_all(&self, xs: &[&[f32]]) -> Result<Vec<Vec<f32>>> {
        let what = |what: &str| format!("{what} of {}", self.path.display());
        avdit_core::Error::check_count(&what("inputs"), self.inputs.len(), xs.len())?;
        for (shape, x) in self.inputs.iter().zip(xs) {
            avdit_core::Error::check_count(&what("values of an input"), shape.iter().product(), x.len())?;
        }
        let fed: Vec<_> = self.inputs.iter().map(Vec::as_slice).zip(xs.iter().copied()).collect();
        let made = match &self.runner {
            Runner::Tract(plan) => run_tract(plan, &fed),
            Runner::OnnxRuntime(session) => {
                let mut session = session.lock().unwrap_or_else(PoisonError::into_inner);
                run_ort(&mut session, &fed).map_err(|error| error.to_string())
            }
        };
        let made = made.map_err(|reason| engine_error(self.kind, "run", &self.path, reason))?;
        let expected: Vec<usize> = self.outputs.iter().map(|shape| shape.iter().product()).collect();
        let got: Vec<usize> = made.iter().map(Vec::len).collect();
        if got != expected {
            let reason = format!("makes {got:?} values, expected {:?}", self.outputs);
            return Err(engine_error(self.kind, "run", &self.path, reason));
        }
        Ok(made)
    }
}

fn engine_error(kind: EngineKind, action: &'static str, path: &Path, reason: String) -> Error {
    Error::Engine { engine: kind.name(), action, path: path.to_owned(), reason }
}

fn plan(
    graph: Graph<'_>,
    inputs: &[Vec<usize>],
    outputs: &[Vec<usize>],
) -> Result<Arc<TypedRunnableModel>, String> {
    guarded(|| {
        let onnx = tract_onnx::onnx().with_ignore_value_info(true);
        let mut model = match graph {
            Graph::Bytes(bytes) => onnx.model_for_read(&mut &*bytes)?,
            Graph::File(path) => onnx.model_for_path(path)?,
        };
        for (i, input) in inputs.iter().enumerate() {
            model.set_input_fact(i, InferenceFact::dt_shape(f32::datum_type(), input))?;
        }
        let plan = model.into_optimized()?.into_runnable()?;
        for (i, output) in outputs.iter().enumerate() {
            let fact = plan.model().output_fact(i)?;
            if fact.shape.as_concrete() != Some(output) || fact.datum_type != f32::datum_type() {
                return Err(TractError::msg(format!("output {i} is {fact:?}, expected F32 {output:?}")));
            }
        }
        Ok(plan)
    })
}

/// Shapes and values.
type Fed<'a> = [(&'a [usize], &'a [f32])];

fn run_tract(plan: &Arc<TypedRunnableModel>, fed: &Fed<'_>) -> Result<Vec<Vec<f32>>, String> {
    guarded(|| {
        let fed = fed.iter().map(|(shape, x)| Ok(Tensor::from_shape(shape, x)?.into_tvalue()));
        let made = plan.run(fed.collect::<TractResult<_>>()?)?;
        made.iter().map(|y| Ok(y.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())).collect()
    })
}

fn run_ort(session: &mut Session, fed: &Fed<'_>) -> ort::Result<Vec<Vec<f32>>> {
    let view = |(shape, x): &(&[usize], _)| TensorRef::from_array_view((shape.to_vec(), *x)).map(Into::into);
    let fed = fed.iter().map(view).collect::<ort::Result<Vec<SessionInputValue<'_>>>>()?;
    let made = session.run(fed.as_slice())?;
    (0..made.len()).map(|i| Ok(made[i].try_extract_tensor::<f32>()?.1.to_vec())).collect()
}

/// Runs code of tract, which may panic on graphs it was not made for, so that it can only fail.
fn guarded<T>(code: impl FnOnce() -> TractResult<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(code)) {
        Ok(made) => made.map_err(|error| format!("{error:#}")),
        Err(_) => Err("it does not support this graph (panic)".to_owned()),
    }
}
