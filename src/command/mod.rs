//! The verbs, one file each, and what they share. Here the rooms are introduced to each other.

mod audit;
pub mod config;
mod console;
mod context;
mod deadline;
mod demo;
mod doctor;
pub mod emulator;
mod endpoints;
mod exit;
mod export;
mod feed;
mod halts;
mod hand;
pub mod init;
mod measure;
mod pings;
mod plan;
mod presets;
mod problem;
mod process;
mod projecting;
mod purge;
mod run;
mod scan;
mod scanning;
mod selftest;
mod signals;
mod slots;
mod status;
mod tasks;
mod torn;
mod verify;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{CommandFactory, Parser};

pub use self::exit::Exit;

use self::console::{Console, Looks};
use crate::config::Overrides;
use crate::report::Problem;
use crate::telemetry;

/// Sends archives of recordings through Modulate's Velma-2 speech models: keeps every slot busy, never exceeds the
/// limit, loses nothing, pays once.
#[derive(Debug, Parser)]
#[command(name = "voxbatch", version, arg_required_else_help = true, propagate_version = true)]
#[command(after_help = "Examples:
  voxbatch demo                     try it: an emulated API, bundled recordings, no key, no cost
  voxbatch init --source calls/     write a jobs.toml for a folder of recordings
  voxbatch run                      send what is there, and what is new
  voxbatch retry --where state:failed && voxbatch run

Exit codes: 0 done, 2 usage or configuration, 3 some failed, 4 no access, 5 limit reached, 6 API unusable,
7 trouble on this machine, 8 verify or selftest found something, 9 nothing to do (--error-if-empty), 10 deadline reached
with work left, 130/143 stopped by a signal.")]
pub struct Cli {
    #[command(flatten)]
    overrides: Overrides,
    #[command(flatten)]
    looks: Looks,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Demo(demo::DemoArgs),
    Init(init::InitArgs),
    Scan(scan::ScanArgs),
    Plan(plan::PlanArgs),
    Run(run::RunArgs),
    Doctor(doctor::DoctorArgs),
    Status(status::StatusArgs),
    Tasks(tasks::TasksArgs),
    Show(tasks::ShowArgs),
    Explain(tasks::ExplainArgs),
    Retry(hand::RetryArgs),
    Cancel(hand::CancelArgs),
    /// Let requests in flight end and start nothing more, in every run on this queue
    Pause,
    /// Go on after a pause
    Resume,
    Halts(halts::HaltsArgs),
    Presets(presets::PresetsArgs),
    Endpoints(endpoints::EndpointsArgs),
    Export(export::ExportArgs),
    Verify(verify::VerifyArgs),
    Purge(purge::PurgeArgs),
    Selftest(selftest::SelftestArgs),
    Emulator(Box<emulator::EmulatorArgs>),
    Config(config::ConfigArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    process::settle_in();
    let cli = Cli::parse();
    let console = Console::new(cli.looks.clone());
    telemetry::install_panic_hook(|text| {
        let _ = writeln!(io::stderr(), "{text}");
    });
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            console.problem(&Problem::new("E-BUG", format!("failed to start: {error}")));
            return ExitCode::from(Exit::Bug.code());
        }
    };
    let done = runtime.block_on(dispatch(&cli, &console));
    // A scan of a slow disk may still be reading; nobody waits for it.
    runtime.shutdown_background();
    ExitCode::from(match done {
        Ok(code) => code,
        Err(error) => tell(&error, &cli, &console),
    })
}

async fn dispatch(cli: &Cli, console: &Console) -> Result<u8> {
    let overrides = &cli.overrides;
    let mut out = io::stdout();
    let exit = match &cli.verb {
        Verb::Init(args) => return init::init(args, overrides, &mut out),
        Verb::Config(args) => {
            return config::config(args, overrides, &context::environment, context::check_options, &mut out);
        }
        Verb::Completions { shell } => {
            // The generator panics when its writer fails; a vector cannot.
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "voxbatch", &mut script);
            out.write_all(&script)?;
            return Ok(0);
        }
        Verb::Emulator(args) => {
            logs_by_flags(overrides, console)?;
            let stop = tokio_util::sync::CancellationToken::new();
            tokio::spawn(cancel_on_signal(stop.clone()));
            let served = emulator::run(args.as_ref().clone(), stop).await;
            served.map_err(|error| problem::UsageError::new(format!("{error:#}")))?;
            return Ok(0);
        }
        Verb::Endpoints(args) => endpoints::endpoints(args, overrides, console),
        Verb::Demo(args) => {
            logs_by_flags(overrides, console)?;
            demo::demo(args, console).await?
        }
        Verb::Selftest(args) => {
            logs_by_flags(overrides, console)?;
            selftest::selftest(args, console).await?
        }
        verb => {
            logs(overrides, console)?;
            work(verb, overrides, console).await?
        }
    };
    Ok(exit.code())
}

async fn work(verb: &Verb, overrides: &Overrides, console: &Console) -> Result<Exit> {
    match verb {
        Verb::Scan(args) => scan::scan(args, overrides, console).await,
        Verb::Plan(args) => plan::plan(args, overrides, console).await,
        Verb::Run(args) => run::run(args, overrides, console).await,
        Verb::Doctor(args) => doctor::doctor(args, overrides, console).await,
        Verb::Status(args) => status::status(args, overrides, console).await,
        Verb::Tasks(args) => tasks::tasks(args, overrides, console).await,
        Verb::Show(args) => tasks::show(args, overrides, console).await,
        Verb::Explain(args) => tasks::explain(args, overrides, console).await,
        Verb::Retry(args) => hand::retry(args, overrides, console).await,
        Verb::Cancel(args) => hand::cancel(args, overrides, console).await,
        Verb::Pause => halts::pause(overrides, console).await,
        Verb::Resume => halts::resume(overrides, console).await,
        Verb::Halts(args) => halts::halts(args, overrides, console).await,
        Verb::Presets(args) => presets::presets(args, overrides, console).await,
        Verb::Export(args) => export::export(args, overrides, console).await,
        Verb::Verify(args) => verify::verify(args, overrides, console).await,
        Verb::Purge(args) => purge::purge(args, overrides, console).await,
        _ => Ok(Exit::Done),
    }
}

/// Logs as the configuration says.
fn logs(overrides: &Overrides, console: &Console) -> Result<()> {
    let settings = context::load(overrides)?.log;
    let screen = console.screen.clone();
    telemetry::init(&settings, move || screen.stderr()).context("set up logs")
}

/// Logs for verbs without a configuration: as the flags say.
fn logs_by_flags(overrides: &Overrides, console: &Console) -> Result<()> {
    let mut settings = telemetry::LogSettings::default();
    if let Some(level) = &overrides.log_level {
        settings.level.clone_from(level);
    }
    settings.json = overrides.log_format.as_deref() == Some("json");
    let screen = console.screen.clone();
    telemetry::init(&settings, move || screen.stderr()).context("set up logs")
}

async fn cancel_on_signal(stop: tokio_util::sync::CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    if let Ok(mut term) = signal(SignalKind::terminate()) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = term.recv() => {}
        }
        stop.cancel();
    }
}

fn tell(error: &anyhow::Error, cli: &Cli, console: &Console) -> u8 {
    // A reader that went away (`| head`) has what it wanted.
    if error
        .chain()
        .any(|e| e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
    {
        return Exit::Done.code();
    }
    if let Some(config) = problem::of_config(error) {
        let _ = write!(io::stderr(), "{}", config.render());
        return Exit::Usage.code();
    }
    let told = problem::of(error);
    match &cli.verb {
        Verb::Run(args) if args.json => console.problem_json(&told.problem),
        _ => console.problem(&told.problem),
    }
    told.exit.code()
}
