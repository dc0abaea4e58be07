//! The reporter: takes the run's events one by one, folds them, and draws, prints or writes them by its mode.
//! The words come from the other files; the clock and the calls come from the one loop that owns it.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;

use crate::event::RunEvent;
use crate::task::{Endpoint, RecordingPath, Timestamp};

use super::refusals::Refusals;
use super::screen::Screen;
use super::stats::{Budget, RunStats};
use super::summary::StopReason;
use super::{Look, Stream, block, json, lines, notice};

/// Between two drawings of the block: four a second.
const REDRAW: Duration = Duration::from_millis(250);
/// A wider block is harder to read, not fuller.
const WIDEST: usize = 100;

/// How a run shows itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProgressMode {
    /// The block on a terminal that can be drawn over, lines elsewhere.
    #[default]
    Auto,
    /// The block; lines where it cannot be drawn.
    Live,
    /// Plain lines on stderr.
    Lines,
    /// JSON objects on stdout.
    Json,
    /// Nothing but what is asked for by signal.
    None,
}

impl ProgressMode {
    /// Every mode.
    pub const ALL: [ProgressMode; 5] =
        [ProgressMode::Auto, ProgressMode::Live, ProgressMode::Lines, ProgressMode::Json, ProgressMode::None];

    /// The word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            ProgressMode::Auto => "auto",
            ProgressMode::Live => "live",
            ProgressMode::Lines => "lines",
            ProgressMode::Json => "json",
            ProgressMode::None => "none",
        }
    }

    /// What it comes to on this stderr: never `Auto`, and `Live` only where it can be drawn.
    pub fn resolve(self, stderr: Stream, env: &dyn Fn(&str) -> Option<String>) -> Self {
        match self {
            ProgressMode::Auto | ProgressMode::Live if stderr.can_redraw(env) => ProgressMode::Live,
            ProgressMode::Auto | ProgressMode::Live => ProgressMode::Lines,
            settled => settled,
        }
    }
}

/// A word that is no [`ProgressMode`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown progress mode `{0}`; known: auto, live, lines, json, none")]
pub struct UnknownMode(pub String);

impl FromStr for ProgressMode {
    type Err = UnknownMode;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        ProgressMode::ALL
            .into_iter()
            .find(|mode| mode.word() == word)
            .ok_or_else(|| UnknownMode(word.to_owned()))
    }
}

/// How a recording is called in what is written (`--log-paths`).
pub type Namer = Box<dyn Fn(&RecordingPath) -> String + Send + Sync>;

/// What the reporter is told once.
pub struct ReportSettings {
    /// How the run shows itself, resolved ([`ProgressMode::resolve`]).
    pub mode: ProgressMode,
    /// Between two status lines; a minute for lines and ten seconds for JSON unless set.
    pub interval: Option<Duration>,
    /// How stderr wants to be written to.
    pub look: Look,
    /// How recordings are called.
    pub name: Namer,
    /// What endpoints may use of their month.
    pub budgets: Vec<(Endpoint, Budget)>,
}

impl Default for ReportSettings {
    fn default() -> Self {
        ReportSettings {
            mode: ProgressMode::Lines,
            interval: None,
            look: Look { width: Look::WIDTH, ascii: false, color: false },
            name: Box::new(RecordingPath::to_string),
            budgets: Vec::new(),
        }
    }
}

impl fmt::Debug for ReportSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, interval, look, budgets, .. } = self;
        f.debug_struct("ReportSettings")
            .field("mode", mode)
            .field("interval", interval)
            .field("look", look)
            .field("budgets", budgets)
            .finish_non_exhaustive()
    }
}

/// Folds, draws and writes a run.
pub struct Reporter {
    settings: ReportSettings,
    stats: RunStats,
    refusals: Refusals,
    screen: Screen,
    stdout: Option<Box<dyn Write + Send>>,
    stderr: Box<dyn Write + Send>,
    drawn_at: Option<Timestamp>,
    said_at: Option<Timestamp>,
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Reporter {
    /// A reporter on this process's stderr, drawing on `screen`; `stdout` takes the JSON objects.
    pub fn new(settings: ReportSettings, screen: Screen, stdout: Box<dyn Write + Send>) -> Self {
        if settings.mode == ProgressMode::Live {
            screen.light();
        }
        let stderr = Box::new(screen.stderr());
        Reporter::on(settings, screen, stdout, stderr)
    }

    fn on(
        settings: ReportSettings,
        screen: Screen,
        stdout: Box<dyn Write + Send>,
        stderr: Box<dyn Write + Send>,
    ) -> Self {
        Reporter {
            stats: RunStats::default().with_budgets(&settings.budgets),
            settings,
            refusals: Refusals::default(),
            screen,
            stdout: Some(stdout),
            stderr,
            drawn_at: None,
            said_at: None,
        }
    }

    /// The numbers so far.
    pub fn stats(&self) -> &RunStats {
        &self.stats
    }

    /// Takes an event.
    pub fn event(&mut self, event: &RunEvent, now: Timestamp) {
        self.stats.apply(event, now);
        match self.settings.mode {
            ProgressMode::Json => {
                let run = json::run_of(&self.stats);
                let object = json::event(event, now, run, &self.settings.name);
                self.write_object(object);
            }
            ProgressMode::Lines if self.refusals.keep(event) => {}
            ProgressMode::Lines => {
                let line = lines::line(event, now, &self.settings.name);
                self.write_lines(line);
            }
            ProgressMode::Live => self.write_lines(notice::notice(event)),
            ProgressMode::Auto | ProgressMode::None => {}
        }
        if *event == RunEvent::StatusAsked {
            self.say_status(now);
        }
        if matches!(event, RunEvent::RunStarted { .. }) {
            self.said_at = Some(now);
        }
        self.tick(now);
    }

    /// Lets time go by: redraws the block and says the status when their times have come. Call it a few times a
    /// second, whatever happens.
    pub fn tick(&mut self, now: Timestamp) {
        self.stats.advance(now);
        let due = |last: Option<Timestamp>, every: Duration| last.is_none_or(|last| now.since(last) >= every);
        match self.settings.mode {
            ProgressMode::Live if due(self.drawn_at, REDRAW) => {
                self.drawn_at = Some(now);
                let width = self.screen.columns().unwrap_or(self.settings.look.width).min(WIDEST);
                let look = Look { width, ..self.settings.look };
                self.screen.draw(block(&self.stats, now, look, &self.settings.name));
            }
            // The first status comes an interval after the start; before it there is nothing to say.
            ProgressMode::Lines | ProgressMode::Json
                if self.said_at.is_some() && due(self.said_at, self.interval()) =>
            {
                self.said_at = Some(now);
                self.say_refusals(now);
                if self.settings.mode == ProgressMode::Json {
                    self.write_object(Some(json::status(&self.stats, now)));
                } else {
                    self.write_lines([lines::status(&self.stats, now)]);
                }
            }
            _ => {}
        }
    }

    /// Says how it ended, takes the block away and hands out the numbers.
    pub fn finish(mut self, now: Timestamp, stop: StopReason, exit: u8) -> RunStats {
        if self.stats.ended_at.is_none() {
            self.stats.apply(&RunEvent::RunEnded, now);
        }
        self.say_refusals(now);
        match self.settings.mode {
            ProgressMode::Json => {
                let object = json::run_finished(&self.stats, now, stop, exit);
                self.write_object(Some(object));
            }
            ProgressMode::Lines => self.write_lines([lines::end(&self.stats, now, stop, exit)]),
            ProgressMode::Live => self.screen.clear(),
            ProgressMode::Auto | ProgressMode::None => {}
        }
        self.stats
    }

    fn interval(&self) -> Duration {
        let usual = if self.settings.mode == ProgressMode::Json { 10 } else { 60 };
        self.settings.interval.unwrap_or(Duration::from_secs(usual))
    }

    /// For whoever asked by signal: where things stand, and what is in flight.
    fn say_status(&mut self, now: Timestamp) {
        if self.settings.mode == ProgressMode::Json {
            return self.write_object(Some(json::status(&self.stats, now)));
        }
        let mut said = vec![lines::status(&self.stats, now)];
        said.extend(lines::in_flight(&self.stats, now, &self.settings.name));
        self.write_lines(said);
    }

    fn say_refusals(&mut self, now: Timestamp) {
        let groups = self.refusals.take();
        let said: Vec<String> =
            groups.iter().map(|group| lines::refused(group, now, &self.settings.name)).collect();
        self.write_lines(said);
    }

    /// Stderr that cannot be written to is nothing to stop a run for.
    fn write_lines(&mut self, lines: impl IntoIterator<Item = String>) {
        for line in lines {
            let _ = self.stderr.write_all(format!("{line}\n").as_bytes());
        }
    }

    /// Whoever read stdout may have gone: the objects stop, the run goes on, and it is said once.
    fn write_object(&mut self, object: Option<Value>) {
        let (Some(object), Some(stdout)) = (object, &mut self.stdout) else { return };
        let line = format!("{object}\n");
        if let Err(error) = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()) {
            self.stdout = None;
            let why = match error.kind() {
                io::ErrorKind::BrokenPipe => "its reader has gone".to_owned(),
                _ => error.to_string(),
            };
            self.write_lines([format!("no more events on stdout: {why}; the run goes on")]);
        }
    }
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
