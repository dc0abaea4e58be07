//! Flags over environment over file over defaults, and the word of each about where a value came from.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::super::reader::env_name;
use super::super::{Code, Origin, Overrides, load};
use super::{JOB, load_str, load_with, stub};
use crate::task::{Endpoint, Order};

fn origin(config: &super::Config, name: &str) -> Origin {
    config.settings.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("no {name}")).origin.clone()
}

#[test]
fn a_flag_wins_over_a_variable_over_the_file_over_the_default() {
    let text = format!("[retry]\nmax_attempts = 7\n{JOB}");
    let flags = Overrides { max_attempts: Some("9".to_owned()), ..Overrides::default() };
    let env = [("VOXBATCH_RETRY_MAX_ATTEMPTS", "8")];
    for (text, flags, env, expected, from) in [
        (JOB, &Overrides::default(), &[][..], 5, Origin::Default),
        (&text, &Overrides::default(), &[], 7, Origin::File { file: String::new(), line: 2 }),
        (&text, &Overrides::default(), &env, 8, Origin::Env(env[0].0.to_owned())),
        (&text, &flags, &env, 9, Origin::Flag("--max-attempts")),
    ] {
        let config = load_with(text, flags, env).unwrap();
        assert_eq!(config.run.retry.max_attempts, expected);
        assert_eq!(origin(&config, "retry.max_attempts"), from);
    }
}

#[test]
fn every_setting_that_is_no_list_has_a_variable_of_its_own() {
    let config = load_str(JOB).unwrap();
    let names: BTreeSet<String> = config.settings.iter().map(|s| env_name(&s.name)).collect();
    assert_eq!(names.len(), config.settings.len(), "no two share one");
    for setting in &config.settings {
        let (value, lists) = match &setting.value {
            serde_json::Value::Array(_) => (String::new(), true),
            serde_json::Value::String(text) => (text.clone(), false),
            serde_json::Value::Null if setting.name.ends_with("opening_hours") => {
                ("2026-11=7".to_owned(), false)
            }
            serde_json::Value::Null if setting.name.ends_with("_minutes") => ("7".to_owned(), false),
            serde_json::Value::Null if setting.name.ends_with("hours") => ("7".to_owned(), false),
            serde_json::Value::Null if setting.name == "notify.url" => ("https://host/".to_owned(), false),
            serde_json::Value::Null
                if setting.name.starts_with("prices.") || setting.name.ends_with("_cost") =>
            {
                ("7".to_owned(), false)
            }
            serde_json::Value::Null => ("/k".to_owned(), false),
            other => (other.to_string(), false),
        };
        let name = env_name(&setting.name);
        if lists {
            assert!(load_with(JOB, &Overrides::default(), &[(&name, "*.wav")]).is_err(), "{name}");
        } else {
            let config = load_with(JOB, &Overrides::default(), &[(&name, &value)]).unwrap();
            assert_eq!(origin(&config, &setting.name), Origin::Env(name));
        }
    }
    for (setting, name) in [
        ("api.base_url", "VOXBATCH_API_BASE_URL"),
        ("api.api_key_file", "VOXBATCH_API_KEY_FILE"),
        ("state_dir", "VOXBATCH_STATE_DIR"),
        ("limits.velma-2-batch.concurrent", "VOXBATCH_LIMITS_VELMA_2_BATCH_CONCURRENT"),
    ] {
        assert_eq!(env_name(setting), name);
    }
}

#[test]
fn a_wrong_variable_is_told_by_its_name_and_an_empty_one_is_none() {
    let load = |value| load_with(JOB, &Overrides::default(), &[("VOXBATCH_RETRY_BASE", value)]);
    let error = load("10").unwrap_err();
    assert_eq!(error.problems()[0].what, "VOXBATCH_RETRY_BASE has no unit");
    assert_eq!(load("").unwrap().run.retry.base, Duration::from_secs(2));
}

#[test]
fn a_wrong_flag_is_told_by_its_name() {
    let flags =
        Overrides { settle: Some("soon".to_owned()), slots: Some("0".to_owned()), ..Overrides::default() };
    let text = load_with(JOB, &flags, &[]).unwrap_err().render();
    assert!(
        text.contains("--settle is no length of time") && text.contains("--slots is out of range"),
        "{text}"
    );
}

#[test]
fn a_mistake_in_the_file_stays_one_even_when_a_flag_wins() {
    let flags = Overrides { max_attempts: Some("9".to_owned()), ..Overrides::default() };
    assert!(load_with(&format!("[retry]\nmax_attempts = 0\n{JOB}"), &flags, &[]).is_err());
}

#[test]
fn slots_hold_limits_down_and_never_raise_them() {
    let text = format!("[limits.velma-2-stt-batch]\nconcurrent = 5\n{JOB}");
    let load = |slots: &str| {
        load_with(&text, &Overrides { slots: Some(slots.to_owned()), ..Overrides::default() }, &[]).unwrap()
    };
    let held = load("3");
    assert_eq!(held.run.limits[&Endpoint::SttBatch].concurrent, 3);
    assert_eq!(origin(&held, "limits.velma-2-stt-batch.concurrent"), Origin::Flag("--slots"));
    assert_eq!(held.run.limits[&Endpoint::Batch].concurrent, 1);
    let refused = load("9");
    assert_eq!(refused.run.limits[&Endpoint::SttBatch].concurrent, 5);
    assert!(
        refused.notices[0].contains("limits.velma-2-stt-batch.concurrent = 5 holds"),
        "{:?}",
        refused.notices
    );
}

#[test]
fn hours_become_milliseconds() {
    let load = |hours: &str| {
        let text = format!("[limits.velma-2-batch]\nmonthly_hours = {hours}\n{JOB}");
        load_str(&text).unwrap().run.limits[&Endpoint::Batch].monthly_ms
    };
    assert_eq!((load("1_000"), load("0.5")), (Some(3_600_000_000), Some(1_800_000)));
}

#[test]
fn http_is_taken_for_this_machine_and_an_address_is_kept_short() {
    for (url, kept) in [
        ("http://127.0.0.1:8188", "http://127.0.0.1:8188"),
        ("http://[::1]:8188/", "http://[::1]:8188"),
        ("http://localhost", "http://localhost"),
        ("https://API.example:443/", "https://api.example"),
    ] {
        let config = load_str(&format!("api.base_url = \"{url}\"\n{JOB}")).unwrap();
        assert_eq!(config.api.base_url, kept);
    }
}

#[test]
fn what_a_job_says_wins_over_scan_and_shows_its_origin() {
    let text =
        format!("[scan]\ninclude = [\"*.wav\"]\nhidden = true\n{JOB}hidden = false\norder = \"newest\"\n");
    let config = load_str(&text).unwrap();
    let job = &config.jobs[0];
    assert_eq!((job.scan.include.as_slice(), job.scan.hidden), (&["*.wav".to_owned()][..], false));
    assert_eq!(job.spec.order, Order::Newest);
    let from = |key: &str| job.settings.iter().find(|s| s.name == key).unwrap().origin.to_string();
    assert_eq!(
        (from("include"), from("hidden"), from("output")),
        ("line 2".into(), "line 8".into(), "default".into())
    );
}

#[test]
fn paths_of_the_file_are_relative_to_it_and_outputs_have_a_folder_each() {
    let config = load_str(JOB).unwrap();
    assert_eq!(config.state_dir, Path::new("/archive/.voxbatch"));
    let job = &config.jobs[0];
    assert_eq!(
        (job.source.as_path(), job.spec.root.as_path()),
        (Path::new("/archive/in"), Path::new("/archive/in"))
    );
    assert_eq!(job.spec.output, Path::new("/archive/out/a"));
}

#[test]
fn a_source_that_is_a_file_has_its_folder_as_root() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("one.wav"), b"x").unwrap();
    std::fs::write(folder.path().join("jobs.toml"), JOB.replace("\"in\"", "\"one.wav\"")).unwrap();
    let flags = Overrides { config: Some(folder.path().join("jobs.toml")), ..Overrides::default() };
    let config = load(&flags, &|_| None, stub).unwrap();
    assert_eq!(config.jobs[0].source, folder.path().join("one.wav"));
    assert_eq!(config.jobs[0].spec.root, folder.path());
    assert_eq!(config.path, Some(folder.path().join("jobs.toml")));
}

#[test]
fn a_config_option_may_lie_in_a_json_file_or_be_the_word_default() {
    let folder = tempfile::tempdir().unwrap();
    let load = |options: &str| {
        let text = format!("{JOB}options = {{ config = {options} }}\n");
        super::load_text(&text, folder.path(), &Overrides::default(), &|_| None, stub)
    };
    std::fs::write(folder.path().join("rules.json"), "{\"default_participant_role\":null,\"b\":[1]}")
        .unwrap();
    let config = load("\"rules.json\"").unwrap();
    let expected = serde_json::json!({ "config": { "default_participant_role": null, "b": [1] } });
    assert_eq!(config.jobs[0].spec.options, expected);
    assert_eq!(load("\"default\"").unwrap().jobs[0].spec.options, serde_json::json!({ "config": "default" }));
    assert_eq!(load("{ x = 1 }").unwrap().jobs[0].spec.options, serde_json::json!({ "config": { "x": 1 } }));

    for (content, told) in [("{\"a\":", "is not JSON"), ("[1]", "holds no JSON object")] {
        std::fs::write(folder.path().join("rules.json"), content).unwrap();
        let error = load("\"rules.json\"").unwrap_err();
        assert_eq!(
            (error.problems()[0].code, error.problems()[0].place.as_ref().unwrap().line),
            (Code::Option, 5)
        );
        assert!(error.render().contains(told), "{}", error.render());
    }
}

#[test]
fn what_show_prints_is_a_file_that_means_the_same() {
    let text = format!(
        "[limits.velma-2-stt-batch]\nconcurrent = 5\nmonthly_hours = 1.5\n[scan]\ninclude = [\"**/*.wav\"]\n\
         max_file_size = \"1500 kB\"\n[retry]\nmax = \"1m30s\"\n[log]\npaths = \"hash\"\n{JOB}\
         options = {{ speaker_diarization = false }}\n"
    );
    let config = load_str(&text).unwrap();
    for origins in [false, true] {
        let again = load_str(&config.to_toml(origins)).unwrap_or_else(|e| panic!("{}", e.render()));
        assert_eq!(again.run, config.run);
        assert_eq!((again.media, again.log.clone()), (config.media.clone(), config.log.clone()));
        assert_eq!(again.jobs[0].spec, config.jobs[0].spec);
        assert_eq!(again.jobs[0].scan, config.jobs[0].scan);
    }
    assert!(config.to_toml(true).contains("# line 8"), "{}", config.to_toml(true));
}

#[test]
fn paths_of_flags_and_variables_are_relative_to_the_current_folder() {
    let flags = Overrides { state_dir: Some("state".into()), ..Overrides::default() };
    let here = std::path::absolute("state").unwrap();
    assert_eq!(load_with(JOB, &flags, &[]).unwrap().state_dir, here);
    let env = [("VOXBATCH_STATE_DIR", "state")];
    assert_eq!(load_with(JOB, &Overrides::default(), &env).unwrap().state_dir, here);
}

#[test]
fn the_file_may_be_named_by_a_variable() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), JOB).unwrap();
    let env = |name: &str| (name == "VOXBATCH_CONFIG").then(|| file.path().into());
    assert_eq!(load(&Overrides::default(), &env, stub).unwrap().path.as_deref(), Some(file.path()));
}

#[test]
fn links_do_not_hide_that_two_jobs_write_into_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real", folder.path().join("link")).unwrap();
    let text = format!("{JOB}output = \"real/x\"\n{}output = \"link/x\"\n", JOB.replace("\"a\"", "\"b\""));
    let error = super::load_text(&text, folder.path(), &Overrides::default(), &|_| None, stub).unwrap_err();
    assert_eq!(error.problems()[0].code, Code::Output);
}
