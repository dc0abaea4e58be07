//! The second way to samples: `ffmpeg` as a child, for codecs that nothing here reads (AMR, WMA, GSM). Its output
//! comes through a pipe, so nothing of it grows; it ends with whoever reads it, and after a time at the latest.
//!
//! What it is given is a stranger's file: it may read that file and nothing else, in the container that the content
//! was recognised as, and never the network.

use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::{DecodeError, Shape, Sound};
use crate::media::Format;
use crate::media::read::le32;

/// Whether another program may be used for what is not decoded here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Ffmpeg {
    /// No.
    #[default]
    Off,
    /// The first `ffmpeg` on the `PATH`, if there is one.
    Auto,
    /// This program.
    At(PathBuf),
}

impl Ffmpeg {
    /// The program, if there is one that may be used.
    pub fn program(&self) -> Option<PathBuf> {
        let is_program = |path: &PathBuf| {
            std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
        };
        match self {
            Ffmpeg::Off => None,
            Ffmpeg::At(path) => Some(path.clone()).filter(is_program),
            Ffmpeg::Auto => {
                let paths = std::env::var_os("PATH")?;
                // Only absolute folders: what lies in the working folder is a stranger's too.
                std::env::split_paths(&paths)
                    .filter(|folder| folder.is_absolute())
                    .map(|folder| folder.join("ffmpeg"))
                    .find(is_program)
            }
        }
    }
}

/// How long it may take in all. A three-hour recording takes half a minute.
const TIME_LIMIT: Duration = Duration::from_secs(30 * 60);

/// Samples in a block.
const BLOCK: usize = 1 << 15;

/// See the module.
pub(super) struct Decoder {
    child: Arc<Mutex<Child>>,
    out: ChildStdout,
    shape: Shape,
    /// Dropped with this: then nobody watches any more.
    _watch: mpsc::Sender<()>,
    bytes: Vec<u8>,
    skipping: u64,
    frames: u64,
}

impl Decoder {
    pub(super) fn start(program: &Path, path: &Path, format: Format) -> Result<Self, DecodeError> {
        Self::start_within(program, path, format, TIME_LIMIT)
    }

    fn start_within(
        program: &Path,
        path: &Path,
        format: Format,
        limit: Duration,
    ) -> Result<Self, DecodeError> {
        // With the protocol in front and an absolute path behind it, no name can be an option or an address.
        let mut name = std::ffi::OsString::from("file:");
        name.push(std::path::absolute(path)?);
        let mut child = Command::new(program)
            .args(["-nostdin", "-hide_banner", "-loglevel", "quiet"])
            .args(["-protocol_whitelist", "file,pipe", "-format_whitelist", demuxers(format)])
            .arg("-i")
            .arg(name)
            .args(["-map", "0:a:0", "-vn", "-sn", "-dn", "-map_metadata", "-1"])
            .args(["-c:a", "pcm_s16le", "-f", "wav", "pipe:1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null()) // it could name what is in the file
            .process_group(0) // a Ctrl-C is for us to pass on
            .spawn()
            .map_err(|error| io::Error::other(format!("start {}: {error}", program.display())))?;
        let out = child.stdout.take().ok_or_else(|| io::Error::other("ffmpeg has no output"))?;
        let child = Arc::new(Mutex::new(child));
        let mut this = Decoder {
            out,
            shape: Shape { rate: 0, channels: 0 },
            _watch: watch(Arc::clone(&child), limit)?,
            child,
            bytes: Vec::new(),
            skipping: 0,
            frames: 0,
        };
        this.read_head()?;
        Ok(this)
    }

    /// The head of the WAV that comes, up to its samples.
    fn read_head(&mut self) -> Result<(), DecodeError> {
        let unread = || DecodeError::Undecodable("ffmpeg cannot decode it either".to_owned());
        let mut head = [0u8; 12];
        self.out.read_exact(&mut head).map_err(|_| unread())?;
        loop {
            let mut chunk = [0u8; 8];
            self.out.read_exact(&mut chunk).map_err(|_| unread())?;
            let size = le32(&chunk, 4).unwrap_or(0);
            if &chunk[..4] == b"data" {
                break;
            }
            let mut body = Vec::new();
            (&mut self.out).take(u64::from(size.min(1 << 16))).read_to_end(&mut body)?;
            if &chunk[..4] == b"fmt " && body.len() >= 16 {
                self.shape = Shape {
                    rate: le32(&body, 4).unwrap_or(0),
                    channels: u16::from_le_bytes([body[2], body[3]]),
                };
            }
        }
        if self.shape.rate == 0 || self.shape.channels == 0 { Err(unread()) } else { Ok(()) }
    }

    fn child(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// At the end of its output it has to say that all went well: else the end is not the recording's.
    fn check_end(&mut self) -> Result<(), DecodeError> {
        let status = self.child().wait()?;
        match (status.code(), self.frames) {
            (Some(0), 1..) => Ok(()),
            (Some(0), 0) => Err(DecodeError::Undecodable("ffmpeg finds no sound in it".to_owned())),
            (Some(_), _) => Err(DecodeError::Undecodable("ffmpeg cannot decode all of it".to_owned())),
            (None, _) => Err(io::Error::other("ffmpeg was killed while it decoded").into()),
        }
    }
}

impl Sound for Decoder {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn next(&mut self, block: &mut Vec<i16>) -> Result<bool, DecodeError> {
        block.clear();
        let channels = usize::from(self.shape.channels);
        let most = (BLOCK / channels).max(1) * channels * 2;
        while block.is_empty() {
            self.bytes.clear();
            (&mut self.out).take(most as u64).read_to_end(&mut self.bytes)?;
            if self.bytes.is_empty() {
                self.check_end()?;
                return Ok(false);
            }
            let sample = |pair: &[u8]| i16::from_le_bytes([pair[0], pair[1]]);
            block.extend(self.bytes.chunks_exact(2).map(sample));
            block.truncate(block.len() / channels * channels);
            let frames = (block.len() / channels) as u64;
            self.frames += frames;
            let left_out = self.skipping.min(frames);
            self.skipping -= left_out;
            block.drain(..left_out as usize * channels);
        }
        Ok(true)
    }

    fn skip(&mut self, frames: u64) -> Result<(), DecodeError> {
        self.skipping = self.skipping.saturating_add(frames);
        Ok(())
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        let mut child = self.child();
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Kills the child when the time is over; ends when the returned end is dropped.
fn watch(child: Arc<Mutex<Child>>, limit: Duration) -> io::Result<mpsc::Sender<()>> {
    let (alive, ended) = mpsc::channel::<()>();
    thread::Builder::new().name("ffmpeg-watch".to_owned()).spawn(move || {
        if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            let _ = child.lock().unwrap_or_else(PoisonError::into_inner).kill();
        }
    })?;
    Ok(alive)
}

/// The demuxers that may read a file of a format. Playlists and scripts, which name other files, are in none.
fn demuxers(format: Format) -> &'static str {
    match format {
        Format::Aac => "aac",
        Format::Aiff => "aiff",
        Format::Flac => "flac",
        Format::Mp3 | Format::Mp2 => "mp3",
        Format::Mp4 | Format::Mov | Format::ThreeGp => "mov,mp4,m4a,3gp,3g2,mj2",
        Format::Ogg | Format::Opus => "ogg",
        Format::Wav | Format::Rf64 => "wav,w64",
        Format::Webm | Format::Matroska => "matroska,webm",
        Format::Amr => "amr,amrnb,amrwb",
        Format::Au => "au",
        Format::Wma => "asf,asf_o",
        Format::Caf => "caf",
        Format::Other => {
            "aiff,ac3,eac3,ape,avi,dsf,dts,flv,gxf,iff,mpc,mpc8,mpeg,mpegts,mxf,nut,rm,shn,tak,truehd,tta,voc,w64,wv,xwma"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sound::testing::heard;

    /// The program that tests with ffmpeg use, or a word aloud that they did not run.
    fn program() -> Option<PathBuf> {
        let named = std::env::var_os("VOXBATCH_TEST_FFMPEG").map(|path| Ffmpeg::At(path.into()));
        let found = named.unwrap_or(Ffmpeg::Auto).program();
        if found.is_none() {
            let _ = io::Write::write_all(
                &mut io::stderr(),
                b"SKIPPED: no ffmpeg (VOXBATCH_TEST_FFMPEG names one)\n",
            );
        }
        found
    }

    fn sample(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(name)
    }

    /// A program of ours in its place.
    fn script(folder: &Path, text: &str) -> PathBuf {
        let path = folder.join("fake");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn opus_is_decoded_where_there_is_an_ffmpeg() {
        let Some(program) = program() else { return };
        let sound = Decoder::start(&program, &sample("kitchen.opus"), Format::Opus).unwrap();
        let shape = sound.shape();
        assert_eq!(shape, Shape { rate: 48_000, channels: 1 });
        let samples = heard(Box::new(sound));
        assert!(samples.len() > 48_000 && samples.iter().any(|s| s.abs() > 1000));
    }

    #[test]
    fn a_hostile_name_is_a_name_and_a_playlist_is_nothing() {
        let Some(program) = program() else { return };
        let folder = tempfile::tempdir().unwrap();
        for name in ["-i http:x.opus", "concat:a|b.opus", "%d [a]*?.opus", "pipe:0"] {
            let path = folder.path().join(name);
            std::fs::copy(sample("kitchen.opus"), &path).unwrap();
            let sound = Decoder::start(&program, &path, Format::Opus).unwrap();
            assert!(!heard(Box::new(sound)).is_empty(), "{name}");
        }
        let list = folder.path().join("list.opus");
        let other = sample("account.wav");
        std::fs::write(&list, format!("ffconcat version 1.0\nfile '{}'\n", other.display())).unwrap();
        assert!(matches!(Decoder::start(&program, &list, Format::Other), Err(DecodeError::Undecodable(_))));
    }

    #[test]
    fn one_that_never_ends_is_killed_when_its_time_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let fake = script(folder.path(), "exec sleep 1000");
        let soon = Duration::from_millis(50);
        let started = Decoder::start_within(&fake, &sample("kitchen.opus"), Format::Opus, soon);
        assert!(started.is_err());
    }

    #[test]
    fn an_end_without_its_word_is_not_taken_for_the_end_of_the_recording() {
        let folder = tempfile::tempdir().unwrap();
        let fake =
            script(folder.path(), &format!("head -c 20000 '{}'; exit 1", sample("account.wav").display()));
        let mut sound = Decoder::start(&fake, &sample("account.wav"), Format::Wav).unwrap();
        let mut block = Vec::new();
        let error = loop {
            match sound.next(&mut block) {
                Ok(true) => {}
                Ok(false) => panic!("half of it was taken for the whole"),
                Err(error) => break error,
            }
        };
        assert!(
            error.to_string().contains("not decode all") || error.to_string().contains("cannot decode all")
        );
    }

    #[test]
    fn the_setting_decides_whether_there_is_one() {
        assert_eq!(Ffmpeg::Off.program(), None);
        assert_eq!(Ffmpeg::At("/nowhere/ffmpeg".into()).program(), None);
        assert_eq!(Ffmpeg::At("/bin/sh".into()).program(), Some("/bin/sh".into()));
    }
}
