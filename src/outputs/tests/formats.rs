//! How each format looks for each kind of answer, and that they say what the redacted text says and no more.

use super::super::{ExportFormat, FileFormat, OutputSettings, render_result};
use super::store::stt;
use crate::queue::{RedactedAudio, ResultRow};
use crate::task::{Endpoint, RecordingPath};

/// One of each kind.
fn kinds() -> Vec<(&'static str, ResultRow)> {
    let conversation = concat!(
        r#"{"text":"","duration_ms":31000,"utterances":["#,
        r#"{"text":"Line two is down, and we have a customer waiting for almost an hour now. Could you, please, "#,
        r#"look at it & tell me <whether> this --> that?","start_ms":120,"duration_ms":11880,"speaker":1,"language":"en"},"#,
        r#"{"text":"I will open\r\n\r\na ticket.","start_ms":11000,"duration_ms":2100,"speaker":2,"language":"en"},"#,
        r#"{"text":"שלום, מדבר Alex מהתמיכה.","start_ms":15000,"speaker":2,"language":"he"},"#,
        r#"{"text":"昨日からずっと雨が降っています。それで、電車が止まってしまいました。お客様にはもう電話しました。","#,
        r#""start_ms":20000,"duration_ms":9000,"speaker":1,"language":"ja"}]}"#,
    );
    let redaction = ResultRow {
        endpoint: Endpoint::PiiPhiRedactionBatch,
        response: concat!(
            r#"{"text":"secret","duration_ms":4100,"utterances":[{"text":"I am <pii:name>Alex</pii:name>, "#,
            r#"account <pii:bank_account></pii:bank_account>.","words":[{"text":"Alex","start_ms":0,"duration_ms":1}],"#,
            r#""start_ms":0,"end_ms":3900,"speaker":1,"language":"en"}],"redaction_ranges":[[1850,3300]]}"#,
        )
        .into(),
        duration_ms: Some(4100),
        redacted_audio: Some(RedactedAudio {
            path: RecordingPath::from_bytes("audio/calls/b.wav.redacted.mp3"),
            bytes: 33_000,
            sha256: "9f86d081".into(),
        }),
        ..stt(2, 12, "calls/b.wav")
    };
    let fast = ResultRow {
        endpoint: Endpoint::SttBatchEnglishVfast,
        response: r#"{"text":"Hello there. This is all there is, and nobody knows when it was said.","duration_ms":8000}"#
            .into(),
        duration_ms: Some(8000),
        ..stt(3, 13, "c.wav")
    };
    let silence = ResultRow {
        response: r#"{"text":"","duration_ms":5000,"utterances":[]}"#.into(),
        ..stt(4, 14, "silence.wav")
    };
    let analysis = ResultRow {
        endpoint: Endpoint::Batch,
        response: concat!(
            r#"{"duration_ms":58200,"clips":[{"text":"I was charged twice.","start_ms":3100,"duration_ms":1500,"#,
            r#""speaker_label":"Speaker_1","language":"en"}],"behaviors":[],"summary":"not spoken"}"#,
        )
        .into(),
        duration_ms: Some(58_200),
        ..stt(5, 15, "d.wav")
    };
    let mut call =
        ResultRow { response: conversation.into(), duration_ms: Some(31_000), ..stt(1, 11, "2024/a b.wav") };
    call.path = RecordingPath::from_bytes(*b"2024/a b\xe9.wav");
    vec![
        ("conversation", call),
        ("redaction", redaction),
        ("fast", fast),
        ("silence", silence),
        ("analysis", analysis),
    ]
}

/// Direction marks made visible, so that a snapshot cannot hide them.
fn visible(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap().replace('\u{200F}', "<RLM>")
}

#[test]
fn files_of_single_recordings_look_as_agreed() {
    for format in FileFormat::ALL {
        let files = kinds()
            .into_iter()
            .map(|(kind, row)| (format!("=== {kind}\n"), visible(format.render(&row).unwrap())));
        let all: String = files.map(|(kind, file)| kind + &file).collect();
        insta::assert_snapshot!(format.word(), all);
    }
}

#[test]
fn a_manifest_looks_as_agreed() {
    let lines = kinds().into_iter().flat_map(|(_, row)| {
        render_result(ExportFormat::Nemo, "archive", &row, &OutputSettings::default()).unwrap()
    });
    insta::assert_snapshot!("nemo", visible(lines.collect()));
}

#[test]
fn of_a_redaction_only_redacted_text_is_rendered() {
    let (_, row) = kinds().swap_remove(1);
    for format in FileFormat::ALL.into_iter().filter(|format| *format != FileFormat::Json) {
        let file = visible(format.render(&row).unwrap());
        assert!(!file.contains("Alex") && !file.contains("secret"), "{file}");
    }
}

#[test]
fn rendering_twice_gives_the_same_bytes() {
    for (_, row) in kinds() {
        assert!(FileFormat::ALL.iter().all(|format| format.render(&row) == format.render(&row)));
    }
}
