//! How records and tables look, and what hostile names and answers do to them.

use std::sync::Arc;

use serde_json::Value;

use super::super::{ExportFormat, OutputSettings, export};
use super::open;
use super::store::{FakeStore, failed, stt};
use crate::queue::{RedactedAudio, ResultRow};
use crate::task::{Cause, Endpoint, Filter, RecordingPath, TaskId, TaskState, Timestamp};

/// One of each kind, with names and words that try to break the tables.
fn results() -> Vec<ResultRow> {
    let hostile = stt(1, 11, "2024/05/=cmd|' /C calc'!A0.wav");
    let redacted = ResultRow {
        endpoint: Endpoint::PiiPhiRedactionBatch,
        response: concat!(
            r#"{"text":"@SUM(1)\r\nMy \"account\", <pii:bank_account></pii:bank_account>.","duration_ms":4100,"#,
            r#""utterances":[{"text":"-1+1","start_ms":0,"end_ms":3900,"speaker":1,"language":"en"}],"#,
            r#""redaction_ranges":[[1850,3300]]}"#,
        )
        .into(),
        redacted_audio: Some(RedactedAudio {
            path: RecordingPath::from_bytes("audio/b.wav.redacted.mp3"),
            bytes: 33_000,
            sha256: "9f86d081".into(),
        }),
        ..stt(2, 12, "b.wav")
    };
    let voices = ResultRow {
        endpoint: Endpoint::SyntheticVoiceDetectionBatch,
        response: concat!(
            r#"{"filename":"c.wav","duration_ms":9300,"frames":["#,
            r#"{"start_time_ms":0,"end_time_ms":4000,"verdict":"non-synthetic","confidence":0.91},"#,
            r#"{"start_time_ms":4000,"end_time_ms":8000,"verdict":"synthetic","confidence":0.87},"#,
            r#"{"start_time_ms":8000,"end_time_ms":9300,"verdict":"no-content","confidence":1.0}]}"#,
        )
        .into(),
        ..stt(3, 13, "c.wav")
    };
    let analysis = ResultRow {
        endpoint: Endpoint::Batch,
        response: concat!(
            r#"{"duration_ms":58200,"clips":[{"clip_uuid":"x","text":"I was charged twice.","start_ms":3100,"#,
            r#""duration_ms":1500,"speaker_label":"Speaker_1","language":"en","emotion":"Frustrated"},"#,
            r#"{"text":"Oh là là.","start_ms":5000,"duration_ms":500,"speaker_label":"Speaker_2","language":"fr"}],"#,
            r#""behaviors":[],"summary":null}"#,
        )
        .into(),
        ..stt(4, 14, "d.wav")
    };
    let mut odd = stt(5, 15, "");
    odd.path = RecordingPath::from_bytes(*b"caf\xe9.wav");
    vec![hostile, redacted, voices, analysis, odd]
}

/// Line ends made visible, so that a snapshot cannot hide them.
fn visible(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).unwrap().replace("\r\n", "␍␊\n").replace('\u{FEFF}', "<BOM>")
}

async fn store() -> Arc<FakeStore> {
    let store = Arc::new(FakeStore::default());
    results().into_iter().for_each(|row| store.add(row));
    let refused =
        crate::queue::TaskRow { http_status: None, attempts: 0, ..failed(22, "e.wav", Cause::Empty) };
    let done = |row: ResultRow| crate::queue::TaskRow {
        state: TaskState::Succeeded,
        cause: None,
        path: row.path,
        ..failed(row.task.0, "", Cause::Empty)
    };
    let mut tasks: Vec<_> = results().into_iter().map(done).collect();
    tasks.extend([failed(21, "+bad.wav", Cause::UnreadableAudio), refused]);
    store.set_tasks(tasks);
    store
}

#[tokio::test]
async fn files_look_as_agreed() {
    let temp = tempfile::tempdir().unwrap();
    let store = store().await;
    open(&store, temp.path()).await.unwrap().finish().await.unwrap();
    for name in ["results.jsonl", "results.csv", "utterances.csv", "failures.jsonl", "failures.csv"] {
        insta::assert_snapshot!(name, visible(&std::fs::read(temp.path().join(name)).unwrap()));
    }
}

#[tokio::test]
async fn a_name_that_is_not_utf8_can_be_had_back_from_its_record() {
    let temp = tempfile::tempdir().unwrap();
    open(&store().await, temp.path()).await.unwrap().finish().await.unwrap();
    let text = std::fs::read_to_string(temp.path().join("results.jsonl")).unwrap();
    let records: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(records[4]["path"], "caf\u{FFFD}.wav");
    assert_eq!(records[4]["path_b64"], "Y2Fm6S53YXY=");
    assert!(records[..4].iter().all(|r| r.get("path_b64").is_none()));
}

#[tokio::test]
async fn an_answer_is_embedded_digit_by_digit_on_one_line() {
    let temp = tempfile::tempdir().unwrap();
    let store = Arc::new(FakeStore::default());
    let response =
        "{\r\n \"n\": 0.10,\n\"big\": 123456789012345678901234567890, \"s\":\"a\\nb\u{2028}\"\n}\n";
    store.add(ResultRow { response: response.into(), ..stt(1, 1, "a.wav") });
    store.add(ResultRow { response: "not\njson".into(), ..stt(2, 2, "b.wav") });
    open(&store, temp.path()).await.unwrap().finish().await.unwrap();
    let text = std::fs::read_to_string(temp.path().join("results.jsonl")).unwrap();
    let lines: Vec<&str> = text.split_terminator('\n').collect();
    assert_eq!(lines.len(), 2);
    assert!(
        lines[0].contains(r#""n": 0.10, "big": 123456789012345678901234567890, "s":"a\nb"#),
        "{}",
        lines[0]
    );
    assert_eq!(serde_json::from_str::<Value>(lines[1]).unwrap()["response"], "not\njson");
}

#[tokio::test]
async fn a_purged_answer_leaves_a_line_that_says_when_and_nothing_of_it() {
    let temp = tempfile::tempdir().unwrap();
    let store = Arc::new(FakeStore::default());
    let [_, redacted, ..] = &results()[..] else { unreachable!() };
    let purged = ResultRow {
        response: "null".into(),
        purged_at: Some(Timestamp(1_800_000_000_000)),
        audio_purged_at: Some(Timestamp(1_800_000_000_000)),
        ..redacted.clone()
    };
    store.add(purged);
    open(&store, temp.path()).await.unwrap().finish().await.unwrap();
    let said = |name| visible(&std::fs::read(temp.path().join(name)).unwrap());
    insta::assert_snapshot!("purged.jsonl", said("results.jsonl"));
    insta::assert_snapshot!("purged.csv", said("results.csv"));
    assert_eq!(said("utterances.csv").lines().count(), 1, "only the header");
}

async fn exported(format: ExportFormat, filter: &str, settings: &OutputSettings) -> (u64, String) {
    let mut out = Vec::new();
    let filter = Filter::parse(filter).unwrap();
    let lines = export(&*store().await, format, filter, settings, Timestamp(0), &mut out).await.unwrap();
    (lines, visible(&out))
}

#[tokio::test]
async fn an_export_holds_what_the_filter_picks() {
    let settings = OutputSettings::default();
    let (lines, jsonl) = exported(ExportFormat::Jsonl, "", &settings).await;
    assert_eq!((lines, jsonl.lines().count()), (7, 7));
    let status = |line: &str| serde_json::from_str::<Value>(line).unwrap()["status"].clone();
    assert!(jsonl.lines().take(5).all(|l| status(l) == "succeeded"));
    assert!(jsonl.lines().skip(5).all(|l| status(l) == "failed"));

    let (lines, table) = exported(ExportFormat::Csv, "state:failed", &settings).await;
    assert_eq!(lines, 2);
    insta::assert_snapshot!("export_failed.csv", table);
    assert_eq!(exported(ExportFormat::Utterances, "state:failed", &settings).await.0, 0);
    assert_eq!(exported(ExportFormat::Utterances, "", &settings).await.0, 2 + 1 + 3 + 2 + 2);
}

#[tokio::test]
async fn an_export_for_machines_leaves_cells_as_they_are() {
    let machine = OutputSettings { csv_bom: true, csv_safe: false, ..Default::default() };
    let (_, table) = exported(ExportFormat::Csv, "state:failed", &machine).await;
    assert!(table.starts_with("<BOM>job,") && table.contains(",+bad.wav,"), "{table}");
}

#[tokio::test]
async fn an_export_into_a_closed_pipe_says_so() {
    struct Closed;
    impl std::io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let store = store().await;
    let all = Filter::default();
    let ended =
        export(&*store, ExportFormat::Csv, all, &OutputSettings::default(), Timestamp(0), &mut Closed).await;
    assert!(
        matches!(ended, Err(super::super::OutputError::Export(e)) if e.kind() == std::io::ErrorKind::BrokenPipe)
    );
    assert!(crate::queue::TaskStore::result(&*store, TaskId(11)).await.unwrap().is_some());
}
