//! The stub and the floors do what they say: figures that rest on them would be wrong otherwise.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use voxbatch_bench::http::ask;
use voxbatch_bench::wav;

struct Stub {
    child: Child,
    host: String,
}

impl Stub {
    fn start(flags: &[&str]) -> Stub {
        let mut child = Command::new(env!("CARGO_BIN_EXE_stub"))
            .args(flags)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the stub that was built");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("its address");
        Stub { child, host: line.trim().rsplit(' ').next().expect("an address").to_owned() }
    }

    fn books(&self) -> Value {
        serde_json::from_str(&ask(&self.host, "GET", "/stats").expect("books")).expect("JSON")
    }

    fn count(&self, key: &str) -> u64 {
        self.books()[key].as_u64().expect("a number")
    }

    /// What comes back for these bytes, until the stub hangs up.
    fn told(&self, bytes: &str) -> String {
        let mut stream = TcpStream::connect(&self.host).expect("a stub");
        stream.write_all(bytes.as_bytes()).expect("a stub that reads");
        let mut told = String::new();
        stream.read_to_string(&mut told).expect("text");
        told
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn folder(name: &str, sizes: &[u64]) -> std::path::PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    for (i, &bytes) in sizes.iter().enumerate() {
        wav::write(&folder.join(format!("{i}.wav")), bytes, i as u64).expect("room for a file");
    }
    folder
}

fn post(stub: &Stub, folder: &Path, slots: &str) -> (bool, Value) {
    let out = Command::new(env!("CARGO_BIN_EXE_poster"))
        .args(["--host", &stub.host, "--slots", slots])
        .arg(folder)
        .output()
        .expect("the poster that was built");
    (out.status.success(), serde_json::from_slice(&out.stdout).expect("a line of JSON"))
}

#[test]
fn the_poster_sends_every_file_whole_and_once() {
    let stub = Stub::start(&[]);
    let sizes = [46, 1_000, 70_000, 300_000];
    let (good, told) = post(&stub, &folder("whole", &sizes), "2");
    assert!(good && told["good"] == 4 && told["bad"] == 0, "{told}");
    let books = stub.books();
    let count = |key: &str| books[key].as_u64().expect("a number");
    assert_eq!((count("answered"), count("broken")), (4, 0));
    // The forms around the files are a few hundred bytes each.
    let around = count("bytes") - sizes.iter().sum::<u64>();
    assert!((400..2_000).contains(&around), "{around}");
    assert!(count("connections") <= 3, "two connections and this question");
}

#[test]
fn what_is_beyond_the_limit_is_refused_until_the_limit_is_lifted() {
    let stub = Stub::start(&["--latency", "200", "--concurrent", "1"]);
    let files = folder("limit", &[1_000; 4]);
    let (good, told) = post(&stub, &files, "4");
    assert!(!good && told["bad"].as_u64() >= Some(1), "{told}");
    assert_eq!(
        (stub.count("peak"), stub.count("refused_busy")),
        (1, told["bad"].as_u64().expect("a number"))
    );

    ask(&stub.host, "POST", "/limits?concurrent=4").expect("another limit");
    ask(&stub.host, "POST", "/reset").expect("books that begin anew");
    assert!(post(&stub, &files, "4").0);
    assert_eq!((stub.count("answered"), stub.count("refused_busy")), (4, 0));
}

#[test]
fn after_the_months_hours_everything_is_refused_in_the_words_of_the_api() {
    let stub = Stub::start(&["--monthly", "2"]);
    let (good, told) = post(&stub, &folder("month", &[1_000; 5]), "1");
    assert!(!good && told["good"] == 2 && told["bad"] == 3, "{told}");
    let refusal =
        stub.told("POST /api/velma-2-batch HTTP/1.1\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab");
    assert!(refusal.starts_with("HTTP/1.1 429 ") && refusal.contains("Monthly usage limit"), "{refusal}");
}

#[test]
fn who_asks_before_sending_is_told_to_go_on_or_refused_without_a_body() {
    let asks = "POST /api/velma-2-stt-batch HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\
                Connection: close\r\n\r\n";
    let stub = Stub::start(&["--monthly", "1"]);
    let told = stub.told(&format!("{asks}ab"));
    assert!(told.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK"), "{told}");
    assert!(stub.told(asks).starts_with("HTTP/1.1 429 "));
}

#[test]
fn an_upload_that_breaks_off_frees_its_slot_and_stands_in_the_books() {
    let stub = Stub::start(&["--concurrent", "1"]);
    let mut stream = TcpStream::connect(&stub.host).expect("a stub");
    stream
        .write_all(b"POST /api/velma-2-stt-batch HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc")
        .expect("a stub that reads");
    stream.shutdown(std::net::Shutdown::Write).expect("a connection");
    // The stub hangs up when it has noticed.
    assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0);
    assert_eq!((stub.count("broken"), stub.count("in_flight")), (1, 0));
}

#[test]
fn the_floor_of_a_scan_counts_every_file_and_takes_no_old_database() {
    let files = folder("scan", &[1_000; 3]);
    let database = files.with_extension("db");
    let _ = std::fs::remove_file(&database);
    let scan = || {
        Command::new(env!("CARGO_BIN_EXE_floor-scan")).arg(&files).arg(&database).output().expect("a scan")
    };
    assert_eq!(scan().stdout, b"3\n");
    assert!(!scan().status.success());
}
