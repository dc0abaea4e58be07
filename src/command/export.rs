//! `export`: what a filter picks, in a format: one file or stdout, or a file for each recording.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::console::Console;
use super::context::{Context, UnknownJob, now};
use super::exit::Exit;
use super::problem::UsageError;
use crate::config::Overrides;
use crate::outputs::{self, ExportFormat, FileFormat, Output, OutputError, OutputSettings};
use crate::report::plural;
use crate::task::{Filter, Job};

/// Write recordings and their results in a format of your choice; costs nothing
#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    #[arg(long, value_name = "FORMAT", default_value = "jsonl", hide_possible_values = true, help = FORMATS)]
    pub(super) format: Format,
    /// Only this job; may be given several times. A file for each recording: of one job
    #[arg(long, value_name = "NAME")]
    pub(super) job: Vec<String>,
    /// Which, such as 'job:archive state:succeeded' [default: all]
    #[arg(long = "where", value_name = "FILTER", default_value = "")]
    pub(super) filter: String,
    /// Where to, for one file; `-` is stdout [default: -]
    #[arg(short, long, value_name = "FILE", conflicts_with = "to")]
    pub(super) output: Option<PathBuf>,
    /// The folder that it goes to; `-` is stdout [default, a file for each recording: the job's output]
    #[arg(long, value_name = "FOLDER")]
    pub(super) to: Option<PathBuf>,
    /// Replace files that exist
    #[arg(long)]
    pub(super) force: bool,
}

#[cfg(feature = "parquet")]
const FORMATS: &str = "One file: jsonl, csv, utterances, behaviors, topics, roles, music, nemo. Two tables: parquet. A file for each recording: txt, srt, vtt, rttm, tsv, json";
#[cfg(not(feature = "parquet"))]
const FORMATS: &str = "One file: jsonl, csv, utterances, behaviors, topics, roles, music, nemo. A file for each recording: txt, srt, vtt, rttm, tsv, json";

/// What `--format` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// A JSON object a line.
    Jsonl,
    /// A row a recording.
    Csv,
    /// A row an utterance.
    Utterances,
    /// A row a behavior of a conversation.
    Behaviors,
    /// A row a topic, or a speaker's sentiment on it.
    Topics,
    /// A row a speaker with a role.
    Roles,
    /// A row a window of the music models.
    Music,
    /// A line an utterance, as NeMo reads them.
    Nemo,
    /// Paragraphs by speaker.
    Txt,
    /// Subtitles as SubRip has them.
    Srt,
    /// Subtitles for the web.
    Vtt,
    /// Who speaks when.
    Rttm,
    /// Whisper's table.
    Tsv,
    /// The API's answer as it came.
    Json,
    /// Two tables: recordings and utterances. In a build without it, it is known and not told of: who asks for it hears how to
    /// get it.
    #[cfg_attr(not(feature = "parquet"), value(hide = true))]
    Parquet,
}

/// How many files it makes.
enum Makes {
    One(ExportFormat),
    Each(FileFormat),
    Tables,
}

impl Format {
    fn makes(self) -> Makes {
        match self {
            Format::Jsonl => Makes::One(ExportFormat::Jsonl),
            Format::Csv => Makes::One(ExportFormat::Csv),
            Format::Utterances => Makes::One(ExportFormat::Utterances),
            Format::Behaviors => Makes::One(ExportFormat::Behaviors),
            Format::Topics => Makes::One(ExportFormat::Topics),
            Format::Roles => Makes::One(ExportFormat::Roles),
            Format::Music => Makes::One(ExportFormat::Music),
            Format::Nemo => Makes::One(ExportFormat::Nemo),
            Format::Txt => Makes::Each(FileFormat::Txt),
            Format::Srt => Makes::Each(FileFormat::Srt),
            Format::Vtt => Makes::Each(FileFormat::Vtt),
            Format::Rttm => Makes::Each(FileFormat::Rttm),
            Format::Tsv => Makes::Each(FileFormat::Tsv),
            Format::Json => Makes::Each(FileFormat::Json),
            Format::Parquet => Makes::Tables,
        }
    }
}

/// Runs the verb.
pub(super) async fn export(args: &ExportArgs, overrides: &Overrides, console: &Console) -> Result<Exit> {
    let mut filter = Filter::parse(&args.filter)?;
    let context = Context::open(overrides).await?;
    let jobs = picked(&context, args, &mut filter).await?;
    let exit = match args.format.makes() {
        Makes::One(format) => {
            // Of all jobs, those that have nothing for it are passed over; one that was named is a mistake.
            for job in jobs.iter().filter(|_| !filter.jobs.is_empty()) {
                if format == ExportFormat::Nemo {
                    suits(Output::Nemo, job)?;
                }
                fills(format, job)?;
            }
            one(&context, args, format, &jobs, filter, console).await?
        }
        Makes::Tables => tables(&context, args, &jobs, filter, console).await?,
        Makes::Each(format) => {
            let [job] = &jobs[..] else {
                return Err(not_one(format, &jobs).into());
            };
            suits(Output::File(format), job)?;
            filter.jobs = vec![job.name.clone()];
            each(&context, args, format, job, filter, console).await?
        }
    };
    context.store.close().await;
    Ok(exit)
}

fn not_one(format: FileFormat, jobs: &[Job]) -> UsageError {
    if jobs.is_empty() {
        return UsageError::new("the queue knows no such job yet")
            .mend("voxbatch run", "makes results first");
    }
    let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    let (word, names) = (format.word(), names.join(", "));
    UsageError::new(format!("`{word}` makes a file for each recording of one job; there are {names}"))
        .mend("--job NAME", "picks one")
}

/// The jobs that are meant, also those that left the file; the filter is told.
async fn picked(context: &Context, args: &ExportArgs, filter: &mut Filter) -> Result<Vec<Job>> {
    let known = context.all_jobs().await?;
    if !args.job.is_empty() && !filter.jobs.is_empty() {
        return Err(UsageError::new("--job and `job:` in --where both pick jobs; give one of them").into());
    }
    if let Some(name) = args.job.iter().find(|name| !known.iter().any(|job| job.name == **name)) {
        let known = known.into_iter().map(|job| job.name).collect();
        return Err(UnknownJob { name: name.clone(), known }.into());
    }
    if filter.jobs.is_empty() {
        filter.jobs = args.job.clone();
    }
    let is_meant = |job: &Job| {
        (filter.jobs.is_empty() || filter.jobs.contains(&job.name))
            && (filter.endpoints.is_empty() || filter.endpoints.contains(&job.endpoint))
    };
    Ok(known.into_iter().filter(is_meant).collect())
}

fn suits(output: Output, job: &Job) -> Result<(), UsageError> {
    let Some(why) = output.refusal(job.endpoint) else { return Ok(()) };
    let works: Vec<&str> = Output::of(job.endpoint).map(Output::word).collect();
    let (word, name, endpoint) = (output.word(), &job.name, job.endpoint);
    let what = format!("job {name} has nothing to write as `{word}` from {endpoint}, because {why}");
    Err(UsageError::new(what).mend(format!("--format {}", works.join("|")), "works"))
}

fn fills(format: ExportFormat, job: &Job) -> Result<(), UsageError> {
    if format.is_of(job.endpoint) {
        return Ok(());
    }
    let (file, name, endpoint) = (format.file_name(), &job.name, job.endpoint);
    Err(UsageError::new(format!(
        "job {name} has nothing for {file}: {endpoint} answers with nothing of the kind"
    ))
    .mend("--format jsonl", "has everything that it answered"))
}

/// With the columns of metadata that any of the jobs has.
async fn with_fields(context: &Context, jobs: &[Job]) -> Result<OutputSettings> {
    let mut fields: Vec<String> = Vec::new();
    for job in jobs {
        let names = context.store.learn_fields(job.id, Vec::new()).await?;
        fields.extend(names.into_iter().filter(|name| !fields.contains(name)).collect::<Vec<_>>());
    }
    Ok(OutputSettings { fields, ..context.config.outputs.clone() })
}

#[cfg(feature = "parquet")]
async fn tables(
    context: &Context,
    args: &ExportArgs,
    jobs: &[Job],
    filter: Filter,
    console: &Console,
) -> Result<Exit> {
    let Some(folder) = args.to.as_ref().filter(|to| **to != Path::new("-")) else {
        return Err(UsageError::new("`parquet` makes two tables, which need a folder")
            .mend("--to FOLDER", "takes recordings.parquet and utterances.parquet")
            .into());
    };
    if let Some(name) = outputs::TABLES.iter().find(|name| !args.force && folder.join(name).exists()) {
        return Err(usage(&folder.join(name), &io::ErrorKind::AlreadyExists.into()).into());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|e| usage(folder, &e))?;
    let settings = with_fields(context, jobs).await?;
    let [recordings, utterances] =
        outputs::export_tables(&*context.store, filter, &settings, now(), folder).await?;
    let recordings = plural(recordings, "recording", "recordings");
    console.note(&format!("{recordings}, {} written", plural(utterances, "utterance", "utterances")));
    Ok(Exit::Done)
}

#[cfg(not(feature = "parquet"))]
async fn tables(_: &Context, _: &ExportArgs, _: &[Job], _: Filter, _: &Console) -> Result<Exit> {
    Err(UsageError::new("this voxbatch was built without Parquet")
        .mend(outputs::PARQUET_MEND, "builds one with it")
        .into())
}

async fn one(
    context: &Context,
    args: &ExportArgs,
    format: ExportFormat,
    jobs: &[Job],
    filter: Filter,
    console: &Console,
) -> Result<Exit> {
    let settings = &with_fields(context, jobs).await?;
    let path = match &args.to {
        Some(folder) if folder != Path::new("-") => {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(|e| usage(folder, &e))?;
            folder.join(format.file_name())
        }
        to => to.clone().or_else(|| args.output.clone()).unwrap_or_else(|| "-".into()),
    };
    let written = if path == Path::new("-") {
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
        let file = options.open(&path).map_err(|e| usage(&path, &e))?;
        let mut out = BufWriter::new(file);
        let lines = outputs::export(&*context.store, format, filter, settings, now(), &mut out).await?;
        out.flush().map_err(OutputError::Export)?;
        lines
    };
    console.note(&format!("{} written", plural(written, "line", "lines")));
    Ok(Exit::Done)
}

async fn each(
    context: &Context,
    args: &ExportArgs,
    format: FileFormat,
    job: &Job,
    filter: Filter,
    console: &Console,
) -> Result<Exit> {
    let store = &*context.store;
    if args.output.is_some() {
        let what = format!("`{}` makes a file for each recording: -o names only one", format.word());
        return Err(UsageError::new(what).mend("--to FOLDER", "takes them all; `--to -` prints one").into());
    }
    match &args.to {
        None => in_the_job(context, args, format, job, console).await,
        Some(to) if to == Path::new("-") => {
            let most = if format.can_be_joined() { u64::MAX } else { 1 };
            let mut out = Vec::new();
            let mut stdout = BufWriter::new(io::stdout());
            let to: &mut (dyn Write + Send) = if most == 1 { &mut out } else { &mut stdout };
            let done = outputs::export_joined(store, format, filter, now(), most, to).await;
            // More than one is refused: then none is printed.
            out.truncate(if done.as_ref().is_ok_and(|n| *n > most) { 0 } else { out.len() });
            let done = done.and_then(|n| {
                stdout.write_all(&out).and_then(|()| stdout.flush()).map(|()| n).map_err(OutputError::Export)
            });
            match done {
                Err(OutputError::Export(e)) if e.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Done),
                Ok(count) if count > most => {
                    let what = format!("stdout takes the `{}` of one recording", format.word());
                    Err(UsageError::new(what).mend("--where id:N", "picks one; --to FOLDER takes all").into())
                }
                done => {
                    console.note(&plural(done?, "recording", "recordings"));
                    Ok(Exit::Done)
                }
            }
        }
        Some(folder) => {
            let done = outputs::export_files(store, format, filter, now(), folder, args.force).await;
            let done = match done {
                Err(error @ OutputError::InTheWay { .. }) => {
                    let wish = UsageError::new(format!("failed to {error}"));
                    return Err(wish.mend("voxbatch export --force …", "replaces files that exist").into());
                }
                done => done?,
            };
            let mut said = vec![plural(done.written, "file", "files") + " written"];
            if done.unchanged > 0 {
                said.push(format!("{} as they should be already", done.unchanged));
            }
            if done.without > 0 {
                said.push(plural(done.without, "recording has", "recordings have") + " no result");
            }
            console.note(&said.join(", "));
            Ok(Exit::Done)
        }
    }
}

/// Into the job's own output, where runs keep such files: all of them, and only if the job lists them.
async fn in_the_job(
    context: &Context,
    args: &ExportArgs,
    format: FileFormat,
    job: &Job,
    console: &Console,
) -> Result<Exit> {
    let word = format.word();
    let stated = context.config.jobs.iter().find(|config| config.spec.name == job.name);
    if !stated.is_some_and(|config| config.outputs.contains(&Output::File(format))) {
        let what =
            format!("job {} does not list `{word}` in its outputs, so runs keep no such files", job.name);
        return Err(UsageError::new(what).mend("--to FOLDER", "writes them elsewhere, once").into());
    }
    if !args.filter.trim().is_empty() {
        let what = "--where picks recordings, and the job's own files are all made right together";
        return Err(UsageError::new(what).mend("--to FOLDER", "writes some of them elsewhere").into());
    }
    match outputs::render_tree(&*context.store, job, format).await? {
        Some(files) => {
            let folder = super::run::shorten(job.output.join(word));
            console.note(&format!("{} in {}", plural(files, "file", "files"), folder.display()));
            Ok(Exit::Done)
        }
        None => {
            let what = format!("a run is writing the files of job {}", job.name);
            Err(UsageError::new(what).mend("--to FOLDER", "writes them elsewhere meanwhile").into())
        }
    }
}

fn usage(path: &Path, error: &io::Error) -> UsageError {
    let wish = UsageError::new(format!("cannot create {}: {error}", path.display()));
    match error.kind() {
        io::ErrorKind::AlreadyExists => wish.mend("voxbatch export --force …", "replaces a file that exists"),
        _ => wish,
    }
}
