//! Graphs of one input and one output that are no denoisers: the parts of a codec.

use crate::engine::onnx_runtime::{library, session};
use crate::engine::{EngineKind, EngineOptions};
use crate::error::{Error, Result};
use ort::session::Session;
use ort::value::TensorRef;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tract_onnx::prelude::*;

/// A graph that turns one tensor into another, for a batch of one, ready to run on a CPU engine. It may be asked by many
/// threads at once; ONNX Runtime answers one after another.
pub struct Function {
    /// Where it comes from, for errors.
    path: PathBuf,
    kind: EngineKind,
    input: Vec<usize>,
    output: Vec<usize>,
    runner: Runner,
}

enum Runner {
    Tract(Arc<TypedRunnableModel>),
    OnnxRuntime(Box<Mutex<Session>>),
}

impl Function {
    /// Opens the bytes of an ONNX file, which holds its weights. `path` says in errors where they come from; `input` and
    /// `output` are the shapes of one example, without the batch. Of `options`, ONNX Runtime's library and the threads
    /// inside an operation count; tract uses one thread.
    ///
    /// # Errors
    /// [`Error::NoOnnxRuntime`] if that is asked for and not there; [`Error::Engine`] if the engine refuses the graph or
    /// finds other shapes in it; [`Error::Value`] for an engine that does not run graphs on the CPU.
    pub fn open(
        bytes: &[u8],
        path: &Path,
        [input, output]: [&[usize]; 2],
        kind: EngineKind,
        options: &EngineOptions,
    ) -> Result<Self> {
        let with_batch = |dims: &[usize]| [&[1], dims].concat();
        let (input, output) = (with_batch(input), with_batch(output));
        let failed = |reason| engine_error(kind, "open", path, reason);
        let runner = match kind {
            EngineKind::Tract => Runner::Tract(plan(bytes, &input, &output).map_err(failed)?),
            EngineKind::OrtCpu => {
                let library = library::load(options.onnx_runtime.as_deref())?;
                let session = session::from_memory(library, options, bytes).map_err(failed)?;
                Runner::OnnxRuntime(Box::new(Mutex::new(session)))
            }
            _ => {
                return Err(Error::Value {
                    what: "engine of a codec".to_owned(),
                    expected: EngineKind::ON_CPU.map(EngineKind::name).join(" or "),
                    got: kind.name().to_owned(),
                });
            }
        };
        Ok(Self { path: path.to_owned(), kind, input, output, runner })
    }

    /// The engine that runs it.
    pub fn engine(&self) -> EngineKind {
        self.kind
    }

    /// What the graph makes of the values of one example.
    ///
    /// # Errors
    /// [`Error::Core`] if there are more or fewer values than the input has; [`Error::Engine`] if the engine fails.
    pub fn run(&self, x: &[f32]) -> Result<Vec<f32>> {
        let what = format!("values of the input of {}", self.path.display());
        avdit_core::Error::check_count(&what, self.input.iter().product(), x.len())?;
        let made = match &self.runner {
            Runner::Tract(plan) => run_tract(plan, &self.input, x),
            Runner::OnnxRuntime(session) => {
                let mut session = session.lock().unwrap_or_else(PoisonError::into_inner);
                run_ort(&mut session, &self.input, x).map_err(|error| error.to_string())
            }
        };
        let made = made.map_err(|reason| engine_error(self.kind, "run", &self.path, reason))?;
        let expected: usize = self.output.iter().product();
        if made.len() != expected {
            let reason = format!("makes {} values, expected {:?}", made.len(), self.output);
            return Err(engine_error(self.kind, "run", &self.path, reason));
        }
        Ok(made)
    }
}

fn engine_error(kind: EngineKind, action: &'static str, path: &Path, reason: String) -> Error {
    Error::Engine { engine: kind.name(), action, path: path.to_owned(), reason }
}

fn plan(bytes: &[u8], input: &[usize], output: &[usize]) -> Result<Arc<TypedRunnableModel>, String> {
    guarded(|| {
        let mut model = tract_onnx::onnx().with_ignore_value_info(true).model_for_read(&mut &*bytes)?;
        model.set_input_fact(0, InferenceFact::dt_shape(f32::datum_type(), input))?;
        let plan = model.into_optimized()?.into_runnable()?;
        let fact = plan.model().output_fact(0)?;
        if fact.shape.as_concrete() != Some(output) || fact.datum_type != f32::datum_type() {
            return Err(TractError::msg(format!("the output is {fact:?}, expected F32 {output:?}")));
        }
        Ok(plan)
    })
}

fn run_tract(plan: &Arc<TypedRunnableModel>, shape: &[usize], x: &[f32]) -> Result<Vec<f32>, String> {
    guarded(|| {
        let made = plan.run(tvec!(Tensor::from_shape(shape, x)?.into_tvalue()))?;
        Ok(made[0].try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
    })
}

fn run_ort(session: &mut Session, shape: &[usize], x: &[f32]) -> ort::Result<Vec<f32>> {
    let made = session.run(ort::inputs![TensorRef::from_array_view((shape.to_vec(), x))?])?;
    Ok(made[0].try_extract_tensor::<f32>()?.1.to_vec())
}

/// Runs code of tract, which may panic on graphs it was not made for, so that it can only fail.
fn guarded<T>(code: impl FnOnce() -> TractResult<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(code)) {
        Ok(made) => made.map_err(|error| format!("{error:#}")),
        Err(_) => Err("it does not support this graph (panic)".to_owned()),
    }
}
