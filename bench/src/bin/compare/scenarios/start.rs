//! What a long past costs: the time to the first request, and to a status, beside a queue that has none.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;
use voxbatch_bench::wav;

use crate::clients::jobs;
use crate::past::{self, Depth};
use crate::race::Found;
use crate::server::{Behaviour, Stub};
use crate::settings::Settings;
use crate::table::{digits, markdown, median, times};
use crate::trial::measure;

pub(crate) fn start(settings: &Settings) -> io::Result<Found> {
    let rows = settings.pick(1_000_000, 2_000);
    let mut found = Found::default();
    let empty = queue(settings, 0, Depth::Whole)?;
    let full = queue(settings, rows, Depth::Whole)?;
    let (mut first, mut status) = (Vec::new(), Vec::new());
    for round in 1..=settings.rounds {
        for (name, place) in [("empty", &empty), ("full", &full)] {
            let until = run_one_more(settings, place, &mut found)?;
            println!("round {round}  {name:<6} {until:>8.3} s to the first request");
            first.push((name, until));
            let took = ask_status(settings, place, &mut found)?;
            status.push((name, took));
        }
    }
    let of = |list: &[(&str, f64)], name: &str| {
        median(list.iter().filter(|(n, _)| *n == name).map(|(_, s)| *s).collect()).unwrap_or(f64::NAN)
    };
    let row = |what: String, list: &[(&str, f64)], name: &str| {
        let (ours, bare) = (of(list, name), of(list, "empty"));
        vec![what, digits(ours), digits(bare), times(ours / bare)]
    };
    let mut table = vec![
        row(format!("`run`: to the first request, {rows} finished"), &first, "full"),
        row(format!("`status`, {rows} finished"), &status, "full"),
    ];
    if settings.million {
        let rows = 10_000_000;
        let huge = queue(settings, rows, Depth::Tasks)?;
        for _ in 0..settings.rounds {
            status.push(("huge", ask_status(settings, &huge, &mut found)?));
        }
        table.push(row(format!("`status`, {rows} tasks"), &status, "huge"));
    }
    found.text = markdown(&["", "s", "s with an empty queue", "ratio"], table.into_iter());
    found.raw = json!({ "until_first_request_s": first, "status_s": status });
    Ok(found)
}

/// A folder with a queue that has so many finished tasks, made once.
fn queue(settings: &Settings, rows: u64, depth: Depth) -> io::Result<PathBuf> {
    let name = match depth {
        Depth::Whole => format!("finished-{rows}"),
        Depth::Tasks => format!("tasks-{rows}"),
    };
    let place = settings.data.join(&name);
    if place.join("ready").exists() && rows > 0 {
        return Ok(place);
    }
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    println!("making a queue with {rows} finished tasks in {}", place.display());
    fs::create_dir_all(place.join("source"))?;
    add_recording(&place)?;
    jobs(&place, "127.0.0.1:9", &place.join("source"), 8)?;
    let run = || {
        let stub = Stub::start(Behaviour::default())?;
        let cost = measure(&place, &command(settings, &place, &["run", "--progress=none"], &stub.host))?;
        match cost.exit {
            0 => Ok(()),
            exit => Err(io::Error::other(format!(
                "voxbatch ended with {exit}: {}",
                fs::read_to_string(place.join("said"))?
            ))),
        }
    };
    // A true first task, which the past then repeats.
    run()?;
    if rows > 0 {
        past::make(&place.join(".voxbatch/queue.db"), rows, depth)
            .map_err(|e| io::Error::other(format!("the past was not made: {e}")))?;
    }
    if depth == Depth::Whole {
        // Brings the files in step with the results.
        run()?;
    }
    let told = measure(&place, &command(settings, &place, &["status"], ""))?;
    let said = fs::read_to_string(place.join("said"))?;
    // As people write it: 1,000,001.
    let digits: String = said.chars().filter(|c| *c != ',').collect();
    if told.exit != 0 || !digits.contains(&(rows + 1).to_string()) {
        return Err(io::Error::other(format!(
            "the queue does not say that it has {} tasks: {said}",
            rows + 1
        )));
    }
    fs::write(place.join("ready"), "")?;
    Ok(place)
}

fn command(settings: &Settings, place: &Path, verb: &[&str], host: &str) -> Vec<std::ffi::OsString> {
    let mut words = vec![settings.voxbatch.clone().into_os_string()];
    words.extend(verb.iter().map(Into::into));
    words.extend(["--config".into(), place.join("jobs.toml").into_os_string()]);
    if !host.is_empty() {
        words.push(format!("--base-url=http://{host}").into());
    }
    words
}

/// One recording more than there was.
fn add_recording(place: &Path) -> io::Result<()> {
    let source = place.join("source");
    let count = fs::read_dir(&source)?.count() as u64;
    wav::write(&source.join(format!("{count:07}.wav")), 16_000, count)
}

/// Seconds to the first request of a run that has one new recording to send.
fn run_one_more(settings: &Settings, place: &Path, found: &mut Found) -> io::Result<f64> {
    add_recording(place)?;
    let stub = Stub::start(Behaviour::default())?;
    rustix::fs::sync();
    let cost = measure(place, &command(settings, place, &["run", "--progress=none"], &stub.host))?;
    let seen = stub.books()?;
    if cost.exit != 0 || seen.count("answered") != 1 {
        let said = fs::read_to_string(place.join("said"))?;
        found.problems.push(format!("exit code {}, {} answered: {said}", cost.exit, seen.count("answered")));
    }
    Ok(seen.seconds("first_us") - cost.started_us as f64 / 1e6)
}

fn ask_status(settings: &Settings, place: &Path, found: &mut Found) -> io::Result<f64> {
    let cost = measure(place, &command(settings, place, &["status"], ""))?;
    if cost.exit != 0 {
        found.problems.push(format!("status ended with {}", cost.exit));
    }
    Ok(cost.wall_s)
}
