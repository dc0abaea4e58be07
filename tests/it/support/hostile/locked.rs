//! Files and folders that the run may not read. Root may read all: for root there is nothing to be made here.

use std::fs::{Permissions, set_permissions};

use std::os::unix::fs::PermissionsExt;

use super::Expect::{PassedOver, Refused};
use super::Hostile;
use crate::support::tone;

/// Folders: the mode, and what it lets through.
const FOLDERS: [(&str, u32); 3] =
    [("closed", 0o000), ("can be listed only", 0o444), ("can be entered only", 0o111)];

pub(super) fn add(folder: &mut Hostile) {
    for (name, mode) in [("locked.wav", 0o000), ("written only.wav", 0o222), ("run only.wav", 0o111)] {
        let path = format!("locked/{name}");
        folder.file(&path, &tone(name, 250), Refused("source_unreadable"));
        set_permissions(folder.place(&path), Permissions::from_mode(mode)).unwrap();
    }
    for (name, mode) in FOLDERS {
        folder.file(format!("locked/{name}/inside.wav"), &tone(name, 250), PassedOver);
        set_permissions(folder.place(format!("locked/{name}")), Permissions::from_mode(mode)).unwrap();
    }
}

impl Hostile {
    /// Opens the folders again, so that whoever made them can clear them away.
    pub(crate) fn unlock(&self) {
        for (name, _) in FOLDERS {
            let _ = set_permissions(self.place(format!("locked/{name}")), Permissions::from_mode(0o700));
        }
    }
}
