//! One appended file: what of it is committed, and how to write the next bytes. Knows files and hashes; that
//! the queue is told, and when, is the projector's.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::file::{self, Replacement};
use super::format::Format;
use super::page::BUDGET;
use super::proof::{self, Proof, Reading};
use super::record::Record;
use super::{OutputError, OutputSettings, transcript};
use crate::queue::{OutputState, ResultRow};

/// A file that is open and long enough to hold what is committed; [`Stream::prove`] tells whether it does.
pub(super) struct Stream {
    pub(super) format: Format,
    path: PathBuf,
    file: File,
    /// As committed, or about to be when the file is being made anew.
    pub(super) state: OutputState,
    proof: Proof,
}

/// What opening a file found.
pub(super) enum Found {
    /// As it was left.
    Whole(Stream),
    /// To be rendered from the first result.
    Anew(Anew),
}

/// Why a file is rendered from the first result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anew {
    /// Nothing is committed yet.
    First,
    /// It was there, and somebody deleted it.
    Deleted,
    /// It begins with another header: the settings or the columns have changed.
    Header,
    /// Results in it have been overtaken by a deliberate re-processing.
    Overtaken,
}

/// The state that says: this queue writes the file, and nothing in it counts yet. Kept before the first byte
/// is written, so that a torn beginning can be told from somebody else's file, whose state is the default.
pub(super) fn begun() -> OutputState {
    OutputState { sha256: file::hex(&Sha256::new()), ..OutputState::default() }
}

impl Stream {
    /// Opens a file and holds it against what is committed; bytes behind that are torn and go. One of more than
    /// `at_once` bytes is read on the side, and not added to before that has ended well.
    ///
    /// # Errors
    /// Refuses a file that somebody cut or changed, and one that was never ours.
    pub(super) fn open(
        format: Format,
        folder: &Path,
        state: OutputState,
        settings: &OutputSettings,
        at_once: u64,
    ) -> Result<Found, OutputError> {
        let path = folder.join(format.file_name());
        let file = file::open_existing(&path)?;
        let Some(file) = file else {
            return Ok(Found::Anew(if state.bytes == 0 { Anew::First } else { Anew::Deleted }));
        };
        let found = file::length(&file, &path)?;
        if state.bytes == 0 {
            let ours = !state.sha256.is_empty() || found == 0;
            return if ours { Ok(Found::Anew(Anew::First)) } else { Err(OutputError::NotOurs { path }) };
        }
        if found < state.bytes {
            return Err(OutputError::CutByOthers { path, expected: state.bytes, found });
        }
        let header = format.header(settings);
        let mut begins = vec![0; header.len()];
        let as_today = file.read_exact_at(&mut begins, 0).is_ok() && begins == header;
        let proof = Proof::Reading(Reading::begin(&file, &path, state.bytes)?);
        let mut stream = Stream { format, path, file, state, proof };
        // One that is to be replaced is not replaced before it is known that nobody but us wrote it.
        if !as_today || stream.state.bytes <= at_once {
            stream.prove()?;
        }
        if !as_today {
            return Ok(Found::Anew(Anew::Header));
        }
        stream.drop_tail()?;
        Ok(Found::Whole(stream))
    }

    /// Whether reading it has come to an end that nobody has heard of.
    pub(super) fn has_news(&self) -> bool {
        self.proof.has_news()
    }

    /// Makes sure that the file holds what is committed; waits until it has been read.
    ///
    /// # Errors
    /// [`OutputError::ChangedByOthers`], however often it is asked.
    pub(super) fn prove(&mut self) -> Result<(), OutputError> {
        let hash = match std::mem::replace(&mut self.proof, Proof::Owed) {
            Proof::Held(hash) => {
                self.proof = Proof::Held(hash);
                return Ok(());
            }
            Proof::Reading(reading) => reading.end(&self.path)?,
            Proof::Owed => proof::read(&self.file, &self.path, self.state.bytes)?,
        };
        if !proof::is(&hash, &self.state.sha256) {
            return Err(OutputError::ChangedByOthers { path: self.path.clone(), expected: self.state.bytes });
        }
        self.proof = Proof::Held(hash);
        Ok(())
    }

    /// Begins a file beside its place, with its header; it gets there when the replacement is put in place.
    pub(super) fn begin(
        format: Format,
        folder: &Path,
        settings: &OutputSettings,
    ) -> Result<(Stream, Replacement), OutputError> {
        let path = folder.join(format.file_name());
        let (replacement, file) = Replacement::begin(&path)?;
        let mut stream = Stream { format, path, file, state: begun(), proof: Proof::Held(Sha256::new()) };
        let mut ahead = stream.ahead()?;
        ahead.buffer = format.header(settings);
        stream.write_out(&mut ahead)?;
        stream.accept(ahead);
        Ok((stream, replacement))
    }

    /// Syncs a file that was written beside, and renames it.
    pub(super) fn put_in_place(&self, replacement: Replacement) -> Result<(), OutputError> {
        replacement.put_in_place(&self.file)
    }

    /// Whether the path still names this file, with all that is committed in it; cuts what is behind that.
    pub(super) fn is_whole(&self) -> Result<bool, OutputError> {
        if !file::is_at(&self.file, &self.path) || file::length(&self.file, &self.path)? < self.state.bytes {
            return Ok(false);
        }
        self.drop_tail()?;
        Ok(true)
    }

    fn drop_tail(&self) -> Result<(), OutputError> {
        if file::length(&self.file, &self.path)? > self.state.bytes {
            self.file.set_len(self.state.bytes).map_err(OutputError::io("truncate", &self.path))?;
        }
        Ok(())
    }

    /// Refused without a proof: what somebody changed is not added to.
    fn ahead(&self) -> Result<Ahead, OutputError> {
        let Proof::Held(hash) = &self.proof else {
            return Err(OutputError::ChangedByOthers { path: self.path.clone(), expected: self.state.bytes });
        };
        Ok(Ahead { buffer: Vec::new(), hash: hash.clone(), state: self.state.clone() })
    }

    fn push(
        &self,
        ahead: &mut Ahead,
        record: &Record<'_>,
        settings: &OutputSettings,
    ) -> Result<(), OutputError> {
        ahead.state.records += self
            .format
            .render(&mut ahead.buffer, record, settings)
            .map_err(OutputError::io("render", &self.path))?;
        if ahead.buffer.len() >= BUDGET { self.write_out(ahead) } else { Ok(()) }
    }

    /// Writes at the committed offset, not at the end: whatever else is there is no concern of ours.
    fn write_out(&self, ahead: &mut Ahead) -> Result<(), OutputError> {
        self.file
            .write_all_at(&ahead.buffer, ahead.state.bytes)
            .map_err(OutputError::io("write", &self.path))?;
        ahead.hash.update(&ahead.buffer);
        ahead.state.bytes += ahead.buffer.len() as u64;
        ahead.state.sha256 = file::hex(&ahead.hash);
        ahead.buffer.clear();
        Ok(())
    }

    fn sync(&self) -> Result<(), OutputError> {
        self.file.sync_data().map_err(OutputError::io("sync", &self.path))
    }

    /// Takes over what is committed now.
    pub(super) fn accept(&mut self, ahead: Ahead) {
        self.state = ahead.state;
        self.proof = Proof::Held(ahead.hash);
    }
}

/// What a file will hold once the queue has committed it. Dropping it takes nothing back, and harms nothing.
pub(super) struct Ahead {
    buffer: Vec<u8>,
    hash: Sha256,
    pub(super) state: OutputState,
}

/// Renders a page of results into every file that does not have them yet, and syncs if that is wished. A record
/// is gathered once for all formats.
pub(super) fn append(
    streams: &[Stream],
    job: &str,
    rows: &[ResultRow],
    settings: &OutputSettings,
    sync: bool,
) -> Result<Vec<Ahead>, OutputError> {
    let mut all: Vec<Ahead> = streams.iter().map(Stream::ahead).collect::<Result<_, _>>()?;
    for row in rows {
        let transcript = transcript::read(row.endpoint, &row.response);
        let record = Record::of_result(job, row, &transcript);
        for (stream, ahead) in streams.iter().zip(&mut all) {
            // Files may stand at different results: a crash can fall between their commits.
            if row.seq > ahead.state.last_seq {
                stream.push(ahead, &record, settings)?;
                ahead.state.last_seq = row.seq;
            }
        }
    }
    for (stream, ahead) in streams.iter().zip(&mut all) {
        stream.write_out(ahead)?;
        if sync {
            stream.sync()?;
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::tests::store::stt;

    #[test]
    fn a_write_that_fails_leaves_what_is_committed_as_it_was() {
        let temp = tempfile::tempdir().unwrap();
        let settings = OutputSettings::default();
        let (mut stream, replacement) = Stream::begin(Format::Jsonl, temp.path(), &settings).unwrap();
        stream.put_in_place(replacement).unwrap();
        let first = append(&[], "job", &[stt(1, 1, "a.wav")], &settings, true).unwrap();
        assert!(first.is_empty());

        let writable = std::mem::replace(&mut stream.file, File::open(&stream.path).unwrap());
        let before = stream.state.clone();
        assert!(
            append(std::slice::from_ref(&stream), "job", &[stt(1, 1, "a.wav")], &settings, true).is_err()
        );
        assert_eq!(stream.state, before);

        stream.file = writable;
        let ahead = append(std::slice::from_ref(&stream), "job", &[stt(1, 1, "a.wav")], &settings, true)
            .unwrap()
            .remove(0);
        assert_eq!((ahead.state.last_seq, ahead.state.records), (1, 1));
        assert_eq!(ahead.state.bytes, std::fs::metadata(&stream.path).unwrap().len());
    }

    #[test]
    fn a_file_that_is_cut_or_replaced_while_it_is_open_is_no_longer_whole() {
        let temp = tempfile::tempdir().unwrap();
        let settings = OutputSettings::default();
        let (stream, replacement) = Stream::begin(Format::Csv, temp.path(), &settings).unwrap();
        stream.put_in_place(replacement).unwrap();
        let committed = std::fs::read(&stream.path).unwrap();
        assert!(stream.is_whole().unwrap());

        std::fs::write(&stream.path, [&committed[..], b"torn"].concat()).unwrap();
        assert!(stream.is_whole().unwrap(), "what is behind is cut off");
        assert_eq!(std::fs::read(&stream.path).unwrap(), committed);

        stream.file.set_len(committed.len() as u64 - 1).unwrap();
        assert!(!stream.is_whole().unwrap());

        std::fs::remove_file(&stream.path).unwrap();
        assert!(!stream.is_whole().unwrap());
        std::fs::write(&stream.path, &committed).unwrap();
        assert!(!stream.is_whole().unwrap(), "a copy is another file");
    }

    #[test]
    fn what_is_written_follows_what_is_committed_whatever_stands_behind_it() {
        let temp = tempfile::tempdir().unwrap();
        let settings = OutputSettings::default();
        let (stream, replacement) = Stream::begin(Format::Jsonl, temp.path(), &settings).unwrap();
        stream.put_in_place(replacement).unwrap();
        std::fs::write(&stream.path, b"{\"torn\":").unwrap();
        let rows = [stt(1, 1, "a.wav")];
        let ahead = append(std::slice::from_ref(&stream), "job", &rows, &settings, true).unwrap().remove(0);
        let written = std::fs::read(&stream.path).unwrap();
        let committed = &written[..ahead.state.bytes as usize];
        assert_eq!(format!("{:x}", Sha256::digest(committed)), ahead.state.sha256);
    }
}
