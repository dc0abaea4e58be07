//! Packets, counted by symphonia's demuxers and never decoded: right where headers lie, and the price is reading the file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::core::meta::MetadataOptions;

use crate::task::Measured;

/// What the demuxers may read of one file for its headers: tables of long films are a few MiB.
const HEADERS: u64 = 16 << 20;
/// Packets that make no sense and are passed over before the rest is given up.
const BAD: u32 = 64;

/// From the start of the first packet to the end of the last that is there.
pub(super) fn counted(file: &File, len: u64) -> Option<Measured> {
    let mut reader = demuxer(Source::new(file, len))?;
    let track = reader.first_track(TrackType::Audio)?;
    let (id, base) = (track.id, track.time_base?);
    let (mut span, mut bad) = (None, 0);
    loop {
        let packet = match reader.next_packet() {
            Ok(Some(packet)) => packet,
            Err(Error::DecodeError(_)) if bad < BAD => {
                bad += 1;
                continue;
            }
            // The end, be it by a cut.
            Ok(None) | Err(_) => break,
        };
        if packet.track_id == id {
            let start = packet.pts.saturating_add(packet.trim_start);
            let end = packet.pts.saturating_add(packet.dur);
            let (first, last) = span.unwrap_or((start, end));
            span = Some((first.min(start), last.max(end)));
        }
    }
    let (first, last) = span?;
    let ms = base.calc_time(last)?.as_millis() - base.calc_time(first)?.as_millis();
    u64::try_from(ms).ok().filter(|ms| *ms > 0).map(Measured::packets)
}

/// What the headers promise, in milliseconds: at worst a guess by the bit rate at the start.
pub(super) fn promised(file: &File, len: u64) -> Option<u64> {
    let reader = demuxer(Source { left: HEADERS, ..Source::new(file, len) })?;
    sound_ms(reader.as_ref()).and_then(|ms| u64::try_from(ms).ok())
}

/// How many channels its headers say that it has.
pub(super) fn channels(file: &File, len: u64) -> Option<usize> {
    let reader = demuxer(Source { left: HEADERS, ..Source::new(file, len) })?;
    let parameters = reader.first_track(TrackType::Audio)?.codec_params.as_ref()?.audio()?;
    parameters.channels.as_ref().map(symphonia::core::audio::Channels::count)
}

fn demuxer(source: Source<'_>) -> Option<Box<dyn FormatReader + '_>> {
    let stream = MediaSourceStream::new(Box::new(source), Default::default());
    symphonia::default::get_probe()
        .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
        .ok()
}

/// The sound track's length; some containers know only the length of the whole.
fn sound_ms(reader: &dyn FormatReader) -> Option<i128> {
    let track = reader.first_track(TrackType::Audio).and_then(|t| t.time_base?.calc_duration(t.duration?));
    let whole = || {
        let info = reader.media_info();
        info.time_base?.calc_duration(info.duration?)
    };
    track.or_else(whole).map(|time| time.as_millis())
}

/// A file as readers want it, with a cursor of its own: others may read the same file at the same time.
pub(super) struct Source<'a> {
    file: &'a File,
    at: u64,
    len: u64,
    /// Bytes that may still be read.
    left: u64,
}

impl<'a> Source<'a> {
    pub(super) fn new(file: &'a File, len: u64) -> Self {
        Source { file, at: 0, len, left: u64::MAX }
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !buf.is_empty() {
            return Err(io::Error::other("looked at enough of the file"));
        }
        // What grows behind the length is not looked at.
        let most = self.left.min(self.len.saturating_sub(self.at));
        let most = buf.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        let got = self.file.read_at(&mut buf[..most], self.at)?;
        self.at += got as u64;
        self.left -= got as u64;
        Ok(got)
    }
}

impl Seek for Source<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(back) => self.len.checked_add_signed(back),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

impl MediaSource for Source<'_> {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.len)
    }
}
