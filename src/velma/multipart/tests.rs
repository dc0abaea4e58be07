//! The same parts come out however the answer is cut.

use proptest::prelude::*;

use super::*;

/// Name and bytes of each part.
type Parts = Vec<(Option<String>, Vec<u8>)>;

/// The parts, and whether the end was seen.
fn parts(content_type: &str, answer: &[u8], cuts: &[usize]) -> (Parts, bool) {
    let mut reader = Multipart::from_content_type(content_type).expect("a boundary");
    let mut found = Parts::new();
    let mut open = false;
    let mut rest = answer;
    let mut cuts = cuts.iter().copied();
    while !rest.is_empty() {
        let (now, later) = rest.split_at(cuts.next().unwrap_or(rest.len()).clamp(1, rest.len()));
        rest = later;
        reader.feed(now);
        while let Some(event) = reader.next().expect("well formed") {
            match event {
                Event::Begin(name) => {
                    assert!(!std::mem::replace(&mut open, true), "parts do not overlap");
                    found.push((name, Vec::new()));
                }
                Event::Data(data) => found.last_mut().expect("a part").1.extend_from_slice(&data),
                Event::End => assert!(std::mem::take(&mut open)),
            }
        }
    }
    (found, reader.is_complete())
}

fn answer(boundary: &str, audio: &[u8]) -> Vec<u8> {
    let mut out = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"metadata\"\r\nContent-Type: application/json\r\n\r\n{{\"text\":\"\"}}\r\n\
         --{boundary}\r\ncontent-disposition: form-data; filename=\"name=x; y.mp3\"; name=audio\r\n\r\n"
    )
    .into_bytes();
    out.extend_from_slice(audio);
    out.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    out
}

fn expected(audio: &[u8]) -> Parts {
    vec![
        (Some("metadata".to_owned()), b"{\"text\":\"\"}".to_vec()),
        (Some("audio".to_owned()), audio.to_vec()),
    ]
}

#[test]
fn the_boundary_is_read_quoted_or_not_and_in_any_case() {
    for header in [
        "multipart/form-data; boundary=e2b9c1",
        "multipart/form-data; boundary=\"e2b9c1\"",
        "Multipart/Form-Data;charset=utf-8 ; BOUNDARY = e2b9c1 ; x=y",
    ] {
        assert_eq!(parts(header, &answer("e2b9c1", b"mp3"), &[]), (expected(b"mp3"), true), "{header}");
    }
    for header in ["application/json", "multipart/form-data", "multipart/form-data; boundary=", "multi", ""] {
        assert!(Multipart::from_content_type(header).is_none(), "{header}");
    }
}

#[test]
fn a_missing_last_line_break_is_tolerated_and_a_missing_end_is_not() {
    let whole = answer("b", b"mp3");
    let header = "multipart/form-data; boundary=b";
    assert!(parts(header, &whole[..whole.len() - 2], &[]).1);
    assert!(!parts(header, &whole[..whole.len() - 3], &[]).1, "one dash short");
    assert!(!parts(header, &whole[..whole.len() - 9], &[]).1);
}

#[test]
fn noise_before_and_after_the_parts_is_dropped() {
    let mut noisy = b"preamble\r\n".to_vec();
    noisy.extend_from_slice(&answer("b", b""));
    noisy.extend_from_slice(b"epilogue\r\n--b\r\n\r\nnot a part");
    for cuts in [vec![], vec![1; 400]] {
        assert_eq!(parts("multipart/form-data; boundary=b", &noisy, &cuts), (expected(b""), true));
    }
}

#[test]
fn a_part_without_header_is_a_part_without_name() {
    let found = parts("multipart/x; boundary=b", b"--b\r\n\r\nhello\r\n--b--", &[]);
    assert_eq!(found, (vec![(None, b"hello".to_vec())], true));
}

#[test]
fn a_header_without_end_is_refused_before_it_fills_the_memory() {
    let mut reader = Multipart::from_content_type("multipart/x; boundary=b").expect("a boundary");
    reader.feed(b"--b\r\n");
    reader.feed(&vec![b'x'; HEADERS_MAX + 1]);
    assert_eq!(reader.next(), Err(Malformed));
    // Also when its end comes in the same piece: the cutting must not decide.
    let mut reader = Multipart::from_content_type("multipart/x; boundary=b").expect("a boundary");
    reader.feed(&[&b"--b\r\n"[..], &vec![b'x'; HEADERS_MAX], b"\r\n\r\n\r\n--b--"].concat());
    assert_eq!(reader.next(), Err(Malformed));
}

proptest! {
    #[test]
    fn any_cutting_gives_the_same_parts(
        // Pieces that come close to being a boundary, between bytes of any kind.
        pieces in proptest::collection::vec(
            prop_oneof![
                Just(b"\r\n".to_vec()), Just(b"\r\n--".to_vec()), Just(b"\r\n--e2b9c".to_vec()),
                Just(b"--e2b9c1--".to_vec()), Just(b"\r\n--e2b9c1x".to_vec()), Just(b"\r\n--e2b9c1-x".to_vec()),
                Just(b"\r\n--e2b9c1 \tx".to_vec()), Just(b"\r\r\n".to_vec()),
                proptest::collection::vec(any::<u8>(), 0..40),
            ], 0..30),
        cuts in proptest::collection::vec(1usize..60, 0..200),
    ) {
        let mut audio = pieces.concat();
        // A piece that happens to end where the true boundary begins must not complete a false one.
        audio.push(b'.');
        prop_assume!(find(&audio, b"\r\n--e2b9c1\r\n").is_none());
        prop_assume!(find(&audio, b"\r\n--e2b9c1--").is_none());
        let whole = answer("e2b9c1", &audio);
        let got = parts("multipart/form-data; boundary=\"e2b9c1\"", &whole, &cuts);
        prop_assert_eq!(got, (expected(&audio), true));
    }
}
