//! The formats of which every recording has a file of its own. To add one: a variant here, a word in `list.rs`, and a
//! file beside `srt.rs`; the tree keeps it like the others.

use super::speech::Speech;
use super::{answer, rttm, srt, tsv, txt, vtt};
use crate::queue::ResultRow;

/// A way to write one recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileFormat {
    /// Paragraphs by speaker.
    Txt,
    /// Subtitles as SubRip has them.
    Srt,
    /// Subtitles for the web, with voices.
    Vtt,
    /// Who speaks when.
    Rttm,
    /// Start, end and text in columns, as Whisper writes them.
    Tsv,
    /// The API's answer as it came.
    Json,
}

impl FileFormat {
    /// Every format.
    pub const ALL: [FileFormat; 6] = [
        FileFormat::Txt,
        FileFormat::Srt,
        FileFormat::Vtt,
        FileFormat::Rttm,
        FileFormat::Tsv,
        FileFormat::Json,
    ];

    /// The word in `jobs.toml`, which is also the extension, the folder, and the queue's name for what is written of it.
    pub fn word(self) -> &'static str {
        match self {
            FileFormat::Txt => "txt",
            FileFormat::Srt => "srt",
            FileFormat::Vtt => "vtt",
            FileFormat::Rttm => "rttm",
            FileFormat::Tsv => "tsv",
            FileFormat::Json => "json",
        }
    }

    /// Whether several files behind each other are one of the format: each line says which recording it is of.
    pub fn can_be_joined(self) -> bool {
        matches!(self, FileFormat::Rttm | FileFormat::Json)
    }

    /// The whole file, or `None` when nothing is left of the answer: it was deleted on purpose, and so is its file. It
    /// depends on the result and on nothing else, so it can be made again at any time.
    pub fn render(self, row: &ResultRow) -> Option<Vec<u8>> {
        if row.response == GONE {
            return None;
        }
        let speech = || Speech::of_row(row);
        let file = match self {
            FileFormat::Txt => txt::render(&speech()),
            FileFormat::Srt => srt::render(&speech()),
            FileFormat::Vtt => vtt::render(&speech()),
            FileFormat::Rttm => rttm::render(&row.path, &speech()),
            FileFormat::Tsv => tsv::render(&speech()),
            FileFormat::Json => answer::render(row),
        };
        Some(file.into_bytes())
    }
}

/// What stands in the place of an answer that was deleted: no model answers so.
const GONE: &str = "null";
