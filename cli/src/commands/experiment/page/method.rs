//! What was done, and what it cost.

use super::law::law_in_words;
use super::words::{head, list, row, task_title};
use crate::commands::experiment::results::{Results, RunResults};
use crate::commands::experiment::run::Cost;
use crate::report::format::{count, seconds, significant};
use avdit_core::Task;
use avdit_media::metrics::{AUDIO_DIMS, FEATURES, VIDEO_DIMS};
use serde_json::Value;
use std::collections::BTreeSet;

/// What was done, and how each number is defined.
pub fn method(results: &Results, tasks: &[Task]) -> String {
    let settings = &results.settings;
    let seeds: Vec<String> = settings.seeds.iter().map(u64::to_string).collect();
    let sampling = &settings.sampling;
    let names: Vec<String> = tasks.iter().map(|task| format!("{} (`{task}`)", task_title(task))).collect();
    let laws: Vec<String> = results
        .worlds
        .iter()
        .map(|world| format!("{} (*{}*)", law_in_words(world.kind), world.kind))
        .collect();
    let mut text = String::new();
    let mut add = |line: String| {
        text += &line;
        text.push('\n');
    };
    if let Some(run) = results.runs().next() {
        let told = |path: &str| match run.result.config.pointer(path) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => "–".into(),
        };
        add(format!(
            "- **Training.** Network `{}` ({} parameters), {} clips, {} steps of {}, target {}, schedule {}, learning rate {}, seeds {}. \
            All methods share every number of this; they differ in the strategy alone. MoNL draws its four strategies with equal \
            weights. {} of the drawn levels are set to 0, unless all of an example's would be: a strategy with one level for all \
            that it makes (Vanilla, the task-specific ones) has none of these, the others see given cells in training too.",
            told("/model/preset"),
            count(run.result.parameters as u64),
            settings.training_clips,
            told("/run/steps"),
            told("/run/batch"),
            told("/objective/target"),
            told("/objective/schedule"),
            told("/optimizer/lr"),
            list(&seeds),
            told("/objective/clean_fraction"),
        ));
    }
    add(format!(
        "- **Sampling.** {} clips of each task, {} × {} steps, no guidance, moving average of the weights, exported to ONNX. Clip i \
        of every model begins from the same noise and has the same condition, so models differ clip by clip. Tasks: {}. \
        AV-continue is given the first two of five segments (5 of 17 frames, 0.6 s), of the two lengths that the paper shows; \
        AV-inpaint the first and the last.",
        settings.samples,
        sampling.sampler,
        sampling.steps,
        list(&names)
    ));
    add(format!(
        "- **True clips.** {} clips that training never saw give the conditions and are the set that distances are taken from; they \
        were written as mp4 and read back, as the training clips were.",
        settings.samples
    ));
    add(format!(
        "- **Distance.** The Fréchet distance between normal distributions fitted to made and true clips, in a feature space that \
        needs nobody's weights: `{FEATURES}`, fixed random convolutions over pixels ({VIDEO_DIMS} values a clip) and over log-mel \
        spectra ({AUDIO_DIMS}), in units of the true clips' spread. Its numbers cannot be compared with the paper's FVD and FAD; the \
        order of methods can. As in the paper whole clips are compared, given parts included, as the codec rebuilds them; a \
        modality that is given whole is not measured."
    ));
    add(format!(
        "- **Score**: the mean over tasks of the logarithm of the distance from the true clips as the codec rebuilds them, over the \
        four tasks that make pictures, over the four that make sound, and the mean of both. Distances from the true clips \
        themselves, which are given second, hold what the codec loses as well, the same for all. Intervals of 95 % from {} \
        resamples of the clips, made and true ones of an index together, the same for all methods and seeds, seeds averaged; \
        resamples are moved so that their mean is what was measured, for repeated clips make every distance larger. They tell how \
        the result depends on the clips and not how it depends on training seeds, so a verdict also needs every seed to say the same.",
        settings.rounds
    ));
    add(format!(
        "- **Law.** The correlation within a clip, frame by frame, of {}: a picture with its own sound and with other clips' sounds. \
        Clips without a track count as 0.",
        list(&laws)
    ));
    add("- **Identity.** The colour seen and the timbre heard before and after the given part ends, in absolute difference: in the \
        clip itself and with other clips' continuations. *Kept* is the second less the first. A clip in which nothing is seen or \
        heard afterwards counts as a stranger."
        .into());
    add("- Intervals in the tables of law and identity are averaged over seeds, which makes them wider than the clips of all seeds \
        taken together would."
        .into());
    text + "\n"
}

/// What each method took.
pub fn costs(results: &Results) -> String {
    let runs: Vec<&RunResults> = results.runs().collect();
    if runs.is_empty() {
        return "Nothing has run yet.\n\n".into();
    }
    let columns = [
        "runs",
        "training, CPU s",
        "ms a step",
        "sampling, CPU s",
        "of it the network",
        "clips",
        "other, CPU s",
    ];
    let mut text = head(&["world", "method"], columns.map(str::to_owned));
    for world in &results.worlds {
        for method in world.methods.iter().filter(|method| !method.runs.is_empty()) {
            let n = method.runs.len() as f64;
            let mean = |of: fn(&RunResults) -> f64| method.runs.iter().map(of).sum::<f64>() / n;
            let train = mean(|run| run.result.cost.train.cpu_s);
            let number = |x: f64| significant(x, 3);
            text += &row([
                world.kind.to_string(),
                method.method.title.clone(),
                method.runs.len().to_string(),
                number(train),
                number(1e3 * train / results.settings.steps as f64),
                number(mean(|run| run.result.cost.sample.cpu_s)),
                number(mean(|run| run.result.cost.network.cpu_s)),
                number(mean(|run| (run.result.tasks.len() * run.result.samples) as f64)),
                number(mean(|run| run.result.cost.export.cpu_s + run.result.cost.score.cpu_s)),
            ]);
        }
    }
    let all = |of: fn(Cost) -> f64| -> f64 {
        runs.iter()
            .map(|run| run.result.cost)
            .map(|c| of(c.train) + of(c.export) + of(c.sample) + of(c.score))
            .sum()
    };
    let unique = |of: &dyn Fn(&RunResults) -> String| -> Vec<String> {
        runs.iter().map(|run| of(run)).collect::<BTreeSet<_>>().into_iter().collect()
    };
    let machines = unique(&|run| {
        format!(
            "{} ({} processors, {})",
            run.result.machine.cpu, run.result.machine.threads, run.result.machine.os
        )
    });
    let engines = unique(&|run| format!("{} {}", run.result.engine.name, run.result.engine.version));
    let threads = unique(&|run| run.result.threads.to_string());
    let builds = unique(&|run| {
        let program = &run.result.program;
        let known = |key: &str| program.get(key).cloned();
        match known("commit") {
            Some(commit) => format!("commit {commit}"),
            None => format!(
                "a build whose commit is not told (sha256 {:.12})",
                known("sha256").unwrap_or_default()
            ),
        }
    });
    text += &format!(
        "\nAll finished runs together: {} of processor time, {} on the clock (other work may have shared the machine). Machine: {}; \
        threads: {}; sampling on {}; avdit {}, {}. What a stage had done before it was killed is not counted.\n\n",
        seconds(all(|cost| cost.cpu_s)),
        seconds(all(|cost| cost.wall_s)),
        list(&machines),
        list(&threads),
        list(&engines),
        env!("CARGO_PKG_VERSION"),
        list(&builds),
    );
    text
}
