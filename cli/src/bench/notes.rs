//! What should make a reader careful.

use super::result::{Limit, Measured};
use avdit_runtime::machine::{Machine, State};

/// The variation above which a measurement is not quiet.
const QUIET_CV: f64 = 0.025;

/// Other work, as a load average, above which a machine is not quiet.
const QUIET_LOAD: f64 = 0.5;

/// Two readings of a limit, or two halves of a measurement, that differ by more are not the same.
const SAME: f64 = 0.05;

/// On a row.
pub fn of_row(measured: &Measured, threads: usize, machine: &Machine) -> Vec<String> {
    let mut notes = Vec::new();
    let cv = measured.step_ms.cv;
    if cv > QUIET_CV {
        notes.push(format!(
            "steps vary by {:.1} % (coefficient of variation; above {:.1} % a measurement is not quiet)",
            cv * 100.0,
            QUIET_CV * 100.0
        ));
    }
    if let Some(change) = drift(&measured.run_p50_ms).filter(|change| change.abs() > SAME) {
        let direction = if change > 0.0 { "longer" } else { "shorter" };
        notes.push(format!(
            "steps became {:.1} % {direction} from the first half of the runs to the second",
            change.abs() * 100.0
        ));
    }
    if threads > machine.threads {
        notes.push(format!("{threads} threads on {} processors", machine.threads));
    }
    let (busy, could) = (measured.threads_busy, threads.min(machine.threads));
    if busy < 0.9 * could as f64 {
        notes.push(format!("{busy:.2} of {threads} threads were busy on average"));
    }
    if measured.roofline.is_some_and(|roofline| roofline.share_of_matmul > 1.02) {
        notes.push(
            "reached more than the limit, which other work must have disturbed when it was read".to_owned(),
        );
    }
    if measured.opened.threads != threads {
        notes.push(format!("{threads} threads asked for, the engine took {}", measured.opened.threads));
    }
    notes
}

/// On all of it.
pub fn of_all(before: &State, limits: &[Limit]) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(load) = before.load_average.filter(|load| *load > QUIET_LOAD) {
        notes.push(format!("load average {load:.2} before the measurement: other work shared the machine"));
    }
    if let Some(governor) = before.governor.as_ref().filter(|governor| *governor != "performance") {
        notes.push(format!("the clock's governor is {governor}: the clock may follow the load"));
    }
    for limit in limits {
        if let [first, second] = limit.readings[..]
            && (second / first - 1.0).abs() > SAME
        {
            notes.push(format!(
                "{} was {first:.0} {unit} before and {second:.0} {unit} after: the machine was disturbed",
                name(limit),
                unit = limit.unit
            ));
        }
    }
    notes
}

/// `ort-cpu fp32 product on 2 threads`.
pub fn name(limit: &Limit) -> String {
    let plural = if limit.threads == 1 { "" } else { "s" };
    let what = match (&limit.engine, limit.precision) {
        (Some(engine), Some(precision)) => format!("{engine} {precision} product"),
        _ => "memory".to_owned(),
    };
    format!("{what} on {} thread{plural}", limit.threads)
}

/// By how much the median of the second half differs from that of the first; `None` of fewer than six.
fn drift(values: &[f64]) -> Option<f64> {
    let median = |half: &[f64]| {
        let mut half = half.to_vec();
        half.sort_unstable_by(f64::total_cmp);
        half[half.len() / 2]
    };
    let (first, second) = values.split_at(values.len() / 2);
    (values.len() >= 6).then(|| median(second) / median(first) - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::sample;

    #[test]
    fn a_quiet_row_needs_no_note_and_a_disturbed_one_gets_its_own() {
        let (machine, mut measured) = (sample::result().machine, sample::measured(60.0));
        assert_eq!(of_row(&measured, 2, &machine), Vec::<String>::new());
        measured.step_ms.cv = 0.04;
        measured.threads_busy = 1.1;
        let half = measured.run_p50_ms.len() / 2;
        measured.run_p50_ms[half..].iter_mut().for_each(|ms| *ms *= 1.2);
        let notes = of_row(&measured, 2, &machine);
        assert_eq!(notes.len(), 3, "{notes:?}");
        assert!(notes[0].contains("4.0 %") && notes[1].contains("longer") && notes[2].contains("1.10 of 2"));
    }

    #[test]
    fn readings_of_a_limit_that_disagree_are_told() {
        let mut result = sample::result();
        assert!(of_all(&result.before, &result.limits).is_empty());
        result.limits[0].readings = vec![400.0, 300.0];
        result.before.load_average = Some(1.4);
        result.before.governor = Some("powersave".into());
        let notes = of_all(&result.before, &result.limits);
        assert_eq!(notes.len(), 3, "{notes:?}");
        assert!(notes[2].contains("ort-cpu fp32 product on 2 threads was 400 GFLOP/s before and 300"));
    }
}
