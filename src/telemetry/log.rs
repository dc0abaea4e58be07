//! Sets up the process's logs: what is let through, in which shape, with or without the time.

use std::fmt;
use std::time::SystemTime;

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt, ParseError, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::util::TryInitError;
use tracing_subscriber::{Layer, Registry};

use crate::task::Timestamp;

use super::LogPaths;

/// Only what comes from here may say more than a warning. Libraries log headers, bodies and statements when they
/// are talkative, and those hold keys and spoken words; no filter that anybody types lets them through.
const OURS: &str = "voxbatch";

/// What is logged and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `voxbatch::run=debug`. Libraries stay at
    /// `warn`, and the database's at `error`, whatever it says.
    pub level: String,
    /// One JSON object a line instead of text.
    pub json: bool,
    /// How names of recordings appear.
    pub paths: LogPaths,
}

impl Default for LogSettings {
    fn default() -> Self {
        LogSettings { level: "warn".to_owned(), json: false, paths: LogPaths::Full }
    }
}

/// Why logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter cannot be read.
    #[error(
        "read the log filter `{filter}`: {source}; write a level (error, warn, info, debug, trace) or a filter such as voxbatch::run=debug"
    )]
    BadFilter {
        /// What was asked for.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Another logger is in place.
    #[error("set up logs: {0}")]
    AlreadySet(#[from] TryInitError),
}

/// Sets up logs for the whole process. `writer` is asked for a new writer with every line; it is where a live block
/// steps aside. Lines carry no time when stderr goes to the journal, which keeps its own.
///
/// # Errors
/// A filter that cannot be read, or a second call.
pub fn init<W>(settings: &LogSettings, writer: W) -> Result<(), LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let timeless = journal_reads_stderr();
    Registry::default().with(layer(settings, writer, timeless)?).try_init()?;
    Ok(())
}

/// The one layer: what passes the filter, written in the shape that was asked for.
fn layer<S, W>(
    settings: &LogSettings,
    writer: W,
    timeless: bool,
) -> Result<Box<dyn Layer<S> + Send + Sync>, LogError>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let asked = EnvFilter::try_new(&settings.level)
        .map_err(|source| LogError::BadFilter { filter: settings.level.clone(), source })?;
    let filter = asked.and(filter_fn(may_pass));
    // Colours are left out: a log is for searching.
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
    Ok(match (settings.json, timeless) {
        (false, false) => layer.with_timer(Clock).with_filter(filter).boxed(),
        (false, true) => layer.without_time().with_filter(filter).boxed(),
        (true, false) => layer.json().flatten_event(true).with_timer(Clock).with_filter(filter).boxed(),
        (true, true) => layer.json().flatten_event(true).without_time().with_filter(filter).boxed(),
    })
}

fn may_pass(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let is =
        |room: &str| target.strip_prefix(room).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    let most = match () {
        () if is(OURS) => Level::TRACE,
        // It warns of slow statements, and quotes them.
        () if is("sqlx") => Level::ERROR,
        // It warns of every oddity of every file; what counts of those is said by whoever looked.
        () if target.starts_with("symphonia") => Level::ERROR,
        () => Level::WARN,
    };
    *metadata.level() <= most
}

/// RFC 3339 in UTC with milliseconds, as everything else that voxbatch writes.
struct Clock;

impl FormatTime for Clock {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        write!(w, "{}", Timestamp::from(SystemTime::now()))
    }
}

/// Whether stderr is the journal's stream: systemd names its device and inode in `JOURNAL_STREAM`.
fn journal_reads_stderr() -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(std::io::stderr()).is_ok_and(|stat| is_stream(&named, stat.st_dev, stat.st_ino))
}

fn is_stream(named: &str, device: u64, inode: u64) -> bool {
    named.split_once(':').is_some_and(|(d, i)| d.parse() == Ok(device) && i.parse() == Ok(inode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Tape(Arc<Mutex<Vec<u8>>>);

    impl Write for Tape {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged by `say` under these settings.
    fn logged(settings: &LogSettings, say: impl FnOnce()) -> String {
        let tape = Tape::default();
        let writer = tape.clone();
        let layer = layer(settings, move || writer.clone(), true).unwrap();
        tracing::subscriber::with_default(Registry::default().with(layer), say);
        let bytes = tape.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn at(level: &str) -> LogSettings {
        LogSettings { level: level.to_owned(), ..LogSettings::default() }
    }

    #[test]
    fn libraries_never_say_more_than_warnings_whatever_the_filter() {
        for level in ["trace", "hyper=trace,voxbatch=trace", "hyper::proto=trace,reqwest=debug,sqlx=trace"] {
            let text = logged(&at(level), || {
                tracing::trace!(target: "hyper::proto", "headers with a key");
                tracing::info!(target: "reqwest", "a body");
                tracing::warn!(target: "sqlx::query", "a slow statement");
                tracing::debug!(target: "voxbatchlike", "not ours");
                tracing::error!(target: "sqlx::pool", "no connection");
            });
            let lines: Vec<&str> = text.lines().collect();
            assert!(lines.iter().all(|line| line.contains("no connection")), "{level}: {text}");
        }
    }

    #[test]
    fn our_own_rooms_follow_the_filter() {
        let say = || {
            tracing::debug!(target: "voxbatch::run", { task.id = 7 }, "claimed");
            tracing::warn!(target: "voxbatch::queue", "slow disk");
        };
        assert_eq!(logged(&at("warn"), say), " WARN voxbatch::queue: slow disk\n");
        assert_eq!(logged(&at("error,voxbatch::run=debug"), say), "DEBUG voxbatch::run: claimed task.id=7\n");
    }

    #[test]
    fn json_is_one_flat_object_a_line() {
        let settings = LogSettings { json: true, ..at("info") };
        let text =
            logged(&settings, || tracing::info!(target: "voxbatch::run", { task.id = 7 }, "two\nlines"));
        let object: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!((object["message"].as_str(), object["task.id"].as_i64()), (Some("two\nlines"), Some(7)));
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn escape_sequences_in_a_message_do_not_reach_the_terminal() {
        let text = logged(&at("info"), || tracing::info!(target: "voxbatch", "{}", "a\u{1b}[2Jb"));
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_an_error_that_names_it() {
        let refused = layer::<Registry, _>(&at("voxbatch=loud"), io::sink, false).err().unwrap();
        assert!(refused.to_string().starts_with("read the log filter `voxbatch=loud`: "), "{refused}");
    }

    #[test]
    fn the_journal_is_known_by_device_and_inode() {
        assert!(is_stream("8:1234", 8, 1234));
        assert!(!is_stream("8:1234", 8, 1235));
        assert!(!is_stream("8", 8, 1234) && !is_stream("a:b", 8, 1234) && !is_stream("", 8, 1234));
    }

    #[test]
    fn a_line_begins_with_the_time_unless_the_journal_keeps_it() {
        let tape = Tape::default();
        let writer = tape.clone();
        let layer = layer(&at("info"), move || writer.clone(), false).unwrap();
        tracing::subscriber::with_default(Registry::default().with(layer), || tracing::warn!("x"));
        let text = String::from_utf8(tape.0.lock().unwrap().clone()).unwrap();
        assert_eq!((text.find('T'), text.find("Z  WARN ")), (Some(10), Some(23)), "{text}");
    }
}
