//! Compares this room's judgement with a corpus whose truth is known (`VOXBATCH_CORPUS`: a folder with `files/` and
//! `truth.jsonl`). Ignored unless asked for: `cargo test --lib media::corpus -- --ignored --nocapture`.

use std::path::PathBuf;

use super::*;
use crate::task::{Cause, Channels, Endpoint};

#[test]
#[ignore = "needs a corpus: VOXBATCH_CORPUS=FOLDER"]
fn every_file_of_the_corpus_is_judged_as_its_truth_says() {
    let corpus = PathBuf::from(std::env::var_os("VOXBATCH_CORPUS").expect("VOXBATCH_CORPUS=FOLDER"));
    let truth = std::fs::read_to_string(corpus.join("truth.jsonl")).unwrap();
    let settings = MediaSettings::default();
    let (mut files, mut wrong, mut far) = (0, Vec::new(), Vec::new());
    for line in truth.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let Some(name) = row["path"].as_str().filter(|_| row["kind"] == "file") else { continue };
        files += 1;
        let path = corpus.join("files").join(name);
        let said = match inspect(&path, Endpoint::SttBatch, Channels::Keep, &settings) {
            Inspection::Recording { format, .. } => {
                format!("upload-as {}", upload_as(format, Endpoint::SttBatch).unwrap().mime)
            }
            Inspection::Refused(failure) => format!("reject: {} ({})", failure.message, failure.cause),
            Inspection::NotNow(why) => panic!("{name}: {why}"),
            Inspection::NotARecording(what) => format!("skip: {what}"),
        };
        // Both refuse to send: whether a file is refused or passed over is our policy, not the corpus's.
        let kept = |word: &str| !word.starts_with("upload-as");
        let mut allowed = std::iter::once(&row["expect"]).chain(row["also_ok"].as_array().unwrap());
        if !allowed.any(|a| a.as_str().is_some_and(|a| a == said || (kept(a) && kept(&said)))) {
            wrong.push(format!("{name}: {said}; expected {}", row["expect"]));
        }
        if row["mime"].is_null() {
            println!("{name}: {said}");
            continue;
        }
        let recording = crate::task::RecordingPath::from(std::path::Path::new(name));
        let prepared = match prepare(&path, &recording, Endpoint::SttBatch, &settings, Terms::default()) {
            Ok(prepared) => prepared,
            Err(failure) => {
                assert!(matches!(&failure, Unfit::Refused(f) if f.cause != Cause::SourceMissing), "{name}");
                continue;
            }
        };
        if let Some(seconds) = row["decoded_s"].as_f64() {
            let measured = prepared.measured(None, true);
            let off = measured.duration_ms as f64 / 1000.0 - seconds;
            if off.abs() > 0.05 {
                far.push(format!("{name}: {measured:?}, decoded {seconds} s"));
            }
        }
    }
    println!("{files} files; {} lengths off by more than 50 ms:\n{}", far.len(), far.join("\n"));
    assert!(wrong.is_empty(), "{} of {files} disagree:\n{}", wrong.len(), wrong.join("\n"));
}
