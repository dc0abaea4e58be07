//! The whole run over a folder as archives really are, and over one that changes while it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use voxbatch::emulator::{Latency, Settings};

use crate::support::{ENDPOINTS, Expect, Hostile, Jobs, Process, STT, User, World, roomy, skip, tone};

const MEMORY_MAX_KB: u64 = 200_000;
const REDACTION: &str = ENDPOINTS[3];

#[test]
fn every_entry_of_a_hostile_folder_ends_as_its_table_says() {
    let world = hostile_world();
    let folder = Hostile::fill(&world.path("calls"));
    ends_as_its_table_says(&world, &folder, &User::Same);
}

#[test]
fn also_for_an_ordinary_user_who_may_not_read_all_of_it() {
    let world = hostile_world();
    let folder = Hostile::fill_with_locks(&world.path("calls"));
    let Some(user) = User::ordinary(&world) else { return };
    let told = ends_as_its_table_says(&world, &folder, &user);
    folder.unlock();
    for place in ["locked/closed: ", "locked/can be listed only/inside.wav: ", "locked/can be entered only: "]
    {
        let line = told
            .lines()
            .find(|l| l.contains(place))
            .unwrap_or_else(|| panic!("{place} is not told of: {told}"));
        assert!(line.contains("Permission denied") && line.contains("allow the user"), "{line}");
    }
}

#[test]
fn also_where_links_are_followed_in_circles_and_to_the_outside() {
    let world = hostile_world();
    world.edit("settle = \"0s\"", "settle = \"0s\"\nfollow_links = true");
    let folder = Hostile::fill_for_following(&world.path("calls"), &world.path("elsewhere"));
    let told = ends_as_its_table_says(&world, &folder, &User::Same);
    assert!(told.contains("leads in a circle"), "{told}");
    assert!(told.contains("a link that leads nowhere"), "{told}");
}

fn hostile_world() -> World {
    let world = World::new(Settings { time_limit: None, ..roomy() });
    let jobs = vec![("archive", STT, "calls"), ("redact", REDACTION, "calls/collide")];
    world.configure(&Jobs { concurrent: 8, jobs, ..Jobs::default() });
    world
}

/// Runs it and holds what came of it against the table; returns what was told.
fn ends_as_its_table_says(world: &World, folder: &Hostile, user: &User) -> String {
    let voxbatch = |args: &[&str]| Process::start(user.command(world, args));
    for skipped in &folder.skipped {
        skip(skipped);
    }
    assert!(folder.entries.len() >= 200);
    let before = state(&world.path("calls"));

    let (ended, peak_kb) = voxbatch(&["run"]).wait_measured();
    let told = ended.expect(3).stderr;
    assert!(peak_kb < MEMORY_MAX_KB, "{peak_kb} kB");
    assert!(!told.contains('\u{1b}') && !told.contains('\u{7}'), "no name speaks to the terminal: {told}");
    assert!(!told.contains("panic"), "{told}");
    assert!(told.contains("File name too long"), "what cannot be reached is told of: {told}");

    let by_path = |lines: Vec<Value>| -> BTreeMap<Vec<u8>, Value> {
        let count = lines.len();
        let map: BTreeMap<_, _> = lines.into_iter().map(|l| (path_of(&l), l)).collect();
        assert_eq!(map.len(), count, "each path has one line");
        map
    };
    let mut results = by_path(world.results());
    let mut failures = by_path(world.lines("out/archive/failures.jsonl"));
    let mut wrong = Vec::new();
    for entry in &folder.entries {
        let (result, failure) = (results.remove(&entry.path), failures.remove(&entry.path));
        if let Some(why) = disagrees(&world.path("calls"), &entry.path, entry.expect, result, failure) {
            wrong.push(format!("{}: {:?}, but {why}", entry.path.escape_ascii(), entry.expect));
        }
    }
    wrong.extend(
        results.keys().chain(failures.keys()).map(|p| format!("not in the table: {}", p.escape_ascii())),
    );
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));

    assert_eq!(state(&world.path("calls")), before, "no source changed");
    assert!(!world.path("owned").exists(), "no name is a command");
    // Half a film may look like one of another kind; nothing else goes out under a type that it is not.
    assert!(world.report().mime_mismatches <= 1);
    tables_parse(world);
    redacted_apart(world);
    voxbatch(&["verify"]).wait().expect(0);
    assert!(!voxbatch(&["tasks", "--limit", "0"]).wait().expect(0).stdout.contains('\u{1b}'));

    let requests = world.report().requests;
    voxbatch(&["run"]).wait().expect(0);
    assert_eq!(world.report().requests, requests, "a second run sends nothing");
    told
}

fn path_of(line: &Value) -> Vec<u8> {
    match line["path_b64"].as_str() {
        Some(bytes) => STANDARD.decode(bytes).unwrap(),
        None => line["path"].as_str().unwrap().as_bytes().to_owned(),
    }
}

/// What is wrong with how an entry ended.
fn disagrees(
    root: &Path,
    path: &[u8],
    expect: Expect,
    result: Option<Value>,
    failure: Option<Value>,
) -> Option<String> {
    let cause = |f: &Value| f["error"]["cause"].as_str().unwrap().to_owned();
    match (expect, result, failure) {
        (Expect::Sent(format) | Expect::Judged(format), Some(result), None) => {
            let bytes = fs::read(root.join(OsStr::from_bytes(path))).unwrap();
            let hash = blake3::hash(&bytes).to_string();
            let good = result["audio"]["format"] == format && result["audio"]["blake3"] == hash;
            (!good).then(|| format!("it was sent as {}", result["audio"]))
        }
        (Expect::Judged(_), None, Some(failure)) if cause(&failure) == "unreadable_audio" => None,
        (Expect::Refused(word), None, Some(failure)) if cause(&failure) == word => {
            (failure["attempts"] != 0).then(|| "it was sent".to_owned())
        }
        (Expect::PassedOver, None, None) => None,
        (_, result, failure) => Some(format!(
            "result {:?}, failure {:?}",
            result.map(|r| r["audio"].clone()),
            failure.map(|f| f["error"].clone())
        )),
    }
}

/// Every table has a row for each line that it stands for, and can be read to its end.
fn tables_parse(world: &World) {
    let rows = |name: &str| {
        let bytes = world.read(&format!("out/archive/{name}"));
        csv::Reader::from_reader(&bytes[..]).byte_records().map(Result::unwrap).count()
    };
    assert_eq!(rows("results.csv"), world.results().len());
    assert_eq!(rows("failures.csv"), world.failures().len());
    rows("utterances.csv");
}

/// Names that look like each other's redaction do not overwrite each other.
fn redacted_apart(world: &World) {
    let lines = world.lines("out/redact/results.jsonl");
    assert_eq!(lines.len(), 5);
    let places: BTreeSet<_> = lines.iter().map(|l| l["redacted_audio"]["path"].to_string()).collect();
    assert_eq!(places.len(), 5, "{places:?}");
    let written = crate::support::files_below(&world.path("out/redact"));
    let audio = |p: &&PathBuf| p.extension() == Some(OsStr::new("mp3"));
    assert_eq!(written.iter().filter(audio).count(), 5, "{written:?}");
}

/// Size, time and (of what is not huge) bytes of every plain file.
fn state(root: &Path) -> BTreeMap<PathBuf, (u64, i64, i64, Option<blake3::Hash>)> {
    let files = walkdir::WalkDir::new(root).into_iter().filter_map(Result::ok);
    files
        .filter(|e| e.file_type().is_file())
        .map(|e| {
            let meta = e.metadata().unwrap();
            let hash = (meta.len() < 1 << 20).then(|| blake3::hash(&fs::read(e.path()).unwrap_or_default()));
            (e.into_path(), (meta.len(), meta.mtime(), meta.mtime_nsec(), hash))
        })
        .collect()
}

/// Each version that a name ever had: the hash of its bytes.
type Versions = BTreeMap<String, BTreeSet<String>>;

/// Moves, removes, lengthens and replaces recordings until it is told to stop, in an order that the seed decides.
fn meddle(root: &Path, seed: u64, over: &AtomicBool) -> Versions {
    let mut dice = seed;
    let mut throw = |sides: usize| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        usize::try_from(dice % sides as u64).unwrap()
    };
    let mut versions = Versions::new();
    let mut names: Vec<String> =
        fs::read_dir(root).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let mut note = |name: &str, bytes: &[u8]| {
        versions.entry(name.to_owned()).or_default().insert(blake3::hash(bytes).to_string());
    };
    for name in &names {
        note(name, &fs::read(root.join(name)).unwrap());
    }
    for turn in 0..5000 {
        if over.load(Ordering::Acquire) {
            break;
        }
        let name = names[throw(names.len())].clone();
        let (path, new) = (root.join(&name), tone(&format!("{name} {turn}"), 200 + turn % 100));
        let Ok(old) = fs::read(&path) else {
            note(&name, &new);
            fs::write(root.join("coming.part"), &new).unwrap();
            fs::rename(root.join("coming.part"), path).unwrap();
            continue;
        };
        match throw(5) {
            0 => {
                let to = names[throw(names.len())].clone();
                note(&to, &old);
                fs::rename(path, root.join(to)).unwrap();
            }
            1 => fs::remove_file(path).unwrap(),
            2 => {
                note(&name, &[&old[..], &new].concat());
                fs::OpenOptions::new().append(true).open(path).unwrap().write_all(&new).unwrap();
            }
            3 => {
                note(&name, &new);
                fs::write(root.join("coming.part"), &new).unwrap();
                fs::rename(root.join("coming.part"), path).unwrap();
            }
            // In place: empty for an instant.
            _ => {
                note(&name, &new);
                note(&name, b"");
                fs::write(path, &new).unwrap();
            }
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    versions
}

#[test]
fn a_folder_that_changes_under_our_feet_gives_only_what_was_once_true() {
    for seed in [1, 0x5eed, 0xdead_beef] {
        let latency = Latency { scale: 0.05, ..Latency::default() };
        let world = World::new(Settings { latency, ..roomy() });
        world.record("calls", 150);
        let (root, over) = (world.path("calls"), AtomicBool::new(false));
        let (ended, versions) = std::thread::scope(|scope| {
            let meddler = scope.spawn(|| meddle(&root, seed, &over));
            let ended = world.run();
            over.store(true, Ordering::Release);
            (ended, meddler.join().unwrap())
        });
        assert!(matches!(ended.code, Some(0 | 3)), "seed {seed}: {:?}\n{}", ended.code, ended.stderr);
        assert!(!ended.stderr.contains("panic"), "{}", ended.stderr);
        let results = world.results();
        for line in &results {
            let (path, hash) = (line["path"].as_str().unwrap(), line["audio"]["blake3"].as_str().unwrap());
            assert!(versions[path].contains(hash), "seed {seed}: {path} never was what was sent");
        }
        let mut accounted = BTreeSet::new();
        for (path, cause) in world.failures() {
            let true_once = match cause.as_str() {
                "source_missing" | "source_changed" => true,
                "empty" => versions[&path].contains(blake3::hash(b"").to_hex().as_str()),
                _ => false,
            };
            assert!(true_once, "seed {seed}: {path} failed by {cause}");
            accounted.insert(path);
        }
        eprintln!("seed {seed}: {} results, {} failures", results.len(), accounted.len());
        for line in &results {
            assert!(accounted.insert(line["path"].as_str().unwrap().to_owned()), "in both: {line}");
        }
        let known: BTreeSet<_> =
            world.tasks("").iter().map(|t| t["path"].as_str().unwrap().to_owned()).collect();
        assert_eq!(accounted, known, "seed {seed}: every task is accounted for");
        assert!(!results.is_empty());
    }
}
