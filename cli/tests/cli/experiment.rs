//! The experiment in its smallest form: every stage runs, what is done stays, the report says what is there.

use crate::fixture::{avdit, text};
use serde_json::Value;
use std::path::Path;

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_experiment_runs_world_by_world_and_reports_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (out, doc) = (folder.path().join("out"), folder.path().join("docs/claim.md"));
    std::fs::create_dir(folder.path().join("docs")).unwrap();
    let base = ["experiment", "monl", "--smoke", "--out", &text(&out)].map(str::to_owned);
    let run = |more: &[&str]| {
        let args: Vec<&str> = base.iter().map(String::as_str).chain(more.iter().copied()).collect();
        avdit(&args)
    };
    run(&["--report-only"]).refused(2, &["holds no experiment", "--out"]);
    run(&["--only", "ball/vanilla-*"]).ok();
    let partial = read(&out.join("monl.md"));
    assert!(partial.contains("1 of 4 runs are finished"), "{partial}");
    assert!(
        partial.contains("- World **ball**: not run yet.") && partial.contains("not run yet |"),
        "{partial}"
    );
    let result = out.join("ball/vanilla-0/result.json");
    let first = read(&result);
    let again = "hint: go on with `avdit experiment monl --smoke --steps 8 --samples 16 --out ";
    run(&["--steps", "9"]).refused(2, &["other settings", "steps: there 8, here 9", again]);
    run(&["--only", "ball/mnol-*"]).refused(2, &["no run has such a name", "ball/monl-0", "without-vanilla"]);

    run(&["--doc", &text(&doc)]).ok();
    assert_eq!(read(&result), first, "a finished run is not run again");
    let rivals: Value = serde_json::from_str(&read(&out.join("rivals.json"))).unwrap();
    assert_eq!(rivals["chosen"], serde_json::json!(["vanilla"]));
    let page = read(&doc);
    assert!(page.contains("4 of 4 runs are finished") && page.contains("too small to learn"), "{page}");
    assert!(!page.contains("not run yet") && !page.contains("NaN"), "{page}");
    for row in [
        "| Vanilla | paper | 7.1 / **63.6** | 53.3 | 8.1 |",
        "| MoNL | paper | **6.4** / 77.6 |",
        "## World: monologue",
    ] {
        assert!(page.contains(row), "{row} in {page}");
    }
    let links: Vec<&str> = page.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()).collect();
    assert_eq!(links.len(), 12, "a chart and five sheets of each world: {links:?}");
    for link in links {
        assert!(link.starts_with("claim/") && folder.path().join("docs").join(link).is_file(), "{link}");
    }
    let made = read(&out.join("monl.md"));
    run(&["--report-only"]).ok();
    assert_eq!(read(&out.join("monl.md")), made, "the report is a function of what is there");
    for world in ["ball", "monologue"] {
        let run: Value = serde_json::from_str(&read(&out.join(world).join("monl-0/result.json"))).unwrap();
        assert_eq!((&run["config"]["run"]["steps"], &run["samples"]), (&Value::from(8), &Value::from(16)));
        assert!(run["cost"]["train"]["cpu_s"].as_f64().unwrap() > 0.0 && run["engine"]["name"].is_string());
    }
}
