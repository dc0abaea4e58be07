//! Runs what is kept in `fuzz/corpus/` through the doors that the fuzz targets try: shapes of every contract, hand
//! written, and each input that once broke something.

#![expect(clippy::unwrap_used, reason = "an input that cannot be read is a failed test")]

#[path = "../fuzz/entries.rs"]
#[expect(unreachable_pub, reason = "a crate of its own when it is fuzzed")]
mod entries;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Runs every file of a corpus, and names those that break.
fn run(corpus: &str, entry: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(corpus);
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 10, "{} inputs of {corpus}", files.len());
    files.retain(|file| {
        let input = fs::read(file).unwrap();
        catch_unwind(AssertUnwindSafe(|| entry(&input))).is_err()
    });
    assert!(files.is_empty(), "{corpus} breaks at {files:?}");
}

#[test]
fn no_configuration_breaks_its_reader() {
    run("config", entries::config);
}

#[test]
fn no_filter_breaks_its_reader() {
    run("filter", entries::filter);
}

#[test]
fn every_answer_has_a_meaning_and_every_success_can_be_written() {
    run("answer", entries::answer);
}

#[test]
fn an_answer_means_the_same_in_whatever_pieces_it_comes() {
    run("answer", entries::exchange);
}

#[test]
fn the_parts_of_a_redaction_are_the_same_in_whatever_pieces_they_come() {
    run("multipart", entries::multipart);
}

#[test]
fn whatever_a_stream_tells_makes_json_and_an_answer_can_be_written() {
    run("stream", entries::stream);
}

#[test]
fn no_file_breaks_who_looks_at_it() {
    run("media", entries::media);
}

#[test]
fn every_name_can_be_sent_and_written() {
    run("names", entries::names);
}
