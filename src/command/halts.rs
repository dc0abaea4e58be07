//! `halts`, `pause` and `resume`: what stands still, and by whose word.

use anyhow::Result;
use serde_json::{Value, json};

use super::audit::{Audit, of_halt, user};
use super::console::Console;
use super::context::{Context, now};
use super::exit::Exit;
use super::problem::UsageError;
use crate::audit::{Facts, Kind};
use crate::config::Overrides;
use crate::queue::Halt;
use crate::report::{Column, Table, plural};
use crate::task::{HaltOrder, HaltReason, HaltScope};

/// List what stands still and why, or let it go on
#[derive(Debug, clap::Args)]
pub(super) struct HaltsArgs {
    /// What to do [default: list]
    #[command(subcommand)]
    pub(super) verb: Option<HaltsVerb>,
}

/// What to do with halts.
#[derive(Debug, clap::Subcommand)]
pub(super) enum HaltsVerb {
    /// List those that stand
    List {
        /// Also those that are over
        #[arg(long)]
        all: bool,
        /// As JSON Lines
        #[arg(long)]
        json: bool,
    },
    /// Let what they stop go on
    Clear {
        /// Its number; without one, all that stand
        id: Option<i64>,
    },
}

/// Runs `halts`.
pub(super) async fn halts(args: &HaltsArgs, overrides: &Overrides, console: &Console) -> Result<Exit> {
    let context = Context::open(overrides).await?;
    match args.verb.as_ref().unwrap_or(&HaltsVerb::List { all: false, json: false }) {
        HaltsVerb::List { all, json } => list(&context, *all, *json, console).await?,
        HaltsVerb::Clear { id } => clear(&context, *id, console).await?,
    }
    context.store.close().await;
    Ok(Exit::Done)
}

async fn list(context: &Context, all: bool, as_json: bool, console: &Console) -> Result<()> {
    let halts = context.store.halts(!all, now()).await?;
    if as_json {
        for halt in &halts {
            console.say(&as_object(halt).to_string());
        }
        return Ok(());
    }
    if halts.is_empty() {
        console.say("nothing stands still");
        return Ok(());
    }
    let mut table = Table::new([
        Column::right("id"),
        Column::left("stops"),
        Column::left("reason"),
        Column::left("since"),
        Column::left("until"),
        Column::left("over"),
        Column::name("evidence"),
    ]);
    for halt in &halts {
        let over = match (&halt.lifted_at, &halt.lifted_by) {
            (Some(at), Some(by)) => format!("{at} by {by}"),
            _ => String::new(),
        };
        table.row([
            halt.id.to_string(),
            halt.scope.to_string(),
            halt.reason.to_string(),
            halt.raised_at.to_string(),
            halt.until.map(|t| t.to_string()).unwrap_or_default(),
            over,
            halt.evidence.clone(),
        ]);
    }
    console.say_table(&table);
    Ok(())
}

async fn clear(context: &Context, id: Option<i64>, console: &Console) -> Result<()> {
    let standing = context.store.halts(true, now()).await?;
    if let Some(id) = id.filter(|id| !standing.iter().any(|h| h.id == *id)) {
        return Err(UsageError::new(format!("no halt {id} stands"))
            .mend("voxbatch halts", "lists those that do")
            .into());
    }
    if id.is_none() {
        context.store.end_pauses().await?;
    }
    let mut cleared = 0;
    let audit = Audit::of(&context.config);
    for halt in standing.iter().filter(|h| id.is_none_or(|id| h.id == id)) {
        if context.store.lift_halt(halt.id, user(), now()).await? {
            cleared += 1;
            audit.write(Kind::HaltLifted, of_halt(halt.scope, halt.reason)).await?;
        }
    }
    console.say(&format!("cleared {}; go on with: voxbatch run", plural(cleared, "halt", "halts")));
    Ok(())
}

/// Runs `pause`.
pub(super) async fn pause(overrides: &Overrides, console: &Console) -> Result<Exit> {
    let context = Context::open(overrides).await?;
    let order = HaltOrder {
        scope: HaltScope::Everything,
        reason: HaltReason::Paused,
        evidence: "voxbatch pause".to_owned(),
    };
    let new = context.store.raise_halt(order, None, user(), now()).await?;
    if new {
        Audit::of(&context.config).write(Kind::Pause, Facts::default()).await?;
    }
    context.store.close().await;
    console.say(if new {
        "paused: requests in flight end, nothing more begins; go on with: voxbatch resume"
    } else {
        "it was paused already; go on with: voxbatch resume"
    });
    Ok(Exit::Done)
}

/// Runs `resume`.
pub(super) async fn resume(overrides: &Overrides, console: &Console) -> Result<Exit> {
    let context = Context::open(overrides).await?;
    let mut lifted = false;
    context.store.end_pauses().await?;
    for halt in context.store.halts(true, now()).await? {
        if halt.reason == HaltReason::Paused {
            lifted |= context.store.lift_halt(halt.id, user(), now()).await?;
        }
    }
    if lifted {
        Audit::of(&context.config).write(Kind::Resume, Facts::default()).await?;
    }
    context.store.close().await;
    console.say(if lifted { "resumed" } else { "it was not paused; other halts: voxbatch halts" });
    Ok(Exit::Done)
}

/// A halt as every `--json` writes it.
pub(super) fn as_object(halt: &Halt) -> Value {
    let time = |t: Option<crate::task::Timestamp>| t.map(|t| t.to_string());
    json!({
        "id": halt.id, "scope": halt.scope.to_string(), "reason": halt.reason.word(), "evidence": halt.evidence,
        "raised_at": halt.raised_at.to_string(), "raised_by": halt.raised_by, "until": time(halt.until),
        "probed_at": time(halt.probed_at), "lifted_at": time(halt.lifted_at), "lifted_by": halt.lifted_by,
    })
}
