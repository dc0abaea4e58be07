//! `tasks`, `show` and `explain`: single recordings, read from the queue.

use anyhow::Result;
use serde_json::{Value, json};

use super::console::Console;
use super::context::{Context, now};
use super::exit::Exit;
use super::problem::UsageError;
use crate::config::Overrides;
use crate::queue::{AttemptRow, Halt, PieceRow, ResultRow, TaskRow};
use crate::report::{Column, Table, bytes, plural, span};
use crate::task::{Filter, TaskId, TaskState};

/// List recordings
#[derive(Debug, clap::Args)]
pub(super) struct TasksArgs {
    /// Which, such as 'state:failed cause:timeout path:2024/* job:archive since:2h'
    #[arg(long = "where", value_name = "FILTER", default_value = "")]
    pub(super) filter: String,
    /// At most this many; 0: all
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(super) limit: u64,
    /// As JSON Lines
    #[arg(long)]
    pub(super) json: bool,
}

/// Show one recording: where it stands, its attempts, its answer
#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// Its number, as `tasks` lists it
    pub(super) task: i64,
    /// As one JSON object, with the whole answer
    #[arg(long)]
    pub(super) json: bool,
}

/// Say why a recording is not being sent right now, and what happens next
#[derive(Debug, clap::Args)]
pub(super) struct ExplainArgs {
    /// Its number, as `tasks` lists it
    pub(super) task: i64,
}

const PAGE: u32 = 500;

/// Runs `tasks`.
pub(super) async fn tasks(args: &TasksArgs, overrides: &Overrides, console: &Console) -> Result<Exit> {
    let filter = Filter::parse(&args.filter)?;
    let context = Context::open(overrides).await?;
    let mut after = None;
    let mut left = if args.limit == 0 { u64::MAX } else { args.limit };
    let mut shown = 0;
    let more = loop {
        let page = u32::try_from(left.min(u64::from(PAGE))).unwrap_or(PAGE);
        let rows = context.store.tasks(filter.clone(), after, page.max(1), now()).await?;
        if rows.is_empty() || left == 0 {
            break !rows.is_empty();
        }
        after = rows.last().map(|t| t.id);
        left -= rows.len() as u64;
        shown += rows.len() as u64;
        if args.json {
            rows.iter().for_each(|row| console.say(&task_object(row).to_string()));
        } else {
            console.say_table(&table_of(&rows));
        }
    };
    if shown == 0 && !args.json {
        console.note("no recording matches");
    } else if more {
        console.note(&format!("the first {shown}; all: --limit 0"));
    }
    context.store.close().await;
    Ok(Exit::Done)
}

fn table_of(rows: &[TaskRow]) -> Table {
    let mut table = Table::new([
        Column::right("task"),
        Column::left("job"),
        Column::left("state"),
        Column::left("cause"),
        Column::right("tries"),
        Column::right("size"),
        Column::name("path"),
    ]);
    for row in rows {
        table.row([
            row.id.to_string(),
            row.job_name.clone(),
            row.hold.map_or(row.state.to_string(), |hold| format!("{} ({hold})", row.state)),
            row.cause.map(|c| c.to_string()).unwrap_or_default(),
            row.attempts.to_string(),
            bytes(row.size_bytes),
            row.path.to_string(),
        ]);
    }
    table
}

fn task_object(row: &TaskRow) -> Value {
    let mut object = json!({
        "task": row.id.0, "job": row.job_name, "endpoint": row.endpoint.name(), "path": row.path.to_string(),
        "state": row.state.word(), "hold": row.hold.map(|h| h.word()), "run_at": row.run_at.to_string(),
        "bytes": row.size_bytes, "format": row.format, "measured_ms": row.measured.map(|m| m.duration_ms),
        "duration_method": row.measured.map(|m| m.method.word()), "attempts": row.attempts, "throttles": row.throttles,
        "lease_losses": row.lease_losses, "cause": row.cause.map(|c| c.word()), "http_status": row.http_status,
        "message": row.message, "billed": row.billed.map(|b| b.word()), "created_at": row.created_at.to_string(),
        "changed_at": row.changed_at.to_string(), "finished_at": row.finished_at.map(|t| t.to_string()),
    });
    if row.metadata.fields.is_some() {
        object["metadata"] = row.metadata.fields().into();
    }
    if let Some(options) =
        row.metadata.options.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok())
    {
        object["options"] = options;
    }
    if row.path.as_utf8().is_none() {
        use base64::Engine;
        object["path_b64"] = base64::engine::general_purpose::STANDARD.encode(row.path.as_bytes()).into();
    }
    object
}

/// Runs `show`.
pub(super) async fn show(args: &ShowArgs, overrides: &Overrides, console: &Console) -> Result<Exit> {
    let context = Context::open(overrides).await?;
    let row = find(&context, args.task).await?;
    let attempts = context.store.attempts(row.id).await?;
    let result = context.store.result(row.id).await?;
    let pieces = context.store.pieces(row.id).await?;
    context.store.close().await;
    if args.json {
        let mut object = task_object(&row);
        object["pieces"] = pieces.iter().map(piece_object).collect();
        object["tries"] = attempts.iter().map(attempt_object).collect();
        object["result"] = result.as_ref().map_or(Value::Null, result_object);
        console.say(&object.to_string());
    } else {
        for line in show_lines(&row, &attempts, result.as_ref()).into_iter().chain(progress(&row, &pieces)) {
            console.say(&line);
        }
    }
    Ok(Exit::Done)
}

async fn find(context: &Context, id: i64) -> Result<TaskRow> {
    let row = context.store.task(TaskId(id)).await?;
    Ok(row.ok_or_else(|| {
        UsageError::new(format!("there is no task {id}")).mend("voxbatch tasks", "lists those that there are")
    })?)
}

fn show_lines(row: &TaskRow, attempts: &[AttemptRow], result: Option<&ResultRow>) -> Vec<String> {
    let format = row.format.as_deref().unwrap_or("unknown format");
    let mut lines = vec![
        format!("task {}  {}", row.id, row.path),
        format!("job {}, endpoint {}, {}, {format}", row.job_name, row.endpoint, bytes(row.size_bytes)),
        format!("{}, {}", row.state, plural(u64::from(row.attempts), "counted try", "counted tries")),
    ];
    if let Some(fields) = &row.metadata.fields {
        lines.push(format!("metadata: {}", crate::report::clean(fields)));
    }
    if let Some(options) = &row.metadata.options {
        lines.push(format!("options of its own: {}", crate::report::clean(options)));
    }
    if let (Some(cause), Some(message)) = (row.cause, &row.message) {
        lines.push(format!("last trouble: {}: {}", cause.says(), crate::report::clean(message)));
    }
    if let Some(r) = result {
        let length = r.duration_ms.map_or("unknown length".to_owned(), crate::report::audio);
        lines.push(format!(
            "answer: HTTP {}, {length}, sent as {} (BLAKE3 {})",
            r.http_status, r.audio.mime, r.audio.blake3
        ));
        for odd in &r.suspicions {
            lines.push(format!("suspect: {}: {}", odd.kind, odd.evidence));
        }
        if let Some(from) = r.reused_from {
            lines.push(format!(
                "the answer of task {from}, which has the same content; nothing was sent or billed for it"
            ));
        }
        if let Some(audio) = &r.redacted_audio {
            let purged = r.audio_purged_at.map_or(String::new(), |at| format!(", purged at {at}"));
            lines.push(format!(
                "redacted audio: {} ({}, SHA-256 {}){purged}",
                audio.path,
                bytes(audio.bytes),
                audio.sha256
            ));
        }
        lines.push(match r.purged_at {
            Some(at) => format!("its answer was purged at {at}; the recording counts as done"),
            None => format!("the whole answer: voxbatch show {} --json", row.id),
        });
    }
    for a in attempts {
        let mut line = format!("{}  {}", a.started_at, a.outcome.as_deref().unwrap_or("running"));
        if let Some(ended) = a.ended_at {
            line += &format!(" after {}", span(ended.since(a.started_at)));
        }
        if let Some(status) = a.http_status {
            line += &format!(", HTTP {status}");
        }
        if let Some(cause) = a.cause {
            line += &format!(", {}", cause.says());
        }
        if let Some(billed) = a.billed {
            line += &format!(", billed: {billed}");
        }
        if let Some(id) = &a.request_id {
            line += &format!(", request {}", crate::report::clean(id));
        }
        if let Some(message) = &a.message {
            line += &format!(": {}", crate::report::clean(message));
        }
        lines.push(line);
    }
    lines
}

/// How far a recording has come that goes out in pieces: those to come are taken for as long as those before.
fn progress(row: &TaskRow, pieces: &[PieceRow]) -> Option<String> {
    let done = pieces.last()?.stretch.own_ms().end;
    let answered = plural(pieces.len() as u64, "piece is", "pieces are");
    let channel = pieces.last()?.stretch.channel;
    if channel > 0 {
        return Some(format!(
            "{answered} answered, up to {} of channel {channel}",
            crate::report::audio(done)
        ));
    }
    let whole = row.measured.map_or(done, |m| m.duration_ms.max(done));
    let about = whole.div_ceil((done / pieces.len() as u64).max(1));
    Some(format!(
        "{answered} answered, up to {} of {}; the next one is piece {} of about {about}",
        crate::report::audio(done),
        crate::report::audio(whole),
        pieces.len() + 1
    ))
}

fn piece_object(piece: &PieceRow) -> Value {
    let own = piece.stretch.own_ms();
    json!({
        "start_ms": own.start, "end_ms": own.end, "duration_ms": piece.duration_ms,
        "billed_ms": piece.billed.audio_ms, "answered_at": piece.answered_at.to_string(),
    })
}

fn attempt_object(a: &AttemptRow) -> Value {
    json!({
        "fence": a.fence.0, "worker": a.worker.0, "started_at": a.started_at.to_string(),
        "ended_at": a.ended_at.map(|t| t.to_string()), "outcome": a.outcome, "cause": a.cause.map(|c| c.word()),
        "http_status": a.http_status, "request_id": a.request_id, "retry_after_ms": a.retry_after_ms,
        "bytes_sent": a.bytes_sent, "billed": a.billed.map(|b| b.word()), "message": a.message,
    })
}

fn result_object(r: &ResultRow) -> Value {
    json!({
        "seq": r.seq, "http_status": r.http_status, "duration_ms": r.duration_ms, "billed_ms": r.billed_ms,
        "audio": { "bytes": r.audio.bytes, "blake3": r.audio.blake3, "format": r.audio.format, "mime": r.audio.mime },
        "reused_from": r.reused_from.map(|task| task.0), "suspect": r.suspicions,
        "response": serde_json::from_str::<Value>(&r.response).unwrap_or(Value::Null),
        "started_at": r.started_at.to_string(), "finished_at": r.finished_at.to_string(),
        "purged_at": r.purged_at.map(|t| t.to_string()), "audio_purged_at": r.audio_purged_at.map(|t| t.to_string()),
    })
}

/// Runs `explain`.
pub(super) async fn explain(args: &ExplainArgs, overrides: &Overrides, console: &Console) -> Result<Exit> {
    let context = Context::open(overrides).await?;
    let row = find(&context, args.task).await?;
    let limiter = context.store.limiter(row.endpoint).await?;
    let pieces = context.store.pieces(row.id).await?;
    let halts = context.store.halts(true, now()).await?;
    let alive = context.store.workers(5).await?.iter().any(|w| w.alive);
    context.store.close().await;
    console.say(&format!("task {}  {}", row.id, row.path));
    for line in reasons(&row, limiter, &halts, alive).into_iter().chain(progress(&row, &pieces)) {
        console.say(&line);
    }
    Ok(Exit::Done)
}

fn reasons(row: &TaskRow, limiter: crate::queue::LimiterState, halts: &[Halt], alive: bool) -> Vec<String> {
    let at = now();
    let mut lines = Vec::new();
    match row.state {
        TaskState::Succeeded => return vec!["it is done; its answer: voxbatch show".to_owned()],
        TaskState::Running => return vec!["it is being sent right now".to_owned()],
        TaskState::Cancelled => {
            return vec![format!("it was cancelled; to send it: voxbatch retry --where id:{}", row.id)];
        }
        TaskState::Failed => {
            let why = row.cause.map_or("an unknown cause", |c| c.says());
            let words = row.message.as_deref().map(crate::report::clean).unwrap_or_default();
            let refused = row.cause.is_some_and(|c| c.is_refusal());
            let how = if refused { "refused before anything was sent" } else { "failed for good" };
            return vec![
                format!("{how}: {why}: {words}"),
                format!("it is not tried again by itself; to try: voxbatch retry --where id:{}", row.id),
            ];
        }
        TaskState::Queued => {}
    }
    if let Some(hold) = row.hold.filter(|_| row.run_at > at) {
        let why = row.cause.map_or(String::new(), |c| format!(", after: {}", c.says()));
        lines.push(format!(
            "it waits ({hold}{why}) for {} more, until {}",
            span(row.run_at.since(at)),
            row.run_at
        ));
    }
    for halt in halts.iter().filter(|h| h.scope.covers(row.endpoint)) {
        lines.push(format!("halt {}: {} ({})", halt.id, halt.reason.says(), halt.evidence));
    }
    if let Some(until) = limiter.paused_until.filter(|until| *until > at) {
        lines.push(format!("the API asked {} to wait until {until}", row.endpoint));
    }
    if limiter.ceiling > 0 && limiter.busy >= limiter.effective {
        lines.push(format!("all {} slots of {} are in use", limiter.effective, row.endpoint));
    }
    if !alive {
        lines.push("no run is going on; start one with: voxbatch run".to_owned());
    }
    if lines.is_empty() {
        lines.push("nothing holds it: it is sent when its turn comes".to_owned());
    }
    lines
}
