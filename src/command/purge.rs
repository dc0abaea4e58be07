//! `purge`: deletes answers and redacted audio for good, after a time. What is deleted, and in which order, is the
//! queue's and the outputs' to know; here it is asked for, confirmed and told.

use std::io::{self, BufRead, IsTerminal, Write};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::audit::{Audit, of_purge};
use super::console::Console;
use super::context::{self, chosen, now};
use super::exit::Exit;
use super::problem::{self, Trouble, UsageError};
use crate::audit::{Facts, Kind};
use crate::config::{Config, Overrides};
use crate::outputs::{InTheWay, OutputError, end_purge, missing_output};
use crate::queue::{Purge, Purgeable, QueueSettings, SqliteStore, TaskStore};
use crate::report::{Column, Problem, Table, bytes, count, plural};
use crate::task::{Job, Timestamp, age};

/// Delete answers and redacted audio for good after a time; a line that can be counted stays of each
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  voxbatch purge --older-than 35d -n           show what would go, and how many that is
  voxbatch purge --older-than 35d --yes 1200   let it go, if it is that many
  voxbatch purge --finish                      end a purge that was interrupted; takes nothing new")]
pub(super) struct PurgeArgs {
    /// How long ago the answer must have been stored, such as 35d or 12h
    #[arg(long, value_name = "AGE", required_unless_present = "finish")]
    pub(super) older_than: Option<Age>,
    /// Only answers: in the queue, results.jsonl, results.csv and the tables beside it [default: both]
    #[arg(long)]
    pub(super) results: bool,
    /// Only redacted audio [default: both]
    #[arg(long)]
    pub(super) audio: bool,
    /// Only of this job; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(super) job: Vec<String>,
    /// Only end what an interrupted purge left
    #[arg(long, conflicts_with_all = ["older_than", "results", "audio", "job", "yes", "dry_run"])]
    pub(super) finish: bool,
    /// Only say what would go
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
    /// Do not ask: this many recordings are meant
    #[arg(long, value_name = "COUNT")]
    pub(super) yes: Option<u64>,
    /// As one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

/// A length of time, and how it was written.
#[derive(Debug, Clone)]
pub(super) struct Age {
    text: String,
    length: Duration,
}

impl FromStr for Age {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Age { text: text.to_owned(), length: age(text)? })
    }
}

impl PurgeArgs {
    /// The same again, to be pasted.
    fn command(&self, more: &str) -> String {
        let mut command = "voxbatch purge".to_owned();
        if let Some(age) = &self.older_than {
            command += &format!(" --older-than {}", age.text);
        }
        for (flag, given) in [(" --results", self.results), (" --audio", self.audio)] {
            command += if given { flag } else { "" };
        }
        for job in &self.job {
            command += &format!(" --job {job}");
        }
        command + more
    }

    fn wish(&self, jobs: &[Job]) -> Option<Purge> {
        let age = i64::try_from(self.older_than.as_ref()?.length.as_millis()).unwrap_or(i64::MAX);
        Some(Purge {
            jobs: jobs.iter().map(|job| job.id).collect(),
            finished_by: Timestamp(now().0.saturating_sub(age)),
            answers: self.results || !self.audio,
            audio: self.audio || !self.results,
        })
    }
}

/// Runs the verb.
pub(super) async fn purge(args: &PurgeArgs, overrides: &Overrides, console: &Console) -> Result<Exit> {
    let config = context::load(overrides)?;
    let state_dir = config.state_dir.clone();
    if !state_dir.join("queue.db").exists() {
        let what = format!("there is no queue in {}: nothing was purged", state_dir.display());
        let problem = Problem::new("E-STATE-QUEUE", what);
        let elsewhere = problem.mend(args.command(" --state-dir DIR"), "if the queue lies elsewhere");
        return Err(Trouble::local(elsewhere).into());
    }
    let store: Arc<dyn TaskStore> = Arc::new(SqliteStore::open(&QueueSettings { state_dir }).await?);
    let done = with(args, &config, &store, console).await;
    store.close().await;
    done.map(|()| Exit::Done)
}

async fn with(
    args: &PurgeArgs,
    config: &Config,
    store: &Arc<dyn TaskStore>,
    console: &Console,
) -> Result<()> {
    let jobs = store.jobs().await?;
    let wish = args.wish(&chosen(jobs.clone(), &args.job)?);
    let found = match &wish {
        Some(wish) => store.purgeable(wish.clone()).await?,
        None => Vec::new(),
    };
    let mut said = Said { jobs: &jobs, finished_by: wish.as_ref().map(|wish| wish.finished_by), files: 0 };
    if args.dry_run {
        let is_open = store.open_purge().await?.is_some();
        said.foretell(args, &found, is_open, console);
        return Ok(());
    }
    refuse_beside_a_run(args, &**store).await?;
    refuse_without_outputs(&**store, &jobs, &found).await?;
    let audit = Audit::of(config);
    let mut facts = Facts::default();
    let mut taken = Vec::new();
    if let Some(wish) = wish.filter(|_| !found.is_empty()) {
        said.confirm(args, &found, console)?;
        facts = of_purge(&wish, &found, args.older_than.as_ref().map(|age| age.length));
        // Before the deed: a log that says nothing of what is gone would be worth nothing.
        audit.write(Kind::PurgeStarted, facts.clone()).await?;
        taken = store.purge(wish, now()).await?;
    }
    let was_open = store.open_purge().await?.is_some();
    let end = end_purge(store, &jobs, &config.outputs, now()).await.map_err(unfinished)?;
    if let Some(what) = end.in_the_way {
        return Err(in_the_way(what).into());
    }
    if was_open || end.files > 0 {
        audit.write(Kind::PurgeEnded, facts.count("files", end.files)).await?;
    }
    said.files = end.files;
    said.tell(args, &taken, was_open, console);
    Ok(())
}

async fn refuse_beside_a_run(args: &PurgeArgs, store: &dyn TaskStore) -> Result<()> {
    let workers = store.workers(u32::MAX).await?;
    let Some(run) = workers.into_iter().find(|worker| worker.alive) else { return Ok(()) };
    let what = format!("cannot purge while a run is going on (pid {} on {})", run.pid, run.host);
    let problem = Problem::new("E-STATE-RUNNING", what)
        .why("it has the files open that a purge makes anew, and puts audio where a purge deletes it")
        .mend(args.command(""), "again when it has ended")
        .mend(format!("kill -TERM {}", run.pid), "lets it end what is in flight, and no more")
        .state("nothing was deleted");
    Err(Trouble::local(problem).into())
}

async fn refuse_without_outputs(store: &dyn TaskStore, jobs: &[Job], found: &[Purgeable]) -> Result<()> {
    let is_open = store.open_purge().await?.is_some();
    for job in jobs {
        let concerns = found.iter().any(|one| one.job == job.id);
        let is_half_way = is_open && store.outputs_stale(job.id).await?;
        if !concerns && !is_half_way {
            continue;
        }
        let Some(path) = missing_output(store, job).await? else { continue };
        let what = format!("cannot purge job {}: {} is not there", job.name, path.display());
        let problem = Problem::new("E-OUT-GONE", what)
            .why("it was written, so it may lie on a disk that is not mounted, with answers and audio in it")
            .mend("mount the disk", "and give the same command again")
            .mend(format!("touch '{}'", path.display()), "if it was deleted on purpose; it is made anew")
            .state("nothing was deleted");
        return Err(Trouble::local(problem).into());
    }
    Ok(())
}

const HALF_WAY: &str =
    "answers and audio that were purged may still lie in files until it is ended; no run brings them back";

fn unfinished(error: OutputError) -> anyhow::Error {
    let mut told = problem::of(&error.into());
    told.problem.state = Some(HALF_WAY.to_owned());
    Trouble { problem: told.problem.mend("voxbatch purge --finish", "goes on from here"), exit: told.exit }
        .into()
}

fn in_the_way(what: InTheWay) -> Trouble {
    let why = match what {
        InTheWay::Run => "a run has begun meanwhile",
        InTheWay::Files => "another process has the files of a job",
        InTheWay::Reader => "another process reads the queue, and its log cannot be emptied",
    };
    let problem = Problem::new("E-STATE-PURGE", "failed to end the purge")
        .why(why)
        .mend("voxbatch purge --finish", "goes on from here when that one has ended")
        .state(HALF_WAY);
    Trouble::local(problem)
}

/// What is told, in words or as JSON.
struct Said<'a> {
    jobs: &'a [Job],
    finished_by: Option<Timestamp>,
    /// Audio files that were deleted.
    files: u64,
}

impl Said<'_> {
    fn name(&self, one: &Purgeable) -> &str {
        self.jobs.iter().find(|job| job.id == one.job).map_or("", |job| &job.name)
    }

    fn foretell(&self, args: &PurgeArgs, found: &[Purgeable], is_open: bool, console: &Console) {
        if args.json {
            return console.say(&self.object(found, true, is_open).to_string());
        }
        if found.is_empty() {
            console.say("nothing to purge");
        } else {
            self.table(found, console);
            let recordings = sum(found, |one| one.recordings);
            console.say(&format!("{} would be purged for good", in_words(found)));
            console.say(&format!("to do it: {}", args.command(&format!(" --yes {recordings}"))));
        }
        if is_open {
            console.say("an earlier purge was interrupted; to end it: voxbatch purge --finish");
        }
    }

    /// Nobody deletes what he has not counted.
    fn confirm(&self, args: &PurgeArgs, found: &[Purgeable], console: &Console) -> Result<()> {
        let recordings = sum(found, |one| one.recordings);
        let yes = args.command(&format!(" --yes {recordings}"));
        let would = format!("{} would be purged for good", in_words(found));
        match args.yes {
            Some(yes) if yes == recordings => return Ok(()),
            Some(other) => {
                let what = format!("{would}, and --yes says {other}: nothing was deleted");
                return Err(UsageError::new(what).mend(args.command(" -n"), "shows which").into());
            }
            None => {}
        }
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            let what = format!("{would}: nothing was deleted, for want of --yes");
            return Err(UsageError::new(what).mend(yes, "lets them go").into());
        }
        self.table(found, console);
        let mut screen = console.screen.stderr();
        write!(screen, "{would}.\nType {recordings} to let them go: ")?;
        screen.flush()?;
        let mut typed = String::new();
        io::stdin().lock().read_line(&mut typed)?;
        match typed.trim().parse() == Ok(recordings) {
            true => Ok(()),
            false => Err(UsageError::new("that was not the number: nothing was deleted").into()),
        }
    }

    fn tell(&self, args: &PurgeArgs, taken: &[Purgeable], was_open: bool, console: &Console) {
        if args.json {
            return console.say(&self.object(taken, false, false).to_string());
        }
        let files = plural(self.files, "audio file", "audio files");
        match (taken.is_empty(), was_open || self.files > 0) {
            (false, _) => {
                console.say(&format!("purged {}; {files} deleted", in_words(taken)));
                console.say("a line that can be counted stays of each: voxbatch verify");
                let missed = sum(taken, |one| one.audio).saturating_sub(self.files);
                if missed > 0 {
                    let missed = plural(missed, "audio file was", "audio files were");
                    console.note(&format!(
                        "{missed} not there; if a job had another `output` before, delete that folder by hand"
                    ));
                }
            }
            (true, true) => console.say(&format!("what an earlier purge left is purged; {files} deleted")),
            (true, false) => console.say("nothing to purge"),
        }
    }

    fn table(&self, found: &[Purgeable], console: &Console) {
        let mut table = Table::new([
            Column::name("job"),
            Column::right("recordings"),
            Column::right("answers"),
            Column::right("size"),
            Column::right("audio"),
            Column::right("size"),
            Column::left("oldest"),
            Column::left("newest"),
        ]);
        for one in found {
            table.row([
                self.name(one).to_owned(),
                count(one.recordings),
                count(one.answers),
                bytes(one.answer_bytes),
                count(one.audio),
                bytes(one.audio_bytes),
                one.oldest.to_string(),
                one.newest.to_string(),
            ]);
        }
        console.say_table(&table);
    }

    fn object(&self, all: &[Purgeable], dry_run: bool, is_open: bool) -> Value {
        let jobs: Vec<Value> = all
            .iter()
            .map(|one| {
                json!({
                    "job": self.name(one), "recordings": one.recordings, "answers": one.answers,
                    "answer_bytes": one.answer_bytes, "audio": one.audio, "audio_bytes": one.audio_bytes,
                    "oldest": one.oldest.to_string(), "newest": one.newest.to_string(),
                })
            })
            .collect();
        json!({
            "v": 1, "dry_run": dry_run, "finished_by": self.finished_by.map(|at| at.to_string()),
            "recordings": sum(all, |one| one.recordings), "answers": sum(all, |one| one.answers),
            "answer_bytes": sum(all, |one| one.answer_bytes), "audio": sum(all, |one| one.audio),
            "audio_bytes": sum(all, |one| one.audio_bytes), "files_deleted": self.files,
            "interrupted": is_open, "jobs": jobs,
        })
    }
}

fn sum(all: &[Purgeable], of: impl Fn(&Purgeable) -> u64) -> u64 {
    all.iter().map(of).sum()
}

/// `12 recordings: 12 answers (3.4 kB), 10 files of audio (1.2 MB)`
fn in_words(all: &[Purgeable]) -> String {
    let (answers, audio) = (sum(all, |one| one.answers), sum(all, |one| one.audio));
    let mut parts = Vec::new();
    if answers > 0 {
        let size = bytes(sum(all, |one| one.answer_bytes));
        parts.push(format!("{} ({size})", plural(answers, "answer", "answers")));
    }
    if audio > 0 {
        let size = bytes(sum(all, |one| one.audio_bytes));
        parts.push(format!("redacted audio of {} ({size})", count(audio)));
    }
    let recordings = plural(sum(all, |one| one.recordings), "recording", "recordings");
    format!("{recordings}: {}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::task::{Endpoint, JobId, Order};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: PurgeArgs,
    }

    fn args(typed: &[&str]) -> Result<PurgeArgs, clap::Error> {
        Line::try_parse_from([&["purge"], typed].concat()).map(|line| line.args)
    }

    fn job(id: i64) -> Job {
        Job {
            id: JobId(id),
            name: format!("job-{id}"),
            endpoint: Endpoint::SttBatch,
            options: json!({}),
            root: "/in".into(),
            output: "/out".into(),
            order: Order::Path,
        }
    }

    #[test]
    fn both_go_unless_one_is_named_and_the_age_counts_back_from_now() {
        for (typed, answers, audio) in [
            (&["--older-than", "12h"][..], true, true),
            (&["--older-than", "12h", "--results"], true, false),
            (&["--older-than", "12h", "--audio"], false, true),
            (&["--older-than", "12h", "--audio", "--results"], true, true),
        ] {
            let wish = args(typed).unwrap().wish(&[job(3), job(5)]).unwrap();
            assert_eq!((wish.answers, wish.audio), (answers, audio), "{typed:?}");
            assert_eq!(wish.jobs, [JobId(3), JobId(5)]);
            let age = now().since(wish.finished_by);
            assert!(age >= Duration::from_secs(12 * 3600) && age < Duration::from_secs(13 * 3600), "{age:?}");
        }
        let ages = args(&["--older-than", "106751991167300d"]).unwrap().wish(&[]).unwrap();
        assert!(ages.finished_by.0 < 0, "an age beyond all time takes nothing");
    }

    #[test]
    fn an_end_of_what_was_interrupted_takes_nothing_new_and_nothing_goes_without_an_age() {
        assert!(args(&["--finish"]).unwrap().wish(&[job(1)]).is_none());
        for typed in [
            &[][..],
            &["--results"],
            &["--finish", "--older-than", "1d"],
            &["--finish", "--yes", "1"],
            &["--older-than", "-1d"],
            &["--older-than", "35"],
            &["--older-than", "1d", "--yes", "-1"],
        ] {
            assert!(args(typed).is_err(), "{typed:?}");
        }
    }

    #[test]
    fn what_is_to_be_typed_next_is_what_was_typed_with_the_count() {
        let args = args(&["--older-than", "35d", "--audio", "--job", "a", "--job", "b"]).unwrap();
        assert_eq!(
            args.command(" --yes 7"),
            "voxbatch purge --older-than 35d --audio --job a --job b --yes 7"
        );
    }
}
