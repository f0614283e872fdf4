//! What may be said of the law, given the intervals: never more than they carry.

use super::data::{Agreement, Interval};
use super::format::signed;
use serde::Serialize;

/// What the interval of matched less shuffled says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Finding {
    /// It lies above zero.
    Learnt,
    /// It holds zero.
    Open,
    /// It lies below zero.
    Against,
    /// There is no interval to speak of.
    Unmeasured,
}

/// The finding of one task.
pub(super) fn finding(agreement: &Agreement) -> Finding {
    let Interval { mean, low, high } = agreement.difference;
    match () {
        () if ![mean, low, high].iter().all(|v| v.is_finite()) || low > high || agreement.n_clips < 2 => {
            Finding::Unmeasured
        }
        () if low > 0.0 => Finding::Learnt,
        () if high < 0.0 => Finding::Against,
        () => Finding::Open,
    }
}

/// The answer for all tasks: its mark, its headline and one sentence for each task.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Verdict {
    /// The weakest finding among the tasks.
    pub(super) finding: Finding,
    /// The headline.
    pub(super) headline: String,
    /// One sentence for each task.
    pub(super) sentences: Vec<String>,
}

/// The verdict over all tasks; `None` if no task was measured at all.
pub(super) fn verdict(agreements: &[Agreement]) -> Option<Verdict> {
    let findings: Vec<Finding> = agreements.iter().map(finding).collect();
    let tasks_with = |wanted: Finding| -> Vec<&str> {
        agreements
            .iter()
            .zip(&findings)
            .filter(|(_, f)| **f == wanted)
            .map(|(a, _)| a.task.as_str())
            .collect()
    };
    let learnt = tasks_with(Finding::Learnt);
    let against = tasks_with(Finding::Against);
    let unmeasured = tasks_with(Finding::Unmeasured);
    let (finding, headline) = match () {
        () if agreements.is_empty() => return None,
        () if learnt.len() == agreements.len() => (Finding::Learnt, "The model has learnt the law.".into()),
        () if !against.is_empty() => (
            Finding::Against,
            format!(
                "No: for {} sight and sound agree less than chance pairs do. Something is wrong.",
                join(&against)
            ),
        ),
        () if unmeasured.len() == agreements.len() => {
            (Finding::Unmeasured, "Whether the model has learnt the law could not be measured.".into())
        }
        () if learnt.is_empty() => {
            (Finding::Open, "Not shown: this run does not tell the model from chance.".into())
        }
        () => {
            let rest: Vec<&str> =
                agreements.iter().map(|a| a.task.as_str()).filter(|task| !learnt.contains(task)).collect();
            (Finding::Open, format!("Learnt for {}, not shown for {}.", join(&learnt), join(&rest)))
        }
    };
    Some(Verdict { finding, headline, sentences: agreements.iter().map(sentence).collect() })
}

fn sentence(agreement: &Agreement) -> String {
    let Agreement { task, measure, n_clips, .. } = agreement;
    let difference = agreement.difference;
    let found = match finding(agreement) {
        Finding::Unmeasured => {
            return format!("{task}: no interval could be computed from {n_clips} clips.");
        }
        Finding::Learnt => "the interval lies above zero",
        Finding::Open => "the interval includes zero",
        Finding::Against => "the interval lies below zero",
    };
    format!(
        "{task}: {measure} is {} in generated clips and {} when the same pictures are paired with other clips' sounds; \
         the difference is {} (95 % interval {} to {}, {n_clips} clips): {found}.",
        signed(agreement.matched.mean),
        signed(agreement.shuffled.mean),
        signed(difference.mean),
        signed(difference.low),
        signed(difference.high),
    )
}

fn join(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).into(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(task: &str, low: f64, high: f64) -> Agreement {
        let difference = Interval { mean: (low + high) / 2.0, low, high };
        Agreement { task: task.into(), n_clips: 32, difference, ..Default::default() }
    }

    #[test]
    fn the_wording_follows_the_interval() {
        let of = |a: Agreement, b: Agreement| verdict(&[a, b]).unwrap();
        let both = of(with("a2v", 0.4, 0.7), with("v2a", 0.2, 0.5));
        assert_eq!(
            (both.finding, both.headline.as_str()),
            (Finding::Learnt, "The model has learnt the law.")
        );
        let one = of(with("a2v", 0.4, 0.7), with("v2a", -0.01, 0.5));
        assert_eq!(
            (one.finding, one.headline.as_str()),
            (Finding::Open, "Learnt for a2v, not shown for v2a.")
        );
        let none = of(with("a2v", 0.0, 0.7), with("v2a", -0.1, 0.5));
        assert!(none.headline.starts_with("Not shown"), "{}", none.headline);
        let worse = of(with("a2v", 0.4, 0.7), with("v2a", -0.5, -0.1));
        assert!(worse.headline.starts_with("No: for v2a"), "{}", worse.headline);
        assert!(worse.sentences[1].ends_with("the interval lies below zero."));
    }

    #[test]
    fn without_an_interval_nothing_is_claimed() {
        assert!(verdict(&[]).is_none());
        for broken in [
            with("a2v", f64::NAN, 0.5),
            with("a2v", 0.5, 0.4),
            Agreement { n_clips: 1, ..with("a2v", 0.4, 0.5) },
        ] {
            let verdict = verdict(&[broken]).unwrap();
            assert_eq!(verdict.finding, Finding::Unmeasured);
            assert!(verdict.sentences[0].contains("no interval"));
        }
    }
}
