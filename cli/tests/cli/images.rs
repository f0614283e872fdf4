//! Images of an imported DiT.

use crate::fixture::{avdit, text};
use crate::imported::{Tensors, official, write};
use avdit_media::picture::read_png;
use avdit_media::tensors::TensorFile;
use avdit_nets::vae::VaeConfig;
use serde_json::{Value, json};
use std::path::Path;

fn latents(folder: &Path) -> Vec<f32> {
    TensorFile::read(&folder.join("latents.safetensors")).unwrap().tensor("latents").unwrap().1
}

#[test]
fn an_imported_dit_makes_images_whose_bits_do_not_depend_on_their_company() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(&at("dit.safetensors"), &official());
    let dit = text(&at("dit"));
    avdit(&["import", &text(&at("dit.safetensors")), "-o", &dit, "--heads", "2"]).ok();
    let make = |name: &str, flags: &[&str]| {
        let arguments =
            ["images", &dit, "-o", &text(&at(name)), "--steps", "4", "--seed", "9", "--threads", "1"];
        avdit(&[&arguments, flags].concat())
    };
    let said = make("all", &["--classes", "1,4,2", "--json"]).ok();
    let recipe: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&recipe["schema"], &recipe["sampler"]), (&json!("avdit-images/1"), &json!("ddpm")));
    assert_eq!((&recipe["guidance"], &recipe["guided_channels"]), (&json!(4.0), &json!(3)));
    assert!(recipe["step_ms"]["p50"].as_f64().unwrap() > 0.0);
    let all = latents(&at("all"));
    assert_eq!(all.len(), 3 * 4 * 8 * 8);
    // Again alone, at the same index.
    make("one", &["--classes", "4", "--first-item", "1"]).ok();
    assert_eq!(latents(&at("one")), all[256..512]);
    assert!(at("one/0001-class-4.png").is_file() && at("one/sheet.png").is_file());
    assert_eq!(read_png(&at("all/sheet.png")).unwrap().1, (2 * 64 + 2, 2 * 64 + 2));
    // The fourth channel is guided only where it is asked for, and that changes all later steps.
    make("four", &["--classes", "1,4,2", "--guided-channels", "4"]).ok();
    assert_ne!(latents(&at("four")), all);
    make("plain", &["--classes", "1", "--guidance", "1", "--sampler", "dpm++2m"]).ok();
    assert!(latents(&at("plain")).iter().all(|x| x.is_finite()));

    let vae = VaeConfig {
        block_out_channels: vec![8, 16],
        norm_num_groups: 4,
        down_block_types: vec!["DownEncoderBlock2D".into(); 2],
        up_block_types: vec!["UpDecoderBlock2D".into(); 2],
        ..VaeConfig::default()
    };
    let tensors: Tensors =
        vae.parameters().into_iter().map(|p| (p.name.clone(), (p.shape.clone(), p.random(3)))).collect();
    write(&at("vae.safetensors"), &tensors);
    std::fs::write(at("config.json"), serde_json::to_string(&vae).unwrap()).unwrap();
    let decoder = text(&at("vae"));
    avdit(&["import", &text(&at("vae.safetensors")), "-o", &decoder]).ok();
    make("one", &["--classes", "4", "--first-item", "1", "--vae", &decoder]).ok();
    assert_eq!(read_png(&at("one/0001-class-4.png")).unwrap().1, (16, 16), "replaced, and decoded");

    make("no", &["--classes", "5"]).refused(2, &["5 is no class of this DiT, whose classes are 0 to 4"]);
    make("no", &["--classes", "1", "--guided-channels", "5"]).refused(2, &["have 4 channels"]);
    make("no", &["--classes", "1", "--vae", &dit]).refused(3, &["is of kind dit, expected vae"]);
    make("dit", &["--classes", "1"]).refused(3, &["dit: holds something other than"]);
    assert!(!at("no").exists());
    assert!(at("dit/network.json").is_file());
}
