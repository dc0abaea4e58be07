//! What recordings come with, from lists, files beside them and their names, through a whole run into every output.

use std::fs;

use serde_json::{Value, json};

use crate::support::{World, json_lines, roomy, tone};

/// A world whose only job takes its recordings from here.
fn world(source: &str, more: &str) -> World {
    let world = World::new(roomy());
    world.edit("source = \"calls\"\n", &format!("source = \"{source}\"\n{more}\n"));
    world
}

fn record(world: &World, name: &str) {
    world.write(name, &tone(name, 250));
}

/// What `results.jsonl` says of each recording, by path.
fn metadata(world: &World) -> Vec<(String, Value)> {
    let mut all: Vec<_> = world
        .results()
        .into_iter()
        .map(|line| (line["path"].as_str().unwrap().to_owned(), line["metadata"].clone()))
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn table(world: &World, name: &str) -> Vec<Vec<String>> {
    let bytes = world.read(&format!("out/archive/{name}"));
    let rows = csv::ReaderBuilder::new().has_headers(false).from_reader(&bytes[..]).into_records();
    rows.map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}

fn column(rows: &[Vec<String>], name: &str) -> Vec<String> {
    let at =
        rows[0].iter().position(|column| column == name).unwrap_or_else(|| panic!("{name}: {:?}", rows[0]));
    rows[1..].iter().map(|row| row[at].clone()).collect()
}

#[test]
fn a_list_sends_what_it_names_with_options_of_its_own_and_its_columns_reach_every_output() {
    let world = world("list.csv", "outputs = [\"jsonl\", \"csv\", \"nemo\"]\norder = \"path\"");
    for name in ["calls/a.wav", "calls/b.wav", "calls/not listed.wav", "deep/down/c.wav"] {
        record(&world, name);
    }
    let absolute = world.path("deep/down/c.wav");
    let list = format!(
        "path,agent,note,options.language\r\ncalls/a.wav,A-17,=1+1,de\r\ncalls/b.wav,,,\r\n{},C,\"two\nlines\",\r\ngone.wav,D,,\r\n",
        absolute.display()
    );
    world.write("list.csv", list.as_bytes());
    world.run().expect(3);
    assert_eq!(
        metadata(&world),
        [
            ("calls/a.wav".to_owned(), json!({"agent": "A-17", "note": "=1+1"})),
            ("calls/b.wav".to_owned(), Value::Null),
            ("deep/down/c.wav".to_owned(), json!({"agent": "C", "note": "two\nlines"})),
        ]
    );
    let rows = table(&world, "results.csv");
    let mut agents = column(&rows, "meta_agent");
    agents.sort();
    assert_eq!(agents, ["", "A-17", "C"]);
    assert!(column(&rows, "meta_note").contains(&"'=1+1".to_owned()), "no spreadsheet runs it");
    assert!(column(&table(&world, "utterances.csv"), "meta_agent").contains(&"A-17".to_owned()));
    assert!(world.lines("out/archive/nemo.jsonl").iter().any(|l| l["metadata"]["agent"] == "C"));
    assert_eq!(world.failures()["gone.wav"], "source_missing");
    assert_eq!(column(&table(&world, "failures.csv"), "meta_agent"), ["D"]);
    assert!(world.task("gone.wav")["message"].as_str().unwrap().contains("list.csv line 6 names it"));
    assert_eq!(world.task("calls/a.wav")["options"], json!({"language": "de"}));
    world.voxbatch(&["verify"]).expect(0);
    let exported = json_lines(&world.voxbatch(&["export"]).expect(0).stdout);
    assert_eq!(exported.iter().filter(|line| line["metadata"]["agent"] == "A-17").count(), 1);
    let csv = world.voxbatch(&["export", "--format", "csv"]).expect(0).stdout;
    assert!(csv.lines().next().unwrap().ends_with("meta_agent,meta_note"), "{csv}");
    assert_eq!(world.stt().bodies, 3);
}

#[test]
fn rows_that_make_no_sense_are_told_with_their_line_and_lose_nothing() {
    let world = world("list.jsonl", "");
    for name in ["a.wav", "b.wav", "c.wav", "d.wav"] {
        record(&world, name);
    }
    world.write("notes.txt", b"who spoke");
    let mut lines = br#"{"path":"a.wav","agent":"A"}"#.to_vec();
    lines.extend(b"\n{\"path\":\"../up.wav\"}\n{\"path\":\"./a.wav\"}\n{\"path\":\"b.wav\",\"options\":{\"language\":\"Klingon!\"}}\n");
    lines
        .extend(b"{\"path\":\"c.wav\",\"offset\":4}\n\xff\n{\"path\":\"notes.txt\"}\n{\"path\":\"d.wav\"}\n");
    world.write("list.jsonl", &lines);
    let plan = world.voxbatch(&["plan"]).expect(0);
    for part in [
        "line 2 `../up.wav` lies outside",
        "line 3 names the recording of line 1 again",
        "line 6 is not UTF-8",
    ] {
        assert!(plan.stdout.contains(part), "{part}: {}", plan.stdout);
    }
    world.run().expect(3).told("line 3 names the recording of line 1 again");
    assert_eq!(world.results().len(), 2, "a and d");
    let failures = world.failures();
    assert_eq!((&*failures["b.wav"], &*failures["c.wav"]), ("config_refused", "config_refused"));
    assert_eq!(failures["notes.txt"], "not_audio");
    assert!(
        world.task("b.wav")["message"].as_str().unwrap().contains("list.jsonl line 4")
            || world.task("b.wav")["message"].as_str().unwrap().contains("language")
    );
    let text = String::from_utf8_lossy(&lines).replace("Klingon!", "de").replace(",\"offset\":4", "");
    world.write("list.jsonl", text.as_bytes());
    world.run().expect(0);
    assert_eq!(world.results().len(), 4, "what was mended is sent");
    world.voxbatch(&["verify"]).expect(0);
}

#[test]
fn what_is_no_list_is_refused_before_anything_is_sent() {
    let world = world("list.csv", "");
    world.write("list.csv", b"name,agent\na.wav,A\n");
    world.run().expect(2).told("none of its columns is `audio_filepath`");
    world.write("list.csv", b"\xff\xfep\0a\0t\0h\0");
    world.run().expect(2).told("UTF-16");
    fs::remove_file(world.path("list.csv")).unwrap();
    world.run().expect(2).told("there is no such file or folder");
    world.edit("source = \"list.csv\"", "source = \"calls\"\nroot = \".\"");
    world.run().expect(2).told("a folder is its own root");
    assert_eq!(world.stt().bodies, 0);
}

#[test]
fn names_and_files_beside_recordings_say_what_they_come_with_and_changes_follow_at_no_cost() {
    let world = world("calls", "sidecars = true\nmetadata_pattern = '(?<agent>[A-Z]+)_(?<date>\\d+)'");
    for name in ["ANNA_20240101.wav", "BO_20240102.wav", "other.wav"] {
        record(&world, &format!("calls/{name}"));
    }
    world.write("calls/ANNA_20240101.wav.json", br#"{"team": 7, "options": {"language": "de"}}"#);
    let plan = world.voxbatch(&["plan"]).expect(0).stdout;
    assert!(plan.contains("1 name does not match metadata_pattern, such as other.wav"), "{plan}");
    assert!(plan.contains("2 recordings have no .json file beside them"), "{plan}");
    world.run().expect(0).told("1 name does not match metadata_pattern");
    let anna = json!({"agent": "ANNA", "date": "20240101", "team": 7});
    assert_eq!(metadata(&world)[0].1, anna);
    assert_eq!(metadata(&world)[2].1, Value::Null);
    let rows = table(&world, "results.csv");
    assert!(column(&rows, "meta_team").contains(&"7".to_owned()));

    // A new field, of a recording that is done.
    world.write("calls/BO_20240102.json", br#"{"score": -3}"#);
    world.run().expect(0).told("1 recording has other metadata now");
    assert_eq!(metadata(&world)[1].1, json!({"agent": "BO", "date": "20240102", "score": -3}));
    assert!(
        column(&table(&world, "results.csv"), "meta_score").contains(&"-3".to_owned()),
        "a number stays one"
    );
    assert_eq!(world.results().len(), 3);
    assert_eq!(world.stt().bodies, 3, "nothing was sent again");
    world.voxbatch(&["verify"]).expect(0);
    world.run().expect(0);
    assert_eq!(world.stt().bodies, 3);

    world.write("calls/other.wav.json", b"{ oops");
    record(&world, "calls/new.wav");
    world.write("calls/new.json", b"[]");
    world.run().expect(3);
    assert_eq!(world.failures()["new.wav"], "config_refused");
    assert_eq!(world.results().len(), 3, "what is done stays done");
}
