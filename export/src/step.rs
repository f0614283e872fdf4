//! The fused step: the sampler's update behind the network.
//!
//! The state of a run, `(batch, entries, …)` per modality, goes in and comes out; what it holds and what the
//! coefficients mean is written in `avdit_core::sampler::StepForm`. For each cell the sums of a step are formed over
//! the entries, the prediction and noise by products and additions alone, no matrix multiplication, so that no engine
//! computes them in a lower precision than the rest.

use crate::error::Result;
use crate::recorder::{Recorder, Value};
use avdit_core::sampler::StepForm;
use avdit_core::{Layout, Modality};
use avdit_onnx::{attribute, tensor};

/// The inputs of a modality's step.
pub(crate) struct StepInputs<'a> {
    form: StepForm,
    layout: &'a Layout,
    modality: Modality,
    state: String,
    coefficients: String,
    moves: String,
    noise: Option<String>,
}

impl<'a> StepInputs<'a> {
    /// Declares `video_state`, `video_coefficients`, `video_moves` and, where the step adds noise, `video_fresh`, or
    /// those of audio.
    pub(crate) fn declare(
        recorder: &Recorder<'_>,
        form: StepForm,
        layout: &'a Layout,
        modality: Modality,
    ) -> Result<Self> {
        let shape = &layout.shape(modality, 1)[1..];
        let n = layout.segments();
        let input = |name: &str, dims: &[usize]| {
            recorder.name_of(&recorder.input(&format!("{}_{name}", modality.name()), dims)?)
        };
        let state = input("state", &[&[form.entries()], shape].concat())?;
        let coefficients = input("coefficients", &[form.sums(), form.terms(), n])?;
        let moves = input("moves", &[n])?;
        let noise = form.noise.then(|| input("fresh", shape)).transpose()?;
        Ok(Self { form, layout, modality, state, coefficients, moves, noise })
    }

    /// The present latents: the first entry of the state.
    pub(crate) fn latents(&self, recorder: &Recorder<'_>) -> Result<Value> {
        self.scope(recorder);
        let mut graph = recorder.graph();
        let mut x = self.state.clone();
        if self.form.entries() > 1 {
            let first = graph.integers(&[0])?;
            x = graph.node("Gather", "latents", &[&x, &first], vec![attribute::int("axis", 1)])?;
        }
        let dims: Vec<i64> = self.layout.shape(self.modality, 0).iter().map(|&n| n as i64).collect();
        let shape = graph.integers(&dims)?;
        let x = graph.node("Reshape", "latents", &[&x, &shape], vec![])?;
        drop(graph);
        Ok(recorder.made(x))
    }

    /// The next state, from the prediction.
    pub(crate) fn next(&self, recorder: &Recorder<'_>, prediction: &Value) -> Result<String> {
        self.scope(recorder);
        let prediction = recorder.name_of(prediction)?;
        let form = self.form;
        let frames = self.layout.segment_frames(self.modality);
        let segments: Vec<i64> =
            frames.iter().enumerate().flat_map(|(segment, &n)| vec![segment as i64; n]).collect();
        let (f, e) = (segments.len() as i64, self.layout.frame_len(self.modality) as i64);
        let [entries, terms, sums] = [form.entries(), form.terms(), form.sums()].map(|n| n as i64);
        let mut graph = recorder.graph();
        let segments = graph.integers(&segments)?;
        let mut reshape = |path: &str, x: &str, dims: &[i64]| {
            let shape = graph.integers(&[&[0], dims].concat())?;
            graph.node("Reshape", path, &[x, &shape], vec![])
        };
        let state = reshape("state", &self.state, &[entries, f, e])?;
        let mut all = vec![state.clone(), reshape("prediction", &prediction, &[1, f, e])?];
        if let Some(noise) = &self.noise {
            all.push(reshape("noise", noise, &[1, f, e])?);
        }
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let all = graph.node("Concat", "terms", &all, vec![attribute::int("axis", 1)])?;
        let shape = graph.integers(&[0, 1, terms, f, e])?;
        let all = graph.node("Reshape", "terms", &[&all, &shape], vec![])?;

        let factors = graph.node(
            "Gather",
            "factors",
            &[&self.coefficients, &segments],
            vec![attribute::int("axis", 3)],
        )?;
        let shape = graph.integers(&[0, sums, terms, f, 1])?;
        let factors = graph.node("Reshape", "factors", &[&factors, &shape], vec![])?;
        let products = graph.node("Mul", "sums", &[&factors, &all], vec![])?; // (batch, sums, terms, frames, elements)
        let axis = graph.integers(&[2])?;
        let mut next =
            graph.node("ReduceSum", "sums", &[&products, &axis], vec![attribute::int("keepdims", 0)])?;
        if form.history > 1 {
            // What was kept before grows older by one.
            let mut slice = |x: &str, start: i64, end: i64| {
                let [start, end, axis] = [start, end, 1].map(|i| graph.integers(&[i]));
                graph.node("Slice", "age", &[x, &start?, &end?, &axis?], vec![])
            };
            let older = slice(&state, 1, form.history as i64)?;
            let parts = match form.saved {
                true => vec![slice(&next, 0, 2)?, older, slice(&next, 2, 3)?],
                false => vec![next, older],
            };
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            next = graph.node("Concat", "age", &parts, vec![attribute::int("axis", 1)])?;
        }

        let half = graph.constant(tensor::f32s("half", &[1], &[0.5])?)?;
        let moves =
            graph.node("Gather", "moves", &[&self.moves, &segments], vec![attribute::int("axis", 1)])?;
        let shape = graph.integers(&[0, 1, f, 1])?;
        let moves = graph.node("Reshape", "moves", &[&moves, &shape], vec![])?;
        let moves = graph.node("Greater", "moves", &[&moves, &half], vec![])?;
        let next = graph.node("Where", "", &[&moves, &next, &state], vec![])?; // (batch, entries, frames, elements)
        let mut dims: Vec<i64> = self.layout.shape(self.modality, 0).iter().map(|&n| n as i64).collect();
        dims.insert(1, entries);
        let shape = graph.integers(&dims)?;
        Ok(graph.node("Reshape", "", &[&next, &shape], vec![])?)
    }

    fn scope(&self, recorder: &Recorder<'_>) {
        recorder.graph().set_scope(&format!("step_{}", self.modality.name()));
    }
}
