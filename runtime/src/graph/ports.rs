//! The inputs and outputs that a graph has by its configuration.

use super::{INPUTS, OUTPUTS};
use avdit_core::sampler::StepForm;
use avdit_core::{DenoiserSpec, Modality};
use half::slice::HalfFloatSliceExt;

/// In which numbers a graph has a port; engines take and give single precision all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    Float32,
    Float16,
    Bfloat16,
}

impl Element {
    /// Values in 16 bits, each the nearest that there is.
    pub(crate) fn narrowed<H: Copy + Default>(values: &[f32]) -> Vec<H>
    where
        [H]: HalfFloatSliceExt,
    {
        let mut narrowed = vec![H::default(); values.len()];
        narrowed.convert_from_f32_slice(values);
        narrowed
    }
}

/// An input or output.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(crate) name: String,
    /// Without the batch.
    dims: Vec<usize>,
    pub(crate) element: Element,
}

impl Port {
    fn new(name: impl Into<String>, dims: &[usize]) -> Self {
        Self { name: name.into(), dims: dims.to_vec(), element: Element::Float32 }
    }

    /// Its shape for a batch.
    pub(crate) fn shape(&self, batch: usize) -> Vec<usize> {
        [&[batch], &self.dims[..]].concat()
    }
}

/// What goes in and comes out, in the order in which engines feed and read it: two ports of a kind, video's and then
/// audio's. For a graph that predicts, [`INPUTS`] and [`OUTPUTS`]. For a fused step: state, timesteps, coefficients,
/// moves and, where it adds noise, fresh noise; the next state.
#[derive(Clone, Debug)]
pub(crate) struct Ports {
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
}

impl Ports {
    pub(crate) fn of(spec: &DenoiserSpec, step: Option<StepForm>) -> Self {
        let (layout, n) = (&spec.layout, spec.layout.segments());
        let latents = |modality| layout.shape(modality, 1)[1..].to_vec();
        let both = |name: &dyn Fn(Modality) -> String, dims: &dyn Fn(Modality) -> Vec<usize>| {
            Modality::ALL.map(|modality| Port::new(name(modality), &dims(modality)))
        };
        let Some(form) = step else {
            let fed = Modality::ALL.map(latents).into_iter().chain([vec![n], vec![n]]);
            let made = Modality::ALL.map(latents);
            return Self {
                inputs: INPUTS.into_iter().zip(fed).map(|(name, dims)| Port::new(name, &dims)).collect(),
                outputs: OUTPUTS.into_iter().zip(made).map(|(name, dims)| Port::new(name, &dims)).collect(),
            };
        };
        let state = |modality| [vec![form.entries()], latents(modality)].concat();
        let named = |name: &'static str| move |modality: Modality| format!("{}_{name}", modality.name());
        let mut inputs = both(&named("state"), &state).to_vec();
        inputs.extend(both(&named("timesteps"), &|_| vec![n]));
        inputs.extend(both(&named("coefficients"), &|_| vec![form.sums(), form.terms(), n]));
        inputs.extend(both(&named("moves"), &|_| vec![n]));
        if form.noise {
            inputs.extend(both(&named("fresh"), &latents));
        }
        let next = |modality: Modality| format!("next_{}_state", modality.name());
        Self { inputs, outputs: both(&next, &state).to_vec() }
    }
}
