//! What a case is made of: steps that name tasks, workers and halts by position among what exists, so that a
//! case stays meaningful when it is shrunk.

use proptest::collection::vec;
use proptest::prelude::*;

/// One or several writes handed over together, and what becomes of whoever asked for them.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) ops: Vec<Op>,
    pub(super) fate: Fate,
    /// Which of the two processes acts.
    pub(super) second: bool,
}

/// Whether the answers are waited for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fate {
    Awaited,
    /// Given up after so many looks; the process lives on.
    Abandoned(u8),
    /// Both processes are gone after so many looks.
    Crashed(u8),
}

/// A position among what exists, modulo how much that is.
pub(super) type Pick = u8;

/// A recording as a scan finds it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Find {
    pub(super) name: Pick,
    pub(super) size: u8,
    pub(super) modified: u8,
    pub(super) refused: bool,
    pub(super) said: Pick,
}

/// What the `--where` of a retry or a cancellation says.
#[derive(Debug, Clone, Copy)]
pub(super) enum Which {
    Ids([Pick; 3]),
    All,
    State(Pick),
    Job(Pick),
    Path(Pick),
    Cause(Pick),
    Endpoint(bool),
    Since(u8),
    Before(u8),
}

/// Seconds billed that stand for more than anybody can be billed for.
pub(super) const ABSURD: u8 = u8::MAX;

/// How a held task ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ending {
    Succeed {
        billed_s: u8,
        sounds: bool,
        resend: bool,
    },
    /// A piece is answered, perhaps of another content than those before.
    Advance {
        billed_s: u8,
        other: bool,
    },
    Retry {
        wait_s: u8,
    },
    Snooze {
        wait_s: u8,
        hold: Pick,
    },
    Fail,
    Release,
}

/// What an ending that is no success says of itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blame {
    pub(super) cause: Pick,
    pub(super) billed: Pick,
    pub(super) answered: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Op {
    /// Time passes.
    Wait {
        seconds: u32,
    },
    /// The file of jobs is read again: order and output folder of a job, and whether it asks for another endpoint.
    Jobs {
        job: Pick,
        order: Pick,
        output: Pick,
        other_endpoint: bool,
    },
    Scan {
        job: Pick,
        found: Vec<Find>,
    },
    /// A batch with a name that no file has.
    ScanBroken {
        job: Pick,
    },
    Register,
    Retire {
        worker: Pick,
    },
    Beat {
        worker: Pick,
    },
    Sweep,
    /// One process is gone; orderly, or not.
    Die {
        orderly: bool,
    },
    Claim {
        worker: Pick,
        wish: Wish,
    },
    /// Whoever holds a task settles it: perhaps long after it was taken away.
    Settle {
        hold: Pick,
        ending: Ending,
        blame: Blame,
        /// Its slot is handed over.
        next: Option<Pick>,
    },
    /// A task was settled, and is so again.
    SettleAgain {
        hold: Pick,
        ending: Ending,
        blame: Blame,
    },
    /// A service has accepted what somebody holds, or held, as a job.
    Remember {
        hold: Pick,
        job: u8,
    },
    Reuse {
        task: Pick,
        of: Pick,
        stale: bool,
        audio: bool,
    },
    SetAside {
        task: Pick,
        stale: bool,
        ending: Ending,
        blame: Blame,
    },
    SetCeiling {
        english: bool,
        ceiling: u8,
    },
    SavePace {
        english: bool,
        effective: Option<u8>,
        pause_s: Option<u8>,
    },
    EndPauses,
    Learn {
        english: bool,
        minutes: u8,
        under: bool,
    },
    RaiseHalt {
        scope: Pick,
        reason: Pick,
        until_s: Option<u8>,
    },
    LiftHalt {
        halt: Pick,
    },
    TakeProbe {
        halt: Pick,
        interval_s: u8,
    },
    Retry {
        which: Which,
        again: bool,
    },
    Cancel {
        which: Which,
    },
    /// Answers and audio of that age go.
    Purge {
        job: Option<Pick>,
        age_s: u8,
        answers: bool,
        audio: bool,
    },
    EndPurge,
    CommitOutput {
        job: Pick,
        name: Pick,
        bytes: u8,
    },
    Renewed {
        job: Pick,
    },
}

#[derive(Debug, Clone)]
pub(super) struct Wish {
    /// On the other limiter.
    pub(super) english: bool,
    /// Candidates as the store tells them; else any tasks, also such as cannot be had.
    pub(super) offered: bool,
    pub(super) tasks: Vec<Pick>,
    pub(super) want: u8,
    pub(super) ahead: u8,
    pub(super) alone: bool,
    pub(super) probing: bool,
    /// Seconds above what is billed already.
    pub(super) cap_s: Option<u8>,
    pub(super) estimate_s: u8,
    /// What is the same is told.
    pub(super) shares: bool,
}

/// The steps of a case.
pub(super) fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let ops = prop_oneof![8 => vec(op(), 1), 1 => vec(op(), 2..5)];
    let fate = prop_oneof![
        40 => Just(Fate::Awaited),
        1 => (0..30u8).prop_map(Fate::Abandoned),
        1 => (0..90u8).prop_map(Fate::Crashed),
    ];
    vec((ops, fate, any::<bool>()).prop_map(|(ops, fate, second)| Step { ops, fate, second }), 1..most)
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => claim(),
        12 => (any::<Pick>(), ending(), blame(), proptest::option::of(any::<Pick>()))
            .prop_map(|(hold, ending, blame, next)| Op::Settle { hold, ending, blame, next }),
        3 => (any::<Pick>(), ending(), blame())
            .prop_map(|(hold, ending, blame)| Op::SettleAgain { hold, ending, blame }),
        4 => (any::<Pick>(), vec(find(), 1..6)).prop_map(|(job, found)| Op::Scan { job, found }),
        5 => seconds().prop_map(|seconds| Op::Wait { seconds }),
        2 => Just(Op::Register),
        1 => any::<Pick>().prop_map(|worker| Op::Retire { worker }),
        1 => any::<Pick>().prop_map(|worker| Op::Beat { worker }),
        3 => Just(Op::Sweep),
        1 => any::<bool>().prop_map(|orderly| Op::Die { orderly }),
        3 => (any::<Pick>(), any::<u8>()).prop_map(|(hold, job)| Op::Remember { hold, job }),
        3 => (any::<Pick>(), any::<Pick>(), proptest::bool::weighted(0.1), any::<bool>())
            .prop_map(|(task, of, stale, audio)| Op::Reuse { task, of, stale, audio }),
        2 => (any::<Pick>(), any::<bool>(), ending(), blame())
            .prop_map(|(task, stale, ending, blame)| Op::SetAside { task, stale, ending, blame }),
        1 => (any::<bool>(), 1..6u8).prop_map(|(english, ceiling)| Op::SetCeiling { english, ceiling }),
        1 => (any::<bool>(), proptest::option::of(0..7u8), proptest::option::of(0..20u8))
            .prop_map(|(english, effective, pause_s)| Op::SavePace { english, effective, pause_s }),
        1 => Just(Op::EndPauses),
        1 => (any::<bool>(), 1..5u8, any::<bool>())
            .prop_map(|(english, minutes, under)| Op::Learn { english, minutes, under }),
        1 => (any::<Pick>(), any::<Pick>(), proptest::option::of(0..60u8))
            .prop_map(|(scope, reason, until_s)| Op::RaiseHalt { scope, reason, until_s }),
        2 => any::<Pick>().prop_map(|halt| Op::LiftHalt { halt }),
        1 => (any::<Pick>(), 0..30u8).prop_map(|(halt, interval_s)| Op::TakeProbe { halt, interval_s }),
        3 => (which(), any::<bool>()).prop_map(|(which, again)| Op::Retry { which, again }),
        2 => which().prop_map(|which| Op::Cancel { which }),
        1 => (any::<Pick>(), any::<Pick>(), any::<Pick>(), proptest::bool::weighted(0.2))
            .prop_map(|(job, order, output, other_endpoint)| Op::Jobs { job, order, output, other_endpoint }),
        1 => any::<Pick>().prop_map(|job| Op::ScanBroken { job }),
        1 => (any::<Pick>(), any::<Pick>(), any::<u8>())
            .prop_map(|(job, name, bytes)| Op::CommitOutput { job, name, bytes }),
        2 => (proptest::option::of(any::<Pick>()), 0..20u8, any::<bool>(), any::<bool>())
            .prop_map(|(job, age_s, answers, audio)| Op::Purge { job, age_s, answers, audio }),
        1 => Just(Op::EndPurge),
        1 => any::<Pick>().prop_map(|job| Op::Renewed { job }),
    ]
}

fn claim() -> impl Strategy<Value = Op> {
    let wish = (
        proptest::bool::weighted(0.2),
        proptest::bool::weighted(0.8),
        vec(any::<Pick>(), 1..5),
        0..4u8,
        prop_oneof![Just(0u8), 1..4u8],
        proptest::bool::weighted(0.15),
        proptest::bool::weighted(0.3),
        proptest::option::weighted(0.2, 0..8u8),
        0..4u8,
        any::<bool>(),
    );
    let wish =
        wish.prop_map(|(english, offered, tasks, want, ahead, alone, probing, cap_s, estimate_s, shares)| {
            Wish { english, offered, tasks, want, ahead, alone, probing, cap_s, estimate_s, shares }
        });
    (any::<Pick>(), wish).prop_map(|(worker, wish)| Op::Claim { worker, wish })
}

fn find() -> impl Strategy<Value = Find> {
    (0..8u8, 0..4u8, 0..3u8, proptest::bool::weighted(0.2), 0..6u8)
        .prop_map(|(name, size, modified, refused, said)| Find { name, size, modified, refused, said })
}

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        3 => (billed(), any::<bool>(), proptest::bool::weighted(0.2))
            .prop_map(|(billed_s, sounds, resend)| Ending::Succeed { billed_s, sounds, resend }),
        1 => (billed(), proptest::bool::weighted(0.2))
            .prop_map(|(billed_s, other)| Ending::Advance { billed_s, other }),
        2 => (0..20u8).prop_map(|wait_s| Ending::Retry { wait_s }),
        2 => (0..20u8, 0..3u8).prop_map(|(wait_s, hold)| Ending::Snooze { wait_s, hold }),
        1 => Just(Ending::Fail),
        1 => Just(Ending::Release),
    ]
}

/// Mostly moments, seldom a length that no recording has.
fn billed() -> impl Strategy<Value = u8> {
    prop_oneof![30 => 0..5u8, 1 => Just(ABSURD)]
}

fn blame() -> impl Strategy<Value = Blame> {
    (0..5u8, 0..3u8, any::<bool>()).prop_map(|(cause, billed, answered)| Blame { cause, billed, answered })
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![
        4 => any::<[Pick; 3]>().prop_map(Which::Ids),
        1 => Just(Which::All),
        1 => any::<Pick>().prop_map(Which::State),
        1 => any::<Pick>().prop_map(Which::Job),
        1 => any::<Pick>().prop_map(Which::Path),
        1 => any::<Pick>().prop_map(Which::Cause),
        1 => any::<bool>().prop_map(Which::Endpoint),
        1 => (0..30u8).prop_map(Which::Since),
        1 => (0..30u8).prop_map(Which::Before),
    ]
}

/// Mostly moments, at times enough for the month to turn.
fn seconds() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 0..15u32, 3 => 15..90u32, 1 => Just(20 * 24 * 3600)]
}
