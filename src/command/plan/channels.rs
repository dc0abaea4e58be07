//! How many channels recordings have, by their headers, where these tell.

use std::path::PathBuf;
use std::sync::Arc;

use super::reckon::Recording;
use crate::media;
use crate::queue::QueueError;

/// Files that are opened on a thread, one after the other.
const SOME: usize = 64;

/// Looks it up of each. `told` hears of how many.
pub(super) async fn look_up(
    root: PathBuf,
    mut recordings: Vec<&mut Recording>,
    mut told: impl FnMut(u64),
) -> Result<(), QueueError> {
    let (root, mut done) = (Arc::new(root), 0);
    for some in recordings.chunks_mut(SOME) {
        let (root, files) = (Arc::clone(&root), some.iter().map(|r| r.path.clone()).collect::<Vec<_>>());
        let looking = tokio::task::spawn_blocking(move || {
            files.iter().map(|path| media::channels_of(&root.join(path.as_path()))).collect::<Vec<_>>()
        });
        let found =
            looking.await.map_err(|e| QueueError::Bug(format!("a look at channels ended by a bug: {e}")))?;
        some.iter_mut().zip(found).for_each(|(recording, channels)| recording.channels = channels);
        done += some.len() as u64;
        told(done);
    }
    Ok(())
}
