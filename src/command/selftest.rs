//! `selftest`: the binary against itself. It starts an emulator, runs itself as child processes, kills them at random
//! and holds what is left against the promises. Leaves the rounds to `chaos`.

mod chaos;
mod child;
mod clock;
mod figures;
mod plan;
mod search;
mod workspace;

use std::path::Path;

use anyhow::{Context as _, Result};
use fastrand::Rng;
use tokio_util::sync::CancellationToken;

use self::chaos::{Chaos, emulated};
use self::child::Nursery;
use self::clock::Clock;
use self::figures::Figures;
use self::search::Needles;
use self::workspace::{SLOTS, Workspace};
use super::console::Console;
use super::exit::Exit;
use super::problem::UsageError;
use crate::emulator::Emulator;
use crate::report::Problem;

/// Kill real runs at random against an emulated API, and prove that nothing is lost, doubled or overrun
#[derive(Debug, clap::Args)]
pub(super) struct SelftestArgs {
    /// Do harm: kills, stops, torn files, limits, a bad network, jumps of the clock. The only selftest there is
    #[arg(long, required = true)]
    pub(super) chaos: bool,
    /// How many times a run is killed while it works
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) rounds: u64,
    /// Chooses what happens when; the moments themselves depend on the machine [default: random]
    #[arg(long, value_name = "NUMBER")]
    pub(super) seed: Option<u64>,
    /// Recordings to begin with, and again each time that few are left
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(super) files: u64,
    /// Keep the folder also when all went well
    #[arg(long)]
    pub(super) keep: bool,
    /// The figures as one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

/// Runs the verb.
pub(super) async fn selftest(args: &SelftestArgs, console: &Console) -> Result<Exit> {
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(0..1_000_000));
    let folder =
        tempfile::Builder::new().prefix("voxbatch-selftest-").tempdir().context("create a folder")?;
    console.note(&format!("selftest: seed {seed}, in {}", folder.path().display()));
    let stop = CancellationToken::new();
    tokio::spawn(super::cancel_on_signal(stop.clone()));
    let figures = tokio::select! {
        done = harm(args, seed, folder.path(), console) => done,
        // Children are killed where they are dropped.
        () = stop.cancelled() => return Ok(Exit::Interrupted),
    };
    let holds = figures.as_ref().is_ok_and(|figures| figures.broken.is_empty());
    let kept = (!holds || args.keep).then(|| folder.keep());
    if let Some(folder) = kept {
        console.note(&format!("selftest: kept {}, seed {seed}", folder.display()));
    }
    let figures = figures?;
    console.say(&if args.json { figures.object().to_string() } else { figures.text() });
    if !holds {
        let problem = Problem::new("E-SELFTEST", "a promise did not hold; this is a bug").mend(
            format!(
                "voxbatch selftest --chaos --rounds {} --files {} --seed {seed}",
                args.rounds, args.files
            ),
            "draws the same rounds again",
        );
        console.problem(&problem);
        return Ok(Exit::Verify);
    }
    Ok(Exit::Done)
}

async fn harm(args: &SelftestArgs, seed: u64, folder: &Path, console: &Console) -> Result<Figures> {
    let mut dice = Rng::with_seed(seed);
    let key = format!("selftest-{:016x}{:016x}", dice.u64(..), dice.u64(..));
    let emulator = Emulator::start(emulated(&key, seed)).await.context("start the emulator")?;
    let mut workspace = Workspace::lay_out(folder, &emulator.base_url())
        .map_err(|error| UsageError::new(format!("cannot write to {}: {error}", folder.display())))?;
    workspace.add(args.files)?;
    let clock = Clock::find(folder).context("prepare a clock")?;
    if clock.is_none() {
        console.note("selftest: SKIPPED: jumps of the clock need libfaketime (Debian: faketime)");
    }
    let can_jump = clock.is_some();
    let program = std::env::current_exe().context("find this program's own file")?;
    let mut chaos = Chaos {
        console,
        emulator,
        nursery: Nursery {
            program,
            home: workspace.folder().to_owned(),
            key: key.clone(),
            clock,
            started: 0,
        },
        workspace,
        needles: Needles::new(&key),
        dice,
        batch: args.files,
        figures: Figures { seed, slots: SLOTS.into(), jumps: can_jump.then_some(0), ..Figures::default() },
        runs: 0,
    };
    let done = chaos.rounds(args.rounds).await;
    let Chaos { emulator, figures, .. } = chaos;
    emulator.stop().await;
    // What broke is worth more than what then went wrong with the test.
    match done {
        Err(error) if figures.broken.is_empty() => Err(error),
        Err(error) => {
            console.note(&format!("selftest: could not go on: {error:#}"));
            Ok(figures)
        }
        Ok(()) => Ok(figures),
    }
}
