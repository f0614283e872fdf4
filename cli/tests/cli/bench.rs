//! Measurements: several cases at once, failures among them, and what two results say of each other.

use crate::fixture::{avdit, command, fixture, text};
use serde_json::Value;
use std::path::Path;

const QUICK: [&str; 8] = ["--steps", "3", "--min-runs", "6", "--duration-s", "0.05", "--warm-up-ms", "1"];

fn quick<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["bench"], args, &QUICK].concat()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn rows(result: &Value) -> &Vec<Value> {
    result["rows"].as_array().unwrap()
}

#[test]
fn every_combination_is_measured_in_a_process_of_its_own() {
    let model = text(&fixture().at("model"));
    let args = quick(&[&model, "--batch", "1,2", "--threads", "1,2", "--no-limits", "--json"]);
    let result = json(&avdit(&args).ok().out);
    assert_eq!(result["schema"], "avdit-bench/2");
    assert_eq!(result["protocol"]["interleaved"], true);
    let cases: Vec<_> = rows(&result)
        .iter()
        .map(|row| (row["sampling"]["batch"].as_u64().unwrap(), row["threads"].as_u64().unwrap()))
        .collect();
    assert_eq!(cases, [(1, 1), (1, 2), (2, 1), (2, 2)]);
    for row in rows(&result) {
        let m = &row["measured"];
        assert_eq!((&row["model"]["name"], &row["model"]["precision"]), (&"model".into(), &"fp32".into()));
        let runs = m["runs"].as_u64().unwrap();
        assert!(runs >= 6 && m["step_ms"]["n"] == 3 * runs, "{m}");
        assert_eq!(m["step_ms_by_index"].as_array().unwrap().len(), 3);
        for part in ["step_ms", "network_ms", "copies_ms", "sampler_ms"] {
            assert!(m[part]["p50"].as_f64().unwrap() > 0.0 && m[part]["p99"].is_number(), "{part}");
        }
        assert_eq!(m["step_percentiles_ms"].as_array().unwrap().len(), 101);
        assert_eq!(m["run_p50_ms"].as_array().unwrap().len() as u64, runs);
        // The fixture's model has its codec: a clip can be decoded, and plays for some time.
        assert!(m["decode"]["video_ms"].as_f64().unwrap() > 0.0 && m["clip_seconds_per_s"].is_number());
        assert!(m["cpu_ms_per_step"].as_f64().unwrap() > 0.0);
        assert!(m["memory"]["run_peak_bytes"].as_u64().unwrap() > 1 << 20);
        // Without the machine's limits there is nothing to take a share of.
        assert_eq!((&m["roofline"], &m["device"]), (&Value::Null, &Value::Null));
    }
}

#[test]
fn a_case_that_fails_is_a_row_with_its_reason_and_the_others_run() {
    let (fixture, folder) = (fixture(), tempfile::tempdir().unwrap());
    let (model, damaged) = (text(&fixture.at("model")), fixture.copy_of("model", folder.path()));
    std::fs::write(damaged.join("model.onnx"), b"no graph").unwrap();
    let missing = text(&folder.path().join("nowhere"));
    let (damaged, out) = (text(&damaged), text(&folder.path().join("out.json")));
    let args = quick(&[&damaged, &model, &missing, "--no-limits", "--json-out", &out]);
    let said = avdit(&args).refused(3, &["2 of 3 cases failed", "model.onnx", "nowhere"]);
    assert!(said.out.contains("Latency per sampling step") && said.out.contains("Failed"), "{}", said.out);
    let result = json(&read(Path::new(&out)));
    let failed: Vec<_> = rows(&result).iter().map(|row| row["failed"].clone()).collect();
    assert_eq!((&failed[0]["exit_code"], &failed[0]["stage"]), (&3.into(), &"open".into()));
    assert!(failed[0]["reason"].as_str().unwrap().contains("model.onnx"), "{}", failed[0]);
    assert!(failed[1].is_null() && rows(&result)[1]["measured"]["runs"].as_u64().unwrap() >= 6);
    assert!(failed[2]["reason"].as_str().unwrap().contains("config.json"), "{}", failed[2]);
    assert!(rows(&result)[0]["measured"].is_null() && rows(&result)[2]["measured"].is_null());
}

#[test]
fn an_engine_that_is_missing_fails_with_its_own_code_and_has_no_figure() {
    let (fixture, folder) = (fixture(), tempfile::tempdir().unwrap());
    let (model, out) = (text(&fixture.at("model")), text(&folder.path().join("out.json")));
    let args = quick(&[&model, "--engine", "tract,ort-cpu", "--threads", "1", "--json-out", &out]);
    let nowhere = folder.path().join("libonnxruntime.so");
    let output = command(&args).env("ORT_DYLIB_PATH", nowhere).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
    let result = json(&read(Path::new(&out)));
    let (tract, ort) = (&rows(&result)[0], &rows(&result)[1]);
    assert!(ort["measured"].is_null() && ort["failed"]["exit_code"] == 4, "{ort}");
    assert!(ort["failed"]["reason"].as_str().unwrap().contains("libonnxruntime.so"), "{ort}");
    // What is there is judged by the machine's limits; what is missing has a reason for having none.
    let roofline = &tract["measured"]["roofline"];
    let share = roofline["share_of_matmul"].as_f64().unwrap();
    assert!(share > 0.0 && share.is_finite(), "{roofline}");
    let limits = result["limits"].as_array().unwrap();
    assert_eq!(limits.len(), 3);
    assert!(limits[0]["readings"].as_array().unwrap().len() == 2 && limits[0]["value"].is_number());
    assert!(limits[1]["value"].is_null() && limits[1]["reason"].as_str().unwrap().contains("ONNX Runtime"));
    assert_eq!(limits[2]["unit"], "GB/s");
}

#[test]
fn a_case_that_cannot_be_sampled_says_why() {
    let (fixture, folder) = (fixture(), tempfile::tempdir().unwrap());
    let fixed = text(&folder.path().join("fixed"));
    avdit(&["export", &text(&fixture.at("run")), "-o", &fixed, "--batch", "2"]).ok();
    let args = quick(&[&fixed, "--batch", "1,2", "--no-limits", "--sequential", "--json"]);
    let output = command(&args).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let result = json(&String::from_utf8_lossy(&output.stdout));
    assert!(rows(&result)[0]["failed"]["reason"].as_str().unwrap().contains("batch"), "{result}");
    assert!(rows(&result)[1]["measured"]["runs"].is_number());
    assert_eq!(result["protocol"]["interleaved"], false);
    assert_eq!(result["protocol"]["sequential_because"], "--sequential was given");
}

#[test]
fn a_worker_without_a_job_or_a_parent_ends() {
    let said = avdit(&["bench-worker"]);
    assert_eq!(said.code, Some(1), "{}", said.out);
    assert!(said.out.contains("no job on stdin"), "{}", said.out);
}

#[test]
fn results_are_written_as_table_json_markdown_csv_and_page() {
    let (fixture, folder) = (fixture(), tempfile::tempdir().unwrap());
    let model = text(&fixture.at("model"));
    let at = |name: &str| text(&folder.path().join(name));
    let (md, csv, html, out) = (at("b.md"), at("b.csv"), at("b.html"), at("b.json"));
    let files = ["--markdown", &md, "--csv", &csv, "--html", &html, "--json-out", &out];
    let args = quick(&[&[model.as_str(), "--no-limits"], &files[..]].concat());
    let said = avdit(&args).ok();
    assert!(said.out.contains("Parts of a step") && said.out.contains("p99"), "{}", said.out);
    assert!(read(Path::new(&md)).contains("| case | p50 |"));
    assert_eq!(read(Path::new(&csv)).lines().count(), 2);
    let page = read(Path::new(&html));
    assert!(page.contains("<svg") && !page.contains("http") && !page.contains("<script"));
    assert_eq!(json(&read(Path::new(&out)))["schema"], "avdit-bench/2");
    let nowhere = at("nowhere/b.html");
    avdit(&quick(&[&model, "--html", &nowhere])).refused(2, &["nowhere", "does not exist"]);
}

#[test]
fn two_results_of_one_machine_are_compared_and_a_gate_can_fail() {
    let (fixture, folder) = (fixture(), tempfile::tempdir().unwrap());
    let model = text(&fixture.at("model"));
    let (a, b) = (folder.path().join("a.json"), folder.path().join("b.json"));
    avdit(&quick(&[&model, "--threads", "1", "--no-limits", "--json-out", &text(&a)])).ok();
    let change = |edit: &dyn Fn(&mut Value)| {
        let mut result = json(&read(&a));
        edit(&mut result);
        std::fs::write(&b, result.to_string()).unwrap();
    };
    let compare = |more: &[&str]| {
        let (a, b) = (text(&a), text(&b));
        let args = [&["compare", a.as_str(), b.as_str()], more].concat();
        avdit(&args)
    };
    let scaled = |factor: f64| {
        move |result: &mut Value| {
            for run in result["rows"][0]["measured"]["run_p50_ms"].as_array_mut().unwrap() {
                *run = (run.as_f64().unwrap() * factor).into();
            }
        }
    };
    change(&|_| {});
    assert!(compare(&["--max-regression", "0%"]).ok().out.contains("no difference shown"));
    change(&scaled(50.0));
    assert!(compare(&[]).ok().out.contains("slower"));
    compare(&["--max-regression", "3%"]).refused(7, &["slower", "b.json"]);
    change(&scaled(0.02));
    let said = json(&compare(&["--max-regression", "3%", "--json"]).ok().out);
    assert_eq!((&said["schema"], &said["rows"][0]["verdict"]), (&"avdit-compare/1".into(), &"faster".into()));
    change(&|result| result["machine"]["cpu"] = "Another".into());
    compare(&[]).refused(3, &["processor", "Another", "a.json", "b.json", "hint: ", "--force"]);
    assert!(compare(&["--force"]).ok().out.contains("differs: processor"));

    // Too few runs judge nothing; a case that is twice is no case.
    change(&|result| result["rows"][0]["measured"]["run_p50_ms"] = serde_json::json!([1.0]));
    compare(&["--max-regression", "3%"]).refused(3, &["nothing to judge", "a.json", "b.json"]);
    change(&|result| {
        let row = result["rows"][0].clone();
        result["rows"].as_array_mut().unwrap().push(row);
    });
    compare(&[]).refused(3, &["b.json: two rows are", "hint: "]);
    std::fs::write(&b, "{}").unwrap();
    compare(&[]).refused(3, &["b.json", "avdit-bench/2"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_worker_that_is_killed_is_a_row_that_names_the_signal() {
    let model = text(&fixture().at("model"));
    let args = ["bench", &model, "--threads", "1", "--no-limits", "--json", "--duration-s", "20"];
    let parent = command(&args)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let children = format!("/proc/{0}/task/{0}/children", parent.id());
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let worker = loop {
        let found = std::fs::read_to_string(&children).unwrap();
        if let Some(worker) = found.split_whitespace().next() {
            break worker.to_owned();
        }
        assert!(std::time::Instant::now() < deadline, "no worker was started");
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    assert!(std::process::Command::new("kill").args(["-9", &worker]).status().unwrap().success());
    let output = parent.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(137));
    let failed = &json(&String::from_utf8_lossy(&output.stdout))["rows"][0]["failed"];
    assert_eq!(failed["signal"], 9, "{failed}");
    assert!(failed["reason"].as_str().unwrap().contains("signal 9"), "{failed}");
}
