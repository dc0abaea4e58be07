//! The audit log: what stands in it, and that `verify` tells when something was done to it.

use std::fs;

use super::{done, lines_of, verify};
use crate::support::World;

#[test]
fn a_broken_audit_log_is_told_with_its_line_and_a_shortened_one_with_the_run_it_lacks() {
    let world = done();
    world.run().expect(0);
    let log = ".voxbatch/audit.jsonl";
    let lines = lines_of(&world, log);
    let mut altered = lines.clone();
    altered[1] = altered[1].replace("tester", "nobody");
    world.write(log, altered.concat().as_bytes());
    let verified = verify(&world);
    assert_eq!(verified.kinds(), ["audit_broken"]);
    assert_eq!(verified.of("audit_broken")["line"], 3);

    world.write(log, lines[..3].concat().as_bytes());
    assert_eq!(verify(&world).kinds(), ["audit_lacks"]);
    fs::remove_file(world.path(log)).unwrap();
    let verified = verify(&world);
    assert_eq!((verified.kinds(), verified.findings.len()), (vec!["audit_lacks"], 2));

    // A crash in the middle of an entry is nobody's doing.
    world.write(log, format!("{}{}", lines.concat(), &lines[0][..50]).as_bytes());
    let verified = verify(&world);
    assert!(verified.report["notes"][0].as_str().unwrap().contains("torn by a crash"), "{}", verified.report);
    world.run().expect(0);
    verify(&world);
}

#[test]
fn the_audit_log_says_who_did_what_in_counts_and_words() {
    let world = World::with_recordings(3);
    world.write("calls/anna-broken.wav", b"");
    world.run().expect(3);
    world.voxbatch(&["retry", "--where", "path:anna*"]).expect(0);
    world.voxbatch(&["retry", "--where", "path:anna*", "-n"]).expect(0);
    world.voxbatch(&["cancel", "--where", "path:anna* state:queued"]).expect(0);
    world.voxbatch(&["pause"]).expect(0);
    world.voxbatch(&["pause"]).expect(0);
    world.voxbatch(&["resume"]).expect(0);
    world.voxbatch(&["scan"]).expect(0);
    let log = world.lines(".voxbatch/audit.jsonl");
    let kinds: Vec<&str> = log.iter().map(|l| l["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["run_started", "scan", "run_ended", "retry", "cancel", "pause", "resume", "scan"]);
    let ended = &log[2]["facts"];
    assert_eq!(
        (&ended["exit_code"], &ended["succeeded"], &ended["failed"]),
        (&3.into(), &3.into(), &1.into())
    );
    assert_eq!(log[3]["facts"], serde_json::json!({"tasks": 1, "filter": ["path"], "again": false}));
    assert_eq!(log[4]["facts"]["filter"], serde_json::json!(["state", "path"]));
    assert!(log.iter().all(|l| l["user"] == "tester" && l["pid"].is_u64() && l["host"].is_string()));
    let config = {
        use sha2::Digest;
        format!("{:x}", sha2::Sha256::digest(world.read("jobs.toml")))
    };
    assert!(log.iter().all(|l| l["config_sha256"] == config.as_str()));
    let text = String::from_utf8(world.read(".voxbatch/audit.jsonl")).unwrap();
    assert!(["anna", ".wav", "calls", "emulator-key", "emulated"].iter().all(|word| !text.contains(word)));
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(world.path(".voxbatch/audit.jsonl")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    verify(&world);
}
