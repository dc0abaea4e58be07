//! The floor: sends every file of a folder with as little as it takes. Blocking threads, a connection each, the form
//! made by hand, the file by sendfile. No queue, no hash, no check, no second try: what a client costs that keeps
//! nothing and promises nothing.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use rustix::net::{SendFlags, send};
use voxbatch_bench::http::Heads;

const HELP: &str = "\
poster --host ADDRESS:PORT --slots N [--path /api/velma-2-stt-batch] [--longest-first] FOLDER

Sends every file of FOLDER (and below) once, in the order of names or of sizes; prints a line of JSON.
Ends with 1 when anything was not answered with 200.";

const BOUNDARY: &str = "poster-8a1f6d0e47c2";
const END: &str = "\r\n--poster-8a1f6d0e47c2--\r\n";

struct Settings {
    host: String,
    path: String,
    slots: usize,
    longest_first: bool,
    folder: PathBuf,
}

fn settings() -> Result<Option<Settings>, lexopt::Error> {
    use lexopt::prelude::*;
    let mut settings = Settings {
        host: String::new(),
        path: "/api/velma-2-stt-batch".to_owned(),
        slots: 8,
        longest_first: false,
        folder: PathBuf::new(),
    };
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("host") => settings.host = args.value()?.string()?,
            Long("path") => settings.path = args.value()?.string()?,
            Long("slots") => settings.slots = args.value()?.parse()?,
            Long("longest-first") => settings.longest_first = true,
            Long("help") | Short('h') => return Ok(None),
            Value(folder) => settings.folder = folder.into(),
            _ => return Err(arg.unexpected()),
        }
    }
    if settings.host.is_empty() || settings.folder.as_os_str().is_empty() {
        return Err("--host and a folder are needed".into());
    }
    Ok(Some(settings))
}

fn main() -> ExitCode {
    match settings() {
        Ok(None) => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("poster: {problem}\n\n{HELP}");
            ExitCode::from(2)
        }
        Ok(Some(settings)) => match post(&settings) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(problem) => {
                eprintln!("poster: {problem}");
                ExitCode::FAILURE
            }
        },
    }
}

/// Whether every file was answered with 200.
fn post(settings: &Settings) -> io::Result<bool> {
    let started = Instant::now();
    let files = files(&settings.folder, settings.longest_first)?;
    let (next, good, bad) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|threads| {
        for _ in 0..settings.slots {
            threads.spawn(|| {
                let mut line = Line::new(settings);
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let count = match line.send(file) {
                        Ok(200) => &good,
                        Ok(_) => &bad,
                        Err(_) => {
                            line.stream = None;
                            &bad
                        }
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let (good, bad) = (good.into_inner(), bad.into_inner());
    println!(r#"{{"good":{good},"bad":{bad},"seconds":{:.3}}}"#, started.elapsed().as_secs_f64());
    Ok(bad == 0)
}

fn files(folder: &Path, longest_first: bool) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry?;
        if entry.file_type().is_file() {
            // Only a size that decides something is asked for.
            let size = if longest_first { entry.metadata()?.len() } else { 0 };
            found.push((size, entry.into_path()));
        }
    }
    found.sort_unstable_by(|(a, x), (b, y)| b.cmp(a).then_with(|| x.cmp(y)));
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// One thread's connection.
struct Line<'s> {
    settings: &'s Settings,
    stream: Option<TcpStream>,
    heads: Heads,
    head: Vec<u8>,
    form: Vec<u8>,
}

impl<'s> Line<'s> {
    fn new(settings: &'s Settings) -> Line<'s> {
        Line { settings, stream: None, heads: Heads::default(), head: Vec::new(), form: Vec::new() }
    }

    /// The status of the answer.
    fn send(&mut self, path: &Path) -> io::Result<u16> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        self.form.clear();
        write!(
            self.form,
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"upload_file\"; filename=\""
        )?;
        self.form.extend_from_slice(path.file_name().unwrap_or_default().as_bytes());
        self.form.extend_from_slice(b"\"\r\nContent-Type: audio/wav\r\n\r\n");
        self.head.clear();
        let Settings { host, path, .. } = self.settings;
        write!(
            self.head,
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: poster\r\nX-API-Key: emulator-key\r\n\
             Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {}\r\n\r\n",
            self.form.len() as u64 + len + END.len() as u64
        )?;
        self.head.extend_from_slice(&self.form);

        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                self.heads = Heads::default();
                let stream = TcpStream::connect(host)?;
                stream.set_nodelay(true)?;
                none.insert(stream)
            }
        };
        // More is to come: the head travels with the beginning of the file.
        let mut head = &self.head[..];
        while !head.is_empty() {
            head = &head[send(&*stream, head, SendFlags::MORE | SendFlags::NOSIGNAL)?..];
        }
        let mut sent = 0;
        while sent < len {
            let rest = (len - sent) as usize;
            if rustix::fs::sendfile(&*stream, &file, Some(&mut sent), rest)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        stream.write_all(END.as_bytes())?;

        let head = self.heads.next(stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = head.words().nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let (len, close) = (head.body_len(), head.header("connection") == Some("close"));
        let rest = len - self.heads.skip(len);
        io::copy(&mut stream.take(rest), &mut io::sink())?;
        if close {
            self.stream = None;
        }
        Ok(status)
    }
}
