//! The bytes that the projector writes, one recording at a time, for whoever holds files against the queue.

use std::io;

use super::format::Format;
use super::record::Record;
use super::{OutputSettings, jsonl, transcript};
use crate::queue::{ResultRow, TaskRow};

/// What a file of results has of a recording: a line, or as many rows as there are utterances.
///
/// # Errors
/// None of the file system's; what cannot be written as JSON or CSV, which a stored result can.
pub fn render_result(
    format: Format,
    job: &str,
    row: &ResultRow,
    settings: &OutputSettings,
) -> io::Result<Vec<u8>> {
    let transcript = transcript::read(row.endpoint, &row.response);
    let mut bytes = Vec::new();
    format.render(&mut bytes, &Record::of_result(job, row, &transcript), settings)?;
    Ok(bytes)
}

/// The line that `failures.jsonl` has of a recording that stands failed or refused.
///
/// # Errors
/// As [`render_result`].
pub fn render_failure(row: &TaskRow) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    jsonl::line(&mut bytes, &Record::of_task(row))?;
    Ok(bytes)
}
