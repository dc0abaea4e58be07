//! Pieces of recordings, joined.

use proptest::prelude::*;

use super::*;

/// At a thousand frames a second.
fn stretch(heard: Range<u64>, own: Range<u64>, is_last: bool) -> Stretch {
    Stretch { rate: 1000, channel: 0, heard, own, is_last }
}

fn joined(endpoint: Endpoint, parts: &[(Stretch, Value)]) -> (Value, Response) {
    let texts: Vec<String> = parts.iter().map(|(_, answer)| answer.to_string()).collect();
    let parts: Vec<Part<'_>> =
        parts.iter().zip(&texts).map(|((stretch, _), json)| Part { stretch, json }).collect();
    let response = join(endpoint, &parts).unwrap();
    (serde_json::from_str(&response.json).unwrap(), response)
}

fn said(start_ms: u64, duration_ms: u64, text: &str) -> Value {
    json!({ "start_ms": start_ms, "duration_ms": duration_ms, "text": text, "speaker": 1 })
}

#[test]
fn what_was_said_stands_at_its_time_and_speakers_are_those_of_their_piece() {
    let words = json!([{ "text": "b", "start_ms": 500, "duration_ms": 100 }]);
    let mut second = said(500, 1000, "b");
    second["words"] = words;
    let (answer, response) = joined(
        Endpoint::SttBatch,
        &[
            (
                stretch(0..10_000, 0..10_000, false),
                json!({ "text": "a", "duration_ms": 10_000, "utterances": [said(0, 900, "a")] }),
            ),
            (
                stretch(10_000..13_000, 10_000..13_000, true),
                json!({ "text": " b ", "duration_ms": 3001, "utterances": [second] }),
            ),
        ],
    );
    assert_eq!((answer["text"].as_str(), response.duration_ms), (Some("a b"), Some(13_001)));
    let times: Vec<_> = response.transcript.utterances.iter().map(|u| (u.start_ms, u.end_ms)).collect();
    assert_eq!(times, [(0, 900), (10_500, 11_500)]);
    assert_eq!(answer["utterances"][1]["words"][0]["start_ms"], 10_500);
    let speakers: Vec<_> =
        response.transcript.utterances.iter().map(|u| u.speaker.clone().unwrap()).collect();
    assert_eq!(speakers, ["P1:S1", "P2:S1"]);
    assert_eq!(answer["speaker_scope"], "piece");
    assert_eq!(answer["pieces"][1], json!({ "start_ms": 10_000, "end_ms": 13_000, "duration_ms": 3001 }));
}

#[test]
fn fields_that_nobody_knows_stay_with_their_piece_unless_all_say_the_same() {
    let answer = |n: u64| json!({ "text": "x", "duration_ms": 1000, "model": "m", "score": n });
    let (answer, _) = joined(
        Endpoint::SttBatchEnglishVfast,
        &[(stretch(0..1000, 0..1000, false), answer(1)), (stretch(1000..2000, 1000..2000, true), answer(2))],
    );
    assert_eq!((&answer["model"], &answer["score"]), (&json!("m"), &Value::Null));
    assert_eq!((&answer["pieces"][0]["score"], &answer["pieces"][1]["score"]), (&json!(1), &json!(2)));
}

#[test]
fn what_was_heard_twice_is_told_once_and_silenced_if_either_says_so() {
    let first = json!({
        "text": "one two", "duration_ms": 12_000, "redaction_ranges": [[9000, 12_000]],
        "utterances": [said(1000, 900, "one"), said(9000, 2500, "two"), said(11_000, 1000, "three")],
    });
    let second = json!({
        "text": "two three", "duration_ms": 12_000, "redaction_ranges": [{ "start_ms": 0, "end_ms": 3500 }],
        "utterances": [said(1000, 2500, "two"), said(3000, 1000, "three"), said(9000, 500, "four")],
    });
    let (answer, response) = joined(
        Endpoint::PiiPhiRedactionBatch,
        &[
            (stretch(0..12_000, 0..10_000, false), first),
            (stretch(8000..20_000, 10_000..20_000, true), second),
        ],
    );
    assert_eq!(response.transcript.redaction_ranges, [(8000, 12_000)]);
    assert_eq!(answer["text"], "one two three four");
    assert_eq!(response.duration_ms, Some(20_000), "without what was heard twice");
    assert_eq!(answer["pieces"][1]["heard_ms"], json!([8000, 20_000]));
}

#[test]
fn what_begins_before_a_cut_and_is_not_heard_out_by_the_piece_before_is_not_lost() {
    let first = json!({ "text": "", "utterances": [said(9000, 3000, "begins")] });
    let second = json!({ "text": "", "utterances": [said(0, 9000, "goes on")] });
    let (answer, _) = joined(
        Endpoint::PiiPhiRedactionBatch,
        &[
            (stretch(0..12_000, 0..10_000, false), first),
            (stretch(8000..20_000, 10_000..20_000, true), second),
        ],
    );
    assert_eq!(answer["text"], "begins goes on");
    assert_eq!(answer["duration_ms"], Value::Null, "a length that one of them does not tell is not told");
}

#[test]
fn channels_that_were_sent_apart_tell_their_speakers_apart_and_are_told_in_the_order_of_time() {
    let of = |channel, answer| (Stretch { channel, ..stretch(0..5000, 0..5000, true) }, answer);
    let (answer, response) = joined(
        Endpoint::SttBatch,
        &[
            of(
                1,
                json!({ "text": "a c", "duration_ms": 5000, "utterances": [said(0, 10, "a"), said(4000, 10, "c")] }),
            ),
            of(2, json!({ "text": "b", "duration_ms": 5000, "utterances": [said(2000, 10, "b")] })),
        ],
    );
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let told = answer["utterances"].as_array().unwrap().iter();
    let told: Vec<_> = told.map(|said| word(&said["text"]) + " " + &word(&said["speaker"])).collect();
    assert_eq!(told, ["a C1:S1", "b C2:S1", "c C1:S1"]);
    assert_eq!(answer["text"], "a b c");
    assert_eq!((response.duration_ms, &answer["speaker_scope"]), (Some(5000), &json!("channel")));
}

#[test]
fn what_is_told_as_text_alone_stays_with_its_channel_and_its_piece() {
    let of = |channel, text: &str| {
        let answer = json!({ "text": text, "duration_ms": 5000 });
        (Stretch { channel, ..stretch(0..5000, 0..5000, true) }, answer)
    };
    let (answer, _) = joined(Endpoint::SttBatchEnglishVfast, &[of(1, "how are you"), of(2, "well, thanks")]);
    let pieces = &answer["pieces"];
    assert_eq!((&pieces[0]["channel"], &pieces[0]["text"]), (&json!(1), &json!("how are you")));
    assert_eq!((&pieces[1]["channel"], &pieces[1]["text"]), (&json!(2), &json!("well, thanks")));
    assert_eq!(answer["text"], "how are you well, thanks");
    let with = |text: &str, utterances| json!({ "text": text, "utterances": utterances });
    for utterances in [json!([]), json!([said(0, 900, "three")])] {
        let (answer, _) = joined(
            Endpoint::PiiPhiRedactionBatch,
            &[
                (stretch(0..12_000, 0..10_000, false), with("one two", json!([]))),
                (stretch(8000..20_000, 10_000..20_000, true), with("two three", utterances)),
            ],
        );
        assert_eq!(answer["text"], "one two two three", "nothing is lost");
        assert_eq!(answer["pieces"][1]["text"], "two three");
    }
}

#[test]
fn frames_of_a_detection_follow_one_another() {
    let frame =
        |from: u64, to: u64| json!({ "start_time_ms": from, "end_time_ms": to, "verdict": "synthetic" });
    let (_, response) = joined(
        Endpoint::SyntheticVoiceDetectionBatch,
        &[
            (
                stretch(0..6000, 0..6000, false),
                json!({ "duration_ms": 6000, "frames": [frame(0, 4000), frame(4000, 6000)] }),
            ),
            (
                stretch(6000..8000, 6000..8000, true),
                json!({ "duration_ms": 2000, "frames": [frame(0, 2000)] }),
            ),
        ],
    );
    let times: Vec<_> = response.transcript.utterances.iter().map(|u| (u.start_ms, u.end_ms)).collect();
    assert_eq!(times, [(0, 4000), (4000, 6000), (6000, 8000)]);
}

#[test]
fn what_a_piece_hears_beyond_its_end_is_told_where_no_other_has_heard_it() {
    let first = json!({ "text": "one late", "utterances": [said(0, 900, "one"), said(10_040, 200, "late")] });
    let second = json!({ "text": "two", "utterances": [said(500, 900, "two")] });
    let parts = [
        (stretch(0..10_000, 0..10_000, false), first),
        (stretch(10_000..20_000, 10_000..20_000, true), second),
    ];
    let (_, response) = joined(Endpoint::SttBatch, &parts);
    let texts: Vec<_> = response.transcript.utterances.iter().filter_map(|u| u.text.as_deref()).collect();
    assert_eq!(texts, ["one", "late", "two"]);
}

#[test]
fn two_hearings_on_either_side_of_a_cut_are_one_utterance() {
    for (in_first, in_second) in [(10_010, 9_980), (9_990, 10_020), (10_010, 10_020), (9_990, 9_980)] {
        let answer = |start| json!({ "text": "x", "utterances": [said(start, 900, "x")] });
        let parts = [
            (stretch(0..15_000, 0..10_000, false), answer(in_first)),
            (stretch(5000..20_000, 10_000..20_000, true), answer(in_second - 5000)),
        ];
        let (answer, _) = joined(Endpoint::PiiPhiRedactionBatch, &parts);
        assert_eq!(answer["text"], "x", "{in_first} and {in_second}");
    }
}

proptest! {
    #[test]
    fn nothing_that_overlaps_a_cut_is_lost_or_doubled(
        spoken in proptest::collection::vec((0u64..800, 200u64..4000), 1..40),
        lengths in proptest::collection::vec(11_000u64..30_000, 1..5),
        overlap in prop_oneof![Just(0u64), Just(5000)], seed in any::<u64>(),
    ) {
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut at = 0;
        let truth: Vec<Range<u64>> = spoken
            .into_iter()
            .map(|(pause, length)| {
                at += pause + length;
                at - length..at
            })
            .collect();
        let (mut begin, mut heard_in_all, mut parts) = (0, Vec::new(), Vec::new());
        let count = lengths.len();
        for (n, length) in lengths.into_iter().enumerate() {
            let is_last = n + 1 == count;
            let own = begin..if is_last { at.max(begin + length) } else { begin + length };
            let heard =
                own.start.saturating_sub(overlap)..if is_last { own.end } else { own.end + overlap };
            let mut said_here = Vec::new();
            for (n, spoken) in truth.iter().enumerate() {
                let (from, to) = (spoken.start.max(heard.start), spoken.end.min(heard.end));
                if from + 50 > to {
                    continue;
                }
                // No two hearings agree to the millisecond.
                let start = (from - heard.start + dice.u64(0..50)).saturating_sub(25);
                let end = (to - heard.start + dice.u64(0..50)).saturating_sub(25);
                said_here.push(said(start, end - start, &n.to_string()));
                heard_in_all.push(n);
            }
            parts.push((stretch(heard, own.clone(), is_last), json!({ "utterances": said_here })));
            begin = own.end;
        }
        let (_, response) = joined(Endpoint::PiiPhiRedactionBatch, &parts);
        let told = response.transcript.utterances.iter();
        let told: Vec<usize> = told.map(|u| u.text.as_deref().unwrap().parse().unwrap()).collect();
        // Without an overlap each half of what a cut divides is heard by one piece alone.
        let expected = if overlap == 0 { heard_in_all } else { (0..truth.len()).collect() };
        prop_assert_eq!(told, expected);
    }
}
