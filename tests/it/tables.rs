//! The tables of Parquet as an output of a job: every recording once, both of one moment, proven, purged; and what a build
//! without them says.

use crate::support::World;

#[cfg(not(feature = "parquet"))]
#[test]
fn a_build_without_parquet_says_how_to_get_one_and_does_not_list_it() {
    let world = World::with_recordings(1);
    world.edit("[[job]]", "[[job]]\noutputs = [\"jsonl\", \"parquet\"]");
    let refused = world.run().expect(2);
    let refused = refused.told("built without Parquet");
    refused.told("cargo install --path . --features parquet");
    assert_eq!(world.stt().requests, 0);
    world.edit(", \"parquet\"]", "]");
    let help = world.voxbatch(&["export", "--help"]).expect(0).stdout;
    assert!(help.contains("nemo") && !help.contains("parquet"), "{help}");
    let wrong = world.voxbatch(&["export", "--format", "excel"]).expect(2);
    assert!(!wrong.stderr.contains("parquet"), "{}", wrong.stderr);
    world.run().expect(0);
    let asked = world.voxbatch(&["export", "--format", "parquet", "--to", "tables"]).expect(2);
    asked.told("cargo install --path . --features parquet");
}

#[cfg(feature = "parquet")]
mod with {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use arrow_array::RecordBatch;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use rustix::process::Signal;

    use super::World;
    use crate::support::{Jobs, STT, json_lines};

    const RECORDINGS: &str = "out/archive/recordings.parquet";
    const UTTERANCES: &str = "out/archive/utterances.parquet";
    /// Words that stand in every answer of the emulator.
    const SPOKEN: &str = "does not recognise";

    fn listing() -> Jobs {
        Jobs { of_each_job: "outputs = [\"jsonl\", \"csv\", \"parquet\"]", ..Jobs::default() }
    }

    /// Five recordings that were answered, and one that cannot be.
    fn world() -> World {
        let world = World::with_recordings(5);
        world.write("calls/empty.wav", b"");
        world.configure(&listing());
        world
    }

    fn done() -> World {
        let world = world();
        world.run().expect(3);
        world
    }

    fn batches(world: &World, table: &str) -> Vec<RecordBatch> {
        let file = fs::File::open(world.path(table)).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        reader.map(Result::unwrap).collect()
    }

    fn words(world: &World, table: &str, column: &str) -> Vec<Option<String>> {
        let of = |batch: &RecordBatch| {
            let column = batch.column_by_name(column).unwrap().as_string::<i32>();
            column.iter().map(|word| word.map(str::to_owned)).collect::<Vec<_>>()
        };
        batches(world, table).iter().flat_map(of).collect()
    }

    fn tasks(world: &World, table: &str) -> Vec<i64> {
        let of = |batch: &RecordBatch| {
            batch.column_by_name("task").unwrap().as_primitive::<Int64Type>().values().to_vec()
        };
        batches(world, table).iter().flat_map(of).collect()
    }

    /// Both say of every recording what the other outputs say of it.
    #[track_caller]
    fn assert_in_step(world: &World) {
        let mut wanted: Vec<(i64, Option<String>)> = Vec::new();
        let mut spoken = Vec::new();
        for line in world.results() {
            let task = line["task"].as_i64().unwrap();
            wanted.push((task, line["text"].as_str().map(str::to_owned)));
            spoken.extend(line["response"]["utterances"].as_array().into_iter().flatten().map(|_| task));
        }
        wanted.extend(
            world.lines("out/archive/failures.jsonl").iter().map(|l| (l["task"].as_i64().unwrap(), None)),
        );
        wanted.sort();
        spoken.sort_unstable();
        let found: Vec<_> =
            tasks(world, RECORDINGS).into_iter().zip(words(world, RECORDINGS, "text")).collect();
        assert_eq!(found, wanted);
        assert_eq!(tasks(world, UTTERANCES), spoken);
        assert_eq!(verify(world, 0), Vec::<String>::new());
    }

    #[track_caller]
    fn verify(world: &World, code: i32) -> Vec<String> {
        let mut lines = json_lines(&world.voxbatch(&["verify", "--json"]).expect(code).stdout);
        lines.pop();
        lines.iter().map(|line| line["kind"].as_str().unwrap().to_owned()).collect()
    }

    fn inodes(world: &World) -> [u64; 2] {
        [RECORDINGS, UTTERANCES].map(|table| fs::metadata(world.path(table)).unwrap().ino())
    }

    #[test]
    fn every_recording_is_in_them_once_after_every_run_and_they_are_left_alone_when_nothing_changed() {
        let world = done();
        assert_in_step(&world);
        let statuses = words(&world, RECORDINGS, "status").into_iter().flatten();
        assert_eq!(statuses.filter(|status| status == "failed").count(), 1);
        let before = inodes(&world);
        world.run().expect(0);
        assert_eq!(inodes(&world), before);
        world.record("calls/more", 2);
        world.run().expect(0);
        assert_in_step(&world);
        assert_ne!(inodes(&world), before);
        // The same content is the same bytes, whenever it is written.
        let both = [RECORDINGS, UTTERANCES].map(|table| world.read(table));
        fs::remove_file(world.path(RECORDINGS)).unwrap();
        world.voxbatch(&["run", "--no-scan", "--limit", "0"]).expect(0);
        assert_eq!([RECORDINGS, UTTERANCES].map(|table| world.read(table)), both);
        let said = world.voxbatch(&["verify", "--manifest", "hashes"]).expect(0);
        assert!(
            String::from_utf8(world.read("hashes")).unwrap().contains("  out/archive/utterances.parquet\n"),
            "{}",
            said.stderr
        );
    }

    #[test]
    fn listed_later_they_are_made_from_what_is_stored_and_a_file_of_others_is_not_overwritten() {
        let world = world();
        world.configure(&Jobs::default());
        world.run().expect(3);
        world.configure(&listing());
        world.write(UTTERANCES, b"somebody's");
        world.forget();
        world.run().expect(7).told("that this queue did not write");
        assert_eq!(world.read(UTTERANCES), b"somebody's");
        fs::remove_file(world.path(UTTERANCES)).unwrap();
        world.run().expect(0);
        assert_in_step(&world);
        assert_eq!(world.stt().requests, 0);
    }

    #[test]
    fn verify_names_what_is_missing_altered_or_behind_and_the_next_run_mends_it() {
        let world = done();
        let whole = world.read(RECORDINGS);
        for (kind, harmed) in [
            ("file_missing", None),
            ("file_cut", Some(whole[..whole.len() - 1].to_vec())),
            ("file_altered", Some([&b"x"[..], &whole[1..]].concat())),
            ("file_tail", Some([&whole[..], b"x"].concat())),
        ] {
            match harmed {
                None => fs::remove_file(world.path(RECORDINGS)).unwrap(),
                Some(bytes) => world.write(RECORDINGS, &bytes),
            }
            assert_eq!(verify(&world, 8), [kind]);
            assert_eq!(verify_sources(&world), [kind]);
            world.run().expect(0);
            assert_eq!(world.read(RECORDINGS), whole);
            assert_eq!(verify(&world, 0), Vec::<String>::new());
        }
        // By hand: no damage, and a word.
        world.voxbatch(&["retry", "--where", "state:failed"]).expect(0);
        let told = world.voxbatch(&["verify"]).expect(0).stdout;
        assert!(told.contains("how recordings stood before; the next run makes them anew"), "{told}");
        world.run().expect(3);
        assert_in_step(&world);
    }

    fn verify_sources(world: &World) -> Vec<String> {
        let mut lines = json_lines(&world.voxbatch(&["verify", "--json", "--sources"]).expect(8).stdout);
        lines.pop();
        lines.iter().map(|line| line["kind"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_run_that_is_killed_leaves_the_old_ones_whole_and_verify_says_that_they_are_behind() {
        let world = done();
        let before = [RECORDINGS, UTTERANCES].map(|table| world.read(table));
        world.record("calls/more", 40);
        let run = world.start(&["run"]);
        // Of the last four nobody knows whether they came.
        world.when("some more are answered", |r| r.of(STT).statuses.get(&200).is_some_and(|n| *n >= 12));
        run.signal(Signal::KILL);
        drop(run);
        world.when("its requests are gone", |r| r.of(STT).in_flight == 0);
        assert_eq!([RECORDINGS, UTTERANCES].map(|table| world.read(table)), before);
        assert!(verify(&world, 8).contains(&"file_behind".to_owned()));
        world.run().expect(0);
        assert_in_step(&world);
    }

    #[test]
    fn what_is_purged_is_in_neither_of_them_any_more() {
        let world = done();
        assert!(words(&world, RECORDINGS, "text").iter().flatten().all(|text| text.contains(SPOKEN)));
        // Also if nobody lists them any more.
        for listed in [true, false] {
            if !listed {
                world.configure(&Jobs::default());
                world.record("calls/more", 2);
                world.run().expect(0);
            }
            let count = world.voxbatch(&["purge", "--older-than", "0s", "-n", "--json"]).expect(0).json();
            let count = count["recordings"].to_string();
            world.voxbatch(&["purge", "--older-than", "0s", "--yes", &count]).expect(0);
            assert!(words(&world, RECORDINGS, "text").iter().all(Option::is_none));
            assert_eq!(tasks(&world, UTTERANCES), Vec::<i64>::new());
            assert_eq!(tasks(&world, RECORDINGS).len(), if listed { 6 } else { 8 });
            assert_eq!(verify(&world, 0), Vec::<String>::new());
        }
    }
}
