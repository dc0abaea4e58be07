//! Entries that are no plain files, or more than one at once: pipes, sockets, devices, links, locked ones.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use rustix::fs::{CWD, FileType, Mode, OFlags, makedev, mkdirat, mknodat, open, openat};

use super::Expect::{PassedOver, Refused, Sent};
use super::Hostile;
use crate::support::tone;

pub(super) fn add(folder: &mut Hostile) {
    let is_root = rustix::process::geteuid().is_root();
    folder.file("kinds/plain.wav", &tone("plain", 250), Sent("wav"));
    folder.file("kinds/folder.wav/inside.wav", &tone("inside", 250), Sent("wav"));
    fs::create_dir_all(folder.place("kinds/empty folder.wav")).unwrap();
    folder.note("kinds/empty folder.wav", PassedOver);
    for name in ["kinds/pipe.wav", "kinds/pipe"] {
        mknodat(CWD, folder.place(name), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        folder.note(name, PassedOver);
    }
    drop(UnixListener::bind(folder.place("kinds/socket.wav")).unwrap());
    folder.note("kinds/socket.wav", PassedOver);
    for (name, minor) in [("null", 3), ("zero", 5), ("full", 7), ("random", 8)] {
        let path = format!("kinds/{name}.wav");
        let made =
            mknodat(CWD, folder.place(&path), FileType::CharacterDevice, Mode::RUSR, makedev(1, minor));
        match made {
            Ok(()) => folder.note(&path, PassedOver),
            Err(e) => folder.skipped.push(format!("the device {name}: {e}")),
        }
    }
    links(folder);
    out_of_reach(folder);
    let name = "kinds/locked.wav";
    if is_root {
        folder.skipped.push("files that may not be read: root may".to_owned());
    } else {
        folder.file(name, &tone("locked", 250), Refused("source_unreadable"));
        fs::set_permissions(folder.place(name), fs::Permissions::from_mode(0o000)).unwrap();
    }
}

/// A recording so deep that no path leads there: folders can be made in each other without naming them all.
fn out_of_reach(folder: &mut Hostile) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut at = open(&folder.root, flags, Mode::empty()).unwrap();
    let mut path = "beyond".to_owned();
    for name in std::iter::once("beyond".to_owned()).chain((0..25).map(|_| "b".repeat(199))) {
        mkdirat(&at, &name, Mode::RWXU).unwrap();
        at = openat(&at, &name, flags, Mode::empty()).unwrap();
        path = if path == name { path } else { format!("{path}/{name}") };
    }
    let file = openat(&at, "bottom.wav", OFlags::WRONLY | OFlags::CREATE, Mode::RUSR).unwrap();
    fs::File::from(file).write_all(&tone("beyond", 250)).unwrap();
    folder.note(path + "/bottom.wav", PassedOver);
}

fn links(folder: &mut Hostile) {
    for (name, to) in [
        ("to a file.wav", "plain.wav"),
        ("to itself.wav", "to itself.wav"),
        ("to nothing.wav", "gone.wav"),
        ("to another.wav", "to a third.wav"),
        ("to a third.wav", "to another.wav"),
        ("to the folder", "."),
        ("to the folder above", ".."),
        ("outside.wav", "/etc/passwd"),
        ("to everything", "/"),
        ("to zeros.wav", "/dev/zero"),
        ("to memory.wav", "/proc/self/mem"),
        ("to a pipe.wav", "pipe.wav"),
    ] {
        let path = format!("kinds/{name}");
        symlink(to, folder.place(&path)).unwrap();
        folder.note(path, PassedOver);
    }
    // Two names of one file, and two files alike, are two recordings each.
    folder.file("kinds/hard 1.wav", &tone("hard", 250), Sent("wav"));
    fs::hard_link(folder.place("kinds/hard 1.wav"), folder.place("kinds/hard 2.wav")).unwrap();
    folder.note("kinds/hard 2.wav", Sent("wav"));
    for n in 1..=3 {
        folder.file(format!("kinds/alike {n}.wav"), &tone("alike", 250), Sent("wav"));
    }
}
