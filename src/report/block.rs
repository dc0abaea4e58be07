//! The six lines that stand at the bottom of a terminal while a run goes on, as text.
//! Drawing and redrawing them is left to the screen.

use std::time::Duration;

use crate::event::Stopping;
use crate::task::{Endpoint, RecordingPath, Timestamp};

use super::look::{Look, Paint};
use super::stats::{Lane, RunStats};
use super::{format, stats};

const LABEL: usize = 11;
const BAR: std::ops::RangeInclusive<usize> = 8..=32;
/// A request older than this is named: an endless wait must not look like work.
const LONG_WAIT: Duration = Duration::from_secs(90);

type Part = Vec<(Paint, String)>;

/// Draws the block: six lines, none wider than `look.width`, without colour unless asked for.
///
/// `name` says how a recording is called (`--log-paths`).
pub fn block(
    stats: &RunStats,
    now: Timestamp,
    look: Look,
    name: &dyn Fn(&RecordingPath) -> String,
) -> String {
    let lines = [
        line("queue", queue(stats), look),
        line("sending", sending(stats, look), look),
        line("slots", slots(stats, now, look, name), look),
        line("speed", speed(stats), look),
        line("left", left(stats, now), look),
        trouble(stats, now, look),
    ];
    lines.join("\n")
}

/// A label and as many parts as fit; the first is cut rather than left out. A part that begins with a space goes on
/// from the one before it.
fn line(label: &str, parts: Vec<Part>, look: Look) -> String {
    let label = format!("{label:<LABEL$}");
    let label = format::head(&label, look.width);
    let mut room = look.width - format::columns(label);
    let mut text = look.paint(Paint::Label, label);
    for (n, part) in parts.into_iter().enumerate() {
        let mut part: Part =
            part.into_iter().map(|(paint, t)| (paint, format::clean(&t).into_owned())).collect();
        if n > 0 && !part.first().is_some_and(|(_, t)| t.starts_with(' ')) {
            part.insert(0, (Paint::Plain, " · ".to_owned()));
        }
        let wide: usize = part.iter().map(|(_, t)| format::columns(t)).sum();
        if wide > room && n > 0 {
            break;
        }
        for (paint, t) in part {
            let t = if format::columns(&t) > room { cut(&t, room) } else { t };
            room -= format::columns(&t).min(room);
            text.push_str(&look.paint(paint, &t));
        }
    }
    text.truncate(text.trim_end().len());
    text
}

fn cut(text: &str, width: usize) -> String {
    if width == 0 {
        return String::new();
    }
    format!("{}…", format::head(text, width - 1))
}

fn plain(text: impl Into<String>) -> Part {
    vec![(Paint::Plain, text.into())]
}

fn queue(stats: &RunStats) -> Vec<Part> {
    let mut total = format::plural(stats.total(), "file", "files");
    if stats.scanning() {
        total = format!("at least {total}, still scanning");
    }
    let mut parts = vec![plain(total), plain(format::bytes(stats.total_bytes()))];
    if stats.refused() > 0 {
        let refused = format!("{} refused before sending", format::count(stats.refused()));
        parts.push(vec![(Paint::Bad, refused)]);
        parts.push(plain(" (see: voxbatch tasks --where cause:refused)"));
    }
    parts
}

fn sending(stats: &RunStats, look: Look) -> Vec<Part> {
    let (done, total) = (stats.done(), stats.total());
    let more = if stats.scanning() { "+" } else { "" };
    let mut text = format!("{}/{}{more} files", format::count(done), format::count(total));
    if !stats.scanning() {
        text = format!("{text}   {:>5}", format::percent(done, total));
    }
    let audio = format!("   {} audio", format::audio(stats.audio_ms));
    let room = look.width.saturating_sub(LABEL + 2);
    let with_audio = format!("{text}{audio}");
    if format::columns(&with_audio) + BAR.start() <= room {
        text = with_audio;
    }
    let bar = room.saturating_sub(format::columns(&text)).min(*BAR.end());
    if bar < *BAR.start() {
        return vec![plain(text)];
    }
    let full = (u128::from(done) * bar as u128 / u128::from(total.max(1))) as usize;
    vec![vec![
        (Paint::Good, "█".repeat(full)),
        (Paint::Label, "░".repeat(bar - full)),
        (Paint::Plain, format!("  {text}")),
    ]]
}

fn slots(stats: &RunStats, now: Timestamp, look: Look, name: &dyn Fn(&RecordingPath) -> String) -> Vec<Part> {
    let (busy, ceiling) = (stats.busy(), stats.ceiling());
    // One dot a slot, or a share of twenty.
    let dots = ceiling.min(20) as usize;
    let full = (busy as usize * dots).div_ceil((ceiling as usize).max(1));
    let mut parts = vec![vec![
        (Paint::Good, "●".repeat(full)),
        (Paint::Label, "○".repeat(dots - full)),
        (Paint::Plain, format!("  {busy} of {ceiling} in use")),
    ]];
    let alone = stats.lanes.len() == 1;
    for (&endpoint, lane) in &stats.lanes {
        if let Some(condition) = condition(stats, endpoint, lane, now) {
            let whose = if alone { String::new() } else { format!("{}: ", short(endpoint)) };
            parts.push(vec![(Paint::Wait, format!("{whose}{condition}"))]);
        }
    }
    if let Some(oldest) = stats.oldest().filter(|oldest| now.since(oldest.since) >= LONG_WAIT) {
        let text = format!("no answer for {}: ", format::span(now.since(oldest.since)));
        let file = format::clean(&name(&oldest.about.path)).into_owned();
        let file = format::elide(&file, (look.width / 4).max(8)).into_owned();
        parts.insert(1, vec![(Paint::Wait, text), (Paint::Plain, file)]);
    }
    parts
}

/// What keeps an endpoint from using all its slots, in words.
fn condition(stats: &RunStats, endpoint: Endpoint, lane: &Lane, now: Timestamp) -> Option<String> {
    if stats.halts.iter().any(|halt| halt.scope.covers(endpoint)) {
        return Some("halted".to_owned());
    }
    if let Some((since, failure)) = &lane.outage {
        let lasting = format::span(now.since(*since));
        return Some(format!("{} for {lasting}, one at a time", failure.cause.says()));
    }
    if let Some(until) = lane.paused_until.filter(|&until| until > now) {
        let wait = Duration::from_secs(until.since(now).as_millis().div_ceil(1000) as u64);
        return Some(format!("throttled, goes on in {}", format::span(wait)));
    }
    let held = lane.effective < lane.ceiling;
    held.then(|| format!("{} allowed for now", format::plural(lane.effective.into(), "slot", "slots")))
}

/// An endpoint's name without what all of them share.
fn short(endpoint: Endpoint) -> &'static str {
    endpoint.name().trim_start_matches("velma-2-")
}

fn speed(stats: &RunStats) -> Vec<Part> {
    let Some(rate) = stats.audio_rate() else { return vec![plain("no answer yet")] };
    let mut parts = vec![plain(format!("{rate:.1} h audio per hour"))];
    if let (Some(median), Some(p95)) = (stats.walls.percentile(0.5), stats.walls.percentile(0.95)) {
        parts.push(plain(format!("answers: median {}, p95 {}", format::span(median), format::span(p95))));
    }
    parts
}

fn left(stats: &RunStats, now: Timestamp) -> Vec<Part> {
    let eta = stats.eta();
    let mut parts = Vec::new();
    parts.push(plain(match eta {
        Some(eta) if eta.at_least => format!("at least {}", format::span(eta.low)),
        Some(eta) => match (format::span(eta.low), format::span(eta.high)) {
            (low, high) if low == high => format!("about {low}"),
            (low, high) => format!("{low} – {high}"),
        },
        None if stats.left() == 0 && stats.watching => "nothing; watching for new files".to_owned(),
        None if stats.left() == 0 => "nothing".to_owned(),
        None if !stats.halts.is_empty() => "stands still".to_owned(),
        None if stats.draining.is_some() => {
            format!("{} for a later run", format::plural(stats.left(), "file", "files"))
        }
        None => "too early to tell".to_owned(),
    }));
    if let Some(until) = stats.deadline.filter(|_| stats.draining.is_none() && stats.left() > 0) {
        let room = until.since(now);
        // Also the good end of the range lies behind it: something will be left.
        let short = eta.is_some_and(|eta| eta.low > room);
        let paint = if short { Paint::Bad } else { Paint::Plain };
        parts.push(vec![(paint, format!("deadline in {}", format::span(room)))]);
    }
    if let Some((endpoint, budget, used, gone_in)) = stats.tightest_budget() {
        let whose = if stats.lanes.len() == 1 { String::new() } else { format!("{} ", short(endpoint)) };
        let hours = format::hours(used);
        let hours = hours.trim_end_matches(" h");
        parts.push(plain(format!("{whose}budget {hours} of {}", format::hours(budget.limit_ms))));
        if let Some(gone_in) = gone_in.filter(|&gone_in| eta.is_some_and(|eta| gone_in < eta.high)) {
            parts.push(vec![(Paint::Bad, format!(" – will stop in about {}", format::span(gone_in)))]);
        }
    }
    parts
}

fn trouble(stats: &RunStats, now: Timestamp, look: Look) -> String {
    if let Some(drain) = stats.draining {
        let flying = format::plural(stats.busy().into(), "request", "requests");
        let text = if drain.aborting {
            format!("dropping {flying} in flight")
        } else {
            let grace = drain.grace.saturating_sub(now.since(drain.since));
            let why = match drain.why {
                Stopping::Deadline => "the deadline has come: ",
                Stopping::Signal | Stopping::Trouble => "",
            };
            format!("{why}{flying} in flight, up to {} more", format::span(grace))
        };
        let again = if drain.why == Stopping::Signal { "again" } else { "twice" };
        let hint = plain(format!("Ctrl-C {again} drops them (they may still be billed)"));
        let hints = if drain.aborting { vec![] } else { vec![hint] };
        return line("stopping", [vec![vec![(Paint::Wait, text)]], hints].concat(), look);
    }
    let mut parts: Vec<Part> = Vec::new();
    for halt in &stats.halts {
        parts.push(vec![(Paint::Bad, format!("halted {}: {}", halt.scope, halt.reason.says()))]);
    }
    if !stats.halts.is_empty() {
        parts.push(plain("voxbatch halts"));
    }
    if stats.failed() > 0 {
        parts.push(vec![(Paint::Bad, format!("{} failed", format::count(stats.failed())))]);
    }
    let repeated = stats.repeated_by();
    if !repeated.is_empty() {
        let causes: Vec<String> =
            repeated.iter().take(3).map(|(cause, n)| format!("{cause} {}", format::count(*n))).collect();
        let all: u64 = stats::sum(&stats.retried_by).saturating_add(stats::sum(&stats.snoozed_by));
        let more = if repeated.len() > 3 { ", …" } else { "" };
        parts.push(plain(format!("{} tried again", format::count(all))));
        parts.push(plain(format!(" ({}{more})", causes.join(", "))));
    }
    if parts.is_empty() {
        parts.push(plain("none"));
    }
    let hint = match stats.busy() {
        0 => "Ctrl-C: stop".to_owned(),
        busy => format!("Ctrl-C: finish {busy}, then stop"),
    };
    parts.push(plain(hint));
    line("trouble", parts, look)
}

#[cfg(test)]
#[path = "block_tests.rs"]
mod tests;
