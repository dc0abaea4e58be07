//! The audio of one connection, as it comes in: its hash, its length, where it is silent. Raw audio is measured and
//! forgotten; a container is kept, because only the whole of it can be judged.

use std::io::{Read, Seek, SeekFrom, Write};

use file_format::FileFormat;
use sha2::{Digest, Sha256};
use tempfile::SpooledTempFile;

use super::super::audio::{Ear, SILENCE, Sound, WINDOW_MS};
use super::super::form::hex;
use super::super::model;
use super::super::refusal::Refusal;
use super::format::{Format, Raw};

/// So much of a container stays in memory.
const IN_MEMORY_BYTES: usize = 256 * 1024;

/// From so many bytes on, content that is plainly something else is refused at once.
const HEAD_BYTES: usize = 4096;

/// What a container's audio is taken for while it cannot be judged yet: 64 kbit/s.
const BYTES_PER_MS: u64 = 8;

/// See the module.
pub(super) struct Track {
    format: Option<Format>,
    hash: Sha256,
    head: Vec<u8>,
    bytes: u64,
    kept: SpooledTempFile,
    /// Raw audio: the beginning of a sample whose end is still to come.
    split: Vec<u8>,
    samples: u64,
    loud: Vec<bool>,
}

/// What was heard, once the audio has ended.
pub(super) struct Heard {
    pub(super) sha256: [u8; 32],
    pub(super) bytes: u64,
    /// None: it is not what was declared, or nothing that can be decoded.
    pub(super) sound: Option<Sound>,
}

impl Track {
    pub(super) fn new(format: Option<Format>) -> Track {
        Track {
            format,
            hash: Sha256::new(),
            head: Vec::new(),
            bytes: 0,
            kept: SpooledTempFile::new(IN_MEMORY_BYTES),
            split: Vec::new(),
            samples: 0,
            loud: Vec::new(),
        }
    }

    /// Takes the next bytes in.
    pub(super) fn hear(&mut self, chunk: &[u8]) -> Result<(), Refusal> {
        self.hash.update(chunk);
        self.bytes += chunk.len() as u64;
        let begun = self.head.len();
        self.head.extend_from_slice(&chunk[..chunk.len().min(HEAD_BYTES - begun)]);
        if let Some(Format::Raw(raw)) = self.format {
            self.measure(raw, chunk);
            return Ok(());
        }
        // Goes to memory or the page cache; a full disk here is the service's own trouble.
        self.kept.write_all(chunk).map_err(|_| Refusal::Internal)?;
        let complete = begun < HEAD_BYTES && self.head.len() == HEAD_BYTES;
        if complete && self.plainly_wrong() { Err(Refusal::Undecodable) } else { Ok(()) }
    }

    /// Milliseconds so far; of a container a guess.
    pub(super) fn played_ms(&self) -> u64 {
        match self.format {
            Some(Format::Raw(raw)) => raw.ms(self.bytes),
            _ => self.bytes / BYTES_PER_MS,
        }
    }

    /// Of raw audio, the windows that are complete: what can be answered before the end.
    pub(super) fn so_far(&self) -> Option<Sound> {
        let Some(Format::Raw(raw)) = self.format else { return None };
        let windows = raw.ms(self.bytes) / WINDOW_MS;
        Some(Sound { duration_ms: windows * WINDOW_MS, silent_windows: self.silent(), ..Sound::default() })
    }

    /// Names the recording before its end is known.
    pub(super) fn head_hex(&self) -> String {
        hex(&Sha256::digest(&self.head))
    }

    pub(super) fn is_raw(&self) -> bool {
        matches!(self.format, Some(Format::Raw(_)))
    }

    /// Judges the whole.
    pub(super) async fn end(mut self, ear: &Ear) -> Heard {
        let sound = match self.format {
            Some(Format::Raw(raw)) => Some(Sound {
                duration_ms: raw.ms(self.bytes),
                silent_windows: self.silent(),
                ..Sound::default()
            }),
            _ if self.bytes == 0 => Some(Sound::default()),
            Some(Format::Container(name)) => {
                let streamable = name_of_boxes(name).is_none() || laid_out_for_streaming(&mut self.kept);
                let audio = ear.judge(self.hash.clone().finalize().into(), self.kept).await;
                let fits = model::Format::of(name).is_some_and(|format| format.holds(audio.content));
                audio.sound.filter(|_| fits && streamable)
            }
            None => ear.judge(self.hash.clone().finalize().into(), self.kept).await.sound,
        };
        Heard { sha256: self.hash.finalize().into(), bytes: self.bytes, sound }
    }

    fn silent(&self) -> Vec<bool> {
        self.loud.iter().map(|loud| !loud).collect()
    }

    /// Notes which windows hold anything. What is known to be loud is not looked at again.
    fn measure(&mut self, raw: Raw, chunk: &[u8]) {
        let width = raw.sample_bytes();
        let per_window = u64::from(raw.rate) * u64::from(raw.channels) * WINDOW_MS / 1000;
        let mut rest = chunk;
        if !self.split.is_empty() {
            let missing = (width - self.split.len()).min(rest.len());
            self.split.extend_from_slice(&rest[..missing]);
            rest = &rest[missing..];
            if self.split.len() < width {
                return;
            }
            let sample = std::mem::take(&mut self.split);
            self.listen(raw, &sample, per_window);
        }
        let whole = rest.len() / width * width;
        self.split = rest[whole..].to_vec();
        self.listen(raw, &rest[..whole], per_window);
    }

    fn listen(&mut self, raw: Raw, mut bytes: &[u8], per_window: u64) {
        let width = raw.sample_bytes();
        while !bytes.is_empty() {
            let window = (self.samples / per_window) as usize;
            if self.loud.len() <= window {
                self.loud.resize(window + 1, false);
            }
            let left = (per_window - self.samples % per_window).min((bytes.len() / width) as u64);
            let (now, later) = bytes.split_at(left as usize * width);
            let mut samples = now.chunks_exact(width);
            self.loud[window] =
                self.loud[window] || samples.any(|sample| raw.encoding.loudness(sample) > f64::from(SILENCE));
            self.samples += left;
            bytes = later;
        }
    }

    /// Text, or a format that is known and is not the declared one. What is in doubt is left to the end.
    fn plainly_wrong(&self) -> bool {
        let content = FileFormat::from_bytes(&self.head);
        let declared = match self.format {
            Some(Format::Container(name)) => model::Format::of(name),
            _ => None,
        };
        let another = declared.is_some_and(|format| !format.holds(content)) && model::Format::known(content);
        another || content.media_type().starts_with("text/")
    }
}

/// Containers made of boxes, which may have their index at the end.
fn name_of_boxes(name: &str) -> Option<&str> {
    matches!(name, "mp4" | "m4a" | "mov" | "3gp" | "3gpp").then_some(name)
}

/// Whether the index comes before the audio: a listener to a stream cannot look ahead.
fn laid_out_for_streaming(file: &mut (impl Read + Seek)) -> bool {
    let mut at = 0u64;
    let mut head = [0u8; 8];
    while file.seek(SeekFrom::Start(at)).is_ok() && file.read_exact(&mut head).is_ok() {
        let [a, b, c, d, kind @ ..] = head;
        match &kind {
            b"moov" => return true,
            b"mdat" => return false,
            _ => at += u64::from(u32::from_be_bytes([a, b, c, d])).max(8),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::super::format::ENCODINGS;
    use super::*;

    fn raw(name: &str, rate: u32, channels: u32) -> Format {
        let encoding = *ENCODINGS.iter().find(|encoding| encoding.name == name).unwrap();
        Format::Raw(Raw { encoding, rate, channels })
    }

    #[tokio::test]
    async fn raw_audio_is_measured_alike_however_it_is_cut() {
        let mut audio = vec![0u8; 8000 * 2 * 4];
        audio.extend([0x11; 8000 * 2 * 4]);
        audio.extend([0; 8000 + 1]);
        for piece in [1, 3, 999, audio.len()] {
            let mut track = Track::new(Some(raw("s16be", 8000, 1)));
            audio.chunks(piece).for_each(|chunk| track.hear(chunk).unwrap());
            assert_eq!(track.so_far().unwrap().duration_ms, 8000);
            let heard = track.end(&Ear::default()).await;
            assert_eq!(heard.sha256, <[u8; 32]>::from(Sha256::digest(&audio)));
            let sound = heard.sound.unwrap();
            assert_eq!(sound.duration_ms, 8500);
            assert_eq!(sound.silent_windows, [true, false, true], "in pieces of {piece}");
        }
    }

    #[tokio::test]
    async fn a_container_has_to_be_what_was_declared() {
        let wav = crate::emulator::SAMPLES.iter().find(|sample| sample.name == "account.wav").unwrap().bytes;
        for (declared, good) in [(Some("wav"), true), (None, true), (Some("mp3"), false)] {
            let mut track = Track::new(declared.map(Format::Container));
            // Less than what is looked at early on, and then the rest.
            assert_eq!(track.hear(&wav[..100]), Ok(()));
            let early = track.hear(&wav[100..]);
            assert_eq!(early.is_ok(), good, "{declared:?}");
            assert_eq!(track.end(&Ear::default()).await.sound.is_some(), good, "{declared:?}");
        }
    }

    #[test]
    fn text_is_refused_before_its_end() {
        let mut track = Track::new(None);
        assert_eq!(track.hear(&b"<html>".repeat(1000)), Err(Refusal::Undecodable));
    }

    #[test]
    fn an_index_at_the_end_is_no_stream() {
        let of = |kinds: &[&[u8; 4]]| {
            let mut file = Vec::new();
            kinds.iter().for_each(|kind| file.extend([&[0, 0, 0, 12], &kind[..], &[0; 4]].concat()));
            laid_out_for_streaming(&mut Cursor::new(file))
        };
        assert!(of(&[b"ftyp", b"moov", b"mdat"]));
        assert!(!of(&[b"ftyp", b"free", b"mdat", b"moov"]));
        assert!(!of(&[]));
    }
}
