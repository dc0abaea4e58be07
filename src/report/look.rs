//! How a stream wants to be written to: colour, alphabet and width, judged for each stream by itself.
//! Decides from values; reading the environment and the terminal is left to the caller.

use console::{Style, Term};

use super::format;

/// What `--color` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ColorChoice {
    /// By the stream and the environment.
    #[default]
    Auto,
    /// Yes, also into a file.
    Always,
    /// No.
    Never,
}

/// What is known of stdout or stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stream {
    /// A person looks at it.
    pub tty: bool,
    /// Columns, when it has any.
    pub columns: Option<usize>,
}

impl Stream {
    /// This process's stdout.
    pub fn stdout() -> Self {
        Stream::of(&Term::stdout())
    }

    /// This process's stderr.
    pub fn stderr() -> Self {
        Stream::of(&Term::stderr())
    }

    fn of(term: &Term) -> Self {
        Stream { tty: term.is_term(), columns: term.size_checked().map(|(_, columns)| usize::from(columns)) }
    }

    /// Whether lines can be drawn over: a terminal that can move its cursor.
    pub fn can_redraw(self, env: &dyn Fn(&str) -> Option<String>) -> bool {
        self.tty && env("TERM").as_deref() != Some("dumb")
    }
}

/// How to write to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Columns a line may take.
    pub width: usize,
    /// Nothing but ASCII.
    pub ascii: bool,
    /// ANSI colours, always as a second signal beside the words.
    pub color: bool,
}

impl Look {
    /// Columns where a stream has none of its own.
    pub const WIDTH: usize = 80;

    /// Judges a stream. `env` looks up an environment variable: `NO_COLOR` beats `CLICOLOR_FORCE` and
    /// `FORCE_COLOR`, which beat a dumb or absent terminal; the choice beats them all.
    pub fn judge(
        choice: ColorChoice,
        ascii: bool,
        stream: Stream,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Self {
        let set = |name: &str| env(name).is_some_and(|value| !value.is_empty());
        let forced = |name: &str| env(name).is_some_and(|value| !value.is_empty() && value != "0");
        let color = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto if set("NO_COLOR") => false,
            ColorChoice::Auto if forced("CLICOLOR_FORCE") || forced("FORCE_COLOR") => true,
            ColorChoice::Auto => stream.can_redraw(env),
        };
        let locale =
            ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(env).find(|value| !value.is_empty());
        let foreign = locale.is_some_and(|value| {
            let value = value.to_ascii_lowercase();
            !value.contains("utf-8") && !value.contains("utf8")
        });
        let dumb = env("TERM").as_deref() == Some("dumb");
        Look { width: stream.columns.unwrap_or(Look::WIDTH), ascii: ascii || dumb || foreign, color }
    }
}

/// What a piece of a line means; its colour follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    Label,
    Good,
    Wait,
    Bad,
}

impl Look {
    /// A piece of text as this stream shows it.
    pub(super) fn paint(&self, paint: Paint, text: &str) -> String {
        let text = if self.ascii { format::to_ascii(text) } else { text.to_owned() };
        if !self.color {
            return text;
        }
        let style = Style::new().force_styling(true);
        let style = match paint {
            Paint::Plain => return text,
            Paint::Label => style.dim(),
            Paint::Good => style.green(),
            Paint::Wait => style.yellow(),
            Paint::Bad => style.red(),
        };
        style.apply_to(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTY: Stream = Stream { tty: true, columns: Some(120) };
    const PIPE: Stream = Stream { tty: false, columns: None };

    fn look(stream: Stream, vars: &[(&str, &str)]) -> Look {
        let env = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Look::judge(ColorChoice::Auto, false, stream, &env)
    }

    #[test]
    fn colour_follows_the_stream_unless_the_environment_says_otherwise() {
        assert!(look(TTY, &[]).color);
        assert!(!look(PIPE, &[]).color);
        assert!(!look(TTY, &[("TERM", "dumb")]).color);
        assert!(!look(TTY, &[("NO_COLOR", "1")]).color);
        assert!(look(TTY, &[("NO_COLOR", "")]).color, "set but empty means nothing");
        assert!(look(PIPE, &[("FORCE_COLOR", "1")]).color);
        assert!(look(PIPE, &[("CLICOLOR_FORCE", "1")]).color);
        assert!(!look(PIPE, &[("CLICOLOR_FORCE", "0")]).color);
        assert!(!look(PIPE, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).color);
    }

    #[test]
    fn what_was_typed_beats_the_environment() {
        let no_color = |name: &str| (name == "NO_COLOR").then(|| "1".to_owned());
        assert!(Look::judge(ColorChoice::Always, false, PIPE, &no_color).color);
        assert!(!Look::judge(ColorChoice::Never, false, TTY, &|_| None).color);
        assert!(Look::judge(ColorChoice::Auto, true, TTY, &|_| None).ascii);
    }

    #[test]
    fn another_encoding_or_a_dumb_terminal_gets_ascii() {
        assert!(!look(TTY, &[]).ascii);
        assert!(!look(TTY, &[("LANG", "de_DE.UTF-8")]).ascii);
        assert!(!look(TTY, &[("LC_ALL", "C.utf8"), ("LANG", "de_DE")]).ascii);
        assert!(look(TTY, &[("LANG", "de_DE.ISO-8859-1")]).ascii);
        assert!(look(TTY, &[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]).ascii);
        assert!(look(TTY, &[("TERM", "dumb")]).ascii);
    }

    #[test]
    fn a_dumb_terminal_cannot_be_drawn_over() {
        assert!(TTY.can_redraw(&|_| None));
        assert!(!TTY.can_redraw(&|name| (name == "TERM").then(|| "dumb".to_owned())));
        assert!(!PIPE.can_redraw(&|_| None));
        assert_eq!((look(TTY, &[]).width, look(PIPE, &[]).width), (120, 80));
    }
}
