//! Options of a run on several ranks.

use clap::{Args as ClapArgs, ValueEnum};

/// How the ranks of a run work together.
#[derive(Clone, Debug, ClapArgs)]
pub struct RankArgs {
    /// What connects the processes that mpirun or srun starts
    #[arg(long, value_enum, default_value_t = RanksBy::Mpi)]
    pub ranks_by: RanksBy,
    /// Give a rank up that has said nothing for so long; longer than a checkpoint or samples take
    #[arg(long, env = "AVDIT_RANK_TIMEOUT", default_value_t = 600.0, value_name = "SECONDS")]
    pub rank_timeout: f64,
}

/// What connects ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RanksBy {
    /// MPI, on processors
    Mpi,
    /// NCCL, with a GPU for each rank: run.device = "cuda"
    Nccl,
}

impl std::fmt::Display for RanksBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Mpi => "mpi",
            Self::Nccl => "nccl",
        })
    }
}
