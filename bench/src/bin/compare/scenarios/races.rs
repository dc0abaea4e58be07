//! The scenarios in which clients simply send a folder.

use std::io;

use crate::clients::Client;
use crate::data;
use crate::race::{Expect, Found, Race, raw};
use crate::server::Behaviour;
use crate::settings::Settings;
use crate::table::{Column, digits, of_clients, percent, times, whole};
use crate::trial::Trial;

const EVERYBODY: &[Client] =
    &[Client::Poster, Client::Voxbatch, Client::CurlZ, Client::Aiohttp, Client::Xargs, Client::Parallel];

const MB: f64 = 1e6;

pub(crate) fn wall(trial: &Trial, _: &Trial) -> f64 {
    trial.cost.wall_s
}

pub(crate) fn wall_ratio(trial: &Trial, floor: &Trial) -> f64 {
    trial.cost.wall_s / floor.cost.wall_s
}

pub(crate) fn cpu_ratio(trial: &Trial, floor: &Trial) -> f64 {
    trial.cost.cpu_s() / floor.cost.cpu_s()
}

pub(crate) fn rss_mb(trial: &Trial, _: &Trial) -> f64 {
    trial.cost.peak_rss as f64 / MB
}

pub(crate) fn per_second(trial: &Trial, _: &Trial) -> f64 {
    trial.seen.count("answered") as f64 / trial.cost.wall_s
}

pub(crate) const WALL: Column<'_> = Column { title: "s", of: &wall, show: digits };
pub(crate) const WALL_RATIO: Column<'_> = Column { title: "time ÷ floor", of: &wall_ratio, show: times };
pub(crate) const CPU_RATIO: Column<'_> = Column { title: "CPU ÷ floor", of: &cpu_ratio, show: times };
pub(crate) const RSS: Column<'_> = Column { title: "MB, largest process", of: &rss_mb, show: digits };
pub(crate) const PEAK: Column<'_> =
    Column { title: "most at once", of: &|t, _| t.seen.count("peak") as f64, show: whole };

fn all(race: &Race<'_>, settings: &Settings, floor: Client, columns: &[Column<'_>]) -> io::Result<Found> {
    let mut problems = Vec::new();
    let trials = race.run(settings, &mut problems)?;
    Ok(Found { text: of_clients(&trials, floor, columns), raw: raw(&trials), problems })
}

pub(crate) fn small(settings: &Settings) -> io::Result<Found> {
    let recordings = data::equal(&settings.data, settings.pick(10_000, 200), 16_000)?;
    let race = Race {
        recordings: &recordings,
        slots: 8,
        behaviour: Behaviour::default(),
        clients: EVERYBODY,
        rounds: settings.rounds,
        turns: &[],
        expect: Expect::All,
    };
    let cpu_us = |t: &Trial, _: &Trial| t.cost.cpu_s() * 1e6 / t.seen.count("answered") as f64;
    let stub = |t: &Trial, _: &Trial| t.stub_cpu_s / t.cost.wall_s;
    let columns = [
        WALL,
        Column { title: "jobs/s", of: &per_second, show: whole },
        WALL_RATIO,
        Column { title: "CPU µs a job", of: &cpu_us, show: whole },
        CPU_RATIO,
        RSS,
        Column { title: "stub's CPU ÷ time", of: &stub, show: percent },
    ];
    all(&race, settings, Client::Poster, &columns)
}

pub(crate) fn tail(settings: &Settings) -> io::Result<Found> {
    const MEDIAN: u64 = 64 << 10;
    let slots = 32;
    let recordings = data::spread(&settings.data, settings.pick(2_000, 200), MEDIAN)?;
    let race = Race {
        recordings: &recordings,
        slots,
        // A file of the median is thought about for 200 ms.
        behaviour: Behaviour {
            latency_per_mib_ms: settings.pick(200.0, 50.0) * (1 << 20) as f64 / MEDIAN as f64,
            ..Behaviour::default()
        },
        clients: &[
            Client::PosterLongest,
            Client::Poster,
            Client::Voxbatch,
            Client::CurlZ,
            Client::Aiohttp,
            Client::Xargs,
            Client::Parallel,
        ],
        rounds: settings.rounds,
        turns: &[],
        expect: Expect::All,
    };
    // No client can be faster: all of the work on all slots, or the longest of it.
    let bound = |t: &Trial, _: &Trial| {
        (t.seen.seconds("thinking_us") / slots as f64).max(t.seen.seconds("longest_us"))
    };
    let over = |t: &Trial, floor: &Trial| t.cost.wall_s / bound(t, floor);
    let utilisation = |t: &Trial, _: &Trial| t.seen.utilisation(slots);
    let columns = [
        WALL,
        Column { title: "lower bound, s", of: &bound, show: digits },
        Column { title: "time ÷ bound", of: &over, show: times },
        Column { title: "slots used", of: &utilisation, show: percent },
        PEAK,
        RSS,
    ];
    all(&race, settings, Client::PosterLongest, &columns)
}

pub(crate) fn big(settings: &Settings) -> io::Result<Found> {
    let recordings = data::equal(&settings.data, settings.pick(40, 4), 90_000_000)?;
    let race = Race {
        recordings: &recordings,
        slots: 8,
        behaviour: Behaviour::default(),
        clients: EVERYBODY,
        rounds: settings.rounds,
        turns: &[],
        expect: Expect::All,
    };
    let speed = |t: &Trial, _: &Trial| recordings.bytes as f64 / MB / t.cost.wall_s;
    let cpu = |t: &Trial, _: &Trial| t.cost.cpu_s() / (recordings.bytes as f64 / 1e9);
    let columns = [
        WALL,
        Column { title: "MB/s", of: &speed, show: whole },
        WALL_RATIO,
        Column { title: "CPU s a GB", of: &cpu, show: digits },
        CPU_RATIO,
        RSS,
    ];
    all(&race, settings, Client::Poster, &columns)
}

pub(crate) fn held(settings: &Settings) -> io::Result<Found> {
    let count = settings.pick(64, 8);
    let recordings = data::equal(&settings.data, count, 95_000_000)?;
    let race = Race {
        recordings: &recordings,
        slots: count,
        behaviour: Behaviour { latency_ms: settings.pick(2_000.0, 500.0), ..Behaviour::default() },
        clients: EVERYBODY,
        rounds: settings.rounds,
        turns: &[],
        expect: Expect::All,
    };
    all(&race, settings, Client::Poster, &[WALL, PEAK, RSS])
}
