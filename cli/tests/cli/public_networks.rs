//! Folders of imported networks, small and random.

use crate::fixture::text;
use avdit_media::codec::file_sha256;
use avdit_media::tensors::{TensorRef, write_tensors};
use avdit_nets::encodec::{self, EncodecConfig};
use avdit_nets::hifigan::{self, HifiganConfig};
use avdit_nets::vae::VaeConfig;
use avdit_nets::{Network, Parameter};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Pictures of 8h × 8w to four channels of h × w.
pub fn video() -> VaeConfig {
    vae([3, 3, 4], &[4, 4, 8, 8])
}

/// Mel spectrograms of 4h × 4w to eight channels of h × w.
pub fn mel() -> VaeConfig {
    vae([1, 1, 8], &[4, 4, 8])
}

fn vae([seen, made, latent]: [usize; 3], widths: &[usize]) -> VaeConfig {
    let kinds = |kind: &str| vec![kind.to_owned(); widths.len()];
    VaeConfig {
        in_channels: seen,
        out_channels: made,
        latent_channels: latent,
        block_out_channels: widths.to_vec(),
        norm_num_groups: 2,
        scaling_factor: 0.5,
        down_block_types: kinds("DownEncoderBlock2D"),
        up_block_types: kinds("UpDecoderBlock2D"),
        ..VaeConfig::default()
    }
}

/// 160 samples for each frame of 64 bands.
pub fn vocoder() -> HifiganConfig {
    HifiganConfig {
        upsample_initial_channel: 32,
        resblock_kernel_sizes: vec![3],
        resblock_dilation_sizes: vec![vec![1]],
        ..HifiganConfig::audioldm()
    }
}

/// 320 samples at 24 kHz to eight channels.
pub fn sound() -> EncodecConfig {
    EncodecConfig { num_filters: 4, hidden_size: 8, num_lstm_layers: 1, ..EncodecConfig::default() }
}

/// First values of parameters by name, with their shapes.
pub fn weights(parameters: &[Parameter]) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let numbered = parameters.iter().enumerate();
    numbered.map(|(i, p)| (p.name.clone(), (p.shape.clone(), p.initial(7, i)))).collect()
}

fn write(folder: &Path, kind: &str, config: &impl Serialize, parameters: &[Parameter]) -> String {
    std::fs::create_dir_all(folder).unwrap();
    let path = folder.join("model.safetensors");
    let values = weights(parameters);
    let tensors: Vec<TensorRef<'_>> = values
        .iter()
        .map(|(name, (shape, values))| TensorRef { name, shape: shape.clone(), values })
        .collect();
    write_tensors(&path, &BTreeMap::new(), &tensors).unwrap();
    let record = serde_json::json!({
        "format": "avdit-network/1", "kind": kind, "config": config, "weights_sha256": file_sha256(&path).unwrap(),
        "source": { "file": "random.bin", "sha256": "0", "names": "diffusers" },
    });
    std::fs::write(folder.join("network.json"), record.to_string()).unwrap();
    text(folder)
}

/// The folders of all networks.
pub struct Folders {
    pub video: String,
    pub mel: String,
    pub vocoder: String,
    pub encodec: String,
}

impl Folders {
    pub fn write(root: &Path) -> Self {
        let at = |name: &str| -> PathBuf { root.join(name) };
        let encodec = [
            encodec::Encoder::new(&sound(), 1).unwrap().parameters(),
            encodec::Decoder::new(&sound(), 1).unwrap().parameters(),
            // An imported codec has its codebooks beside the networks.
            encodec::Quantizer::parameters(&sound(), 2),
        ];
        Self {
            video: write(&at("video"), "vae", &video(), &video().parameters()),
            mel: write(&at("mel"), "vae", &mel(), &mel().parameters()),
            vocoder: write(&at("vocoder"), "hifigan", &vocoder(), &hifigan::parameters(&vocoder())),
            encodec: write(&at("encodec"), "encodec", &sound(), &encodec.concat()),
        }
    }
}
