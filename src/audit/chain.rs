//! Holding the chain: each line must carry the number and the hash that follow from the line before.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::entry::{Kind, Link};
use super::{AuditError, BEGINNING, FILE, LONGEST, sha256};

/// What a log holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chain {
    /// Whole entries.
    pub entries: u64,
    /// Numbers of lines that a crash tore.
    pub torn: Vec<u64>,
    /// Ids of the runs that began.
    pub runs: HashSet<String>,
    /// Where it does not hold.
    pub breaks: Vec<Break>,
}

/// A place where the chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// The line, from 1.
    pub line: u64,
    /// Why.
    pub why: Why,
}

/// Why a chain breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// No entry, and nothing says that a crash tore one.
    #[error("is no entry of this log")]
    NoEntry,
    /// The hash is another one.
    #[error("does not carry the hash of the line before it: one of the two was altered, put in or taken out")]
    OtherHash,
    /// The number is another one.
    #[error("does not have the number that follows the line before it: lines were taken out or put in")]
    OtherNumber,
}

/// Reads the log in this folder; `None` if there is none. Line by line, so its size does not matter; what is
/// appended meanwhile is left for the next time.
///
/// # Errors
/// The file cannot be opened, locked or read.
pub fn check(state_dir: &Path) -> Result<Option<Chain>, AuditError> {
    let path = state_dir.join(FILE);
    let trouble = |source| AuditError { doing: "read", path: path.clone(), source };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(trouble(error)),
    };
    // Nobody is in the middle of an entry while the lock is shared: up to here, the file holds whole ones.
    file.lock_shared().map_err(trouble)?;
    let length = file.metadata().map_err(trouble)?.len();
    file.unlock().map_err(trouble)?;
    read(BufReader::new(file.take(length))).map(Some).map_err(trouble)
}

fn read(mut from: impl BufRead) -> std::io::Result<Chain> {
    let mut reader =
        Reader { chain: Chain::default(), number: 0, seq: 0, hash: BEGINNING.to_owned(), torn: vec![] };
    let mut line = Vec::new();
    while from.by_ref().take(LONGEST).read_until(b'\n', &mut line)? > 0 {
        let ends = line.pop_if(|last| *last == b'\n').is_some();
        reader.take(&line, ends);
        line.clear();
    }
    Ok(reader.end())
}

/// What has been read so far.
struct Reader {
    chain: Chain,
    /// The line, counted here.
    number: u64,
    /// The line, as the entries count.
    seq: u64,
    hash: String,
    /// Lines that are no entries, and whether they end; the next entry says whether a crash tore them.
    torn: Vec<(u64, bool)>,
}

impl Reader {
    fn take(&mut self, line: &[u8], ends: bool) {
        self.number += 1;
        self.seq += 1;
        match Link::read(line) {
            Some(link) => self.hold(link),
            None => self.torn.push((self.number, ends)),
        }
        self.hash = sha256(line);
    }

    fn hold(&mut self, link: Link) {
        if self.torn.len() as u64 == link.after_torn {
            self.chain.torn.extend(self.torn.drain(..).map(|(line, _)| line));
        } else {
            let unsaid = self.torn.drain(..).map(|(line, _)| Break { line, why: Why::NoEntry });
            self.chain.breaks.extend(unsaid);
        }
        let why = if link.prev != self.hash {
            Some(Why::OtherHash)
        } else {
            (link.seq != self.seq).then_some(Why::OtherNumber)
        };
        self.chain.breaks.extend(why.map(|why| Break { line: self.number, why }));
        self.chain.entries += 1;
        if link.kind == Kind::RunStarted.word() {
            self.chain.runs.extend(link.run);
        }
        self.seq = link.seq; // one break is told once, not at every line behind it
    }

    /// What a crash tore just now is healed by the next entry; a whole line that is no entry is nobody's.
    fn end(mut self) -> Chain {
        for (line, ends) in self.torn {
            match ends {
                true => self.chain.breaks.push(Break { line, why: Why::NoEntry }),
                false => self.chain.torn.push(line),
            }
        }
        self.chain
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::audit::{AuditLog, Author, Facts};
    use crate::task::{Timestamp, WorkerId};

    fn log(folder: &Path) -> AuditLog {
        let author = Author {
            user: "anna".into(),
            uid: 1000,
            host: "night".into(),
            pid: 7,
            version: "0.1.0".into(),
            config_sha256: None,
        };
        AuditLog::new(folder, author)
    }

    fn append(folder: &Path, run: &str) -> u64 {
        let facts = Facts::default().count("tasks", 3u32).words("filter", vec!["state"]);
        log(folder).append(Kind::RunStarted, Some(&WorkerId(run.into())), &facts, Timestamp(0)).unwrap()
    }

    /// A folder with a log of four entries, and the lines.
    fn four() -> (tempfile::TempDir, PathBuf, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        for (n, run) in ["a", "b", "c", "d"].into_iter().enumerate() {
            assert_eq!(append(folder.path(), run), n as u64 + 1);
        }
        let path = folder.path().join(FILE);
        let lines = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
        (folder, path, lines)
    }

    fn breaks(folder: &Path) -> Vec<(u64, Why)> {
        check(folder).unwrap().unwrap().breaks.into_iter().map(|b| (b.line, b.why)).collect()
    }

    #[test]
    fn an_untouched_log_holds_and_knows_its_runs() {
        let (folder, path, lines) = four();
        let chain = check(folder.path()).unwrap().unwrap();
        assert_eq!((chain.entries, chain.breaks.len(), chain.torn.len()), (4, 0, 0));
        assert_eq!(chain.runs, ["a", "b", "c", "d"].map(String::from).into());
        assert_eq!(
            lines[0],
            format!(
                "{}{}{BEGINNING}\"}}",
                r#"{"v":1,"seq":1,"time":"1970-01-01T00:00:00.000Z","kind":"run_started","user":"anna","uid":1000,"#,
                r#""host":"night","pid":7,"version":"0.1.0","config_sha256":null,"run":"a","facts":{"tasks":3,"filter":["state"]},"prev":""#
            )
        );
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(check(&folder.path().join("nowhere")).unwrap(), None);
    }

    #[test]
    fn an_altered_line_breaks_the_chain_right_behind_it() {
        let (folder, path, mut lines) = four();
        lines[1] = lines[1].replace("anna", "hans");
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        assert_eq!(breaks(folder.path()), [(3, Why::OtherHash)]);
    }

    #[test]
    fn a_line_taken_out_put_in_or_swapped_is_told_of_once_at_its_place() {
        let (folder, path, lines) = four();
        for (now, told) in [
            (vec![0, 2, 3], vec![2]),
            (vec![1, 2, 3], vec![1]),
            (vec![0, 1, 1, 2, 3], vec![3]),
            (vec![0, 2, 1, 3], vec![2, 3, 4]),
        ] {
            let text: String = now.iter().map(|n: &usize| format!("{}\n", lines[*n])).collect();
            fs::write(&path, text).unwrap();
            let at: Vec<u64> = breaks(folder.path()).into_iter().map(|(line, _)| line).collect();
            assert_eq!(at, told, "{now:?}");
        }
    }

    #[test]
    fn a_number_that_does_not_follow_is_a_break_even_with_the_right_hash() {
        let (folder, path, lines) = four();
        let forged = lines[1].replace("\"seq\":2", "\"seq\":9");
        fs::write(&path, format!("{}\n{forged}\n", lines[0])).unwrap();
        assert_eq!(breaks(folder.path()), [(2, Why::OtherNumber)]);
    }

    #[test]
    fn a_torn_entry_is_left_as_it_lies_and_the_next_one_says_so() {
        let (folder, path, lines) = four();
        let whole = lines.join("\n") + "\n";
        for cut in [1, 40, lines[3].len() - 1] {
            let torn = format!("{}\n{}", lines[..3].join("\n"), &lines[3][..cut]);
            fs::write(&path, &torn).unwrap();
            let chain = check(folder.path()).unwrap().unwrap();
            assert_eq!((chain.entries, &*chain.torn, chain.breaks.len()), (3, &[4][..], 0), "cut at {cut}");
            assert_eq!(append(folder.path(), "e"), 5);
            assert!(fs::read_to_string(&path).unwrap().starts_with(&torn), "nothing is taken away");
            let chain = check(folder.path()).unwrap().unwrap();
            assert_eq!((chain.entries, &*chain.torn, chain.breaks.len()), (4, &[4][..], 0));
        }
        // Whole but for its end of line: nothing is lost.
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(append(folder.path(), "e"), 5);
        let chain = check(folder.path()).unwrap().unwrap();
        assert_eq!((chain.entries, chain.torn.len(), chain.breaks.len()), (5, 0, 0));
    }

    #[test]
    fn a_whole_line_of_something_else_is_no_entry() {
        let (folder, path, lines) = four();
        fs::write(&path, format!("{}\nhello\n{}\n", lines[0], lines[1])).unwrap();
        assert_eq!(breaks(folder.path()), [(2, Why::NoEntry), (3, Why::OtherHash)]);
        fs::write(&path, format!("{}\nhello\n", lines[0])).unwrap();
        assert_eq!(breaks(folder.path()), [(2, Why::NoEntry)]);
    }

    #[test]
    fn torn_bytes_longer_than_any_window_are_counted() {
        let (folder, path, lines) = four();
        fs::write(&path, format!("{}\n{}", lines.join("\n"), "x\n".repeat(200_000))).unwrap();
        assert_eq!(append(folder.path(), "e"), 200_005);
    }

    #[test]
    fn many_writers_at_once_make_one_chain() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let folder = folder.path();
                scope.spawn(move || (0..10).for_each(|n| _ = append(folder, &format!("{thread}-{n}"))));
            }
        });
        let chain = check(folder.path()).unwrap().unwrap();
        assert_eq!((chain.entries, chain.breaks.len(), chain.runs.len()), (80, 0, 80));
    }
}
