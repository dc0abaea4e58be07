//! A small disk of its own under one folder of a world, or under a single file: it can be filled, emptied and made
//! read-only.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::World;

/// A tmpfs; gone when dropped, which must be before its world is.
pub(crate) struct Disk {
    place: PathBuf,
    /// The file that lies on it although its folder does not.
    file: Option<PathBuf>,
}

impl Disk {
    /// Mounts one of this size (`12m`). `None`, said aloud, where that is not allowed.
    pub(crate) fn mount(world: &World, folder: &str, size: &str) -> Option<Disk> {
        let place = world.path(folder);
        std::fs::create_dir_all(&place).unwrap();
        let options = format!("size={size},mode=0700");
        if mount(&["-t", "tmpfs", "-o", &options, "tmpfs"], &place) {
            return Some(Disk { place, file: None });
        }
        skip("a test of a full or read-only disk needs the right to mount one in memory");
        None
    }

    /// Mounts one of this size under a single file, with what is in it; an empty one where there is none. Nobody may
    /// have it open.
    pub(crate) fn mount_under(world: &World, file: &str, size: &str) -> Option<Disk> {
        let place = format!("disk of {}", file.replace('/', " "));
        let mut disk = Disk::mount(world, &place, size)?;
        let (file, on_disk) = (world.path(file), disk.place.join("file"));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::OpenOptions::new().create(true).append(true).open(&file).unwrap();
        std::fs::copy(&file, &on_disk).unwrap();
        assert!(mount(&["--bind", on_disk.to_str().unwrap()], &file));
        disk.file = Some(file);
        Some(disk)
    }

    /// Leaves not a byte.
    pub(crate) fn fill(&self) {
        let mut filler = std::fs::File::create(self.filler()).unwrap();
        let mut chunk = vec![1; 64 << 10];
        loop {
            match filler.write_all(&chunk) {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::StorageFull && chunk.len() > 1 => chunk.truncate(1),
                Err(e) if e.kind() == ErrorKind::StorageFull => return,
                Err(e) => panic!("{e}"),
            }
        }
    }

    /// Gives it all back.
    pub(crate) fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    /// Only to be done while nobody writes there.
    pub(crate) fn make_read_only(&self, yes: bool) {
        let how = if yes { "remount,ro" } else { "remount,rw" };
        assert!(mount(&["-o", how], &self.place));
    }

    fn filler(&self) -> PathBuf {
        self.place.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for place in self.file.iter().chain([&self.place]) {
            let _ = Command::new("umount").arg("-l").arg(place).status();
        }
    }
}

fn mount(args: &[&str], place: &Path) -> bool {
    let mut command = Command::new("mount");
    command.args(args).arg(place).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Says aloud that a test does nothing here: not by a macro, whose words are only heard when a test fails.
pub(crate) fn skip(why: &str) {
    let _ = std::io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes());
}
