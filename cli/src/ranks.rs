//! The processes of a training run, where a launcher started several: what connects them, and what each may print.

use crate::args::{RankArgs, RanksBy};
use crate::exit::{self, Told, Usage};
use anyhow::{Context, Result, ensure};
use avdit_trainer::TrainConfig;
use avdit_trainer::parallel::{Collective, Launch, Ranks};
use std::sync::OnceLock;
use std::time::Duration;

/// What the user asked for with `RAYON_NUM_THREADS`, noted before the program sets it for itself.
pub static THREADS: OnceLock<Option<usize>> = OnceLock::new();

/// Does the work of this process, as one of the ranks of its launch or by itself. An error on one rank ends all; it is
/// printed once.
///
/// # Errors
/// That of the work; that of the engine; [`Usage`] where the program was built without it.
pub fn on_launch(
    args: &RankArgs,
    config: &TrainConfig,
    work: impl FnOnce(&mut Ranks) -> Result<()> + Send,
) -> Result<()> {
    let Some(launch) = Launch::of_environment()? else {
        return work(&mut Ranks::single());
    };
    let seconds = args.rank_timeout;
    ensure!(
        seconds > 0.0 && seconds < 1e9,
        Usage(format!("--rank-timeout {seconds}: expected seconds above 0"))
    );
    let mut ranks = Ranks::new(connect(args.ranks_by, &launch, config, Duration::from_secs_f64(seconds))?);
    let fair = ranks.threads()?;
    let threads = THREADS.get().copied().flatten().unwrap_or(fair);
    if ranks.is_first() {
        let (count, by, each) = (ranks.count(), launch.by, if threads == 1 { "thread" } else { "threads" });
        tracing::info!("{count} ranks over {}, started by {by}; {threads} {each} here", args.ranks_by);
    }
    let pool =
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().context("no threads for a rank")?;
    let Err(error) = pool.install(|| work(&mut ranks)) else { return Ok(()) };
    ranks.give_up(&format!("{error:#}"));
    ranks.part();
    let told = is_told(&error, &ranks);
    if told {
        ranks.let_the_first_tell();
    }
    Err(match ranks.rank() {
        _ if told => Told(exit::code(&error)).into(),
        0 => error,
        rank => error.context(format!("rank {rank}")),
    })
}

/// Whether the first rank says what there is to say of this one's end.
fn is_told(error: &anyhow::Error, ranks: &Ranks) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<avdit_trainer::Error>());
    error.is::<Told>() || causes.any(|cause| ranks.is_told_by_another(cause))
}

fn connect(
    by: RanksBy,
    launch: &Launch,
    config: &TrainConfig,
    timeout: Duration,
) -> Result<Box<dyn Collective>> {
    // What is not built in is not used.
    let _ = (config, timeout);
    match by {
        #[cfg(feature = "mpi")]
        RanksBy::Mpi => Ok(Box::new(avdit_trainer::parallel::Mpi::start(launch, timeout)?)),
        #[cfg(feature = "nccl")]
        RanksBy::Nccl => Ok(Box::new(avdit_trainer::parallel::Nccl::start(launch, &config.out, timeout)?)),
        #[cfg(not(all(feature = "mpi", feature = "nccl")))]
        _ => Err(not_built(by, launch).into()),
    }
}

#[cfg(not(all(feature = "mpi", feature = "nccl")))]
fn not_built(by: RanksBy, launch: &Launch) -> Usage {
    let (features, needs) = match by {
        RanksBy::Mpi => {
            ("mpi", " (needs mpicc and libclang: on Debian openmpi-bin, libopenmpi-dev, libclang-dev)")
        }
        RanksBy::Nccl => ("nccl,cuda", " (needs nvcc)"),
    };
    Usage(format!(
        "{} started this program as process {} of {}, but it was built without ranks over {by}: {} runs of their own \
         would spoil each other\n\nhint: build it with `cargo build --release -p avdit --features {features}`{needs}, or \
         start one process without a launcher",
        launch.by, launch.rank, launch.ranks, launch.ranks
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_first_rank_says_is_not_said_again() {
        let told = |error: anyhow::Error| is_told(&error, &Ranks::single());
        assert!(told(Told::interrupted().into()), "the user stopped the run, which the first rank says");
        assert!(!told(avdit_trainer::Error::Config("run.steps is 0".into()).into()));
        assert!(!told(Usage("--until without a number".into()).into()));
    }
}
