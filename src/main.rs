//! The binary: everything is in the library, but for one wish to the C library.

fn main() -> std::process::ExitCode {
    share_memory();
    voxbatch::command::main()
}

/// glibc keeps what a thread has freed for that thread, up to eight times as often as there are cores. Most of our threads
/// wait nearly all the time: two such places serve them all, in two thirds of the memory and no more time
/// (docs/performance.md). Nobody else can ask for it: the C library looks at its environment before we run.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "there is no safe way to say this; it takes two numbers and no pointer")]
fn share_memory() {
    const PLACES: libc::c_int = 2;
    // SAFETY: called first, while there is one thread; a wish that is refused changes nothing.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, PLACES) };
}

#[cfg(not(target_env = "gnu"))]
fn share_memory() {}
