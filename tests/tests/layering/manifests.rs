//! The rules on manifests.

use crate::table::{MEMBERS, OWNED};
use toml::{Table, Value};

/// A dependency of a member, under the name of its package.
#[derive(Debug, PartialEq)]
pub(crate) struct Dependency {
    pub(crate) package: String,
    for_tests: bool,
}

/// What the rules look at in a manifest.
pub(crate) struct Manifest {
    folder: String,
    package: String,
    pub(crate) dependencies: Vec<Dependency>,
}

impl Manifest {
    /// Reads the manifest in a folder; renamed dependencies are looked up in that of the workspace.
    pub(crate) fn new(folder: &str, manifest: &Table, workspace: &Table) -> Self {
        let package = manifest.get("package").and_then(|package| package.get("name"));
        let mut dependencies = Vec::new();
        collect(manifest, workspace, &mut dependencies);
        for platform in manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values) {
            collect(platform.as_table().expect("a platform's table"), workspace, &mut dependencies);
        }
        Self {
            folder: folder.to_owned(),
            package: package.and_then(Value::as_str).unwrap_or_default().to_owned(),
            dependencies,
        }
    }

    /// Every breach of the table.
    pub(crate) fn faults(&self) -> Vec<String> {
        let folder = &self.folder;
        let Some(member) = MEMBERS.iter().find(|member| member.folder == folder) else {
            return vec![format!("{folder}: the table of layers does not name it")];
        };
        let mut faults = Vec::new();
        if member.package != self.package {
            faults
                .push(format!("{folder}: its package is '{}', expected '{}'", self.package, member.package));
        }
        for Dependency { package, for_tests } in &self.dependencies {
            let name = package.as_str();
            let is_ours = MEMBERS.iter().any(|member| member.package == name);
            let allowed =
                member.may_import.contains(&name) || (*for_tests && member.tests_may_import.contains(&name));
            if is_ours && !allowed {
                let tests = if *for_tests { " in its tests" } else { "" };
                faults.push(format!("{folder}: may not import {name}{tests}"));
            }
            for owned in OWNED.iter().filter(|owned| matches(owned.name, name)) {
                if !owned.by.contains(&folder.as_str()) {
                    faults.push(format!("{folder}: {name} belongs to {} alone", owned.by.join(" and ")));
                }
            }
        }
        faults
    }
}

fn collect(manifest: &Table, workspace: &Table, into: &mut Vec<Dependency>) {
    for (section, for_tests) in
        [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)]
    {
        for (key, value) in manifest.get(section).and_then(Value::as_table).into_iter().flatten() {
            let shared = workspace.get("workspace").and_then(|w| w.get("dependencies")?.get(key));
            let is_shared = value.get("workspace").and_then(Value::as_bool) == Some(true);
            let source = if is_shared { shared } else { Some(value) };
            let renamed = source.and_then(|source| source.get("package")).and_then(Value::as_str);
            let package = renamed.unwrap_or(key).to_owned();
            into.push(Dependency { package, for_tests });
        }
    }
}

/// Whether a name is the pattern, or begins with what stands before its `*`.
fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKSPACE: &str = r#"
        [workspace.dependencies]
        avdit-core = { path = "core" }
        tensors = { package = "candle-core", version = "1" }
    "#;

    fn faults(folder: &str, package: &str, rest: &str) -> Vec<String> {
        let manifest = format!("[package]\nname = '{package}'\n{rest}");
        Manifest::new(folder, &manifest.parse().unwrap(), &WORKSPACE.parse().unwrap()).faults()
    }

    #[test]
    fn an_arrow_in_the_table_passes_and_its_reverse_does_not() {
        let core = "[dependencies]\navdit-core.workspace = true\nserde = '1'";
        assert_eq!(faults("nets", "avdit-nets", core), Vec::<String>::new());
        let nets = "[dependencies]\navdit-nets.path = '../nets'";
        assert_eq!(faults("core", "avdit-core", nets), ["core: may not import avdit-nets"]);
        assert_eq!(faults("xtask", "xtask", core), ["xtask: may not import avdit-core"]);
        assert_eq!(faults("tests", "avdit-tests", core), Vec::<String>::new());
        let cli = "[dependencies]\navdit.path = '../cli'";
        assert_eq!(faults("trainer", "avdit-trainer", cli), ["trainer: may not import avdit"]);
    }

    #[test]
    fn only_the_tests_of_runtime_may_import_export() {
        let normal = "[dependencies]\navdit-export.path = '../export'";
        let tests = normal.replace("dependencies", "dev-dependencies");
        assert_eq!(faults("runtime", "avdit-runtime", &tests), Vec::<String>::new());
        assert_eq!(faults("runtime", "avdit-runtime", normal), ["runtime: may not import avdit-export"]);
        let reverse = "[dev-dependencies]\navdit-runtime.path = '../runtime'";
        let expected = ["export: may not import avdit-runtime in its tests"];
        assert_eq!(faults("export", "avdit-export", reverse), expected);
    }

    #[test]
    fn what_a_member_owns_is_refused_to_others_in_every_section_and_under_any_name() {
        let sections =
            ["dependencies", "build-dependencies", "dev-dependencies", "target.'cfg(unix)'.dependencies"];
        for section in sections {
            for (package, owner) in [
                ("candle-nn", "trainer and tests"),
                ("ort", "runtime"),
                ("ort-sys", "runtime"),
                ("tract-onnx", "runtime"),
                ("prost", "onnx and trainer"),
                ("half", "quantize and runtime"),
                ("clap", "cli and xtask"),
                ("image", "media"),
                ("symphonia-core", "media"),
            ] {
                let expected = format!("nets: {package} belongs to {owner} alone");
                assert_eq!(
                    faults("nets", "avdit-nets", &format!("[{section}]\n{package} = '1'")),
                    [expected]
                );
                let renamed = format!("[{section}]\nother = {{ package = '{package}', version = '1' }}");
                assert_eq!(faults("nets", "avdit-nets", &renamed).len(), 1, "{renamed}");
            }
        }
        let shared = "[dependencies]\ntensors.workspace = true";
        let expected = ["runtime: candle-core belongs to trainer and tests alone"];
        assert_eq!(faults("runtime", "avdit-runtime", shared), expected);
        assert_eq!(faults("trainer", "avdit-trainer", shared), Vec::<String>::new());
        assert_eq!(faults("media", "avdit-media", "[dependencies]\nimages = '1'"), Vec::<String>::new());
    }

    #[test]
    fn a_member_without_a_row_and_a_package_of_another_name_are_faults() {
        assert_eq!(faults("extra", "avdit-extra", ""), ["extra: the table of layers does not name it"]);
        let expected = ["core: its package is 'avdit-kernel', expected 'avdit-core'"];
        assert_eq!(faults("core", "avdit-kernel", ""), expected);
    }
}
