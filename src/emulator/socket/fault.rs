//! What goes wrong on sockets alone. Everything that goes wrong for requests goes wrong here too, as far as it has a
//! meaning: a 503 is a 1013, a reset a reset, a truncated answer a `done` cut short.

use serde::{Deserialize, Serialize};

/// Rates are shares of connections, 0.0 to 1.0. Those after the end exclude each other, so their sum counts.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SocketFaults {
    /// Closed with 1011 after about a second of audio, whatever was still to come.
    pub midway: f64,
    /// All results, then a close with 1000 and no `done`.
    pub no_done: f64,
    /// A binary message after `done`.
    pub late_binary: f64,
    /// Utterances out of order; their times are right.
    pub disorder: f64,
}

/// One thing that goes wrong after the audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::emulator) enum SocketFault {
    NoDone,
    LateBinary,
    Disorder,
}

impl SocketFaults {
    /// What may happen once the audio has ended.
    pub(in crate::emulator) fn stages(&self) -> [(f64, SocketFault); 3] {
        [
            (self.no_done, SocketFault::NoDone),
            (self.late_binary, SocketFault::LateBinary),
            (self.disorder, SocketFault::Disorder),
        ]
    }

    /// The rate behind a word of the command line.
    pub(in crate::emulator) fn rate(&mut self, word: &str) -> Option<&mut f64> {
        Some(match word {
            "midway" => &mut self.midway,
            "no-done" => &mut self.no_done,
            "late-binary" => &mut self.late_binary,
            "disorder" => &mut self.disorder,
            _ => return None,
        })
    }
}
