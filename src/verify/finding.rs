//! What can be found missing or altered, in words that stay, each with what to do about it.

use std::path::{Path, PathBuf};

use crate::task::{RecordingPath, TaskId};

/// A thing that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// Every recording of the queue stands in exactly one place, and has what belongs there.
    Recordings,
    /// The counts that the queue keeps, and its slots.
    Counts,
    /// Files of results, byte by byte.
    Files,
    /// Lines of `results.jsonl` against stored results.
    Lines,
    /// `failures.jsonl` against the recordings that stand failed.
    Failures,
    /// Redacted audio.
    Audio,
    /// Files that each recording has of its own.
    Rendered,
    /// Sources, since they were sent.
    Sources,
    /// Entries of the audit log.
    Audit,
}

impl Check {
    /// Every check, in the order of the report.
    pub const ALL: [Check; 9] = [
        Check::Recordings,
        Check::Counts,
        Check::Files,
        Check::Lines,
        Check::Failures,
        Check::Audio,
        Check::Rendered,
        Check::Sources,
        Check::Audit,
    ];

    /// The word in the report.
    pub fn word(self) -> &'static str {
        match self {
            Check::Recordings => "recordings",
            Check::Counts => "counts",
            Check::Files => "files",
            Check::Lines => "lines",
            Check::Failures => "failures",
            Check::Audio => "audio",
            Check::Rendered => "rendered",
            Check::Sources => "sources",
            Check::Audit => "audit",
        }
    }

    /// What it asks, in a few words.
    pub fn says(self) -> &'static str {
        match self {
            Check::Recordings => "has a result, a reason, or is still to come",
            Check::Counts => "counted again, slots included",
            Check::Files => "holds the bytes that were committed",
            Check::Lines => "equals what the stored result says",
            Check::Failures => "equals how the recording stands",
            Check::Audio => {
                "as stored, decodes, as long as its source, silent where redacted; gone if purged"
            }
            Check::Rendered => "a recording's own file, as its stored result gives it",
            Check::Sources => "unchanged since it was sent",
            Check::Audit => "tied to the entry before it",
        }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $check:ident, $mend:ident;)*) => {
        /// What is wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Kind] = &[$(Kind::$name,)*];

            /// The word in the report.
            pub fn word(self) -> &'static str {
                match self { $(Kind::$name => $word,)* }
            }

            /// What was looked at.
            pub fn check(self) -> Check {
                match self { $(Kind::$name => Check::$check,)* }
            }

            /// What to do about it.
            pub fn mend(self) -> Mend {
                match self { $(Kind::$name => Mend::$mend,)* }
            }
        }
    };
}

kinds! {
    /// Succeeded, and no result is stored.
    ResultMissing = "result_missing", Recordings, SendAgain;
    /// Failed, and nothing says why.
    CauseMissing = "cause_missing", Recordings, Database;
    /// A count that the queue keeps is not what counting gives.
    CountWrong = "count_wrong", Counts, Database;
    /// As many slots are taken as no recordings are running.
    SlotLeaked = "slot_leaked", Counts, Database;
    /// A file that was written is not there.
    FileMissing = "file_missing", Files, Render;
    /// Shorter than what was committed.
    FileCut = "file_cut", Files, MoveAndRender;
    /// As long as it should be, with other bytes.
    FileAltered = "file_altered", Files, MoveAndRender;
    /// Bytes behind what was committed.
    FileTail = "file_tail", Files, Render;
    /// A file that this queue never wrote lies in the place of one.
    FileNotOurs = "file_not_ours", Files, MoveAndRender;
    /// Results are stored that are not in it, or that took the place of those in it.
    FileBehind = "file_behind", Files, Render;
    /// It holds answers that were purged.
    FileUnpurged = "file_unpurged", Files, Purge;
    /// A purge was begun and not ended: the queue's own files may hold answers that were purged.
    PurgeOpen = "purge_open", Files, Purge;
    /// It is there and cannot be read.
    FileUnreadable = "file_unreadable", Files, Look;
    /// The recording has a result that should be in the file.
    LineMissing = "line_missing", Lines, MoveAndRender;
    /// The line does not say what the stored result says; the file was changed.
    LineAltered = "line_altered", Lines, MoveAndRender;
    /// The line does not say what the stored result says, and the file is as it was written.
    ResultAltered = "result_altered", Lines, Database;
    /// No recording of the job has a result that the line could be of.
    LineExtra = "line_extra", Lines, MoveAndRender;
    /// The recording has a line already.
    LineRepeated = "line_repeated", Lines, MoveAndRender;
    /// No record at all.
    LineUnreadable = "line_unreadable", Lines, MoveAndRender;
    /// The first row of a table that is not what it was.
    RowAltered = "row_altered", Lines, MoveAndRender;
    /// The recording stands failed and has no line.
    FailureMissing = "failure_missing", Failures, Render;
    /// Its line says something else than the queue.
    FailureAltered = "failure_altered", Failures, Render;
    /// A line of a recording that does not stand failed, or is none of the job's.
    FailureExtra = "failure_extra", Failures, Render;
    /// A redaction without its audio.
    AudioMissing = "audio_missing", Audio, RestoreOrSend;
    /// It was purged, and is there.
    AudioLeft = "audio_left", Audio, Purge;
    /// Other bytes than those that were stored.
    AudioAltered = "audio_altered", Audio, RestoreOrSend;
    /// It cannot be decoded.
    AudioUndecodable = "audio_undecodable", Audio, RestoreOrSend;
    /// Another length than the recording.
    AudioLength = "audio_length", Audio, Listen;
    /// Something can be heard where the API reported a redaction.
    AudioNotSilent = "audio_not_silent", Audio, Listen;
    /// A file that the recording should have is not there.
    RenderedMissing = "rendered_missing", Rendered, RenderOwn;
    /// It does not say what the stored result says.
    RenderedAltered = "rendered_altered", Rendered, RenderOwn;
    /// It is there, though its answer was deleted on purpose.
    RenderedExtra = "rendered_extra", Rendered, RenderOwn;
    /// It is not there any more.
    SourceMissing = "source_missing", Sources, Source;
    /// It is not what was sent.
    SourceAltered = "source_altered", Sources, Source;
    /// The folder of all of a job's sources is not there.
    SourcesGone = "sources_gone", Sources, Mount;
    /// The chain does not hold here.
    AuditBroken = "audit_broken", Audit, Compare;
    /// A run that the queue knows is not in the log.
    AuditLacks = "audit_lacks", Audit, Compare;
    /// It is there and cannot be read.
    AuditUnreadable = "audit_unreadable", Audit, Look;
}

/// What to do: a command or an action, and what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mend {
    /// Let the files be written from the queue.
    Render,
    /// The same, after making room.
    MoveAndRender,
    /// Let a purge be done to its end.
    Purge,
    /// Let the files of one format be written from the queue.
    RenderOwn,
    /// Restore it, or pay for it again.
    RestoreOrSend,
    /// Pay for it again.
    SendAgain,
    /// A person has to listen.
    Listen,
    /// The original.
    Source,
    /// All originals.
    Mount,
    /// The database was changed by something else.
    Database,
    /// The log was.
    Compare,
    /// The system says why.
    Look,
}

impl Mend {
    /// In one line.
    pub fn says(self) -> &'static str {
        match self {
            Mend::Render => {
                "voxbatch run --no-scan --limit 0   writes what is missing from the queue; sends nothing"
            }
            Mend::MoveAndRender => {
                "move the file away, then voxbatch run --no-scan --limit 0   makes it anew from the queue; sends nothing"
            }
            Mend::Purge => {
                "voxbatch purge --finish   deletes what was purged and is still there; takes nothing new"
            }
            Mend::RenderOwn => {
                "voxbatch export --format FORMAT --job NAME   makes such files right from the queue; sends nothing"
            }
            Mend::RestoreOrSend => {
                "restore it from a backup, or voxbatch retry --again --where id:N && voxbatch run   (billed again)"
            }
            Mend::SendAgain => {
                "voxbatch retry --again --where id:N && voxbatch run   sends it again (billed again)"
            }
            Mend::Listen => {
                "keep the file back and listen to it; voxbatch retry --again --where id:N && voxbatch run sends it again (billed again)"
            }
            Mend::Source => {
                "restore the recording from a backup; if the change is meant: voxbatch retry --again --where id:N (billed again)"
            }
            Mend::Mount => "mount the folder, or check without it: voxbatch verify --no-sources",
            Mend::Database => {
                "the queue was changed by something else: restore the state folder from a backup, and tell us if nobody touched it"
            }
            Mend::Compare => {
                "compare the log with a backup: from there on it proves nothing; moved away, the next run begins a new one"
            }
            Mend::Look => "make it readable for this user, then verify again",
        }
    }
}

/// One thing that is missing or altered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub kind: Kind,
    /// The job.
    pub job: Option<String>,
    /// The recording.
    pub task: Option<TaskId>,
    /// Its path, relative to the job's source.
    pub path: Option<RecordingPath>,
    /// The file that it is about, if it is about one.
    pub file: Option<PathBuf>,
    /// The line in it, from 1.
    pub line: Option<u64>,
    /// The evidence: a fragment that fits after the names above. Never a spoken word.
    pub what: String,
}

impl Finding {
    /// Of nothing in particular yet.
    pub(super) fn new(kind: Kind, what: impl Into<String>) -> Self {
        Finding { kind, job: None, task: None, path: None, file: None, line: None, what: what.into() }
    }

    pub(super) fn job(mut self, name: &str) -> Self {
        self.job = Some(name.to_owned());
        self
    }

    pub(super) fn task(mut self, id: TaskId, path: &RecordingPath) -> Self {
        self.task = Some(id);
        self.path = Some(path.clone());
        self
    }

    pub(super) fn file(mut self, file: &Path) -> Self {
        self.file = Some(file.to_owned());
        self
    }

    pub(super) fn line(mut self, number: u64) -> Self {
        self.line = Some(number);
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_has_a_word_of_its_own_and_every_check_a_kind() {
        let words: BTreeSet<&str> = Kind::ALL.iter().map(|k| k.word()).collect();
        assert_eq!(words.len(), Kind::ALL.len());
        let checks: BTreeSet<Check> = Kind::ALL.iter().map(|k| k.check()).collect();
        assert_eq!(checks.into_iter().collect::<Vec<_>>(), Check::ALL);
    }
}
