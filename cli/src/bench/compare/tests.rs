use super::*;
use crate::bench::sample::{self, measured, row};

fn with(ms: &[(&str, Option<f64>)]) -> BenchResult {
    let failure = sample::result().rows[2].failed.clone();
    let rows = ms.iter().map(|(engine, ms)| match ms {
        Some(ms) => row(engine, Some(measured(*ms)), None),
        None => row(engine, None, failure.clone()),
    });
    BenchResult { rows: rows.collect(), ..sample::result() }
}

fn compared(a: &BenchResult, b: &BenchResult, most: Option<f64>) -> Comparison {
    compare(("a.json", a), ("b.json", b), Figure::P50, most)
}

#[test]
fn the_same_measurement_twice_shows_no_difference() {
    let result = with(&[("tract", Some(80.0)), ("ort-cpu", Some(60.0))]);
    let comparison = compared(&result, &result, Some(0.0));
    for pair in &comparison.rows {
        assert_eq!((pair.verdict, pair.regressed), (Verdict::NoDifferenceShown, false));
        let ratio = pair.ratio.unwrap();
        assert!(ratio.estimate == 1.0 && ratio.low < 1.0 && ratio.high > 1.0, "{ratio:?}");
    }
    assert!(differences(&result, &result).is_empty());
}

#[test]
fn a_case_that_became_slower_fails_the_gate_that_does_not_allow_it() {
    let (a, b) = (with(&[("tract", Some(80.0))]), with(&[("tract", Some(84.0))]));
    let of = |most| compared(&a, &b, most).rows[0].clone();
    assert_eq!((of(None).verdict, of(None).regressed), (Verdict::Slower, false));
    assert!(of(Some(0.03)).regressed, "5 % where 3 % are allowed");
    assert!(!of(Some(0.06)).regressed, "5 % where 6 % are allowed");
    let back = compared(&b, &a, Some(0.0)).rows[0].clone();
    assert_eq!((back.verdict, back.regressed), (Verdict::Faster, false));
    assert!((back.ratio.unwrap().estimate - 80.0 / 84.0).abs() < 1e-9);
}

#[test]
fn processor_time_is_compared_where_that_is_asked_for() {
    let (a, mut b) = (with(&[("tract", Some(80.0))]), with(&[("tract", Some(80.0))]));
    let measured = b.rows[0].measured.as_mut().unwrap();
    measured.run_cpu_ms.iter_mut().for_each(|ms| *ms *= 1.1);
    let of = |figure| compare(("a", &a), ("b", &b), figure, Some(0.05)).rows[0].clone();
    assert_eq!(of(Figure::P50).verdict, Verdict::NoDifferenceShown);
    assert_eq!(of(Figure::Mean).verdict, Verdict::NoDifferenceShown);
    let cpu = of(Figure::Cpu);
    assert_eq!((cpu.verdict, cpu.regressed), (Verdict::Slower, true));
    assert!((cpu.b_ms.unwrap() / cpu.a_ms.unwrap() - 1.1).abs() < 1e-9);
}

#[test]
fn noise_is_no_regression() {
    let (mut a, mut b) = (with(&[("tract", Some(80.0))]), with(&[("tract", Some(84.0))]));
    for (result, phase) in [(&mut a, 0), (&mut b, 5)] {
        let runs = &mut result.rows[0].measured.as_mut().unwrap().run_p50_ms;
        runs.iter_mut()
            .enumerate()
            .for_each(|(i, ms)| *ms *= 0.7 + 0.6 * ((i * 7 + phase) % 20) as f64 / 19.0);
    }
    let pair = compared(&a, &b, Some(0.03)).rows[0].clone();
    assert!(pair.ratio.unwrap().estimate > 1.03);
    assert_eq!((pair.verdict, pair.regressed), (Verdict::NoDifferenceShown, false));
}

#[test]
fn what_ran_and_does_not_run_any_more_is_a_regression() {
    let a = with(&[("tract", Some(80.0)), ("ort-cpu", None), ("ort-cuda", Some(5.0))]);
    let b = with(&[("tract", None), ("ort-cpu", Some(60.0)), ("candle", Some(90.0))]);
    let comparison = compared(&a, &b, Some(0.03));
    let verdicts: Vec<_> = comparison.rows.iter().map(|pair| (pair.verdict, pair.regressed)).collect();
    let expected = [
        (Verdict::FailedInB, true),
        (Verdict::FailedInA, false),
        (Verdict::OnlyInA, true),
        (Verdict::OnlyInB, false),
    ];
    assert_eq!(verdicts, expected);
    assert!(comparison.rows.iter().all(|pair| pair.ratio.is_none()));
}

#[test]
fn other_machines_and_states_are_named_on_both_sides() {
    let (a, mut b) = (sample::result(), sample::result());
    b.machine.cpu = "Another".into();
    b.machine.threads = 64;
    b.machine.instruction_sets.push("avx512f".into());
    b.before.governor = Some("powersave".into());
    let found = differences(&a, &b);
    let what: Vec<_> = found.iter().map(|difference| difference.what.as_str()).collect();
    assert_eq!(what, ["processor", "logical processors", "instruction sets", "clock governor"]);
    assert_eq!((found[3].a.as_str(), found[3].b.as_str()), ("performance", "powersave"));
    // An engine's version is what one may want to compare: told, not refused.
    let mut newer = sample::result();
    newer.rows[0].measured.as_mut().unwrap().opened.version = "1.32.0".into();
    assert!(differences(&a, &newer).is_empty());
    let pair = compared(&a, &newer, None).rows[0].clone();
    assert_eq!(pair.versions, Some(("1.31.1".into(), "1.32.0".into())));
}

#[test]
fn few_runs_have_no_verdict_and_other_cases_are_not_mixed() {
    let (a, mut b) = (with(&[("tract", Some(80.0))]), with(&[("tract", Some(120.0))]));
    b.rows[0].measured.as_mut().unwrap().run_p50_ms.truncate(4);
    let pair = compared(&a, &b, Some(0.0)).rows[0].clone();
    assert_eq!((pair.verdict, pair.regressed, pair.ratio), (Verdict::TooFewRuns, false, None));
    b.rows[0].sampling.batch = 4;
    let verdicts: Vec<_> = compared(&a, &b, None).rows.iter().map(|pair| pair.verdict).collect();
    assert_eq!(verdicts, [Verdict::OnlyInA, Verdict::OnlyInB]);
}

#[test]
fn a_result_survives_being_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    let result = sample::result();
    std::fs::write(&path, crate::output::json_text(&result).unwrap()).unwrap();
    assert_eq!(read(&path).unwrap(), result);
    std::fs::write(&path, "{\"schema\":\"avdit-bench/1\"}").unwrap();
    let error = read(&path).unwrap_err();
    assert!(error.to_string().contains("avdit-bench/1"), "{error}");
    assert_eq!(crate::exit::code(&error), 3);
    std::fs::write(&path, "not").unwrap();
    assert_eq!(crate::exit::code(&read(&path).unwrap_err()), 3);
}
