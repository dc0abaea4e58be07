//! A `jobs.toml` for tests: short waits, one job unless told otherwise.

use std::fmt::Write;

/// The model that most tests use.
pub(crate) const STT: &str = "velma-2-stt-batch";

/// All of them; the first five are the older ones.
pub(crate) const ENDPOINTS: [&str; 11] = [
    STT,
    "velma-2-stt-batch-english-vfast",
    "velma-2-synthetic-voice-detection-batch",
    "velma-2-pii-phi-redaction-batch",
    "velma-2-batch",
    "velma-2-stt-batch-multilingual-vfast",
    "velma-2-emotion-batch",
    "velma-2-accent-batch",
    "velma-2-language-detection-batch",
    "velma-2-music-detection-batch",
    "velma-2-ai-music-detection-batch",
];

/// Those that recordings are streamed to; in the order of the first five of the others, which answer alike.
pub(crate) const STREAMS: [&str; 5] = [
    "velma-2-stt-streaming",
    "velma-2-stt-streaming-english-v2",
    "velma-2-synthetic-voice-detection-streaming",
    "velma-2-pii-phi-redaction-streaming",
    "velma-2-streaming",
];

/// What tests vary.
#[derive(Debug, Clone)]
pub(crate) struct Jobs {
    /// Slots of every endpoint.
    pub(crate) concurrent: u32,
    pub(crate) monthly_hours: Option<f64>,
    pub(crate) probe_interval: &'static str,
    pub(crate) max_attempts: u32,
    pub(crate) grace: &'static str,
    /// Name, endpoint, source.
    pub(crate) jobs: Vec<(&'static str, &'static str, &'static str)>,
    /// More lines of each job.
    pub(crate) of_each_job: &'static str,
}

impl Default for Jobs {
    fn default() -> Self {
        Jobs {
            concurrent: 4,
            monthly_hours: None,
            probe_interval: "1h",
            max_attempts: 5,
            grace: "60s",
            jobs: vec![("archive", STT, "calls")],
            of_each_job: "",
        }
    }
}

impl Jobs {
    /// The file.
    pub(super) fn text(&self, base_url: &str) -> String {
        let Jobs { concurrent, probe_interval, max_attempts, grace, .. } = self;
        let mut text = format!(
            "[api]\nbase_url = \"{base_url}\"\n\n\
             [retry]\nbase = \"10ms\"\nmax = \"100ms\"\nthrottle_wait = \"10ms\"\nmax_attempts = {max_attempts}\n\n\
             [scan]\nsettle = \"0s\"\n\n\
             [run]\nprobe_interval = \"{probe_interval}\"\ngrace = \"{grace}\"\n\n"
        );
        let mut endpoints: Vec<_> = self.jobs.iter().map(|(_, endpoint, _)| *endpoint).collect();
        endpoints.sort_unstable();
        endpoints.dedup();
        for endpoint in endpoints {
            writeln!(text, "[limits.{endpoint}]\nconcurrent = {concurrent}").unwrap();
            if let Some(hours) = self.monthly_hours {
                writeln!(text, "monthly_hours = {hours}").unwrap();
            }
        }
        for (name, endpoint, source) in &self.jobs {
            let more = self.of_each_job;
            write!(
                text,
                "\n[[job]]\nname = \"{name}\"\nendpoint = \"{endpoint}\"\nsource = \"{source}\"\n{more}\n"
            )
            .unwrap();
        }
        text
    }
}
