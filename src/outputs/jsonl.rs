//! JSON Lines: one record, one line, ended by `\n`.

use std::io;

use super::record::Record;

/// Appends a record as a line.
pub(super) fn line(out: &mut Vec<u8>, record: &Record<'_>) -> io::Result<()> {
    serde_json::to_writer(&mut *out, record)?;
    out.push(b'\n');
    Ok(())
}
