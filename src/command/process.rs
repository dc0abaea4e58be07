//! What this process asks of the operating system before it does anything: that files are its owner's only, that
//! memory never becomes a file, and room for open files.

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

/// To be called first. Nothing here can fail a run: what the system refuses stays as it was.
pub(super) fn settle_in() {
    // Outputs, queue and lock files hold what was spoken: nobody else reads them.
    umask(Mode::RWXG | Mode::RWXO);
    keep_memory_private();
    raise_open_files();
}

/// Memory holds the key and what was spoken, and a core dump is memory in a file. The limit alone is not enough: a
/// handler that the kernel pipes dumps to (`core_pattern` with `|`) is started in spite of it. A process that is not
/// dumpable is dumped nowhere, and other programs of the same user cannot attach to it or read its environment.
/// Whoever starts us under a debugger is attached before this, and can still look.
fn keep_memory_private() {
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// Each recording that is ready or under way is an open file, and so is each connection.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // With fewer, a run waits where it would have opened more.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
