//! Endpoints that recordings are streamed to: the same queue, limits, halts and outputs, and answers of the same shape
//! as those of their batch siblings.

use std::collections::BTreeSet;
use std::fs;

use rustix::process::Signal;
use serde_json::Value;
use voxbatch::emulator::{Change, Contract, Faults, ModelLimits, SocketFaults, Sockets};

use crate::support::{ENDPOINTS, Jobs, Process, STREAMS, World, files_below, roomy, tone};

const LIVE: &str = STREAMS[0];
const ENGLISH: &str = STREAMS[1];
const VOICE: &str = STREAMS[2];
const REDACTION: &str = STREAMS[3];
const ANALYSIS: &str = STREAMS[4];
const CONTRACTS: [Contract; 3] = [Contract::A, Contract::B, Contract::C];
/// Slots of every run here.
const SLOTS: u64 = 4;

fn world_of(endpoint: &'static str, recordings: usize) -> World {
    let world = World::with_recordings(recordings);
    world.configure(&Jobs { jobs: vec![("archive", endpoint, "calls")], ..Jobs::default() });
    world
}

fn limits(concurrent: u32, monthly_ms: Option<u64>) -> ModelLimits {
    let monthly_hours = monthly_ms.map(|ms| ms as f64 / 3_600_000.0);
    ModelLimits { concurrent, monthly_hours, enabled: true }
}

fn limit(world: &World, endpoint: &str, limits: ModelLimits) {
    world.control(Change::Model { name: endpoint.to_owned(), limits });
}

/// The names of the members of an answer, and of what is in its lists, where its twin has something in them, too: what
/// is detected goes by the bytes, and these are others on a stream.
fn keys(answer: &Value, twin: &Value) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for (key, value) in answer.as_object().unwrap() {
        keys.insert(key.clone());
        if twin[key].as_array().is_some_and(Vec::is_empty) {
            continue;
        }
        let inner = value.as_array().into_iter().flatten().chain([value]).filter_map(Value::as_object);
        keys.extend(inner.flat_map(|object| object.keys().map(|name| format!("{key}.{name}"))));
    }
    keys
}

/// Speech-like samples in codings and containers that the samples of the ten formats lack.
fn raw_sounds(world: &World) {
    let (rate, count) = (8000u32, 20_000u32);
    let pcm = tone("raw", 2500);
    let coded: Vec<u8> = pcm[44..].chunks_exact(2).map(|sample| !(sample[1] ^ 0x55) | 1).collect();
    let wav = |code: u16, rate: u32, bits: u16, sound: &[u8]| {
        let block = bits / 8;
        let mut head =
            [&b"RIFF"[..], &(36 + sound.len() as u32).to_le_bytes(), b"WAVEfmt \x10\0\0\0"].concat();
        head.extend([code.to_le_bytes(), 1u16.to_le_bytes()].concat());
        head.extend([rate.to_le_bytes(), (rate * u32::from(block)).to_le_bytes()].concat());
        head.extend([block.to_le_bytes(), bits.to_le_bytes()].concat());
        [&head[..], b"data", &(sound.len() as u32).to_le_bytes(), sound].concat()
    };
    assert_eq!(coded.len() as u32, count);
    world.write("calls/pcm.wav", &pcm);
    world.write("calls/mulaw.wav", &wav(7, rate, 8, &coded));
    world.write("calls/alaw.wav", &wav(6, rate, 8, &coded));
    // A rate that samples may not have.
    world.write("calls/odd rate.wav", &wav(1, 24_000, 16, &pcm[44..]));
    let sun = [24u32, u32::MAX, 1, rate, 1].map(u32::to_be_bytes).concat();
    world.write("calls/sun.au", &[&b".snd"[..], &sun, &coded].concat());
}

#[test]
fn every_format_passes_through_every_stream_with_an_answer_of_the_shape_of_its_batch_sibling() {
    let world = World::new(roomy());
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/samples");
    for file in files_below(samples.as_ref()) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if ![".txt", ".md", ".sh", ".json"].iter().any(|end| name.ends_with(end)) {
            fs::copy(&file, world.path(&format!("calls/{name}"))).unwrap();
        }
    }
    raw_sounds(&world);
    let names = ["stt", "fast", "voice", "redact", "talk"];
    let live = ["stt-live", "fast-live", "voice-live", "redact-live", "talk-live"];
    let jobs = names.into_iter().zip(ENDPOINTS).chain(live.into_iter().zip(STREAMS));
    world.configure(&Jobs { jobs: jobs.map(|(n, e)| (n, e, "calls")).collect(), ..Jobs::default() });
    // The siblings do not take Sun audio, nor do they hear in it what is not there.
    world.run().expect(3);
    for (name, endpoint) in live.into_iter().zip(STREAMS) {
        world.assert_each_once_in("calls", &format!("out/{name}/results.jsonl"));
        let report = world.report().of(endpoint);
        assert_eq!((report.billed, report.requests), (15, 15), "{endpoint}");
    }
    for (name, live) in names.into_iter().zip(live) {
        let sibling = world.lines(&format!("out/{name}/results.jsonl"));
        let streamed = world.lines(&format!("out/{live}/results.jsonl"));
        assert_eq!(streamed.len(), 15);
        for line in &streamed {
            // Not taken by the siblings, or heard as something else.
            if line["path"] == "sun.au" {
                continue;
            }
            let twin = sibling.iter().find(|l| l["path"] == line["path"]).unwrap();
            let (ours, theirs) = (&line["response"], &twin["response"]);
            assert_eq!(keys(ours, theirs), keys(theirs, ours), "{live} {}", line["path"]);
            let ms = |l: &Value| l["duration_ms"].as_f64().unwrap();
            assert!((ms(line) - ms(twin)).abs() <= 60.0, "{live}: {} and {}", ms(line), ms(twin));
        }
    }
    let report = world.report();
    assert_eq!((report.missing_user_agent, report.spoiled), (0, 0));
    assert!(report.peak_sockets <= 5 * SLOTS, "{}", report.peak_sockets);
    let verified = world.voxbatch(&["verify", "--sources"]);
    assert_eq!(verified.code, Some(0), "{}\n{}", verified.stdout, verified.stderr);
}

#[test]
fn redacted_audio_is_one_file_as_long_as_the_recording_and_purged_like_any() {
    let world = world_of(REDACTION, 0);
    world.write("calls/2024/a.wav", &tone("a", 9000));
    world.write("calls/b.wav", &tone("b", 700));
    world.run().expect(0);
    world.assert_each_once();
    for line in world.results() {
        let place = line["redacted_audio"]["path"].as_str().unwrap();
        assert_eq!(place, format!("audio/{}.redacted.flac", line["path"].as_str().unwrap()));
        let flac = world.read(&format!("out/archive/{place}"));
        assert_eq!((&flac[..4], &line["redacted_audio"]["bytes"]), (&b"fLaC"[..], &flac.len().into()));
    }
    assert_eq!(files_below(&world.path("out/archive/audio")).len(), 2, "and nothing unfinished beside them");
    // Decodes them, and holds their length against that of the recording.
    world.voxbatch(&["verify"]).expect(0);
    world.voxbatch(&["purge", "--older-than", "0s", "--audio", "--yes", "2"]).expect(0);
    assert_eq!(files_below(&world.path("out/archive/audio")).len(), 0);
}

#[test]
fn no_more_connections_are_open_than_there_are_slots() {
    let world = world_of(LIVE, 30);
    world.control(Change::Hold);
    let run = world.start(&["run"]);
    world.when("all slots are held", |r| r.of(LIVE).held == SLOTS);
    world.control(Change::Release);
    run.wait().expect(0);
    world.assert_each_once();
    let report = world.report();
    assert_eq!(
        (report.peak_sockets, report.of(LIVE).peak_in_flight, report.of(LIVE).requests),
        (SLOTS, SLOTS, 30)
    );
}

#[test]
fn a_smaller_limit_is_learnt_under_every_contract_also_without_words() {
    for contract in CONTRACTS {
        for (endpoint, silent) in [(LIVE, false), (VOICE, false), (ENGLISH, contract == Contract::C)] {
            let world = world_of(endpoint, 12);
            world.control(Change::Contract(contract));
            world.control(Change::Sockets(Sockets { silent_closes: silent, ..Sockets::default() }));
            limit(&world, endpoint, limits(2, None));
            world.run().expect(0);
            world.assert_each_once();
            assert_eq!(world.report().of(endpoint).billed, 12);
            for line in world.results() {
                assert_eq!(line["attempts"], 1, "{contract:?} {endpoint}: one too many costs no attempt");
            }
        }
    }
}

/// Twenty recordings of which the limit lets ten through.
fn stops_at_the_months_hours(contract: Contract, endpoint: &'static str, sockets: Sockets) {
    let world = world_of(endpoint, 0);
    for n in 0..20 {
        world.write(&format!("calls/{n:02}.wav"), &tone(&n.to_string(), 600));
    }
    world.control(Change::Contract(contract));
    world.control(Change::Sockets(sockets));
    limit(&world, endpoint, limits(1000, Some(6000)));
    world.run().expect(5);
    assert!(
        (10..10 + SLOTS).contains(&world.report().of(endpoint).billed),
        "{contract:?} {endpoint}: half of them"
    );
    assert_eq!(world.failures().len(), 0, "nobody's fault");
    let sent = world.report().requests;
    world.run().expect(5);
    assert!(world.report().requests <= sent + 1, "one probe at most");
    limit(&world, endpoint, limits(1000, None));
    world.voxbatch(&["halts", "clear"]).expect(0);
    world.run().expect(0);
    world.assert_each_once();
    assert_eq!(world.report().of(endpoint).billed, 20);
    assert!(world.results().iter().all(|l| l["attempts"] == 1), "waiting cost no attempts");
}

#[test]
fn the_months_hours_stop_streams_under_contract_a() {
    stops_at_the_months_hours(Contract::A, ENGLISH, Sockets::default());
    stops_at_the_months_hours(Contract::A, VOICE, Sockets::default());
}

#[test]
fn the_months_hours_stop_streams_under_contract_b() {
    stops_at_the_months_hours(Contract::B, LIVE, Sockets::default());
}

#[test]
fn the_months_hours_stop_streams_under_contract_c_by_words_by_code_and_by_plain_http() {
    stops_at_the_months_hours(Contract::C, REDACTION, Sockets::default());
    stops_at_the_months_hours(Contract::C, LIVE, Sockets { silent_closes: true, ..Sockets::default() });
    stops_at_the_months_hours(
        Contract::C,
        ANALYSIS,
        Sockets { refuse_at_handshake: true, ..Sockets::default() },
    );
}

#[test]
fn a_refused_key_and_a_model_that_is_not_enabled_end_with_4_however_they_are_told() {
    let ways = [
        Sockets::default(),
        Sockets { silent_closes: true, ..Sockets::default() },
        Sockets { refuse_at_handshake: true, ..Sockets::default() },
    ];
    for contract in CONTRACTS {
        for (endpoint, sockets) in [LIVE, VOICE, ENGLISH].into_iter().zip(ways) {
            let world = world_of(endpoint, 8);
            world.control(Change::Contract(contract));
            world.control(Change::Sockets(sockets));
            world.control(Change::Keys(vec!["another".to_owned()]));
            world.run().expect(4);
            let requests = world.report().requests;
            assert!((1..=SLOTS + 2).contains(&requests), "{contract:?} {endpoint}: {requests}");
            assert_eq!((world.failures().len(), world.report().bodies), (0, 0));

            world.control(Change::Keys(vec!["emulator-key".to_owned()]));
            limit(&world, endpoint, ModelLimits { enabled: false, ..limits(1000, None) });
            world.voxbatch(&["halts", "clear"]).expect(0);
            world.forget();
            world.run().expect(4);
            let requests = world.report().requests;
            assert!((1..=SLOTS + 3).contains(&requests), "{contract:?} {endpoint}: {requests}");
            assert_eq!((world.failures().len(), world.report().bodies), (0, 0));

            limit(&world, endpoint, limits(1000, None));
            world.voxbatch(&["halts", "clear"]).expect(0);
            world.run().expect(0);
            world.assert_each_once();
        }
    }
}

#[test]
fn used_up_credits_stop_everything_under_every_contract() {
    for contract in CONTRACTS {
        let world = world_of(ENGLISH, 12);
        world.control(Change::Contract(contract));
        world.control(Change::CreditsHours(Some(1000.0 / 3_600_000.0)));
        world.run().expect(5);
        assert_eq!(world.failures().len(), 0);
        let halts = world.voxbatch(&["halts", "list", "--json"]).expect(0).json();
        assert_eq!((&halts["scope"], &halts["reason"]), (&"all".into(), &"credits".into()), "{contract:?}");
        world.control(Change::CreditsHours(None));
        world.voxbatch(&["halts", "clear"]).expect(0);
        world.run().expect(0);
        world.assert_each_once();
    }
}

#[test]
fn a_recording_that_the_service_cannot_decode_fails_alone_under_every_contract() {
    for contract in CONTRACTS {
        for endpoint in [ENGLISH, LIVE] {
            let world = world_of(endpoint, 5);
            world.control(Change::Contract(contract));
            // The head of a FLAC, and nothing behind it that is one.
            let info = [0x10, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x01, 0xF4, 0x00, 0xF0, 0, 0, 0x3E, 0x80];
            let broken = [&b"fLaC"[..], &[0x80, 0, 0, 34], &info, &[0; 16], &[0x55; 20_000]].concat();
            world.write("calls/broken.flac", &broken);
            let ended = world.run();
            let failures = world.failures();
            let judged = failures.get("broken.flac").is_some_and(|cause| cause == "unreadable_audio");
            assert!(ended.code == Some(3) && judged, "{contract:?} {endpoint}: {failures:?}");
            assert_eq!(world.results().len(), 5);
        }
    }
}

#[test]
fn connections_that_go_wrong_in_every_way_cost_tries_and_no_recording() {
    let faults = Faults {
        seed: 3,
        rate_429: 0.1,
        reset_before_body: 0.05,
        rate_503: 0.1,
        reset_after_body: 0.05,
        reset_in_answer: 0.05,
        truncated_json: 0.05,
        empty_200: 0.05,
        sockets: SocketFaults { midway: 0.1, no_done: 0.1, late_binary: 0.2, disorder: 0.3 },
        ..Faults::default()
    };
    for (contract, endpoint) in CONTRACTS.into_iter().chain([Contract::C; 2]).zip(STREAMS) {
        let world = world_of(endpoint, 0);
        for n in 0..24 {
            world.write(&format!("calls/{n:02}.wav"), &tone(&n.to_string(), 5000));
        }
        world.configure(&Jobs {
            max_attempts: 30,
            jobs: vec![("archive", endpoint, "calls")],
            ..Jobs::default()
        });
        world.control(Change::Contract(contract));
        world.control(Change::Faults(faults.clone()));
        // Whose answer is lost three times is left to its owner: it may have been paid for as often.
        if world.run().code != Some(0) {
            let failures = world.failures();
            assert!(failures.values().all(|cause| cause == "answer_lost"), "{endpoint}: {failures:?}");
            world.control(Change::Faults(Faults::default()));
            world.voxbatch(&["retry", "--where", "cause:answer_lost"]).expect(0);
            world.run().expect(0);
        }
        world.assert_each_once();
        for line in world.results() {
            let starts: Vec<u64> = ["utterances", "clips", "frames"]
                .iter()
                .filter_map(|key| line["response"][key].as_array())
                .flatten()
                .filter_map(|one| one["start_ms"].as_u64().or(one["start_time_ms"].as_u64()))
                .collect();
            assert!(starts.is_sorted(), "{endpoint}: {starts:?}");
        }
        world.voxbatch(&["verify"]).expect(0);
    }
}

#[test]
fn a_run_killed_in_the_middle_of_its_streams_is_taken_up_and_only_what_was_in_flight_is_sent_again() {
    for endpoint in [LIVE, REDACTION] {
        let world = world_of(endpoint, 20);
        for _ in 0..2 {
            world.control(Change::Hold);
            let run = world.start(&["run"]);
            world.when("all slots are held", |r| r.of(endpoint).held == SLOTS);
            run.signal(Signal::KILL);
            drop(run);
            world.control(Change::Release);
            world.when("its connections are gone", |r| r.of(endpoint).in_flight == 0 && r.open_sockets == 0);
        }
        world.run().expect(0).told("recovered tasks=4");
        world.assert_each_once();
        let report = world.report().of(endpoint);
        assert_eq!((report.bodies, report.peak_in_flight), (20 + 2 * SLOTS, SLOTS));
        let lost: Vec<_> = world.attempts().into_iter().filter(|a| a["outcome"] == "lost").collect();
        assert_eq!(lost.len() as u64, 2 * SLOTS);
        assert!(lost.iter().all(|a| a["billed"] == "unknown"), "{lost:?}");
        assert!(files_below(&world.path("out")).iter().all(|f| !f.to_string_lossy().contains(".part")));
    }
}

#[test]
fn what_one_connection_may_not_last_is_split_and_a_plan_says_so() {
    let world = world_of(ENGLISH, 1);
    world.write("calls/long.wav", &tone("long", 31 * 60_000));
    let plan = world.voxbatch(&["plan", "--json"]).expect(0).json()["jobs"][0].clone();
    assert_eq!(
        (&plan["split"]["longer than a request takes"], &plan["as_is"]),
        (&1.into(), &1.into()),
        "{plan}"
    );
}

#[test]
fn a_stream_in_real_time_takes_as_long_as_its_sound() {
    let world = world_of(LIVE, 0);
    world.write("calls/a.wav", &tone("a", 1500));
    world.configure(&Jobs {
        jobs: vec![("archive", LIVE, "calls")],
        of_each_job: "options = { realtime = true }",
        ..Jobs::default()
    });
    let began = std::time::Instant::now();
    world.run().expect(0);
    world.assert_each_once();
    // Not a measure of speed: no machine is so slow that this fails, and none so fast that it passes without waiting.
    assert!(began.elapsed().as_millis() >= 1250);
    assert_eq!(world.report().sockets[0].messages, 6, "a quarter of a second each");
}

#[test]
fn the_key_is_nowhere_whatever_becomes_of_a_connection() {
    let world = World::with_recordings(4);
    world.configure(&Jobs { max_attempts: 200, jobs: vec![("archive", LIVE, "calls")], ..Jobs::default() });
    let key = "sk-very/secret+0123456789";
    let traces = ["sk-very", "secret+0123456789", "secret%2B0123456789", "api_key="];
    let run = |args: &[&str]| {
        let mut command = world.command(args);
        command.env("VOXBATCH_API_KEY", key).env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full");
        command.env("VOXBATCH_RUN_GIVE_UP_AFTER", "1s");
        let ended = Process::start(command).wait();
        (ended.code, format!("{}{}", ended.stdout, ended.stderr))
    };
    let trace = ["run", "--log-level", "trace", "--log-format", "json"];
    let mut said = String::new();
    let mut hear = |(code, told): (Option<i32>, String), expected: &[i32]| {
        assert!(code.is_some_and(|code| expected.contains(&code)), "{code:?}: {told}");
        said += &told;
    };
    let address = {
        let text = String::from_utf8(world.read("jobs.toml")).unwrap();
        text.lines().find_map(|l| l.strip_prefix("base_url = \"")).unwrap().trim_end_matches('"').to_owned()
    };
    // Nobody listens; no TLS there; a name that is none; an address that is none.
    for (base, codes) in [
        ("http://127.0.0.1:9", &[6][..]),
        (&*address.replace("http:", "https:"), &[6]),
        ("https://nowhere.invalid", &[6]),
        ("http://127.0.0.1:99999", &[2]),
        ("wss://127.0.0.1", &[2]),
    ] {
        world.edit(&format!("base_url = \"{address}\""), &format!("base_url = \"{base}\""));
        hear(run(&trace), codes);
        world.edit(&format!("base_url = \"{base}\""), &format!("base_url = \"{address}\""));
    }
    for refuse_at_handshake in [true, false] {
        world.control(Change::Sockets(Sockets { refuse_at_handshake, ..Sockets::default() }));
        for contract in CONTRACTS {
            world.control(Change::Contract(contract));
            world.control(Change::Keys(Vec::new()));
            hear(run(&trace), &[4]);
            hear(run(&["halts", "clear"]), &[0]);
        }
    }
    world.control(Change::Sockets(Sockets::default()));
    world.control(Change::Keys(vec![key.to_owned()]));
    world.control(Change::Faults(Faults {
        seed: 5,
        truncated_json: 0.5,
        reset_after_body: 0.3,
        ..Faults::default()
    }));
    // Three answers that are lost in a row end a recording; so many of them end the run.
    hear(run(&["run", "--log-level", "trace", "--max-attempts", "20", "--json"]), &[0, 3, 6]);
    world.control(Change::Faults(Faults::default()));
    hear(run(&["retry", "--where", ""]), &[0]);
    hear(run(&trace), &[0]);
    hear(run(&["tasks", "--json"]), &[0]);
    hear(run(&["config", "show", "--origin"]), &[0]);
    let attempts = world.attempts();
    assert!(attempts.len() > 8);
    hear((Some(0), format!("{attempts:?}")), &[0]);
    assert!(said.contains("could not connect"), "something was said at all");
    for trace in traces {
        assert!(!said.contains(trace), "{trace} in {said}");
        for file in files_below(&world.path(".")) {
            let bytes = fs::read(&file).unwrap();
            let found = bytes.windows(trace.len()).any(|w| w == trace.as_bytes());
            // The configuration names the setting.
            assert!(!found || file.ends_with("jobs.toml"), "{trace} in {}", file.display());
        }
    }
    world.assert_each_once();
}
