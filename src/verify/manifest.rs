//! A list of hashes for `sha256sum -c`: what the files should be by the queue's word, so that anybody can hold them
//! against it later, elsewhere, and without this program.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::pages::Results;
use super::{VerifyError, files};
use crate::outputs::{ExportFormat, FAILURE_FILES, FileFormat, TABLES};
use crate::queue::TaskStore;
use crate::task::Job;

/// Writes a line for each output file, those of single recordings included, and each redacted audio of these jobs;
/// returns how many. Names are relative to
/// `folder` (absolute) where they lie below it, else absolute. The hashes are those that were stored; of the
/// `failures.*`, which have none, those of the files as they are; of single recordings' files, what stored results give.
///
/// # Errors
/// The queue's own; [`VerifyError::Manifest`] when `to` takes no more, or a `failures.*` cannot be read.
pub async fn manifest(
    store: &dyn TaskStore,
    jobs: &[Job],
    folder: &Path,
    to: &mut (dyn Write + Send),
) -> Result<u64, VerifyError> {
    let mut lines = 0;
    let mut put = |hash: &str, path: &Path| {
        lines += 1;
        let name = path.strip_prefix(folder).unwrap_or(path);
        to.write_all(&line(hash, name.as_os_str().as_bytes())).map_err(VerifyError::Manifest)
    };
    for job in jobs {
        for name in ExportFormat::ALL.map(ExportFormat::file_name).into_iter().chain(TABLES) {
            let state = store.output(job.id, name).await?;
            let path = job.output.join(name);
            // Nothing counts in a file that is not written any more.
            let is_left = state.bytes == 0 && files::open(&path).is_ok_and(|f| f.is_none_or(|f| f.1 > 0));
            if !state.sha256.is_empty() && !is_left {
                put(&state.sha256, &path)?;
            }
        }
        let mut trees = Vec::new();
        for format in FileFormat::ALL {
            let last_seq = store.output(job.id, format.word()).await?.last_seq;
            trees.extend((last_seq > 0).then_some((format, last_seq)));
        }
        for name in FAILURE_FILES {
            let path = job.output.join(name);
            if let Some((file, length)) = files::open(&path).map_err(VerifyError::Manifest)? {
                put(&files::sha256(&file, length).map_err(VerifyError::Manifest)?, &path)?;
            }
        }
        let mut results = Results::new(store, job.id, i64::MAX);
        while job.endpoint.returns_audio() || !trees.is_empty() {
            let page = results.take_page().await?;
            if page.is_empty() {
                break;
            }
            for row in &page {
                for (format, _) in trees.iter().filter(|tree| row.seq <= tree.1) {
                    if let Some(file) = format.render(row) {
                        put(&format!("{:x}", Sha256::digest(file)), &job.file_of(&row.path, format.word()))?;
                    }
                }
            }
            let there = page.iter().filter(|row| row.audio_purged_at.is_none());
            for audio in there.filter_map(|row| row.redacted_audio.as_ref()) {
                put(&audio.sha256, &job.output.join(audio.path.as_path()))?;
            }
        }
    }
    to.flush().map_err(VerifyError::Manifest)?;
    Ok(lines)
}

/// A line as `sha256sum` writes it: one that begins with a backslash has a name in which some bytes are escaped.
fn line(hash: &str, name: &[u8]) -> Vec<u8> {
    let is_plain = !name.iter().any(|byte| matches!(byte, b'\\' | b'\n' | b'\r'));
    let mut line = Vec::with_capacity(hash.len() + name.len() + 4);
    if !is_plain {
        line.push(b'\\');
    }
    line.extend(hash.as_bytes());
    line.extend(b"  ");
    for byte in name {
        match byte {
            b'\\' => line.extend(b"\\\\"),
            b'\n' => line.extend(b"\\n"),
            b'\r' => line.extend(b"\\r"),
            byte => line.push(*byte),
        }
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_line_ends_and_backslashes_are_escaped_and_said_to_be() {
        let text = |name: &[u8]| String::from_utf8_lossy(&line("ab", name)).into_owned();
        assert_eq!(text(b"out/a b.mp3"), "ab  out/a b.mp3\n");
        assert_eq!(text(b"a\nb"), "\\ab  a\\nb\n");
        assert_eq!(text(b"a\\b\r"), "\\ab  a\\\\b\\r\n");
        assert_eq!(line("ab", b"\xff"), b"ab  \xff\n");
    }
}
