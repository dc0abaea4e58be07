//! Files that were not written in good faith, or not as text: always an error, never a panic, never for long.

use std::path::Path;

use proptest::prelude::*;

use super::super::{Code, Overrides, load};
use super::{JOB, load_str, stub};

fn code_of(path: &Path) -> (Code, String) {
    let flags = Overrides { config: Some(path.to_owned()), ..Overrides::default() };
    let error = load(&flags, &|_| None, stub).unwrap_err();
    (error.problems()[0].code, error.render())
}

#[test]
fn what_is_no_readable_text_is_told_clearly() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let huge = file("huge", &vec![b'#'; (1 << 20) + 1]);
    for (path, code, told) in [
        (folder.path().join("none.toml"), Code::Missing, "voxbatch init"),
        (folder.path().to_owned(), Code::Read, "is a folder"),
        (huge, Code::Read, "larger than 1 MiB"),
        (Path::new("/dev/zero").to_owned(), Code::Read, "larger than 1 MiB"),
        (file("latin1", b"# a\n# \xe9\n"), Code::Read, "is not UTF-8 text (line 2)"),
        (file("utf16", b"\xff\xfea\0"), Code::Read, "UTF-16"),
        (file("nul", b"a\0 = 1\n"), Code::Syntax, "line 1"),
        (file("file", b"").join("inside"), Code::Read, "cannot be read"),
    ] {
        let (found, text) = code_of(&path);
        assert!(found == code && text.contains(told), "{}: {text}", path.display());
    }
}

#[test]
fn a_folder_that_holds_the_file_is_pointed_at_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("jobs.toml"), JOB).unwrap();
    assert!(code_of(folder.path()).1.contains("did you mean"));
}

#[test]
fn deep_nesting_does_not_exhaust_the_stack() {
    let deep = 10_000;
    for text in [
        format!("a = {}{}", "[".repeat(deep), "]".repeat(deep)),
        format!("a = {}1{}", "{b=".repeat(deep), "}".repeat(deep)),
        format!("{} = 1", vec!["a"; deep].join(".")),
        format!("[{}]", vec!["a"; deep].join(".")),
        format!("{JOB}options.x = {}{}", "[".repeat(deep), "]".repeat(deep)),
        "[".repeat(100 * deep),
    ] {
        assert!(load_str(&text).is_err());
    }
}

#[test]
fn a_megabyte_of_nonsense_is_answered_soon_and_briefly() {
    let keys: String = (0..60_000).map(|n| format!("k{n} = 1\n")).collect();
    let inline: String = (0..60_000).map(|n| format!("k{n} = 1, ")).collect();
    let jobs: String = (0..20_000).map(|n| format!("[[job]]\nname = \"{n}\"\n")).collect();
    let escapes = format!("\"{}\" = 1\n", "\\u0001".repeat(100_000));
    for text in [keys, format!("x = 1\nretry = {{ {inline} z = 1 }}"), jobs, escapes] {
        let told = load_str(&text).unwrap_err().render();
        assert!(told.len() < 100_000, "{}", told.len());
    }
}

#[test]
fn what_an_error_quotes_cannot_drive_a_terminal() {
    let told = load_str(&format!("\"\\u001b[2J\u{202e}x\" = 1\n{JOB}")).unwrap_err().render();
    assert!(!told.contains('\u{1b}') && !told.contains('\u{202e}'), "{told:?}");
    let told = load_str(&format!("[log]\nlevel = \"\\u001b[2J\"\n{JOB}")).unwrap_err().render();
    assert!(!told.contains('\u{1b}'), "{told:?}");
}

/// Pieces of real files, so that texts get past the first character.
fn almost_toml() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "[",
        "]",
        "[[job]]",
        "\n",
        " = ",
        "\"",
        "'''",
        "{",
        "}",
        ",",
        ".",
        "#",
        "\\u0000",
        "\u{feff}",
        "é",
        "\r\n",
        "name",
        "endpoint",
        "\"velma-2-batch\"",
        "source",
        "options",
        "config",
        "output",
        "\"x\"",
        "\"../..\"",
        "[retry]",
        "base",
        "\"1s\"",
        "10",
        "-1",
        "1e999",
        "nan",
        "2026-01-01",
        "[limits.x]",
        "[api]",
        "base_url",
        "\"http://\"",
        "include",
        "[\"**\"]",
        "state_dir",
        "true",
        "api_key = ",
        "\"9999999999999999999h\"",
    ]);
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".*") {
        let _ = load_str(&text).map_err(|error| error.render());
    }

    #[test]
    fn nothing_that_looks_like_a_file_makes_it_panic(text in almost_toml()) {
        let _ = load_str(&text).map_err(|error| error.render());
    }

    #[test]
    fn no_value_of_a_known_setting_makes_it_panic(text in "\\PC{0,30}", at in 0usize..6) {
        let name = ["retry.base", "scan.max_file_size", "api.base_url", "log.level", "scan.settle", "state_dir"][at];
        let quoted = toml::Value::from(text).to_string();
        let _ = load_str(&format!("{name} = {quoted}\n{JOB}")).map_err(|error| error.render());
    }
}
