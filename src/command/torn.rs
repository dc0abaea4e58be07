//! Clears away what a killed run left half written. Which runs live is known by those who call.

use std::time::SystemTime;

use crate::task::Job;

/// Audio that was arriving when a process was killed lies beside its place under a name of its own. What is younger
/// than `began`, when no run was going on, belongs to this run or to one that started beside it.
pub(super) fn remove(job: &Job, began: SystemTime) {
    if !job.endpoint.returns_audio() {
        return;
    }
    for entry in walkdir::WalkDir::new(job.output.join("audio")).into_iter().flatten() {
        let name = entry.file_name().to_string_lossy();
        let torn = || entry.metadata().ok()?.modified().ok().map(|at| at < began);
        if name.starts_with(".voxbatch-") && name.ends_with(".part") && torn() == Some(true) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::task::{Endpoint, JobId, Order};

    #[test]
    fn what_was_half_written_goes_and_what_is_being_written_stays() {
        let folder = tempfile::tempdir().unwrap();
        let audio = folder.path().join("audio/2024");
        std::fs::create_dir_all(&audio).unwrap();
        let began = SystemTime::now() - Duration::from_secs(60);
        for (name, age_s) in [(".voxbatch-old.part", 90), (".voxbatch-new.part", 30), ("whole.mp3", 90)] {
            let file = std::fs::File::create(audio.join(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age_s)).unwrap();
        }
        let job = Job {
            id: JobId(1),
            name: "archive".to_owned(),
            endpoint: Endpoint::ALL.iter().copied().find(|e| e.returns_audio()).unwrap(),
            options: serde_json::json!({}),
            root: "/recordings".into(),
            output: folder.path().to_owned(),
            order: Order::default(),
        };
        remove(&job, began);
        let mut left: Vec<_> = std::fs::read_dir(&audio).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".voxbatch-new.part", "whole.mp3"]);
    }
}
