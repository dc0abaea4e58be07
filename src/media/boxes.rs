//! Walks the boxes of an MP4 or QuickTime file to its tracks. Reads headers only, a bounded number of them.

use std::fs::File;
use std::io;

use super::read::{be32, be64, read_at};

/// What the index of the film says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Movie {
    /// The major brand: `M4A `, `qt  `, `3gp4`. Old QuickTime files have none.
    pub(super) brand: Option<[u8; 4]>,
    /// Whether there is an index (`moov`). A recorder that was cut off leaves none.
    pub(super) has_index: bool,
    /// The codec of each sound track: `mp4a`, `samr`.
    pub(super) sounds: Vec<[u8; 4]>,
    /// How long the first sound track plays, in milliseconds: what the track shows of its media, which leaves out what
    /// encoders put in front, and no more than the media has.
    pub(super) sound_ms: Option<u64>,
    /// A box reaches out of the file.
    pub(super) is_cut: bool,
    /// More of it lies in pieces behind the index.
    pub(super) is_fragmented: bool,
}

/// A file may hold this many boxes on the way to its tracks; fragmented files have thousands behind the index.
const MOST_BOXES: usize = 4096;

/// Reads the tracks of a file of `len` bytes. Boxes that make no sense end the walk; only a failing disk is an error.
pub(super) fn movie(file: &File, len: u64) -> io::Result<Movie> {
    let mut walk = Walk {
        file,
        boxes_left: MOST_BOXES,
        movie: Movie::default(),
        handler: [0; 4],
        scale: 0,
        shown: None,
        media: None,
    };
    walk.within(0, len)?;
    Ok(walk.movie)
}

struct Walk<'a> {
    file: &'a File,
    boxes_left: usize,
    movie: Movie,
    /// The kind of the track that is being read; `hdlr` stands before the sample table.
    handler: [u8; 4],
    /// Units a second of what the tracks show.
    scale: u64,
    /// What the track shows, in these units, and what its media has, in milliseconds.
    shown: Option<u64>,
    media: Option<u64>,
}

impl Walk<'_> {
    /// Depth is bounded by the names below: no container holds itself.
    fn within(&mut self, mut at: u64, end: u64) -> io::Result<()> {
        while at.saturating_add(8) <= end && self.boxes_left > 0 {
            self.boxes_left -= 1;
            let head = read_at(self.file, at, 32)?;
            let (Some(short), Some(kind)) = (be32(&head, 0), head.get(4..8)) else { break };
            let (size, body) = match short {
                0 => (end - at, 8),
                1 => match (be32(&head, 8), be32(&head, 12)) {
                    (Some(high), Some(low)) => ((u64::from(high) << 32) | u64::from(low), 16),
                    _ => break,
                },
                n => (u64::from(n), 8),
            };
            if size < body {
                break;
            }
            self.movie.is_cut |= at.saturating_add(size) > end;
            let stop = at.saturating_add(size).min(end);
            let (start, rest) = (at + body, &head[(body as usize).min(head.len())..]);
            match kind {
                b"ftyp" => self.movie.brand = rest.get(..4).and_then(|b| b.try_into().ok()),
                // What follows is data; another index would only repeat this one.
                b"moov" if self.movie.has_index => break,
                b"moov" => {
                    self.movie.has_index = true;
                    self.within(start, stop)?;
                }
                b"moof" => {
                    self.movie.is_fragmented = true;
                    break; // as many follow as there are seconds
                }
                b"trak" => {
                    self.handler = [0; 4];
                    (self.shown, self.media) = (None, None);
                    self.within(start, stop)?;
                }
                b"mvhd" => self.scale = self.times(start)?.map_or(0, |(scale, _)| scale),
                b"tkhd" => self.shown = self.shown(start)?,
                b"mdhd" => {
                    self.media = self.times(start)?.and_then(|(scale, length)| ms(length, scale));
                }
                b"mdia" | b"minf" | b"stbl" => self.within(start, stop)?,
                // QuickTime repeats `hdlr` inside `minf` for the data: only the first of a track counts.
                b"hdlr" if self.handler == [0; 4] => {
                    if let Some(handler) = rest.get(8..12).and_then(|h| h.try_into().ok()) {
                        self.handler = handler;
                    }
                }
                b"stsd" if &self.handler == b"soun" => {
                    let entry = read_at(self.file, start, 16)?;
                    if let Some(codec) = entry.get(12..16).and_then(|c| c.try_into().ok()) {
                        self.movie.sounds.push(codec);
                        let shown = self.shown.and_then(|length| ms(length, self.scale));
                        let length = shown.into_iter().chain(self.media).min();
                        self.movie.sound_ms = self.movie.sound_ms.or(length);
                    }
                }
                // An index in compressed form: no reader of ours, but surely an index.
                b"cmov" => self.movie.sounds.push(*b"cmov"),
                _ => {}
            }
            at = stop.max(at + 8);
        }
        Ok(())
    }

    /// Units a second and how many of them, of the film or of a track's media: both are laid out the same.
    fn times(&self, start: u64) -> io::Result<Option<(u64, u64)>> {
        let times = read_at(self.file, start, 32)?;
        Ok(match times.first() {
            Some(1) => be32(&times, 20).map(u64::from).zip(be64(&times, 24)),
            _ => be32(&times, 12).map(u64::from).zip(be32(&times, 16).map(length)),
        })
    }

    fn shown(&self, start: u64) -> io::Result<Option<u64>> {
        let track = read_at(self.file, start, 36)?;
        Ok(match track.first() {
            Some(1) => be64(&track, 28),
            _ => be32(&track, 20).map(length),
        })
    }
}

/// All ones say that nobody knows.
fn length(units: u32) -> u64 {
    if units == u32::MAX { 0 } else { u64::from(units) }
}

/// None, if nothing is told.
fn ms(units: u64, scale: u64) -> Option<u64> {
    units.checked_mul(1000)?.checked_div(scale).filter(|ms| *ms > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sample::{file_of, mp4, mp4_box};

    #[test]
    fn an_index_behind_the_data_is_found() {
        let bytes =
            [mp4_box(b"ftyp", b"M4A \0\0\0\0"), mp4_box(b"mdat", &[0; 5000]), mp4(b"soun", b"mp4a")].concat();
        let movie = movie(&file_of(&bytes), bytes.len() as u64).unwrap();
        assert_eq!(
            movie,
            Movie { brand: Some(*b"M4A "), has_index: true, sounds: vec![*b"mp4a"], ..Movie::default() }
        );
    }

    #[test]
    fn a_film_without_sound_has_no_sounds_and_a_cut_one_no_index() {
        let silent = mp4(b"vide", b"avc1");
        assert_eq!(movie(&file_of(&silent), silent.len() as u64).unwrap().sounds, Vec::<[u8; 4]>::new());
        let cut = [mp4_box(b"ftyp", b"isom\0\0\0\0"), mp4_box(b"mdat", &[0; 500])].concat();
        assert!(!movie(&file_of(&cut[..200]), 200).unwrap().has_index);
    }

    #[test]
    fn boxes_that_lie_about_their_size_end_the_walk() {
        for size in [2u32, 7, u32::MAX] {
            let bytes =
                [&size.to_be_bytes()[..], b"moov", &1u32.to_be_bytes(), b"trak", &[0xFF; 40]].concat();
            assert_eq!(movie(&file_of(&bytes), bytes.len() as u64).unwrap().sounds, Vec::<[u8; 4]>::new());
        }
    }
}
