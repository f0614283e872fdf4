//! The names under which TensorBoard shows the numbers of a step.

use crate::metrics::StepMetrics;

/// Name and value of each number.
pub(super) fn of(metrics: &StepMetrics) -> Vec<(String, f64)> {
    let always = [
        ("loss/all", metrics.loss),
        ("loss/video", metrics.loss_video),
        ("loss/audio", metrics.loss_audio),
        ("optimizer/gradient_norm", metrics.gradient_norm),
        ("optimizer/lr", metrics.lr),
        ("speed/step_ms", metrics.step_ms),
        ("speed/wait_ms", metrics.wait_ms),
        ("speed/steps_per_s", metrics.steps_per_s),
        ("speed/gflops", metrics.gflops),
    ];
    let mut scalars: Vec<_> = always.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    scalars.extend(metrics.share.map(|share| ("speed/share_of_matmul".to_owned(), share)));
    for (name, strategy) in &metrics.by_strategy {
        scalars.push((format!("loss_by_strategy/{name}"), strategy.loss));
    }
    for bin in &metrics.by_level_bin {
        for (modality, error) in [("video", bin.video), ("audio", bin.audio)] {
            let name = || format!("error_by_level_{modality}/{:04.0}-{:04.0}", bin.low, bin.high);
            scalars.extend(error.map(|error| (name(), error)));
        }
    }
    scalars
}
