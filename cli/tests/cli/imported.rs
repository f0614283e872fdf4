//! Public checkpoints: taken in full or refused in full, and exported.

use crate::fixture::{avdit, text};
use avdit_media::tensors::{TensorFile, TensorRef, write_tensors};
use avdit_nets::dit::position_code;
use avdit_nets::{DitConfig, Parameter};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

pub type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

pub fn config() -> DitConfig {
    DitConfig {
        width: 16,
        depth: 2,
        heads: 2,
        mlp_ratio: 4.0,
        patch: 2,
        channels: 4,
        size: [8, 8],
        classes: 5,
        null_class: true,
        learned_variance: true,
    }
}

pub fn random(parameters: Vec<Parameter>) -> Tensors {
    parameters.into_iter().map(|p| (p.name.clone(), (p.shape.clone(), p.random(3)))).collect()
}

/// A DiT as its authors publish it, the position code among its tensors.
pub fn official() -> Tensors {
    let config = config();
    let mut tensors = random(config.parameters());
    tensors.insert("pos_embed".into(), (vec![1, config.tokens(), config.width], position_code(&config)));
    tensors
}

pub fn write(path: &Path, tensors: &Tensors) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let list: Vec<_> = tensors
        .iter()
        .map(|(name, (shape, values))| TensorRef { name, shape: shape.clone(), values })
        .collect();
    write_tensors(path, &BTreeMap::new(), &list).unwrap();
}

/// The same under diffusers' names: q, k and v apart, the embedders in every block.
fn diffusers(official: &Tensors) -> Tensors {
    let mut made = Tensors::new();
    for (name, (shape, values)) in official {
        let whole = (shape.clone(), values.clone());
        let (layer, kind) = name.rsplit_once('.').unwrap_or((name, ""));
        let embedder = |made: &mut Tensors, layer: &str| {
            for i in 0..config().depth {
                made.insert(format!("transformer_blocks.{i}.norm1.emb.{layer}.{kind}"), whole.clone());
            }
        };
        match layer {
            "pos_embed" => {}
            "x_embedder.proj" => drop(made.insert(format!("pos_embed.proj.{kind}"), whole)),
            "t_embedder.mlp.0" => embedder(&mut made, "timestep_embedder.linear_1"),
            "t_embedder.mlp.2" => embedder(&mut made, "timestep_embedder.linear_2"),
            "y_embedder.embedding_table" => embedder(&mut made, "class_embedder.embedding_table"),
            "final_layer.adaLN_modulation.1" => drop(made.insert(format!("proj_out_1.{kind}"), whole)),
            "final_layer.linear" => drop(made.insert(format!("proj_out_2.{kind}"), whole)),
            _ => {
                let mut parts = layer.splitn(3, '.');
                let (_, i, layer) = (parts.next(), parts.next().unwrap(), parts.next().unwrap());
                let block = format!("transformer_blocks.{i}");
                let new = match layer {
                    "attn.qkv" => {
                        let mut part = shape.clone();
                        part[0] /= 3;
                        for (values, to) in values.chunks(values.len() / 3).zip(["to_q", "to_k", "to_v"]) {
                            made.insert(
                                format!("{block}.attn1.{to}.{kind}"),
                                (part.clone(), values.to_vec()),
                            );
                        }
                        continue;
                    }
                    "attn.proj" => "attn1.to_out.0",
                    "mlp.fc1" => "ff.net.0.proj",
                    "mlp.fc2" => "ff.net.2",
                    "adaLN_modulation.1" => "norm1.linear",
                    other => panic!("{other}"),
                };
                made.insert(format!("{block}.{new}.{kind}"), whole);
            }
        }
    }
    made
}

pub fn record(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("network.json")).unwrap()).unwrap()
}

#[test]
fn a_dit_under_either_names_is_the_same_and_its_graph_computes_what_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (file, other) = (at("official.safetensors"), at("public/diffusers.safetensors"));
    write(&file, &official());
    write(&other, &diffusers(&official()));
    let class = json!({ "_class_name": "DiTTransformer2DModel", "num_attention_heads": 2, "sample_size": 8 });
    std::fs::write(at("public/config.json"), class.to_string()).unwrap();
    avdit(&["import", &text(&file), "-o", &text(&at("a")), "--heads", "2"]).ok();
    let said = avdit(&["import", &text(&other), "-o", &text(&at("b")), "--json"]).ok();
    let weights = |name: &str| std::fs::read(at(name).join("model.safetensors")).unwrap();
    assert!(weights("a") == weights("b"), "bit for bit");
    let (a, b) = (record(&at("a")), record(&at("b")));
    assert_eq!((&a["format"], &a["kind"]), (&json!("avdit-network/1"), &json!("dit")));
    assert_eq!(a["config"], serde_json::to_value(config()).unwrap());
    assert_eq!((&a["config"], &a["weights_sha256"]), (&b["config"], &b["weights_sha256"]));
    assert_eq!(a["source"]["file"], "official.safetensors");
    assert_eq!([&a["source"]["names"], &b["source"]["names"]], ["official", "diffusers"]);
    let said: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(said["parameters"], config().parameter_count());
    // What this project writes, without a position code, is taken too.
    let own = text(&at("a/model.safetensors"));
    avdit(&["import", &own, "-o", &text(&at("c")), "--heads", "2"]).refused(3, &["--size"]);
    avdit(&["import", &own, "-o", &text(&at("c")), "--heads", "2", "--size", "8x8"]).ok();
    assert!(weights("a") == weights("c"));

    let model = text(&at("model"));
    let record = avdit(&["export", &text(&at("a")), "-o", &model, "--check", "tract", "--json"]).ok();
    let record: Value = serde_json::from_str(&record.out).unwrap();
    let parity = &record["graphs"][0]["parity"][0];
    assert_eq!((&parity["passed"], &parity["candidate"]), (&json!(true), &json!("tract")));
    assert_eq!(parity["cases"].as_array().unwrap().len(), 4, "two outputs, twice");
    assert!(at("model/dit.onnx").is_file());
    avdit(&["export", &text(&at("a")), "-o", &model, "--check", "none", "--batch", "2"]).ok();
    avdit(&["export", &text(&at("a")), "-o", &model, "--raw", "--merge", "--frames", "3"])
        .refused(2, &["--raw, --merge, --frames: of no effect on an imported dit"]);
    // Nobody's folder is taken.
    avdit(&["import", &own, "-o", &model, "--heads", "2", "--size", "8x8"])
        .refused(3, &["model: holds something other than"]);
    let mut changed = weights("a");
    *changed.last_mut().unwrap() ^= 1;
    std::fs::write(at("a/model.safetensors"), changed).unwrap();
    avdit(&["export", &text(&at("a")), "-o", &model]).refused(3, &["SHA-256", "avdit import"]);
}

#[test]
fn all_that_does_not_fit_is_in_one_table_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let refused = |tensors: &Tensors, flags: &[&str], parts: &[&str]| {
        let file = folder.path().join("dit.safetensors");
        write(&file, tensors);
        let arguments = ["import", &text(&file), "-o", &text(&out)];
        let said = avdit(&[&arguments, flags].concat()).refused(3, &["dit.safetensors"]).refused(3, parts);
        assert!(!out.exists());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left");
        said
    };
    let mut tensors = official();
    tensors.remove("blocks.1.attn.proj.weight");
    tensors.insert("blocks.1.extra".into(), (vec![2, 3], vec![0.0; 6]));
    tensors.insert("blocks.0.mlp.fc2.bias".into(), (vec![17], vec![0.0; 17]));
    let said = refused(&tensors, &["--heads", "2"], &["3 tensors do not fit a DiT of width 16, 2 blocks"]);
    let lines: Vec<String> =
        said.err.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for row in [
        "blocks.1.attn.proj.weight missing [16, 16] -",
        "blocks.1.extra unknown - [2, 3]",
        "blocks.0.mlp.fc2.bias misshapen [16] [17]",
    ] {
        assert!(lines.iter().any(|line| line == row), "no '{row}' in {}", said.err);
    }
    // A part of q, k and v, and embedders that differ.
    let mut apart = diffusers(&official());
    apart.remove("transformer_blocks.1.attn1.to_k.weight");
    let sized = ["--heads", "2", "--size", "8x8"];
    refused(&apart, &sized, &["1 tensors do not fit", "transformer_blocks.1.attn1.to_k.weight"]);
    let mut apart = diffusers(&official());
    apart.get_mut("transformer_blocks.1.norm1.emb.timestep_embedder.linear_1.bias").unwrap().1[0] += 1.0;
    refused(&apart, &sized, &["transformer_blocks.1.norm1.emb.timestep_embedder.linear_1.bias differs from"]);
    // Another position code, what is no number, and heads that nothing tells.
    let mut other = official();
    other.get_mut("pos_embed").unwrap().1[5] += 0.01;
    refused(&other, &["--heads", "2"], &["pos_embed differs by 1.0e-2", "--size"]);
    let mut other = official();
    other.get_mut("t_embedder.mlp.0.bias").unwrap().1[1] = f32::NAN;
    refused(&other, &["--heads", "2"], &["tensor t_embedder.mlp.0.bias: value 1 is NaN"]);
    refused(&official(), &[], &["width 16", "--heads"]);
    let mut other = official();
    other.remove("x_embedder.proj.weight");
    refused(&other, &["--heads", "2"], &["x_embedder.proj.weight: missing"]);
    let stranger = [("layers.0.weight".to_owned(), (vec![1], vec![1.0]))].into();
    refused(&stranger, &[], &["candidates: dit, vae, hifigan, encodec", "--as"]);
    refused(&stranger, &["--as", "vae"], &["config.json", "--config"]);
}

#[test]
fn a_checkpoint_of_pytorch_is_read_whatever_its_types_views_and_company() {
    let folder = tempfile::tempdir().unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/dit-tiny.pt");
    let out = folder.path().join("dit");
    let arguments = ["import", &text(&file), "-o", &text(&out), "--heads", "1", "--size", "4x4"];
    avdit(&arguments).ok();
    assert_eq!(record(&out)["source"]["key"], "ema");
    let made = TensorFile::read(&out.join("model.safetensors")).unwrap();
    assert_eq!(made.names().len(), 21);
    for name in made.names() {
        let (_, values) = made.tensor(&name).unwrap();
        for (i, value) in values.into_iter().enumerate() {
            let expected = (((7 * i + name.len()) % 64) as f32 - 32.0) / 64.0;
            assert_eq!(value, expected, "{name}, {i}");
        }
    }
    avdit(&[&arguments[..], &["--key", "model"]].concat())
        .refused(3, &["which network it is cannot be told from its names (x, …)"]);
    avdit(&[&arguments[..], &["--key", "best"]].concat()).refused(3, &["key best", "ema, model"]);
    let cut = folder.path().join("cut.pt");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    avdit(&["import", &text(&cut), "-o", &text(&out)]).refused(3, &["cut.pt", "zip"]);
    std::fs::write(&cut, b"\x80\x02\x8a\nl\xfc\x9c\x46\xf9").unwrap();
    avdit(&["import", &text(&cut), "-o", &text(&out)]).refused(3, &["cut.pt", "before version 1.6"]);
}

/// CRC-32 of a part of a zip archive.
fn crc(bytes: &[u8]) -> u32 {
    let bit = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0u32, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| bit(crc)))
}

/// A zip archive of one part, stored as it is.
fn zip(name: &str, content: &[u8]) -> Vec<u8> {
    let (crc, len) = (crc(content).to_le_bytes(), (content.len() as u32).to_le_bytes());
    let common =
        [&[20, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &crc, &len, &len, &[name.len() as u8, 0, 0, 0]].concat();
    let local = [b"PK\x03\x04", common.as_slice(), name.as_bytes(), content].concat();
    let central = [b"PK\x01\x02\x14\x00", common.as_slice(), &[0; 14], name.as_bytes()].concat();
    let [size, place] = [central.len(), local.len()].map(|x| (x as u32).to_le_bytes());
    let end = [&b"PK\x05\x06\0\0\0\0\x01\0\x01\0"[..], &size, &place, &[0, 0]].concat();
    [local, central, end].concat()
}

#[test]
fn what_a_pickle_would_run_is_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let mark = text(&folder.path().join("mark"));
    let word = |text: &str| [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    // system("touch …"), as the value of a tensor, beside tensors' settings, and as the state of an object.
    let call = [b"cposix\nsystem\n", word(&format!("touch {mark}")).as_slice(), b"\x85R"].concat();
    let item = [b"\x80\x02}", word("w").as_slice(), &call, b"s."].concat();
    let list = [b"\x80\x02}", word("args").as_slice(), b"](", &call, b"es."].concat();
    let state = [b"\x80\x02cargparse\nNamespace\n)\x81}", word("x").as_slice(), &call, b"sb."].concat();
    for (name, pickle) in [
        ("item.pt", item),
        ("list.pt", list),
        ("state.pth", state),
        ("bare.bin", [b"\x80\x02", call.as_slice(), b"."].concat()),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, zip("archive/data.pkl", &pickle)).unwrap();
        let out = text(&folder.path().join("out"));
        avdit(&["import", &text(&path), "-o", &out]).refused(3, &[name, "posix.system", "it was not called"]);
    }
    // Protocols that PyTorch does not write.
    let path = folder.path().join("other.pt");
    std::fs::write(&path, zip("archive/data.pkl", b"\x80\x04\x8c\x05posix\x8c\x06system\x93.")).unwrap();
    avdit(&["import", &text(&path), "-o", &text(&folder.path().join("out"))])
        .refused(3, &["other.pt", "nothing of it was run"]);
    assert!(!Path::new(&mark).exists());
}
