//! Contents that are not what their names say, damaged ones, and sizes at the edges.

use super::Expect::{Judged, PassedOver, Refused, Sent};
use super::{Expect, Hostile};
use crate::support::tone;

/// The ten formats: what a scan must call them, and the sample.
const SAMPLES: [(&str, &str); 10] = [
    ("aac", "night-shift.aac"),
    ("aiff", "ferry.aiff"),
    ("flac", "library.flac"),
    ("mp3", "workshop.mp3"),
    ("mp4", "lecture.mp4"),
    ("mov", "garden.mov"),
    ("ogg", "platform.ogg"),
    ("opus", "kitchen.opus"),
    ("wav", "account.wav"),
    ("webm", "meeting.webm"),
];

const NOT_AUDIO: [(&str, &[u8]); 12] = [
    ("html", b"<!DOCTYPE html><html><title>404 Not Found</title></html>"),
    ("json", b"{\"error\": \"expired\", \"url\": \"https://example.com/a.wav\"}"),
    ("xml", b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>"),
    ("pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"),
    ("elf", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0\0\0\0\0\0\0\0\0"),
    ("zip", b"PK\x03\x04\x14\0\0\0\0\0aaaaaaaaaaaaaaaaaaaaaaaa"),
    ("gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0"),
    ("png", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0"),
    ("script", b"#!/bin/sh\ntouch owned\n"),
    ("lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"),
    ("midi", b"MThd\0\0\0\x06\0\x01\0\x01\0\x60MTrk\0\0\0\x04\0\xff\x2f\0"),
    ("playlist", b"#EXTM3U\nfile:///etc/passwd\n../../../etc/shadow\nconcat:/etc/hosts|/etc/passwd\n"),
];

/// Lists that point at files of this machine, under their own names: nobody follows them.
const PLAYLISTS: [(&str, &[u8]); 6] = [
    ("list.m3u", b"#EXTM3U\n/etc/passwd\n"),
    ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"),
    ("list.pls", b"[playlist]\nFile1=/etc/passwd\n"),
    ("list.xspf", b"<playlist><location>file:///etc/passwd</location></playlist>"),
    ("list.cue", b"FILE \"/etc/passwd\" BINARY\n"),
    ("list.asx", b"<asx><entry><ref href=\"file:///etc/passwd\"/></entry></asx>"),
];

pub(super) fn add(folder: &mut Hostile) {
    misnamed(folder);
    not_audio(folder);
    damaged(folder);
    untrue_sizes(folder);
    edges(folder);
}

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(name)).unwrap()
}

fn misnamed(folder: &mut Hostile) {
    for (format, name) in SAMPLES {
        for (other, _) in SAMPLES {
            folder.file(format!("misnamed/{format}.{other}"), &sample(name), Sent(format));
        }
        folder.file(format!("misnamed/{format}.txt"), &sample(name), Sent(format));
        folder.file(format!("misnamed/{format}"), &sample(name), Sent(format));
    }
}

fn not_audio(folder: &mut Hostile) {
    for (what, bytes) in NOT_AUDIO {
        for name in ["wav", "mp3", "mp4"] {
            folder.file(format!("not audio/{what}.{name}"), bytes, Refused("not_audio"));
        }
        folder.file(format!("not audio/{what} without extension"), bytes, Refused("not_audio"));
    }
    for (name, bytes) in PLAYLISTS {
        folder.file(format!("lists/{name}"), bytes, PassedOver);
    }
    for name in ["notes.txt", "index.html", "meta.json", "scan.pdf", "cover.png", "all.zip"] {
        folder.file(format!("companions/{name}"), b"who spoke, and when", PassedOver);
    }
    // Sound that no transcription takes.
    let matroska = b"\x1a\x45\xdf\xa3\x8b\x42\x82\x88matroska\x18\x53\x80\x67\xff\x16\x54\xae\x6b\x85\
                     \xae\x83\x83\x81\x02\x1f\x43\xb6\x75\xff";
    let mut mp2 = vec![0xff, 0xfd, 0x80, 0];
    mp2.resize(417, 0);
    for (name, bytes) in [
        ("voice.amr", &b"#!AMR\n\x3c\x08\x49\x1e"[..]),
        ("voice.au", b".snd\0\0\0\x18\0\0\0\x10\0\0\0\x01\0\0\x1f\x40\0\0\0\x01aaaaaaaaaaaaaaaa"),
        ("voice.caf", b"caff\0\x01\0\0desc\0\0\0\0\0\0\0\x20"),
        ("voice.mkv", matroska),
        ("voice.mp2", &mp2.repeat(20)),
        ("headerless.pcm", &[0xd2; 3000]),
        ("rf64.wav", b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        ("bw64.wav", b"BW64\xff\xff\xff\xffWAVEds64\x1c\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
    ] {
        folder.file(format!("elsewhere/{name}"), bytes, Refused("unsupported_format"));
    }
}

fn damaged(folder: &mut Hostile) {
    for (format, name) in SAMPLES {
        let whole = sample(name);
        let mut garbled = whole.clone();
        let (third, two_thirds) = (whole.len() / 3, whole.len() * 2 / 3);
        garbled[third..two_thirds].iter_mut().for_each(|b| *b ^= 0x5a);
        // Their index stands at the end; what stands in it decides what they are.
        let expect = |expect| if matches!(format, "mp4" | "mov") { AtEnd.of(&whole, expect) } else { expect };
        folder.file(format!("damaged/garbled.{format}"), &garbled, Judged(format));
        folder.file(format!("damaged/half.{format}"), &whole[..whole.len() / 2], expect(Judged(format)));
        let tail = [&whole[..], &[0xa5; 5000]].concat();
        folder.file(format!("damaged/tail.{format}"), &tail, Judged(format));
    }
    let opus = sample("kitchen.opus");
    let vorbis = sample("platform.ogg");
    folder.file("damaged/chained.opus", &opus.repeat(3), Sent("opus"));
    folder.file("damaged/chained.ogg", &[&vorbis[..], &opus].concat(), Judged("ogg"));
    let mp3 = sample("workshop.mp3");
    folder.file("damaged/junk before.mp3", &[&[0; 100_000][..], &mp3].concat(), Judged("mp3"));
    folder.file(
        "damaged/tags.mp3",
        b"ID3\x04\0\0\0\0\0\x20aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        Refused("not_audio"),
    );
    folder.file("damaged/tags without end.mp3", b"ID3\x04\0\0\x7f\x7f\x7f\x7faaaa", Refused("not_audio"));
    let no_index = b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\0mdat\xff\xfe\xfd\xfc\xfb\xfa";
    folder.file("damaged/no index.mp4", no_index, Refused("not_audio"));
    let endless = b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x01moov\xff\xff\xff\xff\xff\xff\xff\xff";
    folder.file("damaged/endless box.mp4", endless, Refused("not_audio"));
}

/// Half of a film without its index is nothing that could be sent.
struct AtEnd;

impl AtEnd {
    fn of(&self, whole: &[u8], otherwise: Expect) -> Expect {
        let index = whole.windows(4).position(|w| w == b"moov").unwrap();
        if index > whole.len() / 2 { Refused("not_audio") } else { otherwise }
    }
}

fn untrue_sizes(folder: &mut Hostile) {
    // In the head of a WAV: the size of all at 4, that of the sound at 40.
    let with = |riff: u32, data: u32| {
        let mut wav = tone(&format!("{riff} {data}"), 500);
        wav[4..8].copy_from_slice(&riff.to_le_bytes());
        wav[40..44].copy_from_slice(&data.to_le_bytes());
        wav
    };
    folder.file("sizes/streamed.wav", &with(u32::MAX, u32::MAX), Sent("wav"));
    folder.file("sizes/streamed, even.wav", &with(u32::MAX - 1, u32::MAX - 37), Sent("wav"));
    folder.file("sizes/never closed.wav", &with(0, 0), Judged("wav"));
    folder.file("sizes/wrapped.wav", &with(100, 64), Judged("wav"));
    folder.file("sizes/odd.wav", &with(8037, 8001), Judged("wav"));
    folder.file("sizes/too long.wav", &with(80_036, 80_000), Judged("wav"));
    let mut rates = tone("rates", 250);
    rates[24..28].copy_from_slice(&0u32.to_le_bytes());
    folder.file("sizes/rate of zero.wav", &rates, Judged("wav"));
    rates[24..28].copy_from_slice(&u32::MAX.to_le_bytes());
    folder.file("sizes/rate without end.wav", &rates, Judged("wav"));
    rates[24..28].copy_from_slice(&8000u32.to_le_bytes());
    rates[22..24].copy_from_slice(&u16::MAX.to_le_bytes());
    folder.file("sizes/65535 channels.wav", &rates, Judged("wav"));
    rates[32..36].copy_from_slice(&[0; 4]);
    folder.file("sizes/no bits.wav", &rates, Judged("wav"));
    // 64 bytes that claim 2^36 - 1 samples at 8 kHz: 99 days.
    let info = [0x10, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x01, 0xf4, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff];
    let flac = [&b"fLaC\x80\0\0\x22"[..], &info, &[0; 38]].concat();
    assert_eq!(flac.len(), 64);
    for n in 0..5 {
        folder.file(format!("sizes/days {n}.flac"), &flac, Judged("flac"));
    }
}

fn edges(folder: &mut Hostile) {
    for name in ["empty.wav", "empty", "empty.mp3"] {
        folder.file(format!("edges/{name}"), b"", Refused("empty"));
    }
    folder.file("edges/empty.txt", b"", PassedOver);
    for (name, byte) in [("zero", 0), ("letter", b'R'), ("all bits", 0xff), ("line", b'\n')] {
        folder.file(format!("edges/one byte, {name}.wav"), &[byte], Refused("not_audio"));
    }
    let wav = tone("edges", 250);
    folder.file("edges/4 bytes.wav", &wav[..4], Refused("not_audio"));
    for length in [12, 20, 36, 43, 44, 45] {
        folder.file(format!("edges/{length} bytes.wav"), &wav[..length], Judged("wav"));
    }
    // 100 MB are 100,000,000 bytes: the last size that goes as it is.
    folder.sparse("edges/largest.wav", &wav_of(100_000_000), 100_000_000, Sent("wav"));
    folder.sparse("edges/one too many.wav", &wav_of(100_000_001), 100_000_001, Sent("wav"));
    folder.sparse("edges/100 MiB.wav", &wav_of(104_857_600), 100 << 20, Sent("wav"));
    folder.sparse("edges/5 TB.wav", &wav_of(100_000_000), 5_000_000_000_000, Refused("too_big"));
    folder.sparse("edges/hole.wav", b"", 10_000_000_000, Refused("not_audio"));
    folder.sparse("edges/hole behind a page.mp3", NOT_AUDIO[0].1, 3_000_000_000, Refused("not_audio"));
}

/// The head of a WAV of so many bytes: 96 kHz and four channels, so that it lasts two minutes and not two hours.
fn wav_of(bytes: u32) -> Vec<u8> {
    let mut head = tone("large", 250);
    head.truncate(44);
    head[4..8].copy_from_slice(&(bytes - 8).to_le_bytes());
    head[22..24].copy_from_slice(&4u16.to_le_bytes());
    head[24..28].copy_from_slice(&96_000u32.to_le_bytes());
    head[28..32].copy_from_slice(&768_000u32.to_le_bytes());
    head[32..34].copy_from_slice(&8u16.to_le_bytes());
    head[40..44].copy_from_slice(&(bytes - 44).to_le_bytes());
    head
}
