//! Public codecs: their forms, their former names, and one network of a checkpoint that holds several.

use crate::fixture::{avdit, text};
use crate::imported::{Tensors, random, record, write};
use avdit_media::tensors::TensorFile;
use avdit_nets::Network;
use avdit_nets::encodec::{Decoder, EncodecConfig, Encoder, Quantizer};
use avdit_nets::hifigan::{self, HifiganConfig};
use avdit_nets::vae::VaeConfig;
use serde_json::{Value, json};

/// Each weight of some layers as length and direction.
fn normed(tensors: Tensors, names: [&str; 2], is_normed: impl Fn(&str) -> bool) -> Tensors {
    let mut made = Tensors::new();
    for (name, (shape, values)) in tensors {
        let Some(layer) = name.strip_suffix("weight").filter(|layer| is_normed(layer)) else {
            made.insert(name, (shape, values));
            continue;
        };
        let rows = values.chunks(values.len() / shape[0]);
        let lengths = rows.map(|row| row.iter().map(|x| x * x).sum::<f32>().sqrt()).collect();
        let mut narrow = vec![1; shape.len()];
        narrow[0] = shape[0];
        made.insert(format!("{layer}{}", names[0]), (narrow, lengths));
        made.insert(format!("{layer}{}", names[1]), (shape, values.iter().map(|x| 3.0 * x).collect()));
    }
    made
}

/// Imports a codec, compares its tensors with those of the network, exports it; returns the graphs' files.
fn codec(config: &Value, published: &Tensors, expected: &Tensors, flags: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(&at("public/weights.safetensors"), published);
    std::fs::write(at("public/config.json"), config.to_string()).unwrap();
    avdit(&["import", &text(&at("public/weights.safetensors")), "-o", &text(&at("net"))]).ok();
    let made = TensorFile::read(&at("net/model.safetensors")).unwrap();
    assert_eq!(made.names(), expected.keys().cloned().collect::<Vec<_>>());
    for (name, (shape, values)) in expected {
        let (found, got) = made.tensor(name).unwrap();
        assert_eq!(&found, shape, "{name}");
        for (got, expected) in got.iter().zip(values) {
            assert!((got - expected).abs() <= 1e-6 * expected.abs().max(1e-3), "{name}: {got} {expected}");
        }
    }
    avdit(&["export", &text(&at("net")), "-o", &text(&at("model"))]).refused(2, &["is needed"]);
    let arguments = ["export", &text(&at("net")), "-o", &text(&at("model")), "--json"];
    let said = avdit(&[&arguments, flags].concat()).ok();
    let record: Value = serde_json::from_str(&said.out).unwrap();
    let graphs = record["graphs"].as_array().unwrap();
    assert!(graphs.iter().all(|graph| graph["parity"][0]["passed"] == true));
    graphs.iter().map(|graph| graph["files"][0]["name"].as_str().unwrap().to_owned()).collect()
}

/// The names that the program has which Stable Diffusion was published with.
fn compvis(config: &VaeConfig, name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    let last = config.block_out_channels.len() - 1;
    let name = match parts[..] {
        ["encoder", "down_blocks", i, "resnets", j, ref rest @ ..] => {
            format!("encoder.down.{i}.block.{j}.{}", rest.join("."))
        }
        ["encoder", "down_blocks", i, _, _, ref rest @ ..] => {
            format!("encoder.down.{i}.downsample.{}", rest.join("."))
        }
        ["decoder", "up_blocks", i, kind, j, ref rest @ ..] => {
            let i = last - i.parse::<usize>().unwrap();
            let kind = if kind == "resnets" { format!("block.{j}") } else { "upsample".into() };
            format!("decoder.up.{i}.{kind}.{}", rest.join("."))
        }
        [side, "mid_block", "resnets", j, ref rest @ ..] => {
            format!("{side}.mid.block_{}.{}", j.parse::<usize>().unwrap() + 1, rest.join("."))
        }
        [side, "mid_block", _, _, ref layer @ .., kind] => {
            let layer = match layer.join(".").as_str() {
                "to_out.0" => "proj_out".to_owned(),
                "group_norm" => "norm".to_owned(),
                other => other.replace("to_", ""),
            };
            format!("{side}.mid.attn_1.{layer}.{kind}")
        }
        _ => name.to_owned(),
    };
    name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
}

/// An autoencoder that is one of several networks in a file, under its original names.
fn whole_checkpoint(config: &Value, vae: &VaeConfig, expected: &Tensors) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| text(&folder.path().join(name));
    let inside = |name: &String| format!("first_stage_model.{}", compvis(vae, name));
    let mut whole: Tensors = expected.iter().map(|(name, tensor)| (inside(name), tensor.clone())).collect();
    // Its attention is made of convolutions over one place.
    let matrices =
        whole.iter_mut().filter(|(name, (shape, _))| name.contains(".attn_1.") && shape.len() == 2);
    assert_eq!(matrices.map(|(_, (shape, _))| shape.extend([1, 1])).count(), 8);
    // An AudioLDM has its vocoder beside it.
    for part in ["conv_pre.bias", "ups.0.bias"] {
        whole.insert(format!("first_stage_model.vocoder.{part}"), (vec![1], vec![1.0]));
    }
    assert!(whole.contains_key("first_stage_model.decoder.mid.attn_1.proj_out.weight"));
    for other in ["model.diffusion_model.out.0.weight", "first_stage_model.loss.logvar", "alphas_cumprod"] {
        whole.insert(other.into(), (vec![1], vec![1.0]));
    }
    write(&folder.path().join("whole.safetensors"), &whole);
    std::fs::write(at("vae.json"), config.to_string()).unwrap();
    let import = ["import", &at("whole.safetensors"), "--config", &at("vae.json"), "-o", &at("net")];
    let with = |more: &[&str]| avdit(&[&import[..], more].concat());
    with(&[]).refused(3, &["5 tensors do not fit", "alphas_cumprod", "hint: --within and --leave-out"]);
    with(&["--within", "vae."])
        .refused(3, &["--within vae.: no tensor of", "alphas_cumprod, first_stage_model., model."]);
    let within = ["--within", "first_stage_model."];
    with(&within).refused(3, &["3 tensors do not fit", "loss.logvar", "vocoder.ups.0.bias"]);
    let both = [&within[..], &["--leave-out", "loss.", "--leave-out", "vocoder."]].concat();
    with(&[&both[..], &["--leave-out", "ema."]].concat())
        .refused(3, &["--leave-out ema.: no tensor of", "decoder., encoder., loss."]);
    let said = with(&both).ok().out;
    assert!(
        said.contains("under first_stage_model.") && said.contains("without those under loss."),
        "{said}"
    );
    let source = &record(&folder.path().join("net"))["source"];
    assert_eq!(
        (&source["within"], &source["left_out"]),
        (&json!("first_stage_model."), &json!(["loss.", "vocoder."]))
    );
    let made = TensorFile::read(&folder.path().join("net/model.safetensors")).unwrap();
    assert_eq!(made.names(), expected.keys().cloned().collect::<Vec<_>>());
    for (name, (shape, values)) in expected {
        assert!(made.tensor(name).unwrap() == (shape.clone(), values.clone()), "{name}");
    }
    // A configuration that is known by name: of another size than the file's, and of another kind.
    let known = ["import", &at("whole.safetensors"), "--config", "stable-diffusion", "-o", &at("x")];
    avdit(&[&known[..], &both].concat()).refused(3, &["tensors do not fit", "misshapen"]);
    avdit(&[&known[..], &both, &["--as", "hifigan"]].concat())
        .refused(3, &["--config stable-diffusion is of kind vae, --as says hifigan"]);
}

#[test]
fn public_codecs_are_imported_from_their_forms_and_exported() {
    let vae = VaeConfig {
        block_out_channels: vec![8, 16],
        norm_num_groups: 4,
        down_block_types: vec!["DownEncoderBlock2D".into(); 2],
        up_block_types: vec!["UpDecoderBlock2D".into(); 2],
        ..VaeConfig::default()
    };
    let expected = random(vae.parameters());
    let former = |name: &str| {
        [("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")]
            .iter()
            .fold(name.to_owned(), |name, (new, old)| name.replace(&format!(".{new}."), &format!(".{old}.")))
    };
    let old: Tensors = expected.iter().map(|(name, tensor)| (former(name), tensor.clone())).collect();
    assert_ne!(old, expected);
    let mut config = serde_json::to_value(&vae).unwrap();
    config["_class_name"] = json!("AutoencoderKL");
    let files = codec(&config, &old, &expected, &["--size", "4x3", "--check", "tract"]);
    assert_eq!(files, ["vae-encoder.onnx", "vae-decoder.onnx"]);

    whole_checkpoint(&config, &vae, &expected);

    let vocoder = HifiganConfig {
        model_in_dim: 4,
        upsample_initial_channel: 8,
        upsample_rates: vec![3, 2],
        upsample_kernel_sizes: vec![7, 4],
        resblock_kernel_sizes: vec![3],
        resblock_dilation_sizes: vec![vec![1, 3]],
        ..HifiganConfig::default()
    };
    let expected = random(hifigan::parameters(&vocoder));
    let published = normed(expected.clone(), ["weight_g", "weight_v"], |_| true);
    let config = serde_json::to_value(&vocoder).unwrap();
    let files = codec(&config, &published, &expected, &["--frames", "5", "--check", "tract"]);
    assert_eq!(files, ["hifigan.onnx"]);
    // As its authors publish it: other names, no norm of the bands, and a configuration in their words.
    let rename = |(name, tensor): (&String, &_)| (name.replace("upsampler.", "ups."), Clone::clone(tensor));
    let mut official: Tensors = published.iter().map(rename).collect();
    let mut expected = expected;
    for (name, value) in [("mean", 0.0), ("scale", 1.0)] {
        official.remove(name).unwrap();
        expected.insert(name.into(), (vec![4], vec![value; 4]));
    }
    let mut config = config;
    let fields = config.as_object_mut().unwrap();
    let bands = fields.remove("model_in_dim").unwrap();
    fields.insert("num_mels".into(), bands);
    fields.remove("normalize_before").unwrap();
    let files = codec(&config, &official, &expected, &["--frames", "5", "--check", "tract"]);
    assert_eq!(files, ["hifigan.onnx"]);

    let encodec = EncodecConfig {
        num_filters: 4,
        hidden_size: 6,
        upsampling_ratios: vec![3, 2],
        codebook_size: 8,
        ..EncodecConfig::default()
    };
    let parts = [
        Encoder::new(&encodec, 1).unwrap().parameters(),
        Decoder::new(&encodec, 1).unwrap().parameters(),
        Quantizer::parameters(&encodec, 2),
    ];
    let expected = random(parts.concat());
    let names = ["parametrizations.weight.original0", "parametrizations.weight.original1"];
    let mut published = normed(expected.clone(), names, |layer| layer.ends_with(".conv."));
    for kind in ["inited", "cluster_size", "embed_avg"] {
        published.insert(format!("quantizer.layers.1.codebook.{kind}"), (vec![1], vec![1.0]));
    }
    let config = serde_json::to_value(&encodec).unwrap();
    let files = codec(&config, &published, &expected, &["--frames", "4", "--check", "tract"]);
    assert_eq!(files, ["encodec-encoder.onnx", "encodec-decoder.onnx"]);
}
