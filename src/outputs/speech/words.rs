//! Names of speakers, the direction of writing, and text for columns.

/// Before a line that would otherwise be laid out from left to right.
const RTL_MARK: char = '\u{200F}';

/// A speaker as subtitles and transcripts name one: numbers become `SPEAKER_01`, as is usual, labels stay; whatever
/// could be taken for markup or a line's end becomes `_`.
pub(in crate::outputs) fn label(speaker: &str) -> String {
    let bare = speaker.trim();
    let digits = match bare.get(..7) {
        Some(word) if word.eq_ignore_ascii_case("speaker") => bare[7..].trim_start_matches(['_', ' ', '-']),
        _ => bare,
    };
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return format!("SPEAKER_{digits:0>2}");
    }
    let harmless = |c: char| if c.is_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '_' };
    let label: String = bare.chars().take(64).map(harmless).collect();
    if label.is_empty() { "SPEAKER".to_owned() } else { label }
}

/// Whether text is written from right to left: its first letter decides.
pub(in crate::outputs) fn is_rtl(text: &str) -> bool {
    text.chars().find(|c| c.is_alphabetic() || *c == RTL_MARK).is_some_and(is_rtl_letter)
}

fn is_rtl_letter(c: char) -> bool {
    matches!(c as u32,
        0x0590..=0x08FF | 0x200F | 0xFB1D..=0xFDFF | 0xFE70..=0xFEFF | 0x10800..=0x10FFF | 0x1E800..=0x1EFFF)
}

/// A line of a text that is written from right to left begins with a mark that says so, where its own first letter
/// does not: a number, a Latin name, a speaker's label.
pub(in crate::outputs) fn directed(line: String, rtl: bool) -> String {
    if rtl && !is_rtl(&line) { format!("{RTL_MARK}{line}") } else { line }
}

/// A path, or part of one, as a field without spaces that can be had back: what is not a plain character becomes `%20`.
pub(in crate::outputs) fn column(bytes: &[u8]) -> String {
    let mut field = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '%' || c == ';' || c.is_whitespace() || c.is_control() {
                let mut utf8 = [0; 4];
                c.encode_utf8(&mut utf8).bytes().for_each(|byte| field.push_str(&format!("%{byte:02X}")));
            } else {
                field.push(c);
            }
        }
        chunk.invalid().iter().for_each(|byte| field.push_str(&format!("%{byte:02X}")));
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_speakers_and_labels_stay_harmless() {
        for (given, wanted) in [
            ("1", "SPEAKER_01"),
            ("12", "SPEAKER_12"),
            ("Speaker_3", "SPEAKER_03"),
            ("speaker 104", "SPEAKER_104"),
            ("agent", "agent"),
            ("Zoë", "Zoë"),
            ("a>b\n<c&", "a_b__c_"),
            ("", "SPEAKER"),
            ("speakeré", "speakeré"),
        ] {
            assert_eq!(label(given), wanted, "{given:?}");
        }
    }

    #[test]
    fn a_line_from_right_to_left_says_so_unless_its_first_letter_does() {
        let line = |text: &str, rtl| directed(text.to_owned(), rtl);
        assert!(is_rtl("שלום") && is_rtl("3 مرحبا") && !is_rtl("abc שלום") && !is_rtl("123"));
        assert_eq!(line("שלום", true), "שלום");
        assert_eq!(line("GPS שלום", true), "\u{200F}GPS שלום");
        assert_eq!(line("abc", false), "abc");
    }

    #[test]
    fn a_field_has_no_spaces_and_no_two_paths_share_one() {
        assert_eq!(column(b"2024/a b.wav"), "2024/a%20b.wav");
        assert_eq!(column("a%20b ;é\u{2028}".as_bytes()), "a%2520b%20%3Bé%E2%80%A8");
        assert_eq!(column(b"caf\xe9.wav"), "caf%E9.wav");
    }
}
