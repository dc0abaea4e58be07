//! Memory holds the key and what was spoken: it must not become a file, nor be open to other programs.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use rustix::process::Signal;

use crate::support::{Process, User, World};

#[test]
fn no_limit_it_is_started_with_makes_it_leave_a_core_dump() {
    let world = World::with_recordings(0);
    let ours = world.command(&["emulator", "--listen", "127.0.0.1:0"]);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -c $(ulimit -H -c) && exec \"$0\" \"$@\""]).arg(ours.get_program());
    command.args(ours.get_args()).current_dir(world.path(""));
    let process = Process::start(command);
    process.until_address();
    let limits = fs::read_to_string(process.proc("limits")).unwrap();
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>(), ["0", "0", "bytes"]);
    assert!(!process.dies_of(Signal::ABORT), "it left its memory in a file");
}

#[test]
fn other_programs_of_the_same_user_cannot_read_its_memory_or_its_environment() {
    let world = World::with_recordings(0);
    let Some(user) = User::ordinary(&world) else { return };
    let process = Process::start(user.command(&world, &["emulator", "--listen", "127.0.0.1:0"]));
    process.until_address();
    // What may not be dumped belongs to root, whoever runs it.
    for name in ["environ", "mem", "maps"] {
        assert_eq!(fs::metadata(process.proc(name)).unwrap().uid(), 0, "{name}");
    }
}
