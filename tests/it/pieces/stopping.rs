//! What happens while a recording is still being encoded: nothing of it is sent any more.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use voxbatch::emulator::SAMPLES;

use super::{listening, world};
use crate::support::{PATIENCE, STT, World, bursts, two_channels};

/// Stands in for a slow encoder: it is asked once what there is, and then works until `go` is there.
const SLOW: &str = "#!/bin/sh
cd \"$(dirname \"$0\")\"
if [ -e asked ]; then
    : > encoding
    while [ ! -e go ]; do sleep 0.02; done
fi
: > asked
exec cat sound.wav
";

/// One recording that only that program decodes.
fn encoding() -> World {
    let world = world(STT, listening(None), None);
    world.edit("name = \"archive\"", "name = \"archive\"\nchannels = \"mix\"");
    world.edit("[[job]]", "[media]\nffmpeg = \"./slow\"\n\n[[job]]");
    world.write("slow", SLOW.as_bytes());
    fs::set_permissions(world.path("slow"), fs::Permissions::from_mode(0o755)).unwrap();
    let side = bursts("side", 5_000, &[1_000]);
    world.write("sound.wav", &two_channels(&side, &side));
    let opus = SAMPLES.iter().find(|sample| sample.name == "kitchen.opus").unwrap();
    world.write("calls/kitchen.opus", opus.bytes);
    world
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
fn is_put_back(world: &World) -> bool {
    let attempts = world.attempts();
    let [attempt] = &attempts[..] else { return false };
    let what = (&attempt["outcome"], &attempt["cause"], &attempt["http_status"]);
    what == (&"released".into(), &"interrupted".into(), &Value::Null)
        && world.task("kitchen.opus")["attempts"] == 0
}

#[test]
fn the_first_ctrl_c_while_a_recording_is_encoded_sends_nothing_and_waits_for_no_encoder() {
    let world = encoding();
    let run = world.start(&["run"]);
    when_encoding(&world);
    run.signal(Signal::INT);
    run.wait().expect(130);
    assert_eq!(world.stt().requests, 0);
    assert!(is_put_back(&world), "{:#?}", world.attempts());
    world.write("go", b"");
    world.run().expect(0);
    assert_eq!((world.stt().bodies, world.results()[0]["attempts"].clone()), (1, 1.into()));
    assert_eq!(world.results()[0]["billed_ms"], 5_000);
}

#[test]
fn a_pause_while_a_recording_is_encoded_sends_nothing_until_resume() {
    let world = encoding();
    let run = world.start(&["run"]);
    when_encoding(&world);
    world.voxbatch(&["pause"]).expect(0);
    world.write("go", b"");
    when("it is put back", || is_put_back(&world));
    assert_eq!(world.stt().requests, 0);
    world.voxbatch(&["resume"]).expect(0);
    run.wait().expect(0);
    assert_eq!((world.stt().bodies, world.results()[0]["attempts"].clone()), (1, 1.into()));
}
