//! Entries that are no plain files: pipes, sockets, devices, folders, and what no path leads to.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixListener;

use rustix::fs::{CWD, FileType, Mode, OFlags, makedev, mkdirat, mknodat, open, openat};

use super::Expect::{PassedOver, Sent};
use super::{Hostile, links};
use crate::support::tone;

pub(super) fn add(folder: &mut Hostile) {
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
    links::add(folder);
    out_of_reach(folder);
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
