//! Whole walks over small trees: what is told, in which order, and what does not stop them.

use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::*;

struct Tree(tempfile::TempDir);

impl Tree {
    /// Files by their paths, each holding its own path, settled an hour ago.
    fn of(files: &[&str]) -> Self {
        let tree = Tree(tempfile::tempdir().unwrap());
        for file in files {
            tree.file(file.as_bytes());
        }
        tree
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn file(&self, path: &[u8]) {
        let full = self.0.path().join(OsStr::from_bytes(path));
        std::fs::create_dir_all(full.parent().unwrap()).unwrap();
        std::fs::write(&full, path).unwrap();
        self.touch(&full, SystemTime::now() - Duration::from_secs(3600));
    }

    fn touch(&self, path: &Path, time: SystemTime) {
        std::fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    fn walk(&self, settings: &ScanSettings) -> Vec<String> {
        told(self.0.path(), settings, &[])
    }
}

fn told(source: &Path, settings: &ScanSettings, skip: &[PathBuf]) -> Vec<String> {
    let mut lines = Vec::new();
    walk(source, settings, skip, SystemTime::now(), |found| {
        lines.push(line(&found));
        ControlFlow::Continue(())
    })
    .unwrap();
    lines
}

fn line(found: &Found) -> String {
    match found {
        Found::File(file) => file.path.to_string(),
        Found::PassedOver { path, reason } => format!("{path}: {reason}"),
        Found::Trouble { path, error } => format!("{path}! {error}"),
    }
}

fn plain() -> ScanSettings {
    ScanSettings::default()
}

#[test]
fn files_are_told_sorted_by_name_within_their_folder_with_size_and_time() {
    let tree = Tree::of(&["b.wav", "a/2.wav", "a/10.wav", "c/x/y.wav", "B.wav"]);
    assert_eq!(tree.walk(&plain()), ["B.wav", "a/10.wav", "a/2.wav", "b.wav", "c/x/y.wav"]);
    let mut files = Vec::new();
    let now = SystemTime::now();
    walk(&tree.at("c"), &plain(), &[], now, |found| {
        files.push(found);
        ControlFlow::Continue(())
    })
    .unwrap();
    let [Found::File(file)] = files.as_slice() else { panic!("{files:?}") };
    assert_eq!((file.path.as_bytes(), file.size_bytes), (&b"x/y.wav"[..], 9));
    let now_ns = now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as i64;
    assert!((now_ns - file.modified_ns - 3_600_000_000_000).abs() < 60_000_000_000);
}

#[test]
fn what_is_left_out_is_told_once_with_its_reason() {
    let tree = Tree::of(&[
        ".hidden.wav",
        ".git/a",
        ".git/b",
        "@eaDir/a.wav",
        "._a.wav",
        "a.wav",
        "b.wav.part",
        "old/a.wav",
        "old/b.wav",
        "n.txt",
    ]);
    let pipe = tree.at("pipe.wav");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .unwrap();
    let settings = ScanSettings { include: vec!["*.wav".into()], exclude: vec!["old/".into()], ..plain() };
    assert_eq!(
        tree.walk(&settings),
        [
            "._a.wav: system",
            ".git: hidden",
            ".hidden.wav: hidden",
            "@eaDir: system",
            "a.wav",
            "b.wav.part: unfinished",
            "n.txt: not_included",
            "old: excluded",
            "pipe.wav: not_a_file",
        ]
    );
}

#[test]
fn hidden_names_are_taken_on_request() {
    let tree = Tree::of(&[".h.wav", ".d/a.wav", "._x.wav"]);
    let settings = ScanSettings { hidden: true, ..plain() };
    assert_eq!(tree.walk(&settings), ["._x.wav: system", ".d/a.wav", ".h.wav"]);
}

#[test]
fn links_are_passed_over_unless_they_are_to_be_followed() {
    let tree = Tree::of(&["real/a.wav"]);
    symlink(tree.at("real"), tree.at("folder")).unwrap();
    symlink(tree.at("real/a.wav"), tree.at("file.wav")).unwrap();
    assert_eq!(tree.walk(&plain()), ["file.wav: symlink", "folder: symlink", "real/a.wav"]);
    let follow = ScanSettings { follow_links: true, ..plain() };
    assert_eq!(tree.walk(&follow), ["file.wav", "folder/a.wav", "real/a.wav"]);
}

#[test]
fn loops_and_links_that_lead_nowhere_are_reported_and_do_not_stop_the_walk() {
    let tree = Tree::of(&["d/a.wav", "z.wav"]);
    symlink(tree.at(""), tree.at("d/up")).unwrap();
    symlink(tree.at("self"), tree.at("self")).unwrap();
    symlink(tree.at("gone"), tree.at("dangling")).unwrap();
    let follow = ScanSettings { follow_links: true, ..plain() };
    let mut lines = tree.walk(&follow);
    // Failing entries come before the named ones of their folder.
    lines.sort();
    assert_eq!(
        lines,
        [
            "d/a.wav",
            "d/up: symlink_loop",
            "dangling! not there any more, or a link that leads nowhere",
            "self: symlink_loop",
            "z.wav"
        ]
    );
}

#[test]
fn names_that_are_not_utf8_keep_their_bytes() {
    let tree = Tree::of(&[]);
    tree.file(b"g\xe4st/\xff.wav");
    let mut paths = Vec::new();
    walk(tree.0.path(), &plain(), &[], SystemTime::now(), |found| {
        if let Found::File(file) = found {
            paths.push(file.path);
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(paths.iter().map(|p| p.as_bytes()).collect::<Vec<_>>(), [b"g\xe4st/\xff.wav"]);
}

#[test]
fn a_file_that_changed_just_now_is_held_back_and_a_wrong_clock_is_not() {
    let tree = Tree::of(&["new.wav", "edge.wav", "future.wav", "soon.wav", "old.wav"]);
    let now = SystemTime::now();
    let second = Duration::from_secs(1);
    tree.touch(&tree.at("new.wav"), now - second);
    tree.touch(&tree.at("edge.wav"), now - 10 * second);
    tree.touch(&tree.at("soon.wav"), now + second);
    tree.touch(&tree.at("future.wav"), now + 3600 * second);
    tree.touch(&tree.at("old.wav"), SystemTime::UNIX_EPOCH - 3600 * second);
    let mut found = Vec::new();
    walk(tree.0.path(), &plain(), &[], now, |entry| {
        found.push(entry);
        ControlFlow::Continue(())
    })
    .unwrap();
    let lines: Vec<_> = found.iter().map(line).collect();
    assert_eq!(lines, ["edge.wav", "future.wav", "new.wav: unsettled", "old.wav", "soon.wav: unsettled"]);
    assert!(matches!(&found[3], Found::File(f) if f.modified_ns == -3_600_000_000_000), "{:?}", found[3]);
    let at_once = ScanSettings { settle: Duration::ZERO, ..plain() };
    assert_eq!(tree.walk(&at_once).iter().filter(|l| l.contains(':')).count(), 0);
}

#[test]
fn our_own_output_inside_the_source_is_not_scanned() {
    let tree = Tree::of(&["a.wav", "out/audio/a.wav.redacted.mp3", "state/queue.db"]);
    symlink(tree.at("out"), tree.at("linked")).unwrap();
    let skip = [tree.at("linked"), tree.at("state"), tree.at("not/there/yet")];
    assert_eq!(
        told(tree.0.path(), &plain(), &skip),
        ["a.wav", "linked: symlink", "out: own_output", "state: own_output"]
    );
    let follow = ScanSettings { follow_links: true, ..plain() };
    assert_eq!(
        told(tree.0.path(), &follow, &skip),
        ["a.wav", "linked: own_output", "out: own_output", "state: own_output"]
    );
}

#[test]
fn a_source_that_is_a_file_is_told_alone_whatever_its_name() {
    let tree = Tree::of(&["d/.odd.tmp", "d/other.wav"]);
    let settings = ScanSettings { include: vec!["*.wav".into()], ..plain() };
    assert_eq!(told(&tree.at("d/.odd.tmp"), &settings, &[]), [".odd.tmp"]);
    let root = root_of(&tree.at("d/.odd.tmp"), &plain()).unwrap();
    assert_eq!(root, Root { folder: tree.at("d"), only: Some(".odd.tmp".into()) });
    assert_eq!(root_of(&tree.at("d"), &plain()).unwrap(), Root { folder: tree.at("d"), only: None });
}

#[test]
fn a_missing_source_and_a_pipe_are_refused_before_the_walk() {
    let tree = Tree::of(&["a.wav"]);
    let start = |path: &Path| walk(path, &plain(), &[], SystemTime::now(), |_| panic!("nothing to tell"));
    let gone = tree.at("gone");
    assert_eq!(start(&gone), Err(ScanError::SourceMissing { path: gone.clone() }));
    assert_eq!(
        start(&tree.at("a.wav/below")),
        Err(ScanError::SourceMissing { path: tree.at("a.wav/below") })
    );
    let pipe = tree.at("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .unwrap();
    assert!(matches!(start(&pipe), Err(ScanError::SourceUnreadable { .. })));
}

#[test]
fn a_folder_that_cannot_be_listed_is_reported_and_the_walk_goes_on() {
    // A folder that disappears while the walk is elsewhere fails for every user, root included.
    let tree = Tree::of(&["a/1.wav", "b/2.wav", "c/3.wav"]);
    let mut lines = Vec::new();
    walk(tree.0.path(), &plain(), &[], SystemTime::now(), |found| {
        lines.push(line(&found));
        let _ = std::fs::remove_dir_all(tree.at("b"));
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(lines, ["a/1.wav", "b! not there any more, or a link that leads nowhere", "c/3.wav"]);
}

#[test]
fn a_locked_folder_is_reported_and_the_walk_goes_on() {
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: root reads locked folders");
        return;
    }
    let tree = Tree::of(&["a/1.wav", "c/3.wav"]);
    std::fs::set_permissions(tree.at("a"), std::fs::Permissions::from_mode(0o000)).unwrap();
    let lines = tree.walk(&plain());
    let locked_source = walk(&tree.at("a"), &plain(), &[], SystemTime::now(), |_| ControlFlow::Continue(()));
    std::fs::set_permissions(tree.at("a"), std::fs::Permissions::from_mode(0o700)).unwrap();
    assert!(lines[0].starts_with("a! cannot be read (") && lines[1] == "c/3.wav", "{lines:?}");
    assert!(matches!(locked_source, Err(ScanError::SourceUnreadable { .. })));
}

#[test]
fn the_listener_can_stop_the_walk() {
    let tree = Tree::of(&["1", "2", "3"]);
    let mut seen = 0;
    walk(tree.0.path(), &plain(), &[], SystemTime::now(), |_| {
        seen += 1;
        if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .unwrap();
    assert_eq!(seen, 2);
}
