//! The jobs of the Platform API and how they come along: files, the end of files, states that pass, results.
//! Knows no HTTP.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::transcript::{Tags, Transcript};
use super::settings::Platform;

/// What a job is while files may still come.
pub(super) const OPEN: &str = "active";

/// All jobs by id.
#[derive(Debug, Default)]
pub(super) struct Jobs(HashMap<String, Job>);

/// A job of an account.
#[derive(Debug)]
pub(super) struct Job {
    account: String,
    files: Vec<File>,
    finalized: Option<Instant>,
    /// How often somebody asked since then.
    looks: u32,
}

/// A file of a job, already judged.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) sha256: String,
    /// None: it could not be used.
    pub(super) duration_ms: Option<u64>,
    /// Whether emotions were asked for.
    pub(super) emotion: bool,
}

/// Why a job does not take what it is given.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Not {
    /// There is none of that name, or it is another account's.
    Found,
    Open,
}

impl Jobs {
    pub(super) fn begin(&mut self, id: &str, account: &str) {
        let job = Job { account: account.to_owned(), files: Vec::new(), finalized: None, looks: 0 };
        self.0.insert(id.to_owned(), job);
    }

    pub(super) fn known(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// The job, if it is this account's.
    pub(super) fn of(&mut self, id: &str, account: &str) -> Result<&mut Job, Not> {
        self.0.get_mut(id).filter(|job| job.account == account).ok_or(Not::Found)
    }
}

impl Job {
    /// Whether more may come.
    pub(super) fn open(&self) -> Result<(), Not> {
        if self.finalized.is_none() { Ok(()) } else { Err(Not::Open) }
    }

    pub(super) fn add(&mut self, file: File) -> Result<(), Not> {
        self.open()?;
        self.files.push(file);
        Ok(())
    }

    pub(super) fn finalize(&mut self, now: Instant) {
        self.finalized.get_or_insert(now);
    }

    /// The word for how far it is. Asking counts, where states pass by being asked for.
    pub(super) fn look(&mut self, settings: &Platform, now: Instant) -> String {
        let Some(since) = self.finalized else { return OPEN.to_owned() };
        let passed = match settings.state_for {
            Duration::ZERO => self.looks as usize,
            each => (now.saturating_duration_since(since).as_nanos() / each.as_nanos()) as usize,
        };
        self.looks += 1;
        match settings.states.get(passed) {
            Some(state) => state.clone(),
            None if self.files.iter().any(|file| file.duration_ms.is_some()) => settings.completed.clone(),
            None => settings.failed.clone(),
        }
    }

    /// One object for each file, in the order in which they came.
    pub(super) fn results(&self) -> Vec<Value> {
        self.files.iter().map(File::result).collect()
    }
}

impl File {
    fn result(&self) -> Value {
        let Some(duration_ms) = self.duration_ms else {
            return json!({ "filename": self.name, "error": "The audio could not be processed." });
        };
        let transcript = Transcript::of(&self.sha256, duration_ms);
        let utterances: Vec<_> = transcript
            .utterances
            .iter()
            .map(|said| {
                let mut utterance = json!({
                    "speaker": said.speaker, "start_ms": said.start_ms, "duration_ms": said.duration_ms,
                    "text": said.shown(Tags::Off),
                });
                if self.emotion {
                    utterance["emotion"] = json!("Neutral");
                }
                utterance
            })
            .collect();
        let texts: Vec<_> = transcript.utterances.iter().map(|said| said.shown(Tags::Off)).collect();
        json!({
            "filename": self.name, "duration_ms": duration_ms, "transcript": texts.join(" "),
            "utterances": utterances,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(duration_ms: Option<u64>) -> File {
        File { name: "a.wav".into(), sha256: "00ff".into(), duration_ms, emotion: false }
    }

    fn job(files: &[File]) -> Jobs {
        let mut jobs = Jobs::default();
        jobs.begin("j", "me");
        files.iter().for_each(|file| jobs.of("j", "me").unwrap().add(file.clone()).unwrap());
        jobs
    }

    #[test]
    fn a_job_is_open_until_it_is_finalised_and_never_again() {
        let (mut jobs, settings, now) = (job(&[file(Some(9))]), Platform::default(), Instant::now());
        let job = jobs.of("j", "me").unwrap();
        assert_eq!([job.look(&settings, now), job.look(&settings, now)], [OPEN, OPEN]);
        job.finalize(now);
        assert_eq!(job.add(file(Some(9))), Err(Not::Open));
        assert_eq!([job.look(&settings, now), job.look(&settings, now)], ["processing", "completed"]);
    }

    #[test]
    fn states_pass_with_time_if_they_last() {
        let settings = Platform {
            states: vec!["queued".into(), "running".into()],
            state_for: Duration::from_secs(10),
            ..Platform::default()
        };
        let (mut jobs, now) = (job(&[file(None)]), Instant::now());
        let job = jobs.of("j", "me").unwrap();
        job.finalize(now);
        let seen = [0, 9, 10, 19, 20].map(|after| job.look(&settings, now + Duration::from_secs(after)));
        assert_eq!(seen, ["queued", "queued", "running", "running", "failed"]);
    }

    #[test]
    fn one_good_file_makes_a_good_job() {
        let settings = Platform { states: Vec::new(), ..Platform::default() };
        let (mut jobs, now) = (job(&[file(None), file(Some(7000))]), Instant::now());
        let job = jobs.of("j", "me").unwrap();
        job.finalize(now);
        assert_eq!(job.look(&settings, now), "completed");
        let results = job.results();
        assert!(results[0]["error"].is_string() && results[1]["utterances"].as_array().unwrap().len() == 2);
    }

    #[test]
    fn another_account_finds_nothing() {
        assert_eq!(job(&[]).of("j", "you").map(drop), Err(Not::Found));
        assert_eq!(job(&[]).of("k", "me").map(drop), Err(Not::Found));
    }
}
