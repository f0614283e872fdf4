//! `prepare` in parts, and what it leaves beside the dataset.

use crate::fixture::{Said, avdit, command, small_config, text, write_clips};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const BAD_INPUT: i32 = 3;

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let read = |entry: std::fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap_or_default())
    };
    entries.map(read).collect()
}

#[test]
fn parts_made_by_several_processes_one_of_them_killed_make_the_dataset_of_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let clips = text(&folder.path().join("clips"));
    write_clips(Path::new(&clips), 0..20);
    std::fs::write(folder.path().join("clips/broken.mp4"), b"no film").unwrap();
    let (whole, data) = (folder.path().join("whole"), folder.path().join("data"));
    let one =
        command(&["prepare", &clips, "-o", &text(&whole)]).env("RAYON_NUM_THREADS", "1").status().unwrap();
    assert!(one.success());

    let out = text(&data);
    let part = |shard: &str| command(&["prepare", &clips, "-o", &out, "--shard", shard]);
    let mut killed = part("2/3").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while std::fs::read_dir(data.join(".work/clips")).map_or(0, Iterator::count) < 2 {
        assert!(begun.elapsed() < Duration::from_secs(120), "no clip was made");
        std::thread::sleep(Duration::from_millis(2));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    let mut together = ["1/3", "0/3"].map(|shard| {
        part(shard).env("RAYON_NUM_THREADS", "3").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    });
    together.iter_mut().for_each(|part| assert!(part.wait().unwrap().success()));

    let merge = ["prepare", &clips, "-o", &out, "--merge"];
    // The one that was killed had perhaps just finished: what is missing is told by its absence, not by chance.
    if !data.join(".work/parts/part-00002-of-00003.json").exists() {
        let command = format!("avdit prepare {clips} -o {out} --shard 2/3");
        avdit(&merge).refused(BAD_INPUT, &["1 of 3 parts are not done: 2/3", &command]);
    }
    avdit(&["prepare", &clips, "-o", &out, "--shard", "1/4"])
        .refused(BAD_INPUT, &["plan.json", "number of parts: part 2/3 has 3, part 1/4 has 4"]);
    avdit(&["prepare", &clips, "-o", &out, "--shard", "1/3", "--preset", "small"])
        .refused(BAD_INPUT, &["codec: part 2/3 has fitted, ", "part 1/3 has fitted, "]);
    let said = avdit(&["prepare", &clips, "-o", &out, "--shard", "2/3"]).ok().out;
    assert!(said.contains(&format!("avdit prepare {clips} -o {out} --merge")), "{said}");
    let said = avdit(&merge).ok().out;
    assert!(said.contains("20 clips of 21 files") && said.contains("latents of sound: "), "{said}");
    assert!(contents(&whole) == contents(&data), "the datasets differ");

    let page = std::fs::read_to_string(data.join("audit.html")).unwrap();
    assert_eq!(page.matches("data:image/jpeg;base64,").count(), 20);
    assert!(page.contains("broken.mp4") && page.contains("id=\"only-undecodable\""));
    assert!(page.len() < 400_000 && !page.contains("<script"), "{}", page.len());
}

#[test]
fn a_dataset_is_replaced_only_when_that_is_asked_for_and_never_made_of_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (clips, data) = (text(&folder.path().join("clips")), folder.path().join("data"));
    write_clips(Path::new(&clips), 0..3);
    let out = text(&data);
    avdit(&["prepare", &clips, "-o", &out]).ok();
    let before = contents(&data);
    avdit(&["prepare", &clips, "-o", &out]).refused(BAD_INPUT, &["holds a dataset already", "--overwrite"]);
    assert!(contents(&data) == before);
    write_clips(Path::new(&clips), 3..4);
    avdit(&["prepare", &clips, "-o", &out, "--overwrite"]).ok();
    assert!(contents(&data) != before);
    let (codec, more, both) =
        (text(&data.join("codec.safetensors")), folder.path().join("more"), folder.path().join("both"));
    avdit(&["prepare", &clips, "-o", &text(&more), "--codec", &codec]).ok();
    let said = avdit(&["prepare", "--join", &out, &text(&more), "-o", &text(&both)]).ok().out;
    assert!(said.contains("8 clips of 2 datasets"), "{said}");
    let config = folder.path().join("run.toml");
    std::fs::write(&config, small_config(&both, &folder.path().join("run"), 2)).unwrap();
    avdit(&["train", &text(&config)]).ok();
    avdit(&["prepare", &clips, "-o", &clips])
        .refused(BAD_INPUT, &["folder of the dataset", "expected another folder than the clips'"]);
    let (above, inside) = (folder.path().join("above"), text(&folder.path().join("above/clips")));
    write_clips(Path::new(&inside), 0..3);
    avdit(&["prepare", &text(&above), "-o", &inside])
        .refused(BAD_INPUT, &["no files", "above/clips is where the dataset goes", "another folder with -o"]);
    avdit(&["prepare", &clips, "-o", &out, "--shard", "4/4"]).refused(2, &["0/4 to 3/4"]);
    avdit(&["prepare", &clips, "-o", &text(&folder.path().join("new")), "--merge"])
        .refused(BAD_INPUT, &["parts to merge"]);
}

#[test]
fn a_clip_that_needed_ffmpeg_is_read_once_it_is_there() {
    let ffmpeg = std::env::var_os("AVDIT_FFMPEG").unwrap_or_else(|| "ffmpeg".into());
    let run = |args: &[&str]| Command::new(&ffmpeg).args(args).stdin(Stdio::null()).output();
    if !run(&["-version"]).is_ok_and(|said| said.status.success()) {
        assert!(std::env::var_os("AVDIT_REQUIRE_FFMPEG").is_none_or(|v| v != "1"), "ffmpeg is required");
        eprintln!("skipped: there is no ffmpeg");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mp4, mkv) = (folder.path().join("mp4"), folder.path().join("mkv"));
    write_clips(&mp4, 0..2);
    std::fs::create_dir(&mkv).unwrap();
    for name in ["clip-0000", "clip-0001"] {
        let (from, to) = (text(&mp4.join(format!("{name}.mp4"))), text(&mkv.join(format!("{name}.mkv"))));
        assert!(run(&["-v", "error", "-i", &from, "-c", "copy", &to]).unwrap().status.success());
    }
    let out = text(&folder.path().join("data"));
    let prepare = |ffmpeg: &std::ffi::OsStr, more: &[&str]| {
        let clips = text(&mkv);
        let args = [&["prepare", &clips, "-o", &out], more].concat();
        Said::of(command(&args).env("AVDIT_FFMPEG", ffmpeg).output().unwrap())
    };
    let none = std::ffi::OsStr::new("/no/ffmpeg/here");
    prepare(none, &[]).refused(BAD_INPUT, &["at least 1 that can be kept", "2 not a clip"]);
    let said = prepare(&ffmpeg, &[]).ok().out;
    assert!(said.contains("2 clips of 2 files"), "{said}");

    // Parts with it and without it do not make one dataset.
    std::fs::remove_dir_all(&out).unwrap();
    prepare(&ffmpeg, &["--shard", "0/2"]).ok();
    prepare(none, &["--shard", "1/2"])
        .refused(BAD_INPUT, &["ffmpeg: part 0/2 has ", "part 1/2 has none", "hint"]);
}
