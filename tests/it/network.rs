//! A network that does everything a network can do: between the binary and the emulator stands a middleman. One
//! recording meets the fault, three others do not, and must not notice.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use voxbatch::emulator::Settings;

use crate::support::{Answer, Conduct, Jobs, Process, Proxy, World, hang_up, hold, roomy, tone};

/// More than all the buffers between two sockets hold.
const LARGE_MS: u32 = 600_000;
/// A child of ours with some uploads under way stays far below it.
const MEMORY_MAX_KB: u64 = 200_000;
const OTHERS: usize = 3;

/// How a run went in which one recording met a fault.
struct Met {
    world: World,
    stderr: String,
    peak_kb: u64,
    /// Of the recording that met it: outcome, cause and billed of each try, the first one first.
    tries: Vec<(String, String, String)>,
}

/// `faulty.wav` is treated like this the first so many times.
fn meet(exit: i32, ms: u32, times: u32, conduct: impl Fn() -> Conduct + Send + Sync + 'static) -> Met {
    let world = World::new(Settings { time_limit: None, ..roomy() });
    world.record("calls", OTHERS);
    world.write("calls/faulty.wav", &tone("faulty", ms));
    world.configure(&Jobs { concurrent: 2, ..Jobs::default() });
    let _proxy =
        stand_between(
            &world,
            move |name, before| {
                if name == "faulty.wav" && before < times { conduct() } else { Conduct::Pass }
            },
        );
    let started = Instant::now();
    let (ended, peak_kb) = world.start(&["run"]).wait_measured();
    let stderr = ended.expect(exit).stderr;
    assert!(started.elapsed() < Duration::from_secs(20), "it took {:?}", started.elapsed());
    assert!(peak_kb < MEMORY_MAX_KB, "{peak_kb} kB at its peak");
    let undisturbed = |l: &&Value| l["path"] != "faulty.wav" && l["attempts"] == 1;
    assert_eq!(world.results().iter().filter(undisturbed).count(), OTHERS, "{stderr}");
    let id = world.task("faulty.wav")["task"].to_string();
    let shown = world.voxbatch(&["show", &id, "--json"]).expect(0).json();
    let word = |v: &Value| v.as_str().unwrap_or("-").to_owned();
    let tries = shown["tries"].as_array().unwrap().iter().rev();
    let tries = tries.map(|t| (word(&t["outcome"]), word(&t["cause"]), word(&t["billed"]))).collect();
    Met { world, stderr, peak_kb, tries }
}

impl Met {
    /// Each try was this: outcome, cause, billed.
    #[track_caller]
    fn tried(&self, expected: &[(&str, &str, &str)]) -> &Met {
        let tries: Vec<_> = self.tries.iter().map(|(o, c, b)| (o.as_str(), c.as_str(), b.as_str())).collect();
        assert_eq!(tries, expected, "{}", self.stderr);
        self
    }

    /// It failed by this cause, or did not.
    #[track_caller]
    fn failed_by(&self, cause: Option<&str>) {
        assert_eq!(self.world.failures().get("faulty.wav").map(String::as_str), cause, "{}", self.stderr);
    }
}

const SUCCEEDED: (&str, &str, &str) = ("succeeded", "-", "yes");

/// Puts a middleman into the configuration, with patience of two seconds for a small file; the emulator
/// needs some to decode a large one.
fn stand_between(world: &World, script: impl Fn(&str, u32) -> Conduct + Send + Sync + 'static) -> Proxy {
    let text = String::from_utf8(world.read("jobs.toml")).unwrap();
    let url = text.split('"').find(|t| t.starts_with("http://")).unwrap().to_owned();
    let proxy = Proxy::start(url.trim_start_matches("http://").parse().unwrap(), script);
    point_to(world, &url, &proxy.base_url());
    proxy
}

fn point_to(world: &World, from: &str, to: &str) {
    let patience = "connect_timeout = \"2s\"\nstall_timeout = \"2s\"\nanswer_timeout = \"1s\"\n\
                    answer_timeout_per_mb = \"1s\"";
    world.edit(&format!("base_url = \"{from}\""), &format!("base_url = \"{to}\"\n{patience}"));
}

/// Says this when the whole upload was read.
fn say(bytes: impl Into<Vec<u8>>) -> Conduct {
    let bytes = bytes.into();
    Conduct::Alone(Box::new(move |client, _| client.write_all(&bytes).and_then(|()| hang_up(client))))
}

/// The emulator's body under a head of ours, in which LENGTH is its length.
fn reheaded(head: &'static str) -> Conduct {
    Conduct::Reply(Box::new(move |client, answer| {
        let head = head.replace("LENGTH", &answer.body.len().to_string());
        client.write_all(&[head.as_bytes(), &answer.body].concat())?;
        hang_up(client)
    }))
}

fn whole(answer: &Answer) -> Vec<u8> {
    [answer.head.as_bytes(), b"\r\n\r\n", &answer.body].concat()
}

#[test]
fn a_peer_that_vanishes_after_the_upload_costs_one_attempt() {
    let met = meet(0, 250, 1, || Conduct::Reply(Box::new(|client, _| hold(client))));
    met.tried(&[("retried", "timeout", "unknown"), SUCCEEDED]);
}

#[test]
fn a_peer_that_always_vanishes_is_paid_three_times_at_most() {
    let met = meet(3, 250, u32::MAX, || Conduct::Reply(Box::new(|client, _| hold(client))));
    let retried = ("retried", "timeout", "unknown");
    met.tried(&[retried, retried, ("failed", "timeout", "unknown")]).failed_by(Some("timeout"));
}

#[test]
fn a_reset_in_the_upload_costs_no_money() {
    let met = meet(0, LARGE_MS, 1, || Conduct::ResetInUpload);
    // Beside others it may have been a refusal; alone it is a try.
    let (outcome, cause, billed) = &met.tries[0];
    assert!(outcome == "snoozed" || outcome == "retried", "{outcome}");
    assert_eq!((cause.as_str(), billed.as_str(), met.tries.len()), ("connection", "no", 2));
}

#[test]
fn a_reset_after_the_upload_may_have_cost_money() {
    let met = meet(0, 250, 1, || Conduct::ResetAfterUpload);
    met.tried(&[("retried", "answer_lost", "unknown"), SUCCEEDED]);
}

#[test]
fn an_upload_that_stands_still_is_broken_off_and_costs_no_money() {
    let met = meet(0, LARGE_MS, 1, || Conduct::StallInUpload);
    met.tried(&[("retried", "stalled", "no"), SUCCEEDED]);
}

#[test]
fn an_answer_that_stands_still_is_broken_off() {
    let met = meet(0, 250, 1, || {
        Conduct::Reply(Box::new(|client, answer| {
            let bytes = whole(answer);
            client.write_all(&bytes[..bytes.len() - 20])?;
            hold(client)
        }))
    });
    met.tried(&[("retried", "timeout", "unknown"), SUCCEEDED]);
}

#[test]
fn an_answer_byte_by_byte_is_read_as_any_other() {
    let met = meet(0, 250, 1, || {
        Conduct::Reply(Box::new(|client, answer| {
            whole(answer).iter().try_for_each(|byte| client.write_all(&[*byte]))?;
            hang_up(client)
        }))
    });
    met.tried(&[SUCCEEDED]);
}

#[test]
fn an_answer_that_drips_for_ever_ends_when_its_time_is_up() {
    let met = meet(0, 250, 1, || {
        Conduct::Alone(Box::new(|client, _| {
            client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")?;
            loop {
                client.write_all(b" ")?;
                std::thread::sleep(Duration::from_millis(20));
            }
        }))
    });
    met.tried(&[("retried", "timeout", "unknown"), SUCCEEDED]);
}

#[test]
fn answers_in_http_1_0_without_a_length_are_read() {
    meet(0, 250, 1, || reheaded("HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n"))
        .tried(&[SUCCEEDED]);
}

#[test]
fn an_answer_of_another_type_is_read_for_what_it_is() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: LENGTH\r\n\r\n";
    meet(0, 250, 1, move || reheaded(head)).tried(&[SUCCEEDED]);
}

#[test]
fn an_answer_that_ends_too_early_may_have_cost_money() {
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-length: 1LENGTH\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffff\r\n",
    ] {
        let met = meet(0, 250, 1, move || reheaded(head));
        met.tried(&[("retried", "answer_lost", "unknown"), SUCCEEDED]);
    }
    // Without a length nothing but its content tells that it was cut.
    let met = meet(0, 250, 1, || {
        Conduct::Reply(Box::new(|client, answer| {
            client.write_all(b"HTTP/1.0 200 OK\r\n\r\n")?;
            client.write_all(&answer.body[..answer.body.len() / 2])?;
            hang_up(client)
        }))
    });
    met.tried(&[("retried", "bad_answer", "unknown"), SUCCEEDED]);
}

#[test]
fn what_is_no_answer_at_all_is_a_lost_one() {
    for bytes in [
        &b"SSH-2.0-OpenSSH_9.9\r\n"[..],
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 7\r\n\r\nhello",
        b"HTTP/1.1 9999999 ?\r\n\r\n",
    ] {
        let met = meet(0, 250, 1, move || say(bytes));
        met.tried(&[("retried", "answer_lost", "unknown"), SUCCEEDED]);
    }
}

#[test]
fn a_megabyte_of_headers_is_not_read_to_its_end() {
    let met = meet(3, 250, u32::MAX, || {
        Conduct::Reply(Box::new(|client, answer| {
            client.write_all(b"HTTP/1.1 200 OK\r\n")?;
            for n in 0..1000 {
                write!(client, "x-noise-{n}: {}\r\n", "x".repeat(1000))?;
            }
            write!(client, "content-length: {}\r\n\r\n", answer.body.len())?;
            client.write_all(&answer.body)
        }))
    });
    let retried = ("retried", "answer_lost", "unknown");
    met.tried(&[retried, retried, ("failed", "answer_lost", "unknown")]).failed_by(Some("answer_lost"));
}

#[test]
fn two_gigabytes_of_an_answer_are_left_where_they_are() {
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2147483648\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n80000000\r\n",
        "HTTP/1.1 500 Oops\r\ncontent-length: 2147483648\r\n\r\n",
    ] {
        let met = meet(if head.contains("500") { 0 } else { 3 }, 250, 1, move || {
            Conduct::Alone(Box::new(move |client, _| {
                client.write_all(head.as_bytes())?;
                for _ in 0..32_768 {
                    client.write_all(&[0; 65_536])?;
                }
                panic!("nobody reads two gigabytes");
            }))
        });
        eprintln!("{} kB at its peak", met.peak_kb);
        if head.contains("500") {
            met.tried(&[("retried", "server_error", "unknown"), SUCCEEDED]);
        } else {
            met.tried(&[("failed", "bad_answer", "unknown")]).failed_by(Some("bad_answer"));
        }
    }
}

#[test]
fn what_claims_to_be_compressed_is_not_inflated() {
    let met = meet(3, 250, u32::MAX, || {
        let garbage = [&b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..], &[0xA5; 4000]].concat();
        let head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4010\r\n\r\n";
        say([&head[..], &garbage].concat())
    });
    let retried = ("retried", "bad_answer", "unknown");
    met.tried(&[retried, retried, ("failed", "bad_answer", "unknown")]).failed_by(Some("bad_answer"));
}

#[test]
fn interim_answers_are_passed_over() {
    let noise = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    let met = meet(0, 250, 1, move || {
        Conduct::Reply(Box::new(move |client, answer| {
            client.write_all(noise.repeat(20).as_bytes())?;
            client.write_all(&whole(answer))?;
            hang_up(client)
        }))
    });
    met.tried(&[SUCCEEDED]);
}

#[test]
fn interim_answers_without_end_are_no_answer() {
    let met = meet(0, 250, 1, || {
        Conduct::Alone(Box::new(|client, _| {
            loop {
                client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
        }))
    });
    met.tried(&[("retried", "timeout", "unknown"), SUCCEEDED]);
}

#[test]
fn a_success_that_comes_before_the_file_was_sent_is_none() {
    let met = meet(0, LARGE_MS, 1, || {
        Conduct::Early(Box::new(|client, _| {
            client.write_all(
                b"HTTP/1.1 200 OK\r\ncontent-length: 29\r\n\r\n{\"text\":\"x\",\"duration_ms\":10}",
            )
        }))
    });
    met.tried(&[("retried", "bad_answer", "unknown"), SUCCEEDED]);
}

#[test]
fn a_second_answer_to_one_request_is_given_to_nobody() {
    let world = World::with_recordings(12);
    world.configure(&Jobs { concurrent: 1, ..Jobs::default() });
    let _proxy = stand_between(&world, |_, _| {
        Conduct::Reply(Box::new(|client, answer| {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.body.len());
            let foreign =
                "HTTP/1.1 200 OK\r\ncontent-length: 37\r\n\r\n{\"text\":\"not yours\",\"duration_ms\":250}";
            client.write_all(&[head.as_bytes(), &answer.body, foreign.as_bytes()].concat())
        }))
    });
    world.run().expect(0);
    world.assert_each_once();
    assert!(world.results().iter().all(|l| l["text"] != "not yours"), "{:?}", world.results());
}

#[test]
fn connections_that_are_closed_between_two_requests_cost_nothing() {
    let world = World::with_recordings(12);
    world.configure(&Jobs { concurrent: 1, ..Jobs::default() });
    let _proxy = stand_between(&world, |_, _| {
        reheaded("HTTP/1.1 200 OK\r\nconnection: keep-alive\r\ncontent-length: LENGTH\r\n\r\n")
    });
    world.run().expect(0);
    world.assert_each_once();
    assert_eq!(world.stt().billed, 12);
    // Once in a great while a request is on its way before the end of its connection is.
    let again = world.results().iter().filter(|l| l["attempts"] != 1).count();
    assert!(again <= 1, "{again} were sent again");
}

#[test]
fn a_redirect_carries_neither_recording_nor_key_to_another_host() {
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
        elsewhere.set_nonblocking(true).unwrap();
        let to = elsewhere.local_addr().unwrap();
        let world = World::with_recordings(3);
        let _proxy = stand_between(&world, move |_, _| {
            say(format!("HTTP/1.1 {status}\r\nlocation: http://{to}/\r\ncontent-length: 0\r\n\r\n"))
        });
        world.run().expect(4).told("redirects are not followed");
        assert_eq!(elsewhere.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "nobody came");
        assert_eq!((world.failures().len(), world.tasks("state:queued").len()), (0, 3));
    }
}

#[test]
fn a_host_that_speaks_no_tls_gets_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let heard = std::thread::spawn(move || {
        let mut heard = Vec::new();
        for client in listener.incoming() {
            let mut client: TcpStream = client.unwrap();
            client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\nnot TLS").unwrap();
            client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let before = heard.len();
            let _ = client.take(100_000).read_to_end(&mut heard);
            if heard[before..] == *b"over" {
                return heard;
            }
        }
        heard
    });
    refused_to_talk(&format!("https://{to}"));
    TcpStream::connect(to).unwrap().write_all(b"over").unwrap();
    let heard = String::from_utf8_lossy(&heard.join().unwrap()).into_owned();
    assert!(!heard.contains("emulator-key") && !heard.contains("RIFF"), "{heard:?}");
}

#[test]
fn a_host_whose_certificate_nobody_vouches_for_gets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (key, certificate) = (folder.path().join("key.pem"), folder.path().join("certificate.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(Stdio::null())
        .status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: there is no openssl here to make a certificate with");
        return;
    }
    let mut command = Command::new("openssl");
    command
        .args(["s_server", "-www", "-accept", "127.0.0.1:0", "-key"])
        .arg(&key)
        .arg("-cert")
        .arg(&certificate);
    let server = Process::start(command);
    server.until_said("ACCEPT 127.0.0.1:");
    let said = server.said_so_far();
    let port = said.split("ACCEPT 127.0.0.1:").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let (told, tries) = refused_to_talk(&format!("https://127.0.0.1:{port}"));
    // A handshake that fails carries nothing else.
    assert!(tries.iter().all(|words| words.contains("certificate")), "{tries:#?}");
    assert!(told.contains("certificate"), "whoever reads the log is told why: {told}");
}

/// Nothing is sent there, no file is blamed, and the run ends by itself. What it told, and what was noted of each try.
fn refused_to_talk(base_url: &str) -> (String, Vec<String>) {
    let world = World::with_recordings(3);
    world.configure(&Jobs { concurrent: 1, ..Jobs::default() });
    world.edit("[run]\n", "[run]\ngive_up_after = \"1s\"\n");
    let text = String::from_utf8(world.read("jobs.toml")).unwrap();
    let url = text.split('"').find(|t| t.starts_with("http://")).unwrap().to_owned();
    point_to(&world, &url, base_url);
    let told = world.run().expect(6).told("outage").stderr;
    assert_eq!((world.failures().len(), world.tasks("state:queued").len()), (0, 3), "no file is to blame");
    let tries = world.attempts();
    assert!(!tries.is_empty());
    assert!(tries.iter().all(|t| t["cause"] == "connection" && t["billed"] == "no"), "{tries:#?}");
    (told, tries.iter().map(|t| t["message"].as_str().unwrap().to_owned()).collect())
}
