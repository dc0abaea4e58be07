//! Clients in turns on the same files: A B C, A B C, … What disturbs the machine for a while then disturbs all of
//! them, and ratios are taken within a round.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::clients::Client;
use crate::data::{self, Recordings};
use crate::server::{Behaviour, Stub};
use crate::settings::Settings;
use crate::trial::{Trial, last_words};

/// What a scenario found.
#[derive(Default)]
pub(crate) struct Found {
    /// Markdown.
    pub(crate) text: String,
    pub(crate) raw: Value,
    /// What did not do what it had to.
    pub(crate) problems: Vec<String>,
}

pub(crate) struct Race<'r> {
    pub(crate) recordings: &'r Recordings,
    pub(crate) slots: u64,
    pub(crate) behaviour: Behaviour,
    pub(crate) clients: &'r [Client],
    pub(crate) rounds: usize,
    /// After so long, so many are let in at once.
    pub(crate) turns: &'r [(Duration, u64)],
    /// How many have to be answered, and the exit code of voxbatch.
    pub(crate) expect: Expect,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Everything is sent and answered, once.
    All,
    /// The API stops for all after so many.
    Stop(u64),
    /// Everything by voxbatch; others may lose what is refused.
    AllOfOurs,
}

impl Race<'_> {
    pub(crate) fn run(&self, settings: &Settings, problems: &mut Vec<String>) -> io::Result<Vec<Trial>> {
        let is_needed = |c: Client| matches!(c, Client::Voxbatch | Client::Poster | Client::PosterLongest);
        let invited = |c: &Client| is_needed(*c) || settings.invites(c.name());
        let invited: Vec<Client> = self.clients.iter().copied().filter(invited).collect();
        let there: Vec<Client> = invited.iter().copied().filter(|client| client.is_there()).collect();
        for client in invited.iter().filter(|client| !there.contains(client)) {
            println!("SKIPPED {}: not on this machine; bench/install-peers.sh gets it", client.name());
        }
        // From here on they are read from memory, by the first client as by all others.
        data::read_all(&self.recordings.folder)?;
        let mut trials = Vec::new();
        for round in 1..=self.rounds {
            for &client in &there {
                let trial = self.trial(settings, client, round)?;
                println!(
                    "round {round}  {:<30} {:>8.2} s  {:>8.2} s cpu  {:>7.1} MB",
                    client.name(),
                    trial.cost.wall_s,
                    trial.cost.cpu_s(),
                    trial.cost.peak_rss as f64 / 1e6
                );
                if let Some(problem) = self.problem(&trial) {
                    println!("PROBLEM {problem}; it said:\n{}", last_words(settings));
                    problems.push(problem);
                }
                trials.push(trial);
            }
        }
        Ok(trials)
    }

    fn trial(&self, settings: &Settings, client: Client, round: usize) -> io::Result<Trial> {
        let stub = Stub::start(self.behaviour)?;
        thread::scope(|threads| {
            // Dropped when the trial is over, and with it ends who waits for the next turn.
            let (_running, over) = mpsc::channel::<()>();
            threads.spawn(|| self.turn(&stub, over));
            Trial::run(settings, client, round, &stub, &self.recordings.folder, self.slots)
        })
    }

    fn turn(&self, stub: &Stub, over: mpsc::Receiver<()>) {
        for &(wait, concurrent) in self.turns {
            if over.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            if let Err(problem) = stub.limit(concurrent) {
                println!("PROBLEM the stub does not take another limit: {problem}");
            }
        }
    }

    fn problem(&self, trial: &Trial) -> Option<String> {
        let (client, ours) = (trial.client.name(), trial.client == Client::Voxbatch);
        let (answered, exit) = (trial.seen.count("answered"), trial.cost.exit);
        let (due, code) = match self.expect {
            Expect::All => (self.recordings.count, 0),
            Expect::Stop(after) => (after, 5),
            Expect::AllOfOurs if ours => (self.recordings.count, 0),
            Expect::AllOfOurs => return None,
        };
        let told = |what: String| Some(format!("{client} in round {}: {what}", trial.round));
        if answered != due {
            return told(format!("{answered} of {due} were answered"));
        }
        if trial.results.is_some_and(|results| results != due) {
            return told(format!("{:?} results instead of {due}", trial.results.unwrap_or_default()));
        }
        if (ours || code == 0) && exit != code {
            return told(format!("exit code {exit} instead of {code}"));
        }
        let peak = trial.seen.count("peak");
        (peak > self.slots).then(|| format!("{client}: {peak} at once, with {} slots", self.slots))
    }
}

/// All figures of some trials.
pub(crate) fn raw(trials: &[Trial]) -> Value {
    json!(trials.iter().map(Trial::to_json).collect::<Vec<_>>())
}
