//! The binary as an ordinary user, when the tests themselves run as root: root may read and write everything, so a
//! test of missing rights would say nothing.

use std::ffi::OsStr;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{World, skip};

/// Of `nobody` where there is one; no more than a number to the kernel.
const UID: u32 = 65534;

/// Who the binary runs as.
pub(crate) enum User {
    /// As the tests do, who are no root.
    Same,
    /// By `setpriv`, with a copy of the binary that this user can reach.
    Nobody(PathBuf),
}

impl User {
    /// An ordinary one, to whom this world belongs from now on. `None`, said aloud, where there is none.
    pub(crate) fn ordinary(world: &World) -> Option<User> {
        if !rustix::process::geteuid().is_root() {
            return Some(User::Same);
        }
        give(world.path("").as_path());
        // The folder of the build may be closed to others.
        let binary = world.path("voxbatch");
        std::fs::copy(assert_cmd::cargo::cargo_bin!("voxbatch"), &binary).unwrap();
        std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).unwrap();
        let user = User::Nobody(binary);
        let mut probe = user.command(world, &["--version"]);
        let works = probe.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success());
        if !works {
            skip("root cannot become an ordinary user here (setpriv): a test of missing rights says nothing");
        }
        works.then_some(user)
    }

    /// The binary with these arguments, as [`World::command`] has it.
    pub(crate) fn command(&self, world: &World, args: &[&str]) -> Command {
        let ours = world.command(args);
        let User::Nobody(binary) = self else { return ours };
        let id = UID.to_string();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]).arg(binary).args(args);
        command.current_dir(world.path("")).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        for (name, value) in ours.get_envs() {
            command.env(name, value.unwrap_or(OsStr::new("")));
        }
        command
    }
}

/// Hands over a folder and what lies in it. Links are not followed.
fn give(folder: &Path) {
    for entry in walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok) {
        let _ = lchown(entry.path(), Some(UID), Some(UID));
    }
}
