//! Libraries made of a few lines of C that stand for NVIDIA's, and children that load them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles C into `path`, with the options of `cc` given.
pub(crate) fn library_from(source: &Path, path: &Path, options: &[&str]) -> PathBuf {
    let compiler = std::env::var_os("CC").unwrap_or("cc".into());
    let mut command = Command::new(compiler);
    command.args(["-shared", "-fPIC", "-O1", "-o"]).arg(path).arg(source).args(options);
    let output = command.output().unwrap_or_else(|error| panic!("no C compiler: {error}"));
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    path.to_owned()
}

/// One of the fakes beside these suites.
pub(crate) fn fake(name: &str, path: &Path, options: &[&str]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fakes").join(name);
    library_from(&source, path, options)
}

/// A library without a function that asks for others.
pub(crate) fn empty(path: &Path, needed: &[&Path]) -> PathBuf {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let soname = format!("-Wl,-soname,{}", path.file_name().unwrap().to_str().unwrap());
    let mut options = vec!["-x", "none", "-Wl,--no-as-needed", &soname];
    options.extend(needed.iter().map(|path| path.to_str().unwrap()));
    let source = path.with_extension("c");
    std::fs::write(&source, "int avdit_empty;\n").unwrap();
    library_from(&source, path, &options);
    std::fs::remove_file(source).unwrap();
    path.to_owned()
}

/// Runs one test of this program in a process of its own, with nothing but these variables, and returns what it
/// printed behind `SAYS `.
pub(crate) fn child(test: &str, variables: &[(&str, &Path)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env_clear().env("AVDIT_TEST_CHILD", "1");
    command.current_dir(std::env::temp_dir()).envs(variables.iter().copied());
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{:?}\n{out}\n{err}", output.status);
    out.lines()
        .find_map(|line| line.split_once("SAYS "))
        .unwrap_or_else(|| panic!("{out}\n{err}"))
        .1
        .to_owned()
}

/// Whether this is such a process.
pub(crate) fn is_child() -> bool {
    std::env::var_os("AVDIT_TEST_CHILD").is_some()
}
