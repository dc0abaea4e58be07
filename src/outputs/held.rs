//! What a projector has open: the right to a job's files, and the files.

use std::path::Path;
use std::sync::Arc;

use super::OutputError;
use super::file::Lock;
use super::stream::Stream;
use super::tree::Tree;

/// See the file.
pub(super) struct Held {
    pub(super) lock: Arc<Lock>,
    pub(super) streams: Vec<Stream>,
    pub(super) trees: Vec<Tree>,
    /// Lines in the files have been overtaken: appending now would say some recordings twice.
    pub(super) overtaken: bool,
}

impl Held {
    /// The result up to which every file that all results go to has everything.
    pub(super) fn last_seq(&self) -> i64 {
        self.streams.iter().map(|s| s.state.last_seq).min().unwrap_or(i64::MAX)
    }

    /// Whether nobody deleted or cut anything while it was open.
    ///
    /// # Errors
    /// Somebody changed what is committed.
    pub(super) fn is_whole(&mut self, output: &Path) -> Result<bool, OutputError> {
        let mut whole = self.lock.holds() && self.trees.iter().all(|tree| tree.is_there(output));
        for stream in &mut self.streams {
            whole = whole && stream.is_whole()?;
            if whole {
                stream.prove()?;
            }
        }
        Ok(whole)
    }

    /// Whether no line of a result is in any of them: then nothing was overtaken, whatever the queue says.
    pub(super) fn holds_nothing(&self) -> bool {
        let (streams, trees) = (self.streams.iter(), self.trees.iter());
        streams.map(|s| &s.state).chain(trees.map(|t| &t.state)).all(|state| state.last_seq == 0)
    }

    pub(super) fn has_news(&self) -> bool {
        self.streams.iter().any(Stream::has_news)
    }
}
