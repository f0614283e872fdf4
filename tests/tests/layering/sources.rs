//! The rules on source files.

use crate::table::{GENERATED, MAX_LINES, PRINTING};
use std::path::{Path, PathBuf};

/// A source file of a member; its path begins at the root of the workspace.
pub(crate) struct Source<'a> {
    pub(crate) member: &'a str,
    pub(crate) path: &'a str,
    pub(crate) text: &'a str,
}

impl Source<'_> {
    /// Every breach of the rules.
    pub(crate) fn faults(&self) -> Vec<String> {
        let Source { member, path, text } = self;
        let mut faults = Vec::new();
        let lines = text.lines().count();
        if lines > MAX_LINES && !GENERATED.contains(path) {
            faults.push(format!("{path}: {lines} lines, at most {MAX_LINES}"));
        }
        let is_library = path.starts_with(&format!("{member}/src/")) && !path.ends_with("/tests.rs");
        if is_library && !PRINTING.contains(member) {
            let printing = shipped_lines(text).filter(|(_, line)| prints(line));
            faults.extend(printing.map(|(number, _)| format!("{path}:{number}: a library prints")));
        }
        faults
    }
}

/// The lines, counted from 1, up to the module of tests that ends a file.
fn shipped_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines: Vec<_> = text.lines().collect();
    let is_test_module = |pair: &[&str]| {
        pair[0].trim() == "#[cfg(test)]" && pair[1].trim_start().starts_with("mod ") && pair[1].ends_with('{')
    };
    let end = lines.windows(2).position(is_test_module).unwrap_or(lines.len());
    lines.into_iter().enumerate().take(end).map(|(index, line)| (index + 1, line))
}

/// Whether a line of code, comments apart, calls a macro that writes to the terminal.
fn prints(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    ["print!", "println!", "eprint!", "eprintln!"].iter().any(|name| {
        code.match_indices(name).any(|(at, _)| {
            let before = code[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
        })
    })
}

/// The Rust files under a folder, build output apart.
pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                files.extend(rust_files(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str) -> Vec<String> {
        let member = path.split('/').next().unwrap();
        Source { member, path, text }.faults()
    }

    #[test]
    fn a_file_of_more_than_400_lines_is_a_fault_unless_generated() {
        let (fits, long) = ("\n".repeat(400), "\n".repeat(401));
        assert_eq!(faults("core/src/a.rs", &fits), Vec::<String>::new());
        assert_eq!(faults("core/src/a.rs", &long), ["core/src/a.rs: 401 lines, at most 400"]);
        assert_eq!(faults("cli/tests/a.rs", &long).len(), 1);
        assert_eq!(faults("onnx/src/proto.rs", &long), Vec::<String>::new());
    }

    #[test]
    fn a_library_that_prints_is_a_fault_with_its_line() {
        let text = "fn a() {\n    println!(\"x\");\n}\n";
        assert_eq!(faults("core/src/a.rs", text), ["core/src/a.rs:2: a library prints"]);
        for text in ["eprintln!(\"x\")", "if x { print!(\"x\") }", "std::eprint!(\"x\")"] {
            assert_eq!(faults("media/src/a/b.rs", text).len(), 1, "{text}");
        }
        for text in ["// println!(\"x\")", "/// println!(\"x\")", "my_println!(\"x\")", "sprintln!(\"x\")"] {
            assert_eq!(faults("media/src/a.rs", text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn programs_and_tests_may_print() {
        let text = "println!(\"x\");";
        for path in [
            "cli/src/a.rs",
            "xtask/src/main.rs",
            "core/tests/a.rs",
            "export/examples/a.rs",
            "core/src/a/tests.rs",
        ] {
            assert_eq!(faults(path, text), Vec::<String>::new(), "{path}");
        }
        let module = "#[cfg(test)]\nmod tests {\n    println!(\"x\");\n}\n";
        assert_eq!(faults("core/src/a.rs", module), Vec::<String>::new());
        let elsewhere = "#[cfg(test)]\nmod tests;\nfn a() {\n    println!(\"x\");\n}\n";
        assert_eq!(faults("core/src/a.rs", elsewhere), ["core/src/a.rs:4: a library prints"]);
    }
}
