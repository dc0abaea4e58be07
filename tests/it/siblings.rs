//! The smaller models through a whole run: what is sent, what it is billed by, and which tables come of it.

use std::collections::BTreeMap;

use voxbatch::emulator::{Contract, Settings};

use crate::support::{Jobs, World, roomy, tone};

const JOBS: [(&str, &str); 6] = [
    ("fast", "velma-2-stt-batch-multilingual-vfast"),
    ("emotion", "velma-2-emotion-batch"),
    ("accent", "velma-2-accent-batch"),
    ("language", "velma-2-language-detection-batch"),
    ("music", "velma-2-music-detection-batch"),
    ("made", "velma-2-ai-music-detection-batch"),
];

/// Every job above over the samples and a tone of 47 s.
fn world(contract: Contract) -> World {
    let world = World::new(Settings { contract, ..roomy() });
    world.copy_samples("calls");
    world.write("calls/tone.wav", &tone("tone", 47_000));
    let jobs = JOBS.into_iter().map(|(name, endpoint)| (name, endpoint, "calls")).collect();
    world.configure(&Jobs { jobs, ..Jobs::default() });
    world
}

fn text(world: &World, relative: &str) -> String {
    String::from_utf8(world.read(relative)).unwrap()
}

/// The row of a recording, by the names of its columns.
fn row(world: &World, job: &str, path: &str) -> BTreeMap<String, String> {
    let table = world.read(&format!("out/{job}/results.csv"));
    let mut reader = csv::Reader::from_reader(&table[..]);
    let names = reader.headers().unwrap().clone();
    let rows = reader.into_records().map(Result::unwrap);
    let found = rows.filter(|row| &row[2] == path).collect::<Vec<_>>();
    assert_eq!(found.len(), 1, "{job} {path}");
    names.iter().zip(found[0].iter()).map(|(name, cell)| (name.to_owned(), cell.to_owned())).collect()
}

#[test]
fn the_smaller_models_take_what_they_take_and_say_what_they_say() {
    let world = world(Contract::C);
    world.run().expect(0); // the music models take no WebM: the Opus in it goes out as FLAC
    let report = world.report();
    assert_eq!((report.mime_mismatches, report.octet_stream_uploads, report.training_permitted), (0, 0, 0));
    assert_eq!(report.statuses, BTreeMap::from([(200, 6 * 11)]), "nothing was sent to be refused");
    for (job, endpoint) in JOBS {
        let lines = world.lines(&format!("out/{job}/results.jsonl"));
        assert_eq!(lines.len(), 11, "{job}");
        let film = lines.iter().find(|line| line["path"] == "meeting.webm").unwrap();
        let music = matches!(job, "music" | "made");
        assert_eq!(film["audio"]["mime"], if music { "audio/flac" } else { "video/webm" }, "{job}");
        let billed: u64 = lines.iter().map(|line| line["billed_ms"].as_u64().unwrap()).sum();
        let seen = report.of(endpoint).billed_ms;
        assert!(billed.abs_diff(seen) <= seen / 50, "{job}: {billed} here, {seen} there");
        let tells = lines.iter().all(|line| line["duration_ms"].is_u64());
        assert_eq!(tells, !matches!(job, "emotion" | "accent"), "{job}: whether the answer tells its length");
    }

    let cell = |job: &str, column: &str| row(&world, job, "tone.wav")[column].clone();
    assert_eq!((cell("emotion", "label"), cell("accent", "label")), ("Neutral".into(), "Unknown".into()));
    assert_eq!((cell("emotion", "billed_ms"), cell("emotion", "frames")), ("47000".into(), "3".into()));
    assert_eq!(
        (cell("language", "label"), cell("language", "languages"), cell("language", "confidence")),
        ("English".into(), "en".into(), "0.5".into())
    );
    assert!(["music", "speech"].contains(&&*cell("music", "label")), "{}", cell("music", "label"));
    assert_eq!((cell("made", "label"), cell("made", "ai_vocal")), ("not-ai-music".into(), "0.25".into()));

    let windows = text(&world, "out/emotion/utterances.csv");
    let windows: Vec<&str> = windows.lines().filter(|line| line.contains(",tone.wav,")).collect();
    assert_eq!(windows.len(), 3, "{windows:?}");
    assert!(windows[2].contains(",2,30000,45000,,,Neutral,"), "{}", windows[2]);
    let frames = text(&world, "out/music/music.csv");
    assert_eq!(frames.lines().filter(|line| line.contains(",tone.wav,")).count(), 47_000_usize.div_ceil(192));
    for absent in ["out/language/utterances.csv", "out/music/utterances.csv", "out/emotion/behaviors.csv"] {
        assert!(!world.path(absent).exists(), "{absent}");
    }
    world.voxbatch(&["verify"]).expect(0);
}

#[test]
fn both_ages_of_the_answer_about_made_music_fill_the_same_columns() {
    let of = |contract| {
        let world = world(contract);
        world.voxbatch(&["run", "--job", "made"]).expect(0);
        let row = row(&world, "made", "tone.wav");
        let table = text(&world, "out/made/music.csv");
        // Recordings come in the order in which they were answered.
        let mut windows: Vec<String> = table.lines().map(str::to_owned).collect();
        windows.sort();
        (row["label"].clone(), row["ai_vocal"].clone(), row["ai_instrumental"].clone(), windows)
    };
    assert_eq!(of(Contract::A), of(Contract::B));
}

#[test]
fn a_table_that_a_model_cannot_fill_is_no_export_of_its_job() {
    let world = world(Contract::C);
    world.voxbatch(&["run", "--job", "emotion"]).expect(0);
    let ended = world.voxbatch(&["export", "--job", "emotion", "--format", "behaviors"]).expect(2);
    assert!(ended.stderr.contains("nothing for behaviors.csv"), "{}", ended.stderr);
    let windows = world.voxbatch(&["export", "--job", "emotion", "--format", "utterances"]).expect(0).stdout;
    assert!(windows.contains("tone.wav,0,0,15000,,,Neutral"), "{windows}");
}
