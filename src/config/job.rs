//! The `[[job]]` entries: each on its own, then against each other. Whether a source exists is left to `scan`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{CheckOptions, Code, Problem, nearest};
use super::options;
use super::origin::{Effective, Origin};
use super::reader::Reader;
use super::value::{Choice, Globs, Kind, Location, Several, Switch, Words, Wrong, absolute, identity};
use crate::media;
use crate::outputs::{self, Output};
use crate::queue::JobSpec;
use crate::scan::{self, ScanSettings};
use crate::task::{Channels, Endpoint, Order};

/// A job as the file states it.
#[derive(Debug, Clone, PartialEq)]
pub struct JobConfig {
    /// What the queue is told.
    pub spec: JobSpec,
    /// The folder or file to scan, absolute.
    pub source: PathBuf,
    /// How to scan it: `[scan]`, with what the job says itself.
    pub scan: ScanSettings,
    /// Which files are made of its results.
    pub outputs: Vec<Output>,
    /// What becomes of its recordings' channels.
    pub channels: Channels,
    /// Each key of the job and where its value came from.
    pub settings: Vec<Effective>,
}

/// What jobs are compared by, and where it stands in the file. Known also of jobs that are wrong elsewhere.
struct Stands {
    name: (String, Range<usize>),
    source: Option<(PathBuf, Range<usize>)>,
    output: (PathBuf, Range<usize>),
}

/// Reads every job; what is wrong with one is noted and does not hide what is wrong with the next.
pub(super) fn read(
    reader: &mut Reader<'_>,
    base: &Path,
    scan: &ScanSettings,
    state_dir: &Path,
    check: CheckOptions,
) -> Vec<JobConfig> {
    let doc = reader.doc;
    let Some((key, value)) = doc.root.get_key_value("job") else {
        let misspelt = doc.root.keys().any(|key| nearest(key.get_ref(), ["job"]).is_some());
        if !misspelt {
            let example = "name = \"archive\", endpoint = \"velma-2-stt-batch\", source = \"recordings\"";
            reader.problems.push(
                Problem::new(Code::NoJob, "there is no job")
                    .hint(format!("a job is a [[job]] with {example}"))
                    .mend("voxbatch init --full -o -        shows an example"),
            );
        }
        reader.ask(&["job"]);
        return Vec::new();
    };
    reader.ask(&["job"]);
    let entries =
        value.get_ref().as_array().filter(|list| list.iter().all(|entry| entry.get_ref().is_table()));
    let Some(entries) = entries else {
        let problem = Problem::new(Code::Type, "`job` must be a list of tables");
        reader.tell(key.span(), problem.hint("write [[job]], with two brackets, before each job".to_owned()));
        return Vec::new();
    };
    if entries.is_empty() {
        reader.tell(key.span(), Problem::new(Code::NoJob, "there is no job"));
    }
    let (mut jobs, mut all) = (Vec::new(), Vec::new());
    for (n, entry) in entries.iter().enumerate() {
        let DeValue::Table(table) = entry.get_ref() else { continue };
        if reader.is_enough() {
            break;
        }
        let entry =
            Entry { reader: &mut *reader, table, header: entry.span(), number: n + 1, rows: Vec::new() };
        let (job, stands) = entry.read(base, scan, check);
        jobs.extend(job);
        all.extend(stands);
        reader.refuse_unknown(table, &["job"]);
    }
    compare(reader, &all, state_dir);
    jobs
}

/// One `[[job]]`.
struct Entry<'r, 'a, 'd> {
    reader: &'r mut Reader<'a>,
    table: &'d DeTable<'d>,
    header: Range<usize>,
    number: usize,
    rows: Vec<Effective>,
}

impl Entry<'_, '_, '_> {
    fn read(
        mut self,
        base: &Path,
        scan: &ScanSettings,
        check: CheckOptions,
    ) -> (Option<JobConfig>, Option<Stands>) {
        let name = self.required("name", &Words(job_name));
        let endpoint = self.required("endpoint", &endpoint_kind());
        let location = Location { base };
        let source = self.required("source", &location);
        let label = match &name {
            Some((name, _)) => format!("job \"{name}\""),
            None => format!("job {}", self.number),
        };
        self.reader.ask(&["job", "options"]);
        let model = endpoint.as_ref().map(|(endpoint, _)| *endpoint);
        let given = self.table.get("options");
        let options = options::read(self.reader, base, model, (&label, self.header.clone()), given, check);
        self.row("options", options.clone().unwrap_or(Value::Null), given.map(Spanned::span));
        let default_output =
            absolute(&base.join("out").join(name.as_ref().map_or("job", |(name, _)| name.as_str())));
        let output = self.or("output", &location, default_output);
        let outputs = self.outputs(model, &label);
        let channels = self.channels(model, &label);
        let order = self.or("order", &order_kind(), Order::default()).0;
        let scan = ScanSettings {
            include: self.or("include", &Globs, scan.include.clone()).0,
            exclude: self.or("exclude", &Globs, scan.exclude.clone()).0,
            hidden: self.or("hidden", &Switch, scan.hidden).0,
            root: self.maybe("root", &location).map(|(root, _)| root),
            metadata_pattern: self
                .maybe("metadata_pattern", &Words(name_pattern))
                .map(|(pattern, _)| pattern),
            sidecars: self.or("sidecars", &Switch, scan.sidecars).0,
            ..scan.clone()
        };

        let stands = name.clone().map(|name| {
            let output_at = output.1.unwrap_or_else(|| name.1.clone());
            Stands { output: (output.0.clone(), output_at), source: source.clone(), name }
        });
        let job = name.zip(source).zip(model).zip(options).map(
            |((((name, _), (source, _)), endpoint), options)| {
                // A source that is not there counts as a folder; the scan will say that it is missing.
                let root = match (&scan.root, source.parent()) {
                    (Some(root), _) if scan::is_list(&source) => root.clone(),
                    (_, Some(parent)) if source.is_file() => parent.to_owned(),
                    _ => source.clone(),
                };
                let spec = JobSpec { name, endpoint, options, root, output: output.0, order };
                JobConfig { spec, source, scan, outputs, channels, settings: self.rows }
            },
        );
        (job, stands)
    }

    /// What its endpoint's answers have nothing for is refused here, not found out after they were paid for.
    fn outputs(&mut self, endpoint: Option<Endpoint>, job: &str) -> Vec<Output> {
        let (list, span) = self.or("outputs", &outputs_kind(), Output::DEFAULT.to_vec());
        let (Some(endpoint), Some(span)) = (endpoint, span) else { return list };
        for output in &list {
            if !output.is_built() {
                let what =
                    format!("{job} lists `{}`, and this voxbatch was built without Parquet", output.word());
                let hint = format!("build one with it: {}", outputs::PARQUET_MEND);
                self.reader.tell(span.clone(), Problem::new(Code::Output, what).hint(hint));
            }
            if let Some(why) = output.refusal(endpoint) {
                let works: Vec<&str> = Output::of(endpoint).map(Output::word).collect();
                let what = format!("{job} cannot write `{}` from {endpoint}, because {why}", output.word());
                let problem = Problem::new(Code::Output, what);
                self.reader.tell(span.clone(), problem.hint(format!("what works: {}", works.join(", "))));
            }
        }
        list
    }

    /// What its endpoint cannot have is refused here, not recording by recording.
    fn channels(&mut self, endpoint: Option<Endpoint>, job: &str) -> Channels {
        let kind = Choice { words: Channels::ALL.map(|way| (way.word(), way)).to_vec(), code: Code::Value };
        let (channels, span) = self.or("channels", &kind, Channels::default());
        let (Some(endpoint), Some(span)) = (endpoint, span) else { return channels };
        if let Some(why) = media::channels_refusal(channels, endpoint) {
            let what = format!("{job} cannot have channels = \"{channels}\" of {endpoint}, because {why}");
            self.reader
                .tell(span, Problem::new(Code::Value, what).hint("leave channels = \"keep\"".to_owned()));
        }
        channels
    }

    /// A key without a default.
    fn maybe<K: Kind>(&mut self, key: &str, kind: &K) -> Option<(K::Out, Range<usize>)> {
        let found = self.reader.field(self.table, "job", key, kind);
        let (value, span) = match &found {
            Some((value, span)) => (kind.show(value), Some(span.clone())),
            None => (Value::Null, None),
        };
        self.row(key, value, span);
        found
    }

    fn required<K: Kind>(&mut self, key: &str, kind: &K) -> Option<(K::Out, Range<usize>)> {
        let found = self.reader.field(self.table, "job", key, kind);
        match &found {
            Some((value, span)) => self.row(key, kind.show(value), Some(span.clone())),
            None if self.table.contains_key(key) => {}
            None => {
                let problem = Problem::new(Code::Required, format!("job {} has no {key}", self.number));
                let hint =
                    format!("add {key} = {}", EXAMPLES.iter().find(|(k, _)| *k == key).map_or("…", |e| e.1));
                self.reader.tell(self.header.clone(), problem.hint(hint));
            }
        }
        found
    }

    fn or<K: Kind>(&mut self, key: &str, kind: &K, default: K::Out) -> (K::Out, Option<Range<usize>>) {
        let (value, span) = match self.reader.field(self.table, "job", key, kind) {
            Some((value, span)) => (value, Some(span)),
            None => (default, None),
        };
        self.row(key, kind.show(&value), span.clone());
        (value, span)
    }

    fn row(&mut self, key: &str, value: Value, span: Option<Range<usize>>) {
        let doc = self.reader.doc;
        let origin = match span {
            Some(span) => Origin::File { file: doc.name.clone(), line: doc.line(&span) },
            // What the job leaves open, [scan] may have said.
            None => {
                let scan = format!("scan.{key}");
                let said = self.reader.effective.iter().find(|setting| setting.name == scan);
                said.map_or(Origin::Default, |setting| setting.origin.clone())
            }
        };
        self.rows.push(Effective { name: key.to_owned(), value, origin });
    }
}

const EXAMPLES: [(&str, &str); 3] =
    [("name", "\"archive\""), ("endpoint", "\"velma-2-stt-batch\""), ("source", "\"recordings\"")];

fn endpoint_kind() -> Choice<Endpoint> {
    Choice { words: Endpoint::ALL.map(|endpoint| (endpoint.name(), endpoint)).to_vec(), code: Code::Endpoint }
}

fn outputs_kind() -> Several<Output> {
    let words = Output::ALL.map(|output| (output.word(), output)).to_vec();
    Several(Choice { words, code: Code::Value })
}

fn order_kind() -> Choice<Order> {
    Choice { words: Order::ALL.map(|order| (order.word(), order)).to_vec(), code: Code::Value }
}

/// A regular expression that names parts of a recording's path.
fn name_pattern(text: &str) -> Result<String, Wrong> {
    match scan::name_pattern(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(why) => Err(Wrong::value(format!("is no pattern for names: {why}"), None)),
    }
}

/// Names become folders and words of filters.
fn job_name(name: &str) -> Result<String, Wrong> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > 64 || !name.chars().all(legal) || name.chars().all(|c| c == '.') {
        let what = "cannot be a name: 1 to 64 of the letters A-Z a-z, digits, `.`, `_` and `-`";
        let better: String = name.chars().map(|c| if legal(c) { c } else { '-' }).take(64).collect();
        let better = better.trim_matches(['-', '.']);
        return Err(Wrong::value(what, (!better.is_empty()).then(|| format!("for example \"{better}\""))));
    }
    Ok(name.to_owned())
}

/// Jobs must not share a name, nor write over each other or over a source.
fn compare(reader: &mut Reader<'_>, jobs: &[Stands], state_dir: &Path) {
    let mut names: BTreeMap<String, &Stands> = BTreeMap::new();
    let mut outputs: BTreeMap<PathBuf, &Stands> = BTreeMap::new();
    let state = identity(state_dir);
    for job in jobs {
        let (name, name_at) = &job.name;
        // Folders of names that differ only in case are one folder on some disks.
        if let Some(first) = names.get(&name.to_lowercase()) {
            let hint = format!("the first one is in line {}", reader.doc.line(&first.name.1));
            let problem = Problem::new(Code::Duplicate, format!("a second job is named \"{name}\""));
            reader.tell(name_at.clone(), problem.hint(hint));
            continue;
        }
        names.insert(name.to_lowercase(), job);

        let output = identity(&job.output.0);
        if let Some((_, at)) = job.source.as_ref().filter(|(source, _)| identity(source) == output) {
            let problem =
                Problem::new(Code::Output, format!("job \"{name}\" would write into its own source"));
            reader.tell(at.clone(), problem.hint("choose another output".to_owned()));
        }
        if output.starts_with(&state) {
            let problem =
                Problem::new(Code::Output, format!("job \"{name}\" would write into the queue's folder"));
            reader.tell(job.output.1.clone(), problem.hint(state_dir.display().to_string()));
        }
        outputs.entry(output).or_insert(job);
    }
    // Only once all are known: an output may lie in that of a later job.
    for job in names.values() {
        let output = identity(&job.output.0);
        let other = output
            .ancestors()
            .filter_map(|folder| outputs.get(folder).map(|other| (folder, other)))
            .find(|(_, other)| other.name != job.name);
        if let Some((folder, other)) = other {
            let how = if folder == output { "the same folder as" } else { "a folder inside the output of" };
            let (name, other) = (&job.name.0, &other.name.0);
            let what = format!("job \"{name}\" would write into {how} job \"{other}\"");
            let hint = format!("give each job a folder of its own, such as \"out/{name}\"");
            reader.tell(job.output.1.clone(), Problem::new(Code::Output, what).hint(hint));
        }
    }
}

/// A `[[job]]` as TOML, for `config show`.
pub(super) fn to_toml(job: &JobConfig, origins: bool) -> String {
    let mut text = String::from("\n[[job]]\n");
    for setting in &job.settings {
        text.push_str(&setting.line(origins));
    }
    text
}

/// A job as JSON, for `config show --json`.
pub(super) fn to_json(job: &JobConfig) -> Value {
    job.settings
        .iter()
        .map(|s| (s.name.clone(), json!({ "value": s.value, "origin": s.origin.to_string() })))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
