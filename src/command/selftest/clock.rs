//! A wall clock that can be set while a process runs: by libfaketime (Debian: `faketime`), loaded before the child's
//! own libraries. The machine's clock stays as it is. Also the tests' own, which take in this file by its path.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where distributions keep it; one folder between, named after the architecture, may follow.
const PLACES: [&str; 4] = ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/lib/faketime"];
/// The one for programs with threads comes first.
const NAMES: [&str; 2] = ["libfaketimeMT.so.1", "libfaketime.so.1"];

/// See the module.
#[derive(Debug)]
pub(crate) struct Clock {
    library: PathBuf,
    /// Read at each look at the clock.
    file: PathBuf,
}

impl Clock {
    /// One that goes right for now, kept in a file of this folder. `None` where the library is not installed.
    pub(crate) fn find(folder: &Path) -> io::Result<Option<Clock>> {
        let Some(library) = library() else { return Ok(None) };
        let clock = Clock { library, file: folder.join("clock") };
        clock.set("+0d")?;
        Ok(Some(clock))
    }

    /// Sets it so far off the machine's: `+40d`, `-1h`.
    pub(crate) fn set(&self, offset: &str) -> io::Result<()> {
        let beside = self.file.with_extension("new");
        fs::write(&beside, format!("{offset}\n"))?;
        fs::rename(beside, &self.file)
    }

    /// Lets a command go by it. What measures lengths of time goes right.
    pub(crate) fn rule(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("FAKETIME_TIMESTAMP_FILE", &self.file);
        for name in
            ["FAKETIME_NO_CACHE", "FAKETIME_DONT_FAKE_MONOTONIC", "DONT_FAKE_MONOTONIC", "NO_FAKE_STAT"]
        {
            command.env(name, "1");
        }
    }
}

fn library() -> Option<PathBuf> {
    let folders = PLACES.into_iter().flat_map(|place| {
        let below =
            fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.path().join("faketime"));
        below.chain([PathBuf::from(place).join("faketime"), PathBuf::from(place)])
    });
    folders.flat_map(|folder| NAMES.map(|name| folder.join(name))).find(|library| library.is_file())
}
