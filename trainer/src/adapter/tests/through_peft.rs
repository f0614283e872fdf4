//! To peft and back.

use super::super::peft;
use super::*;
use avdit_nets::av_dit::FusionForm;

/// Changes the JSON of a site.
fn change(folder: &Path, site: &str, change: impl FnOnce(&mut Value)) {
    let path = folder.join(site).join("adapter_config.json");
    let mut config: Value = read_json(&path).unwrap();
    change(&mut config);
    std::fs::write(path, config.to_string()).unwrap();
}

#[test]
fn lora_goes_to_peft_and_comes_back_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let (_, _, adapter) = both(folder.path());
    let out = folder.path().join("peft");
    let sites = peft::write(&adapter, &out).unwrap();
    assert_eq!(
        sites.iter().map(|site| (site.name, site.rank)).collect::<Vec<_>>(),
        [("audio", 3), ("fusion", 2)]
    );

    let config: Value = read_json(&out.join("audio/adapter_config.json")).unwrap();
    assert_eq!((&config["peft_type"], &config["bias"]), (&"LORA".into(), &"none".into()));
    assert_eq!((&config["r"], config["lora_alpha"].as_f64()), (&3.into(), Some(0.7 * 3.0)));
    assert_eq!(config["target_modules"], serde_json::json!(["attn.proj", "attn.qkv"]));
    assert_eq!(config["rank_pattern"], serde_json::json!({ "attn.qkv": 9 }));
    assert_eq!(config["alpha_pattern"], serde_json::json!({ "attn.qkv": 0.7 * 9.0 }));
    let file = TensorFile::read(&out.join("audio/adapter_model.safetensors")).unwrap();
    assert_eq!(file.names().len(), 2 * 2 * 2);
    let shape =
        |name: &str| file.shape(&format!("base_model.model.blocks.1.attn.{name}.weight")).unwrap().to_vec();
    assert_eq!([shape("qkv.lora_A"), shape("qkv.lora_B")], [vec![9, 16], vec![48, 9]]);
    assert_eq!([shape("proj.lora_A"), shape("proj.lora_B")], [vec![3, 16], vec![16, 3]]);

    let mut emptied = adapter.clone();
    for (_, values) in emptied.weights.iter_mut().filter(|(name, _)| name.contains("_lora.")) {
        values.fill(0.5);
    }
    let mut back = peft::read(&out, &emptied).unwrap();
    let record = back.config.provenance.remove("peft").unwrap();
    assert_eq!(record["fusion"].as_str().unwrap().len(), 64);
    assert!(back == adapter);
    assert!(peft::read(&out, &adapter).unwrap() == adapter, "into itself not even a word is added");
    peft::write(&adapter, &out).unwrap();
}

#[test]
fn what_was_trained_on_in_peft_keeps_its_function_with_larger_ranks() {
    let folder = tempfile::tempdir().unwrap();
    let (_, _, adapter) = both(folder.path());
    let out = folder.path().join("peft");
    peft::write(&adapter, &out).unwrap();
    let path = out.join("fusion/adapter_model.safetensors");
    let file = TensorFile::read(&path).unwrap();
    let trained = "base_model.model.blocks.1.attn.qkv.lora_B.weight";
    let all: Vec<_> = file
        .names()
        .into_iter()
        .map(|name| {
            let (shape, mut values) = file.tensor(&name).unwrap();
            if name == trained {
                values[5] = 0.25; // row 0 is q's, column 5 the last of v's A
            }
            (name, shape, values)
        })
        .collect();
    let refs: Vec<_> =
        all.iter().map(|(name, shape, values)| TensorRef { name, shape: shape.clone(), values }).collect();
    write_tensors(&path, &BTreeMap::new(), &refs).unwrap();

    let back = peft::read(&out, &adapter).unwrap();
    let network = &back.config.network;
    assert_eq!((network.audio_rank, network.fusion_rank, network.lora_scale), (3, 6, 0.7));
    back.write(&folder.path().join("new")).unwrap();
    // B·A of q in that block is what it was, and 0.25 times the last row of v's A in its first row.
    let product = |adapter: &Adapter, rank: usize| -> Vec<f64> {
        let factor = |which: &str| &adapter.weights[&format!("blocks.1.fusion_lora.q.{which}")];
        lora_product(factor("A"), factor("B"), rank)
    };
    let mut expected = product(&adapter, 2);
    let v = &adapter.weights["blocks.1.fusion_lora.v.A"][16..];
    expected.iter_mut().zip(v).for_each(|(x, v)| *x += 0.25 * f64::from(*v));
    assert_eq!(product(&back, 6), expected);
}

fn lora_product(a: &[f32], b: &[f32], rank: usize) -> Vec<f64> {
    avdit_nets::lora::merge(&vec![0f32; 256], [a, b], rank, 1.0).unwrap()
}

#[test]
fn options_that_av_dit_does_not_have_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (_, _, adapter) = both(folder.path());
    let out = folder.path().join("peft");
    type Change = fn(&mut Value);
    for (site, edit, expected) in [
        ("audio", (|c| c["peft_type"] = "IA3".into()) as Change, "peft_type is \"IA3\""),
        ("audio", |c| c["use_dora"] = true.into(), "use_dora is true, and only false"),
        ("fusion", |c| c["use_rslora"] = true.into(), "use_rslora is true"),
        ("fusion", |c| c["bias"] = "all".into(), "bias is \"all\", and only \"none\""),
        ("audio", |c| c["modules_to_save"] = serde_json::json!(["x"]), "modules_to_save is [\"x\"]"),
        (
            "audio",
            |c| c["rank_pattern"] = serde_json::json!({ "attn.(q|k)": 9 }),
            "\"attn.(q|k)\" for r is no name",
        ),
        (
            "audio",
            |c| c["rank_pattern"]["blocks.1.attn.qkv"] = 8.into(),
            "r of blocks.1.attn.qkv is 9 by \"attn.qkv\" and 8",
        ),
        ("audio", |c| c["r"] = 4.into(), "base_model.model.blocks.0.attn.proj.lora_A.weight"),
        ("audio", |c| c["lora_alpha"] = 5.into(), "the LoRA of blocks.0.attn.qkv has scale 0.7"),
        ("audio", |c| c["r"] = "x".into(), "invalid type"),
    ] {
        peft::write(&adapter, &out).unwrap();
        change(&out, site, edit);
        let text = said(peft::read(&out, &adapter));
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn one_scale_for_all_becomes_the_networks() {
    let folder = tempfile::tempdir().unwrap();
    let (_, _, adapter) = both(folder.path());
    let out = folder.path().join("peft");
    peft::write(&adapter, &out).unwrap();
    for (site, rank) in [("audio", 3), ("fusion", 2)] {
        change(&out, site, |config| {
            config["lora_alpha"] = (2 * rank).into();
            config["alpha_pattern"] =
                serde_json::json!({ "^blocks\\.0\\.attn\\.qkv": 6 * rank, "blocks.1.attn.qkv": 6 * rank });
        });
    }
    assert_eq!(peft::read(&out, &adapter).unwrap().config.network.lora_scale, 2.0);
}

#[test]
fn sites_must_be_those_of_the_adapter_and_other_folders_are_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let (_, path, adapter) = both(folder.path());
    let out = folder.path().join("peft");
    peft::write(&adapter, &out).unwrap();
    assert!(said(peft::write(&adapter, &path)).contains("holds something other than peft adapters"));
    let mut alone = adapter.clone();
    alone.config.network.parts.fusion = false;
    let mut frozen = adapter.clone();
    frozen.config.network.fusion_form = FusionForm::Frozen;
    for without in [&alone, &frozen] {
        let text = said(peft::read(&out, without));
        assert!(text.contains("peft: has folder fusion, and the adapter has no LoRA of that site"), "{text}");
    }
    std::fs::remove_dir_all(out.join("audio")).unwrap();
    assert!(said(peft::read(&out, &adapter)).contains("has no folder audio, and the adapter has LoRA"));
    alone.config.network.parts.audio_lora = false;
    assert!(said(peft::write(&alone, &out)).contains("has no LoRA"));
}
