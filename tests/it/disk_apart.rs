//! A disk that is full under one file only, while there is room beside it: the database, its log, one output, redacted
//! audio. The run says which file, how to mend it, and ends with 7; with room again, all stand once, paid for once.

use voxbatch::emulator::Change;

use crate::support::{Disk, Ended, Jobs, Process, STT, World};

const REDACTION: &str = "velma-2-pii-phi-redaction-batch";
const RESULTS: &str = "out/archive/results.jsonl";

fn held(world: &World, endpoint: &str) -> Process {
    world.control(Change::Hold);
    let run = world.start(&["run"]);
    world.when("four are held", |r| r.of(endpoint).held == 4);
    run
}

#[track_caller]
fn assert_names(ended: &Ended, code: &str, file: &str) {
    for word in [code, file, "df -h"] {
        assert!(ended.stderr.contains(word), "{word:?} is not in:\n{}", ended.stderr);
    }
}

/// Every recording stands once, in each table too, and `verify` agrees.
fn assert_whole(world: &World) {
    world.assert_each_once();
    let table = world.read("out/archive/results.csv");
    assert_eq!(
        csv::Reader::from_reader(&table[..]).records().map(Result::unwrap).count(),
        world.results().len()
    );
    world.voxbatch(&["verify"]).expect(0);
}

/// More results than fit into what a page of the file has left.
fn full_under(output: &str) {
    let world = World::with_recordings(4);
    world.run().expect(0);
    world.record("calls/later", 60);
    let Some(disk) = Disk::mount_under(&world, output, "1m") else { return };
    let run = held(&world, STT);
    disk.fill();
    world.control(Change::Release);
    let ended = run.wait().expect(7);
    assert_names(&ended, "E-OUT-FULL", output);
    // Answers that come meanwhile wait in the queue, where there is room.
    let ended = world.run().expect(7);
    assert_names(&ended, "E-OUT-FULL", output);
    disk.free();
    world.run().expect(0);
    assert_whole(&world);
    assert_eq!(world.stt().bodies, 64);
}

#[test]
fn results_jsonl_alone() {
    full_under(RESULTS);
}

#[test]
fn results_csv_alone() {
    full_under("out/archive/results.csv");
}

#[test]
fn utterances_csv_alone() {
    full_under("out/archive/utterances.csv");
}

#[test]
fn the_database_alone_stops_nobody_for_its_log_takes_everything() {
    let world = World::with_recordings(4);
    world.run().expect(0);
    world.record("calls/later", 60);
    let Some(disk) = Disk::mount_under(&world, ".voxbatch/queue.db", "1m") else { return };
    let before = world.read(".voxbatch/queue.db");
    disk.fill();
    world.run().expect(0);
    // What SQLite could not move into the database stays in the log, and is read from there.
    assert!(std::fs::metadata(world.path(".voxbatch/queue.db-wal")).unwrap().len() > 0);
    assert_whole(&world);
    assert!(world.read(".voxbatch/queue.db").len() <= before.len().next_multiple_of(4096));
    disk.free();
    world.run().expect(0);
    assert!(world.read(".voxbatch/queue.db").len() > before.len(), "now it is in the database");
    assert_whole(&world);
    assert_eq!(world.stt().bodies, 64);
}

#[test]
fn the_log_alone_keeps_answers_waiting_until_there_is_room() {
    let world = World::with_recordings(9);
    let Some(disk) = Disk::mount_under(&world, ".voxbatch/queue.db-wal", "1m") else { return };
    let run = held(&world, STT);
    disk.fill();
    world.control(Change::Release);
    run.until_told("waits to be stored");
    disk.free();
    let ended = run.wait().expect(7);
    assert_names(&ended, "E-STATE-FULL", "queue.db");
    let sent = world.stt().bodies;
    disk.fill();
    let ended = world.run().expect(7);
    assert_names(&ended, "E-STATE-FULL", "queue.db");
    assert_eq!(world.stt().bodies, sent, "nothing is begun without room for its answer");
    disk.free();
    world.run().expect(0);
    assert_whole(&world);
    assert_eq!(world.stt().bodies, 9, "every answer was kept");
}

#[test]
fn redacted_audio_alone() {
    let world = World::with_recordings(2);
    world.configure(&Jobs { jobs: vec![("archive", REDACTION, "calls")], ..Jobs::default() });
    world.run().expect(0);
    world.record("calls/later", 9);
    let Some(disk) = Disk::mount(&world, "out/archive/audio/later", "1m") else { return };
    let run = held(&world, REDACTION);
    disk.fill();
    world.control(Change::Release);
    let ended = run.wait().expect(7);
    assert_names(&ended, "E-OUT-AUDIO", "out/archive/audio/later/call-");
    let sent = world.report().of(REDACTION).bodies;
    assert!(sent <= 2 + 4, "{sent} were sent, though only the first four could not know");
    disk.free();
    world.run().expect(0);
    assert_whole(&world);
    let lost = world.attempts().iter().filter(|a| a["cause"] == "local_storage").count() as u64;
    assert_eq!(world.report().of(REDACTION).bodies, 11 + lost, "what was paid for in vain is on record");
}
