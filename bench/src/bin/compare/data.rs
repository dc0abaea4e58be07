//! The recordings: made once, kept for the next time, the same on every machine. A folder is whole once it has its
//! last name; until then it is called `….part`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use voxbatch_bench::wav::{self, Dice};

/// A folder with recordings of a known number.
#[derive(Debug, Clone)]
pub(crate) struct Recordings {
    pub(crate) folder: PathBuf,
    pub(crate) count: u64,
    pub(crate) bytes: u64,
}

/// `count` files of `bytes` bytes each.
pub(crate) fn equal(data: &Path, count: u64, bytes: u64) -> io::Result<Recordings> {
    made(data, &format!("equal-{count}x{bytes}"), count, |_| bytes)
}

/// `count` files whose sizes are spread as lengths of calls are: most are short, a few are very long. The median is
/// `median` bytes; of 2,000, the longest is about a hundred times that.
pub(crate) fn spread(data: &Path, count: u64, median: u64) -> io::Result<Recordings> {
    const SIGMA: f64 = 1.4;
    let mut dice = Dice(20);
    let sizes: Vec<u64> = (0..count)
        .map(|_| (median as f64 * (SIGMA * dice.normal()).exp()) as u64 & !1)
        .map(|bytes| bytes.clamp(1_000, 99_000_000))
        .collect();
    made(data, &format!("spread-{count}x{median}"), count, |i| sizes[i as usize])
}

fn made(data: &Path, name: &str, count: u64, size: impl Fn(u64) -> u64) -> io::Result<Recordings> {
    let folder = data.join(name);
    let bytes = (0..count).map(&size).sum();
    if !folder.exists() {
        println!("making {count} recordings in {}", folder.display());
        let part = data.join(format!("{name}.part"));
        if part.exists() {
            fs::remove_dir_all(&part)?;
        }
        for i in 0..count {
            // As archives are: some thousand to a folder.
            let within = part.join(format!("{:04}", i / 5_000));
            if i % 5_000 == 0 {
                fs::create_dir_all(&within)?;
            }
            wav::write(&within.join(format!("{i:07}.wav")), size(i), i ^ (bytes << 20))?;
        }
        rustix::fs::sync();
        fs::rename(part, &folder)?;
    }
    Ok(Recordings { folder, count, bytes })
}

/// All files of a folder and below, in the order of names.
pub(crate) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let entry = entry?;
        if entry.file_type().is_file() {
            found.push(entry.into_path());
        }
    }
    Ok(found)
}

/// Reads every file once, so that it lies in memory.
pub(crate) fn read_all(folder: &Path) -> io::Result<()> {
    for file in files(folder)? {
        io::copy(&mut fs::File::open(file)?, &mut io::sink())?;
    }
    Ok(())
}
