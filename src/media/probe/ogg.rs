//! Ogg: the position on the last page of the sound, by its rate. Recordings that were put one behind the other, as radio
//! stations do, are links of a chain: then pages are counted from link to link.

use std::fs::File;
use std::io::{BufRead, BufReader};

use super::packets::{self, Source};
use super::samples_ms;
use crate::media::read::{le16, le32, le64, read_at};
use crate::task::Measured;

/// The largest page there is.
const PAGE_MAX: usize = 27 + 255 + 255 * 255;
/// A page holds a second or so. One that begins later than this was cut out of something longer.
const LATE_S: u64 = 6;

/// By the first pages and the last.
pub(super) fn told(file: &File, len: u64) -> Option<Measured> {
    let head = read_at(file, 0, 64 << 10).ok()?;
    let opening = Opening::read(&head)?;
    let reach = len.saturating_sub(PAGE_MAX as u64 + 1);
    let tail = read_at(file, reach, PAGE_MAX + 1).ok()?;
    let pages = (0..tail.len()).rev().filter_map(|at| Page::at(&tail, at).filter(Page::is_whole));
    let mut end = None;
    for page in pages {
        if !opening.serials.contains(&page.serial) {
            return None; // a link of a chain
        }
        if page.serial == opening.sound.serial && page.position.is_some() {
            end = page.position;
            break;
        }
    }
    let begins_late = opening.first.is_some_and(|first| first > LATE_S * opening.sound.rate);
    (!begins_late).then(|| opening.sound.ms(end?).map(Measured::header))?
}

/// By all pages: link after link, each from where it begins. What begins late goes to the demuxer, which knows where.
pub(super) fn counted(file: &File, len: u64) -> Option<Measured> {
    let mut reader = BufReader::with_capacity(64 << 10, Source::new(file, len));
    let (mut done_ms, mut link, mut links) = (0u64, None::<Link>, 0);
    while let Some((page, body)) = next_page(&mut reader) {
        if page.begins {
            match Sound::of(page.serial, &body) {
                // Another stream of the same link, or no sound.
                None => {}
                Some(_) if link.as_ref().is_some_and(|l| l.first.is_none()) => {}
                Some(sound) => {
                    done_ms += link.as_ref().and_then(Link::ms).unwrap_or(0);
                    link = Some(Link { sound, first: None, last: 0 });
                    links += 1;
                }
            }
        } else if let (Some(link), Some(position)) = (&mut link, page.position)
            && link.sound.serial == page.serial
            && position > 0
        {
            link.first.get_or_insert(position);
            link.last = link.last.max(position);
        }
    }
    let link = link?;
    if links == 1 && link.first.is_some_and(|first| first > LATE_S * link.sound.rate) {
        return packets::counted(file, len);
    }
    Some(done_ms + link.ms().unwrap_or(0)).filter(|ms| *ms > 0).map(Measured::packets)
}

struct Link {
    sound: Sound,
    first: Option<u64>,
    last: u64,
}

impl Link {
    fn ms(&self) -> Option<u64> {
        self.sound.ms(self.last)
    }
}

/// The pages that announce what is in the file.
struct Opening {
    serials: Vec<u32>,
    sound: Sound,
    /// The first position of the sound.
    first: Option<u64>,
}

impl Opening {
    fn read(head: &[u8]) -> Option<Opening> {
        let (mut at, mut serials, mut sound, mut first) = (0, Vec::new(), None::<Sound>, None);
        while let Some(page) = Page::at(head, at) {
            if page.begins {
                serials.push(page.serial);
                sound = sound.or_else(|| Sound::of(page.serial, &head[page.body..page.end.min(head.len())]));
            } else if sound.as_ref().is_some_and(|s| s.serial == page.serial) {
                first = page.position.filter(|position| *position > 0);
            }
            if first.is_some() {
                break;
            }
            at = page.end;
        }
        Some(Opening { serials, sound: sound?, first })
    }
}

/// A stream of sound.
struct Sound {
    serial: u32,
    rate: u64,
    /// Samples at the start that are not played.
    skipped: u64,
}

impl Sound {
    /// By the packet that opens it.
    fn of(serial: u32, packet: &[u8]) -> Option<Sound> {
        let (rate, skipped) = if packet.starts_with(b"OpusHead") {
            (48_000, u64::from(le16(packet, 10)?))
        } else if packet.starts_with(b"\x01vorbis") {
            (u64::from(le32(packet, 12)?), 0)
        } else if packet.starts_with(b"Speex   ") {
            (u64::from(le32(packet, 36)?), 0)
        } else if packet.starts_with(b"\x7FFLAC") && packet.get(9..13) == Some(b"fLaC") {
            let rate = packet.get(27..30)?.iter().fold(0u64, |sum, &b| sum << 8 | u64::from(b)) >> 4;
            (rate, 0)
        } else {
            return None;
        };
        (rate > 0).then_some(Sound { serial, rate, skipped })
    }

    fn ms(&self, position: u64) -> Option<u64> {
        samples_ms(position.saturating_sub(self.skipped), self.rate)
    }
}

/// The head of a page.
struct Page {
    begins: bool,
    /// Samples played when the page is; none, when no packet ends on it.
    position: Option<u64>,
    serial: u32,
    /// Where its packets begin and end, and how far the bytes reach that it was read from.
    body: usize,
    end: usize,
    reach: usize,
}

impl Page {
    fn at(bytes: &[u8], at: usize) -> Option<Page> {
        let head = bytes.get(at..)?;
        if !head.starts_with(b"OggS\0") {
            return None;
        }
        let lacing = head.get(27..27 + usize::from(*head.get(26)?))?;
        let body = at + 27 + lacing.len();
        Some(Page {
            begins: head[5] & 2 != 0,
            position: le64(head, 6).filter(|position| *position <= i64::MAX as u64),
            serial: le32(head, 14)?,
            body,
            end: body + lacing.iter().map(|&n| usize::from(n)).sum::<usize>(),
            reach: bytes.len(),
        })
    }

    /// A page that was cut off is not played.
    fn is_whole(&self) -> bool {
        self.end <= self.reach
    }
}

/// The next page and what is in it; bytes between pages are passed over. A page that was cut off is none.
fn next_page(reader: &mut impl BufRead) -> Option<(Page, Vec<u8>)> {
    let mut head = vec![0; 27];
    reader.read_exact(&mut head).ok()?;
    while !head.starts_with(b"OggS\0") {
        let next = (1..head.len()).find(|&at| b"OggS\0".starts_with(&head[at..head.len().min(at + 5)]));
        head.drain(..next.unwrap_or(head.len()));
        let had = head.len();
        head.resize(27, 0);
        reader.read_exact(&mut head[had..]).ok()?;
    }
    let lacing = usize::from(head[26]);
    head.resize(27 + lacing, 0);
    reader.read_exact(&mut head[27..]).ok()?;
    let page = Page::at(&head, 0)?;
    let mut body = vec![0; page.end - page.body];
    reader.read_exact(&mut body).ok()?;
    Some((page, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sample::file_of;

    fn page(flags: u8, position: i64, serial: u32, packet: &[u8]) -> Vec<u8> {
        let mut page = [&b"OggS\0"[..], &[flags], &position.to_le_bytes(), &serial.to_le_bytes()].concat();
        page.extend([0; 8]);
        page.extend([1, packet.len() as u8]);
        page.extend(packet);
        page
    }

    /// Opus that skips 312 samples and has so many pages of a second.
    fn opus(serial: u32, seconds: i64) -> Vec<u8> {
        let mut file = page(2, 0, serial, b"OpusHead\x01\x01\x38\x01\x80\xBB\0\0\0\0\0");
        file.extend(page(0, 0, serial, b"OpusTags"));
        (1..=seconds).for_each(|s| file.extend(page(0, s * 48_000 + 312, serial, &[9; 200])));
        file
    }

    fn both(bytes: &[u8]) -> (Option<Measured>, Option<Measured>) {
        let (file, len) = (file_of(bytes), bytes.len() as u64);
        (told(&file, len), counted(&file, len))
    }

    #[test]
    fn the_last_page_tells_the_length() {
        assert_eq!(both(&opus(7, 5)), (Some(Measured::header(5000)), Some(Measured::packets(5000))));
    }

    #[test]
    fn a_page_that_was_cut_off_is_not_played() {
        let file = opus(7, 5);
        let cut = &file[..file.len() - 100];
        assert_eq!(both(cut), (Some(Measured::header(4000)), Some(Measured::packets(4000))));
    }

    #[test]
    fn the_links_of_a_chain_add_up() {
        let chain = [opus(7, 5), opus(8, 3), opus(9, 2)].concat();
        assert_eq!(both(&chain), (None, Some(Measured::packets(10_000))));
    }

    #[test]
    fn bytes_that_were_damaged_cost_their_page_and_no_more() {
        let mut file = opus(7, 5);
        let half = file.len() / 2;
        file.splice(half..half, [b'O'; 90]);
        assert_eq!(both(&file).1, Some(Measured::packets(5000)));
    }

    #[test]
    fn what_begins_late_is_not_taken_for_longer_than_it_is() {
        let mut file = page(2, 0, 7, b"OpusHead\x01\x01\x38\x01\x80\xBB\0\0\0\0\0");
        file.extend(page(0, 3600 * 48_000, 7, &[9; 200]));
        assert_eq!(both(&file).0, None);
    }

    #[test]
    fn other_codecs_have_their_rates() {
        let vorbis = [&b"\x01vorbis\0\0\0\0\x01"[..], &16_000u32.to_le_bytes()].concat();
        let mut speex = vec![0; 80];
        speex[..8].copy_from_slice(b"Speex   ");
        speex[36..40].copy_from_slice(&16_000u32.to_le_bytes());
        let mut flac = b"\x7FFLAC\x01\0\0\x01fLaC\0\0\0\x22".to_vec();
        flac.extend([0x10, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x03, 0xE8, 0x00]);
        for head in [vorbis, speex, flac] {
            let file = [page(2, 0, 1, &head), page(0, 32_000, 1, &[3; 50])].concat();
            assert_eq!(both(&file), (Some(Measured::header(2000)), Some(Measured::packets(2000))));
        }
    }
}
