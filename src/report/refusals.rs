//! Refusals come in hundreds; they are said together, once for each cause, with one name as an example.

use std::collections::BTreeMap;

use crate::event::{About, RunEvent};
use crate::task::{Cause, RecordingPath};

/// Refusals of one cause since they were last said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) cause: Cause,
    pub(super) files: u64,
    pub(super) first: RecordingPath,
}

/// Collects refusals until somebody says them.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    groups: BTreeMap<Cause, Group>,
}

impl Refusals {
    /// Keeps the event when it is a refusal, and says whether it did.
    pub(super) fn keep(&mut self, event: &RunEvent) -> bool {
        let RunEvent::TaskFailed { about: About { path, .. }, failure, sent: false } = event else {
            return false;
        };
        let cause = failure.cause;
        if cause.is_refusal() {
            let group = self.groups.entry(cause);
            group.or_insert_with(|| Group { cause, files: 0, first: path.clone() }).files += 1;
        }
        cause.is_refusal()
    }

    /// What has come together; begins anew.
    pub(super) fn take(&mut self) -> Vec<Group> {
        std::mem::take(&mut self.groups).into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{failed, succeeded};

    #[test]
    fn refusals_come_together_by_cause_and_failures_do_not() {
        let mut refusals = Refusals::default();
        for task in 1..=3 {
            assert!(refusals.keep(&failed(task, Cause::Empty)));
        }
        assert!(refusals.keep(&failed(4, Cause::NotAudio)));
        assert!(!refusals.keep(&failed(5, Cause::UnreadableAudio)));
        assert!(!refusals.keep(&succeeded(6)));
        let said: Vec<(Cause, u64, String)> =
            refusals.take().into_iter().map(|g| (g.cause, g.files, g.first.to_string())).collect();
        assert_eq!(
            said,
            [
                (Cause::Empty, 3, "calls/0001.mp3".to_owned()),
                (Cause::NotAudio, 1, "calls/0004.mp3".to_owned())
            ]
        );
        assert!(refusals.take().is_empty());
    }
}
