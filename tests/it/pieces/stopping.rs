//! What happens while a recording is still being encoded: it has no slot and no attempt, and nothing of it is sent.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{listening, world};
use crate::support::{PATIENCE, STT, World, bursts};

/// Stands in for a slow encoder: it is asked once what there is, and then works until `go` is there.
const SLOW: &str = "#!/bin/sh
cd \"$(dirname \"$0\")\"
if [ -e asked ]; then
    : > encoding
    while [ ! -e go ]; do sleep 0.02; done
    cat sound.wav
    : > encoded
    exit
fi
: > asked
exec cat sound.wav
";

/// Says at once what there is, and gives the rest when `go` is there. Who has taken all of it is written down.
const STUCK: &str = "#!/bin/sh
cd \"$(dirname \"$0\")\"
head -c 4096 sound.wav
while [ ! -e go ]; do sleep 0.02; done
tail -c +4097 sound.wav && echo one >> encoded
";

/// One recording that only this program decodes.
fn encoding() -> World {
    decoded_by(SLOW)
}

fn decoded_by(program: &str) -> World {
    let world = world(STT, listening(None), None);
    world.edit("[[job]]", "[media]\nffmpeg = \"./slow\"\n\n[[job]]");
    world.write("slow", program.as_bytes());
    fs::set_permissions(world.path("slow"), fs::Permissions::from_mode(0o755)).unwrap();
    world.write("sound.wav", &bursts("side", 5_000, &[1_000]));
    world.write("calls/radio.amr", &amr(0));
    world
}

/// Five seconds; each number is another one.
fn amr(number: u8) -> Vec<u8> {
    let frame = [[0x3C, number].as_slice(), &[0xD5; 30]].concat();
    [b"#!AMR\n".as_slice(), &frame.repeat(250)].concat()
}

/// Looks again and again: neither the emulator nor the run says anything of it.
fn when(what: &str, condition: impl Fn() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn when_encoding(world: &World) {
    when("it is being encoded", || world.path("encoding").exists());
}

/// It waits for its turn as if nothing had been.
fn is_untouched(world: &World) -> bool {
    let task = world.task("radio.amr");
    world.attempts().is_empty() && (&task["state"], &task["attempts"]) == (&"queued".into(), &0.into())
}

fn is_sent_once(world: &World) -> bool {
    (world.stt().bodies, &world.results()[0]["attempts"]) == (1, &1.into())
}

#[test]
fn the_first_ctrl_c_while_a_recording_is_encoded_sends_nothing_and_waits_for_no_encoder() {
    let world = encoding();
    let run = world.start(&["run"]);
    when_encoding(&world);
    run.signal(Signal::INT);
    run.wait().expect(130);
    assert_eq!(world.stt().requests, 0);
    assert!(is_untouched(&world), "{:#?}", world.attempts());
    world.write("go", b"");
    world.run().expect(0);
    assert!(is_sent_once(&world));
    assert_eq!(world.results()[0]["billed_ms"], 5_000);
}

#[test]
fn a_pause_while_a_recording_is_encoded_sends_nothing_until_resume() {
    let world = encoding();
    let run = world.start(&["run"]);
    when_encoding(&world);
    world.voxbatch(&["pause"]).expect(0);
    world.write("go", b"");
    when("it is encoded", || world.path("encoded").exists());
    assert!(is_untouched(&world), "{:#?}", world.attempts());
    assert_eq!(world.stt().requests, 0);
    world.voxbatch(&["resume"]).expect(0);
    run.wait().expect(0);
    assert!(is_sent_once(&world));
}

#[test]
fn while_a_recording_is_encoded_the_only_slot_serves_others() {
    let world = encoding();
    world.edit("concurrent = 2", "concurrent = 1");
    world.edit("name = \"archive\"", "name = \"archive\"\norder = \"path\"");
    for name in ["second.wav", "third.wav"] {
        world.write(&format!("calls/{name}"), &bursts(name, 1_000, &[500]));
    }
    let run = world.start(&["run"]);
    when_encoding(&world);
    when("the others have their answers", || world.stt().bodies == 2);
    world.write("go", b"");
    run.wait().expect(0);
    let order: Vec<_> = world.results().iter().map(|line| line["path"].clone()).collect();
    assert_eq!(order, ["second.wav", "third.wav", "radio.amr"]);
    assert_eq!(world.stt().bodies, 3);
}

#[test]
fn many_that_are_encoded_do_not_keep_others_from_the_only_slot() {
    let world = decoded_by(STUCK);
    world.edit("concurrent = 2", "concurrent = 1");
    world.edit("name = \"archive\"", "name = \"archive\"\norder = \"path\"");
    for number in 1..=9 {
        world.write(&format!("calls/news-{number}.amr"), &amr(number));
    }
    world.write("calls/second.wav", &bursts("second", 1_000, &[500]));
    let run = world.start(&["run"]);
    when("the other one has its answer", || world.stt().bodies == 1);
    world.write("go", b"");
    run.wait().expect(0);
    assert_eq!((world.stt().bodies, &world.results()[0]["path"]), (11, &"second.wav".into()));
}

#[test]
fn what_is_the_same_as_one_that_is_sent_is_not_encoded() {
    let world = decoded_by(STUCK);
    world.write("calls/copy.amr", &amr(0));
    world.write("go", b"");
    world.run().expect(0);
    assert_eq!((world.stt().bodies, world.results().len()), (1, 2));
    assert_eq!(fs::read_to_string(world.path("encoded")).unwrap().lines().count(), 1);
}
