//! A program without MPI under a launcher.

use crate::fixture::{Said, command, small_config, text};

#[test]
fn processes_that_a_launcher_starts_are_refused_by_a_program_that_cannot_connect_them() {
    let folder = tempfile::tempdir().unwrap();
    let (config, out) = (folder.path().join("run.toml"), folder.path().join("run"));
    std::fs::write(&config, small_config(&folder.path().join("data"), &out, 10)).unwrap();
    for [size, rank] in
        [["OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"], ["SLURM_STEP_NUM_TASKS", "SLURM_PROCID"]]
    {
        let started = command(&["train", &text(&config)]).env(size, "2").env(rank, "1").output().unwrap();
        let parts = ["process 1 of 2", "cargo build --release -p avdit --features mpi", "libopenmpi-dev"];
        Said::of(started).refused(2, &parts);
    }
    assert!(!out.exists());
}
