//! Recordings with the same content under several names: only the first is sent, unless `reuse` is off. Only files of the same size are opened;
//! most of them differ at their ends, and only those that do not are read whole.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::reckon::Recording;
use crate::queue::QueueError;

/// Looked at of each end.
const END: u64 = 16 << 10;
/// Files compared at once, each on a thread of its own.
const AT_ONCE: usize = 8;

/// The places of those that repeat one before them. `told` hears how many were compared.
pub(super) async fn among(
    root: PathBuf,
    recordings: &[Recording],
    mut told: impl FnMut(u64),
) -> Result<Vec<usize>, QueueError> {
    let mut sizes: HashMap<u64, u32> = HashMap::with_capacity(recordings.len());
    recordings.iter().for_each(|r| *sizes.entry(r.size_bytes).or_default() += 1);
    let alike: Vec<usize> = (0..recordings.len()).filter(|&n| sizes[&recordings[n].size_bytes] > 1).collect();
    drop(sizes);
    let root = Arc::new(root);
    let ends = hashed(&root, recordings, &alike, hash_of_ends, &mut told).await?;
    let done = alike.len() as u64;
    // What is asked differently is answered differently.
    let same = |n: usize, hash| (recordings[n].size_bytes, recordings[n].own.as_deref(), hash);
    let mut by_ends: HashMap<_, Vec<usize>> = HashMap::new();
    for (n, hash) in ends {
        by_ends.entry(same(n, hash)).or_default().push(n);
    }
    // What fits into its ends has been read whole.
    let (mut twins, mut rest) = (Vec::new(), Vec::new());
    for ((size, ..), group) in by_ends {
        match size <= 2 * END {
            true => twins.extend(&group[1..]),
            false if group.len() > 1 => rest.extend(group),
            false => {}
        }
    }
    rest.sort_unstable();
    let mut seen = HashSet::new();
    for (n, hash) in hashed(&root, recordings, &rest, hash_of_all, |n| told(done + n)).await? {
        if !seen.insert(same(n, hash)) {
            twins.push(n);
        }
    }
    Ok(twins)
}

/// Those that can be read, in their order.
async fn hashed(
    root: &Arc<PathBuf>,
    recordings: &[Recording],
    which: &[usize],
    hash: fn(&Path) -> io::Result<[u8; 32]>,
    mut told: impl FnMut(u64),
) -> Result<Vec<(usize, [u8; 32])>, QueueError> {
    let (mut all, mut done) = (Vec::with_capacity(which.len()), 0);
    for some in which.chunks(AT_ONCE * 8) {
        let mut working = Vec::new();
        for part in some.chunks(some.len().div_ceil(AT_ONCE)) {
            let part: Vec<_> = part.iter().map(|&n| (n, recordings[n].path.clone())).collect();
            let root = Arc::clone(root);
            working.push(tokio::task::spawn_blocking(move || {
                let one = |(n, path): (usize, crate::task::RecordingPath)| {
                    Some((n, hash(&root.join(path.as_path())).ok()?))
                };
                part.into_iter().filter_map(one).collect::<Vec<_>>()
            }));
        }
        for part in working {
            all.extend(part.await.map_err(|e| QueueError::Bug(format!("comparing ended by a bug: {e}")))?);
        }
        done += some.len() as u64;
        told(done);
    }
    Ok(all)
}

fn hash_of_ends(path: &Path) -> io::Result<[u8; 32]> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut hasher = blake3::Hasher::new();
    let mut block = vec![0; END as usize];
    for at in [0, len.saturating_sub(END)] {
        let mut filled = 0;
        while filled < block.len() {
            match file.read_at(&mut block[filled..], at + filled as u64)? {
                0 => break,
                got => filled += got,
            }
        }
        hasher.update(&block[..filled]);
    }
    Ok(*hasher.finalize().as_bytes())
}

fn hash_of_all(path: &Path) -> io::Result<[u8; 32]> {
    let (mut file, mut hasher, mut block) = (File::open(path)?, blake3::Hasher::new(), vec![0; 256 << 10]);
    loop {
        match file.read(&mut block)? {
            0 => return Ok(*hasher.finalize().as_bytes()),
            got => hasher.update(&block[..got]),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Measured, RecordingPath};

    #[tokio::test]
    async fn the_same_content_under_other_names_is_counted_and_the_same_size_alone_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let large = |middle: u8| [vec![1; 40_000], vec![middle], vec![1; 40_000]].concat();
        let files: [(&str, Vec<u8>); 9] = [
            ("a", b"short".to_vec()),
            ("b", b"short".to_vec()),
            ("c", b"other".to_vec()),
            ("d", large(7)),
            ("e", large(8)),
            ("f", large(7)),
            ("g", large(7)),
            ("h", large(7)),
            ("i", b"short".to_vec()),
        ];
        let mut recordings = Vec::new();
        for (name, bytes) in &files {
            std::fs::write(folder.path().join(name), bytes).unwrap();
            recordings.push(Recording {
                path: RecordingPath::from_bytes(*name),
                size_bytes: bytes.len() as u64,
                modified_ns: 0,
                turn: 0,
                format: None,
                measured: Measured::header(1000),
                channels: None,
                apart: false,
                own: matches!(*name, "h" | "i").then(|| r#"{"language":"de"}"#.to_owned()),
                repeats: false,
            });
        }
        let mut twins = among(folder.path().to_owned(), &recordings, |_| {}).await.unwrap();
        twins.sort_unstable();
        assert_eq!(twins, [1, 5, 6], "b, f and g; what is asked otherwise is another one");
    }
}
