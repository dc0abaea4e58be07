//! Where the slots' time went, kept beside the queue: a run writes it down as it goes on, and `status` tells it.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::report::{Ledger, RunStats};
use crate::task::Timestamp;

/// How often a run writes it down.
const EVERY: Duration = Duration::from_secs(15);

/// The file of the run that wrote last. Of several at once each writes its own view over the other's.
#[derive(Debug)]
pub(super) struct LedgerFile {
    path: PathBuf,
    kept_at: Option<Timestamp>,
}

impl LedgerFile {
    pub(super) fn in_folder(state: &Path) -> Self {
        LedgerFile { path: state.join("slots.json"), kept_at: None }
    }

    /// Writes down how a run stands, if it is time.
    pub(super) async fn keep_now_and_then(&mut self, stats: &RunStats, now: Timestamp) {
        if self.is_due(now) {
            self.keep(stats, now).await;
        }
    }

    fn is_due(&mut self, now: Timestamp) -> bool {
        let due = now.since(*self.kept_at.get_or_insert(now)) >= EVERY;
        if due {
            self.kept_at = Some(now);
        }
        due
    }

    /// Writes down how a run stands. It goes on without; nothing depends on it.
    pub(super) async fn keep(&self, stats: &RunStats, now: Timestamp) {
        let (path, kept) = (self.path.clone(), serde_json::to_vec(&Ledger::of(stats, now)));
        let written =
            tokio::task::spawn_blocking(move || replace(&path, &kept.map_err(io::Error::other)?)).await;
        if let Err(error) = written.map_err(io::Error::other).and_then(|written| written) {
            tracing::debug!(path = %self.path.display(), %error, "the slots' time was not written down");
        }
    }

    /// What the last run wrote; nothing if none has, or it cannot be read.
    pub(super) fn read(&self) -> Option<Ledger> {
        serde_json::from_slice(&std::fs::read(&self.path).ok()?).ok()
    }
}

/// Under another name first: whoever reads sees the old or the new one.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let passing = path.with_extension(format!("json.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&passing)?;
    file.write_all(text)?;
    std::fs::rename(&passing, path).inspect_err(|_| drop(std::fs::remove_file(&passing)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_kept_last_is_what_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = LedgerFile::in_folder(folder.path());
        assert_eq!(file.read(), None);
        for at_ms in [1, 2] {
            let (stats, now) = (RunStats::default(), Timestamp(at_ms));
            file.keep(&stats, now).await;
            assert_eq!(file.read(), Some(Ledger::of(&stats, now)));
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left behind");
        std::fs::write(folder.path().join("slots.json"), "{").unwrap();
        assert_eq!(file.read(), None);
    }

    #[test]
    fn it_is_due_now_and_then() {
        let mut file = LedgerFile::in_folder(Path::new("/nowhere"));
        let at = |seconds: i64| Timestamp(seconds * 1000);
        assert_eq!([1, 15, 16, 17, 31].map(|s| file.is_due(at(s))), [false, false, true, false, true]);
    }
}
