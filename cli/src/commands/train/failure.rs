//! What to do about a run that stopped: the command that goes on.

use super::again;
use crate::args::TrainArgs;
use crate::exit::Coded;
use crate::output::error_text;
use crate::report::format::bytes;
use avdit_nets::NetworkConfig;
use avdit_trainer::{Error, TrainConfig, checkpoint};
use std::path::Path;

/// The error with a remedy for a run that was started with the file or folder `named`.
pub fn with_remedy(
    error: anyhow::Error,
    args: &TrainArgs,
    config: &TrainConfig,
    named: &Path,
) -> anyhow::Error {
    let not_finite = error.chain().any(|cause| matches!(cause.downcast_ref(), Some(Error::NotFinite { .. })));
    let hint = if not_finite {
        format!(
            "to resume as it is would come to the same numbers; begin again with a lower rate: `{}`; or look at these clips \
             with `avdit prepare`",
            again::slower(args, config, named)
        )
    } else if error.chain().any(|cause| matches!(cause.downcast_ref(), Some(Error::ZeroGradient { .. }))) {
        let optimizer = &config.optimizer;
        format!(
            "steps that are far too long can do this (the loss then grows in {}), and numbers that are far too small; \
             optimizer.lr is {:e}, eps {:e}, clip_norm {:e}; with a lower rate: `{}`",
            config.out.join("metrics.jsonl").display(),
            optimizer.lr,
            optimizer.eps,
            optimizer.clip_norm,
            again::slower(args, config, named)
        )
    } else if is_full(&error) {
        let size = checkpoint::list(&config.out).ok().and_then(|found| {
            let network =
                checkpoint::read_json::<checkpoint::CheckpointConfig>(&found.last()?.join("config.json"));
            Some(checkpoint_bytes(&network.ok()?.network, config))
        });
        let size = size.map_or(String::new(), |size| format!(", a checkpoint takes {}", bytes(size as f64)));
        match checkpoint::latest(&config.out) {
            Ok(newest) => format!(
                "{} is whole; make room{size} (run.keep_last is {}), then `{}`",
                newest.display(),
                config.run.keep_last,
                again::resume(args, config)
            ),
            Err(_) => format!("make room{size}, then run the same command again"),
        }
    } else {
        return error;
    };
    Coded::bad_input(format!("{}\n\nhint: {hint}", error_text(&error).0)).into()
}

/// Whether a disk was full.
fn is_full(error: &anyhow::Error) -> bool {
    let full = |error: &std::io::Error| error.kind() == std::io::ErrorKind::StorageFull;
    error.chain().any(|cause| match cause.downcast_ref::<Error>() {
        Some(Error::Io { source, .. }) => full(source),
        Some(Error::Media(avdit_media::Error::Io { source, .. })) => full(source),
        _ => cause.downcast_ref::<std::io::Error>().is_some_and(full),
    })
}

/// Bytes of a checkpoint: parameters, two moments, and the moving averages.
pub fn checkpoint_bytes(network: &NetworkConfig, config: &TrainConfig) -> u64 {
    let copies = 3 + config.optimizer.ema_decay.all().len();
    4 * (network.trained_count() * copies) as u64
}
