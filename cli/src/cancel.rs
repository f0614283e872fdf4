//! ctrl-C: asked for once, the work stops at its next safe place; asked for twice, at once.

use std::sync::atomic::{AtomicUsize, Ordering};

static ASKED: AtomicUsize = AtomicUsize::new(0);

/// From here on ctrl-C (and SIGTERM) only asks.
///
/// # Errors
/// If the system refuses the handler.
pub fn install() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        if ASKED.fetch_add(1, Ordering::SeqCst) > 0 {
            std::process::exit(130);
        }
        eprintln!("\nstopping at the next safe place (once more to stop at once)");
    })?;
    Ok(())
}

/// Whether the user has asked to stop.
pub fn asked() -> bool {
    ASKED.load(Ordering::SeqCst) > 0
}
