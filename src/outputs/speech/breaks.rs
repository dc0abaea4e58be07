//! Where text can be broken, how well, and how many columns it takes. Subtitles are split and wrapped by this; what
//! goes into which cue is left to `cues`.

use console::measure_text_width;

/// How good a place is to break at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strength {
    /// In the middle of a word: only when nothing else helps.
    Char,
    /// Between words, or between signs of a script that does not set words apart.
    Word,
    /// Behind a comma or its like.
    Clause,
    /// Behind a sentence, and at the end of the text.
    Sentence,
}

/// A place to break at. Between `end` and `next` is what vanishes there: a space, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Break {
    pub(super) end: usize,
    pub(super) next: usize,
    /// Columns from the beginning of the text to `end`, and to `next`.
    pub(super) columns: u64,
    pub(super) columns_next: u64,
    pub(super) strength: Strength,
}

/// Every place to break a line of text at, its end included, in order. Those within words are there only for words
/// that are longer than `longest` columns: no others need them, and texts can be long.
pub(super) fn breaks(text: &str, longest: u64) -> Vec<Break> {
    let mut found: Vec<Break> = Vec::new();
    // Behind the last place that is not within a word: how many were found by then, and the column.
    let mut word = (0, 0);
    let mut push = |found: &mut Vec<Break>, place: Break| {
        if place.strength > Strength::Char {
            if place.columns - word.1 <= longest {
                found.truncate(word.0);
            }
            word = (found.len() + 1, place.columns_next);
        }
        found.push(place);
    };
    let mut columns = 0;
    let mut before = Before::default();
    for (at, c) in text.char_indices() {
        let width = columns_of(c);
        if c == ' ' {
            let (next, columns_next) = (at + 1, columns + 1);
            let strength = before.strength();
            push(&mut found, Break { end: at, next, columns, columns_next, strength });
        } else if let Some(strength) = before.strength_to(c, width) {
            push(&mut found, Break { end: at, next: at, columns, columns_next: columns, strength });
        }
        before.take(c, width);
        columns += width;
    }
    let end = text.len();
    let strength = Strength::Sentence;
    push(&mut found, Break { end, next: end, columns, columns_next: columns, strength });
    found
}

/// Columns of a character: 2 for wide ones, 0 for marks that stand on another one.
pub(super) fn columns_of(c: char) -> u64 {
    if c.is_ascii() {
        return u64::from(!c.is_ascii_control());
    }
    measure_text_width(c.encode_utf8(&mut [0; 4])) as u64
}

/// What stands before a place.
#[derive(Default)]
struct Before {
    last: Option<char>,
    wide: bool,
    /// The strength of the last character that is no closing quote or bracket.
    mark: Option<Strength>,
}

impl Before {
    fn take(&mut self, c: char, width: u64) {
        if !is_closing(c) && width > 0 {
            self.mark = mark(c);
        }
        if width > 0 {
            self.wide = width == 2;
        }
        self.last = Some(c);
    }

    /// At a space.
    fn strength(&self) -> Strength {
        self.mark.unwrap_or(Strength::Word)
    }

    /// Between two characters without a space, or `None` where nothing can be broken.
    fn strength_to(&self, next: char, width: u64) -> Option<Strength> {
        let last = self.last.filter(|last| *last != ' ' && *last != '\u{200D}')?;
        if width == 0 {
            return None;
        }
        let is_wide = self.wide || width == 2;
        let is_tied = is_opening(last) || is_closing(next) || mark(next).is_some() || is_hangul(last, next);
        if !is_wide || is_tied {
            return Some(Strength::Char);
        }
        Some(self.mark.unwrap_or(Strength::Word))
    }
}

/// Korean sets words apart by spaces, and is wide.
fn is_hangul(last: char, next: char) -> bool {
    let hangul = |c: char| matches!(c as u32, 0x1100..=0x11FF | 0xAC00..=0xD7FF);
    hangul(last) && hangul(next)
}

/// What a character ends.
fn mark(c: char) -> Option<Strength> {
    match c {
        '.' | '!' | '?' | '…' | '。' | '！' | '？' | '｡' | '．' | '؟' | '۔' | '।' | '॥' | '։' | '።' | '៖' => {
            Some(Strength::Sentence)
        }
        ',' | ';' | ':' | '–' | '—' | '、' | '，' | '；' | '：' | '､' | '،' | '؛' | '፣' => {
            Some(Strength::Clause)
        }
        _ => None,
    }
}

fn is_closing(c: char) -> bool {
    matches!(
        c,
        ')' | ']'
            | '}'
            | '"'
            | '\''
            | '”'
            | '’'
            | '»'
            | '）'
            | '」'
            | '』'
            | '】'
            | '》'
            | '〉'
            | '〕'
            | 'ー'
            | '々'
    )
}

fn is_opening(c: char) -> bool {
    matches!(c, '(' | '[' | '{' | '“' | '‘' | '«' | '（' | '「' | '『' | '【' | '《' | '〈' | '〔')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, least: Strength) -> Vec<(&str, Strength)> {
        breaks(text, 0).iter().filter(|b| b.strength >= least).map(|b| (&text[..b.end], b.strength)).collect()
    }

    #[test]
    fn sentences_clauses_and_words_end_where_they_do() {
        use Strength::{Clause, Sentence, Word};
        assert_eq!(
            at("Yes, \"go.\" Now 3.5 more", Word),
            [
                ("Yes,", Clause),
                ("Yes, \"go.\"", Sentence),
                ("Yes, \"go.\" Now", Word),
                ("Yes, \"go.\" Now 3.5", Word),
                ("Yes, \"go.\" Now 3.5 more", Sentence),
            ]
        );
    }

    #[test]
    fn scripts_without_spaces_break_between_signs_but_not_before_what_closes() {
        use Strength::{Sentence, Word};
        assert_eq!(
            at("今日「は」。雨", Word),
            [("今", Word), ("今日", Word), ("今日「は」。", Sentence), ("今日「は」。雨", Sentence)]
        );
        assert_eq!(at("한국어 말", Word), [("한국어", Word), ("한국어 말", Sentence)]);
    }

    #[test]
    fn columns_are_counted_as_a_terminal_does_and_marks_stay_on_their_letter() {
        let last = |text: &str| breaks(text, 0).last().unwrap().columns;
        assert_eq!((last("abc"), last("日本"), last("e\u{301}a"), last("")), (3, 4, 2, 0));
        assert!(breaks("e\u{301}a", 0).iter().all(|b| b.end != 1));
    }

    #[test]
    fn only_words_that_are_too_long_can_be_cut() {
        let ends = |text: &str| breaks(text, 3).iter().map(|b| b.end).collect::<Vec<_>>();
        assert_eq!(ends("abc de"), [3, 6]);
        assert_eq!(ends("abcd ef"), [1, 2, 3, 4, 7]);
        assert_eq!(ends("ab cdef"), [2, 4, 5, 6, 7]);
    }
}
