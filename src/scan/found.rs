//! What a walk tells, entry by entry.

use std::fmt;

use crate::task::{Description, RecordingPath};

/// One entry of the source, or one trouble with it. Paths are relative to the root, byte by byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A file that may be a recording; its content has not been looked at.
    File(FoundFile),
    /// Left out, and why. A folder that is left out is told once; what lies in it is not looked at.
    PassedOver {
        /// Of the file or folder.
        path: RecordingPath,
        /// Why.
        reason: PassedOver,
    },
    /// Could not be looked at: an unreadable folder, a file that vanished. The walk goes on.
    Trouble {
        /// Of the file or folder.
        path: RecordingPath,
        /// What happened and what to do.
        error: String,
    },
}

/// A file as the file system tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// Relative to the root.
    pub path: RecordingPath,
    /// Its size.
    pub size_bytes: u64,
    /// Modification time in nanoseconds since 1970; negative before.
    pub modified_ns: i64,
    /// Where it stands in a list, if that is where it was found.
    pub listed: Option<Box<Listed>>,
}

/// What a list says of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The list's name and the line, for people.
    pub place: String,
    /// What the recording comes with, or why that cannot be taken.
    pub said: Result<Description, String>,
    /// Why there is no such file, if there is none.
    pub missing: Option<String>,
}

/// Why an entry was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PassedOver {
    /// Its name begins with a dot.
    Hidden,
    /// It matches `exclude`.
    Excluded,
    /// It matches no glob of `include`.
    NotIncluded,
    /// It changed within the settle time; the next scan takes it.
    Unsettled,
    /// Its name says that somebody is still writing or downloading it.
    Unfinished,
    /// Kept by an operating system or a storage box, not by people.
    System,
    /// Our own output or state, inside the source.
    OwnOutput,
    /// A pipe, a socket or a device.
    NotAFile,
    /// A symbolic link, and links are not followed.
    Symlink,
    /// A symbolic link that leads back to where it came from.
    SymlinkLoop,
    /// What is known of the recording beside it.
    Sidecar,
}

impl PassedOver {
    /// Every reason.
    pub const ALL: [PassedOver; 11] = [
        PassedOver::Hidden,
        PassedOver::Excluded,
        PassedOver::NotIncluded,
        PassedOver::Unsettled,
        PassedOver::Unfinished,
        PassedOver::System,
        PassedOver::OwnOutput,
        PassedOver::NotAFile,
        PassedOver::Symlink,
        PassedOver::SymlinkLoop,
        PassedOver::Sidecar,
    ];

    /// The stable word, for counts in JSON.
    pub fn word(self) -> &'static str {
        match self {
            PassedOver::Hidden => "hidden",
            PassedOver::Excluded => "excluded",
            PassedOver::NotIncluded => "not_included",
            PassedOver::Unsettled => "unsettled",
            PassedOver::Unfinished => "unfinished",
            PassedOver::System => "system",
            PassedOver::OwnOutput => "own_output",
            PassedOver::NotAFile => "not_a_file",
            PassedOver::Symlink => "symlink",
            PassedOver::SymlinkLoop => "symlink_loop",
            PassedOver::Sidecar => "sidecar",
        }
    }

    /// The reason in plain words, for a line that counts them.
    pub fn says(self) -> &'static str {
        match self {
            PassedOver::Hidden => "hidden",
            PassedOver::Excluded => "excluded by a glob",
            PassedOver::NotIncluded => "matched by no include glob",
            PassedOver::Unsettled => "changed just now; the next scan takes it",
            PassedOver::Unfinished => "unfinished download or temporary file",
            PassedOver::System => "system file",
            PassedOver::OwnOutput => "our own output or state",
            PassedOver::NotAFile => "pipe, socket or device",
            PassedOver::Symlink => "symbolic link, not followed",
            PassedOver::SymlinkLoop => "symbolic link that leads in a circle",
            PassedOver::Sidecar => "beside a recording, with what is known of it",
        }
    }
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}
