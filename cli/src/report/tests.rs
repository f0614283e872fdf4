use super::data::*;
use super::{code_span, fixture, markdown, render, svg, write};

fn html(report: &Report) -> String {
    render("page.html", report).unwrap()
}

fn md(report: &Report) -> String {
    render("page.md", report).unwrap()
}

/// Every coordinate is a number on the drawing or just beside it.
fn assert_finite(svg: &str) {
    let coordinates = ["d", "x", "y", "cx", "cy", "width", "height"];
    for part in
        coordinates.iter().flat_map(|name| svg.split(&format!(" {name}=\"")).skip(1).collect::<Vec<_>>())
    {
        let value = part.split('"').next().unwrap();
        for number in value.split(['M', 'L', 'h', ' ']).filter(|number| !number.is_empty()) {
            let number: f64 = number.parse().unwrap_or_else(|_| panic!("{number} in {svg}"));
            assert!((-100.0..1000.0).contains(&number), "{number} in {svg}");
        }
    }
}

#[test]
fn an_empty_report_is_a_page_that_says_what_is_missing() {
    let report = Report::default();
    assert!(html(&report).contains("No samples were made."));
    assert!(html(&report).contains("No stage was timed."));
    assert!(md(&report).contains("No samples were made."));
    assert!(!html(&report).contains("class=\"verdict"));
}

#[test]
fn text_is_escaped_wherever_it_stands() {
    let evil = "<b>\"x\" & 'y'</b>|*_`\n# ";
    let mut report = fixture::report();
    report.title = evil.into();
    report.summary = evil.into();
    report.command = evil.into();
    report.created = evil.into();
    for a in &mut report.agreement {
        (a.task, a.measure) = (evil.into(), evil.into());
    }
    report
        .compared
        .iter_mut()
        .for_each(|c| (c.sampler, c.task, c.engine) = (evil.into(), evil.into(), evil.into()));
    for task in &mut report.tasks {
        (task.task, task.description) = (evil.into(), evil.into());
        for s in &mut task.samples {
            s.name = evil.into();
            s.media.mp4 = "\" onerror=\"alert(1)".into();
            s.media.gif = "javascript:alert(1)".into();
            (s.recipe.engine, s.recipe.sampler, s.recipe.guidance) = (evil.into(), evil.into(), evil.into());
        }
    }
    let mut evil_facts = vec![Fact::new(evil, evil)];
    report.training.as_mut().unwrap().facts.append(&mut evil_facts.clone());
    report.versions.append(&mut evil_facts);
    report.latency[0].engine = evil.into();
    report.stages[0].note = evil.into();
    report.engines[0].library = evil.into();
    report.dataset.as_mut().unwrap().left_out[0].detail = evil.into();
    report.codec.as_mut().unwrap().name = evil.into();
    report.machine.cpu = evil.into();
    report.not_run[0].why = evil.into();
    let page = html(&report);
    assert!(!page.contains("<b>") && !page.contains("\"x\"") && !page.contains(" & "));
    assert!(!page.contains("onerror=\"") && !page.contains("javascript:"));
    let text = md(&report);
    assert!(text.matches("\\<b\\>").count() > 10);
    let outside_code = text.lines().filter(|line| !line.starts_with("- command: "));
    assert!(outside_code.clone().all(|line| !line.replace("\\<", "").contains("<b>")));
    assert!(!outside_code.clone().any(|line| line == "# "));
}

#[test]
fn markdown_shows_text_letter_for_letter_on_one_line() {
    assert_eq!(markdown("a_b|c\n# d"), "a\\_b\\|c \\# d");
    assert_eq!(code_span("avdit demo"), "`avdit demo`");
    assert_eq!(code_span("a ``b`` c"), "``` a ``b`` c ```");
}

#[test]
fn every_file_of_every_sample_is_linked() {
    let report = fixture::report();
    let (page, text) = (html(&report), md(&report));
    let mut n = 0;
    for sample in report.tasks.iter().flat_map(|task| &task.samples) {
        for media in [Some(&sample.media), sample.reference.as_ref()].into_iter().flatten() {
            for file in [&media.mp4, &media.gif, &media.wav, &media.png] {
                assert!(page.contains(&format!("href=\"{file}\"")), "{file}");
                assert!(text.contains(&format!("]({file})")), "{file}");
                n += 1;
            }
            assert!(page.contains(&format!("<source src=\"{}\" type=\"video/mp4\">", media.mp4)));
            assert!(page.contains(&format!("src=\"{}\" aria-label", media.wav)));
        }
    }
    assert_eq!(n, 4 * (8 + 5));
}

#[test]
fn names_with_spaces_and_marks_are_links_that_work() {
    let mut report = fixture::report();
    report.tasks[0].samples[0].media.png = "my samples/50% #1?.png".into();
    let link = "my%20samples/50%25%20%231%3F.png";
    assert!(html(&report).contains(&format!("href=\"{link}\"")));
    assert!(md(&report).contains(&format!("]({link})")));
}

#[test]
fn the_page_needs_nothing_from_outside() {
    let page = html(&fixture::report());
    for outside in ["http://", "https://", "src=\"//", "@import", "<script", "<link"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn the_two_pages_state_the_same_figures() {
    let report = fixture::report();
    let (page, text) = (html(&report), md(&report));
    for figure in [
        "+0.64",
        "+0.52 to +0.75",
        "6.31 ms",
        "18.0 µs",
        "3 min 49 s",
        "4 min 46 s",
        "31.4 dB",
        "4.4 dB",
        "8.00 GiB",
        "1.21 M",
        "253 clips kept",
        "libonnxruntime.so.1.31.1",
        "no GPU on this machine",
    ] {
        assert!(page.contains(figure), "{figure} in the page");
        assert!(text.contains(figure), "{figure} in the text");
    }
}

#[test]
fn drawings_stay_finite_whatever_they_are_given() {
    let wild =
        [0.0, 1.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, 1e-300];
    for &a in &wild {
        for &b in &wild {
            for n in [1, 2, 3] {
                let points: Vec<LossPoint> = (0..n)
                    .map(|i| LossPoint {
                        step: i,
                        video: a,
                        audio: if i == 0 { b } else { a },
                        learning_rate: Some(b),
                    })
                    .collect();
                assert_finite(&svg::loss_chart(&points));
                assert_finite(&svg::latency_chart("e", &vec![StepLatency { p50_ms: a, p90_ms: b }; n]));
            }
            let i = Interval { mean: a, low: b, high: a };
            let agreement =
                Agreement { matched: i, shuffled: i, difference: i, ceiling: Some(b), ..Default::default() };
            assert_finite(&svg::agreement_chart(&[agreement]));
        }
    }
    assert!(svg::loss_chart(&[]).is_empty() && svg::latency_chart("e", &[]).is_empty());
    assert!(svg::agreement_chart(&[]).is_empty());
}

#[test]
fn charts_of_a_measurement_stay_finite_whatever_they_are_given() {
    use svg::bench::*;
    let wild = [0.0, 1.0, -1.0, f64::NAN, f64::INFINITY, f64::MAX, f64::MIN_POSITIVE, 1e-300];
    for &a in &wild {
        for &b in &wild {
            let label = || "a".to_owned();
            let bar = |x, y| Bar { label: label(), index: 7, p50: x, p90: y, p99: x };
            assert_finite(&bars_chart(&[bar(a, b), bar(b, 1.0)]));
            let parts = |x, y| Parts { label: label(), network: x, copies: y, sampler: x };
            assert_finite(&parts_chart(&[parts(a, b), parts(1.0, b)]));
            assert_finite(&by_step_chart(&[(0, vec![a, b, 1.0]), (9, vec![b])]));
            assert_finite(&distribution_chart(&[(0, &[a, b, 1.0]), (1, &[b]), (2, &[])]));
            let roof = Roof { label: label(), gflop_per_s: a, gb_per_s: b };
            let point = Point { label: label(), index: 0, intensity: b, gflop_per_s: a };
            let other = Point { label: label(), index: 1, intensity: 3.0, gflop_per_s: 5.0 };
            assert_finite(&roofline_chart(&[roof], &[point, other]));
        }
    }
    assert!(bars_chart(&[]).is_empty() && by_step_chart(&[]).is_empty() && parts_chart(&[]).is_empty());
    assert!(distribution_chart(&[]).is_empty() && roofline_chart(&[], &[]).is_empty());
}

#[test]
fn charts_of_a_run_stay_finite_whatever_they_are_given() {
    let wild = [0.0, 1.0, -1.0, f64::NAN, f64::INFINITY, f64::MAX, f64::MIN_POSITIVE, 1e-300];
    for &a in &wild {
        for &b in &wild {
            let points = vec![(1.0, a), (2.0, b), (3.0, 1.0), (4.0, a)];
            for (from_zero, smooth) in [(false, false), (false, true), (true, false), (true, true)] {
                let curve = svg::Curve { class: "s0".into(), label: "a".into(), points: points.clone() };
                let roof = Some((b, "roof"));
                let look = svg::Look { title: "t", from_zero, smooth, roof, marks: &[2, 9] };
                assert_finite(&svg::curves_chart(&[curve], &look));
            }
            let rows =
                [("0–100".to_owned(), vec![Some(a), None]), ("100–200".to_owned(), vec![Some(b), Some(1.0)])];
            assert_finite(&svg::heat_chart("video", "loss", "level", &[(1, 2), (3, 4)], &rows));
        }
    }
    assert!(svg::heat_chart("video", "loss", "level", &[], &[]).is_empty());
}

#[test]
fn the_page_of_a_measurement_says_all_of_it_and_needs_nothing_from_outside() {
    let mut result = crate::bench::sample::result();
    let page = super::bench_page(&result).unwrap();
    for part in [
        "ort-cpu",
        "1 of 3 cases failed",
        "ort-cuda cannot run here: &lt;no&gt;",
        "fp32, batch 1, 2 threads, ddim × 4 steps",
        "60.0 ms",
        "CPUExecutionProvider",
        "Against the machine",
        "360 GFLOP",
        "prefers-color-scheme: dark",
        "width=device-width",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(page.matches("<svg").count(), 5);
    for outside in ["http://", "https://", "src=\"", "href=\"", "@import", "<script", "<link", "<no>"] {
        assert!(!page.contains(outside), "{outside}");
    }
    result.rows.retain(|row| row.failed.is_some());
    let page = super::bench_page(&result).unwrap();
    assert!(page.contains("Nothing was measured") && !page.contains("<svg"));
}

#[test]
fn a_single_point_is_drawn_as_a_dot() {
    let point = LossPoint { step: 1, video: 0.5, audio: 0.4, learning_rate: None };
    let svg = svg::loss_chart(&[point]);
    assert!(svg.contains("h0\""), "{svg}");
}

#[test]
fn both_files_are_written_whole_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &fixture::report()).unwrap();
    let mut names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["report.html", "report.md"]);
    let missing = write(&folder.path().join("nowhere"), &fixture::report()).unwrap_err();
    assert!(missing.to_string().contains("report.html"), "{missing}");
}
