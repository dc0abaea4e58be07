//! Does a job cost the same when there are a thousand times as many?

use std::fs;
use std::io;

use crate::clients::Client;
use crate::data;
use crate::plot::{Curve, plot};
use crate::race::{Expect, Found, Race, raw};
use crate::server::Behaviour;
use crate::settings::Settings;
use crate::table::{digits, markdown, median, times, whole};
use crate::trial::Trial;

use super::races::{cpu_ratio, per_second, rss_mb, wall_ratio};

/// As small as a recording can be and still be one.
pub(super) const BYTES: u64 = 1_000;

pub(crate) fn growth(settings: &Settings) -> io::Result<Found> {
    let mut counts = settings.pick(vec![1_000, 10_000, 100_000], vec![200, 1_000]);
    counts.extend(settings.million.then_some(1_000_000));
    let mut found = Found::default();
    let (mut all, mut rows) = (Vec::new(), Vec::new());
    let (mut speed, mut memory) = (Vec::new(), Vec::new());
    for count in counts {
        let recordings = data::equal(&settings.data, count, BYTES)?;
        let race = Race {
            recordings: &recordings,
            slots: 8,
            behaviour: Behaviour::default(),
            clients: &[Client::Poster, Client::Voxbatch],
            // A hundred times the work tells as much in fewer turns.
            rounds: settings.rounds.min(if count > 100_000 {
                1
            } else if count > 10_000 {
                3
            } else {
                usize::MAX
            }),
            turns: &[],
            expect: Expect::All,
        };
        let trials = race.run(settings, &mut found.problems)?;
        let ours = |figure: &dyn Fn(&Trial, &Trial) -> f64| {
            let pairs = trials.iter().filter(|t| t.client == Client::Voxbatch).filter_map(|trial| {
                let floor = trials.iter().find(|t| t.client == Client::Poster && t.round == trial.round)?;
                Some(figure(trial, floor))
            });
            median(pairs.collect()).unwrap_or(f64::NAN)
        };
        let (jobs, mb) = (ours(&per_second), ours(&rss_mb));
        let cpu_us = ours(&|t, _| t.cost.cpu_s() * 1e6 / t.seen.count("answered") as f64);
        rows.push(vec![
            count.to_string(),
            whole(jobs),
            times(ours(&wall_ratio)),
            whole(cpu_us),
            times(ours(&cpu_ratio)),
            digits(mb),
        ]);
        speed.push((count as f64, jobs));
        memory.push((count as f64, mb));
        all.extend(trials);
    }
    let titles = ["tasks", "jobs/s", "time ÷ floor", "CPU µs a job", "CPU ÷ floor", "MB, largest process"];
    let picture = plot(&[
        Curve { title: "jobs a second", points: &speed },
        Curve { title: "peak memory, MB", points: &memory },
    ]);
    fs::write(settings.out.join(PICTURE), &picture)?;
    if let Some(page) = &settings.into {
        fs::write(page.with_file_name(PICTURE), &picture)?;
    }
    found.text = format!(
        "{}\n![jobs a second and peak memory by number of tasks]({PICTURE})\n",
        markdown(&titles, rows.into_iter())
    );
    found.raw = raw(&all);
    Ok(found)
}

/// Beside the page.
const PICTURE: &str = "performance-growth.svg";
