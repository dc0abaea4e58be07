//! Says what a file is by its content alone. Names, endpoints and sizes are left to `inspect`.

use std::fs::File;
use std::io::{self, Cursor, Seek};

use file_format::{FileFormat, Kind};

use super::frames::{self, Stream};
use super::read::{Budgeted, be32, read_at};
use super::{Format, boxes, ebml, ogg};

/// What the content shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sniffed {
    /// The format when there is sound to send; `None` when the content is no recording.
    pub format: Option<Format>,
    /// What it is, in words: `WAV`, `HTML document`, `ZIP archive`, `text`, `unknown data`.
    pub what: String,
}

impl Sniffed {
    fn audio(format: Format) -> Self {
        Sniffed { format: Some(format), what: format.says().to_owned() }
    }

    fn named(format: Format, what: impl Into<String>) -> Self {
        Sniffed { format: Some(format), what: what.into() }
    }

    fn nothing(what: impl Into<String>) -> Self {
        Sniffed { format: None, what: what.into() }
    }
}

/// What is said of content that nothing recognises.
pub(super) const UNKNOWN: &str = "unknown data";

/// What an ID3v2 tag begins with.
const ID3: &[u8] = b"ID3";
/// The first bytes that signatures and text are looked for in.
const HEAD: usize = 64 << 10;
/// Junk of up to this length in front of MPEG or AAC frames is stepped over.
const JUNK: usize = 256 << 10;
/// What the signature library may read in all.
const SIGNATURE_BUDGET: u64 = 1 << 20;

/// Looks at a bounded part of the file (below 3 MiB) of `len` bytes and leaves the cursor at its beginning. Errors are
/// the disk's.
pub fn sniff(file: &mut File, len: u64) -> io::Result<Sniffed> {
    Ok(look(file, len)?.0)
}

/// The same, with the first bytes.
pub(super) fn look(file: &mut File, len: u64) -> io::Result<(Sniffed, Vec<u8>)> {
    // No more than there is: most of what a scan of small files costs would be clearing the rest of the buffer.
    let head = read_at(file, 0, usize::try_from(len).unwrap_or(HEAD).min(HEAD))?;
    Ok((tell(file, &head, len)?, head))
}

fn tell(file: &mut File, head: &[u8], len: u64) -> io::Result<Sniffed> {
    if let Some(what) = without_sound(head, len) {
        return Ok(Sniffed::nothing(what));
    }
    // Zeros can stand in front of frames, as other junk can; they are only looked past as far as it is.
    if is_zero(head) && is_zero(&read_at(file, 0, JUNK)?) {
        return Ok(Sniffed::nothing("nothing but zero bytes"));
    }
    let start = if head.starts_with(ID3) { audio_start(file)? } else { 0 };
    if start > 0 {
        let head = read_at(file, start, HEAD)?;
        return by_signature(file, FileFormat::from_bytes(&head), &head, start, len);
    }
    let signature = if head.len() as u64 == len {
        FileFormat::from_reader(Cursor::new(head))?
    } else {
        let signature = FileFormat::from_reader(Budgeted::new(file, SIGNATURE_BUDGET));
        file.rewind()?;
        signature?
    };
    by_signature(file, signature, head, start, len)
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|&b| b == 0)
}

/// What can be told without any signature: nothing in it, or text.
fn without_sound(head: &[u8], len: u64) -> Option<&'static str> {
    if head.is_empty() {
        return Some("empty file");
    }
    let cut_inside_a_character = |e: std::str::Utf8Error| e.error_len().is_none() && len > head.len() as u64;
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(e) if cut_inside_a_character(e) => std::str::from_utf8(&head[..e.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    if text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return None;
    }
    let text = text.trim_start_matches('\u{FEFF}').trim_start();
    let start = text.get(..text.floor_char_boundary(64)).unwrap_or_default().to_ascii_lowercase();
    Some(match start.as_str() {
        s if ["<!doctype html", "<html", "<head", "<body"].iter().any(|tag| s.starts_with(tag)) => {
            "HTML document"
        }
        s if s.starts_with('<') => "XML document",
        s if s.starts_with("version https://git-lfs") => "Git LFS pointer",
        s if s.starts_with(['{', '[']) => "JSON text",
        _ => "text",
    })
}

/// Where the audio begins: behind ID3v2 tags, which encoders put in front of anything.
pub(super) fn audio_start(file: &File) -> io::Result<u64> {
    let mut start = 0u64;
    for _ in 0..8 {
        let tag = read_at(file, start, 10)?;
        if tag.len() < 10 || !tag.starts_with(ID3) || tag[3] == 0xFF || tag[6..].iter().any(|b| b & 0x80 != 0)
        {
            break;
        }
        let size = tag[6..].iter().fold(0u64, |size, &b| (size << 7) | u64::from(b));
        let footer = if tag[5] & 0x10 != 0 { 10 } else { 0 };
        start += 10 + size + footer;
    }
    Ok(start)
}

/// The signature first; containers are opened to see whether there is sound in them; frames are followed.
fn by_signature(
    file: &File,
    signature: FileFormat,
    head: &[u8],
    start: u64,
    len: u64,
) -> io::Result<Sniffed> {
    if let Some(streams) = ogg::streams(head) {
        return Ok(match streams {
            ogg::Streams { opus: true, other_audio: false } => Sniffed::audio(Format::Opus),
            ogg::Streams { opus: false, other_audio: false } => Sniffed::nothing("Ogg file without sound"),
            _ => Sniffed::audio(Format::Ogg),
        });
    }
    if let Some(sniffed) = film(file, signature, head, len)? {
        return Ok(sniffed);
    }
    match signature {
        FileFormat::WaveformAudio => return Ok(Sniffed::audio(Format::Wav)),
        FileFormat::AudioInterchangeFileFormat => return Ok(aiff(head)),
        FileFormat::FreeLosslessAudioCodec => return Ok(Sniffed::audio(Format::Flac)),
        FileFormat::AdaptiveMultiRate => return Ok(Sniffed::audio(Format::Amr)),
        FileFormat::Au => return Ok(Sniffed::audio(Format::Au)),
        FileFormat::WindowsMediaAudio => return Ok(Sniffed::audio(Format::Wma)),
        FileFormat::AdvancedSystemsFormat => return Ok(Sniffed::nothing("Windows Media file without sound")),
        // Notes, instruments and lists of songs: no sound in them.
        FileFormat::MusicalInstrumentDigitalInterface | FileFormat::Soundfont2 => {
            return Ok(Sniffed::nothing(name_of(signature)));
        }
        _ => {}
    }
    if let Some(sniffed) = own_magic(head) {
        return Ok(sniffed);
    }
    // Two bytes are the whole signature of MPEG and AAC; only frames that lead to frames prove them.
    let frames_expected = matches!(
        signature,
        FileFormat::Mpeg12AudioLayer2
            | FileFormat::Mpeg12AudioLayer3
            | FileFormat::AdvancedAudioCoding
            | FileFormat::Id3v2
            | FileFormat::ArbitraryBinaryData
            | FileFormat::PlainText
            | FileFormat::Empty
    );
    if frames_expected {
        let bytes = read_at(file, start, JUNK)?;
        let whole = start.saturating_add(bytes.len() as u64) >= len;
        return Ok(match frames::find(&bytes, whole) {
            Some(Stream::Mp3) => Sniffed::audio(Format::Mp3),
            Some(Stream::Mp2) => Sniffed::audio(Format::Mp2),
            Some(Stream::Aac) => Sniffed::audio(Format::Aac),
            None if start > 0 => Sniffed::nothing("tags without sound behind them"),
            None => Sniffed::nothing(UNKNOWN),
        });
    }
    Ok(match signature.kind() {
        Kind::Audio | Kind::Video => Sniffed::named(Format::Other, name_of(signature)),
        _ => Sniffed::nothing(name_of(signature)),
    })
}

/// MP4, QuickTime, Matroska and WebM hold film, sound or both: only sound makes a recording.
fn film(file: &File, signature: FileFormat, head: &[u8], len: u64) -> io::Result<Option<Sniffed>> {
    if head.starts_with(b"\x1A\x45\xDF\xA3") {
        let found = ebml::matroska(file, len)?;
        return Ok(Some(match (found.doc_type.as_str(), found.has_sound) {
            ("webm", Some(false)) | ("matroska", Some(false)) => Sniffed::nothing("film without sound"),
            ("webm", _) => Sniffed::audio(Format::Webm),
            ("matroska", _) => Sniffed::audio(Format::Matroska),
            _ => Sniffed::nothing("EBML file"),
        }));
    }
    let kind = head.get(4..8).unwrap_or_default();
    let named = kind == b"ftyp";
    let old_quicktime = [b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"].iter().any(|k| kind == *k);
    if !named && !old_quicktime {
        return Ok(None);
    }
    let movie = boxes::movie(file, len)?;
    if !named && !movie.has_index {
        return Ok(None);
    }
    let brand = movie.brand.unwrap_or(*b"qt  ");
    let mobile = brand.starts_with(b"3g") || &brand == b"KDDI";
    Ok(Some(match movie.sounds.first() {
        _ if !movie.has_index && matches!(signature.kind(), Kind::Image | Kind::Other) => {
            Sniffed::nothing(name_of(signature))
        }
        _ if !movie.has_index => Sniffed::nothing("MP4 cut off before its index was written"),
        None if signature.kind() == Kind::Image => Sniffed::nothing(name_of(signature)),
        None => Sniffed::nothing("film without sound"),
        Some(b"enca" | b"drms" | b"aavd") => Sniffed::named(Format::Other, "copy-protected MP4"),
        Some(_) if brand.starts_with(b"qt") => Sniffed::audio(Format::Mov),
        Some(codec) if mobile && codec != b"mp4a" => Sniffed::audio(Format::ThreeGp),
        Some(_) => Sniffed::audio(Format::Mp4),
    }))
}

/// AIFF-C names its codec; the rare ones that decoders do not read are no use to anybody.
fn aiff(head: &[u8]) -> Sniffed {
    const READ_EVERYWHERE: [&[u8; 4]; 17] = [
        b"NONE", b"sowt", b"twos", b"raw ", b"in24", b"in32", b"fl32", b"FL32", b"fl64", b"FL64", b"ulaw",
        b"ULAW", b"alaw", b"ALAW", b"ima4", b"GSM ", b"G722",
    ];
    let mut at = 12;
    while head.get(8..12) == Some(b"AIFC")
        && let (Some(name), Some(size)) = (head.get(at..at + 4), be32(head, at + 4))
    {
        if name == b"COMM" {
            return match head.get(at + 26..at + 30) {
                Some(codec) if !READ_EVERYWHERE.iter().any(|known| *known == codec) => {
                    Sniffed::named(Format::Other, format!("AIFF-C compressed as {}", codec.escape_ascii()))
                }
                _ => Sniffed::audio(Format::Aiff),
            };
        }
        at = at.saturating_add(8 + size as usize + (size & 1) as usize);
    }
    Sniffed::audio(Format::Aiff)
}

/// Signatures that the library does not know.
fn own_magic(head: &[u8]) -> Option<Sniffed> {
    const WAVE64: &[u8] = b"riff\x2E\x91\xCF\x11\xA5\xD6\x28\xDB\x04\xC1\x00\x00";
    if head.get(8..12) == Some(b"WAVE") && (head.starts_with(b"RF64") || head.starts_with(b"BW64")) {
        return Some(Sniffed::audio(Format::Rf64));
    }
    let rest = match head {
        h if h.starts_with(b"caff\0") => return Some(Sniffed::audio(Format::Caf)),
        h if h.starts_with(WAVE64) => "Wave64",
        h if h.starts_with(b"RIFX") && h.get(8..12) == Some(b"WAVE") => "big-endian WAV (RIFX)",
        h if h.starts_with(b"NIST_1A\n") => "NIST SPHERE",
        h if is_ac3(h) => "AC-3",
        _ => return None,
    };
    Some(Sniffed::named(Format::Other, rest))
}

/// AC-3: a sync word, a rate that exists, and a stream version that exists.
fn is_ac3(head: &[u8]) -> bool {
    head.starts_with(b"\x0B\x77")
        && head.get(4).is_some_and(|b| b >> 6 != 3 && b & 0x3F < 38)
        && head.get(5).is_some_and(|b| (1..=16).contains(&(b >> 3)))
}

/// `ZIP archive`, `PNG image`.
fn name_of(signature: FileFormat) -> String {
    let name = signature.short_name().unwrap_or(signature.name());
    let kind = match signature.kind() {
        Kind::Archive => "archive",
        Kind::Audio => "audio",
        Kind::Compressed => "compressed data",
        Kind::Database => "database",
        Kind::Document => "document",
        Kind::Executable => "program",
        Kind::Image => "image",
        Kind::Package => "package",
        Kind::Playlist => "playlist",
        Kind::Presentation => "presentation",
        Kind::Spreadsheet => "spreadsheet",
        Kind::Subtitle => "subtitles",
        Kind::Video => "video",
        _ => "file",
    };
    format!("{name} {kind}")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::media::sample::aiff as aiff_file;
    use crate::media::sample::*;

    fn of(bytes: &[u8]) -> Sniffed {
        sniff(&mut file_of(bytes), bytes.len() as u64).unwrap()
    }

    fn format(bytes: &[u8]) -> Option<Format> {
        of(bytes).format
    }

    #[test]
    fn the_ten_formats_are_known_by_content() {
        let opus = ogg_page(2, b"OpusHead\x01\x01\0\0\0\0\0\0\0\0\0");
        let vorbis = ogg_page(2, b"\x01vorbis\0\0\0\0\x01\0\0\0\0");
        for (bytes, expected) in [
            (adts(5), Format::Aac),
            (aiff_file(None), Format::Aiff),
            (aiff_file(Some(b"sowt")), Format::Aiff),
            (flac(), Format::Flac),
            (mp3(5), Format::Mp3),
            (movie(b"isom", b"soun", b"mp4a"), Format::Mp4),
            (movie(b"M4A ", b"soun", b"alac"), Format::Mp4),
            (movie(b"3gp5", b"soun", b"mp4a"), Format::Mp4),
            (movie(b"qt  ", b"soun", b"sowt"), Format::Mov),
            (mp4(b"soun", b"sowt"), Format::Mov),
            (vorbis, Format::Ogg),
            (ogg_page(2, b"Speex   1.2"), Format::Ogg),
            (opus, Format::Opus),
            (wav(8000, 100), Format::Wav),
            (webm("webm", &[1, 2]), Format::Webm),
        ] {
            assert_eq!(format(&bytes), Some(expected));
        }
    }

    #[test]
    fn formats_beyond_the_ten_are_known_too() {
        for (bytes, expected) in [
            (b"#!AMR\n\x3C\x08\x49\x1E".to_vec(), Format::Amr),
            (b".snd\0\0\0\x18\0\0\0\0\0\0\0\x01".to_vec(), Format::Au),
            (b"caff\0\x01\0\0desc\0\0\0\0".to_vec(), Format::Caf),
            (b"RF64\xFF\xFF\xFF\xFFWAVEds64\x1C\0\0\0".to_vec(), Format::Rf64),
            (b"BW64\xFF\xFF\xFF\xFFWAVEds64\x1C\0\0\0".to_vec(), Format::Rf64),
            (movie(b"3gp4", b"soun", b"samr"), Format::ThreeGp),
            (webm("matroska", &[2]), Format::Matroska),
            (mp2(5), Format::Mp2),
            (b"\x0B\x77\x12\x34\x14\x40\0\0".to_vec(), Format::Other),
            (movie(b"M4P ", b"soun", b"drms"), Format::Other),
            (aiff_file(Some(b"DWVW")), Format::Other),
        ] {
            assert_eq!(format(&bytes), Some(expected));
        }
    }

    #[test]
    fn tags_and_junk_in_front_do_not_hide_the_audio() {
        assert_eq!(format(&[id3(100), mp3(3)].concat()), Some(Format::Mp3));
        assert_eq!(format(&[id3(100), adts(3)].concat()), Some(Format::Aac));
        assert_eq!(format(&[id3(10), id3(20), flac()].concat()), Some(Format::Flac));
        assert_eq!(format(&[vec![0; 3000], mp3(8)].concat()), Some(Format::Mp3));
        assert_eq!(format(&[vec![0; HEAD + 1], mp3(8)].concat()), Some(Format::Mp3));
        assert_eq!(of(&id3(100)).what, "tags without sound behind them");
    }

    #[test]
    fn what_is_not_audio_is_named() {
        for (bytes, what) in [
            (&b""[..], "empty file"),
            (&[0; 900], "nothing but zero bytes"),
            (b"\n <!DOCTYPE HTML><html>404</html>", "HTML document"),
            (b"{\"detail\": \"gone\"}", "JSON text"),
            (b"<?xml version=\"1.0\"?><Error/>", "XML document"),
            (b"Now free to download", "text"),
            ("h\u{e4}user und stra\u{df}en".as_bytes(), "text"),
            (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"),
            (b"PK\x03\x04\x14\0\0\0\0\0aaaa", "ZIP archive"),
            (b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", "PNG image"),
            (b"MThd\0\0\0\x06\0\x01\0\x01", "MIDI audio"),
            (b"\x93\x01\x02\x03\xFE\xDC\x00\x10", "unknown data"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC image"),
        ] {
            let found = of(bytes);
            assert_eq!((found.format, found.what.as_str()), (None, what));
        }
    }

    #[test]
    fn film_without_sound_is_no_recording() {
        assert_eq!(format(&movie(b"isom", b"vide", b"avc1")), None);
        assert_eq!(format(&webm("webm", &[1])), None);
        assert_eq!(format(&ogg_page(2, b"\x80theora")), None);
        assert_eq!(format(&mp4_box(b"ftyp", b"isom\0\0\0\0")), None, "no index");
    }

    #[test]
    fn a_long_text_cut_inside_a_character_is_still_text() {
        let text = format!("x{}", "\u{e4}".repeat(HEAD));
        assert_eq!(of(text.as_bytes()).what, "text");
    }

    #[test]
    fn the_cursor_is_left_at_the_beginning() {
        for bytes in [wav(8000, 100), b"text".to_vec(), [id3(5), mp3(3)].concat()] {
            let mut file = file_of(&bytes);
            sniff(&mut file, bytes.len() as u64).unwrap();
            let mut again = Vec::new();
            file.read_to_end(&mut again).unwrap();
            assert_eq!(again, bytes);
        }
    }

    #[test]
    fn cut_and_garbled_heads_never_panic() {
        let files = [
            wav(8000, 9),
            aiff_file(Some(b"ulaw")),
            flac(),
            mp3(2),
            movie(b"3gp4", b"soun", b"samr"),
            webm("webm", &[2]),
        ];
        for bytes in &files {
            for cut in 0..bytes.len().min(200) {
                of(&bytes[..cut]);
                let mut garbled = bytes.clone();
                garbled[cut] ^= 0xFF;
                of(&garbled);
            }
        }
    }
}
