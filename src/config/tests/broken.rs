//! What is wrong with a file is told with line, code and suggestion, and all of it at once.

use super::super::Code;
use super::{JOB, load_str};

/// Text before a right job, then: line, code, words of the title, words of the hint.
type Case = (&'static str, usize, Code, &'static str, &'static str);

const SETTINGS: &[Case] = &[
    ("[retry]\nmax_atempts = 5", 2, Code::Unknown, "`retry.max_atempts`", "did you mean `max_attempts`?"),
    ("[rety]\nbase = \"1s\"", 1, Code::Unknown, "`rety`", "did you mean `retry`?"),
    ("state_dri = \"x\"", 1, Code::Unknown, "`state_dri`", "did you mean `state_dir`?"),
    ("max_attempts = 5", 1, Code::Unknown, "`max_attempts`", "belongs under [retry]"),
    ("[api]\nconcurrent = 5", 2, Code::Unknown, "`api.concurrent`", "belongs under [limits."),
    ("slots = 3", 1, Code::Unknown, "`slots`", ""),
    ("[limits.velma-2-stt]\nconcurrent = 1", 1, Code::Endpoint, "`velma-2-stt`", "`velma-2-stt-batch`?"),
    ("[limits]\nconcurrent = 5", 2, Code::Endpoint, "unknown endpoint `concurrent`", ""),
    (
        "limits.velma-2-batch.concurent = 5",
        1,
        Code::Unknown,
        "`limits.velma-2-batch.concurent`",
        "`concurrent`?",
    ),
    ("limits.velma-2-batch = 5", 1, Code::Type, "must be a section", "write [limits.velma-2-batch]"),
    ("retry = 5", 1, Code::Type, "`retry` must be a section", "write [retry]"),
    (
        "[retry]\nmax_attempts = \"5\"",
        2,
        Code::Type,
        "must be a whole number, not a text",
        "5 without quotes",
    ),
    ("[retry]\nmax_attempts = 0", 2, Code::Value, "from 1 to 1000", ""),
    ("[retry]\nmax_attempts = -1", 2, Code::Value, "from 1 to 1000", ""),
    ("[retry]\nmax_attempts = 99999999999999999999", 2, Code::Value, "out of range", ""),
    ("[retry]\nmax_attempts = 99999999999999999999999999999999999999999", 2, Code::Value, "out of range", ""),
    ("[limits.velma-2-batch]\nconcurrent = 10001", 2, Code::Value, "from 1 to 10000", ""),
    ("[limits.velma-2-batch]\nmonthly_hours = 0", 2, Code::Value, "more than 0", ""),
    ("[limits.velma-2-batch]\nmonthly_hours = nan", 2, Code::Value, "more than 0", ""),
    ("[limits.velma-2-batch]\nmonthly_hours = \"9\"", 2, Code::Type, "a number of hours", ""),
    ("[retry]\nbase = 10", 2, Code::Value, "`retry.base` has no unit", "write \"10s\""),
    ("[retry]\nbase = \"10\"", 2, Code::Value, "has no unit", "write \"10s\""),
    ("[retry]\nbase = 1.5", 2, Code::Value, "has no unit", "write \"1.5s\""),
    ("[retry]\nbase = \"soon\"", 2, Code::Value, "no length of time: `soon`", "\"1m30s\""),
    ("[retry]\nbase = \"0s\"", 2, Code::Value, "more than no time", ""),
    ("[retry]\nbase = \"-2s\"", 2, Code::Value, "negative", ""),
    ("[retry]\nmax_age = \"99999h\"", 2, Code::Value, "longer than a year", ""),
    ("[retry]\nbase = true", 2, Code::Type, "must be a length of time", ""),
    ("[scan]\nmax_file_size = 100", 2, Code::Value, "has no unit", "\"100 MB\""),
    ("[scan]\nmax_file_size = \"big\"", 2, Code::Value, "is no size", "\"100 MB\""),
    ("[scan]\nmax_file_size = \"0 MB\"", 2, Code::Value, "more than nothing", ""),
    ("[scan]\ninclude = \"*.wav\"", 2, Code::Type, "a list of patterns", "write [\"*.wav\"]"),
    ("[scan]\ninclude = [\"a\", 3]", 2, Code::Type, "a list of texts", ""),
    ("[scan]\nexclude = [\"a[\"]", 2, Code::Value, "holds no pattern: `a[`", ""),
    ("[scan]\nhidden = \"yes\"", 2, Code::Type, "true or false, not a text", "without quotes"),
    ("[log]\nlevel = \"wran\"", 2, Code::Value, "knows no `wran`", "did you mean `warn`?"),
    ("[log]\nlevel = \"voxbatch=loud\"", 2, Code::Value, "no log filter", ""),
    ("[log]\nlevel = \" 𑎋=\"", 2, Code::Value, "no log filter: it is not ASCII", "voxbatch=debug"),
    ("[log]\nformat = \"xml\"", 2, Code::Value, "knows no `xml`", "one of: text, json"),
    ("[log]\npaths = \"hsah\"", 2, Code::Value, "knows no `hsah`", "did you mean `hash`?"),
    ("[api]\nbase_url = \"modulate.example\"", 2, Code::Value, "no address", "https://"),
    ("[api]\nbase_url = \"ftp://modulate.example\"", 2, Code::Value, "begin with https", ""),
    (
        "[api]\nbase_url = \"https://a.example/api\"",
        2,
        Code::Value,
        "after the host",
        "write \"https://a.example\"",
    ),
    ("[api]\nbase_url = \"https://me:pw@a.example\"", 2, Code::Value, "name or a password", ""),
    ("[api]\nbase_url = \"http://a.example\"", 2, Code::Value, "in clear", "https://a.example"),
    ("[api]\nbase_url = \"http://127.0.0.1.example\"", 2, Code::Value, "in clear", ""),
    ("[api]\napi_key = \"s3cr3t-s3cr3t\"", 2, Code::Unknown, "`api.api_key`", "does not belong in this file"),
    ("token = \"s3cr3t-s3cr3t\"", 1, Code::Unknown, "`token`", "does not belong in this file"),
    ("[limits.velma-2-batch]\nmax_minutes = \"ten\"", 2, Code::Type, "must be a number of minutes", "20"),
    ("[limits.velma-2-batch]\nmax_minutes = 0", 2, Code::Value, "at least a second", ""),
    ("[media]\nffmpeg = \"on\"", 2, Code::Value, "neither \"off\" nor \"auto\"", "./ffmpeg"),
    ("[media]\nffmpeg = true", 2, Code::Type, "must be \"off\"", ""),
    ("state_dir = \"~/x\"", 1, Code::Value, "`~`", "whole path"),
    ("state_dir = \"\"", 1, Code::Value, "is no path", ""),
    ("state_dir = \"a\\u0000b\"", 1, Code::Value, "is no path", ""),
    ("[api]\napi_key_file = 7", 2, Code::Type, "must be a path, not a whole number", ""),
    ("a = \n", 1, Code::Syntax, "not TOML", ""),
    ("state_dir = \"a\"\nstate_dir = \"b\"", 2, Code::Syntax, "not TOML", "duplicate key"),
    ("\u{feff}[retry]\nbase = 1", 2, Code::Value, "has no unit", ""),
];

/// Whole files.
const JOBS: &[Case] = &[
    (
        "[[job]]\nendpoint = \"velma-2-batch\"\nsource = \"x\"",
        1,
        Code::Required,
        "job 1 has no name",
        "name = \"archive\"",
    ),
    ("[[job]]\nname = \"a\"\nsource = \"x\"", 1, Code::Required, "has no endpoint", "velma-2-stt-batch"),
    ("[[job]]\nname = \"a\"\nendpoint = \"velma-2-batch\"", 1, Code::Required, "has no source", "source ="),
    (
        "[[job]]\nname = \"a\"\nendpoint = \"velma-2-emotion-batch\"\nsource = \"x\"\nchannels = \"split\"",
        5,
        Code::Value,
        "about the whole recording",
        "keep",
    ),
    ("[[jobs]]\nname = \"a\"", 1, Code::Unknown, "`jobs`", "did you mean `job`?"),
    ("[job]\nname = \"a\"", 1, Code::Type, "list of tables", "[[job]]"),
    ("job = [1]", 1, Code::Type, "list of tables", "[[job]]"),
    ("job = []", 1, Code::NoJob, "no job", ""),
];

/// A line of a job in place of its first one; the job begins in line 1.
const IN_JOB: &[Case] = &[
    ("name = \"a b\"", 2, Code::Value, "cannot be a name", "\"a-b\""),
    ("name = \"..\"", 2, Code::Value, "cannot be a name", ""),
    ("name = \"\"", 2, Code::Value, "cannot be a name", ""),
    ("name = 5", 2, Code::Type, "a text, not a whole number", ""),
    (
        "name = \"b\"\nmax_file_size = \"1 MB\"",
        3,
        Code::Unknown,
        "`job.max_file_size`",
        "belongs under [scan]",
    ),
    ("name = \"b\"\nsuorce = \"1 MB\"", 3, Code::Unknown, "`job.suorce`", "did you mean `source`?"),
    ("name = \"b\"\norder = \"biggest\"", 3, Code::Value, "knows no `biggest`", "longest, shortest"),
    ("name = \"b\"\noutputs = \"srt\"", 3, Code::Type, "must be a list of words", "write [\"srt\"]"),
    ("name = \"b\"\noutputs = []", 3, Code::Value, "holds nothing", "one or more of: jsonl, csv, txt, srt"),
    ("name = \"b\"\noutputs = [\"srtt\"]", 3, Code::Value, "knows no `srtt`", "did you mean `srt`?"),
    ("name = \"b\"\noutputs = [\"srt\", \"csv\", \"srt\"]", 3, Code::Value, "holds `srt` twice", ""),
    ("name = \"b\"\noutputs = [\"srt\", 1]", 3, Code::Type, "a word, not a whole number", ""),
    ("name = \"b\"\noutput = \"in\"", 5, Code::Output, "into its own source", ""),
    ("name = \"b\"\noutput = \"x/../in/.\"", 5, Code::Output, "into its own source", ""),
    ("name = \"b\"\noutput = \".voxbatch/x\"", 3, Code::Output, "the queue's folder", "/archive/.voxbatch"),
    ("name = \"b\"\noptions = 1", 3, Code::Type, "must be a table", ""),
    (
        "name = \"b\"\noptions = { speaker_diarisation = true }",
        3,
        Code::Option,
        "`speaker_diarisation` of job \"b\" does not exist",
        "`speaker_diarization`?",
    ),
    ("name = \"b\"\noptions.emotion = 1", 3, Code::Option, "`emotion` of job \"b\"", ""),
    ("name = \"b\"\noptions.when = 2026-01-01", 3, Code::Option, "is a date", ""),
    ("name = \"b\"\noptions.x = nan", 3, Code::Option, "no number that JSON knows", ""),
    ("name = \"b\"\noptions.config = \"none.json\"", 3, Code::Option, "there is no /archive/none.json", ""),
    (
        "name = \"b\"\noptions.config.behaviors = [\n  { name = \"x\" },\n  { name = 1 },\n]",
        5,
        Code::Option,
        "`config.behaviors[1].name` of job",
        "",
    ),
];

fn expect((text, line, code, title, hint): &Case, whole: &str) {
    let error = load_str(whole).expect_err(text);
    let found: Vec<_> = error.problems().iter().filter(|p| p.code == *code).collect();
    let matching = found.iter().find(|p| {
        p.place.as_ref().is_some_and(|at| at.line == *line)
            && p.what.contains(title)
            && p.hint.as_deref().unwrap_or_default().contains(hint)
    });
    assert!(matching.is_some(), "{text}\nexpected line {line} {code:?} {title} / {hint}\n{}", error.render());
    assert!(!error.render().contains("s3cr3t"), "{}", error.render());
    assert!(!error.render().contains(":pw@"), "{}", error.render());
}

#[test]
fn every_broken_setting_is_told_with_its_line_its_code_and_a_suggestion() {
    for case in SETTINGS {
        expect(case, &format!("{}\n{JOB}", case.0));
    }
}

#[test]
fn every_broken_job_is_told_with_its_line_its_code_and_a_suggestion() {
    for case in JOBS {
        expect(case, case.0);
    }
    for case in IN_JOB {
        expect(case, &format!("[[job]]\n{}\nendpoint = \"velma-2-stt-batch\"\nsource = \"in\"\n", case.0));
    }
}

#[test]
fn a_broken_line_is_the_only_thing_that_is_told() {
    for case in SETTINGS {
        let error = load_str(&format!("{}\n{JOB}", case.0)).unwrap_err();
        assert_eq!(error.problems().len(), 1, "{}\n{}", case.0, error.render());
    }
}

#[test]
fn a_file_without_a_job_is_told_how_a_job_looks() {
    let error = load_str("[retry]\nbase = \"1s\"").unwrap_err();
    assert_eq!(error.problems()[0].code, Code::NoJob);
    assert!(error.render().contains("[[job]]"));
}

#[test]
fn an_output_that_the_endpoint_has_nothing_for_is_refused_with_what_works() {
    let job = |endpoint: &str, outputs: &str| {
        load_str(&format!(
            "[[job]]\nname = \"a\"\nendpoint = \"{endpoint}\"\nsource = \"in\"\noutputs = {outputs}"
        ))
    };
    let error = job("velma-2-synthetic-voice-detection-batch", "[\"jsonl\", \"srt\", \"nemo\"]").unwrap_err();
    assert_eq!(error.problems().len(), 2, "{}", error.render());
    let problem = &error.problems()[0];
    assert_eq!((problem.code, problem.place.as_ref().unwrap().line), (Code::Output, 5));
    assert!(
        problem.what.contains("cannot write `srt`") && problem.what.contains("no words"),
        "{}",
        problem.what
    );
    assert_eq!(problem.hint.as_deref(), Some("what works: jsonl, csv, json"));
    assert!(job("velma-2-stt-batch-english-vfast", "[\"rttm\"]").is_err());
    let config = job("velma-2-stt-batch-english-vfast", "[\"vtt\", \"jsonl\"]").unwrap();
    let words: Vec<&str> = config.jobs[0].outputs.iter().map(|output| output.word()).collect();
    assert_eq!(words, ["vtt", "jsonl"]);
}

fn two_jobs(first: &str, second: &str) -> String {
    let job = |body: &str| format!("[[job]]\nendpoint = \"velma-2-batch\"\n{body}\n");
    job(first) + &job(second)
}

#[test]
fn two_jobs_must_not_share_a_name_not_even_in_another_case() {
    let text = two_jobs("name = \"Night\"\nsource = \"x\"", "name = \"night\"\nsource = \"y\"");
    let error = load_str(&text).unwrap_err();
    let problem = &error.problems()[0];
    assert_eq!((problem.code, problem.place.as_ref().unwrap().line), (Code::Duplicate, 7));
    assert_eq!(problem.hint.as_deref(), Some("the first one is in line 3"));
}

#[test]
fn two_jobs_must_not_write_into_one_folder_nor_into_each_others() {
    for (first, second) in [("o", "./x/../o"), ("o", "o/b"), ("o/b", "o")] {
        let text = two_jobs(
            &format!("name = \"a\"\nsource = \"x\"\noutput = \"{first}\""),
            &format!("name = \"b\"\nsource = \"y\"\noutput = \"{second}\""),
        );
        let error = load_str(&text).unwrap_err();
        assert!(error.problems().iter().all(|p| p.code == Code::Output), "{}", error.render());
    }
}

#[test]
fn an_output_inside_of_a_source_and_a_source_inside_of_an_output_are_allowed() {
    let text = two_jobs(
        "name = \"redact\"\nsource = \".\"\noutput = \"x\"",
        "name = \"again\"\nsource = \"x/audio\"\noutput = \"y\"",
    );
    assert_eq!(load_str(&text).unwrap().jobs.len(), 2);
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let text = "[retry]\nmax_atempts = 5\nbase = 10\n[[job]]\nname = \"a b\"\nendpoint = \"velma-3\"\n\
                options = { x = 1 }\n[[job]]\nname = \"c\"\nendpoint = \"velma-2-batch\"\nsource = \"s\"\nfoo = 1\n";
    let error = load_str(text).unwrap_err();
    let lines: Vec<usize> = error.problems().iter().map(|p| p.place.as_ref().unwrap().line).collect();
    assert_eq!(lines, [2, 3, 4, 5, 6, 12], "{}", error.render());
}

#[test]
fn a_longer_first_wait_than_the_longest_wait_is_refused() {
    let error = load_str(&format!("[retry]\nbase = \"3m\"\n{JOB}")).unwrap_err();
    assert_eq!(error.problems()[0].hint.as_deref(), Some("base is from line 2, max from the default"));
}

#[test]
fn the_hint_of_an_unknown_setting_stands_under_it() {
    let text = format!("{}[retry]\nmax_atempts = 5\n{JOB}", "\n".repeat(12));
    insta::assert_snapshot!(load_str(&text).unwrap_err().render(), @r"
    error: unknown setting `retry.max_atempts`, line 14 [E-CONF-UNKNOWN]
      14 | max_atempts = 5
         | ^^^^^^^^^^^ did you mean `max_attempts`?
      mend   voxbatch config check        checks the whole file;   all settings: voxbatch init --full -o -
    ");
}

#[test]
fn a_key_in_the_file_is_told_where_it_belongs_and_not_quoted() {
    let text = "[api]\nstall_timeout = 60\napi_key = \"abcdefghijkl\"\n[limits.velma-2-stt]\n";
    insta::assert_snapshot!(load_str(text).unwrap_err().render(), @r#"
    error: there is no job [E-CONF-NO-JOB]
      why    a job is a [[job]] with name = "archive", endpoint = "velma-2-stt-batch", source = "recordings"
      mend   voxbatch init --full -o -        shows an example

    error: `api.stall_timeout` has no unit, line 2 [E-CONF-VALUE]
      2 | stall_timeout = 60
        |                 ^^ write "60s" if you mean seconds
      mend   voxbatch config check        checks the whole file;   all settings: voxbatch init --full -o -

    error: unknown setting `api.api_key`, line 3 [E-CONF-UNKNOWN]
      3 | api_key = …
        | ^^^^^^^ a key does not belong in this file
      mend   put the key in a file of its own (chmod 600) and name it: api_key_file = "…" under [api];   or set VOXBATCH_API_KEY

    error: unknown endpoint `velma-2-stt`, line 4 [E-CONF-ENDPOINT]
      4 | [limits.velma-2-stt]
        |         ^^^^^^^^^^^ did you mean `velma-2-stt-batch`?
      mend   voxbatch config check        checks the whole file;   all settings: voxbatch init --full -o -
    "#);
}

#[test]
fn jobs_that_fall_over_each_other_are_told_by_name_and_share_one_advice() {
    let text = two_jobs(
        "name = \"day\"\nsource = \"x\"\noutput = \"out\"",
        "name = \"night\"\nsource = \"y\"\noptions = { speaker = true }",
    );
    insta::assert_snapshot!(load_str(&text).unwrap_err().render(), @r#"
    error: job "night" would write into a folder inside the output of job "day", line 8 [E-CONF-OUTPUT]
      8 | name = "night"
        |        ^^^^^^^ give each job a folder of its own, such as "out/night"

    error: option `speaker` of job "night" does not exist, line 10 [E-CONF-OPTION]
      10 | options = { speaker = true }
         |             ^^^^^^^ did you mean `speaker_diarization`?
      mend   voxbatch config check        checks the whole file;   all settings: voxbatch init --full -o -
    "#);
}
