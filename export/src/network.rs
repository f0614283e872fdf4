//! Any network of one input and one output as an ONNX model, and in double precision.

use crate::avdit::ExportOptions;
use crate::error::{Error, Result};
use crate::evaluator::{Evaluator, Numbers};
use crate::recorder::Recorder;
use crate::reshape;
use crate::weights::{self, WeightSource};
use avdit_nets::Network;
use avdit_onnx::Model;
use avdit_onnx::builder::ModelHeader;

/// The graph of a network with its weights: one input and one output, named by [`Network::ports`], and behind it, with
/// [`ExportOptions::taps`], what the network shows on its way.
///
/// Others among the weights are not heeded, so that a decoder is exported from the file of a whole codec. `options` may
/// not freeze a schedule nor fuse a step, which such a network does not have.
///
/// # Errors
/// [`Error::MissingParameter`], [`Error::ParameterShape`] or [`Error::NotFinite`] if the weights are not those of the
/// network, [`Error::Mismatch`] if an option is not for it.
pub fn export_network(
    network: &impl Network,
    weights: &dyn WeightSource,
    options: &ExportOptions,
) -> Result<Model> {
    let (name, (input, output)) = (network.name(), network.ports());
    if options.freeze.is_some() || options.step.is_some() {
        return Err(Error::mismatch(format!("export of {name}"), "no schedule or step", "one of them"));
    }
    let ir_version = options.ir_version()?;
    weights::check_own(weights, &network.parameters())?;
    let recorder = Recorder::new(name, weights, options.lowering, options.batch);
    let x = recorder.input(input, &network.input())?;
    let y = network.run(&recorder, &x)?;
    if y.dims != network.output() {
        let (expected, got) = (format!("{:?}", network.output()), format!("{:?}", y.dims));
        return Err(Error::mismatch(format!("output of {name}"), expected, got));
    }
    let y = recorder.name_of(&y)?;
    let (mut graph, taps) = recorder.finish();
    graph.output(&y, output)?;
    for (name, value) in taps.iter().filter(|_| options.taps) {
        graph.output(value, name)?;
    }
    let mut model = graph.finish(ModelHeader {
        opset: options.opset,
        ir_version,
        producer: env!("CARGO_PKG_NAME").to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc: format!("{name}: {input} to {output}"),
        metadata: vec![
            ("avdit.network".to_owned(), name.to_owned()),
            ("avdit.lowering".to_owned(), options.lowering.to_string()),
        ],
    })?;
    reshape::merge_reshapes(&mut model)?;
    model.check()?;
    Ok(model)
}

/// What a network makes of one example, in double precision: what every engine can be held against.
///
/// # Errors
/// As [`export_network`]; [`Error::Mismatch`] if `x` is of another size.
pub fn evaluate_network(network: &impl Network, weights: &dyn WeightSource, x: &[f32]) -> Result<Vec<f64>> {
    weights::check_own(weights, &network.parameters())?;
    let dims = network.input();
    if x.len() != dims.iter().product::<usize>() {
        let what = format!("values of {} for {}", network.ports().0, network.name());
        return Err(Error::mismatch(what, format!("the elements of {dims:?}"), x.len()));
    }
    let x = Numbers::new(&dims, x.iter().copied().map(f64::from).collect());
    Ok(network.run(&Evaluator::new(weights), &x)?.data.to_vec())
}
