//! `scan`: looks for new recordings and adds them to the queue, measured. Sends nothing.

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
use crate::task::Endpoint;

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

/// Runs the verb.
pub(super) async fn scan(args: &ScanArgs, overrides: &Overrides, console: &Console) -> Result<Exit> {
    let dry = args.dry_run;
    let context = match dry {
        true => Context::open(overrides).await?,
        false => Context::with(super::context::load(overrides)?).await?,
    };
    let mut found = Vec::new();
    let outputs = context.config.jobs.iter().map(|c| c.spec.output.clone());
    let skip = feed::skipped(outputs, &context.all_jobs().await?, &context.config.state_dir);
    let mut progress = console.progress();
    for (config, job) in context.stated(&args.job)? {
        let into = match job {
            Some(job) if !dry => Into::Queue(&*context.store, job.id),
            job => Into::Nowhere(&*context.store, job.map(|j| j.id)),
        };
        let name = &config.spec.name;
        let told = async |sum: &Scanned| {
            progress.tell(&format!("{name}: {} files", count(sum.files)));
            ControlFlow::Continue(())
        };
        let scanned = feed::scan(config, &context.config.media, skip.clone(), into, told).await?;
        if let (false, Some(job)) = (dry, job) {
            Audit::of(&context.config).write(Kind::Scan, of_scan(job.id, &scanned.enqueued)).await?;
            let told = |done| progress.tell(&format!("{name}: {} counted through", count(done)));
            measure::job(&context.store, job, told).await?;
        }
        found.push((name.clone(), config.spec.endpoint, scanned));
    }
    context.store.close().await;
    drop(progress);
    if args.json {
        let jobs: Vec<_> = found.iter().map(|(name, endpoint, s)| as_object(name, *endpoint, s)).collect();
        console.say(&json!({ "v": 1, "dry_run": dry, "jobs": jobs }).to_string());
    } else {
        tell(console, &found, dry);
    }
    Ok(Exit::Done)
}

fn tell(console: &Console, found: &[(String, Endpoint, Scanned)], dry: bool) {
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
        for line in found_lines(s) {
            console.say(&format!("{name}: {line}"));
        }
    }
    if dry {
        console.say("next: voxbatch plan    says what it comes to; voxbatch run --limit 3    tries three");
    }
}

/// What a scan has to say of the files themselves.
pub(super) fn found_lines(s: &Scanned) -> Vec<String> {
    let mut lines = Vec::new();
    let formats: Vec<String> = s.formats.iter().map(|(f, n)| format!("{} {f}", count(*n))).collect();
    if !formats.is_empty() {
        lines.push(format!("formats: {}", formats.join(", ")));
    }
    if s.misnamed > 0 {
        lines.push(format!("{} named for another format than they have; content decides", count(s.misnamed)));
    }
    if !s.refused.is_empty() {
        let causes: Vec<String> =
            s.refused.iter().map(|(c, n)| format!("{} {}", count(*n), c.says())).collect();
        lines.push(format!("refused before sending: {}", causes.join(", ")));
    }
    lines.extend(scan_lines(s));
    lines
}

/// The same for programs.
pub(super) fn as_object(name: &str, endpoint: Endpoint, s: &Scanned) -> serde_json::Value {
    let refused: serde_json::Map<_, _> =
        s.refused.iter().map(|(c, n)| (c.word().to_owned(), (*n).into())).collect();
    let e = &s.enqueued;
    json!({
        "job": name, "endpoint": endpoint.name(), "files": s.files, "bytes": s.bytes,
        "new": e.new, "new_bytes": e.new_bytes, "reopened": e.reopened, "known": e.known, "changed": e.changed,
        "refused": e.refused, "refused_by_cause": refused, "formats": s.formats, "misnamed": s.misnamed,
        "passed_over": s.passed_over, "troubles": s.trouble_count, "redescribed": e.redescribed,
        "unmatched": s.unmatched, "without_sidecar": s.without_sidecar,
    })
}
