//! Any network as an ONNX model, and in double precision.

use crate::denoiser::ExportOptions;
use crate::error::{Error, Result};
use crate::evaluator::{Evaluator, Numbers};
use crate::recorder::Recorder;
use crate::weights::{self, WeightSource};
use crate::{fold, reshape, split};
use avdit_nets::Network;
use avdit_nets::network::Port;
use avdit_onnx::builder::ModelHeader;
use avdit_onnx::{GraphBuilder, Model};

/// The graph of a network with its weights, inputs and outputs named by [`Network::inputs`] and [`Network::outputs`], all of
/// them single-precision numbers behind a batch; with `options.taps` what the network taps follows as outputs.
///
/// Weights that the network does not read are an error, unless it is a part ([`Network::is_part`]). `options` may not freeze
/// a schedule nor fuse a step, which a network by itself does not know.
///
/// # Errors
/// [`Error::MissingParameter`], [`Error::ParameterShape`], [`Error::UnusedWeights`] or [`Error::NotFinite`] if the
/// weights are not those of the network, [`Error::Network`] if it cannot be built, [`Error::Mismatch`] if an option is
/// not for it.
pub fn export_network(
    network: &impl Network,
    weights: &dyn WeightSource,
    options: &ExportOptions,
) -> Result<Model> {
    let name = network.name();
    if options.freeze.is_some() || options.step.is_some() {
        return Err(Error::mismatch(format!("export of {name}"), "no schedule and no step", "one of them"));
    }
    let ir_version = options.ir_version()?;
    check(network, weights)?;
    let recorder = Recorder::new(name, weights, options.lowering, options.batch);
    let inputs = network.inputs();
    let declared = inputs.iter().map(|(name, dims)| recorder.input(name, dims));
    let made = network.run(&recorder, &declared.collect::<Result<Vec<_>>>()?)?;
    let outputs = network.outputs();
    check_outputs(name, &outputs, &made.iter().map(|y| y.dims.as_slice()).collect::<Vec<_>>())?;
    let values = made.iter().map(|y| recorder.name_of(y)).collect::<Result<Vec<_>>>()?;
    let (mut graph, taps) = recorder.finish();
    for (value, (name, _)) in values.iter().zip(&outputs) {
        graph.output(value, name)?;
    }
    for (name, value) in taps.iter().filter(|_| options.taps) {
        graph.output(value, name)?;
    }
    let names = |ports: &[Port]| ports.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let header = ModelHeader {
        opset: options.opset,
        ir_version,
        producer: env!("CARGO_PKG_NAME").to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc: format!("{name}: {} to {}", names(&inputs), names(&outputs)),
        metadata: vec![
            ("avdit.network".to_owned(), name.to_owned()),
            ("avdit.lowering".to_owned(), options.lowering.to_string()),
        ],
    };
    finish(graph, header)
}

/// What a network makes of one example, in double precision: what every engine can be held against. `inputs` are in the
/// order of [`Network::inputs`], without a batch.
///
/// # Errors
/// As [`export_network`]; [`Error::Mismatch`] if an input is missing or of another size.
pub fn evaluate_network(
    network: &impl Network,
    weights: &dyn WeightSource,
    inputs: &[&[f32]],
) -> Result<Vec<Vec<f64>>> {
    check(network, weights)?;
    let (name, declared) = (network.name(), network.inputs());
    if declared.len() != inputs.len() {
        return Err(Error::mismatch(format!("inputs of {name}"), declared.len().to_string(), inputs.len()));
    }
    let number = |((input, dims), x): (&Port, &&[f32])| {
        if x.len() != dims.iter().product::<usize>() {
            let what = format!("values of {input} for {name}");
            return Err(Error::mismatch(what, format!("the elements of {dims:?}"), x.len()));
        }
        Ok(Numbers::new(dims, x.iter().copied().map(f64::from).collect()))
    };
    let inputs = declared.iter().zip(inputs).map(number).collect::<Result<Vec<_>>>()?;
    let made = network.run(&Evaluator::new(weights), &inputs)?;
    check_outputs(name, &network.outputs(), &made.iter().map(|y| y.dims.as_slice()).collect::<Vec<_>>())?;
    Ok(made.into_iter().map(|y| y.data.to_vec()).collect())
}

fn check(network: &impl Network, weights: &dyn WeightSource) -> Result<()> {
    network.check()?;
    if network.is_part() {
        weights::check_own(weights, &network.parameters())
    } else {
        weights::check(weights, &network.parameters())
    }
}

/// That a network made what it says.
fn check_outputs(network: &str, outputs: &[Port], made: &[&[usize]]) -> Result<()> {
    let said: Vec<_> = outputs.iter().map(|(_, dims)| dims.as_slice()).collect();
    if said == made {
        return Ok(());
    }
    Err(Error::mismatch(format!("outputs of {network}"), format!("{said:?}"), format!("{made:?}")))
}

/// A recorded graph as a model, with what holds for every target rewritten.
pub(crate) fn finish(graph: GraphBuilder, header: ModelHeader) -> Result<Model> {
    let mut model = graph.finish(header)?;
    split::merge_slices(&mut model)?;
    split::split_before_gather(&mut model);
    fold::fold_constants(&mut model)?;
    reshape::merge_reshapes(&mut model)?;
    model.check()?;
    Ok(model)
}
