//! Names that are links, and files with more than one name.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::Expect::{PassedOver, Refused, Sent};
use super::Hostile;
use crate::support::tone;

/// Name and where it leads.
const LINKS: [(&str, &str); 12] = [
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
];

/// As it is by default: no link is followed.
pub(super) fn add(folder: &mut Hostile) {
    for (name, to) in LINKS {
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

/// As it is with `follow_links`: a circle is told and left, a link outside is what it leads to.
pub(super) fn follow(folder: &mut Hostile, elsewhere: &Path) {
    // This machine's whole tree is more than a test wants to read.
    fs::remove_file(folder.place("kinds/to everything")).unwrap();
    // Its time is that of the look: each scan refuses it anew.
    fs::remove_file(folder.place("kinds/to memory.wav")).unwrap();
    folder.expect("kinds/to a file.wav", Sent("wav"));
    folder.expect("kinds/outside.wav", Refused("not_audio"));
    fs::create_dir_all(elsewhere.join("deeper")).unwrap();
    fs::write(elsewhere.join("deeper/far.wav"), tone("far", 250)).unwrap();
    symlink(elsewhere, folder.place("kinds/to a folder elsewhere")).unwrap();
    folder.note("kinds/to a folder elsewhere/deeper/far.wav", Sent("wav"));
    // From there back into the source: a circle through the outside.
    symlink(&folder.root, elsewhere.join("back")).unwrap();
    folder.note("kinds/to a folder elsewhere/back", PassedOver);
    // Circles of folders that meet only after a while.
    for (at, to) in [("kinds/round/a", "../ring"), ("kinds/ring/b", "../round")] {
        let place = folder.place(at);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        symlink(to, place).unwrap();
    }
    for path in ["kinds/round/a/b", "kinds/ring/b/a"] {
        folder.note(path, PassedOver);
    }
}
