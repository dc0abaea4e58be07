//! What stands in the columns of the two tables. Whoever changes them raises the layout.

use std::borrow::Cow;

use arrow_schema::{DataType, TimeUnit};
use serde_json::Value;

use super::super::record::Record;
use super::super::transcript::Utterance;

/// What a row has in a column.
pub(super) enum Cell<'a> {
    Text(Option<Cow<'a, str>>),
    Int(Option<i64>),
    Float(Option<f64>),
    Time(Option<&'a str>),
}

type OfRecord = for<'a> fn(&'a Record<'a>) -> Cell<'a>;
type OfUtterance = for<'a> fn(&'a Utterance) -> Cell<'a>;

pub(super) const RECORDINGS: &[(&str, DataType, OfRecord)] = &[
    ("job", DataType::Utf8, |r| text(Some(r.job))),
    ("task", DataType::Int64, |r| Cell::Int(Some(r.task))),
    ("path", DataType::Utf8, |r| text(Some(&r.path.path))),
    ("endpoint", DataType::Utf8, |r| text(Some(r.endpoint))),
    ("status", DataType::Utf8, |r| text(Some(r.status))),
    ("attempts", DataType::Int64, |r| int(Some(r.attempts))),
    ("http_status", DataType::Int64, |r| int(r.http_status)),
    ("bytes", DataType::Int64, |r| whole(Some(r.audio.bytes))),
    ("format", DataType::Utf8, |r| text(r.audio.format)),
    ("mime", DataType::Utf8, |r| text(r.audio.mime)),
    ("blake3", DataType::Utf8, |r| text(r.audio.blake3)),
    ("duration_ms", DataType::Int64, |r| whole(r.duration_ms)),
    ("measured_ms", DataType::Int64, |r| whole(r.measured_ms)),
    ("billed_ms", DataType::Int64, |r| whole(r.billed_ms)),
    ("text", DataType::Utf8, |r| text(r.text)),
    ("utterances", DataType::Int64, |r| whole(r.transcript.map(|t| t.utterances.len() as u64))),
    ("redacted_audio", DataType::Utf8, |r| text(r.redacted_audio.as_ref().map(|audio| &*audio.path.path))),
    ("reused_from", DataType::Int64, |r| Cell::Int(r.reused_from)),
    ("suspect", DataType::Utf8, |r| {
        let kinds = r.suspect.map(|odd| odd.iter().map(|one| one.kind.word()).collect::<Vec<_>>().join(" "));
        Cell::Text(kinds.map(Cow::Owned))
    }),
    ("suspect_evidence", DataType::Utf8, |r| {
        let said = r.suspect.map(|odd| odd.iter().map(|one| &*one.evidence).collect::<Vec<_>>().join("; "));
        Cell::Text(said.map(Cow::Owned))
    }),
    ("cause", DataType::Utf8, |r| text(r.error.as_ref().map(|e| e.cause))),
    ("message", DataType::Utf8, |r| text(r.error.as_ref().map(|e| e.message))),
    ("started_at", TIME, |r| Cell::Time(r.started_at.as_deref())),
    ("finished_at", TIME, |r| Cell::Time(r.finished_at.as_deref())),
    ("purged_at", TIME, |r| Cell::Time(r.purged_at.as_deref())),
];

/// Behind `job`, `task`, `path` and `index` of each.
pub(super) const UTTERANCES: &[(&str, DataType, OfUtterance)] = &[
    ("start_ms", DataType::Int64, |u| whole(Some(u.start_ms))),
    ("end_ms", DataType::Int64, |u| whole(Some(u.end_ms))),
    ("speaker", DataType::Utf8, |u| text(u.speaker.as_deref())),
    ("language", DataType::Utf8, |u| text(u.language.as_deref())),
    ("emotion", DataType::Utf8, |u| text(u.emotion.as_deref())),
    ("accent", DataType::Utf8, |u| text(u.accent.as_deref())),
    ("deepfake_score", DataType::Float64, |u| Cell::Float(u.deepfake_score)),
    ("verdict", DataType::Utf8, |u| text(u.verdict.as_deref())),
    ("confidence", DataType::Float64, |u| Cell::Float(u.confidence)),
    ("text", DataType::Utf8, |u| text(u.text.as_deref())),
];

/// Moments in UTC; the zone is said by the schema.
const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

pub(super) fn text(said: Option<&str>) -> Cell<'_> {
    Cell::Text(said.map(Cow::Borrowed))
}

fn int<'a>(number: Option<impl Into<i64>>) -> Cell<'a> {
    Cell::Int(number.map(Into::into))
}

pub(super) fn whole<'a>(number: Option<u64>) -> Cell<'a> {
    Cell::Int(number.map(|n| i64::try_from(n).unwrap_or(i64::MAX)))
}

pub(super) fn metadata<'a>(record: &'a Record<'_>, fields: &'a [String]) -> impl Iterator<Item = Cell<'a>> {
    fields.iter().map(|name| {
        Cell::Text(match record.metadata.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(said)) => Some(Cow::Borrowed(said.as_str())),
            Some(other) => Some(Cow::Owned(other.to_string())),
        })
    })
}
