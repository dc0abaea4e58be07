//! The reporter on streams that can be read back.

use super::*;
use crate::report::testing::{START, about, any_run, at, failed, started, succeeded, throttled};
use crate::task::Cause;
use indicatif::{ProgressDrawTarget, TermLike};
use proptest::prelude::*;
use std::sync::{Arc, Mutex};

/// A stream, or a terminal, that keeps what was written to it.
#[derive(Debug, Clone, Default)]
struct Tape(Arc<Mutex<String>>);

impl Tape {
    fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    fn keep(&self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap().push_str(text);
        Ok(())
    }
}

impl Write for Tape {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.keep(std::str::from_utf8(bytes).unwrap())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TermLike for Tape {
    fn width(&self) -> u16 {
        80
    }
    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn write_line(&self, text: &str) -> io::Result<()> {
        self.keep(&format!("{text}\n"))
    }
    fn write_str(&self, text: &str) -> io::Result<()> {
        self.keep(text)
    }
    fn clear_line(&self) -> io::Result<()> {
        self.keep("<clear>")
    }
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader that has gone after so many bytes.
struct Gone(usize);

impl Write for Gone {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn reporter(mode: ProgressMode) -> (Reporter, Tape, Tape) {
    let (stdout, stderr) = (Tape::default(), Tape::default());
    let settings = ReportSettings { mode, ..ReportSettings::default() };
    let screen = Screen::new();
    let reporter = Reporter::on(settings, screen, Box::new(stdout.clone()), Box::new(stderr.clone()));
    (reporter, stdout, stderr)
}

fn words(text: &str) -> Vec<&str> {
    text.lines().map(|line| line.split(' ').nth(1).unwrap()).collect()
}

#[test]
fn every_mode_is_found_by_its_word() {
    for mode in ProgressMode::ALL {
        assert_eq!(mode.word().parse(), Ok(mode));
    }
    assert!("bar".parse::<ProgressMode>().is_err());
}

#[test]
fn the_block_is_for_terminals_that_can_be_drawn_over() {
    let env = |_: &str| None;
    let tty = Stream { tty: true, columns: Some(80) };
    let pipe = Stream::default();
    assert_eq!(ProgressMode::Auto.resolve(tty, &env), ProgressMode::Live);
    assert_eq!(ProgressMode::Auto.resolve(pipe, &env), ProgressMode::Lines);
    assert_eq!(ProgressMode::Live.resolve(pipe, &env), ProgressMode::Lines);
    assert_eq!(ProgressMode::Json.resolve(tty, &env), ProgressMode::Json);
    let dumb = |name: &str| (name == "TERM").then(|| "dumb".to_owned());
    assert_eq!(ProgressMode::Auto.resolve(tty, &dumb), ProgressMode::Lines);
}

#[test]
fn lines_come_for_facts_and_a_status_once_a_minute() {
    let (mut reporter, stdout, stderr) = reporter(ProgressMode::Lines);
    reporter.tick(START);
    reporter.event(&started(3, 1), START);
    for second in 1..=130 {
        reporter.tick(at(second));
    }
    reporter.event(&failed(1, Cause::UnreadableAudio), at(130));
    let stats = reporter.finish(at(131), StopReason::Signal, 130);
    assert_eq!(words(&stderr.text()), ["start", "status", "status", "failed", "end"]);
    assert_eq!((stdout.text().as_str(), stats.ended_at), ("", Some(at(131))));
}

#[test]
fn refusals_are_said_together() {
    let (mut reporter, _, stderr) = reporter(ProgressMode::Lines);
    reporter.event(&started(300, 1), START);
    (1..=300).for_each(|task| reporter.event(&failed(task, Cause::Empty), START));
    reporter.finish(START, StopReason::QueueEmpty, 3);
    assert_eq!(words(&stderr.text()), ["start", "refused", "end"]);
    assert!(stderr.text().contains("refused files=300 cause=empty first=calls/0001.mp3"));
}

#[test]
fn a_status_that_is_asked_for_is_said_at_once_with_what_is_in_flight_even_in_silence() {
    for mode in [ProgressMode::Lines, ProgressMode::None, ProgressMode::Live] {
        let (mut reporter, _, stderr) = reporter(mode);
        reporter.event(&started(3, 1), START);
        reporter.event(&RunEvent::TaskStarted(about(1)), START);
        reporter.event(&RunEvent::StatusAsked, at(2));
        let text = stderr.text();
        assert!(words(&text).ends_with(&["status", "in_flight"]), "{mode:?}: {text}");
    }
}

#[test]
fn json_goes_to_stdout_and_nothing_to_stderr() {
    let (mut reporter, stdout, stderr) = reporter(ProgressMode::Json);
    reporter.event(&started(1, 1), START);
    reporter.event(&RunEvent::TaskStarted(about(1)), START);
    reporter.tick(at(10));
    reporter.event(&succeeded(1), at(11));
    reporter.finish(at(12), StopReason::QueueEmpty, 0);
    let types: Vec<String> = stdout
        .text()
        .lines()
        .map(|line| {
            let object: Value = serde_json::from_str(line).unwrap();
            assert_eq!(object["run"], "r17");
            object["type"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(types, ["run_started", "task_started", "status", "task_finished", "run_finished"]);
    assert_eq!(stderr.text(), "");
}

#[test]
fn a_reader_that_goes_away_stops_the_objects_and_not_the_run() {
    let stderr = Tape::default();
    let settings = ReportSettings { mode: ProgressMode::Json, ..ReportSettings::default() };
    let mut reporter = Reporter::on(settings, Screen::new(), Box::new(Gone(400)), Box::new(stderr.clone()));
    reporter.event(&started(9, 1), START);
    (1..=9).for_each(|task| reporter.event(&succeeded(task), START));
    assert_eq!(reporter.finish(START, StopReason::QueueEmpty, 0).succeeded, 9);
    assert_eq!(stderr.text(), "no more events on stdout: its reader has gone; the run goes on\n");
}

#[test]
fn the_block_is_drawn_four_times_a_second_at_most_and_cleared_in_the_end() {
    let term = Tape::default();
    let (mut reporter, _, stderr) = reporter(ProgressMode::Live);
    // As often as it likes: the limit that is tested is the reporter's own.
    reporter.screen.light_on(ProgressDrawTarget::term_like_with_hz(Box::new(term.clone()), 255));
    reporter.event(&started(9, 1), START);
    let drawn = || term.text().matches("trouble ").count();
    let first = drawn();
    assert!(first >= 1, "{}", term.text());
    reporter.event(&succeeded(1), START.after(Duration::from_millis(249)));
    assert_eq!(drawn(), first);
    reporter.event(&RunEvent::TaskRetried { about: about(2), failure: throttled(), wait: REDRAW }, at(1));
    assert_eq!(reporter.drawn_at, Some(at(1)));
    reporter.event(&RunEvent::Aborting { in_flight: 1 }, at(2));
    assert!(stderr.text().starts_with("dropping 1 request;"));
    let screen = reporter.screen.clone();
    reporter.finish(at(3), StopReason::Signal, 130);
    assert!(term.text().ends_with("<clear>"), "{:?}", term.text());
    assert_eq!(screen.suspend(|| 7), 7);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_mode_panics_whatever_happens(run in any_run()) {
        for mode in ProgressMode::ALL {
            let (mut reporter, stdout, _) = reporter(mode);
            for (event, now) in &run {
                reporter.event(event, *now);
                reporter.tick(*now);
            }
            reporter.finish(START, StopReason::QueueEmpty, 0);
            for line in stdout.text().lines() {
                prop_assert!(serde_json::from_str::<Value>(line).is_ok());
            }
        }
    }
}
