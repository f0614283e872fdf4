//! `avdit images`: an imported DiT → images of classes.

mod model;
mod pictures;

use crate::args::ImagesArgs;
use crate::cancel;
use crate::exit::{Interrupted, Usage};
use crate::output::{json_text, say, say_json};
use crate::progress::Stage;
use anyhow::{Context, Result, bail};
use avdit_core::images::{ImageGuidance, ImageRequest, sample_image};
use avdit_core::sampling::Event;
use avdit_media::draft::FolderDraft;
use avdit_nets::DitConfig;
use avdit_runtime::Summary;
use avdit_trainer::Imported;
use avdit_trainer::imported::WEIGHTS_FILE;
use model::{Decoder, Graph};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

/// The schema of `recipe.json`.
const SCHEMA: &str = "avdit-images/1";

pub fn run(args: &ImagesArgs) -> Result<()> {
    args.engine.setup.check(&[args.engine.engine])?;
    let dit = Imported::open(&args.dit)?;
    let config = dit.dit()?;
    let request = request(args, config)?;
    let vae = args.vae.as_deref().map(Imported::open).transpose()?;
    if let Some(vae) = &vae {
        check_vae(vae, &dit)?;
    }
    let draft = FolderDraft::begin(&args.out, "a folder of images that this command made", is_own)?;
    let mut graph = Graph::open(&dit, config, request.guidance.scale != 1.0, &args.engine, draft.path())?;

    let (count, steps) = (args.classes.len(), request.steps);
    let mut stage = Stage::new(&format!("sample on {}", args.engine.engine), count * steps, "steps");
    let (mut latents, mut step_ms) = (Vec::new(), Vec::with_capacity(count * steps));
    for (i, &class) in args.classes.iter().enumerate() {
        let mut begun = Instant::now();
        let item = args.first_item as usize + i;
        let made = sample_image(&mut graph, &request, [item, class], &mut |event| match event {
            Event::StepStart { .. } => begun = Instant::now(),
            Event::StepEnd { index } => {
                let ms = begun.elapsed().as_secs_f64() * 1e3;
                step_ms.push(ms);
                let note = format!("image {} of {count}, {ms:.0} ms a step", i + 1);
                stage.set(i * steps + index + 1, &note);
            }
            _ => {}
        });
        if cancel::asked() {
            bail!(Interrupted("nothing was kept; the same command makes the same images".to_owned()));
        }
        latents.push(made?);
    }
    let step = Summary::of(&step_ms).context("no step was taken")?;
    stage.finish(&format!("{:.1} ms a step (p50)", step.p50));
    drop(graph);

    let mut files = vec![pictures::write_latents(draft.path(), config, &latents)?];
    let shown = match &vae {
        Some(vae) => {
            let mut decoder = Decoder::open(vae, config.size, &args.engine)?;
            let mut stage = Stage::new("decode", count, "images");
            let mut shown = Vec::new();
            for (i, latents) in latents.iter().enumerate() {
                shown.push(decoder.picture(latents)?);
                stage.set(i + 1, "");
            }
            stage.finish(&format!("{}x{} pixels", shown[0].width, shown[0].height));
            shown
        }
        None => latents.iter().map(|latents| pictures::in_false_colours(latents, config)).collect(),
    };
    files.extend(pictures::write_all(draft.path(), &shown, &args.classes, args.first_item)?);
    let recipe = recipe(args, &request, &dit, vae.as_ref(), &step, &files)?;
    std::fs::write(draft.path().join("recipe.json"), json_text(&recipe)? + "\n")
        .with_context(|| args.out.display().to_string())?;
    draft.commit()?;
    if args.json {
        return say_json(&recipe);
    }
    for file in &files {
        say(args.out.join(file).display().to_string());
    }
    Ok(())
}

/// What was typed, for the network that it is for.
fn request(args: &ImagesArgs, config: &DitConfig) -> Result<ImageRequest> {
    let what = |text: String| Usage(text);
    if let Some(class) = args.classes.iter().find(|class| **class >= config.classes) {
        let last = config.classes.saturating_sub(1);
        bail!(what(format!("--classes: {class} is no class of this DiT, whose classes are 0 to {last}")));
    }
    if args.guidance != 1.0 && !config.null_class {
        let hint = "--guidance 1 makes images without guidance";
        bail!(what(format!(
            "--guidance {}: this DiT has no label for no class\n\nhint: {hint}",
            args.guidance
        )));
    }
    if !(1..=config.channels).contains(&args.guided_channels) {
        let (asked, channels) = (args.guided_channels, config.channels);
        bail!(what(format!("--guided-channels {asked}: the latents of this DiT have {channels} channels")));
    }
    if !(2..=avdit_core::images::TIMESTEPS).contains(&args.steps()) {
        bail!(what(format!("--steps {}: 2 to {} are possible", args.steps(), avdit_core::images::TIMESTEPS)));
    }
    let guidance =
        ImageGuidance { scale: args.guidance, channels: args.guided_channels, null: config.classes };
    Ok(ImageRequest { seed: args.seed, steps: args.steps(), sampler: args.sampler, guidance })
}

/// Refuses an autoencoder of other latents, or whose pictures are no pictures.
fn check_vae(vae: &Imported, dit: &Imported) -> Result<()> {
    let (config, dit) = (vae.vae()?, dit.dit()?);
    let (latents, colours) = (config.latent_channels, config.out_channels);
    if latents == dit.channels && colours == 3 {
        return Ok(());
    }
    let what = format!(
        "its latents have {latents} channels and its pictures {colours}; the DiT's latents have {}, and pictures 3",
        dit.channels
    );
    Err(avdit_trainer::Error::content(vae.folder(), what).into())
}

fn is_own(folder: &Path) -> bool {
    let recipe = std::fs::read(folder.join("recipe.json")).unwrap_or_default();
    let recipe: Value = serde_json::from_slice(&recipe).unwrap_or_default();
    recipe["schema"] == SCHEMA
}

/// How the images came to be: enough to make them again.
fn recipe(
    args: &ImagesArgs,
    request: &ImageRequest,
    dit: &Imported,
    vae: Option<&Imported>,
    step: &Summary,
    files: &[String],
) -> Result<Value> {
    let network = |network: &Imported| {
        json!({
            "path": network.folder().join(WEIGHTS_FILE), "sha256": network.sha256, "source": network.source,
        })
    };
    let guidance = request.guidance;
    Ok(json!({
        "schema": SCHEMA,
        "dit": network(dit),
        "vae": vae.map(network),
        "classes": args.classes,
        "seed": request.seed,
        "first_item": args.first_item,
        "sampler": request.sampler.to_string(),
        "steps": request.steps,
        "guidance": guidance.scale,
        "guided_channels": guidance.channels,
        "engine": args.engine.engine.name(),
        "threads": args.engine.options().threads,
        "step_ms": step,
        "files": files,
        "avdit": env!("CARGO_PKG_VERSION"),
    }))
}
