//! From SQLite's values to ours and back. A value that we never write is reported, not guessed at.

use std::ffi::OsStr;
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Serialize, Serializer};
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row, Sqlite, Type};

use crate::queue::QueueError;
use crate::task::{DurationMethod, Failure, Measured, Metadata, RecordingPath, Timestamp};

/// Reads columns by name with errors that say which.
pub(super) trait Columns {
    /// A plain value.
    fn value<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(&'r self, column: &str) -> Result<T, QueueError>;

    /// A word of one of our enumerations.
    fn word<T: FromStr>(&self, column: &str) -> Result<T, QueueError>;

    /// The same, or nothing.
    fn word_or_null<T: FromStr>(&self, column: &str) -> Result<Option<T>, QueueError>;

    /// A number that cannot be negative.
    fn count<T: TryFrom<i64>>(&self, column: &str) -> Result<T, QueueError>;

    /// The same, or nothing.
    fn count_or_null<T: TryFrom<i64>>(&self, column: &str) -> Result<Option<T>, QueueError>;

    /// A moment.
    fn time(&self, column: &str) -> Result<Timestamp, QueueError> {
        self.value(column).map(Timestamp)
    }

    /// A moment, or nothing.
    fn time_or_null(&self, column: &str) -> Result<Option<Timestamp>, QueueError> {
        Ok(self.value::<Option<i64>>(column)?.map(Timestamp))
    }

    /// What a recording comes with.
    fn metadata(&self) -> Result<Metadata, QueueError> {
        Ok(Metadata { fields: self.value("metadata")?, options: self.value("options")? })
    }

    /// A length and how it was found out, in two columns.
    fn measured(&self, length: &str) -> Result<Option<Measured>, QueueError> {
        let method: Option<DurationMethod> = self.word_or_null("duration_method")?;
        let length: Option<u64> = self.count_or_null(length)?;
        Ok(length.zip(method).map(|(duration_ms, method)| Measured { duration_ms, method }))
    }

    /// A recording's path.
    fn path(&self, column: &str) -> Result<RecordingPath, QueueError> {
        self.value::<Vec<u8>>(column).map(RecordingPath::from_bytes)
    }
}

impl Columns for SqliteRow {
    fn value<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(&'r self, column: &str) -> Result<T, QueueError> {
        Ok(self.try_get(column)?)
    }

    fn word<T: FromStr>(&self, column: &str) -> Result<T, QueueError> {
        let word: &str = self.try_get(column)?;
        word.parse().map_err(|_| strange(column, word))
    }

    fn word_or_null<T: FromStr>(&self, column: &str) -> Result<Option<T>, QueueError> {
        let word: Option<&str> = self.try_get(column)?;
        word.map(|w| w.parse().map_err(|_| strange(column, w))).transpose()
    }

    fn count<T: TryFrom<i64>>(&self, column: &str) -> Result<T, QueueError> {
        let number: i64 = self.try_get(column)?;
        T::try_from(number).map_err(|_| strange(column, number))
    }

    fn count_or_null<T: TryFrom<i64>>(&self, column: &str) -> Result<Option<T>, QueueError> {
        let number: Option<i64> = self.try_get(column)?;
        number.map(|n| T::try_from(n).map_err(|_| strange(column, n))).transpose()
    }
}

fn strange(column: &str, value: impl Display) -> QueueError {
    QueueError::Corrupt(format!("column {column} holds `{value}`"))
}

/// Unsigned sizes as SQLite keeps them; what does not fit is more than any disk holds.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Rows for `jsonb_each`: one statement for all of them. Not `json_each`, which writes each row out as text again, for
/// each look at a field of it to read.
pub(super) fn array<T: Serialize>(rows: impl IntoIterator<Item = T>) -> String {
    let mut json = Vec::new();
    // What is put in has text for keys, and writing to memory goes well: nothing can fail.
    let written = serde_json::Serializer::new(&mut json).collect_seq(rows);
    debug_assert!(written.is_ok(), "{written:?}");
    String::from_utf8(json).unwrap_or_default()
}

/// A folder as raw bytes.
pub(super) fn path_bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// And back.
pub(super) fn path_from(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// How long the API asked us to wait, as it is stored.
pub(super) fn retry_after_ms(failure: &Failure) -> Option<i64> {
    failure.retry_after.map(|wait| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
}
