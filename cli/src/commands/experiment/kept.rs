//! Identity kept, two methods clip by clip.

use super::measured::Measured;
use super::run::RunFolder;
use anyhow::Result;
use avdit_core::Task;
use avdit_media::metrics::{Interval, mean_interval};
use avdit_media::world::Identity;

/// How much nearer the first run of each pair stays to what was given than the second, over clips; pairs are seeds, and a
/// clip counts once with their mean. Of colour (`look`) or timbre.
pub fn against(pairs: &[(&RunFolder, &RunFolder)], task: &Task, look: bool) -> Result<Option<Interval>> {
    let mut sums: Vec<(f64, f64)> = Vec::new();
    for (ours, theirs) in pairs {
        let read = |folder: &RunFolder| -> Result<Vec<Option<f64>>> {
            Ok(own(&Measured::read(&folder.measured(task))?.identity, look))
        };
        let (ours, theirs) = (read(ours)?, read(theirs)?);
        sums.resize(ours.len().max(sums.len()), (0.0, 0.0));
        for (sum, (ours, theirs)) in sums.iter_mut().zip(ours.iter().zip(&theirs)) {
            if let (Some(ours), Some(theirs)) = (ours, theirs) {
                *sum = (sum.0 + theirs - ours, sum.1 + 1.0);
            }
        }
    }
    let nearer: Vec<f64> = sums.iter().filter(|(_, n)| *n > 0.0).map(|(sum, n)| sum / n).collect();
    Ok((nearer.len() > 1).then(|| mean_interval(&nearer, 0)))
}

/// The difference between before and after of each clip that has a before; where there is nothing after, the mean
/// difference between the befores of two clips.
fn own(clips: &[Identity], look: bool) -> Vec<Option<f64>> {
    let of = |who: &Identity| match look {
        true => (who.hue_given, who.hue_made),
        false => (who.timbre_given, who.timbre_made),
    };
    let before: Vec<f64> = clips.iter().filter_map(|who| of(who).0).collect();
    let n = before.len() as f64;
    let apart = before.iter().flat_map(|a| before.iter().map(move |b| (a - b).abs())).sum::<f64>();
    let stranger = if n > 1.0 { apart / (n * (n - 1.0)) } else { 0.0 };
    clips
        .iter()
        .map(|who| of(who).0.map(|given| of(who).1.map_or(stranger, |made| (given - made).abs())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_that_lost_its_look_counts_as_a_stranger() {
        let who = |given: f64, made: Option<f64>| Identity {
            hue_given: Some(given),
            hue_made: made,
            ..Identity::default()
        };
        let found = own(&[who(0.0, Some(0.25)), who(1.0, None), Identity::default()], true);
        assert_eq!(found, [Some(0.25), Some(1.0), None]);
        assert_eq!(own(&[who(0.5, None)], false), [None]);
    }
}
