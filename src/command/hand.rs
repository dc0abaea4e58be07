//! `retry` and `cancel`: what the user does to recordings by hand, by filter, with a preview.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::json;

use super::audit::{Audit, of_filter};
use super::console::Console;
use super::context::{Context, now};
use super::exit::Exit;
use super::problem::UsageError;
use crate::audit::Kind;
use crate::config::Overrides;
use crate::queue::Tally;
use crate::report::{bytes, count, plural};
use crate::task::{Filter, TaskState};

/// Queue failed and cancelled recordings again
#[derive(Debug, clap::Args)]
pub(super) struct RetryArgs {
    /// Which, such as 'state:failed cause:timeout'; required, `--where ''` means all
    #[arg(long = "where", value_name = "FILTER")]
    pub(super) filter: String,
    /// Also those that succeeded: they are sent, and billed, again
    #[arg(long)]
    pub(super) again: bool,
    /// Only say what would be done
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
    /// As one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

/// Take queued recordings out; `retry` brings them back
#[derive(Debug, clap::Args)]
pub(super) struct CancelArgs {
    /// Which, such as 'job:archive path:2019/*'; required, `--where ''` means all
    #[arg(long = "where", value_name = "FILTER")]
    pub(super) filter: String,
    /// Only say what would be done
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
    /// As one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

/// Runs `retry`.
pub(super) async fn retry(args: &RetryArgs, overrides: &Overrides, console: &Console) -> Result<Exit> {
    let filter = Filter::parse(&args.filter)?;
    // Who asks for what is stale asks for what succeeded.
    let again = args.again || filter.stale;
    if filter.states.contains(&TaskState::Succeeded) && !again {
        return Err(UsageError::new(
            "recordings that succeeded are sent, and billed, again only with --again",
        )
        .mend(format!("voxbatch retry --again --where '{}' -n", args.filter), "says first how many")
        .into());
    }
    let context = Context::open(overrides).await?;
    let mut states = vec![TaskState::Failed, TaskState::Cancelled];
    states.extend(again.then_some(TaskState::Succeeded));
    let matching = matching(&context, &filter, &states).await?;
    let done = match args.dry_run {
        true => None,
        false => {
            let done = context.store.retry(filter.clone(), again, now()).await?;
            let facts = of_filter(&filter, done).flag("again", again);
            Audit::of(&context.config).write(Kind::Retry, facts).await?;
            Some(done)
        }
    };
    context.store.close().await;
    tell(console, args.json, "queued again", "would be queued again", &matching, done);
    if done.is_some_and(|n| n > 0) && !args.json {
        console.say("next: voxbatch run");
    }
    Ok(Exit::Done)
}

/// Runs `cancel`.
pub(super) async fn cancel(args: &CancelArgs, overrides: &Overrides, console: &Console) -> Result<Exit> {
    let filter = Filter::parse(&args.filter)?;
    let context = Context::open(overrides).await?;
    let matching = matching(&context, &filter, &[TaskState::Queued, TaskState::Running]).await?;
    let done = match args.dry_run {
        true => None,
        false => {
            let done = context.store.cancel(filter.clone(), now()).await?;
            Audit::of(&context.config).write(Kind::Cancel, of_filter(&filter, done)).await?;
            Some(done)
        }
    };
    context.store.close().await;
    tell(console, args.json, "cancelled", "would be cancelled", &matching, done);
    Ok(Exit::Done)
}

async fn matching(context: &Context, filter: &Filter, states: &[TaskState]) -> Result<Vec<Tally>> {
    let all = context.store.tallies_where(filter.clone(), now()).await?;
    Ok(all.into_iter().filter(|t| states.contains(&t.state)).collect())
}

fn tell(
    console: &Console,
    as_json: bool,
    done_words: &str,
    dry_words: &str,
    matching: &[Tally],
    done: Option<u64>,
) {
    let mut by_cause: BTreeMap<&str, u64> = BTreeMap::new();
    for tally in matching {
        *by_cause.entry(tally.cause.map_or(tally.state.word(), |c| c.word())).or_default() += tally.tasks;
    }
    let tasks: u64 = matching.iter().map(|t| t.tasks).sum();
    let size: u64 = matching.iter().map(|t| t.bytes).sum();
    if as_json {
        let object = json!({ "v": 1, "dry_run": done.is_none(), "tasks": done.unwrap_or(tasks), "bytes": size, "by_cause": by_cause });
        return console.say(&object.to_string());
    }
    let words = if done.is_some() { done_words } else { dry_words };
    let causes: Vec<String> = by_cause.iter().map(|(cause, n)| format!("{} {cause}", count(*n))).collect();
    let causes = if causes.is_empty() { String::new() } else { format!(": {}", causes.join(", ")) };
    console.say(&format!(
        "{} {words} ({}){causes}",
        plural(done.unwrap_or(tasks), "recording", "recordings"),
        bytes(size)
    ));
}
