//! The scenarios, in the order in which they run. Each asks one question; `docs/performance.md` says which.

mod growth;
mod races;
mod refusals;
mod scan;
mod start;

use std::io;

use crate::race::Found;
use crate::settings::Settings;

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: fn(&Settings) -> io::Result<Found>,
}

pub(crate) const ALL: &[Scenario] = &[
    Scenario {
        name: "small",
        about: "Many small files, a server that answers at once, 8 slots: what a job costs.",
        run: races::small,
    },
    Scenario {
        name: "tail",
        about: "Lengths as they are (most short, a few very long), thinking time by length, 32 slots: is time lost to \
                the order?",
        run: races::tail,
    },
    Scenario {
        name: "big",
        about: "Files of 90 MB, a server that answers at once, 8 slots: what a byte costs.",
        run: races::big,
    },
    Scenario {
        name: "held",
        about: "64 files of 95 MB in flight at once, answered after two seconds: what is held in memory?",
        run: races::held,
    },
    Scenario {
        name: "halt",
        about: "The month's hours end on the way: how much is sent in vain, and how soon is it over?",
        run: refusals::halt,
    },
    Scenario {
        name: "shared",
        about: "For some seconds another program takes half of the slots: how often is one refused, and are those that are left used?",
        run: refusals::shared,
    },
    Scenario {
        name: "growth",
        about: "A thousand tasks, and a hundred times as many: does a job cost the same?",
        run: growth::growth,
    },
    Scenario {
        name: "scan",
        about: "Finding files and writing them down, from warm folders.",
        run: scan::scan,
    },
    Scenario {
        name: "start",
        about: "A queue with a long past: how long until the first request, and until a status?",
        run: start::start,
    },
];
