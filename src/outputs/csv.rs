//! CSV: RFC 4180, CRLF, a header, fixed columns, safe against formulas. Each column stands beside what fills it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io;

use serde_json::Value;

use super::OutputSettings;
use super::record::Record;
use super::transcript::{Transcript, Utterance};
use crate::task::{Answers, Suspicion};

/// One cell. Only text can be a formula: a number such as -3 stays a number.
pub(super) enum Cell<'a> {
    Empty,
    Number(String),
    Text(Cow<'a, str>),
}

type Column<T> = (&'static str, T);
type OfRecord = for<'a> fn(&'a Record<'a>) -> Cell<'a>;

/// A table of what a recording has several of. Each row begins with the recording and the number of the item in it.
pub(super) struct Table<T: 'static>(pub(super) &'static [Column<OfItem<T>>]);

/// What fills a column of it.
pub(super) type OfItem<T> = for<'a> fn(&'a Item<'a, T>) -> Cell<'a>;

/// One of several: an utterance, a behavior, a window.
pub(super) struct Item<'a, T> {
    pub(super) transcript: &'a Transcript,
    pub(super) item: &'a T,
}

/// What every row of such a table begins with.
const OF_ITEMS: [&str; 4] = ["job", "task", "path", "index"];

impl<T> Table<T> {
    /// The first line.
    pub(super) fn header(&self, settings: &OutputSettings) -> Vec<u8> {
        names(OF_ITEMS.into_iter().chain(self.0.iter().map(|(name, _)| *name)), settings)
    }

    /// A row for each item; returns how many.
    pub(super) fn rows(
        &self,
        out: &mut Vec<u8>,
        record: &Record<'_>,
        items: &[T],
        settings: &OutputSettings,
    ) -> io::Result<u64> {
        let Some(transcript) = record.transcript else { return Ok(0) };
        let mut writer = writer(out);
        for (index, item) in items.iter().enumerate() {
            let item = Item { transcript, item };
            let first = [text(record.job), number(record.task), text(&record.path.path), number(index)];
            let cells = first.into_iter().chain(self.0.iter().map(|(_, cell)| cell(&item)));
            row(&mut writer, cells.chain(fields(record, settings)), settings)?;
        }
        Ok(items.len() as u64)
    }
}

/// `results.csv`, and exports, where `cause` and `message` tell of what did not succeed.
const RESULTS: &[Column<OfRecord>] = &[
    ("job", |r| text(r.job)),
    ("task", |r| number(r.task)),
    ("path", |r| text(&r.path.path)),
    ("status", |r| text(r.status)),
    ("endpoint", |r| text(r.endpoint)),
    ("attempts", |r| number(r.attempts)),
    ("http_status", |r| maybe_number(r.http_status)),
    ("bytes", |r| number(r.audio.bytes)),
    ("format", |r| maybe_text(r.audio.format)),
    ("mime", |r| maybe_text(r.audio.mime)),
    ("blake3", |r| maybe_text(r.audio.blake3)),
    ("duration_ms", |r| maybe_number(r.duration_ms)),
    ("billed_ms", |r| maybe_number(r.billed_ms)),
    ("measured_ms", |r| maybe_number(r.measured_ms)),
    ("duration_method", |r| maybe_text(r.duration_method)),
    ("languages", languages),
    ("speakers", speakers),
    ("utterances", |r| maybe_number(utterances_of(r).map(<[_]>::len))),
    ("text", |r| maybe_text(r.text)),
    ("frames", |r| maybe_number(frames_of(r).map(<[_]>::len))),
    ("synthetic_frames", |r| maybe_number(verdicts_of(r).map(|f| synthetic(f).count()))),
    ("max_synthetic_confidence", |r| {
        maybe_number(verdicts_of(r).and_then(|f| synthetic(f).filter_map(|u| u.confidence).reduce(f64::max)))
    }),
    ("label", |r| maybe_text(found(r).and_then(|t| t.label.as_deref()))),
    ("confidence", |r| maybe_number(found(r).and_then(|t| t.confidence))),
    ("music_pct", |r| maybe_number(found(r).and_then(|t| t.music.music))),
    ("speech_pct", |r| maybe_number(found(r).and_then(|t| t.music.speech))),
    ("ai_vocal", |r| maybe_number(found(r).and_then(|t| t.music.ai_vocal))),
    ("ai_instrumental", |r| maybe_number(found(r).and_then(|t| t.music.ai_instrumental))),
    ("conversation_type", |r| {
        maybe_text(found(r).and_then(|t| t.conversation_type.as_ref()?.name.as_deref()))
    }),
    ("behaviors", |r| {
        let detected = found(r).map(|t| t.behaviors.iter().filter(|b| b.detected));
        listed(detected.into_iter().flatten().filter_map(|b| b.name.as_deref()))
    }),
    ("topics", |r| listed(found(r).into_iter().flat_map(|t| &t.topics).map(String::as_str))),
    ("summary", |r| maybe_text(found(r).and_then(|t| t.summary.as_deref()))),
    ("redacted_audio", |r| maybe_text(r.redacted_audio.as_ref().map(|audio| &*audio.path.path))),
    ("started_at", |r| maybe_text(r.started_at.as_deref())),
    ("finished_at", |r| maybe_text(r.finished_at.as_deref())),
    ("cause", |r| maybe_text(r.error.as_ref().map(|e| e.cause))),
    ("message", |r| maybe_text(r.error.as_ref().map(|e| e.message))),
    ("purged_at", |r| maybe_text(r.purged_at.as_deref())),
    ("audio_purged_at", |r| {
        maybe_text(r.redacted_audio.as_ref().and_then(|audio| audio.purged_at.as_deref()))
    }),
    ("reused_from", |r| maybe_number(r.reused_from)),
    ("suspect", |r| odd(r, " ", |one| one.kind.word())),
    ("suspect_evidence", |r| odd(r, "; ", |one| &one.evidence)),
];

/// `failures.csv`.
const FAILURES: &[Column<OfRecord>] = &[
    ("job", |r| text(r.job)),
    ("task", |r| number(r.task)),
    ("path", |r| text(&r.path.path)),
    ("endpoint", |r| text(r.endpoint)),
    ("cause", |r| maybe_text(r.error.as_ref().map(|e| e.cause))),
    ("http_status", |r| maybe_number(r.http_status)),
    ("attempts", |r| number(r.attempts)),
    ("billed", |r| maybe_text(r.error.as_ref().map(|e| e.billed))),
    ("message", |r| maybe_text(r.error.as_ref().map(|e| e.message))),
    ("bytes", |r| number(r.audio.bytes)),
    ("measured_ms", |r| maybe_number(r.measured_ms)),
    ("finished_at", |r| maybe_text(r.finished_at.as_deref())),
];

/// `utterances.csv`; frames of voice detection are rows of it too, with a verdict and no text, and so are the windows
/// of emotion and accent.
const UTTERANCES: Table<Utterance> = Table(&[
    ("start_ms", |of| number(of.item.start_ms)),
    ("end_ms", |of| number(of.item.end_ms)),
    ("speaker", |of| maybe_text(of.item.speaker.as_deref())),
    ("language", |of| maybe_text(of.item.language.as_deref())),
    ("emotion", |of| maybe_text(of.item.emotion.as_deref())),
    ("accent", |of| maybe_text(of.item.accent.as_deref())),
    ("deepfake_score", |of| maybe_number(of.item.deepfake_score)),
    ("verdict", |of| maybe_text(of.item.verdict.as_deref())),
    ("confidence", |of| maybe_number(of.item.confidence)),
    ("text", |of| maybe_text(of.item.text.as_deref())),
]);

/// The header of `results.csv`.
pub(super) fn results_header(settings: &OutputSettings) -> Vec<u8> {
    names(RESULTS.iter().map(|(name, _)| *name), settings)
}

/// The header of `failures.csv`.
pub(super) fn failures_header(settings: &OutputSettings) -> Vec<u8> {
    names(FAILURES.iter().map(|(name, _)| *name), settings)
}

/// The header of `utterances.csv`.
pub(super) fn utterances_header(settings: &OutputSettings) -> Vec<u8> {
    UTTERANCES.header(settings)
}

/// A row of `results.csv`.
pub(super) fn result(out: &mut Vec<u8>, record: &Record<'_>, settings: &OutputSettings) -> io::Result<()> {
    let cells = RESULTS.iter().map(|(_, cell)| cell(record));
    row(&mut writer(out), cells.chain(fields(record, settings)), settings)
}

/// A row of `failures.csv`.
pub(super) fn failure(out: &mut Vec<u8>, record: &Record<'_>, settings: &OutputSettings) -> io::Result<()> {
    let cells = FAILURES.iter().map(|(_, cell)| cell(record));
    row(&mut writer(out), cells.chain(fields(record, settings)), settings)
}

/// The rows of `utterances.csv`; returns how many.
pub(super) fn utterances(
    out: &mut Vec<u8>,
    record: &Record<'_>,
    settings: &OutputSettings,
) -> io::Result<u64> {
    UTTERANCES.rows(out, record, record.transcript.map_or(&[], |t| &t.utterances), settings)
}

fn names(names: impl Iterator<Item = &'static str>, settings: &OutputSettings) -> Vec<u8> {
    let names = names.map(str::to_owned);
    let names = names.chain(settings.fields.iter().map(|field| format!("meta_{}", field.replace('\0', ""))));
    let mut out = if settings.csv_bom { "\u{FEFF}".as_bytes().to_vec() } else { Vec::new() };
    // Memory takes everything.
    let _ = row(&mut writer(&mut out), names.map(|name| Cell::Text(name.into())), settings);
    out
}

/// What a recording comes with, in the columns behind the others. A number stays one.
fn fields<'a>(record: &'a Record<'_>, settings: &'a OutputSettings) -> impl Iterator<Item = Cell<'a>> {
    settings.fields.iter().map(|name| match record.metadata.get(name) {
        None | Some(Value::Null) => Cell::Empty,
        Some(Value::String(said)) => text(said),
        Some(Value::Number(number)) => Cell::Number(number.to_string()),
        Some(other) => Cell::Text(other.to_string().into()),
    })
}

fn writer(out: &mut Vec<u8>) -> csv::Writer<&mut Vec<u8>> {
    csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out)
}

fn row<'a>(
    writer: &mut csv::Writer<&mut Vec<u8>>,
    cells: impl Iterator<Item = Cell<'a>>,
    settings: &OutputSettings,
) -> io::Result<()> {
    for cell in cells {
        let field = match cell {
            Cell::Empty => Cow::Borrowed(""),
            Cell::Number(digits) => Cow::Owned(digits),
            Cell::Text(text) => harmless(text, settings.csv_safe),
        };
        writer.write_field(field.as_bytes())?;
    }
    writer.write_record(None::<&[u8]>)?;
    writer.flush()
}

/// A text cell that breaks no reader (NUL does) and, when `safe`, runs in no spreadsheet. Quoting alone does not
/// stop a formula: quotes are gone when the spreadsheet looks. File names and spoken words are anybody's.
fn harmless(text: Cow<'_, str>, safe: bool) -> Cow<'_, str> {
    let text = if text.contains('\0') { Cow::Owned(text.replace('\0', "")) } else { text };
    if safe && text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        Cow::Owned(format!("'{text}"))
    } else {
        text
    }
}

pub(super) fn text(text: &str) -> Cell<'_> {
    Cell::Text(Cow::Borrowed(text))
}

pub(super) fn maybe_text(value: Option<&str>) -> Cell<'_> {
    value.map_or(Cell::Empty, text)
}

pub(super) fn number<'a>(number: impl ToString) -> Cell<'a> {
    Cell::Number(number.to_string())
}

pub(super) fn maybe_number<'a>(value: Option<impl ToString>) -> Cell<'a> {
    value.map_or(Cell::Empty, number)
}

/// Several in one cell.
pub(super) fn listed<'a>(texts: impl Iterator<Item = &'a str>) -> Cell<'a> {
    let texts: Vec<&str> = texts.collect();
    if texts.is_empty() { Cell::Empty } else { Cell::Text(texts.join("; ").into()) }
}

/// What was found, if the answer is there.
fn found<'a>(record: &'a Record<'a>) -> Option<&'a Transcript> {
    record.transcript
}

/// What was spoken, unless the model hears no words.
fn utterances_of<'a>(record: &'a Record<'a>) -> Option<&'a [Utterance]> {
    let words = !matches!(record.model.answers(), Answers::Frames | Answers::Label);
    record.transcript.filter(|_| words).map(|t| &*t.utterances)
}

/// The frames of voice detection, and the windows of models that label.
fn frames_of<'a>(record: &'a Record<'a>) -> Option<&'a [Utterance]> {
    let frames = matches!(record.model.answers(), Answers::Frames | Answers::Label);
    record.transcript.filter(|_| frames).map(|t| &*t.utterances)
}

/// The frames of voice detection.
fn verdicts_of<'a>(record: &'a Record<'a>) -> Option<&'a [Utterance]> {
    frames_of(record).filter(|_| record.model.answers() == Answers::Frames)
}

fn synthetic(frames: &[Utterance]) -> impl Iterator<Item = &Utterance> {
    frames.iter().filter(|frame| frame.verdict.as_deref() == Some("synthetic"))
}

/// What is odd about it.
fn odd<'a>(record: &'a Record<'a>, between: &str, say: fn(&Suspicion) -> &str) -> Cell<'a> {
    let Some(odd) = record.suspect else { return Cell::Empty };
    Cell::Text(odd.iter().map(say).collect::<Vec<_>>().join(between).into())
}

/// The languages heard, first heard first, with a space between.
fn languages<'a>(record: &'a Record<'a>) -> Cell<'a> {
    let mut heard: Vec<&str> = found(record).and_then(|t| t.language.as_deref()).into_iter().collect();
    for language in utterances_of(record).unwrap_or_default().iter().filter_map(|u| u.language.as_deref()) {
        if !heard.contains(&language) {
            heard.push(language);
        }
    }
    if heard.is_empty() { Cell::Empty } else { Cell::Text(heard.join(" ").into()) }
}

/// How many speakers were told apart.
fn speakers<'a>(record: &'a Record<'a>) -> Cell<'a> {
    maybe_number(
        utterances_of(record)
            .map(|list| list.iter().filter_map(|u| u.speaker.as_deref()).collect::<BTreeSet<_>>().len()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of what a spreadsheet runs, and what must stay as it is.
    const CELLS: [(&str, &str); 14] = [
        ("=1+1", "'=1+1"),
        ("+49 30 901820", "'+49 30 901820"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1+1", "'\t=1+1"),
        ("\r=1+1", "'\r=1+1"),
        ("\0=1+1", "'=1+1"),
        ("\0", ""),
        ("a\0b", "ab"),
        ("a=1", "a=1"),
        (" =1", " =1"),
        ("'=1", "'=1"),
        ("", ""),
        ("2024/05/call.wav", "2024/05/call.wav"),
    ];

    #[test]
    fn a_text_cell_that_would_run_as_a_formula_gets_an_apostrophe_and_no_other_does() {
        for (given, wanted) in CELLS {
            assert_eq!(harmless(given.into(), true), wanted, "{given:?}");
        }
    }

    #[test]
    fn without_safety_only_nul_is_taken_out() {
        for (given, _) in CELLS {
            assert_eq!(harmless(given.into(), false), given.replace('\0', ""), "{given:?}");
        }
    }

    #[test]
    fn numbers_stay_numbers_and_text_is_quoted_where_rfc_4180_says() {
        let mut out = Vec::new();
        let cells = [number(-3), number(0.05), Cell::Empty, text("a,\"b\"\r\nc"), text("-3")];
        row(&mut writer(&mut out), cells.into_iter(), &OutputSettings::default()).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "-3,0.05,,\"a,\"\"b\"\"\r\nc\",'-3\r\n");
    }

    #[test]
    fn column_names_are_plain_words_and_none_comes_twice() {
        let results = RESULTS.iter().map(|c| c.0).collect::<Vec<_>>();
        let failures = FAILURES.iter().map(|c| c.0).collect();
        let utterances = OF_ITEMS.into_iter().chain(UTTERANCES.0.iter().map(|c| c.0)).collect();
        for names in [results, failures, utterances] {
            assert!(names.iter().all(|n| n.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())));
            assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        }
    }

    #[test]
    fn a_byte_order_mark_comes_first_and_only_when_wanted() {
        let plain = OutputSettings::default();
        let excel = OutputSettings { csv_bom: true, ..plain.clone() };
        assert!(results_header(&plain).starts_with(b"job,"));
        assert!(results_header(&excel).starts_with(b"\xef\xbb\xbfjob,"));
        assert!(failures_header(&excel).starts_with(b"\xef\xbb\xbfjob,"));
        assert!(utterances_header(&excel).ends_with(b",text\r\n"));
    }
}
