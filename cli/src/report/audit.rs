//! The page of an audit: what was kept, what was left out and why, with a look at each. One file that needs nothing
//! from outside and no script: rows are filtered by the style alone.

use super::environment;
use super::format::{NO_NUMBER, count, percent, seconds, signed};
use super::svg::outline;
use avdit_media::audit::{AuditPage, Measured, PageRow, Reason};
use avdit_media::shard::{LatentStats, ModalityStats};
use minijinja::context;
use minijinja::value::Value;

/// The page.
///
/// # Errors
/// If the template cannot be rendered, which is a fault of this program.
pub(crate) fn audit_page(page: &AuditPage<'_>) -> Result<String, String> {
    render(page).map_err(|error| format!("{error:#}"))
}

fn render(page: &AuditPage<'_>) -> Result<String, minijinja::Error> {
    let left_out: usize = page.reasons.iter().map(|(_, n)| n).sum();
    let shown = |reason| page.rows.iter().filter(|row| row.row.reason == reason).count();
    let total = (page.kept + left_out).max(1) as f64;
    let verdict = |reason: Option<Reason>, n: usize| {
        context! {
            class => class(reason), words => reason.map_or("kept", Reason::describe), count => count(n as u64),
            shown => count(shown(reason) as u64), all => shown(reason) == n,
            percent => percent(n as f64 / total), width => 100.0 * n as f64 / total,
        }
    };
    let mut reasons = page.reasons.clone();
    reasons.sort_by_key(|&(reason, n)| (std::cmp::Reverse(n), reason));
    let verdicts: Vec<Value> = std::iter::once(verdict(None, page.kept))
        .chain(reasons.into_iter().map(|(reason, n)| verdict(Some(reason), n)))
        .collect();
    let sources: Vec<&str> = page.rows.iter().map(|row| row.row.source.as_str()).collect();
    let folder = common_folder(&sources);
    environment()?.get_template("audit.html")?.render(context! {
        kept => count(page.kept as u64),
        left_out => count(left_out as u64),
        files => count(page.files as u64),
        verdicts,
        folder,
        all_shown => page.rows.len() == page.kept + left_out,
        rows => page.rows.iter().map(|row| table_row(row, folder)).collect::<Vec<_>>(),
        dataset => page.dataset.map(|info| context! {
            clips => count(info.clips as u64), shards => count(info.shards.len() as u64),
            hours => seconds(info.clips as f64 * info.grid.duration_s()),
            grid => format!("{}×{} pixels, {} frames at {} fps, {} Hz", info.grid.width, info.grid.height,
                info.grid.frames, info.grid.fps, info.grid.sample_rate_hz),
            codec => info.codec.kind.as_str(), sha256 => info.codec.sha256.as_str(),
        }),
        codec => page.codec.map(|report| context! {
            psnr => report.reconstruction.video_psnr_db, lsd => report.reconstruction.audio_log_spectral_distance_db,
            clips => count(report.clips as u64),
        }),
        stats => page.stats.map(stats_rows),
        style => Value::from_safe_string(
            concat!(include_str!("page.css"), include_str!("audit.css")).into()
        ),
    })
}

fn class(reason: Option<Reason>) -> String {
    let words = reason.map_or("kept", Reason::describe);
    words.split(' ').collect::<Vec<_>>().join("-")
}

/// The folder that all sources lie in, with its last slash; empty if there is none.
fn common_folder<'a>(sources: &[&'a str]) -> &'a str {
    let Some(first) = sources.first() else { return "" };
    let same = |other: &&str| {
        first
            .char_indices()
            .zip(other.chars())
            .find(|((_, a), b)| a != b)
            .map_or(first.len().min(other.len()), |((i, _), _)| i)
    };
    let shared = sources.iter().map(same).min().unwrap_or(0);
    first[..shared].rfind('/').map_or("", |slash| &first[..=slash])
}

fn table_row(row: &PageRow<'_>, folder: &str) -> Value {
    let (audit, look) = (row.row, &row.look);
    let frames = (!look.frames.is_empty())
        .then(|| Value::from_safe_string(format!("data:image/jpeg;base64,{}", base64(&look.frames))));
    let measured = audit.measured.unwrap_or_default();
    let number = |of: fn(&Measured) -> Option<f64>| audit.measured.as_ref().and_then(of);
    let level = |db: f64| format!("{}{:.1}", if db < 0.0 { "−" } else { "+" }, db.abs());
    context! {
        class => class(audit.reason),
        words => audit.reason.map_or("kept", Reason::describe),
        source => audit.source.strip_prefix(folder).unwrap_or(&audit.source),
        start => audit.start_s.filter(|s| *s > 0.0).map(|s| format!("from {s:.3} s")),
        detail => audit.detail.as_str(),
        frames,
        sound => (!look.sound.is_empty()).then(|| Value::from_safe_string(outline(&look.sound))),
        length => if audit.measured.is_some() { seconds(measured.seconds) } else { NO_NUMBER.to_owned() },
        loudness => number(|m| m.loudness_db.filter(|db| *db > -199.0)).map_or(NO_NUMBER.to_owned(), level),
        peak => number(|m| m.peak_db.filter(|db| *db > -199.0)).map(level),
        clipped => measured.clipped.filter(|share| *share > 0.0).map(percent),
        change => number(|m| m.change).map_or(NO_NUMBER.to_owned(), |change| format!("{change:.1}")),
    }
}

fn stats_rows(stats: &LatentStats) -> Vec<Value> {
    let row = |name: &str, m: &ModalityStats| {
        let (low, high) = m.channel_stds();
        context! {
            name => name, mean => signed(m.all.mean), std => format!("{:.2}", m.all.std),
            min => signed(m.all.min.into()), max => signed(m.all.max.into()),
            channels => format!("{low:.2} to {high:.2}"),
            segments => m.segments.iter().map(|s| format!("{} ± {:.2}", signed(s.mean), s.std))
                .collect::<Vec<_>>(),
            beyond_3 => percent(m.beyond_3), beyond_5 => percent(m.beyond_5),
        }
    };
    vec![row("pictures", &stats.video), row("sound", &stats.audio)]
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let word =
            three.iter().fold(0u32, |word, &byte| word << 8 | u32::from(byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use avdit_media::audit::{AuditRow, Look};

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let cases = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, coded) in cases {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn the_page_names_every_row_escapes_what_it_shows_and_loads_nothing() {
        let row = |source: &str, reason, measured| AuditRow {
            source: source.to_owned(),
            start_s: Some(2.125),
            reason,
            detail: "a <b> & c".to_owned(),
            measured,
        };
        let measured =
            Measured { seconds: 2.125, peak_db: Some(-1.0), clipped: Some(0.25), ..Measured::default() };
        let rows = [
            row("clips/a.mp4", None, Some(measured)),
            row("clips/b<i>.mp4", Some(Reason::Silent), Some(Measured::default())),
            row("clips/c.mp4", Some(Reason::UnequalLength), None),
        ];
        let look = |i| match i {
            0 => Look { frames: vec![1, 2, 3], sound: vec![[-50, 100], [0, 0]] },
            _ => Look::default(),
        };
        let page = audit_page(&AuditPage::new(3, &rows, look)).unwrap();
        for expected in [
            "a.mp4",
            "b&lt;i&gt;.mp4",
            "a &lt;b&gt; &amp; c",
            "data:image/jpeg;base64,AQID",
            "class=\"row silent\"",
            "id=\"only-sound-and-picture-of-unequal-length\"",
            "from 2.125 s",
            "25.0 % clipped",
            "<code>clips&#x2f;</code>",
        ] {
            assert!(page.contains(expected), "no {expected} in {page}");
        }
        assert!(!page.contains("<script") && !page.contains("http") && !page.contains("clips&#x2f;a.mp4"));
    }
}
