//! Whether this process is one of several that a launcher started.

use crate::error::{Error, Result};

/// What a launcher says of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The launcher, for messages.
    pub by: &'static str,
    /// This process, from 0.
    pub rank: usize,
    /// How many there are; more than one.
    pub ranks: usize,
    /// This process among those of its machine, if the launcher says so.
    pub local_rank: Option<usize>,
    /// What tells this launch from any other, if the launcher says so.
    pub id: Option<String>,
}

/// The variables of a launcher.
struct Launcher {
    by: &'static str,
    ranks: &'static str,
    rank: &'static str,
    local_rank: &'static str,
    /// Those that are set make the name of the launch.
    id: &'static [&'static str],
    /// Whether it may itself have been started by one of the others.
    inner: bool,
}

/// From the innermost, since one that was started by another has the variables of both; but for the last.
const LAUNCHERS: [Launcher; 4] = [
    Launcher {
        by: "mpirun (Open MPI)",
        ranks: "OMPI_COMM_WORLD_SIZE",
        rank: "OMPI_COMM_WORLD_RANK",
        local_rank: "OMPI_COMM_WORLD_LOCAL_RANK",
        id: &["PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid"],
        inner: false,
    },
    Launcher {
        by: "mpiexec (PMI)",
        ranks: "PMI_SIZE",
        rank: "PMI_RANK",
        local_rank: "MPI_LOCALRANKID",
        id: &["PMI_JOBID", "SLURM_JOB_ID", "SLURM_STEP_ID"],
        inner: false,
    },
    Launcher {
        by: "srun (Slurm)",
        // Not SLURM_NTASKS: a batch script has it, and SLURM_PROCID too, without being one of so many processes.
        ranks: "SLURM_STEP_NUM_TASKS",
        rank: "SLURM_PROCID",
        local_rank: "SLURM_LOCALID",
        id: &["SLURM_JOB_ID", "SLURM_STEP_ID"],
        inner: false,
    },
    Launcher {
        by: "a launcher that sets WORLD_SIZE",
        ranks: "WORLD_SIZE",
        rank: "RANK",
        local_rank: "LOCAL_RANK",
        id: &["TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "MASTER_ADDR", "MASTER_PORT"],
        inner: true,
    },
];

impl Launch {
    /// What the environment says; `None` for a process by itself.
    ///
    /// # Errors
    /// [`Error::Config`] naming a variable that makes no sense.
    pub fn of_environment() -> Result<Option<Self>> {
        Self::of(&|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn of(variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        let number = |name: &str| -> Result<Option<usize>> {
            let Some(text) = variable(name) else { return Ok(None) };
            let wrong = |_| Error::Config(format!("the variable {name} is '{text}', expected a number"));
            text.parse().map(Some).map_err(wrong)
        };
        let mut alone = false;
        for launcher in &LAUNCHERS {
            if alone && !launcher.inner {
                continue;
            }
            // A shell inside an allocation has the number and no rank: it is a process by itself.
            let Some(rank) = number(launcher.rank)? else { continue };
            let Some(ranks) = number(launcher.ranks)? else { continue };
            if ranks <= 1 {
                // The only one of its launch, whatever the job is that the launch is a part of.
                alone = true;
                continue;
            }
            if rank >= ranks {
                let name = launcher.rank;
                return Err(Error::Config(format!("the variable {name} is {rank}, expected below {ranks}")));
            }
            let id: Vec<String> = launcher.id.iter().filter_map(|name| variable(name)).collect();
            let id: String =
                id.join("-").chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
            return Ok(Some(Self {
                by: launcher.by,
                rank,
                ranks,
                local_rank: number(launcher.local_rank)?,
                id: (!id.is_empty()).then_some(id),
            }));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(variables: &[(&str, &str)]) -> Result<Option<Launch>> {
        Launch::of(&|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn each_launcher_is_known_by_its_variables() {
        let open_mpi =
            [("OMPI_COMM_WORLD_SIZE", "4"), ("OMPI_COMM_WORLD_RANK", "3"), ("PMIX_NAMESPACE", "12@1")];
        let found = launch(&open_mpi).unwrap().unwrap();
        assert_eq!((found.rank, found.ranks, found.local_rank), (3, 4, None));
        assert_eq!(found.id.as_deref(), Some("12-1"));
        let slurm = [
            ("SLURM_NTASKS", "8"),
            ("SLURM_STEP_NUM_TASKS", "2"),
            ("SLURM_PROCID", "1"),
            ("SLURM_LOCALID", "0"),
            ("SLURM_JOB_ID", "77"),
            ("SLURM_STEP_ID", "5"),
        ];
        let found = launch(&slurm).unwrap().unwrap();
        assert_eq!((found.rank, found.ranks, found.local_rank), (1, 2, Some(0)), "the step, not the job");
        assert_eq!(found.id.as_deref(), Some("77-5"));
        let torch = [("WORLD_SIZE", "2"), ("RANK", "0"), ("LOCAL_RANK", "0"), ("MASTER_PORT", "29500")];
        assert_eq!(launch(&torch).unwrap().unwrap().id.as_deref(), Some("29500"));
    }

    #[test]
    fn one_process_and_a_shell_in_an_allocation_are_by_themselves() {
        assert_eq!(launch(&[]).unwrap(), None);
        assert_eq!(launch(&[("OMPI_COMM_WORLD_SIZE", "1"), ("OMPI_COMM_WORLD_RANK", "0")]).unwrap(), None);
        assert_eq!(launch(&[("SLURM_NTASKS", "4")]).unwrap(), None);
    }

    #[test]
    fn a_process_inside_a_job_is_one_of_those_of_its_own_launch() {
        const BATCH: [(&str, &str); 5] = [
            ("SLURM_JOB_ID", "77"),
            ("SLURM_NTASKS", "4"),
            ("SLURM_NPROCS", "4"),
            ("SLURM_PROCID", "0"),
            ("SLURM_LOCALID", "0"),
        ];
        const STEP: [(&str, &str); 2] = [("SLURM_STEP_ID", "0"), ("SLURM_STEP_NUM_TASKS", "4")];
        const STEP_OF_ONE: [(&str, &str); 2] = [("SLURM_STEP_ID", "0"), ("SLURM_STEP_NUM_TASKS", "1")];
        let mpirun = |ranks| [("OMPI_COMM_WORLD_SIZE", ranks), ("OMPI_COMM_WORLD_RANK", "0")];
        let torchrun = [("WORLD_SIZE", "2"), ("RANK", "1"), ("LOCAL_RANK", "1")];
        let found = |parts: &[&[(&str, &str)]]| {
            let variables = parts.concat();
            launch(&variables).unwrap().map(|launch| (launch.by, launch.rank, launch.ranks))
        };
        for (what, parts, expected) in [
            ("a batch script", vec![&BATCH[..]], None),
            ("srun", vec![&BATCH, &STEP], Some(("srun (Slurm)", 0, 4))),
            ("srun -n 1", vec![&BATCH, &STEP_OF_ONE], None),
            ("mpirun -n 1 in a batch script", vec![&BATCH, &mpirun("1")], None),
            ("mpirun -n 1 over srun", vec![&BATCH, &STEP, &mpirun("1")], None),
            ("mpirun -n 3 over srun", vec![&BATCH, &STEP, &mpirun("3")], Some(("mpirun (Open MPI)", 0, 3))),
            (
                "torchrun in srun -n 1",
                vec![&BATCH, &STEP_OF_ONE, &torchrun],
                Some(("a launcher that sets WORLD_SIZE", 1, 2)),
            ),
        ] {
            assert_eq!(found(&parts), expected, "{what}");
        }
    }

    #[test]
    fn variables_that_make_no_sense_are_named() {
        let message = |variables: &[(&str, &str)]| launch(variables).unwrap_err().to_string();
        let text = message(&[("PMI_SIZE", "two"), ("PMI_RANK", "0")]);
        assert_eq!(text, "configuration: the variable PMI_SIZE is 'two', expected a number");
        let text = message(&[("PMI_SIZE", "2"), ("PMI_RANK", "2")]);
        assert_eq!(text, "configuration: the variable PMI_RANK is 2, expected below 2");
    }
}
