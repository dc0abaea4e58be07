//! `plan`: what a run would send, refuse and leave out. Looks at every file, changes nothing, sends nothing.

use std::ops::ControlFlow;

use anyhow::Result;
use serde_json::json;

use super::audit::{Audit, of_scan};
use super::console::{Console, scan_lines};
use super::context::Context;
use super::exit::Exit;
use super::feed::{self, Into, Scanned};
use super::measure;
use crate::audit::Kind;
use crate::config::Overrides;
use crate::report::{Column, Table, bytes, count};

/// Say what a run would send and refuse; nothing is sent, nothing is changed
#[derive(Debug, clap::Args)]
pub(super) struct PlanArgs {
    /// Only this job; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(super) job: Vec<String>,
    /// As one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

/// Look for new recordings and add them to the queue; nothing is sent
#[derive(Debug, clap::Args)]
pub(super) struct ScanArgs {
    /// Only this job; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(super) job: Vec<String>,
    /// Only say what would be added
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
    /// As one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

/// Runs `plan`.
pub(super) async fn plan(args: &PlanArgs, overrides: &Overrides, console: &Console) -> Result<Exit> {
    go(&args.job, true, args.json, overrides, console).await
}

/// Runs `scan`.
pub(super) async fn scan(args: &ScanArgs, overrides: &Overrides, console: &Console) -> Result<Exit> {
    go(&args.job, args.dry_run, args.json, overrides, console).await
}

async fn go(
    names: &[String],
    dry: bool,
    as_json: bool,
    overrides: &Overrides,
    console: &Console,
) -> Result<Exit> {
    let context = match dry {
        true => Context::open(overrides).await?,
        false => Context::with(super::context::load(overrides)?).await?,
    };
    let mut found = Vec::new();
    let mut progress = console.progress();
    let outputs = context.config.jobs.iter().map(|c| c.spec.output.clone());
    let skip = feed::skipped(outputs, &context.all_jobs().await?, &context.config.state_dir);
    for (config, job) in context.stated(names)? {
        let id = job.map(|j| j.id);
        let into = match id {
            Some(id) if !dry => Into::Queue(&*context.store, id),
            id => Into::Nowhere(&*context.store, id),
        };
        let go_on = async |_: &Scanned| ControlFlow::Continue(());
        let scanned = feed::scan(config, &context.config.media, skip.clone(), into, go_on).await?;
        if let (false, Some(job)) = (dry, job) {
            Audit::of(&context.config).write(Kind::Scan, of_scan(job.id, &scanned.enqueued)).await?;
            let told = |done| progress.tell(&format!("{}: {} measured", job.name, count(done)));
            measure::job(&context.store, job, told).await?;
        }
        found.push((config.spec.name.clone(), config.spec.endpoint, scanned));
    }
    context.store.close().await;
    drop(progress);
    if as_json {
        let jobs: Vec<_> =
            found.iter().map(|(name, endpoint, s)| as_object(name, endpoint.name(), s)).collect();
        console.say(&json!({ "v": 1, "dry_run": dry, "jobs": jobs }).to_string());
    } else {
        tell(console, &found, dry);
    }
    Ok(Exit::Done)
}

fn tell(console: &Console, found: &[(String, crate::task::Endpoint, Scanned)], dry: bool) {
    let new = if dry { "to send" } else { "added" };
    let mut table = Table::new([
        Column::name("job"),
        Column::left("endpoint"),
        Column::right("recordings"),
        Column::right("size"),
        Column::right(new),
        Column::right("size"),
        Column::right("refused"),
        Column::right("known"),
    ]);
    for (name, endpoint, s) in found {
        let sendable = (s.enqueued.new + s.enqueued.reopened).saturating_sub(s.enqueued.refused);
        table.row([
            name.clone(),
            endpoint.to_string(),
            count(s.files),
            bytes(s.bytes),
            count(sendable),
            bytes(s.enqueued.new_bytes),
            count(s.enqueued.refused),
            count(s.enqueued.known + s.enqueued.changed),
        ]);
    }
    console.say_table(&table);
    for (name, _, s) in found {
        let formats: Vec<String> = s.formats.iter().map(|(f, n)| format!("{} {f}", count(*n))).collect();
        if !formats.is_empty() {
            console.say(&format!("{name}: formats: {}", formats.join(", ")));
        }
        if s.misnamed > 0 {
            console.say(&format!(
                "{name}: {} named for another format than they have; content decides",
                count(s.misnamed)
            ));
        }
        if !s.refused.is_empty() {
            let causes: Vec<String> =
                s.refused.iter().map(|(c, n)| format!("{} {}", count(*n), c.says())).collect();
            console.say(&format!("{name}: refused before sending: {}", causes.join(", ")));
        }
        for line in scan_lines(s) {
            console.say(&format!("{name}: {line}"));
        }
    }
    let sendable: u64 = found.iter().map(|(_, _, s)| s.enqueued.new + s.enqueued.reopened).sum();
    if dry && sendable > 0 {
        console.say("next: voxbatch run --limit 3    tries three; voxbatch run    sends all");
    }
}

fn as_object(name: &str, endpoint: &str, s: &Scanned) -> serde_json::Value {
    let refused: serde_json::Map<_, _> =
        s.refused.iter().map(|(c, n)| (c.word().to_owned(), (*n).into())).collect();
    let e = &s.enqueued;
    json!({
        "job": name, "endpoint": endpoint, "files": s.files, "bytes": s.bytes,
        "new": e.new, "new_bytes": e.new_bytes, "reopened": e.reopened, "known": e.known, "changed": e.changed,
        "refused": e.refused, "refused_by_cause": refused, "formats": s.formats, "misnamed": s.misnamed,
        "passed_over": s.passed_over, "troubles": s.trouble_count, "redescribed": e.redescribed,
        "unmatched": s.unmatched, "without_sidecar": s.without_sidecar,
    })
}
