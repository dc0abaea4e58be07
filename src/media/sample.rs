//! The smallest files of each kind, made in code, for the tests of this room.

use std::fs::File;
use std::io::{Seek, Write};

/// An unnamed file with these bytes, at its beginning.
pub(super) fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

fn frames(head: [u8; 6], bytes: usize, count: usize) -> Vec<u8> {
    let mut frame = head.to_vec();
    frame.resize(bytes, 0);
    frame.repeat(count)
}

/// 128 kbit/s, 44.1 kHz: 417 bytes and 26.12 ms a frame.
pub(super) fn mp3(count: usize) -> Vec<u8> {
    frames([0xFF, 0xFB, 0x90, 0x00, 0, 0], 417, count)
}

pub(super) fn mp2(count: usize) -> Vec<u8> {
    frames([0xFF, 0xFD, 0x80, 0x00, 0, 0], 417, count)
}

/// AAC LC, 44.1 kHz stereo, 200 bytes a frame.
pub(super) fn adts(count: usize) -> Vec<u8> {
    frames([0xFF, 0xF1, 0x50, 0x80, (200 >> 3) as u8, ((200 & 7) << 5) as u8 | 0x1F], 200, count)
}

/// 16-bit mono PCM of silence.
pub(super) fn wav(rate: u32, samples: u32) -> Vec<u8> {
    let mut bytes =
        [&b"RIFF"[..], &(36 + samples * 2).to_le_bytes(), b"WAVEfmt ", &16u32.to_le_bytes()].concat();
    bytes.extend([1, 0, 1, 0]);
    bytes.extend(rate.to_le_bytes());
    bytes.extend((rate * 2).to_le_bytes());
    bytes.extend([2, 0, 16, 0]);
    bytes.extend([&b"data"[..], &(samples * 2).to_le_bytes()].concat());
    bytes.resize(bytes.len() + samples as usize * 2, 0);
    bytes
}

/// 16-bit PCM of these samples, frame by frame.
pub(super) fn wav_of(rate: u32, channels: u16, samples: &[i16]) -> Vec<u8> {
    let mut bytes = wav(rate, 0);
    bytes[22..24].copy_from_slice(&channels.to_le_bytes());
    bytes[28..32].copy_from_slice(&(rate * u32::from(channels) * 2).to_le_bytes());
    bytes[32..34].copy_from_slice(&(channels * 2).to_le_bytes());
    bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    let size = bytes.len() as u32;
    bytes[4..8].copy_from_slice(&(size - 8).to_le_bytes());
    bytes[40..44].copy_from_slice(&(size - 44).to_le_bytes());
    bytes
}

/// AIFF, or AIFF-C when a compression is named.
pub(super) fn aiff(compression: Option<&[u8; 4]>) -> Vec<u8> {
    let mut common =
        [&[0, 1][..], &8000u32.to_be_bytes(), &[0, 16, 0x40, 0x0B, 0xFA, 0, 0, 0, 0, 0, 0, 0]].concat();
    if let Some(compression) = compression {
        common.extend(compression);
        common.extend([0, 0]);
    }
    let kind = if compression.is_some() { b"AIFC" } else { b"AIFF" };
    let body = [&kind[..], &chunk(b"COMM", &common), &chunk(b"SSND", &[0; 160])].concat();
    chunk(b"FORM", &body)
}

fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&name[..], &(body.len() as u32).to_be_bytes(), body].concat()
}

/// The head of a FLAC file: 8 kHz, mono, 16 bit, 16,000 samples.
pub(super) fn flac() -> Vec<u8> {
    let info = [0x10, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x01, 0xF4, 0x00, 0xF0, 0, 0, 0x3E, 0x80];
    [&b"fLaC"[..], &[0x80, 0, 0, 34], &info, &[0; 16], &[0; 64]].concat()
}

/// One page that holds one packet; flag 2 begins a stream.
pub(super) fn ogg_page(flags: u8, packet: &[u8]) -> Vec<u8> {
    let mut page = [&b"OggS\0"[..], &[flags], &[0; 20], &[1, packet.len() as u8]].concat();
    page.extend(packet);
    let mut sum = 0u32;
    for byte in &page {
        sum ^= u32::from(*byte) << 24;
        (0..8).for_each(|_| sum = (sum << 1) ^ if sum >> 31 == 1 { 0x04C1_1DB7 } else { 0 });
    }
    page[22..26].copy_from_slice(&sum.to_le_bytes());
    page
}

pub(super) fn mp4_box(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], kind, body].concat()
}

/// The index of a film with one track of this handler and codec.
pub(super) fn mp4(handler: &[u8; 4], codec: &[u8; 4]) -> Vec<u8> {
    let entry = mp4_box(codec, &[0; 28]);
    let table = mp4_box(b"stbl", &mp4_box(b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1][..], &entry].concat()));
    let handled = |kind: &[u8; 4]| mp4_box(b"hdlr", &[&[0; 8][..], kind, &[0; 13]].concat());
    // As QuickTime writes it: the data has a handler of its own in front of the table.
    let media = [handled(handler), mp4_box(b"minf", &[handled(b"alis"), table].concat())].concat();
    mp4_box(b"moov", &mp4_box(b"trak", &mp4_box(b"mdia", &media)))
}

/// A file of a brand with one track.
pub(super) fn movie(brand: &[u8; 4], handler: &[u8; 4], codec: &[u8; 4]) -> Vec<u8> {
    [mp4_box(b"ftyp", &[&brand[..], &[0; 4]].concat()), mp4(handler, codec)].concat()
}

/// An index with one sound track: so many milliseconds are shown of so many samples at 8 kHz.
pub(super) fn timed_mp4(shown_ms: u32, samples: u32) -> Vec<u8> {
    let times = |scale: u32, length: u32| {
        [&[0; 12][..], &scale.to_be_bytes(), &length.to_be_bytes(), &[0; 4]].concat()
    };
    let track = mp4_box(b"tkhd", &[&[0; 20][..], &shown_ms.to_be_bytes(), &[0; 60]].concat());
    let handler = mp4_box(b"hdlr", &[&[0; 8][..], b"soun", &[0; 13]].concat());
    let entry = [&[0, 0, 0, 0, 0, 0, 0, 1][..], &mp4_box(b"mp4a", &[0; 28])].concat();
    let table = mp4_box(b"minf", &mp4_box(b"stbl", &mp4_box(b"stsd", &entry)));
    let media = mp4_box(b"mdia", &[mp4_box(b"mdhd", &times(8000, samples)), handler, table].concat());
    let film =
        [mp4_box(b"mvhd", &times(1000, shown_ms)), mp4_box(b"trak", &[track, media].concat())].concat();
    [mp4_box(b"ftyp", b"M4A \0\0\0\0"), mp4_box(b"moov", &film)].concat()
}

/// A file of sound that was finished: it says how large and how long it is.
pub(super) fn finished_webm(ms: f64) -> Vec<u8> {
    let head = ebml(&[0x1A, 0x45, 0xDF, 0xA3], &ebml(&[0x42, 0x82], b"webm"));
    let info = ebml(&[0x15, 0x49, 0xA9, 0x66], &ebml(&[0x44, 0x89], &ms.to_be_bytes()));
    let tracks = ebml(&[0x16, 0x54, 0xAE, 0x6B], &ebml(&[0xAE], &ebml(&[0x83], &[2])));
    let cluster = ebml(&[0x1F, 0x43, 0xB6, 0x75], &[0; 9]);
    [head, ebml(&[0x18, 0x53, 0x80, 0x67], &[info, tracks, cluster].concat())].concat()
}

fn ebml(id: &[u8], body: &[u8]) -> Vec<u8> {
    [id, &[0x80 | body.len() as u8], body].concat()
}

/// A Matroska head with tracks of these types (1 film, 2 sound).
pub(super) fn webm(doc_type: &str, tracks: &[u8]) -> Vec<u8> {
    let entries: Vec<u8> = tracks.iter().flat_map(|&kind| ebml(&[0xAE], &ebml(&[0x83], &[kind]))).collect();
    let head = ebml(&[0x1A, 0x45, 0xDF, 0xA3], &ebml(&[0x42, 0x82], doc_type.as_bytes()));
    let void = ebml(&[0xEC], &[0; 20]);
    let segment =
        [&[0x18, 0x53, 0x80, 0x67, 0xFF][..], &void, &ebml(&[0x16, 0x54, 0xAE, 0x6B], &entries)].concat();
    [head, segment, vec![0x1F, 0x43, 0xB6, 0x75, 0xFF, 0, 0]].concat()
}

/// An ID3v2 tag of this many bytes of content.
pub(super) fn id3(bytes: u8) -> Vec<u8> {
    [&b"ID3\x04\0\0\0\0\0"[..], &[bytes], &vec![0; usize::from(bytes)]].concat()
}
