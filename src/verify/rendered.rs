//! Files that each recording has of its own, against what its stored result gives today.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use super::files;
use super::finding::{Finding, Kind};
use crate::outputs::FileFormat;
use crate::queue::ResultRow;
use crate::task::Job;

/// A file on disk, and what it is made of.
pub(super) struct Rendered {
    path: PathBuf,
    format: FileFormat,
    row: Arc<ResultRow>,
}

impl Rendered {
    /// The files of a result, among trees that have come as far as it.
    pub(super) fn of(job: &Job, row: &Arc<ResultRow>, trees: &[(FileFormat, i64)]) -> Vec<Rendered> {
        let has = |(format, last_seq): &(FileFormat, i64)| {
            let path = job.file_of(&row.path, format.word());
            (row.seq <= *last_seq).then(|| Rendered { path, format: *format, row: Arc::clone(row) })
        };
        trees.iter().filter_map(has).collect()
    }

    /// What is wrong with it.
    pub(super) fn check(self) -> Option<Finding> {
        let found = |kind, what: String| Some(Finding::new(kind, what).file(&self.path));
        let wanted = self.format.render(&self.row);
        let (file, length) = match files::open(&self.path) {
            Ok(Some(open)) => open,
            Ok(None) if wanted.is_none() => return None,
            Ok(None) => return found(Kind::RenderedMissing, "is not there".to_owned()),
            Err(error) => return found(Kind::RenderedMissing, format!("cannot be read: {error}")),
        };
        let Some(wanted) = wanted else {
            return found(
                Kind::RenderedExtra,
                "is there, though its answer was deleted on purpose".to_owned(),
            );
        };
        let mut there = Vec::new();
        match file.take(wanted.len() as u64 + 1).read_to_end(&mut there) {
            Ok(_) if length == wanted.len() as u64 && there == wanted => None,
            Ok(_) => {
                let what = format!("does not say what the stored result says ({length} bytes)");
                found(Kind::RenderedAltered, what)
            }
            Err(error) => found(Kind::RenderedMissing, format!("cannot be read: {error}")),
        }
    }
}
