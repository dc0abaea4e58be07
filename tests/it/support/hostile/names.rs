//! Good recordings under every name that a file system lets through, and names that mean "not a recording".

use super::Expect::{PassedOver, Sent};
use super::Hostile;
use crate::support::tone;

/// Each is a recording all the same.
const NAMES: &[&str] = &[
    "two\nlines.wav",
    "carriage\rreturn.wav",
    "tab\tbed.wav",
    "bell\u{7}.wav",
    "\u{1}control\u{1f}.wav",
    "delete\u{7f}.wav",
    "escape\u{1b}[31m\u{1b}]0;title\u{7}.wav",
    "next\u{85}line.wav",
    "line\u{2028}separator\u{2029}.wav",
    "-rf.wav",
    "--where",
    "-",
    "=cmd()|'/c calc'!A1.wav",
    "+1.wav",
    "@sum.wav",
    "'quoted'.wav",
    "\"double\",comma;semicolon.wav",
    "name=\"x\"; filename=\"y.wav",
    "back\\slash.wav",
    "$(touch owned).wav",
    "`touch owned`.wav",
    ";touch owned;.wav",
    "| cat.wav",
    "> owned.wav",
    "%s%n%x.wav",
    "%2e%2e%2fetc.wav",
    "%00.wav",
    "{0}.wav",
    "{}",
    "[a-z].wav",
    "*.wav",
    "?.wav",
    "!bang.wav",
    "#hash.wav",
    "~home.wav",
    "&amp;<b>.wav",
    "c:drive.wav",
    "CON.wav",
    "nul",
    "null",
    "NaN",
    "undefined.wav",
    "1e999.wav",
    "true",
    "0",
    " ",
    " leading.wav",
    "trailing.wav ",
    "trailing.wav.",
    "a .wav",
    "no extension",
    "call.20240229",
    "UPPER.WAV",
    "twin.wav",
    "TWIN.wav",
    "Twin.Wav",
    "caf\u{e9}.wav",
    "cafe\u{301}.wav",
    "\u{fb01}ligature.wav",
    "filigature.wav",
    "\u{202e}vaw.exe.wav",
    "\u{200f}right\u{200e}left.wav",
    "zero\u{200b}width\u{200d}.wav",
    "\u{feff}mark.wav",
    "\u{1f399}\u{fe0f} \u{1f469}\u{200d}\u{1f4bb}.wav",
    "\u{5e74}\u{5ea6}\u{5831}\u{544a}.wav",
    "\u{645}\u{643}\u{627}\u{644}\u{645}\u{629}.wav",
    "Z\u{351}\u{36b}a\u{36c}l\u{343}go\u{34a}.wav",
    "a\u{10ffff}.wav",
    "a.part.wav",
    "part",
    "results.jsonl.wav",
    "queue.db.wav",
    "a.wav.redacted.mp3",
    "a.wav",
];

/// Bytes that are no text.
const NOT_UTF8: &[&[u8]] = &[
    b"latin-\xe9.wav",
    b"\xff\xfe\xfd.wav",
    b"\xff\xfe\xfc.wav",
    b"cut-\xe2\x82.wav",
    b"surrogate-\xed\xa0\x80.wav",
    b"overlong-\xc0\xaf.wav",
    b"folder-\xf0/\x80\x81.wav",
    b"\xa0",
];

/// Of systems, of programs that have not finished, or hidden.
const PASSED_OVER: &[&str] = &[
    "coming.wav.part",
    "coming.wav.crdownload",
    "coming.mp3.filepart",
    "coming.wav.!ut",
    "coming.wav.aria2",
    "coming.tmp",
    "COMING.WAV.PARTIAL",
    "old.wav~",
    "~$old.wav",
    "._a.wav",
    ".DS_Store",
    ".hidden.wav",
    ".wav",
    "..wav",
    "...",
    "Thumbs.db",
    "desktop.ini",
    ".git/objects.wav",
    "@eaDir/a.wav/SYNOAUDIO.mp3",
    "#recycle/gone.wav",
    "__MACOSX/._a.wav",
    "lost+found/found.wav",
    "$RECYCLE.BIN/gone.wav",
    "System Volume Information/a.wav",
    ".Trashes/gone.wav",
];

pub(super) fn add(folder: &mut Hostile) {
    for name in NAMES {
        folder.file(format!("names/{name}"), &tone(name, 250), Sent("wav"));
    }
    for name in NOT_UTF8 {
        folder.file([b"bytes/", *name].concat(), &tone(&name.escape_ascii().to_string(), 250), Sent("wav"));
    }
    for name in PASSED_OVER {
        folder.file(format!("left/{name}"), &tone(name, 250), PassedOver);
    }
    // Names that the outputs could mix up: a recording, and what its redaction is called.
    for name in ["a.wav", "a.wav.redacted.mp3", "a.wav.redacted.mp3.redacted.mp3", "A.WAV", "a/a.wav"] {
        folder.file(format!("collide/{name}"), &tone(&format!("collide {name}"), 250), Sent("wav"));
    }
    let long = [&[b'l'; 251][..], b".wav"].concat();
    folder.file([&b"long/"[..], &long].concat(), &tone("long", 250), Sent("wav"));
    folder.file(format!("long/{}x.wav", "\u{e9}".repeat(125)), &tone("long in bytes", 250), Sent("wav"));
    folder.file(format!("long/{}", "n".repeat(255)), &tone("long, bare", 250), Sent("wav"));
    folder.file(format!("deep/{}bottom.wav", "d/".repeat(60)), &tone("deep", 250), Sent("wav"));
    // As long as a path may be: 4096 bytes with the NUL at its end.
    let room = 4095 - folder.root.as_os_str().len() - 1 - "longest/".len() - "end.wav".len();
    let step = format!("{}/", "p".repeat(199));
    let rest = format!("{}/", "q".repeat((room % 200).max(2) - 1));
    let path = format!("longest/{}{rest}end.wav", step.repeat(room / 200));
    folder.file(path, &tone("longest", 250), Sent("wav"));
}
