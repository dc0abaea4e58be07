//! A plan as a person reads it in ten seconds, and as a program does.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::reckon::{Cap, End, EndpointPlan, Fates, JobPlan, Plan};
use super::speed::Span;
use crate::command::console::Console;
use crate::command::scan;
use crate::report::{Column, Table, audio, bytes, count, plural, span};
use crate::task::{DurationMethod, Money};

pub(super) fn tell(console: &Console, plan: &Plan) {
    console.say_table(&table(plan));
    for line in lines(plan) {
        console.say(&line);
    }
}

fn table(plan: &Plan) -> Table {
    let mut table = Table::new([
        Column::name("job"),
        Column::left("endpoint"),
        Column::right("to send"),
        Column::right("audio"),
        Column::right("size"),
        Column::right("price"),
        Column::right("slots"),
        Column::right("time"),
        Column::right("refused"),
    ]);
    for job in &plan.jobs {
        let sum = job.to_send();
        table.row([
            job.name.clone(),
            job.endpoint.to_string(),
            count(sum.recordings),
            audio(sum.audio_ms),
            bytes(sum.bytes),
            price(job.cost()),
            plan.endpoint(job).map_or(String::new(), |e| e.limit.concurrent.to_string()),
            time(plan.time_of(job)),
            count(refused(job)),
        ]);
    }
    if plan.jobs.len() > 1 {
        let sum = plan.to_send();
        let all = plan.jobs.iter().map(refused).sum();
        table.row([
            "all".to_owned(),
            String::new(),
            count(sum.recordings),
            audio(sum.audio_ms),
            bytes(sum.bytes),
            price(plan.cost()),
            String::new(),
            time(plan.time()),
            count(all),
        ]);
    }
    table
}

/// Found and not sent, whenever that was found out.
fn refused(job: &JobPlan) -> u64 {
    job.scanned.refused.values().sum()
}

fn price(cost: Option<Money>) -> String {
    cost.map_or("not known".to_owned(), |cost| cost.to_string())
}

/// The two ends, or one where they look the same.
fn time(Span { low, high }: Span) -> String {
    let (low, high) = (span(low), span(high));
    if low == high { low } else { format!("{low} to {high}") }
}

fn lines(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    for job in &plan.jobs {
        let of_job = scan::found_lines(&job.scanned).into_iter().chain(of_files(job));
        lines.extend(of_job.map(|line| format!("{}: {line}", job.name)));
    }
    for e in plan.endpoints.iter() {
        lines.extend(of_endpoint(plan, e));
    }
    if let Some(left) = &plan.budget {
        let mut parts = Vec::new();
        if let (Some(all), Some(left)) = (left.limit.audio_ms, left.audio_ms) {
            parts.push(format!("{} of {}", audio(left), audio(all)));
        }
        if let (Some(all), Some(left)) = (left.limit.cost, left.cost) {
            parts.push(format!("{left} of {all}"));
        }
        lines.push(format!("budget: {} left", parts.join(" and ")));
    }
    let ends = plan.ends();
    lines.extend(ends.iter().map(of_end));
    let learned = plan.endpoints.iter().filter(|e| e.speed.is_learned).count();
    lines.push(match (learned, plan.endpoints.len()) {
        (0, _) => "time: by published figures, until there are results of its own".to_owned(),
        (some, all) if some == all => "time: by its own results so far".to_owned(),
        _ => "time: by its own results where there are any, else by published figures".to_owned(),
    });
    lines
        .push(format!("price: in US dollars as of {}; [prices] in jobs.toml replaces it", plan.prices_as_of));
    let to_send = plan.to_send().recordings;
    if to_send > 0 && ends.first().is_none_or(|end| end.before.recordings > 0) {
        lines.push("next: voxbatch run --limit 3    tries three; voxbatch run    sends all".to_owned());
    }
    lines
}

fn of_files(job: &JobPlan) -> Vec<String> {
    let mut lines = Vec::new();
    let Fates { as_is, reencoded, split, refused } = &job.fates;
    let told = |what: &str, by: &BTreeMap<String, u64>| -> Vec<String> {
        by.iter().map(|(why, n)| format!("{} {what} ({why})", count(*n))).collect()
    };
    let changed = [told("encoded anew", reencoded), told("split", split), told("refused", refused)].concat();
    if !changed.is_empty() {
        lines.push(format!("{} go as they are, {}", count(*as_is), changed.join(", ")));
    }
    let (recordings, requests) = (job.to_send().recordings, job.requests());
    if requests > recordings {
        let recordings = plural(recordings, "recording goes", "recordings go");
        lines.push(format!(
            "{recordings} out in {} requests, about: pieces, and channels apart",
            count(requests)
        ));
    }
    let unknown = job.unknown_channels();
    if unknown > 0 {
        let files = plural(unknown, "recording", "recordings");
        lines.push(format!("at least: of {files} the number of channels shows only when they are decoded"));
    }
    let guessed = job.lengths().remove(&DurationMethod::Estimated).unwrap_or(0);
    if guessed > 0 {
        let files = plural(guessed, "length is", "lengths are");
        lines.push(format!(
            "{files} guessed from the size: nothing in the file tells, or it could not be read"
        ));
    }
    let twins = job.twins();
    if twins.recordings > 0 {
        let files = plural(twins.recordings, "recording repeats", "recordings repeat");
        let billed = if job.pays_once { "taken over at no cost" } else { "billed again for each" };
        lines.push(format!("{files} the content of another: {}, {billed}", audio(twins.audio_ms)));
    }
    for option in &job.rate.unpriced {
        lines.push(format!("{option} costs extra, and its price is not known: set it under [prices]"));
    }
    lines
}

/// The month, where there is a cap.
fn of_endpoint(plan: &Plan, e: &EndpointPlan) -> Option<String> {
    let cap = e.limit.monthly_ms?;
    Some(format!(
        "{}: {} of {} used in {}, {} left",
        e.endpoint,
        audio(e.used_ms(plan.month)),
        audio(cap),
        plan.month,
        audio(e.left_ms(plan.month)?)
    ))
}

fn of_end(end: &End) -> String {
    let End { cap, before, of, at } = end;
    let what = match cap {
        Cap::Month(endpoint) => format!("the month's hours of {endpoint} end it"),
        Cap::Hours => "the budget in hours ends it".to_owned(),
        Cap::Cost => "the budget in money ends it".to_owned(),
    };
    format!(
        "{what} after {} of {} recordings, {}; the first that is left is {at}",
        count(before.recordings),
        count(*of),
        audio(before.audio_ms)
    )
}

/// For programs.
pub(super) fn as_object(plan: &Plan) -> Value {
    let jobs: Vec<Value> = plan.jobs.iter().map(|job| of_job(plan, job)).collect();
    let endpoints: Vec<Value> = plan
        .endpoints
        .iter()
        .map(|e| {
            json!({
                "endpoint": e.endpoint.name(), "slots": e.limit.concurrent, "month": plan.month.to_string(),
                "used_ms": e.used_ms(plan.month), "cap_ms": e.limit.monthly_ms, "left_ms": e.left_ms(plan.month),
                "speed": if e.speed.is_learned { "learned" } else { "published" },
            })
        })
        .collect();
    let ends: Vec<Value> = plan
        .ends()
        .iter()
        .map(|end| {
            let (cap, endpoint) = match end.cap {
                Cap::Month(endpoint) => ("month", Some(endpoint.name())),
                Cap::Hours => ("budget_hours", None),
                Cap::Cost => ("budget_cost", None),
            };
            json!({
                "by": cap, "endpoint": endpoint, "after_recordings": end.before.recordings, "of": end.of,
                "after_ms": end.before.audio_ms, "first_left": end.at.to_string(),
            })
        })
        .collect();
    let sum = plan.to_send();
    json!({
        "v": 1, "dry_run": true, "jobs": jobs, "endpoints": endpoints, "ends": ends,
        "to_send": sum.recordings, "audio_ms": sum.audio_ms, "billed_ms": plan.billed_ms(), "bytes": sum.bytes,
        "price_usd": plan.cost().map(Money::dollars), "prices_as_of": plan.prices_as_of,
        "time_s": in_seconds(plan.time()),
        "budget": plan.budget.map(|b| json!({
            "hours_left_ms": b.audio_ms, "cost_left_usd": b.cost.map(Money::dollars),
        })),
    })
}

fn of_job(plan: &Plan, job: &JobPlan) -> Value {
    let sum = job.to_send();
    let lengths: BTreeMap<&str, u64> = job.lengths().into_iter().map(|(m, n)| (m.word(), n)).collect();
    let Fates { as_is, reencoded, split, refused } = &job.fates;
    let more = json!({
        "to_send": sum.recordings, "requests": job.requests(), "unknown_channels": job.unknown_channels(),
        "to_send_bytes": sum.bytes, "audio_ms": sum.audio_ms, "billed_ms": job.billed_ms(),
        "price_usd": job.cost().map(Money::dollars), "price_per_hour_usd": job.rate.per_hour.map(Money::dollars),
        "unpriced_options": job.rate.unpriced, "time_s": in_seconds(plan.time_of(job)), "lengths": lengths,
        "as_is": as_is, "reencoded": reencoded, "split": split, "refused_by_preparing": refused,
        "duplicates": { "recordings": job.twins().recordings, "audio_ms": job.twins().audio_ms, "bytes": job.twins().bytes },
    });
    let mut told = scan::as_object(&job.name, job.endpoint, &job.scanned);
    if let (Some(told), Value::Object(more)) = (told.as_object_mut(), more) {
        told.extend(more);
    }
    told
}

fn in_seconds(Span { low, high }: Span) -> Value {
    json!({ "low": low.as_secs_f64(), "high": high.as_secs_f64() })
}
