//! The one place on a terminal where the live block is drawn and everything else is written around it.
//! What the block says is left to `block.rs`; without a block every write goes straight through.

use std::io::{self, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Stream;

/// Redraws a second, at most.
const HZ: u8 = 10;

/// A handle on the block. Clones share it; logs write through one, the reporter draws through another.
#[derive(Debug, Clone)]
pub struct Screen {
    bar: ProgressBar,
}

impl Default for Screen {
    fn default() -> Self {
        let bar = ProgressBar::hidden();
        // The library's own bar is not used: its text is ours from edge to edge.
        bar.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()));
        Screen { bar }
    }
}

impl Screen {
    /// A screen without a block; a reporter in live mode gives it one.
    pub fn new() -> Self {
        Screen::default()
    }

    /// Begins to draw on stderr, if that is a terminal.
    pub fn light(&self) {
        self.light_on(ProgressDrawTarget::stderr_with_hz(HZ));
    }

    pub(super) fn light_on(&self, target: ProgressDrawTarget) {
        self.bar.set_draw_target(target);
    }

    /// Replaces the block.
    pub fn draw(&self, block: String) {
        self.bar.set_message(block);
    }

    /// Columns at present: a window can change its size while a run goes on.
    pub(super) fn columns(&self) -> Option<usize> {
        Stream::stderr().columns
    }

    /// Takes the block away for good.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Does something with the block out of the way. It must not use this screen again while it does.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// Writes to stderr above the block.
    pub fn stderr(&self) -> ScreenWriter {
        ScreenWriter { screen: self.clone() }
    }
}

/// Stderr, with the block out of the way for each write. Made for logs: one is asked for with every line.
#[derive(Debug, Clone)]
pub struct ScreenWriter {
    screen: Screen,
}

impl Write for ScreenWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.screen.suspend(|| io::stderr().lock().write_all(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
