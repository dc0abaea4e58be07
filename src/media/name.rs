//! What a file's name says, and the name it goes out under. A name never decides what the content is.

use std::ffi::OsStr;
use std::path::Path;

use super::Format;
use crate::task::RecordingPath;

/// What a name claims about the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// Sound or film: `.mp3`, `.mkv`.
    Media,
    /// Something that lies beside recordings: notes, covers, lists, checksums.
    Companion,
    /// Nothing: no extension, or one that nobody knows.
    Nothing,
}

/// Companions that the table of types does not know, or takes for sound (playlists).
const COMPANIONS: &[&str] = &[
    "accdb", "asx", "bak", "bak2", "bat", "blake3", "cfg", "ctm", "cue", "db", "db-shm", "db-wal", "doc",
    "eaf", "ffp", "ini", "jsonl", "lab", "lnk", "log", "lrc", "m3u", "m3u8", "md", "md5", "meta", "ndjson",
    "nfo", "parquet", "pls", "rttm", "sfv", "sha1", "sha256", "sha512", "spl", "sqlite", "sqlite3", "srt",
    "stm", "textgrid", "toml", "trn", "trs", "tsv", "url", "vtt", "wpl", "xmp", "xspf", "yaml", "yml",
];

/// Whole names of companions, in lower case.
const COMPANION_NAMES: &[&str] = &[
    ".ds_store",
    "checksums",
    "copying",
    "desktop.ini",
    "license",
    "licence",
    "md5sums",
    "readme",
    "sha1sums",
    "sha256sums",
    "sha512sums",
    "thumbs.db",
];

/// Sound without any header, as exchanges and recorders leave it: only the name tells that it is sound.
const HEADERLESS: &[&str] = &[
    "al", "alaw", "g711", "g722", "g723", "g726", "g729", "gsm", "lpc10", "pcm", "raw", "sln", "sln16", "ul",
    "ulaw", "vox",
];

/// Sound and film that the table of types does not know, or files under applications.
const MEDIA: &[&str] =
    &["aa", "ape", "dss", "ds2", "dvf", "mpc", "msv", "mxf", "ra", "rm", "rmvb", "tak", "tta", "w64", "wv"];

/// Whether a name claims sound that no content could prove.
pub(super) fn claims_headerless(path: &Path) -> bool {
    extension(path).is_some_and(|e| HEADERLESS.contains(&e.as_str()))
}

/// Reads a name's claim.
pub(super) fn claim(path: &Path) -> Claim {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase();
    if COMPANION_NAMES.contains(&name.as_str()) {
        return Claim::Companion;
    }
    let Some(extension) = extension(path) else { return Claim::Nothing };
    if COMPANIONS.contains(&extension.as_str()) {
        return Claim::Companion;
    }
    let usual = Format::ALL.iter().any(|f| f.usual_extensions().contains(&extension.as_str()));
    if usual || MEDIA.contains(&extension.as_str()) || HEADERLESS.contains(&extension.as_str()) {
        return Claim::Media;
    }
    let types = mime_guess::from_ext(&extension);
    if types.iter_raw().any(|t| t.starts_with("audio/") || t.starts_with("video/")) {
        Claim::Media
    } else if types.iter_raw().any(|t| t != "application/octet-stream") {
        Claim::Companion
    } else {
        Claim::Nothing
    }
}

/// Whether a name claims a media format other than the one that the content shows, or no media at all.
pub(super) fn disagrees(path: &Path, format: Format) -> bool {
    match (claim(path), extension(path)) {
        (Claim::Media, Some(extension)) => {
            !format.usual_extensions().contains(&extension.as_str()) && format != Format::Other
        }
        (Claim::Companion, _) => true,
        _ => false,
    }
}

/// The extension in lower case, if it is readable.
pub(super) fn extension(path: &Path) -> Option<String> {
    path.extension()?.to_str().map(str::to_ascii_lowercase)
}

/// The longest upload name, in bytes; all of them are ASCII.
const LONGEST: usize = 100;

/// The name that a recording goes out under: its own stem made safe for a header, and an extension that tells
/// the truth. What is not plain ASCII becomes `_`; never empty, at most 100 characters.
pub fn upload_name(path: &RecordingPath, extension: &str) -> String {
    let path = path.as_path();
    // `call.2024` has no extension to lose; `call.wav` has.
    let stem = if claim(path) == Claim::Nothing { path.file_name() } else { path.file_stem() };
    let mut safe = String::new();
    for c in stem.unwrap_or_default().to_string_lossy().chars() {
        let c = if c.is_ascii_alphanumeric() || " .-+()@,=".contains(c) { c } else { '_' };
        if c != '_' || !safe.ends_with('_') {
            safe.push(c);
        }
    }
    safe.truncate(LONGEST - 1 - extension.len().min(LONGEST / 2));
    let safe = safe.trim_matches([' ', '.']);
    let safe = if safe.chars().any(|c| c.is_ascii_alphanumeric()) { safe } else { "recording" };
    format!("{safe}.{extension}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_claim_sound_a_companion_or_nothing() {
        for name in [
            "a.mp3", "A.MP3", "a.m4a", "a.mkv", "a.wma", "a.amr", "a.caf", "a.avi", "a.mid", "a.gsm", "a.raw",
        ] {
            assert_eq!(claim(Path::new(name)), Claim::Media, "{name}");
        }
        for name in [
            "a.txt",
            "a.md",
            "a.json",
            "a.xml",
            "a.csv",
            "a.html",
            "a.pdf",
            "a.jpg",
            "a.PNG",
            "a.gif",
            "a.svg",
            "a.db",
            "a.ini",
            "a.cue",
            "a.m3u",
            "a.pls",
            "a.log",
            "a.doc",
            "Thumbs.db",
            "x/desktop.ini",
            ".DS_Store",
            "a.md5",
            "README",
            "a.docx",
            "a.zip",
            "a.srt",
            "a.yml",
        ] {
            assert_eq!(claim(Path::new(name)), Claim::Companion, "{name}");
        }
        for name in ["a", "call.2024", "a.dat", "a.bin", "a.qqq"] {
            assert_eq!(claim(Path::new(name)), Claim::Nothing, "{name}");
        }
    }

    #[test]
    fn usual_names_of_a_format_agree_and_others_do_not() {
        for (name, format) in [
            ("a.m4b", Format::Mp4),
            ("a.3gp", Format::Mp4),
            ("a.aif", Format::Aiff),
            ("a.oga", Format::Ogg),
            ("a.mpga", Format::Mp3),
            ("a.ogg", Format::Opus),
            ("a", Format::Wav),
            ("a.0001", Format::Wav),
        ] {
            assert!(!disagrees(Path::new(name), format), "{name}");
        }
        for (name, format) in
            [("a.mp3", Format::Wav), ("a.wav", Format::Mp3), ("a.txt", Format::Mp3), ("a.mp4", Format::Mov)]
        {
            assert!(disagrees(Path::new(name), format), "{name}");
        }
    }

    #[test]
    fn a_name_keeps_its_stem_and_gets_the_true_extension() {
        let name = |bytes: &[u8], extension| upload_name(&RecordingPath::from_bytes(bytes), extension);
        assert_eq!(name(b"2024/in-555-1709.40.wav", "wav"), "in-555-1709.40.wav");
        assert_eq!(name(b"talk.m4a", "mp4"), "talk.mp4");
        assert_eq!(name(b"call.2024", "wav"), "call.2024.wav");
        assert_eq!(name(b"a\"b\r\nc;d.mp3", "mp3"), "a_b_c_d.mp3");
        assert_eq!(name("gespr\u{e4}ch \u{2116} 7.ogg".as_bytes(), "ogg"), "gespr_ch _ 7.ogg");
        assert_eq!(name(b"\xff\xfe.mp3", "mp3"), "recording.mp3");
        assert_eq!(name(b"..", "wav"), "recording.wav");
        assert_eq!(name(&[b'a'; 255], "flac").len(), 100);
    }

    proptest! {
        #[test]
        fn any_name_becomes_a_safe_one(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let name = upload_name(&RecordingPath::from_bytes(bytes), "opus");
            prop_assert!(name.len() <= 100 && name.ends_with(".opus") && !name.starts_with(['.', ' ']));
            prop_assert!(name.bytes().all(|b| (b' '..=b'~').contains(&b) && !b"\"'\\/;<>:|?*%".contains(&b)));
        }
    }
}
