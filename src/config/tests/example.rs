//! `jobs.example.toml` and what `init` writes cannot drift from the settings.

use super::super::resolve::{ApiSettings, PlatformApiSettings};
use super::super::{EXAMPLE, example, starter};
use super::{JOB, load_str};
use crate::media::MediaSettings;
use crate::outputs::OutputSettings;
use crate::run::RunSettings;
use crate::scan::ScanSettings;
use crate::task::Endpoint;
use crate::telemetry::LogSettings;

/// The example with the lines that begin with `mark` and hold `key = value` brought to life.
fn uncommented(mark: &str) -> String {
    let is_setting = |rest: &str| {
        rest.split_once(" = ").is_some_and(|(key, _)| {
            key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'))
        })
    };
    EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix(mark) {
            Some(rest) if is_setting(rest) => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect()
}

#[test]
fn every_default_that_the_example_shows_is_the_default() {
    let shown = load_str(&uncommented("# ")).unwrap_or_else(|e| panic!("{}", e.render()));
    let bare = load_str(EXAMPLE).unwrap();
    assert_ne!(shown.settings, bare.settings, "the origins differ, or nothing was uncommented");
    let values = |config: &super::Config| {
        let jobs = config.jobs.iter().flat_map(|job| &job.settings);
        config.settings.iter().chain(jobs).map(|s| (s.name.clone(), s.value.clone())).collect::<Vec<_>>()
    };
    assert_eq!(values(&shown), values(&bare));
    assert_eq!(shown.jobs[0].spec, bare.jobs[0].spec);
}

#[test]
fn every_setting_stands_in_the_example() {
    let text = uncommented("# ").replace("#: ", "");
    let config = load_str(&text).unwrap_or_else(|e| panic!("{}", e.render()));
    let model = format!("limits.{}.", config.jobs[0].spec.endpoint);
    let settings = config.settings.iter().chain(&config.jobs[0].settings);
    let mut told = 0;
    // Of what there is for each model, one model stands for all.
    let of_another = |name: &str| {
        name.starts_with("limits.") && !name.starts_with(&model) || name.starts_with("prices.velma")
    };
    for setting in settings.filter(|s| !of_another(&s.name)) {
        assert!(setting.origin.to_string().starts_with("line"), "{} is not in the example", setting.name);
        told += 1;
    }
    assert!(told > 30, "{told}");
}

#[test]
fn defaults_are_those_of_the_rooms() {
    let config = load_str(JOB).unwrap();
    let mut run = config.run.clone();
    assert!(run.limits.values().all(|limit| limit.concurrent == 1 && limit.monthly_ms.is_none()));
    run.limits.clear();
    assert_eq!(run, RunSettings::default());
    assert_eq!(config.jobs[0].scan, ScanSettings::default());
    assert_eq!(config.media, MediaSettings::default());
    assert_eq!(config.outputs, OutputSettings::default());
    assert_eq!(config.log, LogSettings::default());
    assert_eq!(config.api, ApiSettings::default());
    assert_eq!(config.platform, PlatformApiSettings::default());
}

#[test]
fn what_init_writes_loads_whatever_the_source_is_called() {
    for source in ["recordings", "/a b/ü", "quo\"te\\", "new\nline = 1", "# x", "'''", "\u{7f}\u{1}"] {
        for endpoint in Endpoint::ALL {
            for write in [starter, example] {
                let config =
                    load_str(&write("night", source, endpoint)).unwrap_or_else(|e| panic!("{}", e.render()));
                let job = &config.jobs[0];
                assert_eq!((job.spec.name.as_str(), job.spec.endpoint), ("night", endpoint));
                let limit = format!("[limits.{endpoint}]\n");
                assert!(write("night", source, endpoint).contains(&limit));
                assert_eq!(job.source, std::path::Path::new("/archive").join(source));
            }
        }
    }
}
