//! The two streams of a command: stdout for what was asked for, stderr for everything else. A reader that goes
//! away (`| head`) ends nothing and breaks nothing.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::context::{environment_text, now};
use super::feed::Scanned;
use crate::report::{
    ColorChoice, Look, Problem, ProgressMode, ReportSettings, Reporter, Screen, Stream, Table, count, plural,
};
use crate::task::RecordingPath;
use crate::telemetry::LogPaths;

/// How a command shows things.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Display")]
pub(super) struct Looks {
    /// auto, always or never
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(super) color: Color,
    /// Nothing but ASCII
    #[arg(long, global = true)]
    pub(super) ascii: bool,
    /// Errors only
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
}

/// What `--color` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum Color {
    /// By the stream and the environment.
    #[default]
    Auto,
    /// Yes, also into a file.
    Always,
    /// No.
    Never,
}

/// The streams.
pub(super) struct Console {
    looks: Looks,
    /// Shared with the logs, so that they are written around the live block.
    pub(super) screen: Screen,
}

impl Console {
    pub(super) fn new(looks: Looks) -> Self {
        Console { looks, screen: Screen::new() }
    }

    fn look(&self, stream: Stream) -> Look {
        let choice = match self.looks.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        Look::judge(choice, self.looks.ascii, stream, &environment_text)
    }

    pub(super) fn ascii(&self) -> bool {
        self.look(Stream::stdout()).ascii
    }

    /// What was asked for.
    pub(super) fn say(&self, text: &str) {
        let mut out = io::stdout().lock();
        let _ = out
            .write_all(text.as_bytes())
            .and_then(|()| if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") });
        let _ = out.flush();
    }

    /// A table of what was asked for, as wide as the terminal.
    pub(super) fn say_table(&self, table: &Table) {
        let stream = Stream::stdout();
        self.say(&table.text(stream.columns, self.look(stream).ascii));
    }

    /// A word aside.
    pub(super) fn note(&self, text: &str) {
        if !self.looks.quiet {
            self.write_line(text);
        }
    }

    /// How far something is that is being waited for: drawn on a terminal, else a line now and then.
    pub(super) fn progress(&self) -> Progress<'_> {
        let is_live = !self.looks.quiet && Stream::stderr().tty;
        if is_live {
            self.screen.light();
        }
        Progress { console: self, is_live, told: Instant::now() }
    }

    /// What went wrong.
    pub(super) fn problem(&self, problem: &Problem) {
        self.write_line(&problem.to_string());
    }

    /// The same, where everything is JSON.
    pub(super) fn problem_json(&self, problem: &Problem) {
        self.write_line(&problem.to_json(now(), None).to_string());
    }

    /// In one write: the live block is drawn anew after each.
    fn write_line(&self, text: &str) {
        let _ = self.screen.stderr().write_all(format!("{text}\n").as_bytes());
    }

    /// What a scan passed over, and why.
    pub(super) fn scan_notes(&self, job: &str, scanned: &Scanned) {
        for line in scan_lines(scanned) {
            self.note(&format!("scan {job}: {line}"));
        }
    }

    /// The one who tells of a run.
    pub(super) fn reporter(
        &self,
        mode: ProgressMode,
        interval: Option<Duration>,
        paths: LogPaths,
    ) -> Reporter {
        let stderr = Stream::stderr();
        let quiet = self.looks.quiet && mode != ProgressMode::Json;
        let mode = if quiet { ProgressMode::None } else { mode.resolve(stderr, &environment_text) };
        let settings = ReportSettings {
            mode,
            interval,
            look: self.look(stderr),
            name: Box::new(move |path: &RecordingPath| paths.name(path)),
            budgets: Vec::new(),
        };
        Reporter::new(settings, self.screen.clone(), Box::new(io::stdout()))
    }
}

/// Tells how far something is, until it is dropped.
pub(super) struct Progress<'a> {
    console: &'a Console,
    is_live: bool,
    told: Instant,
}

/// Between two lines where nothing can be drawn.
const TOLD_EVERY: Duration = Duration::from_secs(10);

impl Progress<'_> {
    pub(super) fn tell(&mut self, text: &str) {
        if self.is_live {
            self.console.screen.draw(text.to_owned());
        } else if self.told.elapsed() >= TOLD_EVERY {
            self.told = Instant::now();
            self.console.note(text);
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if self.is_live {
            self.console.screen.clear();
        }
    }
}

/// What a scan has to say beside its counts.
pub(super) fn scan_lines(scanned: &Scanned) -> Vec<String> {
    let mut lines = Vec::new();
    let passed: u64 = scanned.passed_over.values().sum();
    if passed > 0 {
        let reasons: Vec<String> =
            scanned.passed_over.iter().map(|(reason, n)| format!("{} {reason}", count(*n))).collect();
        lines.push(format!("passed over {}: {}", plural(passed, "entry", "entries"), reasons.join(", ")));
    }
    if scanned.enqueued.changed > 0 {
        let files = plural(scanned.enqueued.changed, "recording has", "recordings have");
        lines.push(format!(
            "{files} changed since it was sent; not sent again (voxbatch retry --again --where path:…)"
        ));
    }
    if scanned.enqueued.redescribed > 0 {
        let files = plural(scanned.enqueued.redescribed, "recording has", "recordings have");
        lines.push(format!("{files} other metadata now; outputs follow, nothing is sent again"));
    }
    if scanned.unmatched > 0 {
        let names = plural(scanned.unmatched, "name does", "names do");
        let example =
            scanned.unmatched_name.as_ref().map_or(String::new(), |name| format!(", such as {name}"));
        lines.push(format!("{names} not match metadata_pattern{example}: they go without its fields"));
    }
    if scanned.without_sidecar > 0 {
        let files = plural(scanned.without_sidecar, "recording has", "recordings have");
        lines.push(format!("{files} no .json file beside them, and go without its fields"));
    }
    for trouble in &scanned.troubles {
        lines.push(trouble.clone());
    }
    let more = scanned.trouble_count.saturating_sub(scanned.troubles.len() as u64);
    if more > 0 {
        lines.push(format!("and {} more that could not be looked at", count(more)));
    }
    lines
}
