//! The API's answer as it came, a file for each recording.

use crate::queue::ResultRow;

/// The whole file: one line of JSON.
pub(super) fn render(row: &ResultRow) -> String {
    format!("{}\n", row.response.trim_end())
}
