//! The floor of a scan: one thread walks, asks for size and time, reads the first 4 KiB as any look at the content has
//! to, and puts a row into a fresh SQLite database, a thousand to a transaction. No index, no second look, no order.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;

use rusqlite::{Connection, params};

/// Rows to a transaction.
const BATCH: u64 = 1_000;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let [folder, database] = &args[..] else {
        eprintln!("floor-scan FOLDER DATABASE: the database must not be there yet");
        return ExitCode::from(2);
    };
    match scan(Path::new(folder), Path::new(database)) {
        Ok(count) => {
            println!("{count}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("floor-scan: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn scan(folder: &Path, database: &Path) -> Result<u64, Box<dyn std::error::Error>> {
    if database.exists() {
        return Err("the database is there already".into());
    }
    let db = Connection::open(database)?;
    // As a queue would: readers are not kept out, and a power cut may cost the last rows but not the database.
    db.pragma_update(None, "journal_mode", "wal")?;
    db.pragma_update(None, "synchronous", "normal")?;
    db.execute_batch(
        "CREATE TABLE file (path BLOB NOT NULL, bytes INTEGER NOT NULL, modified_ns INTEGER NOT NULL,
             riff INTEGER NOT NULL) STRICT; BEGIN",
    )?;
    let mut insert = db.prepare("INSERT INTO file VALUES (?1, ?2, ?3, ?4)")?;
    let mut count = 0;
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry?;
        if !entry.file_type().is_file() {
            continue;
        }
        let facts = entry.metadata()?;
        let modified_ns = facts.mtime() * 1_000_000_000 + facts.mtime_nsec();
        let riff = first_bytes(entry.path())?.starts_with(b"RIFF");
        let path = entry.path().strip_prefix(folder)?.as_os_str().as_bytes();
        insert.execute(params![path, facts.len() as i64, modified_ns, riff])?;
        count += 1;
        if count % BATCH == 0 {
            db.execute_batch("COMMIT; BEGIN")?;
        }
    }
    db.execute_batch("COMMIT")?;
    Ok(count)
}

fn first_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4096];
    let read = File::open(path)?.read(&mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}
