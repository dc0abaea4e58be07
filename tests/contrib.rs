//! What lies in `contrib/` says the same of exit codes as the program, and systemd can read it.

#![expect(clippy::unwrap_used, reason = "a file that cannot be read is a failed test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use voxbatch::command::Exit;
use voxbatch::notify::NotifySettings;

/// Not only done: a scheduler should be content with these.
const GOOD: [u8; 2] = [3, 10];
const STOPPED: [u8; 2] = [130, 143];
/// Trying again can help.
const AGAIN: [u8; 2] = [1, 6];
/// Only somebody can mend it.
const MEND: [u8; 6] = [2, 4, 5, 7, 8, 9];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(file(name)).unwrap()
}

fn numbers(text: &str) -> BTreeSet<u8> {
    text.split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty()).map(|n| n.parse().unwrap()).collect()
}

fn set(codes: &[u8]) -> BTreeSet<u8> {
    codes.iter().copied().collect()
}

/// What a setting of a unit says; empty if it is not there.
fn setting(unit: &str, key: &str) -> BTreeSet<u8> {
    let lines = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    lines.flat_map(numbers).collect()
}

#[test]
fn every_code_of_the_program_has_its_place_and_there_are_no_others() {
    let all: BTreeSet<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
    assert_eq!(all, [&[0][..], &GOOD, &STOPPED, &AGAIN, &MEND].iter().flat_map(|codes| set(codes)).collect());
}

#[test]
fn units_know_good_ends_and_those_that_no_restart_can_mend() {
    let (night, watch) =
        (read("contrib/systemd/voxbatch.service"), read("contrib/systemd/voxbatch-watch.service"));
    let good = &set(&GOOD) | &set(&STOPPED);
    assert_eq!(
        (setting(&night, "SuccessExitStatus"), setting(&watch, "SuccessExitStatus")),
        (good.clone(), good)
    );
    assert_eq!(setting(&watch, "RestartPreventExitStatus"), set(&MEND));
    assert!(night.contains("Restart=no") && watch.contains("Restart=on-failure"));
}

#[test]
fn the_cron_job_does_too() {
    let text = read("contrib/kubernetes/cronjob.yaml");
    let of = |action: &str| {
        let rule = text.split("- action: ").find(|rule| rule.starts_with(action)).unwrap();
        numbers(rule.split_once("values:").unwrap().1.split(']').next().unwrap())
    };
    assert_eq!((of("FailJob"), of("Count")), (set(&MEND), &set(&AGAIN) | &set(&STOPPED)));
    let case = text.split("case $code in ").nth(1).unwrap().split(')').next().unwrap();
    assert_eq!(numbers(case), set(&GOOD));
}

#[test]
fn pings_are_content_with_the_same_ends() {
    assert_eq!(set(&NotifySettings::default().success), &set(&GOOD) | &set(&[0]));
}

#[test]
fn both_pages_list_every_code() {
    let all: BTreeSet<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
    let readme = read("README.md");
    let table = readme.split("### Exit codes").nth(1).unwrap().split("\n\n").nth(1).unwrap();
    let first = |line: &str| line.split('|').nth(1).map(numbers).unwrap_or_default();
    assert_eq!(table.lines().flat_map(first).collect::<BTreeSet<_>>(), all);
    let contrib = read("contrib/README.md");
    let codes =
        contrib.lines().filter(|l| l.starts_with('|')).filter_map(|l| l.split('|').nth(1)).flat_map(|cell| {
            let heads = cell.split(';').map(|part| part.split(':').next().unwrap().to_owned());
            heads.flat_map(|head| numbers(&head)).collect::<Vec<_>>()
        });
    assert_eq!(codes.collect::<BTreeSet<_>>(), all);
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let folder = tempfile::tempdir().unwrap();
    let mut units = Vec::new();
    for entry in fs::read_dir(file("contrib/systemd")).unwrap() {
        let path = entry.unwrap().path();
        let unit = folder.path().join(path.file_name().unwrap());
        // The program need not be installed here.
        fs::write(&unit, fs::read_to_string(&path).unwrap().replace("/usr/bin/voxbatch", "/bin/true"))
            .unwrap();
        units.push(unit);
    }
    assert_eq!(units.len(), 3);
    let Ok(verified) = Command::new("systemd-analyze").arg("verify").args(&units).output() else {
        use std::io::Write as _;
        let _ = std::io::stderr().write_all(b"SKIPPED: there is no systemd-analyze here\n");
        return;
    };
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && !said.contains("voxbatch"), "{said}");
}
