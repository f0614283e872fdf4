//! The parts of an autoencoder as ONNX models, and in double precision.

use crate::denoiser::ExportOptions;
use crate::error::{Error, Result};
use crate::evaluator::{Evaluator, Numbers};
use crate::recorder::Recorder;
use crate::reshape;
use crate::weights::{self, WeightSource};
use avdit_nets::AutoencoderConfig;
use avdit_nets::codec::Part;
use avdit_onnx::Model;
use avdit_onnx::builder::ModelHeader;

/// The graph of one part with its weights: one input and one output, named by [`Part::ports`].
///
/// `options` may not freeze a schedule nor fuse a step, which an autoencoder does not have.
///
/// # Errors
/// [`Error::MissingParameter`], [`Error::ParameterShape`], [`Error::UnusedWeights`] or [`Error::NotFinite`] if the
/// weights are not those of the autoencoder, [`Error::Autoencoder`] if it cannot be built, [`Error::Mismatch`] if an
/// option is not for it.
pub fn export_autoencoder(
    config: &AutoencoderConfig,
    weights: &dyn WeightSource,
    part: Part,
    options: &ExportOptions,
) -> Result<Model> {
    config.check()?;
    if options.freeze.is_some() || options.step.is_some() || options.taps {
        return Err(Error::mismatch("export of an autoencoder", "no schedule, step or taps", "one of them"));
    }
    let ir_version = options.ir_version()?;
    weights::check(weights, &config.parameters())?;
    let recorder = Recorder::new(part.name(), weights, options.lowering, options.batch);
    let (input, output) = part.ports();
    let x = recorder.input(input, &part.input(config))?;
    let y = part.run(&recorder, config, &x)?;
    let y = recorder.name_of(&y)?;
    let (mut graph, _) = recorder.finish();
    graph.output(&y, output)?;
    let config = serde_json::to_string(config).expect("a structure of numbers and names");
    let mut model = graph.finish(ModelHeader {
        opset: options.opset,
        ir_version,
        producer: env!("CARGO_PKG_NAME").to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc: format!("{} of a causal autoencoder of clips: {input} to {output}", part.name()),
        metadata: vec![
            ("avdit.autoencoder".to_owned(), config),
            ("avdit.part".to_owned(), part.name().to_owned()),
            ("avdit.lowering".to_owned(), options.lowering.to_string()),
        ],
    })?;
    reshape::merge_reshapes(&mut model)?;
    model.check()?;
    Ok(model)
}

/// What a part makes of one clip, in double precision: what every engine can be held against.
///
/// # Errors
/// As [`export_autoencoder`]; [`Error::Mismatch`] if `x` is of another size.
pub fn evaluate(
    config: &AutoencoderConfig,
    weights: &dyn WeightSource,
    part: Part,
    x: &[f32],
) -> Result<Vec<f64>> {
    config.check()?;
    weights::check(weights, &config.parameters())?;
    let dims = part.input(config);
    if x.len() != dims.iter().product::<usize>() {
        let what = format!("values of {} for the {}", part.ports().0, part.name());
        return Err(Error::mismatch(what, format!("the elements of {dims:?}"), x.len()));
    }
    let x = Numbers::new(&dims, x.iter().copied().map(f64::from).collect());
    Ok(part.run(&Evaluator::new(weights), config, &x)?.data.to_vec())
}
