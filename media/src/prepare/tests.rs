use super::*;
use crate::shard::Dataset;
use crate::world::World;
use crate::{Audio, Clip, ClipGrid, EncodeOptions, Rational, Video, write_clip};
use avdit_core::{AudioLayout, Layout, Modality, VideoLayout};
use std::cell::Cell;
use std::collections::BTreeMap;

mod again;

const GRID: ClipGrid =
    ClipGrid { frames: 9, fps: Rational { num: 8, den: 1 }, width: 32, height: 32, sample_rate_hz: 16_000 };

fn options() -> PrepareOptions {
    let layout = Layout {
        video: VideoLayout { frames: 3, channels: 4, height: 4, width: 4, segments: vec![1; 3] },
        audio: AudioLayout { frames: 14, channels: 6, segments: vec![2, 6, 6] },
    };
    PrepareOptions::new(CodecChoice::Fit(CodecConfig::for_layout(GRID, &layout).unwrap()))
}

fn write(path: &Path, clip: &Clip) {
    write_clip(path, clip, None, EncodeOptions::default()).unwrap();
}

fn changed(mut clip: Clip, video: impl Fn(&mut Video), audio: impl Fn(&mut Audio)) -> Clip {
    clip.video.iter_mut().for_each(video);
    clip.audio.iter_mut().for_each(audio);
    clip
}

/// A folder of `n` good clips and one of every bad kind.
fn clips(n: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let world = World::new(1, GRID);
    (0..n).for_each(|i| write(&at(&format!("good-{i}.mp4")), &world.clip(i)));
    let good = world.clip(100);
    write(&at("silent.mp4"), &changed(good.clone(), |_| (), |audio| audio.samples.fill(0.0)));
    let freeze = |video: &mut Video| video.frames = vec![video.frames[0].clone(); 9];
    write(&at("still.mp4"), &changed(good.clone(), freeze, |_| ()));
    let short = |video: &mut Video| video.frames.truncate(4);
    write(&at("short.mp4"), &changed(good.clone(), short, |audio| audio.samples.truncate(8000)));
    write(&at("mute.mp4"), &Clip { audio: None, ..good.clone() });
    let whole = std::fs::read(at("good-0.mp4")).unwrap();
    std::fs::write(at("truncated.mp4"), &whole[..whole.len() / 3]).unwrap();
    std::fs::write(at("notes.txt"), "no clip").unwrap();
    // Twice as much sound as pictures: frames in a folder, their sound beside it.
    std::fs::create_dir(at("unequal")).unwrap();
    for (i, frame) in good.video.as_ref().unwrap().frames.iter().enumerate() {
        let picture = image::RgbImage::from_raw(32, 32, frame.clone()).unwrap();
        picture.save(at(&format!("unequal/{i}.png"))).unwrap();
    }
    let audio = good.audio.unwrap();
    let long = Audio { samples: audio.samples.repeat(2), ..audio };
    crate::wav::write_wav(&at("unequal.wav"), &long).unwrap();
    folder
}

fn run(inputs: &Path, out: &Path, options: &PrepareOptions) -> Result<Summary> {
    prepare(&[inputs.to_owned()], out, options, &mut |_| (), &|| false)
}

/// Every file of a dataset with its bytes.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let read = |entry: std::fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap_or_default())
    };
    entries.map(read).collect()
}

#[test]
fn good_clips_are_kept_and_every_bad_one_has_a_row_with_its_reason() {
    let (inputs, out) = (clips(6), tempfile::tempdir().unwrap());
    let summary = run(inputs.path(), out.path(), &options()).unwrap();
    let reasons: Vec<(String, Option<Reason>)> = summary
        .rows
        .iter()
        .map(|row| (Path::new(&row.source).file_name().unwrap().to_str().unwrap().to_owned(), row.reason))
        .filter(|(name, _)| !name.starts_with("good"))
        .collect();
    let expected = [
        ("mute.mp4", Reason::NoSound),
        ("notes.txt", Reason::NotAClip),
        ("short.mp4", Reason::TooShort),
        ("silent.mp4", Reason::Silent),
        ("still.mp4", Reason::Still),
        ("truncated.mp4", Reason::Undecodable),
        ("unequal", Reason::UnequalLength),
    ];
    assert_eq!(reasons, expected.map(|(name, reason)| (name.to_owned(), Some(reason))));
    assert_eq!((summary.dataset.clips, summary.dataset.left_out, summary.files), (6, 7, 13));
    let names: Vec<String> = contents(out.path()).into_keys().collect();
    assert_eq!(
        names,
        [
            "audit.jsonl",
            "audit.md",
            "codec.safetensors",
            "dataset.json",
            "latents-00000.safetensors",
            "stats.json"
        ]
    );
    assert_eq!(crate::audit::read_jsonl(&out.path().join("audit.jsonl")).unwrap(), summary.rows);
    // What could be decoded was measured, whatever became of it.
    for row in &summary.rows {
        let (measured, name) = (row.measured, &row.source);
        let decoded = !["truncated.mp4", "notes.txt"].iter().any(|bad| name.ends_with(bad));
        assert_eq!(measured.is_some(), decoded, "{name}");
        assert_eq!(measured.is_some_and(|m| m.peak_db.is_none()), name.ends_with("mute.mp4"), "{name}");
    }
    assert_eq!(Dataset::open(out.path()).unwrap().stats().unwrap(), Some(summary.stats));
}

#[test]
fn the_latents_are_those_of_the_decoded_clips_of_unit_scale() {
    let (inputs, out) = (clips(6), tempfile::tempdir().unwrap());
    run(inputs.path(), out.path(), &options()).unwrap();
    let dataset = Dataset::open(out.path()).unwrap();
    let codec = dataset.codec().unwrap();
    let item = dataset.get(3).unwrap();
    assert!(item.origin.source.ends_with("good-3.mp4"), "{:?}", item.origin);
    let decoded = crate::decode(Path::new(&item.origin.source), crate::Preference::Auto).unwrap().clip;
    let clip = crate::fit_to_grid(&decoded, &GRID, &FitPolicy::default()).unwrap().remove(0);
    assert_eq!(codec.encode(&clip).unwrap(), item.latents);
    let shard = &dataset.info().shards[0];
    assert_eq!(shard.sha256, Some(file_sha256(&out.path().join(&shard.file)).unwrap()));
    let all = dataset.batch(&(0..6).collect::<Vec<_>>()).unwrap();
    for modality in Modality::ALL {
        let values = all.get(modality);
        let square = values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / values.len() as f64;
        assert!((square - 1.0).abs() < 1e-3, "{}: mean square {square}", modality.name());
    }
}

#[test]
fn a_run_stopped_at_any_stage_and_run_again_gives_the_bytes_of_one_that_was_not() {
    let (inputs, whole) = (clips(4), tempfile::tempdir().unwrap());
    run(inputs.path(), whole.path(), &options()).unwrap();
    let out = tempfile::tempdir().unwrap();
    for stage in [Stage::Decode, Stage::Fit, Stage::Encode] {
        let (stop, last) = (Cell::new(false), Cell::new(stage));
        let mut watch = |progress: Progress| {
            stop.set(stop.get() || (progress.stage == stage && progress.done >= 3));
            last.set(progress.stage);
        };
        let stopped =
            prepare(&[inputs.path().to_owned()], out.path(), &options(), &mut watch, &|| stop.get());
        assert!(matches!(stopped, Err(Error::Interrupted { .. })), "{stage:?}: {stopped:?}");
        assert_eq!(last.get(), stage, "it went on to the next stage");
        assert_eq!(contents(out.path()).into_keys().collect::<Vec<_>>(), [".work"], "{stage:?}");
    }
    let summary = run(inputs.path(), out.path(), &options()).unwrap();
    assert_eq!(summary.resumed, summary.files, "nothing was decoded twice");
    assert!(contents(out.path()) == contents(whole.path()), "the datasets differ");
}

#[test]
fn an_earlier_dataset_stays_whole_until_the_new_one_is() {
    let (inputs, out) = (clips(4), tempfile::tempdir().unwrap());
    run(inputs.path(), out.path(), &options()).unwrap();
    let before = contents(out.path());
    write(&inputs.path().join("more.mp4"), &World::new(1, GRID).clip(50));
    let stop = Cell::new(false);
    let mut watch = |progress: Progress| stop.set(progress.stage == Stage::Encode);
    let refused = run(inputs.path(), out.path(), &options()).unwrap_err();
    assert!(
        matches!(refused, Error::Exists { .. }) && refused.to_string().contains("--overwrite"),
        "{refused}"
    );
    let options = PrepareOptions { overwrite: true, ..options() };
    prepare(&[inputs.path().to_owned()], out.path(), &options, &mut watch, &|| stop.get()).unwrap_err();
    let mut after = contents(out.path());
    after.remove(".work").unwrap();
    assert!(after == before);
    // A file of work that was cut short is made again.
    let work = std::fs::read_dir(out.path().join(".work/clips")).unwrap().map(|entry| entry.unwrap().path());
    let cut = work.max_by_key(|path| std::fs::metadata(path).unwrap().len()).unwrap();
    let bytes = std::fs::read(&cut).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();
    let summary = run(inputs.path(), out.path(), &options).unwrap();
    assert_eq!((summary.dataset.clips, summary.resumed), (5, summary.files - 1));
    // The codec of a dataset serves for another, whoever opens it.
    let file = out.path().join("codec.safetensors");
    let codec: Arc<dyn Codec> = Arc::new(LinearCodec::load(&file).unwrap());
    let open = CodecChoice::Open(OpenCodec { codec, file: file.clone() });
    for (codec, is_told) in [(CodecChoice::File(file), true), (open, false)] {
        let again = tempfile::tempdir().unwrap();
        let summary = run(inputs.path(), again.path(), &PrepareOptions::new(codec)).unwrap();
        assert_eq!(summary.codec.is_some(), is_told);
        assert!(contents(again.path()) == contents(out.path()));
    }
}

#[test]
fn nothing_to_keep_is_an_error_that_says_why() {
    let (inputs, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(inputs.path().join("a.mp4"), b"").unwrap();
    std::fs::write(inputs.path().join("b.txt"), b"x").unwrap();
    let message = run(inputs.path(), out.path(), &options()).unwrap_err().to_string();
    assert!(message.contains("1 not a clip, 1 undecodable (see "), "{message}");
    assert!(!out.path().join(DATASET_FILE).exists());
    let file = inputs.path().join("a.mp4");
    let message = run(inputs.path(), &file.join("out"), &options()).unwrap_err().to_string();
    assert!(message.contains("a.mp4/out: "), "{message}");
}

#[test]
fn a_dataset_has_the_same_bytes_whoever_made_which_part_of_it_and_in_what_order() {
    let (inputs, fitted) = (clips(5), tempfile::tempdir().unwrap());
    let files = [inputs.path().to_owned()];
    run(inputs.path(), fitted.path(), &options()).unwrap();
    let known = CodecChoice::File(fitted.path().join("codec.safetensors"));
    for options in [options(), PrepareOptions::new(known)] {
        for (of, order) in
            [(1, vec![0]), (3, vec![2, 0, 1]), (5, vec![4, 3, 2, 1, 0]), (20, (0..20).collect())]
        {
            let out = tempfile::tempdir().unwrap();
            // The first of them is stopped on the way, and made again last.
            let stop = Cell::new(false);
            let part = Part { index: order[0], of };
            let mut watch = |_| stop.set(true);
            let stopped = prepare_part(&files, out.path(), part, &options, &mut watch, &|| stop.get());
            assert!(of == 20 || matches!(stopped, Err(Error::Interrupted { .. })), "{stopped:?}");
            // Two at a time.
            for pair in order.iter().rev().collect::<Vec<_>>().chunks(2) {
                std::thread::scope(|scope| {
                    for &&index in pair {
                        let (files, out, options) = (&files, out.path(), &options);
                        scope.spawn(move || {
                            let part = Part { index, of };
                            prepare_part(files, out, part, options, &mut |_| (), &|| false).unwrap();
                        });
                    }
                });
            }
            assert_eq!(contents(out.path()).into_keys().collect::<Vec<_>>(), [".work"], "nothing else yet");
            let summary = merge(&files, out.path(), &options, &mut |_| (), &|| false).unwrap();
            assert_eq!(summary.resumed, summary.files, "the merge decodes nothing");
            assert!(contents(out.path()) == contents(fitted.path()), "{of} parts");
        }
    }
}

#[test]
fn parts_that_are_missing_or_do_not_agree_are_named() {
    let (inputs, out) = (clips(3), tempfile::tempdir().unwrap());
    let files = [inputs.path().to_owned()];
    let make = |part: &str, options: &PrepareOptions| {
        prepare_part(&files, out.path(), part.parse().unwrap(), options, &mut |_| (), &|| false)
    };
    let merged = |options: &PrepareOptions| merge(&files, out.path(), options, &mut |_| (), &|| false);
    assert!(merged(&options()).unwrap_err().to_string().contains("parts to merge: none is not allowed"));
    let summary = make("2/4", &options()).unwrap();
    // Ten files are in all: the third, the seventh.
    assert_eq!((summary.files, summary.kept, summary.left_out), (2, 1, 1));
    make("0/4", &options()).unwrap();
    let message = merged(&options()).unwrap_err().to_string();
    assert!(message.contains("2 of 4 parts are not done: 1/4, 3/4"), "{message}");

    let mut others = options();
    others.thresholds.silent_below_db = -40.0;
    for refused in [make("1/4", &others).unwrap_err(), merged(&others).unwrap_err()] {
        let message = refused.to_string();
        let both = message.contains("silent_below_db: -60.0") && message.contains("silent_below_db: -40.0");
        assert!(
            both && message.contains("thresholds: part 2/4 has ") && !message.contains("codec"),
            "{message}"
        );
    }
    let message = make("1/3", &options()).unwrap_err().to_string();
    assert!(message.contains("number of parts: part 2/4 has 4, part 1/3 has 3"), "{message}");

    // While a part is being made nothing is merged, and the same part is not made twice.
    let _shared = FolderLock::share(&out.path().join(".work")).unwrap();
    assert!(matches!(merged(&options()), Err(Error::Busy { .. })));
    let _own = FolderLock::take_file(&out.path().join(".work/parts/part-00001.lock")).unwrap();
    assert!(matches!(make("1/4", &options()), Err(Error::Busy { .. })));

    std::fs::write(inputs.path().join("later.mp4"), b"").unwrap();
    let message = make("3/4", &options()).unwrap_err().to_string();
    assert!(
        message.contains("files: part 2/4 has 10 (") && message.contains("part 3/4 has 11 ("),
        "{message}"
    );
    assert!(!out.path().join(DATASET_FILE).exists());
}

#[test]
fn the_page_of_the_audit_has_every_row_of_a_small_dataset_with_its_look() {
    fn render(page: &crate::audit::AuditPage<'_>) -> Result<String, String> {
        let looks = page.rows.iter().filter(|row| !row.look.frames.is_empty()).count();
        let of = page.dataset.map_or(0, |dataset| dataset.clips);
        Ok(format!("{} rows, {looks} with pictures, {of} of {}", page.rows.len(), page.files))
    }
    let (inputs, out) = (clips(2), tempfile::tempdir().unwrap());
    let options = PrepareOptions { page: Some(render), ..options() };
    run(inputs.path(), out.path(), &options).unwrap();
    let page = || std::fs::read_to_string(out.path().join("audit.html")).unwrap();
    assert_eq!(page(), "9 rows, 7 with pictures, 2 of 9");
    // Without clips that can be kept there is a page all the same, and a later dataset without one has none.
    std::fs::remove_file(out.path().join(DATASET_FILE)).unwrap();
    let bad = tempfile::tempdir().unwrap();
    std::fs::write(bad.path().join("a.mp4"), b"").unwrap();
    let message = run(bad.path(), out.path(), &options).unwrap_err().to_string();
    assert!(message.contains("audit.html)") && page() == "1 rows, 0 with pictures, 0 of 1", "{message}");
    run(inputs.path(), out.path(), &PrepareOptions { page: None, ..options }).unwrap();
    assert!(!out.path().join("audit.html").exists());
}

#[test]
fn joined_datasets_are_read_where_they_are_and_must_share_their_codec() {
    let (inputs, root) = (clips(4), tempfile::tempdir().unwrap());
    let at = |name: &str| root.path().join(name);
    run(inputs.path(), &at("a"), &options()).unwrap();
    let known = PrepareOptions::new(CodecChoice::File(at("a/codec.safetensors")));
    let more = clips(2);
    run(more.path(), &at("deep/b"), &known).unwrap();
    let info = join(&[at("a"), at("deep/b")], &at("deep/all"), false).unwrap();
    assert_eq!(
        (info.clips, info.left_out, info.shards[1].file.as_str()),
        (6, 14, "../b/latents-00000.safetensors")
    );
    // Folders that are moved together stay together.
    std::fs::create_dir(at("moved")).unwrap();
    ["a", "deep"].iter().for_each(|name| std::fs::rename(at(name), at("moved").join(name)).unwrap());
    let all = Dataset::open(&at("moved/deep/all")).unwrap();
    let (a, b) = (Dataset::open(&at("moved/a")).unwrap(), Dataset::open(&at("moved/deep/b")).unwrap());
    let items = |dataset: &Dataset| (0..dataset.len()).map(|i| dataset.get(i).unwrap()).collect::<Vec<_>>();
    assert_eq!(items(&all), [items(&a), items(&b)].concat());

    let again = [at("moved/a"), at("moved/deep/b")];
    assert!(matches!(join(&again, &at("moved/deep/all"), false), Err(Error::Exists { .. })));
    join(&again, &at("moved/deep/all"), true).unwrap();
    let twice = join(&[at("moved/a"), at("moved/deep/../a")], &at("twice"), false).unwrap_err().to_string();
    assert!(twice.contains("each once"), "{twice}");
    run(more.path(), &at("own"), &options()).unwrap();
    let message = join(&[at("moved/a"), at("own")], &at("none"), false).unwrap_err().to_string();
    assert!(
        message.contains("own/dataset.json: its codec is ") && message.contains("moved/a has "),
        "{message}"
    );
    assert!(!at("none").join(DATASET_FILE).exists());
}
