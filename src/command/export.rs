//! `export`: what a filter picks, in a format, to a file or stdout.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::console::Console;
use super::context::{Context, now};
use super::exit::Exit;
use super::problem::UsageError;
use crate::config::Overrides;
use crate::outputs::{self, ExportFormat, OutputError};
use crate::report::plural;
use crate::task::Filter;

/// Write recordings and their results in a format of your choice; costs nothing
#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    /// jsonl, csv or utterances
    #[arg(long, value_name = "FORMAT", default_value = "jsonl")]
    pub(super) format: Format,
    /// Which, such as 'job:archive state:succeeded' [default: all]
    #[arg(long = "where", value_name = "FILTER", default_value = "")]
    pub(super) filter: String,
    /// Where to; `-` is stdout
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(super) output: PathBuf,
    /// Replace a file that exists
    #[arg(long)]
    pub(super) force: bool,
}

/// What `--format` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// A JSON object a line.
    Jsonl,
    /// A row a recording.
    Csv,
    /// A row an utterance.
    Utterances,
}

/// Runs the verb.
pub(super) async fn export(args: &ExportArgs, overrides: &Overrides, console: &Console) -> Result<Exit> {
    let filter = Filter::parse(&args.filter)?;
    let context = Context::open(overrides).await?;
    let format = match args.format {
        Format::Jsonl => ExportFormat::Jsonl,
        Format::Csv => ExportFormat::Csv,
        Format::Utterances => ExportFormat::Utterances,
    };
    let settings = &context.config.outputs;
    let written = if args.output == Path::new("-") {
        let mut out = BufWriter::new(io::stdout());
        let lines = outputs::export(&*context.store, format, filter, settings, now(), &mut out).await;
        let lines = lines.and_then(|n| out.flush().map(|()| n).map_err(OutputError::Export));
        match lines {
            // Whoever read it has seen enough.
            Err(OutputError::Export(e)) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Done),
            lines => lines?,
        }
    } else {
        let mut options = OpenOptions::new();
        options.write(true).mode(0o600);
        if args.force {
            options.create(true).truncate(true)
        } else {
            options.create_new(true)
        };
        let file = options.open(&args.output).map_err(|e| usage(&args.output, &e))?;
        let mut out = BufWriter::new(file);
        let lines = outputs::export(&*context.store, format, filter, settings, now(), &mut out).await?;
        out.flush().map_err(OutputError::Export)?;
        lines
    };
    context.store.close().await;
    console.note(&format!("{} written", plural(written, "line", "lines")));
    Ok(Exit::Done)
}

fn usage(path: &Path, error: &io::Error) -> UsageError {
    let wish = UsageError::new(format!("cannot create {}: {error}", path.display()));
    match error.kind() {
        io::ErrorKind::AlreadyExists => wish.mend("voxbatch export --force …", "replaces a file that exists"),
        _ => wish,
    }
}
