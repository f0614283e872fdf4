//! Everything that must pass, in order of cost.

use crate::mpi;
use crate::process::{root, run as run_command, shown};
use crate::steps::Steps;
use crate::tools::Tools;
use anyhow::Result;
use std::path::Path;
use std::process::{Command, ExitCode};

/// Runs all steps and prints what came of them.
pub(crate) fn run(fast: bool) -> Result<ExitCode> {
    let root = root();
    let mut steps = Steps::begin();
    steps.run("formatting", || cargo(&root, &["fmt", "--all", "--check"], |_| ()));
    let tools = if fast { None } else { fetch(&mut steps, &root) };
    let tools = tools.unwrap_or_else(|| Tools::present(&root));
    println!("{}", tools.report());
    // The dependencies that clippy checks are the ones that the documentation needs.
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    steps.run("clippy", || cargo(&root, &clippy, |_| ()));
    let test = ["test", "--workspace", "--no-fail-fast"];
    steps.run("tests", || cargo(&root, &test, |command| tools.require(command)));
    ranks_over_mpi(&mut steps, &root, fast);
    if fast {
        steps.skip("documentation", "--fast");
    } else {
        let strict = |command: &mut Command| {
            command.env("RUSTDOCFLAGS", "-D warnings");
        };
        steps.run("documentation", || cargo(&root, &["doc", "--workspace", "--no-deps"], strict));
    }
    print!("{}", steps.summary());
    Ok(if steps.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Ranks that are processes, where MPI is. In CI it is installed if that can be done; ranks in one process are tested
/// with everything else.
fn ranks_over_mpi(steps: &mut Steps, root: &Path, fast: bool) {
    const NAME: &str = "MPI ranks";
    if !fast && is_ci() && mpi::missing().is_some() && mpi::can_install() {
        steps.attempt("MPI", mpi::install);
    }
    match mpi::missing() {
        Some(why) => steps.skip(NAME, &why),
        None => drop(steps.run(NAME, || cargo(root, &mpi::TEST, |_| ()))),
    }
}

fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}

/// In CI, tools that cannot be had are a failure; elsewhere the tests do without.
fn fetch(steps: &mut Steps, root: &Path) -> Option<Tools> {
    if is_ci() {
        return steps.run("tools", || Tools::fetched(root));
    }
    let tools = steps.attempt("tools", || Tools::fetched(root));
    if tools.is_none() {
        eprintln!("WARNING: without these tools, tests that need them skip themselves");
    }
    tools
}

fn cargo(root: &Path, arguments: &[&str], prepare: impl FnOnce(&mut Command)) -> Result<()> {
    let mut command = Command::new("cargo");
    command.current_dir(root).args(arguments);
    prepare(&mut command);
    println!("{}", shown(&command));
    run_command(&mut command)
}
