//! The API's tags in what it says was said, and everything else that is no text on one line.

/// Text on one line, words apart by one space, without control characters. A tag with nothing in it becomes its
/// category in brackets, `[NAME]`; one around words leaves them, unless the text is a redaction: what stands in the
/// tag of a redaction is not for anybody, whoever left it there.
pub(super) fn plain(text: &str, redacted: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let Some((tag, behind)) = Tag::read(rest) else {
            out.push('<');
            rest = &rest[1..];
            continue;
        };
        match tag.closing.then_some(0).or_else(|| tag.end_of_content(behind)) {
            // It closes nothing that was opened.
            Some(0) if tag.closing => rest = behind,
            Some(end) if redacted || behind[..end].trim().is_empty() => {
                out.push_str(&tag.marker());
                rest = &behind[end..];
            }
            // The words stay; the tag that closes them goes when it comes.
            Some(_) => rest = behind,
            None => {
                out.push_str(&tag.marker());
                rest = behind;
            }
        }
    }
    out.push_str(rest);
    one_line(&out)
}

/// `<pii>`, `<phi>`, `<pii:category>`, or the end of one.
struct Tag<'a> {
    closing: bool,
    /// `pii` or `phi`, and what follows the colon.
    kind: &'a str,
    category: &'a str,
}

impl<'a> Tag<'a> {
    /// The tag that the text begins with, and what comes behind it.
    fn read(text: &'a str) -> Option<(Tag<'a>, &'a str)> {
        let text = text.strip_prefix('<')?;
        let (closing, text) = text.strip_prefix('/').map_or((false, text), |text| (true, text));
        let kind = ["pii", "phi"].into_iter().find(|kind| text.starts_with(kind))?;
        let text = &text[kind.len()..];
        let end = text.find('>')?;
        let category = match &text[..end] {
            "" => "",
            named => named.strip_prefix(':')?,
        };
        let legal = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ');
        category.chars().all(legal).then_some((Tag { closing, kind, category }, &text[end + 1..]))
    }

    /// Where the same tag ends that the text stands in, or `None` if it never does.
    fn end_of_content(&self, text: &str) -> Option<usize> {
        let end = match self.category {
            "" => format!("</{}>", self.kind),
            category => format!("</{}:{category}>", self.kind),
        };
        text.find(&end)
    }

    fn marker(&self) -> String {
        let word = if self.category.is_empty() { self.kind } else { self.category };
        format!("[{}]", word.trim().to_uppercase())
    }
}

/// White space of every kind is one space, and what a terminal or a player would act on is none.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    let is_gap = |c: char| c.is_control() || (c.is_whitespace() && c != '\u{A0}' && c != '\u{202F}');
    for word in text.split(is_gap).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        // A mark of byte order inside a text is nothing that anybody sees.
        line.extend(word.chars().filter(|c| *c != '\u{FEFF}'));
    }
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_become_words_and_everything_else_stays() {
        for (given, open, redacted) in [
            ("I am <pii:name></pii:name>.", "I am [NAME].", "I am [NAME]."),
            (
                "I am <pii:firstname>Alex</pii:firstname> <phi>ill</phi>.",
                "I am Alex ill.",
                "I am [FIRSTNAME] [PHI].",
            ),
            ("<pii:date_of_birth> </pii:date_of_birth>", "[DATE_OF_BIRTH]", "[DATE_OF_BIRTH]"),
            ("<pii></pii> <phi></phi>", "[PII] [PHI]", "[PII] [PHI]"),
            ("<pii:name>left open", "[NAME]left open", "[NAME]left open"),
            ("closed</pii:name> only", "closed only", "closed only"),
            ("[REDACTED] stays, 1 < 2 <b>", "[REDACTED] stays, 1 < 2 <b>", "[REDACTED] stays, 1 < 2 <b>"),
            ("<pii:a\"b></pii> <piiano>", "<pii:a\"b> <piiano>", "<pii:a\"b> <piiano>"),
        ] {
            assert_eq!(plain(given, false), open);
            assert_eq!(plain(given, true), redacted, "as a redaction");
        }
    }

    #[test]
    fn a_tag_in_a_tag_of_a_redaction_takes_its_content_with_it() {
        assert_eq!(plain("<pii:name><pii:x>Al</pii:x>ex</pii:name>!", true), "[NAME]!");
    }

    #[test]
    fn text_is_one_line_without_anything_that_acts() {
        assert_eq!(plain(" a\r\n\n\tb\u{2028}c\u{0}\u{1b}[31md\u{feff} ", false), "a b c [31md");
        assert_eq!(plain("10\u{A0}000", false), "10\u{A0}000");
        assert_eq!(plain("\n \u{feff}", false), "");
    }
}
