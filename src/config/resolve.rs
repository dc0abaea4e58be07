//! From what was said to what holds: every setting read once, checked, and handed to its room as the room's struct.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

use super::address::{base_url, log_level};
use super::cli::Overrides;
use super::error::{CheckOptions, Code, ConfigError, Problem};
use super::file::{self, Document};
use super::job::{self, JobConfig};
use super::key::{self, KeyOrigin};
use super::media::{self, Minutes};
use super::money::{self, Dollars, OpeningHours};
use super::notify;
use super::origin::{Effective, Origin};
use super::reader::{Environment, Reader};
use super::value::{Choice, Globs, Hours, Length, Location, SizeWithin, Switch, Whole, Words, absolute};
use crate::media::MediaSettings;
use crate::notify::NotifySettings;
use crate::outputs::OutputSettings;
use crate::run::{LimitSettings, RunSettings};
use crate::scan::ScanSettings;
use crate::task::{BudgetLimit, Endpoint, Prices, RetryPolicy, SuspectSettings};
use crate::telemetry::{LogPaths, LogSettings};
use crate::velma::{PlatformSettings, VelmaSettings};

/// Slots of an endpoint whose limit nobody has said: one never exceeds it.
const DEFAULT_SLOTS: u32 = 1;

/// How to reach the API, without the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiSettings {
    /// Scheme and host, without a path.
    pub base_url: String,
    /// To get a connection.
    pub connect_timeout: Duration,
    /// While uploading, without a byte moving.
    pub stall_timeout: Duration,
    /// From the last byte sent to the whole answer, for the smallest file.
    pub answer_timeout: Duration,
    /// Added to it for each megabyte of the recording.
    pub answer_timeout_per_mb: Duration,
    /// How much a message of a stream holds, in bytes.
    pub stream_frame_size: u64,
}

impl Default for ApiSettings {
    fn default() -> Self {
        ApiSettings {
            base_url: "https://modulate-developer-apis.com".to_owned(),
            connect_timeout: Duration::from_secs(15),
            stall_timeout: Duration::from_secs(60),
            answer_timeout: Duration::from_secs(300),
            answer_timeout_per_mb: Duration::from_secs(10),
            stream_frame_size: 32_000,
        }
    }
}

/// How to reach the Platform API, without account and key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformApiSettings {
    /// Scheme and host, without a path.
    pub base_url: String,
    /// Between the first two looks at a job.
    pub poll_first: Duration,
    /// Between two looks, at most.
    pub poll_longest: Duration,
}

impl Default for PlatformApiSettings {
    fn default() -> Self {
        PlatformApiSettings {
            base_url: "https://cloud-processing-api.modulate.ai".to_owned(),
            poll_first: Duration::from_secs(5),
            poll_longest: Duration::from_secs(30),
        }
    }
}

/// Everything that was configured, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file, absolute; `None` for a text without a file.
    pub path: Option<PathBuf>,
    /// The folder of the queue: `.voxbatch` beside the file by default.
    pub state_dir: PathBuf,
    /// How to reach the API; with the key: [`Config::velma`].
    pub api: ApiSettings,
    /// How to reach the Platform API; with its secrets: [`Config::velma_for`].
    pub platform: PlatformApiSettings,
    /// Where the key came from.
    pub key_origin: KeyOrigin,
    /// What is accepted.
    pub media: MediaSettings,
    /// How a run behaves. It holds a limit for every endpoint.
    pub run: RunSettings,
    /// How files are written; which, each job says itself.
    pub outputs: OutputSettings,
    /// What audio costs.
    pub prices: Prices,
    /// What is logged.
    pub log: LogSettings,
    notify: Result<NotifySettings, Problem>,
    /// The jobs, in the order of the file. At least one.
    pub jobs: Vec<JobConfig>,
    /// Every setting outside of jobs and where its value came from.
    pub settings: Vec<Effective>,
    /// What was changed silently otherwise: a flag held to a limit. One line each, for stderr.
    pub notices: Vec<String>,
    key: Result<Option<SecretString>, Problem>,
    platform_account: Result<Option<SecretString>, Problem>,
    platform_key: Result<Option<SecretString>, Problem>,
}

impl Config {
    /// The key.
    ///
    /// # Errors
    /// There is none, or the place that should hold it holds no usable one.
    pub fn require_key(&self) -> Result<&SecretString, ConfigError> {
        match &self.key {
            Ok(Some(key)) => Ok(key),
            Ok(None) => Err(Problem::new(Code::Key, "there is no API key")
                .mend("export VOXBATCH_API_KEY=…   or api_key_file = \"…\" under [api];   without a key: voxbatch demo")
                .into()),
            Err(problem) => Err(problem.clone().into()),
        }
    }

    /// What is wrong with the key's place, if it says something unusable. That there is no key is no problem here.
    pub fn key_problem(&self) -> Option<ConfigError> {
        self.key.as_ref().err().map(|problem| problem.clone().into())
    }

    /// Whom to tell of a run.
    ///
    /// # Errors
    /// The address or its token lies in a file that cannot be used.
    pub fn notify(&self) -> Result<&NotifySettings, ConfigError> {
        self.notify.as_ref().map_err(|problem| problem.clone().into())
    }

    /// What may be shown of the key: `…a91f`, or `set`.
    pub fn key_hint(&self) -> Option<String> {
        self.key.as_ref().ok()?.as_ref().map(key::hint)
    }

    /// How to reach the API.
    ///
    /// # Errors
    /// As [`Config::require_key`].
    pub fn velma(&self) -> Result<VelmaSettings, ConfigError> {
        self.settings_with(self.require_key()?.clone(), None)
    }

    /// How to reach what these endpoints need.
    ///
    /// # Errors
    /// As [`Config::require_key`], and the same of the Platform API's account and key, each if an endpoint needs it.
    pub fn velma_for(&self, endpoints: &[Endpoint]) -> Result<VelmaSettings, ConfigError> {
        let of_platform = endpoints.iter().any(|endpoint| endpoint.works_by_jobs());
        let key = match endpoints.iter().all(|endpoint| endpoint.works_by_jobs()) && of_platform {
            // Nothing is sent there.
            true => SecretString::from("unused"),
            false => self.require_key()?.clone(),
        };
        let platform = of_platform.then(|| self.platform_settings()).transpose()?;
        self.settings_with(key, platform)
    }

    fn platform_settings(&self) -> Result<PlatformSettings, ConfigError> {
        let secret =
            |found: &Result<Option<SecretString>, Problem>, what: &str, variable: &str, file: &str| {
                match found {
                    Ok(Some(secret)) => Ok(secret.clone()),
                    Ok(None) => Err(ConfigError::from(
                        Problem::new(Code::Key, format!("there is no {what} of the Platform API"))
                            .mend(format!("export {variable}=…   or {file} = \"…\" under [platform]")),
                    )),
                    Err(problem) => Err(problem.clone().into()),
                }
            };
        let PlatformApiSettings { base_url, poll_first, poll_longest } = self.platform.clone();
        Ok(PlatformSettings {
            base_url,
            account: secret(&self.platform_account, "account", "VOXBATCH_PLATFORM_ACCOUNT", "account_file")?,
            api_key: secret(&self.platform_key, "key", "VOXBATCH_PLATFORM_API_KEY", "api_key_file")?,
            poll_first,
            poll_longest,
        })
    }

    fn settings_with(
        &self,
        api_key: SecretString,
        platform: Option<PlatformSettings>,
    ) -> Result<VelmaSettings, ConfigError> {
        let api = self.api.clone();
        Ok(VelmaSettings {
            base_url: api.base_url,
            api_key,
            platform,
            connect_timeout: api.connect_timeout,
            stall_timeout: api.stall_timeout,
            answer_timeout: api.answer_timeout,
            answer_timeout_per_mb: api.answer_timeout_per_mb,
            stream_frame_bytes: usize::try_from(api.stream_frame_size).unwrap_or(usize::MAX),
        })
    }
}

/// Reads the file that `--config` or `VOXBATCH_CONFIG` names, else `./jobs.toml`, and resolves it.
///
/// # Errors
/// Everything that is wrong with it; nothing has been sent.
pub fn load(overrides: &Overrides, env: Environment<'_>, check: CheckOptions) -> Result<Config, ConfigError> {
    let said = overrides.config.clone();
    let variable = || env("VOXBATCH_CONFIG").filter(|value| !value.is_empty()).map(PathBuf::from);
    let named = said.or_else(variable).unwrap_or_else(|| PathBuf::from("jobs.toml"));
    let text = file::read(&named).map_err(|problem| match problem.code {
        Code::Missing => {
            problem.mend("voxbatch init        writes one;   elsewhere: voxbatch --config FILE …")
        }
        _ => problem,
    })?;
    let path = absolute(&named);
    let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
    let mut config = resolve(&named.to_string_lossy(), &text, &folder, overrides, env, check)?;
    config.path = Some(path);
    Ok(config)
}

/// Resolves a text as if it lay in `folder`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_text(
    text: &str,
    folder: &Path,
    overrides: &Overrides,
    env: Environment<'_>,
    check: CheckOptions,
) -> Result<Config, ConfigError> {
    resolve("", text, folder, overrides, env, check)
}

fn resolve(
    name: &str,
    text: &str,
    folder: &Path,
    overrides: &Overrides,
    env: Environment<'_>,
    check: CheckOptions,
) -> Result<Config, ConfigError> {
    let doc = Document::parse(name, text)?;
    let mut reader = Reader::new(&doc, env, overrides.said());
    let location = Location { base: folder };

    let state_dir = reader.get("state_dir", &location, absolute(&folder.join(".voxbatch")));
    let api = api(&mut reader);
    let key_file = reader.find("api.api_key_file", &location);
    let platform = platform(&mut reader);
    let platform_files =
        [reader.find("platform.account_file", &location), reader.find("platform.api_key_file", &location)];
    let (limits, over) = limits(&mut reader);
    let retry = retry(&mut reader);
    let scan = scan(&mut reader);
    let media = media::read(&mut reader, Location { base: folder });
    let run = run(&mut reader, limits, retry);
    let outputs = outputs(&mut reader);
    let prices = money::prices(&mut reader);
    let log = log(&mut reader);
    let notify = notify::read(&mut reader, &location);
    let jobs = job::read(&mut reader, folder, &scan, &state_dir, check);
    reader.refuse_unknown(&doc.root, &[]);

    let Reader { problems, effective, .. } = reader;
    if !problems.is_empty() {
        return Err(ConfigError::new(problems));
    }
    let (key, key_origin) = match key::find(&key::API_KEY, key_file, env) {
        Ok((key, origin)) => (Ok(key), origin),
        Err(problem) => (Err(problem), KeyOrigin::Missing),
    };
    let [account_file, platform_key_file] = platform_files;
    let platform_account = key::find(&key::PLATFORM_ACCOUNT, account_file, env).map(|(found, _)| found);
    let platform_key = key::find(&key::PLATFORM_KEY, platform_key_file, env).map(|(found, _)| found);
    let used = |endpoint| jobs.iter().any(|job| job.spec.endpoint == endpoint);
    let notices =
        over.into_iter().filter(|(endpoint, _)| used(*endpoint)).map(|(_, notice)| notice).collect();
    let settings = effective;
    Ok(Config {
        path: None,
        state_dir,
        api,
        platform,
        key_origin,
        media,
        run,
        outputs,
        prices,
        log,
        notify,
        jobs,
        settings,
        notices,
        key,
        platform_account,
        platform_key,
    })
}

const TIME: Length = Length { zero: false };
/// Zero switches the thing off.
const TIME_OR_NONE: Length = Length { zero: true };

/// What the API's documents call usual.
const FRAME: SizeWithin = SizeWithin { least: (4_000, "4 kB"), most: (65_536, "64 KiB") };

fn api(reader: &mut Reader<'_>) -> ApiSettings {
    let d = ApiSettings::default();
    ApiSettings {
        base_url: reader.get("api.base_url", &Words(base_url), d.base_url),
        connect_timeout: reader.get("api.connect_timeout", &TIME, d.connect_timeout),
        stall_timeout: reader.get("api.stall_timeout", &TIME, d.stall_timeout),
        answer_timeout: reader.get("api.answer_timeout", &TIME, d.answer_timeout),
        answer_timeout_per_mb: reader.get(
            "api.answer_timeout_per_mb",
            &TIME_OR_NONE,
            d.answer_timeout_per_mb,
        ),
        stream_frame_size: reader.get("api.stream_frame_size", &FRAME, d.stream_frame_size),
    }
}

fn platform(reader: &mut Reader<'_>) -> PlatformApiSettings {
    let d = PlatformApiSettings::default();
    let platform = PlatformApiSettings {
        base_url: reader.get("platform.base_url", &Words(base_url), d.base_url),
        poll_first: reader.get("platform.poll_first", &TIME, d.poll_first),
        poll_longest: reader.get("platform.poll_longest", &TIME, d.poll_longest),
    };
    if platform.poll_first > platform.poll_longest {
        let what = "`platform.poll_first` is longer than `platform.poll_longest`";
        reader.problems.push(Problem::new(Code::Value, what));
    }
    platform
}

/// The limits of all endpoints, held down to `--slots`, and what there is to tell about that.
fn limits(reader: &mut Reader<'_>) -> (BTreeMap<Endpoint, LimitSettings>, Vec<(Endpoint, String)>) {
    let count = Whole { min: 1, max: 10_000 };
    let slots = reader.said("slots", &count);
    let mut over = Vec::new();
    let limits = Endpoint::ALL.map(|endpoint| {
        let name = format!("limits.{endpoint}.concurrent");
        let mut concurrent = reader.get(&name, &count, DEFAULT_SLOTS);
        if let Some((slots, origin)) = &slots {
            if *slots > concurrent {
                let notice = format!("{name} = {concurrent} holds; {origin} asks for {slots}, which is more");
                over.push((endpoint, notice));
            } else if let Some(setting) = reader.effective.last_mut() {
                concurrent = *slots;
                *setting = Effective { value: concurrent.into(), origin: origin.clone(), ..setting.clone() };
            }
        }
        let hours = reader.find(&format!("limits.{endpoint}.monthly_hours"), &Hours);
        let monthly_ms = hours.and_then(|(ms, _)| ms);
        let opening = reader.find(&format!("limits.{endpoint}.opening_hours"), &OpeningHours);
        let opening = opening.and_then(|(opening, _)| opening);
        let longest = reader.find(&format!("limits.{endpoint}.max_minutes"), &Minutes);
        let longest_ms = longest.map(|(ms, _)| ms);
        (endpoint, LimitSettings { concurrent, monthly_ms, opening, longest_ms })
    });
    (BTreeMap::from(limits), over)
}

fn retry(reader: &mut Reader<'_>) -> RetryPolicy {
    let d = RetryPolicy::default();
    let retry = RetryPolicy {
        max_attempts: reader.get("retry.max_attempts", &Whole { min: 1, max: 1000 }, d.max_attempts),
        base: reader.get("retry.base", &TIME, d.base),
        max: reader.get("retry.max", &TIME, d.max),
        max_age: reader.get("retry.max_age", &TIME, d.max_age),
        throttle_wait: reader.get("retry.throttle_wait", &TIME, d.throttle_wait),
    };
    if retry.base > retry.max {
        let from = |name: &str| match reader.effective.iter().find(|setting| setting.name == name) {
            Some(Effective { origin: Origin::Default, .. }) | None => "the default".to_owned(),
            Some(setting) => setting.origin.to_string(),
        };
        let hint = format!("base is from {}, max from {}", from("retry.base"), from("retry.max"));
        reader.problems.push(Problem::new(Code::Value, "`retry.base` is longer than `retry.max`").hint(hint));
    }
    retry
}

fn scan(reader: &mut Reader<'_>) -> ScanSettings {
    let d = ScanSettings::default();
    ScanSettings {
        include: reader.get("scan.include", &Globs, d.include),
        exclude: reader.get("scan.exclude", &Globs, d.exclude),
        hidden: reader.get("scan.hidden", &Switch, d.hidden),
        follow_links: reader.get("scan.follow_links", &Switch, d.follow_links),
        settle: reader.get("scan.settle", &TIME_OR_NONE, d.settle),
        ..d
    }
}

fn run(
    reader: &mut Reader<'_>,
    limits: BTreeMap<Endpoint, LimitSettings>,
    retry: RetryPolicy,
) -> RunSettings {
    let d = RunSettings::default();
    RunSettings {
        limits,
        retry,
        grace: reader.get("run.grace", &TIME_OR_NONE, d.grace),
        probe_interval: reader.get("run.probe_interval", &TIME, d.probe_interval),
        give_up_after: reader.get("run.give_up_after", &TIME, d.give_up_after),
        job_deadline: reader.get("platform.deadline", &TIME, d.job_deadline),
        watch_interval: reader.get("run.watch_interval", &TIME, d.watch_interval),
        limit: d.limit,
        deadline: d.deadline,
        watching: d.watching,
        budget: BudgetLimit {
            audio_ms: reader.find("run.budget_hours", &Hours).and_then(|(ms, _)| ms),
            cost: reader.find("run.budget_cost", &Dollars { zero: false }).map(|(cost, _)| cost),
        },
        reuse: reader.get("run.reuse", &Switch, d.reuse),
        suspect: suspect(reader),
    }
}

fn suspect(reader: &mut Reader<'_>) -> SuspectSettings {
    let d = SuspectSettings::default();
    let percent = Whole { min: 0, max: 100 };
    SuspectSettings {
        enabled: reader.get("suspect.enabled", &Switch, d.enabled),
        duration_percent: reader.get("suspect.duration_percent", &percent, d.duration_percent),
        duration_slack: reader.get("suspect.duration_slack", &TIME_OR_NONE, d.duration_slack),
        words_per_minute: reader.get(
            "suspect.words_per_minute",
            &Whole { min: 1, max: 100_000 },
            d.words_per_minute,
        ),
        repeats: reader.get("suspect.repeats", &Whole { min: 1, max: 1_000_000 }, d.repeats),
        silence_db: reader.get("suspect.silence_db", &Whole { min: 1, max: 120 }, d.silence_db),
        loud_for: reader.get("suspect.loud_for", &TIME, d.loud_for),
        unredacted_after: reader.get("suspect.unredacted_after", &TIME, d.unredacted_after),
        resend: reader.get("suspect.resend", &Switch, d.resend),
    }
}

fn outputs(reader: &mut Reader<'_>) -> OutputSettings {
    let d = OutputSettings::default();
    OutputSettings {
        csv_bom: reader.get("outputs.csv_bom", &Switch, d.csv_bom),
        csv_safe: reader.get("outputs.csv_safe", &Switch, d.csv_safe),
        list: d.list,
        fields: d.fields,
    }
}

fn log(reader: &mut Reader<'_>) -> LogSettings {
    let d = LogSettings::default();
    let format = Choice { words: vec![("text", false), ("json", true)], code: Code::Value };
    let paths = vec![("full", LogPaths::Full), ("hash", LogPaths::Hash), ("none", LogPaths::None)];
    LogSettings {
        level: reader.get("log.level", &Words(log_level), d.level),
        json: reader.get("log.format", &format, d.json),
        paths: reader.get("log.paths", &Choice { words: paths, code: Code::Value }, d.paths),
    }
}
