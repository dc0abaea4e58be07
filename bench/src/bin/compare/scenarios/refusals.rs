//! The scenarios in which the API says no: for good, or to some of what is asked.

use std::io;
use std::time::Duration;

use crate::clients::Client;
use crate::data;
use crate::race::{Expect, Found, Race, raw};
use crate::server::Behaviour;
use crate::settings::Settings;
use crate::table::{Column, digits, of_clients, percent, whole};
use crate::trial::Trial;

use super::races::{PEAK, WALL};

pub(crate) fn halt(settings: &Settings) -> io::Result<Found> {
    let recordings = data::equal(&settings.data, settings.pick(10_000, 200), 16_000)?;
    let stop = recordings.count / settings.pick(10, 2);
    let race = Race {
        recordings: &recordings,
        slots: 8,
        behaviour: Behaviour { latency_ms: 20.0, monthly: stop, ..Behaviour::default() },
        clients: &[Client::Poster, Client::Voxbatch, Client::CurlZ, Client::Aiohttp],
        rounds: settings.rounds,
        turns: &[],
        expect: Expect::Stop(stop),
    };
    let mut problems = Vec::new();
    let trials = race.run(settings, &mut problems)?;
    // What was on its way when the first refusal came could not know.
    for trial in trials.iter().filter(|t| t.client == Client::Voxbatch && t.seen.refused() > race.slots) {
        problems.push(format!(
            "voxbatch sent {} requests into a halt, with {} slots",
            trial.seen.refused(),
            race.slots
        ));
    }
    let refused = |t: &Trial, _: &Trial| t.seen.refused() as f64;
    let afterwards = |t: &Trial, _: &Trial| t.afterwards_s();
    let exit = |t: &Trial, _: &Trial| f64::from(t.cost.exit);
    let columns = [
        Column { title: "answered", of: &|t, _| t.seen.count("answered") as f64, show: whole },
        Column { title: "sent in vain", of: &refused, show: whole },
        PEAK,
        Column { title: "s from the last answer to the end", of: &afterwards, show: digits },
        Column { title: "exit code", of: &exit, show: whole },
    ];
    Ok(Found { text: of_clients(&trials, Client::Poster, &columns), raw: raw(&trials), problems })
}

pub(crate) fn shared(settings: &Settings) -> io::Result<Found> {
    let slots = settings.pick(32, 8);
    let recordings = data::equal(&settings.data, settings.pick(2_000, 200), 16_000)?;
    let (from, long) = settings.pick((3_000, 6_000), (500, 1_000));
    let race = Race {
        recordings: &recordings,
        slots,
        behaviour: Behaviour {
            latency_ms: settings.pick(200.0, 50.0),
            concurrent: slots,
            ..Behaviour::default()
        },
        clients: &[Client::Poster, Client::Voxbatch, Client::CurlZ, Client::AiohttpRetry],
        rounds: settings.rounds,
        turns: &[(Duration::from_millis(from), slots / 2), (Duration::from_millis(long), slots)],
        expect: Expect::AllOfOurs,
    };
    let mut problems = Vec::new();
    let trials = race.run(settings, &mut problems)?;
    let share = |t: &Trial, _: &Trial| t.seen.refused() as f64 / t.seen.count("requests") as f64;
    let used = |t: &Trial, _: &Trial| t.seen.seconds("busy_us") / t.seen.seconds("open_us");
    let lost = |t: &Trial, _: &Trial| recordings.count.saturating_sub(t.seen.count("answered")) as f64;
    let columns = [
        WALL,
        Column { title: "files not transcribed", of: &lost, show: whole },
        Column { title: "refused", of: &|t, _| t.seen.refused() as f64, show: whole },
        Column { title: "refused ÷ requests", of: &share, show: percent },
        Column { title: "used of the slots there were", of: &used, show: percent },
    ];
    Ok(Found { text: of_clients(&trials, Client::Poster, &columns), raw: raw(&trials), problems })
}
