//! Finding files and writing down that they are there, against those who do less.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use serde_json::json;
use voxbatch_bench::cost::Cost;

use crate::clients::{jobs, on_path};
use crate::data;
use crate::race::Found;
use crate::settings::Settings;
use crate::table::{digits, markdown, median, times, whole};
use crate::trial::{clean_desk, last_words, measure};

const WALK: &str = "
import os, sys
count = size = 0
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        size += os.stat(os.path.join(folder, name)).st_size
        count += 1
print(count, size)
";

pub(crate) fn scan(settings: &Settings) -> io::Result<Found> {
    let count = if settings.million { 1_000_000 } else { settings.pick(100_000, 1_000) };
    let recordings = data::equal(&settings.data, count, super::growth::BYTES)?;
    let folder = recordings.folder.as_os_str();
    let words = |list: &[&str]| list.iter().map(OsString::from).collect::<Vec<_>>();
    let with_folder =
        |before: &[&str], after: &[&str]| [words(before), vec![folder.to_owned()], words(after)].concat();
    let mut find = None;
    if on_path("find") {
        find = Some(with_folder(&["find"], &["-type", "f", "-printf", "%s %T@ %p\\n"]));
    }
    let walk = on_path("python3").then(|| with_folder(&["python3", "-c", WALK], &[]));
    let floor: Vec<OsString> =
        vec![Settings::tool("floor-scan").into(), folder.to_owned(), "floor.db".into()];

    let mut found = Found::default();
    let mut turns: Vec<(&str, usize, Cost)> = Vec::new();
    data::read_all(&recordings.folder)?;
    for round in 1..=settings.rounds {
        let desk = clean_desk(settings)?;
        let config = jobs(&desk, "127.0.0.1:9", &recordings.folder, 1)?;
        let mut voxbatch = vec![settings.voxbatch.clone().into_os_string()];
        voxbatch.extend([OsString::from("scan"), "--config".into(), config.into()]);
        let commands = [
            ("floor-scan", Some(&floor)),
            ("voxbatch scan", Some(&voxbatch)),
            ("voxbatch scan, again", Some(&voxbatch)),
            ("find -printf", find.as_ref()),
            ("Python os.walk + stat", walk.as_ref()),
        ];
        for (name, command) in commands {
            let Some(command) = command else {
                println!("SKIPPED {name}: not on this machine");
                continue;
            };
            rustix::fs::sync();
            let cost = measure(&desk, command)?;
            println!("round {round}  {name:<24} {:>8.2} s  {:>8.2} s cpu", cost.wall_s, cost.cpu_s());
            turns.push((name, round, cost));
            if cost.exit != 0 {
                found.problems.push(format!("{name} ended with {}: {}", cost.exit, last_words(settings)));
            }
        }
        let queued = rows(&desk.join(".voxbatch/queue.db"));
        if queued.as_ref().ok() != Some(&count) {
            found.problems.push(format!("voxbatch has {queued:?} tasks instead of {count}"));
        }
    }
    let mut names: Vec<&str> = turns.iter().map(|(name, ..)| *name).collect();
    names.sort_by_key(|name| turns.iter().position(|(n, ..)| n == name));
    names.dedup();
    let table = names.iter().map(|name| {
        let of = |figure: &dyn Fn(&Cost, &Cost) -> f64| {
            let figures = turns.iter().filter(|(n, ..)| n == name).filter_map(|(_, round, cost)| {
                let floor = turns.iter().find(|(n, r, _)| *n == "floor-scan" && r == round)?;
                Some(figure(cost, &floor.2))
            });
            median(figures.collect()).unwrap_or(f64::NAN)
        };
        vec![
            (*name).to_owned(),
            digits(of(&|cost, _| cost.wall_s)),
            whole(of(&|cost, _| count as f64 / cost.wall_s)),
            times(of(&|cost, floor| cost.wall_s / floor.wall_s)),
            times(of(&|cost, floor| cost.cpu_s() / floor.cpu_s())),
            digits(of(&|cost, _| cost.peak_rss as f64 / 1e6)),
        ]
    });
    let files = format!("{count} files");
    let titles = [&files, "s", "files/s", "time ÷ floor", "CPU ÷ floor", "MB"];
    found.text = markdown(&titles, table);
    found.raw = json!(
        turns
            .iter()
            .map(|(name, round, cost)| json!({ "what": name, "round": round, "cost": cost.to_json() }))
            .collect::<Vec<_>>()
    );
    Ok(found)
}

fn rows(queue: &Path) -> rusqlite::Result<u64> {
    let db = Connection::open_with_flags(queue, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    db.query_row("SELECT count(*) FROM task", [], |row| row.get::<_, i64>(0)).map(|count| count as u64)
}
