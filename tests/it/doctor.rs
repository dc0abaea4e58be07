//! `doctor`: finds what is missing before a run does, ends as that run would, and sends nothing.

use std::os::unix::fs::PermissionsExt;

use voxbatch::emulator::Change;

use crate::support::{Process, World};

#[test]
fn where_all_is_there_it_says_so_and_asks_nobody() {
    let world = World::with_recordings(1);
    let ended = world.voxbatch(&["doctor"]).expect(0).said("a run can begin").said("locks hold");
    assert!(ended.stdout.lines().all(|line| !line.starts_with("fail")), "{}", ended.stdout);
    assert_eq!(world.report().requests, 0);
    let told = world.voxbatch(&["doctor", "--online", "--json"]).expect(0).json();
    let network = told["checks"].as_array().unwrap().iter().find(|c| c["check"] == "network").unwrap();
    assert!(network["says"].as_str().unwrap().contains("accepts the key"), "{network}");
    assert_eq!((&told["ok"], world.report().bodies), (&true.into(), 0));
}

#[test]
fn what_is_missing_is_told_with_the_code_that_a_run_would_end_with() {
    let world = World::with_recordings(1);
    let mut command = world.command(&["doctor"]);
    command.env_remove("VOXBATCH_API_KEY");
    Process::start(command).wait().expect(2).said("there is no API key").said("VOXBATCH_API_KEY");

    world.control(Change::Keys(Vec::new()));
    world.voxbatch(&["doctor"]).expect(0);
    world.voxbatch(&["doctor", "--online"]).expect(4).said("refuses the key");
    world.run().expect(4);
    world.voxbatch(&["doctor"]).expect(0).said("voxbatch halts");

    world.edit("base_url = \"http://127.0.0.1:", "base_url = \"http://127.0.0.1:1#");
    let text = String::from_utf8(world.read("jobs.toml")).unwrap();
    let line = text.lines().find(|l| l.starts_with("base_url")).unwrap().to_owned();
    world.edit(&line, "base_url = \"http://127.0.0.1:1\"");
    world.voxbatch(&["doctor", "--online"]).expect(6).said("gives no usable answer");

    std::fs::rename(world.path("calls"), world.path("elsewhere")).unwrap();
    world.voxbatch(&["doctor"]).expect(2).said("archive: failed to find the source");
    std::fs::rename(world.path("elsewhere"), world.path("calls")).unwrap();
    world.write("jobs.toml", b"nonsense");
    world.voxbatch(&["doctor"]).expect(2).told("E-CONF-SYNTAX");
}

#[test]
fn a_folder_that_cannot_be_written_to_is_named() {
    let world = World::with_recordings(1);
    let Some(user) = crate::support::User::ordinary(&world) else { return };
    std::fs::create_dir(world.path("out")).unwrap();
    for folder in ["out", ""] {
        std::fs::set_permissions(world.path(folder), std::fs::Permissions::from_mode(0o555)).unwrap();
    }
    let ended = Process::start(user.command(&world, &["doctor"])).wait();
    for folder in ["out", ""] {
        std::fs::set_permissions(world.path(folder), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    ended.expect(7).said("cannot be written to").said("cannot be used");
}
