//! Names that no person gave to a recording. Content is not asked here.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::PassedOver;

/// Endings that programs give to what they have not finished.
const UNFINISHED: &[&str] = &[
    ".part",
    ".partial",
    ".crdownload",
    ".download",
    ".filepart",
    ".opdownload",
    ".tmp",
    ".temp",
    ".swp",
    ".!ut",
    ".aria2",
];

/// Files and folders of operating systems and storage boxes.
const SYSTEM: &[&str] = &[
    ".ds_store",
    ".fseventsd",
    ".spotlight-v100",
    ".trashes",
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "@eadir",
    "@recycle",
    "@recently-snapshot",
    "__macosx",
    "desktop.ini",
    "lost+found",
    "system volume information",
    "thumbs.db",
];

/// Whether a name belongs to a system or to something unfinished. Folders are never unfinished.
pub(super) fn passed_over(name: &OsStr, is_folder: bool) -> Option<PassedOver> {
    let lower = name.as_bytes().to_ascii_lowercase();
    // `._x` beside `x`: what macOS leaves on foreign disks; it even keeps the extension of `x`.
    if SYSTEM.iter().any(|s| s.as_bytes() == lower) || (lower.starts_with(b"._") && !is_folder) {
        return Some(PassedOver::System);
    }
    let unfinished = UNFINISHED.iter().any(|end| lower.ends_with(end.as_bytes()))
        || lower.ends_with(b"~")
        || lower.starts_with(b"~$");
    (unfinished && !is_folder).then_some(PassedOver::Unfinished)
}

/// Whether a name is hidden.
pub(super) fn is_hidden(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_and_system_names_are_known_in_any_case() {
        let of = |name: &str, folder| passed_over(OsStr::new(name), folder);
        for name in ["a.mp3.part", "a.wav.crdownload", "a.TMP", "a.partial", "a.mp3~", "~$notes.doc"] {
            assert_eq!(of(name, false), Some(PassedOver::Unfinished), "{name}");
        }
        for name in ["._a.mp3", ".DS_Store", "Thumbs.db", "desktop.ini"] {
            assert_eq!(of(name, false), Some(PassedOver::System), "{name}");
        }
        assert_eq!(of("@eaDir", true), Some(PassedOver::System));
        assert_eq!(of("vol.part", true), None, "a folder is never unfinished");
        for name in ["a.mp3", "part.wav", "tmp", "a~b.wav", "a.part.mp3"] {
            assert_eq!(of(name, false), None, "{name}");
        }
    }
}
