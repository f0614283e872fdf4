//! What is kept from one run to the next, and what is not.

use super::*;
use crate::shard::Shard;

fn at_hand(work: &Work<'_>, path: &Path) -> bool {
    work.file(path).unwrap().1
}

#[test]
fn what_was_refused_is_tried_again_and_what_ffmpeg_was_asked_about_with_every_other_one() {
    let (folder, options) = (tempfile::tempdir().unwrap(), options());
    let at = |name: &str| folder.path().join(name);
    write(&at("good.mp4"), &World::new(1, GRID).clip(0));
    std::fs::write(at("film.mkv"), b"no film").unwrap();
    std::fs::create_dir(at("folder.mp4")).unwrap();
    let work = |ffmpeg| Work::new(at("work"), GRID, &options, None, ffmpeg).unwrap();

    // The built-in decoders read it whatever ffmpeg there is.
    assert!(!at_hand(&work(None), &at("good.mp4")));
    for ffmpeg in [None, Some("1"), Some("2")] {
        assert!(at_hand(&work(ffmpeg), &at("good.mp4")), "{ffmpeg:?}");
    }
    let is_there = version_of_ffmpeg(&options).is_some();
    assert!(!at_hand(&work(Some("1")), &at("film.mkv")));
    assert_eq!(at_hand(&work(Some("1")), &at("film.mkv")), is_there, "damaged for this one, if it was asked");
    assert!(!at_hand(&work(Some("2")), &at("film.mkv")), "another ffmpeg may read it");
    assert!(!at_hand(&work(None), &at("film.mkv")));
    assert!(!at_hand(&work(Some("1")), &at("film.mkv")), "one that is there again too");

    // Nothing that is here reads it; the system refuses to read it: a row each, and not for ever.
    let built_in = PrepareOptions {
        decode: DecodeOptions { preference: Preference::BuiltIn, ..options.decode },
        ..options
    };
    let work = Work::new(at("work"), GRID, &built_in, None, None).unwrap();
    for (name, reason) in [("film.mkv", Reason::NotAClip), ("folder.mp4", Reason::Undecodable)] {
        for _ in 0..2 {
            let (rows, at_hand) = work.file(&at(name)).unwrap();
            assert_eq!((rows[0].reason, rows.len(), at_hand), (Some(reason), 1, false), "{name}");
        }
        assert!(work.kept(&at(name)).unwrap().is_empty() && work.look(&at(name), 0).is_ok());
    }
}

#[test]
fn parts_with_and_without_ffmpeg_do_not_agree_unless_it_is_not_asked() {
    let (inputs, out) = (clips(1), tempfile::tempdir().unwrap());
    let files = [inputs.path().to_owned()];
    for (preference, agree) in
        [(Preference::Auto, false), (Preference::Ffmpeg, false), (Preference::BuiltIn, true)]
    {
        let mut options = options();
        options.decode.preference = preference;
        let place = out.path().join(format!("{preference:?}"));
        let mut begun = Begun::new(&files, &place, &options).unwrap();
        begun.ffmpeg = Some("5.1".to_owned());
        begun.plan("part 0/2".to_owned(), 2).join(&begun.folder).unwrap();
        begun.ffmpeg = None;
        let other = begun.plan("part 1/2".to_owned(), 2).join(&begun.folder);
        assert_eq!(other.is_ok(), agree, "{preference:?}: {other:?}");
        if let Err(error) = other {
            let message = error.to_string();
            let line = "  ffmpeg: part 0/2 has 5.1, part 1/2 has none\n";
            assert!(message.contains(line) && message.contains("--decoder built-in"), "{message}");
        }
    }
}

#[test]
fn datasets_are_not_joined_over_an_interrupted_prepare_nor_with_what_another_left() {
    let (inputs, root) = (clips(3), tempfile::tempdir().unwrap());
    let at = |name: &str| root.path().join(name);
    run(inputs.path(), &at("a"), &options()).unwrap();
    let refused = |what: &str| match join(&[at("a")], &at("all"), true) {
        Err(Error::Unfinished { path }) => assert_eq!(path, at("all/.work")),
        other => panic!("{what}: {other:?}"),
    };
    let (files, stop) = ([inputs.path().to_owned()], Cell::new(false));
    let mut watch = |progress: Progress| stop.set(progress.stage == Stage::Fit);
    prepare(&files, &at("all"), &options(), &mut watch, &|| stop.get()).unwrap_err();
    let count = || std::fs::read_dir(at("all/.work/clips")).unwrap().count();
    let before = count();
    refused("decoded clips");
    assert!(before > 0 && count() == before, "nothing of it is lost");
    std::fs::remove_dir_all(at("all/.work")).unwrap();
    std::fs::create_dir_all(at("all/.work")).unwrap();
    std::fs::write(at("all/.work/plan.json"), "{").unwrap();
    assert!(matches!(join(&[at("a")], &at("all"), true), Err(Error::Malformed { .. })));
    std::fs::remove_file(at("all/.work/plan.json")).unwrap();
    Begun::new(&files, &at("all"), &options())
        .unwrap()
        .plan("x".to_owned(), 2)
        .join(&at("all/.work"))
        .unwrap();
    refused("a plan");
    std::fs::remove_file(at("all/.work/plan.json")).unwrap();

    std::fs::create_dir_all(at("all/.work/dataset")).unwrap();
    for left in ["latents-00007.safetensors", "stats.json", "audit.md"] {
        std::fs::write(at("all/.work/dataset").join(left), "of another").unwrap();
    }
    join(&[at("a")], &at("all"), false).unwrap();
    assert_eq!(contents(&at("all")).into_keys().collect::<Vec<_>>(), ["codec.safetensors", "dataset.json"]);
}

#[test]
fn a_joined_dataset_notices_a_shard_that_was_replaced_and_reads_each_whole_only_once() {
    let (inputs, root) = (clips(4), tempfile::tempdir().unwrap());
    let at = |name: &str| root.path().join(name);
    run(inputs.path(), &at("a"), &options()).unwrap();
    let known = PrepareOptions::new(CodecChoice::File(at("a/codec.safetensors")));
    run(inputs.path(), &at("b"), &known).unwrap();
    join(&[at("a"), at("b")], &at("all"), false).unwrap();
    let all = Dataset::open(&at("all")).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..8).for_each(|i| drop(all.latents(i).unwrap())));
        }
    });
    assert_eq!((all.traffic().hashed, all.traffic().headers), (2, 2));
    let alone = Dataset::open(&at("b")).unwrap();
    alone.latents(0).unwrap();
    assert_eq!(alone.traffic().hashed, 0, "a dataset's own shards are not read whole");

    // As many clips, the same layout and codec.
    let file = at("b").join(Shard::file_name(0));
    let mut shard = Shard::read(&file).unwrap();
    shard.latents.video[5] += 1.0;
    shard.write(&file).unwrap();
    let all = Dataset::open(&at("all")).unwrap();
    all.latents(3).unwrap();
    for _ in 0..2 {
        let message = all.latents(4).unwrap_err().to_string();
        assert!(message.contains("latents-00000.safetensors: has SHA-256 "), "{message}");
        assert!(
            message.contains("the dataset was joined with ") && message.contains("--overwrite"),
            "{message}"
        );
    }
}

#[test]
fn a_survey_finds_the_clips_that_prepare_keeps_and_tells_them_from_others() {
    let (inputs, out) = (clips(3), tempfile::tempdir().unwrap());
    let files = [inputs.path().to_owned()];
    let look = || survey(&files, &out.path().join("codec"), &options(), &mut |_| (), &|| false).unwrap();
    let (found, made) = (look(), run(inputs.path(), &out.path().join("data"), &options()).unwrap());
    assert_eq!(found.rows, made.rows);
    let names = found.clips.iter().map(|(path, n)| (path.file_name().unwrap().to_str().unwrap(), *n));
    assert_eq!(names.collect::<Vec<_>>(), [("good-0.mp4", 0), ("good-1.mp4", 0), ("good-2.mp4", 0)]);
    assert_eq!(look().identity, found.identity);
    // What is left out does not matter; a clip of as many bytes in another's place does.
    std::fs::write(inputs.path().join("notes.txt"), "still no clip").unwrap();
    assert_eq!(look().identity, found.identity);
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    let file = std::fs::File::options().write(true).open(inputs.path().join("good-1.mp4")).unwrap();
    file.set_modified(later).unwrap();
    assert_ne!(look().identity, found.identity);
    let stopped = survey(&files, out.path(), &options(), &mut |_| (), &|| true);
    assert!(matches!(stopped, Err(Error::Interrupted { .. })));
}
