//! Trouble with the disk: full or read-only; a database that is locked, damaged, cut or newer; outputs that somebody
//! changes under a run. It ends with a clear word or gets over it; nothing is overwritten, and all stand once after.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use voxbatch::emulator::Change;

use crate::support::{Disk, Jobs, Process, STT, World, skip, tone};

const REDACTION: &str = "velma-2-pii-phi-redaction-batch";
const QUEUE: &str = ".voxbatch/queue.db";
const RESULTS: &str = "out/archive/results.jsonl";

/// A run whose four slots stand at the closed gate.
fn held_run(world: &World) -> Process {
    world.control(Change::Hold);
    let run = world.start(&["run"]);
    world.when_held(4);
    run
}

#[test]
fn answers_are_stored_although_the_disk_under_the_queue_is_full() {
    let world = World::with_recordings(9);
    let Some(disk) = Disk::mount(&world, ".voxbatch", "12m") else { return };
    let run = held_run(&world);
    disk.fill();
    world.control(Change::Release);
    run.wait().expect(7).told("E-STATE-FULL").told("df -h");
    // The first writes may find room in what the log has already.
    let begun = world.stt().bodies;
    assert!(begun <= 8, "{begun} were begun, though nothing more could be stored");
    let _ = fs::remove_file(world.path(".voxbatch/reserve"));
    disk.fill();
    world.run().expect(7).told("E-STATE-FULL");
    assert_eq!(world.stt().bodies, begun, "nothing is begun without room for its answer");
    disk.free();
    world.run().expect(0);
    world.assert_each_once();
    assert_eq!(world.stt().bodies, 9, "every answer was kept");
}

#[test]
fn results_wait_in_the_queue_while_the_disk_under_the_outputs_is_full() {
    let world = World::with_recordings(9);
    let Some(disk) = Disk::mount(&world, "out", "1m") else { return };
    let run = held_run(&world);
    disk.fill();
    world.control(Change::Release);
    run.wait().expect(7).told("E-OUT-FULL").told("df -h");
    disk.free();
    world.run().expect(0);
    world.assert_each_once();
    assert_eq!(world.stt().bodies, 9);
}

#[test]
fn redacted_audio_that_finds_no_room_stops_the_run_after_what_was_in_flight() {
    let world = World::with_recordings(9);
    world.configure(&Jobs { jobs: vec![("archive", REDACTION, "calls")], ..Jobs::default() });
    let Some(disk) = Disk::mount(&world, "out", "1m") else { return };
    world.control(Change::Hold);
    let run = world.start(&["run"]);
    world.when("four are held", |r| r.of(REDACTION).held == 4);
    disk.fill();
    world.control(Change::Release);
    run.wait().expect(7).told("redacted audio");
    let paid = world.report().of(REDACTION).bodies;
    assert!(paid <= 4, "{paid} were sent, though only the first four could not know");
    disk.free();
    world.run().expect(0);
    world.assert_each_once();
    let lost = world.attempts().iter().filter(|a| a["cause"] == "local_storage").count() as u64;
    assert_eq!(world.report().of(REDACTION).bodies, 9 + lost, "what was paid for in vain is on record");
}

#[test]
fn nothing_is_sent_while_the_state_folder_or_the_outputs_are_read_only() {
    let world = World::with_recordings(4);
    let (Some(state), Some(out)) =
        (Disk::mount(&world, ".voxbatch", "12m"), Disk::mount(&world, "out", "1m"))
    else {
        return;
    };
    world.run().expect(0);
    world.write("calls/more.wav", &tone("more", 250));
    world.forget();
    for disk in [&state, &out] {
        let (queue, results) = (world.read(QUEUE), world.read(RESULTS));
        disk.make_read_only(true);
        let ended = world.run().expect(7);
        assert!(ended.stderr.contains("read-only") || ended.stderr.contains("Read-only"), "{}", ended.stderr);
        if std::ptr::eq(disk, &state) {
            assert_eq!(world.read(QUEUE), queue);
        }
        assert_eq!((world.read(RESULTS), world.report().requests), (results, 0));
        disk.make_read_only(false);
    }
    world.run().expect(0);
    world.assert_each_once();
}

#[test]
fn nothing_is_sent_without_the_right_to_write_to_the_state_folder_or_to_an_output() {
    if rustix::process::geteuid().is_root() {
        return skip("a test of missing rights says nothing when it runs as root");
    }
    let world = World::with_recordings(4);
    world.run().expect(0);
    world.write("calls/more.wav", &tone("more", 250));
    world.forget();
    for (place, without, with) in [(".voxbatch", 0o500, 0o700), (RESULTS, 0o400, 0o600)] {
        let results = world.read(RESULTS);
        let mode = |mode| fs::set_permissions(world.path(place), fs::Permissions::from_mode(mode)).unwrap();
        mode(without);
        let ended = world.run();
        mode(with);
        ended.expect(7).told("Permission denied").told(place);
        assert!(world.read(RESULTS) == results);
        assert_eq!(world.report().requests, 0);
    }
    world.run().expect(0);
    world.assert_each_once();
}

#[test]
fn a_run_waits_for_a_database_that_somebody_has_locked_and_goes_on() {
    let world = World::with_recordings(9);
    let run = held_run(&world);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut other = open(&world).await;
        sqlx::query("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
        world.control(Change::Release);
        answered(&world);
        sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
        other.close().await.unwrap();
    });
    run.wait().expect(0);
    world.assert_each_once();
    assert_eq!(world.stt().bodies, 9);
}

/// Off the runtime that the test itself is on: a world has its own.
fn answered(world: &World) {
    std::thread::scope(|threads| {
        let waiting =
            threads.spawn(|| world.when("four are answered", |r| r.of(STT).statuses.get(&200) == Some(&4)));
        waiting.join().unwrap();
    });
}

#[test]
fn a_database_that_is_cut_or_overwritten_is_named_and_left_as_it_is() {
    let world = World::with_recordings(6);
    world.run().expect(0);
    let whole = world.read(QUEUE);
    let damage = |from: usize, to: usize| {
        let mut bytes = whole.clone();
        bytes[from..to].fill(0xA5);
        bytes
    };
    let page = 4096;
    let cases = [
        ("cut in half", whole[..whole.len() / 2].to_vec()),
        // Not within the last one: the end of a page that holds nothing yet is missed by nobody.
        ("cut within a page", whole[..whole.len() - page - 1000].to_vec()),
        ("its header overwritten", damage(0, 100)),
        ("its first page overwritten", damage(100, page)),
        ("all but its first page overwritten", damage(page, whole.len())),
        ("something else", b"{\"not\":\"a database\"}\n".repeat(500)),
    ];
    world.write("calls/more.wav", &tone("more", 250));
    world.forget();
    for (what, bytes) in cases {
        world.write(QUEUE, &bytes);
        for verb in ["run", "status", "verify"] {
            let ended = world.voxbatch(&[verb]);
            assert_eq!(ended.code, Some(7), "{what}, {verb}: {}", ended.stderr);
            assert!(ended.stderr.contains("queue.db"), "{what}, {verb}: {}", ended.stderr);
            assert!(world.read(QUEUE) == bytes, "{what}: {verb} wrote to it");
        }
    }
    assert_eq!(world.report().requests, 0);
    world.write(QUEUE, &whole);
    world.run().expect(0);
    world.assert_each_once();
}

#[test]
fn a_database_that_is_gone_or_empty_is_not_begun_anew_over_results_that_are_there() {
    let world = World::with_recordings(3);
    world.run().expect(0);
    let results = world.read(RESULTS);
    world.forget();
    fs::remove_file(world.path(QUEUE)).unwrap();
    world.run().expect(7).told("this queue did not write");
    world.write(QUEUE, b"");
    world.run().expect(7).told("this queue did not write");
    assert_eq!((world.read(RESULTS), world.report().requests), (results, 0));
}

#[test]
fn what_was_in_a_log_that_somebody_deleted_is_sent_again_and_stands_once() {
    let world = World::with_recordings(4);
    world.run().expect(0);
    world.record("calls/later", 8);
    let run = held_run(&world);
    run.kill();
    world.control(Change::Release);
    world.when("its requests are gone", |r| r.of(STT).in_flight == 0);
    fs::remove_file(world.path(".voxbatch/queue.db-wal")).unwrap();
    world.run().expect(0);
    world.assert_each_once();
    assert_eq!(world.stt().bodies, 4 + 4 + 8);
}

#[test]
fn a_queue_of_a_newer_program_is_left_alone() {
    let world = World::with_recordings(3);
    world.run().expect(0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut other = open(&world).await;
        let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                     VALUES (9999, 'newer', 1, x'00', 0)";
        sqlx::query(newer).execute(&mut other).await.unwrap();
        other.close().await.unwrap();
    });
    let queue = world.read(QUEUE);
    world.run().expect(7).told("E-STATE-NEWER").told("schema 9999").told("queue.db");
    assert!(world.read(QUEUE) == queue);
}

/// Four recordings are in the files; four more are on their way when somebody does this to `results.jsonl`.
fn changed_under_a_run(change: impl FnOnce(&World, &[u8])) -> (World, Process) {
    let world = World::with_recordings(4);
    world.run().expect(0);
    world.record("calls/later", 4);
    let run = held_run(&world);
    let before = world.read(RESULTS);
    change(&world, &before);
    world.control(Change::Release);
    (world, run)
}

#[test]
fn results_that_are_cut_under_a_run_are_not_written_over() {
    let (world, run) = changed_under_a_run(|world, before| {
        let file = fs::File::options().write(true).open(world.path(RESULTS)).unwrap();
        file.set_len(before.len() as u64 / 2).unwrap();
    });
    let cut = world.read(RESULTS);
    run.wait().expect(7).told("something cut it").told("E-OUT-CHANGED");
    assert_eq!(world.read(RESULTS), cut);
    fs::remove_file(world.path(RESULTS)).unwrap();
    world.run().expect(0);
    world.assert_each_once();
    assert_eq!(world.stt().bodies, 8);
}

#[test]
fn what_somebody_appends_under_a_run_does_not_stay() {
    let (world, run) = changed_under_a_run(|world, before| {
        world.write(
            RESULTS,
            &[before, b"{\"a line\":\"of somebody else\"}\n".repeat(200).as_slice()].concat(),
        );
    });
    run.wait().expect(0);
    world.run().expect(0);
    world.assert_each_once();
    assert_eq!(world.stt().bodies, 8);
}

#[test]
fn results_that_are_replaced_by_a_copy_under_a_run_are_gone_on_with() {
    let (world, run) = changed_under_a_run(|world, before| {
        world.write("copy", before);
        fs::rename(world.path("copy"), world.path(RESULTS)).unwrap();
    });
    run.wait().expect(0);
    world.assert_each_once();
    assert_eq!(world.stt().bodies, 8);
}

#[test]
fn results_that_are_replaced_by_something_else_under_a_run_are_not_written_over() {
    let other = b"{\"not\":\"ours\"}\n".repeat(400);
    let (world, run) = changed_under_a_run(|world, _| {
        world.write("copy", &other);
        fs::rename(world.path("copy"), world.path(RESULTS)).unwrap();
    });
    run.wait().expect(7).told("E-OUT-CHANGED");
    assert!(world.read(RESULTS) == other);
    fs::remove_file(world.path(RESULTS)).unwrap();
    world.run().expect(0);
    world.assert_each_once();
    assert_eq!(world.stt().bodies, 8);
}

#[test]
fn results_that_are_edited_under_a_run_are_found_out_by_the_next() {
    let (world, run) = changed_under_a_run(|world, before| {
        let mut edited = before.to_vec();
        edited[20] ^= 1;
        world.write(RESULTS, &edited);
    });
    run.wait();
    let edited = world.read(RESULTS);
    world.run().expect(7).told("no longer those that were written");
    assert_eq!(world.read(RESULTS), edited);
}

async fn open(world: &World) -> SqliteConnection {
    SqliteConnectOptions::new().filename(world.path(QUEUE)).connect().await.unwrap()
}
