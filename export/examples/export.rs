//! Exports an AVDiT from a safetensors file: `export CONFIG.json WEIGHTS.safetensors MODEL/`.
//!
//! The configuration is the JSON's field `config`; parameters may carry the prefix `param.`. `AVDIT_TAPS` adds the
//! intermediate results as outputs, `AVDIT_EXTERNAL` puts the weights into a file of their own.

use avdit_core::{DenoiserSpec, ScheduleKind, Target};
use avdit_export::{ExportOptions, ModelConfig, ModelFolder, Provenance, WeightMap, export_denoiser};
use avdit_nets::AvditConfig;
use avdit_onnx::ExternalData;
use safetensors::SafeTensors;
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, weights, target] = &arguments[..] else {
        return Err("usage: export CONFIG.json WEIGHTS.safetensors MODEL/".into());
    };
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(config)?)?;
    let network: AvditConfig = serde_json::from_value(json["config"].take())?;
    let spec = DenoiserSpec {
        layout: network.layout(),
        target: Target::Epsilon,
        schedule: ScheduleKind::Linear,
        timesteps: 1000,
    };
    let given = |name: &str| std::env::var_os(name).is_some();
    let external_data = if given("AVDIT_EXTERNAL") { ExternalData::Always } else { ExternalData::Auto };
    let options = ExportOptions { taps: given("AVDIT_TAPS"), external_data, ..ExportOptions::default() };
    let model = export_denoiser(&network, &read(Path::new(weights))?, &spec, &options)?;
    let folder = ModelFolder::begin(Path::new(target))?;
    let record = folder.write(&model, &ModelConfig::of(network, spec, Provenance::new()), &options)?;
    folder.commit(&record)?;
    Ok(())
}

fn read(path: &Path) -> Result<WeightMap, Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    let tensors = SafeTensors::deserialize(&bytes)?;
    let prefixed = tensors.names().iter().any(|name| name.starts_with("param."));
    let mut weights = WeightMap::new();
    for (name, view) in tensors.tensors() {
        let own = if prefixed { name.strip_prefix("param.") } else { Some(name.as_str()) };
        let values = view.data().chunks_exact(4).map(|x| f32::from_le_bytes([x[0], x[1], x[2], x[3]]));
        if let Some(own) = own {
            weights.insert(own.to_owned(), (view.shape().to_vec(), values.collect()));
        }
    }
    Ok(weights)
}
