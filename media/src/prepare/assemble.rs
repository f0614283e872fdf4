//! The last step: the codec, the latents, the statistics, the audit, and all of it into its place.

use super::work::{Kept, Work};
use super::{Begun, CodecPlan, Progress, Stage, Summary, decode_all, interrupted};
use crate::Clip;
use crate::atomic::{copy_atomically, write_bytes_atomically};
use crate::audit::{AuditPage, AuditRow, RenderPage, count_reasons, write_jsonl, write_markdown};
use crate::codec::{ClipSource, Codec, LinearCodec, file_sha256};
use crate::error::{Error, Result};
use crate::shard::{
    ClipOrigin, CodecInfo, Collect, DATASET_FILE, DatasetInfo, LatentStats, STATS_FILE, Shard, ShardInfo,
};
use avdit_core::{Latents, Modality};
use rayon::prelude::*;
use std::path::Path;

pub(super) const CODEC_FILE: &str = "codec.safetensors";
const PAGE_FILE: &str = "audit.html";
/// A shard has as many clips as fit, but at least one.
const SHARD_BYTES: usize = 32 << 20;
/// Clips encoded between two looks at whether to stop.
const CHUNK: usize = 32;

struct Source<'a> {
    work: &'a Work<'a>,
    kept: Vec<Kept>,
}

impl ClipSource for Source<'_> {
    fn len(&self) -> usize {
        self.kept.len()
    }

    fn clip(&self, index: usize) -> Result<Clip> {
        self.work.clip(&self.kept[index])
    }
}

/// Makes the dataset; files that nobody has worked on yet are worked on first.
pub(super) fn assemble(
    begun: &Begun<'_>,
    out: &Path,
    progress: &mut dyn FnMut(Progress),
    cancelled: &dyn Fn() -> bool,
) -> Result<Summary> {
    let (files, work) = (&begun.found.clips, begun.work()?);
    let (made, resumed) = decode_all(&work, files, progress, cancelled)?;
    // For each row of the audit its file and its place there; rows of folders that could not be read come first.
    let places = std::iter::repeat_n(None, begun.found.rows.len()).chain(
        made.iter().enumerate().flat_map(|(file, rows)| (0..rows.len()).map(move |row| Some((file, row)))),
    );
    let places: Vec<Option<(usize, usize)>> = places.collect();
    let rows: Vec<AuditRow> = begun.found.rows.iter().cloned().chain(made.into_iter().flatten()).collect();
    let look = |row: usize| {
        // A thumbnail that has become unreadable leaves a gap in the page, not in the dataset.
        places[row].and_then(|(file, row)| work.look(&files[file], row).ok()).unwrap_or_default()
    };
    let kept: Vec<Vec<Kept>> = files.iter().map(|path| work.kept(path)).collect::<Result<_>>()?;
    let source = Source { work: &work, kept: kept.into_iter().flatten().collect() };
    if source.kept.is_empty() {
        return Err(nothing_kept(out, &AuditPage::new(files.len(), &rows, look), &rows, begun.options.page));
    }
    let mut fitting = |done, total| {
        progress(Progress { stage: Stage::Fit, done, total });
        if cancelled() { Err(interrupted()) } else { Ok(()) }
    };
    let fitted = match &begun.codec {
        CodecPlan::Fit(config) => Some(LinearCodec::fit((*config).clone(), &source, &mut fitting)?),
        CodecPlan::Use(_) => None,
    };
    let staged = begun.folder.join("dataset");
    if staged.exists() {
        std::fs::remove_dir_all(&staged).map_err(|source| Error::io(&staged, source))?;
    }
    std::fs::create_dir_all(&staged).map_err(|source| Error::io(&staged, source))?;
    write_jsonl(&staged.join("audit.jsonl"), &rows)?;
    write_markdown(&staged.join("audit.md"), &rows)?;
    let left_out = rows.len() - source.kept.len();
    let codec_path = staged.join(CODEC_FILE);
    let (codec, report): (&dyn Codec, _) = match (&fitted, &begun.codec) {
        (None, CodecPlan::Use(used)) => {
            copy_atomically(&used.file, &codec_path)?;
            (&*used.codec, used.report.clone())
        }
        (Some(codec), _) => {
            codec.save(&codec_path)?;
            (codec, Some(codec.report().clone()))
        }
        (None, CodecPlan::Fit(_)) => unreachable!("a plan to fit was fitted above"),
    };
    let (dataset, stats) = write_dataset(&staged, codec, &source, left_out, progress, cancelled)?;
    if let Some(render) = begun.options.page {
        let mut page = AuditPage::new(files.len(), &rows, look);
        (page.dataset, page.codec, page.stats) = (Some(&dataset), report.as_ref(), Some(&stats));
        write_page(&staged.join(PAGE_FILE), render, &page)?;
    }
    install(&staged, out)?;
    std::fs::remove_dir_all(&begun.folder).map_err(|source| Error::io(&begun.folder, source))?;
    Ok(Summary { dataset, codec: report, stats, files: files.len(), resumed, rows })
}

fn write_page(path: &Path, render: RenderPage, page: &AuditPage<'_>) -> Result<()> {
    let text = render(page).map_err(|what| Error::unencodable(path, what))?;
    write_bytes_atomically(path, text.as_bytes())
}

fn nothing_kept(out: &Path, page: &AuditPage<'_>, rows: &[AuditRow], render: Option<RenderPage>) -> Error {
    let reasons: Vec<String> =
        count_reasons(rows).iter().map(|(reason, n)| format!("{n} {}", reason.describe())).collect();
    let mut got = if rows.is_empty() { "no files".to_owned() } else { reasons.join(", ") };
    // An earlier dataset keeps its own audit.
    if !rows.is_empty() && !out.join(DATASET_FILE).exists() {
        let mut at = None;
        if write_markdown(&out.join("audit.md"), rows).is_ok() {
            at = Some("audit.md");
        }
        if render.is_some_and(|render| write_page(&out.join(PAGE_FILE), render, page).is_ok()) {
            at = Some(PAGE_FILE);
        }
        got += &at.map_or(String::new(), |name| format!(" (see {})", out.join(name).display()));
    }
    Error::value("clips to prepare", "at least 1 that can be kept", got)
}

/// Writes the shards and, last, `dataset.json` into a folder that holds the codec.
fn write_dataset(
    folder: &Path,
    codec: &dyn Codec,
    source: &Source<'_>,
    left_out: usize,
    progress: &mut dyn FnMut(Progress),
    cancelled: &dyn Fn() -> bool,
) -> Result<(DatasetInfo, LatentStats)> {
    let layout = codec.layout().clone();
    let sha256 = file_sha256(&folder.join(CODEC_FILE))?;
    let total = source.kept.len();
    let clip_bytes = 4 * (layout.len(Modality::Video) + layout.len(Modality::Audio));
    let per_shard = (SHARD_BYTES / clip_bytes).max(1);
    let (mut shards, mut collect) = (Vec::new(), Collect::new(&layout));
    for (number, kept) in source.kept.chunks(per_shard).enumerate() {
        let mut parts = Vec::with_capacity(kept.len());
        for chunk in kept.chunks(CHUNK) {
            let encode = |kept: &Kept| {
                let latents = source.work.latents(kept, codec)?;
                Ok((Collect::of(&layout, &latents), latents))
            };
            for (measured, latents) in chunk.par_iter().map(encode).collect::<Result<Vec<_>>>()? {
                collect.merge(&measured);
                parts.push(latents);
            }
            progress(Progress { stage: Stage::Encode, done: number * per_shard + parts.len(), total });
            if cancelled() {
                return Err(interrupted());
            }
        }
        let shard = Shard {
            layout: layout.clone(),
            codec_sha256: sha256.clone(),
            clips: kept.iter().map(origin).collect(),
            latents: Latents::concat(&parts),
        };
        let file = Shard::file_name(number);
        shard.write(&folder.join(&file))?;
        let sha256 = Some(file_sha256(&folder.join(&file))?);
        shards.push(ShardInfo { file, clips: kept.len(), sha256 });
    }
    let stats = collect.stats(&layout);
    let text = serde_json::to_vec_pretty(&stats).expect("names and numbers are JSON");
    write_bytes_atomically(&folder.join(STATS_FILE), &text)?;
    let codec_info = CodecInfo { file: CODEC_FILE.to_owned(), kind: codec.name().to_owned(), sha256 };
    let info = DatasetInfo {
        schema: DatasetInfo::schema(),
        grid: codec.grid(),
        layout,
        clips: total,
        left_out,
        codec: codec_info,
        shards,
    };
    let text = serde_json::to_vec_pretty(&info).expect("names and numbers are JSON");
    write_bytes_atomically(&folder.join(DATASET_FILE), &text)?;
    Ok((info, stats))
}

fn origin(kept: &Kept) -> ClipOrigin {
    let AuditRow { source, start_s, .. } = &kept.row;
    let start_s = start_s.unwrap_or(0.0);
    ClipOrigin { name: format!("{source}@{start_s:.3}"), source: source.clone(), start_s }
}

/// Moves a whole dataset into its place: nothing there calls itself a dataset until all of it is.
pub(super) fn install(staged: &Path, out: &Path) -> Result<()> {
    let remove = |path: &Path| std::fs::remove_file(path).map_err(|source| Error::io(path, source));
    let names = |folder: &Path| -> Result<Vec<std::ffi::OsString>> {
        let entries = std::fs::read_dir(folder).map_err(|source| Error::io(folder, source))?;
        let names = entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<Vec<_>, _>>();
        names.map_err(|source| Error::io(folder, source))
    };
    if out.join(DATASET_FILE).exists() {
        remove(&out.join(DATASET_FILE))?;
    }
    for name in names(out)? {
        let text = name.to_string_lossy();
        let of_a_dataset = [STATS_FILE, PAGE_FILE, "audit.md", "audit.jsonl"].contains(&&*text)
            || text.starts_with("latents-") && text.ends_with(".safetensors");
        if of_a_dataset {
            remove(&out.join(&name))?;
        }
    }
    let mut files = names(staged)?;
    files.sort_by_key(|name| name == DATASET_FILE);
    for name in files {
        let to = out.join(&name);
        std::fs::rename(staged.join(&name), &to).map_err(|source| Error::io(&to, source))?;
    }
    Ok(())
}
