//! Subtitles: at most two lines of 42 columns and about seven seconds each, broken at the end of a sentence, else of a
//! clause, else of a word. The times of the pieces of an utterance are reckoned in proportion to their length: the
//! API has none for them.

use super::breaks::{Break, Strength, breaks};
use super::{Speech, directed, is_rtl, label};

/// Columns of a line: what readers manage, and players show.
const COLUMNS: u64 = 42;
/// Longer ones are split, if they hold a place for it.
const LONGEST_MS: u64 = 7000;

/// What is shown at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::outputs) struct Cue {
    pub(in crate::outputs) start_ms: u64,
    pub(in crate::outputs) end_ms: u64,
    /// One, but where more begins in a millisecond than there is room for.
    pub(in crate::outputs) parts: Vec<Part>,
}

/// What one speaker says in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::outputs) struct Part {
    /// A label, free of markup.
    pub(in crate::outputs) speaker: Option<String>,
    /// Never empty, and none of them is.
    pub(in crate::outputs) lines: Vec<String>,
}

/// Where speakers are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::outputs) enum Show {
    /// Before what they say, when several do: the format has no other place.
    SpeakersInText,
    /// The format does it.
    TextOnly,
}

/// The cues of a recording: each starts later than the one before, lasts, and ends within the recording.
pub(in crate::outputs) fn cues(speech: &Speech, show: Show) -> Vec<Cue> {
    let named = show == Show::SpeakersInText && speech.is_conversation();
    let mut cues = Vec::new();
    for said in &speech.utterances {
        let speaker = said.speaker.as_deref().map(label);
        let text = match &speaker {
            Some(speaker) if named => format!("{speaker}: {}", said.text),
            _ => said.text.clone(),
        };
        let rtl = is_rtl(&said.text);
        for (start_ms, end_ms, lines) in pieces(&text, said.start_ms, said.end_ms) {
            let lines = lines.into_iter().map(|line| directed(line, rtl)).collect();
            cues.push(Cue { start_ms, end_ms, parts: vec![Part { speaker: speaker.clone(), lines }] });
        }
    }
    cues.sort_by_key(|cue| cue.start_ms);
    apart(cues, speech.duration_ms.unwrap_or(u64::MAX))
}

/// Cues that begin together are moved apart by a millisecond, which nobody sees; where there is no millisecond left,
/// they become one.
fn apart(cues: Vec<Cue>, duration_ms: u64) -> Vec<Cue> {
    let mut kept: Vec<Cue> = Vec::with_capacity(cues.len());
    for mut cue in cues {
        if let Some(before) = kept.last_mut() {
            cue.start_ms = cue.start_ms.max(before.start_ms + 1);
            if cue.start_ms >= duration_ms {
                before.end_ms = before.end_ms.max(cue.end_ms).min(duration_ms);
                before.parts.append(&mut cue.parts);
                continue;
            }
            cue.end_ms = cue.end_ms.max(cue.start_ms + 1);
        }
        kept.push(cue);
    }
    kept
}

type Piece = (u64, u64, Vec<String>);

/// What is said in a stretch of time, cut into what can be shown.
fn pieces(text: &str, start_ms: u64, end_ms: u64) -> Vec<Piece> {
    let text = Text { text, breaks: breaks(text, COLUMNS) };
    let takes = end_ms - start_ms;
    let mut cuts = Vec::new();
    let mut from = 0;
    while from < text.breaks.len() {
        let to = text.cut(from, takes);
        cuts.push((from, to));
        from = to + 1;
    }
    let total = text.columns().max(1);
    let count = cuts.len() as u64;
    if takes < count {
        let lines = cuts.into_iter().flat_map(|(from, to)| text.lines(from, to)).collect();
        return vec![(start_ms, end_ms, lines)];
    }
    let mut begins = start_ms;
    let mut pieces = Vec::with_capacity(cuts.len());
    for (n, (from, to)) in (1..).zip(cuts) {
        let ends = match n == count {
            true => end_ms,
            // At least a millisecond for this one, and one for each that follows.
            false => (start_ms + part_of(takes, text.breaks[to].columns_next, total))
                .clamp(begins + 1, end_ms - (count - n)),
        };
        pieces.push((begins, ends, text.lines(from, to)));
        begins = ends;
    }
    pieces
}

fn part_of(whole: u64, columns: u64, total: u64) -> u64 {
    u64::try_from(u128::from(whole) * u128::from(columns) / u128::from(total)).unwrap_or(whole)
}

/// A text and its places to break at. A piece is named by the places where it begins (behind the place before) and ends.
struct Text<'a> {
    text: &'a str,
    breaks: Vec<Break>,
}

impl Text<'_> {
    fn columns(&self) -> u64 {
        self.breaks.last().map_or(0, |end| end.columns)
    }

    /// Where the piece begins that the place `from` is the first to be able to end: byte and column.
    fn begin(&self, from: usize) -> (usize, u64) {
        from.checked_sub(1)
            .map_or((0, 0), |before| (self.breaks[before].next, self.breaks[before].columns_next))
    }

    /// Columns of a piece.
    fn length(&self, from: usize, to: usize) -> u64 {
        self.breaks[to].columns.saturating_sub(self.begin(from).1)
    }

    /// Where the next piece ends.
    fn cut(&self, from: usize, takes: u64) -> usize {
        let last = self.breaks.len() - 1;
        let mut reach = from;
        while reach < last && self.length(from, reach + 1) <= 2 * COLUMNS {
            reach += 1;
        }
        // Lines break at words, so two of them do not always hold what two lines could.
        let far = (from..=reach).rev().find(|to| self.fits(from, *to)).unwrap_or(from);
        let in_time = |to: usize| part_of(takes, self.length(from, to), self.columns().max(1)) <= LONGEST_MS;
        let whole = far == last;
        if whole && in_time(last) {
            return last;
        }
        let worth = |to: &usize| 3 * self.length(from, *to) >= self.length(from, far) && self.fits(from, *to);
        let best = |least: Strength, in_time_only: bool| {
            // What is whole is to be cut before its end.
            let ends = from..(if whole { far } else { far + 1 });
            ends.rev()
                .filter(|to| self.breaks[*to].strength >= least && (!in_time_only || in_time(*to)))
                .find(worth)
        };
        let (sentence, clause, word) = (Strength::Sentence, Strength::Clause, Strength::Word);
        let found = best(sentence, true).or_else(|| best(clause, true)).or_else(|| {
            let at_all = || best(sentence, false).or_else(|| best(clause, false));
            // For the time alone no clause is torn apart.
            if whole { at_all() } else { at_all().or_else(|| best(word, false)) }
        });
        found.unwrap_or(far)
    }

    /// Whether a piece takes two lines at most.
    fn fits(&self, from: usize, to: usize) -> bool {
        self.length(from, to) <= COLUMNS || self.middle(from, to).is_some()
    }

    /// The best place to end the first of two lines at.
    fn middle(&self, from: usize, to: usize) -> Option<usize> {
        let unevenness = |at: usize| {
            let place = &self.breaks[at];
            let (first, second) = (self.length(from, at), self.length(at + 1, to));
            let gain = match place.strength {
                Strength::Sentence => 30,
                Strength::Clause => 20,
                Strength::Word => 0,
                Strength::Char => return None,
            };
            let holds = first <= COLUMNS && second <= COLUMNS && first > 0 && second > 0;
            holds.then(|| (first.abs_diff(second) as i64 - gain, at))
        };
        let by_words = (from..to).filter_map(unevenness).min().map(|(_, at)| at);
        by_words.or_else(|| {
            (from..to).rev().find(|at| {
                let (first, second) = (self.length(from, *at), self.length(at + 1, to));
                (1..=COLUMNS).contains(&first) && (1..=COLUMNS).contains(&second)
            })
        })
    }

    /// The lines of a piece.
    fn lines(&self, from: usize, to: usize) -> Vec<String> {
        let slice = |from: usize, to: usize| self.text[self.begin(from).0..self.breaks[to].end].to_owned();
        match self.middle(from, to).filter(|_| self.length(from, to) > COLUMNS) {
            Some(at) => vec![slice(from, at), slice(at + 1, to)],
            None => vec![slice(from, to)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, seconds: u64) -> Vec<(u64, u64, String)> {
        pieces(text, 0, seconds * 1000).into_iter().map(|(a, b, lines)| (a, b, lines.join("|"))).collect()
    }

    #[test]
    fn what_fits_stays_whole_on_one_line_or_two_even_ones() {
        assert_eq!(shown("Line two is down.", 2), [(0, 2000, "Line two is down.".into())]);
        assert_eq!(
            shown("The ferry leaves at nine, and nobody has told the harbour.", 4)[0].2,
            "The ferry leaves at nine,|and nobody has told the harbour."
        );
    }

    #[test]
    fn what_is_long_is_split_at_sentences_then_clauses_with_times_in_proportion() {
        let text = "I will open a ticket for line two. Please wait until somebody calls you back, which \
            should not take long. Thank you for calling, and have a good day.";
        assert_eq!(
            shown(text, 14),
            [
                (0, 3288, "I will open a ticket for line two.".into()),
                (3288, 9959, "Please wait until somebody calls you back,|which should not take long.".into()),
                (9959, 14000, "Thank you for calling,|and have a good day.".into()),
            ]
        );
    }

    #[test]
    fn no_clause_is_torn_apart_for_time_alone() {
        assert_eq!(shown("Well I never", 20).len(), 1);
        assert_eq!(shown("Well, I never", 20).len(), 2);
    }

    #[test]
    fn scripts_without_spaces_are_wrapped_by_columns() {
        let cues = shown(&"今日は雨が降っています。".repeat(6), 20);
        assert_eq!(cues[0].2, "今日は雨が降っています。|今日は雨が降っています。");
        assert_eq!(cues.len(), 3);
    }

    #[test]
    fn a_word_longer_than_two_lines_is_cut() {
        let cues = shown(&"a".repeat(200), 9);
        let lines: Vec<usize> = cues.iter().map(|cue| cue.2.len()).collect();
        assert_eq!(lines, [85, 85, 32]);
    }

    #[test]
    fn pieces_without_a_millisecond_each_are_one() {
        let text = "One sentence of about forty-two columns. ".repeat(9);
        let all = pieces(text.trim(), 5, 7);
        assert_eq!((all.len(), all[0].0, all[0].1, all[0].2.len()), (1, 5, 7, 9));
    }
}
