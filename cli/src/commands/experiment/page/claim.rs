//! The claim: MoNL against each rival by the primary score.

use super::words::{change, difference, fixed, head, list, row, signed, verdict};
use crate::commands::experiment::chart::{Bar, forest};
use crate::commands::experiment::results::{MethodResults, Results, WorldResults, scores_of};
use crate::commands::experiment::rivals::{Kinds, PRIMARY, SECOND, Scores};
use avdit_media::metrics::Interval;

/// MoNL less a rival, over the seeds that both have.
pub struct Comparison<'a> {
    pub rival: &'a MethodResults,
    pub seeds: usize,
    pub monl: Scores,
    pub theirs: Scores,
    pub video: Interval,
    pub audio: Interval,
    pub both: Interval,
    /// `both` of each seed alone.
    pub by_seed: Vec<f64>,
}

/// MoNL against every rival that has runs, the strongest rival first.
pub fn comparisons(world: &WorldResults, kinds: Kinds) -> Vec<Comparison<'_>> {
    let Some(monl) = world.monl() else { return Vec::new() };
    let mut found: Vec<Comparison<'_>> = world
        .rivals()
        .filter_map(|rival| {
            let (ours, theirs) = monl.common(rival);
            let one = |run| scores_of(&[run], kinds).map_or(f64::NAN, |scores| scores.both.all);
            let by_seed = ours.iter().zip(&theirs).map(|(a, b)| one(a) - one(b)).collect();
            let (seeds, ours, theirs) = (ours.len(), scores_of(&ours, kinds)?, scores_of(&theirs, kinds)?);
            Some(Comparison {
                rival,
                seeds,
                video: ours.video.less(&theirs.video),
                audio: ours.audio.less(&theirs.audio),
                both: ours.both.less(&theirs.both),
                by_seed,
                monl: ours,
                theirs,
            })
        })
        .collect();
    found.sort_by(|a, b| a.theirs.both.all.total_cmp(&b.theirs.both.all));
    found
}

impl Comparison<'_> {
    fn verdict(&self) -> String {
        verdict(self.both, &self.by_seed, ["MoNL is better", "MoNL is worse"])
    }
}

/// The sentence that answers the question on a world.
pub fn answer(results: &Results, world: &WorldResults) -> String {
    let found = comparisons(world, PRIMARY);
    let all_seeds = |found: &Comparison<'_>| found.seeds == results.settings.seeds.len();
    let Some(best) = found.iter().find(|found| found.rival.method.single) else {
        let singles: Vec<_> = world.methods.iter().filter(|method| method.method.single).collect();
        if world.rivals_are_chosen && singles.is_empty() {
            return format!("- World **{}**: no single strategy is among its methods.\n", world.kind);
        }
        return format!("- World **{}**: not run yet.\n", world.kind);
    };
    let planned = world.methods.iter().filter(|method| method.method.rival).count();
    let whole = found.len() == planned && found.iter().all(all_seeds) && world.rivals_are_chosen;
    let so_far = if whole { "" } else { " (as far as it has run)" };
    let word = match best.verdict() {
        yes if yes == "MoNL is better" => "yes".to_owned(),
        no if no == "MoNL is worse" => "no, it is worse".to_owned(),
        other => format!("not shown ({other})"),
    };
    let mut text = format!(
        "- World **{}**{so_far}: {word}. On geometric average over the tasks, MoNL's distances are {} than those of the best \
        single strategy, {}: mean difference of logarithms {}; pictures {}, sound {}.",
        world.kind,
        change(best.both),
        best.rival.method.title,
        difference(best.both, 3),
        difference(best.video, 3),
        difference(best.audio, 3),
    );
    if let Some(strongest) = found.first().filter(|found| !found.rival.method.single) {
        text += &format!(
            " The strongest rival of all is {}: {}, {}.",
            strongest.rival.method.title,
            difference(strongest.both, 3),
            strongest.verdict()
        );
    }
    let second = comparisons(world, SECOND);
    if let Some(same) = second.iter().find(|found| found.rival.method.name == best.rival.method.name) {
        text += &format!(
            " Measured from the true clips themselves: {}, {} (pictures {}, sound {}).",
            difference(same.both, 3),
            same.verdict(),
            difference(same.video, 3),
            difference(same.audio, 3),
        );
    }
    text + "\n"
}

/// The table of a world and its chart, whose file is `chart`.
pub fn section(results: &Results, world: &WorldResults, chart: &str) -> (String, Option<String>) {
    let found = comparisons(world, PRIMARY);
    if found.is_empty() {
        return ("Not run yet: MoNL and a rival are needed.\n\n".into(), None);
    }
    let mut text = rows(&found);
    let waiting: Vec<String> = world
        .methods
        .iter()
        .filter(|method| method.method.rival && method.runs.len() < results.settings.seeds.len())
        .map(|method| {
            let (there, all) = (method.runs.len(), results.settings.seeds.len());
            format!("{} ({there} of {all} seeds)", method.method.title)
        })
        .collect();
    if !waiting.is_empty() {
        text += &format!("\nNot finished yet: {}.\n", list(&waiting));
    }
    text += &format!("\n![MoNL less each rival]({chart})\n\n");
    text += "The same with distances from the true clips themselves, as the paper measures; most of these is what the codec loses, \
        the same for every model:\n\n";
    text += &rows(&comparisons(world, SECOND));
    text.push('\n');
    let bars = found.iter().map(|found| Bar { name: found.rival.method.title.clone(), interval: found.both });
    let title = format!("MoNL less each rival, {}: mean logarithm of the distances", world.kind);
    let svg = forest(
        &title,
        "← MoNL better     difference of scores     rival better →",
        &bars.collect::<Vec<_>>(),
    );
    (text, Some(svg))
}

fn rows(found: &[Comparison<'_>]) -> String {
    let columns = ["score", "MoNL's", "pictures", "sound", "**both**", "by seed"].map(str::to_owned);
    let mut text = head(&["rival", "verdict"], columns);
    for found in found {
        let Comparison { rival, monl, theirs, video, audio, both, by_seed, .. } = found;
        text += &row([
            rival.method.title.clone(),
            found.verdict(),
            fixed(theirs.both.all, 3),
            fixed(monl.both.all, 3),
            difference(*video, 3),
            difference(*audio, 3),
            format!("**{}**", difference(*both, 3)),
            by_seed.iter().map(|x| signed(*x, 3)).collect::<Vec<_>>().join(", "),
        ]);
    }
    text
}
