//! Files of results against what is committed of them: there, as long, the same bytes, nothing behind.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::finding::{Check, Finding, Kind};
use super::held::{Held, LinesSeen};
use super::{Session, VerifyError, lines};
use crate::outputs::ExportFormat;
use crate::queue::OutputState;
use crate::task::Job;

/// Looks at these files of a job. `None` when nothing can be said of lines.
pub(super) async fn check(
    session: &mut Session<'_>,
    job: &Job,
    formats: &[ExportFormat],
) -> Result<Option<LinesSeen>, VerifyError> {
    let mut seen = None;
    for &format in formats {
        let state = session.store.output(job.id, format.file_name()).await?;
        let is_stale = session.store.outputs_stale(job.id).await?;
        if !session.running {
            check_is_up_to_date(session, job, format, &state).await?;
        }
        if session.running {
            session.book.begin_aside();
        }
        let held = hold(session, job, format.file_name(), state);
        let mut lines = None;
        if let Some(held) = &held {
            match format {
                ExportFormat::Jsonl => lines = Some(lines::check(session, job, held, is_stale).await?),
                _ if held.is_whole => {}
                // A table that is whole is what was written; one that is not is told by its first wrong row.
                format => lines::first_wrong_row(session, job, format, held).await?,
            }
        }
        if session.running {
            let stayed = stayed(session, job, format, held.as_ref()).await?;
            session.book.end_aside(stayed);
            if !stayed {
                let name = format.file_name();
                session
                    .book
                    .note(format!("job {}: {name} was being made anew; it was not looked at", job.name));
                continue;
            }
        }
        if let Some(lines) = lines {
            seen = Some(lines);
        }
    }
    Ok(seen)
}

/// Whether a run only appended meanwhile.
async fn stayed(
    session: &Session<'_>,
    job: &Job,
    format: ExportFormat,
    held: Option<&Held>,
) -> Result<bool, VerifyError> {
    let Some(held) = held else { return Ok(true) };
    let now = session.store.output(job.id, format.file_name()).await?;
    let same = match (held.file.metadata(), std::fs::metadata(&held.path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    };
    // Rendering anew begins by saying that nothing counts, and ends with a rename.
    Ok(same && now.bytes >= held.state.bytes && now.last_seq >= held.state.last_seq)
}

/// Without a run, everything that is stored should be written.
async fn check_is_up_to_date(
    session: &mut Session<'_>,
    job: &Job,
    format: ExportFormat,
    state: &OutputState,
) -> Result<(), VerifyError> {
    if !session.store.results(job.id, state.last_seq, 1).await?.is_empty() {
        let what = "lacks results that are stored in the queue: the last run was interrupted";
        let path = job.output.join(format.file_name());
        session.book.found(Finding::new(Kind::FileBehind, what).job(&job.name).file(&path));
    }
    Ok(())
}

/// Opens a file and holds it against what is committed.
pub(super) fn hold(session: &mut Session<'_>, job: &Job, name: &str, state: OutputState) -> Option<Held> {
    let path = job.output.join(name);
    let (file, length) = match open(&path) {
        Ok(Some(open)) => open,
        Ok(None) if state.bytes == 0 => return None,
        Ok(None) => {
            session.book.checked(Check::Files, 1);
            let what = format!("is not there; {} bytes of it were written", state.bytes);
            session.book.found(Finding::new(Kind::FileMissing, what).job(&job.name).file(&path));
            return None;
        }
        Err(error) => {
            session.book.checked(Check::Files, 1);
            let what = format!("cannot be read: {error}");
            session.book.found(Finding::new(Kind::FileUnreadable, what).job(&job.name).file(&path));
            return None;
        }
    };
    session.book.checked(Check::Files, 1);
    let mut found = |kind, what: String| {
        session.book.found(Finding::new(kind, what).job(&job.name).file(&path));
    };
    let mut is_whole = true;
    if state.bytes == 0 && state.sha256.is_empty() {
        if length > 0 {
            found(Kind::FileNotOurs, "was there before this queue wrote anything there".to_owned());
        }
        return None;
    }
    if length < state.bytes {
        is_whole = false;
        found(Kind::FileCut, format!("has {length} bytes; {} were written", state.bytes));
    } else {
        match sha256(&file, state.bytes) {
            Ok(hash) if hash == state.sha256 => {}
            Ok(_) => {
                is_whole = false;
                let what = format!("does not hold the {} bytes that were written to it", state.bytes);
                found(Kind::FileAltered, what);
            }
            Err(error) => {
                found(Kind::FileUnreadable, format!("cannot be read: {error}"));
                return None;
            }
        }
        // While a run goes on, that is what it is writing.
        let behind = length - state.bytes;
        if behind > 0 && !session.running {
            let what = format!(
                "has {behind} bytes behind those that were committed: put there by something else, or torn by a crash"
            );
            found(Kind::FileTail, what);
        }
    }
    Some(Held { file, path, state, is_whole, length })
}

/// Opens a regular file for reading, if there is one.
pub(super) fn open(path: &Path) -> io::Result<Option<(File, u64)>> {
    // Looked at before it is opened: opening a pipe would wait for its writer.
    let is_file = match std::fs::metadata(path) {
        Ok(facts) => facts.is_file(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !is_file {
        return Err(io::Error::other("it is not a regular file"));
    }
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    Ok(Some((file, length)))
}

/// SHA-256 in hex of the first bytes of a file.
pub(super) fn sha256(mut file: &File, bytes: u64) -> io::Result<String> {
    use std::io::Seek;
    file.rewind()?;
    let mut from = file.take(bytes);
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 1 << 18];
    loop {
        match from.read(&mut chunk)? {
            0 => return Ok(format!("{:x}", hash.finalize())),
            n => hash.update(&chunk[..n]),
        }
    }
}
