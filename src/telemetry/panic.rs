//! What a bug says of itself. A message put together at run time can quote what it was working on (a slice of a
//! transcript, a body that did not parse), so only words that stand in the program are repeated.

use std::any::Any;
use std::panic;

/// Replaces the standard report of a panic: `write` gets the text, with a line end, once for each panic. The exit
/// code is the caller's.
pub fn install_panic_hook(write: impl Fn(&str) + Send + Sync + 'static) {
    panic::set_hook(Box::new(move |info| {
        let place = info.location().map(|at| format!("{}:{}:{}", at.file(), at.line(), at.column()));
        write(&report(words(info.payload()), place.as_deref()));
    }));
}

/// The message, when it is a constant of the program.
fn words(payload: &(dyn Any + Send)) -> Option<&'static str> {
    payload.downcast_ref::<&'static str>().copied()
}

fn report(words: Option<&str>, place: Option<&str>) -> String {
    let words = words.unwrap_or("(the message is withheld, it may quote a recording)");
    let place = place.unwrap_or("an unknown place");
    format!(
        "error: a bug in voxbatch: {words} [E-BUG]\n  why    at {place}, version {}\n  mend   please report it with \
         these lines; then: voxbatch run\n  state  results that were received are kept; the next run goes on from there\n",
        env!("CARGO_PKG_VERSION")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caught(bug: impl FnOnce() + panic::UnwindSafe) -> Box<dyn Any + Send> {
        panic::catch_unwind(bug).unwrap_err()
    }

    #[test]
    fn words_of_the_program_are_repeated_and_words_put_together_are_not() {
        let fixed = caught(|| panic!("the fence went backwards"));
        assert_eq!(words(&*fixed), Some("the fence went backwards"));
        let spoken = String::from("my card number is");
        let quoting = caught(move || panic!("cannot parse {spoken}"));
        assert_eq!(words(&*quoting), None);
        assert_eq!(words(&7), None);
    }

    #[test]
    fn a_bug_says_where_and_what_to_do() {
        let text = report(Some("the fence went backwards"), Some("src/run/worker.rs:7:1"));
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            text.replace(version, "VERSION"),
            "error: a bug in voxbatch: the fence went backwards [E-BUG]\n\
             \x20 why    at src/run/worker.rs:7:1, version VERSION\n\
             \x20 mend   please report it with these lines; then: voxbatch run\n\
             \x20 state  results that were received are kept; the next run goes on from there\n"
        );
        assert!(report(None, None).contains("withheld"));
    }
}
