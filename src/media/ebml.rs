//! Reads from a Matroska or WebM file what it calls itself and whether it has a sound track.

use std::fs::File;
use std::io;

use super::read::read_at;

/// What the head of the file says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Matroska {
    /// `webm` or `matroska`.
    pub(super) doc_type: String,
    /// Whether a sound track is listed; `None` when the list of tracks was not found before the data.
    pub(super) has_sound: Option<bool>,
    /// How long it plays, in milliseconds, as it was told when it was finished.
    pub(super) length_ms: Option<u64>,
    /// It says how large it is, and all of that is there.
    pub(super) is_whole: bool,
}

const EBML: u32 = 0x1A45_DFA3;
const DOC_TYPE: u32 = 0x4282;
const SEGMENT: u32 = 0x1853_8067;
const CLUSTER: u32 = 0x1F43_B675;
const INFO: u32 = 0x1549_A966;
const TICK: u32 = 0x2A_D7B1;
const LENGTH: u32 = 0x4489;
const TRACKS: u32 = 0x1654_AE6B;
const TRACK_ENTRY: u32 = 0xAE;
const TRACK_TYPE: u32 = 0x83;
const SOUND: u8 = 2;

/// The tracks' description is read up to this size; codec headers make it a few KiB.
const MOST_TRACK_BYTES: usize = 1 << 20;
const MOST_ELEMENTS: usize = 256;

/// Walks the elements up to the first data. Elements that make no sense end the walk.
pub(super) fn matroska(file: &File, len: u64) -> io::Result<Matroska> {
    let mut found = Matroska::default();
    let mut at = 0u64;
    for _ in 0..MOST_ELEMENTS {
        let head = read_at(file, at, 12)?;
        let Some(element) = Element::parse(&head) else { break };
        let body = at + element.body as u64;
        let size = element.size.unwrap_or(len);
        match element.id {
            EBML => {
                let bytes = read_at(file, body, usize::try_from(size).unwrap_or(usize::MAX).min(4096))?;
                let name = children(&bytes).find(|(id, _)| *id == DOC_TYPE).map(|(_, name)| name);
                found.doc_type =
                    String::from_utf8_lossy(name.unwrap_or_default()).trim_end_matches('\0').to_owned();
            }
            // Its children follow at once.
            SEGMENT => {
                found.is_whole = element.size.is_some_and(|size| body.saturating_add(size) <= len);
                at = body;
                continue;
            }
            INFO => {
                let bytes = read_at(file, body, usize::try_from(size).unwrap_or(usize::MAX).min(4096))?;
                found.length_ms = length_ms(&bytes);
            }
            TRACKS => {
                let bytes =
                    read_at(file, body, usize::try_from(size).unwrap_or(usize::MAX).min(MOST_TRACK_BYTES))?;
                found.has_sound =
                    Some(children(&bytes).filter(|(id, _)| *id == TRACK_ENTRY).any(|(_, entry)| {
                        children(entry).any(|(id, value)| id == TRACK_TYPE && value.last() == Some(&SOUND))
                    }));
                break;
            }
            CLUSTER => break,
            _ => {}
        }
        at = body.saturating_add(size);
        if at >= len {
            break;
        }
    }
    Ok(found)
}

/// The length in ticks, by the length of a tick: a millisecond, unless it is told otherwise.
fn length_ms(info: &[u8]) -> Option<u64> {
    let value = |wanted| children(info).find(|(id, _)| *id == wanted).map(|(_, value)| value);
    let number = |bytes: &[u8]| bytes.iter().fold(0u64, |sum, &b| sum << 8 | u64::from(b));
    let tick_ns = value(TICK).filter(|v| v.len() <= 8).map_or(1_000_000, number);
    let length = match value(LENGTH)? {
        short if short.len() == 4 => f64::from(f32::from_bits(number(short) as u32)),
        long if long.len() == 8 => f64::from_bits(number(long)),
        _ => return None,
    };
    let ms = (length * tick_ns as f64 / 1e6).round();
    (1.0..1e12).contains(&ms).then_some(ms as u64)
}

/// The direct children within a body: id and content, as far as the bytes reach.
fn children(mut bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        let element = Element::parse(bytes)?;
        let size = usize::try_from(element.size.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let end = element.body.saturating_add(size).min(bytes.len());
        let content = bytes.get(element.body..end)?;
        bytes = &bytes[end..];
        Some((element.id, content))
    })
}

struct Element {
    id: u32,
    /// `None`: unknown, as in live streams.
    size: Option<u64>,
    /// Where the content begins.
    body: usize,
}

impl Element {
    fn parse(bytes: &[u8]) -> Option<Element> {
        let id_len = bytes.first()?.leading_zeros() as usize + 1;
        if id_len > 4 {
            return None;
        }
        let id = bytes.get(..id_len)?.iter().fold(0, |id, &b| (id << 8) | u32::from(b));
        let first = *bytes.get(id_len)?;
        let size_len = first.leading_zeros() as usize + 1;
        if size_len > 8 {
            return None;
        }
        let value_bits = 7 * size_len as u32;
        let raw =
            bytes.get(id_len..id_len + size_len)?.iter().fold(0u64, |size, &b| (size << 8) | u64::from(b));
        let size = raw & ((1 << value_bits) - 1);
        let unknown = size == (1 << value_bits) - 1;
        Some(Element { id, size: (!unknown).then_some(size), body: id_len + size_len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sample::{file_of, webm};

    fn read(bytes: &[u8]) -> Matroska {
        matroska(&file_of(bytes), bytes.len() as u64).unwrap()
    }

    #[test]
    fn the_kind_and_the_sound_track_are_read() {
        let live = |kind: &str, sound| Matroska {
            doc_type: kind.into(),
            has_sound: Some(sound),
            ..Matroska::default()
        };
        assert_eq!(read(&webm("webm", &[1, 2])), live("webm", true));
        assert_eq!(read(&webm("matroska", &[1])), live("matroska", false));
    }

    #[test]
    fn a_file_cut_before_its_tracks_leaves_the_question_open() {
        let bytes = webm("webm", &[2]);
        assert_eq!(read(&bytes[..24]).has_sound, None);
        assert_eq!(read(b"\x1A\x45\xDF\xA3\xFF").doc_type, "");
    }
}
