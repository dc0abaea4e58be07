//! Numbers and names as people read them: the one home of every rounding and unit.
//! Where a line breaks and what it says is left to the others.

use std::borrow::Cow;
use std::time::Duration;

use bytesize::ByteSize;
use console::measure_text_width;

use crate::task::Timestamp;

/// With a comma between thousands: `1,204`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun: `1 file`, `0 files`, `1,204 files`.
pub fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// Milliseconds as hours with one decimal: `311.4 h`.
pub fn hours(ms: u64) -> String {
    let tenths = ms / 360_000 + u64::from(ms % 360_000 >= 180_000);
    format!("{}.{} h", count(tenths / 10), tenths % 10)
}

/// A length of audio: below an hour in minutes and seconds, else in hours.
pub fn audio(ms: u64) -> String {
    if ms < 3_600_000 { span(Duration::from_millis(ms)) } else { hours(ms) }
}

/// A length of time in its two largest units, rounded down: `0.9 s`, `18 s`, `3 m 20 s`, `3 h 20 m`, `4 d 3 h`.
/// A second unit of zero is left out: `15 m`.
pub fn span(time: Duration) -> String {
    let s = time.as_secs();
    let (large, small) = match s {
        0..10 => {
            let tenths = time.subsec_millis() / 100;
            return if tenths == 0 { format!("{s} s") } else { format!("{s}.{tenths} s") };
        }
        10..60 => return format!("{s} s"),
        60..3600 => ((s / 60, "m"), (s % 60, "s")),
        3600..86_400 => ((s / 3600, "h"), (s % 3600 / 60, "m")),
        _ => ((s / 86_400, "d"), (s % 86_400 / 3600, "h")),
    };
    let rest = if small.0 == 0 { String::new() } else { format!(" {} {}", small.0, small.1) };
    format!("{} {}{rest}", count(large.0), large.1)
}

/// Decimal units: `4.2 GB`.
pub fn bytes(n: u64) -> String {
    ByteSize::b(n).display().si().to_string()
}

/// A share in whole per cent, rounded down, so that 100 % means all: `51 %`.
pub fn percent(part: u64, whole: u64) -> String {
    let share = if whole == 0 { 0 } else { u128::from(part.min(whole)) * 100 / u128::from(whole) };
    format!("{share} %")
}

/// How far something lies from what it should be, in hundredths of a per cent: `+1.20 %`. What rounds to nothing has no sign.
pub fn apart(is: u64, should_be: u64) -> String {
    let off = (is as f64 / should_be.max(1) as f64 - 1.0) * 100.0;
    if off.abs() < 0.005 { "0.00 %".to_owned() } else { format!("{off:+.2} %") }
}

/// The parts' shares in tenths of a per cent. They sum to 1000 unless all parts are zero.
pub fn shares(parts: &[u64]) -> Vec<u64> {
    let whole: u128 = parts.iter().map(|&p| u128::from(p)).sum();
    if whole == 0 {
        return vec![0; parts.len()];
    }
    let exact = |part: u64| u128::from(part) * 1000;
    let mut floors: Vec<u64> = parts.iter().map(|&p| (exact(p) / whole) as u64).collect();
    // What rounding down left over goes to those it cost most.
    let mut by_loss: Vec<usize> = (0..parts.len()).collect();
    by_loss.sort_by_key(|&i| std::cmp::Reverse(exact(parts[i]) % whole));
    let missing = 1000 - floors.iter().sum::<u64>();
    for i in by_loss.into_iter().take(missing as usize) {
        floors[i] += 1;
    }
    floors
}

/// Tenths of a per cent as text: `93.1 %`.
pub(super) fn permille(tenths: u64) -> String {
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// A factor: `42.1×`.
pub fn times(factor: f64) -> String {
    format!("{factor:.1}×")
}

/// A moment to the second: `2026-11-20 01:00:02 UTC`.
pub fn clock(at: Timestamp) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..19)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        _ => text,
    }
}

/// RFC 3339 to the second, for lines that people scan.
pub(super) fn stamp(at: Timestamp) -> String {
    let text = at.to_string();
    text.get(..19).map_or_else(|| text.clone(), |head| format!("{head}Z"))
}

/// Columns that the text takes on a terminal.
pub fn columns(text: &str) -> usize {
    measure_text_width(text)
}

/// The text with its middle taken out until it fits: names differ at their ends.
pub fn elide(text: &str, width: usize) -> Cow<'_, str> {
    if columns(text) <= width {
        return Cow::Borrowed(text);
    }
    if width < 3 {
        return Cow::Owned(head(text, width).to_owned());
    }
    let room = width - 1;
    let tail_room = room.div_ceil(2);
    Cow::Owned(format!("{}…{}", head(text, room - tail_room), tail(text, tail_room)))
}

/// The longest beginning that fits.
pub(super) fn head(text: &str, width: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find_map(|(at, c)| {
        used += char_columns(c);
        (used > width).then_some(at)
    });
    // Strings can be narrower or wider than their characters added up (emoji sequences); measure again.
    let mut fits = &text[..end.unwrap_or(text.len())];
    while columns(fits) > width {
        let last = fits.char_indices().next_back().map_or(0, |(at, _)| at);
        fits = &fits[..last];
    }
    fits
}

fn char_columns(c: char) -> usize {
    if c == ' ' || c.is_ascii_graphic() { 1 } else { measure_text_width(c.encode_utf8(&mut [0; 4])) }
}

fn tail(text: &str, width: usize) -> &str {
    let mut used = 0;
    let start = text.char_indices().rev().find_map(|(at, c)| {
        used += char_columns(c);
        (used > width).then_some(at + c.len_utf8())
    });
    let mut fits = &text[start.unwrap_or(0)..];
    while columns(fits) > width {
        let first = fits.chars().next().map_or(0, char::len_utf8);
        fits = &fits[first..];
    }
    fits
}

/// Makes foreign words harmless on a terminal: control characters and changes of direction are escaped.
pub fn clean(text: &str) -> Cow<'_, str> {
    let hostile = |c: char| {
        c.is_control()
            || matches!(c, '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(hostile) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if hostile(c) { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    Cow::Owned(safe)
}

/// The text in ASCII, column by column: for dumb terminals and other encodings.
pub(super) fn to_ascii(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' '..='~' | '\n' => plain.push(c),
            '·' => plain.push('|'),
            '–' => plain.push('-'),
            '…' => plain.push('~'),
            '×' => plain.push('x'),
            '●' | '█' => plain.push('#'),
            '○' | '░' => plain.push('.'),
            other => (0..char_columns(other)).for_each(|_| plain.push('?')),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!([count(0), count(999), count(1204), count(1_000_000)], ["0", "999", "1,204", "1,000,000"]);
        assert_eq!(plural(1, "file", "files"), "1 file");
        assert_eq!(plural(0, "file", "files"), "0 files");
        assert_eq!([hours(0), hours(1_121_040_000), hours(4_444_200_000)], ["0.0 h", "311.4 h", "1,234.5 h"]);
        assert_eq!(bytes(4_200_000_000), "4.2 GB");
        let apart = [(1_000_001, 1_000_000), (999_999, 1_000_000), (990, 1000), (1012, 1000)]
            .map(|(a, b)| apart(a, b));
        assert_eq!(apart, ["0.00 %", "0.00 %", "-1.00 %", "+1.20 %"]);
        assert_eq!([percent(612, 1204), percent(9_999, 10_000), percent(3, 0)], ["50 %", "99 %", "0 %"]);
        assert_eq!(times(42.07), "42.1×");
        assert_eq!(audio(192_000), "3 m 12 s");
        assert_eq!(clock(Timestamp(1_798_761_599_009)), "2026-12-31 23:59:59 UTC");
        assert_eq!(stamp(Timestamp(1_798_761_599_009)), "2026-12-31T23:59:59Z");
    }

    #[test]
    fn a_span_shows_its_two_largest_units() {
        let spans: Vec<String> = [0, 900, 6_000, 9_999, 18_000, 200_000, 900_000, 12_000_000, 360_000_000]
            .map(|ms| span(Duration::from_millis(ms)))
            .into();
        assert_eq!(
            spans,
            ["0 s", "0.9 s", "6 s", "9.9 s", "18 s", "3 m 20 s", "15 m", "3 h 20 m", "4 d 4 h"]
        );
    }

    #[test]
    fn a_long_name_keeps_both_ends() {
        assert_eq!(elide("calls/2024/march/0417.mp3", 16), "calls/2…0417.mp3");
        assert_eq!(elide("short.wav", 16), "short.wav");
    }

    #[test]
    fn escape_sequences_in_foreign_words_do_not_reach_the_terminal() {
        assert_eq!(clean("a\u{1b}[31mb\nc\u{202e}d"), "a\\u{1b}[31mb\\nc\\u{202e}d");
    }

    proptest! {
        #[test]
        fn shares_sum_to_the_whole(parts in proptest::collection::vec(0u64..u64::MAX / 16, 1..12)) {
            let total: u64 = shares(&parts).iter().sum();
            prop_assert_eq!(total, if parts.iter().all(|&p| p == 0) { 0 } else { 1000 });
        }

        #[test]
        fn an_elided_name_fits(name in "\\PC{0,60}", width in 0usize..50) {
            prop_assert!(columns(&elide(&name, width)) <= width);
            prop_assert!(columns(head(&name, width)) <= width);
        }

        #[test]
        fn ascii_takes_no_more_columns_than_there_are_characters_wide(text in "\\PC{0,40}") {
            let plain = to_ascii(&text);
            prop_assert!(plain.is_ascii());
        }
    }
}
