//! What is said above the live block, in words: the few things that a person should not find out from a number.

use crate::event::{RunEvent, Stopping};
use crate::task::HaltScope;

use super::format::{clean, clock, plural, span};

/// A sentence for what changes the whole run; single tasks are counted in the block instead.
pub(super) fn notice(event: &RunEvent) -> Option<String> {
    let text = match event {
        RunEvent::HaltRaised { scope, reason, until, .. } => {
            let what = match scope {
                HaltScope::Everything => "everything".to_owned(),
                HaltScope::Endpoint(endpoint) => endpoint.to_string(),
            };
            let until = until.map(|until| format!(" (until {})", clock(until))).unwrap_or_default();
            format!("halted {what}: {}{until}", reason.says())
        }
        RunEvent::HaltLifted { scope: HaltScope::Everything, .. } => "everything goes on".to_owned(),
        RunEvent::HaltLifted { scope, .. } => format!("{scope} goes on"),
        RunEvent::OutageBegan { endpoint, failure } => {
            format!("{endpoint}: everything fails ({}); trying one at a time", failure.cause.says())
        }
        RunEvent::OutageEnded { endpoint } => format!("{endpoint}: works again"),
        RunEvent::TasksRecovered { tasks, failed } if *tasks > 0 => {
            let died = plural(*tasks, "file", "files");
            let given_up = if *failed > 0 { format!(", {failed} given up") } else { String::new() };
            format!("{died} taken back from a run that died{given_up}")
        }
        RunEvent::DeadlineSet { until } => format!("nothing more begins after {}", clock(*until)),
        RunEvent::Watching { interval } => format!("looking for new files every {}", span(*interval)),
        RunEvent::SourceAway { job, away: true } => {
            format!("the source of {job} is gone; it is looked for again")
        }
        RunEvent::SourceAway { job, away: false } => format!("the source of {job} is back"),
        RunEvent::Draining { in_flight, grace, why } => {
            let (what, again) = match why {
                Stopping::Signal => ("stopping", "again"),
                Stopping::Deadline => ("the deadline has come", "twice"),
                Stopping::Trouble => ("stopping, because of a problem on this machine", "twice"),
            };
            format!(
                "{what}: {} in flight, up to {}. Press Ctrl-C {again} to drop them (they may still be billed).",
                plural(u64::from(*in_flight), "request", "requests"),
                span(*grace)
            )
        }
        RunEvent::Aborting { in_flight } => {
            let dropped = plural(u64::from(*in_flight), "request", "requests");
            format!("dropping {dropped}; the next run sends these files again, and they may be billed twice")
        }
        _ => return None,
    };
    Some(clean(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{about, at, succeeded, throttled};
    use crate::task::{Endpoint, HaltReason};
    use std::time::Duration;

    #[test]
    fn what_changes_the_run_is_said_and_single_tasks_are_not() {
        let scope = HaltScope::Endpoint(Endpoint::SttBatch);
        let reason = HaltReason::Budget;
        let halt = RunEvent::HaltRaised { scope, reason, evidence: "x".to_owned(), until: Some(at(0)) };
        assert_eq!(
            notice(&halt).unwrap(),
            "halted velma-2-stt-batch: your own limit of hours or cost is used up (until 2026-11-20 01:00:02 UTC)"
        );
        let grace = Duration::from_secs(75);
        let stop = |why| notice(&RunEvent::Draining { in_flight: 1, grace, why }).unwrap();
        assert_eq!(
            stop(Stopping::Signal),
            "stopping: 1 request in flight, up to 1 m 15 s. Press Ctrl-C again to drop them (they may still be billed)."
        );
        assert_eq!(
            stop(Stopping::Deadline),
            "the deadline has come: 1 request in flight, up to 1 m 15 s. Press Ctrl-C twice to drop them (they may still be billed)."
        );
        assert_eq!(
            notice(&RunEvent::TasksRecovered { tasks: 1, failed: 0 }).unwrap(),
            "1 file taken back from a run that died"
        );
        let retry = RunEvent::TaskRetried { about: about(1), failure: throttled(), wait: Duration::ZERO };
        assert_eq!((notice(&succeeded(1)), notice(&retry)), (None, None));
    }
}
