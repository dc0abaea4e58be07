//! A run that goes on looking: new files, replaced ones, sources that vanish and come back; outputs that are up to date
//! while it goes on; two that watch at once.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::Signal;
use voxbatch::emulator::Change;

use crate::support::{Disk, Jobs, Process, STT, World, tone};

const OFTEN: &str = "[run]\nwatch_interval = \"50ms\"\n";

fn world(recordings: usize) -> World {
    let world = World::with_recordings(recordings);
    world.edit("[run]\n", OFTEN);
    world
}

fn watch(world: &World) -> Process {
    let run = world.start(&["run", "--watch"]);
    run.until_told("watching interval_s=0.05");
    run
}

/// Ends it by hand: everything that it knew of is done.
fn end(world: &World, run: Process) {
    run.signal(Signal::TERM);
    run.wait().expect(143);
    world.voxbatch(&["verify"]).expect(0);
}

/// Waits for something that only a look can tell.
fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_comes_while_it_watches_is_sent_and_written_out_while_it_goes_on() {
    let world = world(3);
    let run = watch(&world);
    until("the first ones are written", || world.results().len() == 3);
    world.write("calls/later/new.wav", &tone("new", 250));
    until("the new one is written", || world.results().len() == 4);
    world.write("calls/void.wav", b"");
    until("the refusal is written", || world.failures().contains_key("void.wav"));
    let status = world.voxbatch(&["status", "--json"]).expect(0).json();
    assert_eq!(status["jobs"][0]["succeeded"], 4, "{status:#}");
    end(&world, run);
    assert_eq!(world.stt().bodies, 4);
}

#[test]
fn passes_that_find_nothing_new_are_neither_told_nor_kept() {
    let world = world(3);
    let run = watch(&world);
    until("all is done", || world.results().len() == 3);
    let entries =
        || String::from_utf8(world.read(".voxbatch/audit.jsonl")).unwrap().matches("\"scan\"").count();
    let before = entries();
    let new = |n: u32| world.write(&format!("calls/new-{n}.wav"), &tone(&format!("new {n}"), 250));
    new(1);
    until("it is done", || world.results().len() == 4);
    new(2);
    until("it is done", || world.results().len() == 5);
    run.signal(Signal::INT);
    let ended = run.wait().expect(130);
    let told = ended.stderr.matches(" scanned job=").count();
    assert_eq!(told, 3, "the first pass, and the two that found something:\n{}", ended.stderr);
    assert!(ended.stderr.contains("new=5"), "what is told adds up:\n{}", ended.stderr);
    assert_eq!(entries(), before + 2);
}

#[test]
fn a_copy_whose_times_were_set_back_is_not_settled_for_who_comes_again() {
    let world = world(0);
    world.edit("settle = \"0s\"", "settle = \"1h\"");
    world.write("calls/copy.wav", &tone("copy", 250));
    let copy = fs::File::options().write(true).open(world.path("calls/copy.wav")).unwrap();
    copy.set_modified(SystemTime::now() - Duration::from_secs(7200)).unwrap();
    let run = watch(&world);
    run.until_told("changed just now");
    end(&world, run);
    assert_eq!(world.report().requests, 0);
    world.run().expect(0);
    world.assert_each_once();
}

#[test]
fn a_file_that_is_replaced_after_it_was_sent_is_told_of_and_sent_again_when_it_is_asked_for() {
    let world = world(2);
    let run = watch(&world);
    until("all is done", || world.results().len() == 2);
    world.write("calls/call-000.wav", &tone("another", 500));
    run.until_told("1 recording has changed since it was sent");
    assert_eq!(world.stt().bodies, 2);
    world.voxbatch(&["retry", "--again", "--where", "path:call-000.wav"]).expect(0);
    let hash = blake3::hash(&world.read("calls/call-000.wav")).to_string();
    until("the new result is written", || world.results().iter().any(|l| l["audio"]["blake3"] == hash));
    world.assert_each_once();
    end(&world, run);
    assert_eq!(world.stt().bodies, 3);
}

/// A watch with four of twelve requests at the gate; then the source goes.
fn with_source_gone(world: &World, go: impl Fn(), come: impl Fn()) {
    world.control(Change::Hold);
    let run = watch(world);
    world.when_held(4);
    go();
    world.control(Change::Release);
    world.when("what was in flight is done", |r| r.of(STT).billed >= 4 && r.of(STT).in_flight == 0);
    until("it has looked for the next ones", || world.results().len() as u64 == world.stt().billed);
    come();
    until("all is done", || world.results().len() == 12);
    assert_eq!(world.failures().len(), 0, "nothing failed for it");
    end(world, run);
    world.assert_each_once();
    assert_eq!(world.stt().bodies, 12);
}

#[test]
fn a_source_that_vanishes_is_waited_for_and_nothing_of_it_fails() {
    let world = world(12);
    let (here, there) = (world.path("calls"), world.path("elsewhere"));
    with_source_gone(&world, || fs::rename(&here, &there).unwrap(), || fs::rename(&there, &here).unwrap());
}

#[test]
fn a_disk_that_is_taken_off_is_waited_for_although_its_folder_stays() {
    let world = world(0);
    let Some(disk) = Disk::mount(&world, "disk", "4m") else { return };
    world.record("disk", 12);
    let (from, to) = (world.path("disk"), world.path("calls"));
    let mount =
        || assert!(Command::new("mount").arg("--bind").args([&from, &to]).status().unwrap().success());
    let unmount = || assert!(Command::new("umount").arg("-l").arg(&to).status().unwrap().success());
    mount();
    let unmounted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        with_source_gone(&world, unmount, mount);
    }));
    unmount();
    drop(disk);
    unmounted.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

#[test]
fn it_says_that_the_source_is_gone_and_that_it_is_back() {
    let world = world(1);
    let run = watch(&world);
    until("all is done", || world.results().len() == 1);
    fs::rename(world.path("calls"), world.path("elsewhere")).unwrap();
    run.until_told("source_away job=archive");
    fs::rename(world.path("elsewhere"), world.path("calls")).unwrap();
    run.until_told("source_back job=archive");
    world.write("calls/new.wav", &tone("new", 250));
    until("the new one is written", || world.results().len() == 2);
    end(&world, run);
}

#[test]
fn a_source_that_is_not_there_at_the_start_is_a_mistake_also_of_a_watch() {
    let world = world(1);
    fs::rename(world.path("calls"), world.path("elsewhere")).unwrap();
    world.voxbatch(&["run", "--watch"]).expect(2).told("E-SCAN-SOURCE");
    world.voxbatch(&["run", "--watch", "--no-scan"]).expect(2).told("--no-scan");
}

#[test]
fn two_that_watch_share_the_work_and_one_of_them_writes() {
    let world = world(5);
    let runs = [watch(&world), watch(&world)];
    until("the first ones are written", || world.results().len() == 5);
    for n in 0..20 {
        world.write(&format!("calls/new-{n}.wav"), &tone(&format!("new {n}"), 250));
    }
    until("the new ones are written", || world.results().len() == 25);
    for run in runs {
        run.signal(Signal::TERM);
        run.wait().expect(143);
    }
    world.voxbatch(&["verify"]).expect(0);
    world.assert_each_once();
    assert_eq!((world.stt().bodies, world.stt().peak_in_flight <= 4), (25, true));
}

#[test]
fn a_watch_ends_at_its_deadline_and_with_0_when_nothing_is_left() {
    let world = world(3);
    let ended = world.voxbatch(&["run", "--watch", "--max-duration", "3s"]);
    // 10 when it came in the middle of a look: then nobody knows what is left.
    assert!(matches!(ended.code, Some(0 | 10)), "{ended:?}");
    ended.told("why=deadline");
    world.assert_each_once();
}

#[test]
fn a_halt_ends_a_watch_and_an_outage_that_lasts_does_too() {
    let world = world(3);
    world.control(Change::Keys(Vec::new()));
    world.voxbatch(&["run", "--watch"]).expect(4);

    let world = World::with_recordings(12);
    world.configure(&Jobs { max_attempts: 1000, ..Jobs::default() });
    world.edit("[run]\n", "[run]\nwatch_interval = \"50ms\"\ngive_up_after = \"100ms\"\n");
    world.control(Change::Faults(voxbatch::emulator::Faults { rate_503: 1.0, ..Default::default() }));
    world.voxbatch(&["run", "--watch"]).expect(6);
    assert_eq!(world.failures().len(), 0);
}
