//! Holds what ARCHITECTURE.md promises about the source itself: floors, where SQL and status codes are read, and the
//! length of files. Reads `src/` with `syn`, from `lib.rs` down, as the compiler does.

#![expect(clippy::unwrap_used, reason = "a source that cannot be read is a failed test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use syn::visit::{self, Visit};
use syn::{ItemUse, Macro, UseTree};

use self::source::{Module, files, library, src};
use self::statuses::readers_of_statuses;

#[path = "architecture/source.rs"]
mod source;
#[path = "architecture/statuses.rs"]
mod statuses;

/// Who stands where. A room imports only from strictly lower floors; rooms of one floor are strangers.
const FLOORS: &[(&str, u8)] = &[
    ("task", 0),
    ("event", 1),
    ("scan", 2),
    ("media", 2),
    ("queue", 2),
    ("velma", 2),
    ("report", 2),
    ("telemetry", 2),
    ("emulator", 2),
    ("audit", 2),
    ("notify", 2),
    ("run", 3),
    ("outputs", 3),
    ("dashboard", 3),
    ("verify", 4),
    ("config", 4),
    ("command", 5),
    ("main", 6),
];

/// The emulator reads the contract on its own: with anything of ours in it, one misreading could pass every test.
const STRANGER: &str = "emulator";

/// Words that begin or hold together a statement.
const SQL: &[&str] = &[
    "SELECT ",
    "INSERT INTO ",
    "INSERT OR ",
    "DELETE FROM ",
    "UPDATE task ",
    "CREATE TABLE ",
    "PRAGMA ",
    "BEGIN IMMEDIATE",
    " SET state ",
];

const LONGEST: usize = 500;
const LONG_FOR_A_REASON: &str = "Longer than 500 lines";

#[test]
fn every_room_imports_only_from_lower_floors() {
    assert_none(library().iter().flat_map(climbs).collect());
}

#[test]
fn the_binary_is_on_top_of_everything() {
    let text = fs::read_to_string(src().join("main.rs")).unwrap();
    assert_none(climbs(&Module::parse("main.rs", &["main"], &text)));
}

#[test]
fn every_file_of_the_source_belongs_to_a_module() {
    let known: BTreeSet<String> =
        library().into_iter().map(|m| m.file).chain(["lib.rs", "main.rs"].map(Into::into)).collect();
    let stray = files(&src()).into_iter().filter(|f| !known.contains(f));
    assert_none(stray.map(|f| format!("src/{f} is part of no module")).collect());
}

#[test]
fn every_room_has_a_floor() {
    let rooms: BTreeSet<String> = library().into_iter().filter_map(|m| m.path.first().cloned()).collect();
    let homeless = rooms.iter().filter(|room| floor(room).is_none());
    assert_none(homeless.map(|room| format!("`{room}` has no floor in the table of this test")).collect());
}

#[test]
fn sql_stands_in_the_queue_alone() {
    let elsewhere = library().into_iter().filter(|m| !m.path.starts_with(&["queue".into(), "sqlite".into()]));
    assert_none(elsewhere.flat_map(|m| statements(&m)).collect());
}

#[test]
fn status_codes_of_refusals_are_read_in_one_place() {
    let elsewhere = library().into_iter().filter(|m| {
        // Tests may well say which status they expect.
        let of_tests = m.path.last().is_some_and(|last| last == "tests");
        !of_tests && m.room() != STRANGER && !m.path.starts_with(&["velma".into(), "classify".into()])
    });
    assert_none(elsewhere.flat_map(|m| readers_of_statuses(&m)).collect());
}

#[test]
fn no_file_is_long_without_saying_why() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let all =
        ["src", "tests"].iter().flat_map(|dir| files(&root.join(dir)).into_iter().map(move |f| (dir, f)));
    assert_none(
        all.filter_map(|(dir, file)| {
            let text = fs::read_to_string(root.join(dir).join(&file)).unwrap();
            too_long(&text).map(|lines| format!("{dir}/{file} has {lines} lines and no reason at its top"))
        })
        .collect(),
    );
}

/// The tests of the tests: made-up sources that break each rule are told of.
mod a_made_up_source {
    use super::*;

    fn breaks(path: &[&str], text: &str) -> Vec<String> {
        climbs(&Module::parse(&format!("{}.rs", path.join("/")), path, text))
    }

    #[test]
    fn that_imports_a_stranger_is_told_of_in_a_sentence() {
        let told = breaks(&["scan", "walk"], "use crate::{task::Job, queue::{self, Row}};");
        assert_eq!(told, ["`scan` may not import `queue` (src/scan/walk.rs)"]);
    }

    #[test]
    fn that_reaches_up_in_an_expression_a_type_or_a_macro_is_told_of() {
        for text in [
            "fn f() { crate::command::main(); }",
            "fn f(_: Vec<crate::command::Exit>) {}",
            "impl From<crate::command::Exit> for Row {}",
            "fn f() { println!(\"{}\", crate::command::main()); }",
            "mod inner { use super::super::super::command::main; }",
            "pub use crate::command as everything;",
            "#[cfg(test)] mod tests { use crate::command::Exit; }",
            "use crate::*;",
        ] {
            assert_eq!(breaks(&["queue", "row"], text).len(), 1, "{text}");
        }
    }

    #[test]
    fn that_stays_at_home_or_goes_down_is_not() {
        for text in [
            "use crate::task::{Job, State as S}; use crate::event::About;",
            "use super::store::Row; use self::x::Y; use std::command::Z;",
            "mod tests { use super::*; use super::super::store; }",
            "fn f() { command::main(); queue::open(); }",
        ] {
            assert_eq!(breaks(&["queue", "row"], text), Vec::<String>::new(), "{text}");
        }
        assert!(breaks(&["emulator", "desk"], "use crate::emulator::Books; use super::books;").is_empty());
    }

    #[test]
    fn of_the_emulator_that_takes_even_a_word_of_ours_is_told_of() {
        assert_eq!(
            breaks(&["emulator", "desk"], "use crate::task::Endpoint;"),
            ["`emulator` may not import `task` (src/emulator/desk.rs)"]
        );
    }

    #[test]
    fn with_a_statement_or_a_status_is_told_of_and_prose_is_not() {
        let parse = |text: &str| Module::parse("run/pool.rs", &["run", "pool"], text);
        assert_eq!(statements(&parse("const A: &str = \"SELECT 1\"; fn f() { g!(\"PRAGMA x\") }")).len(), 2);
        assert!(statements(&parse("/// SELECT is a word.\nfn f() { g(\"select one\") }")).is_empty());
        for bad in [
            "fn f(status: u16) -> bool { status == 429 }",
            "fn f(a: A) -> bool { 500 <= a.http_status() }",
            "fn f(a: A) { match a.status { 400 | 422 => {} _ => {} } }",
            "fn f(a: A) { match (a.status, 1) { (500.., _) => {} _ => {} } }",
            "fn f(status: u16) -> bool { matches!(status, 503) }",
            "fn f(status: u16) -> bool { (400..500).contains(&status) }",
        ] {
            assert_eq!(readers_of_statuses(&parse(bad)).len(), 1, "{bad}");
        }
        let fine =
            "const BATCH: usize = 500; fn f(n: usize, status: u16) -> bool { n == 500 && status == 200 }";
        assert!(readers_of_statuses(&parse(fine)).is_empty());
    }

    #[test]
    fn that_is_long_needs_its_reason_at_the_top() {
        assert_eq!(too_long(&"\n".repeat(501)), Some(501));
        assert_eq!(too_long(&"\n".repeat(500)), None);
        assert_eq!(too_long(&format!("//! x\n//! {LONG_FOR_A_REASON}: y\n{}", "\n".repeat(600))), None);
        assert_eq!(too_long(&format!("{}//! {LONG_FOR_A_REASON}: y", "\n".repeat(600))), Some(601));
    }
}

fn assert_none(told: Vec<String>) {
    assert!(told.is_empty(), "\n{}\n", told.join("\n"));
}

fn floor(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

fn too_long(text: &str) -> Option<usize> {
    let lines = text.lines().count();
    let said = text.lines().take(10).any(|l| l.starts_with("//!") && l.contains(LONG_FOR_A_REASON));
    (lines > LONGEST && !said).then_some(lines)
}

/// What a file imports that it may not, one sentence each.
fn climbs(module: &Module) -> Vec<String> {
    let mut seen = Imports { at: module.path.clone(), rooms: BTreeSet::new() };
    module.items.iter().for_each(|item| seen.visit_item(item));
    let home = module.room();
    let here = floor(home).unwrap_or(u8::MAX);
    let allowed = |room: &str| home != STRANGER && floor(room).is_some_and(|there| there < here);
    seen.rooms
        .iter()
        .filter(|room| *room != home && !allowed(room))
        .map(|room| format!("`{home}` may not import `{room}` (src/{})", module.file))
        .collect()
}

/// Collects the first step of every path that begins at the crate, however it is written.
struct Imports {
    /// The module that is being read.
    at: Vec<String>,
    rooms: BTreeSet<String>,
}

impl Imports {
    /// A path as written, keywords and all. Names that begin anywhere else are not ours, or came in by a `use`.
    fn note(&mut self, steps: &[String]) {
        let mut from = self.at.clone();
        let mut rest = steps;
        match steps.first().map(String::as_str) {
            Some("crate") => from.clear(),
            Some("voxbatch") if self.at == ["main"] => from.clear(),
            Some("self" | "super") => {
                while let Some("super") = rest.first().map(String::as_str) {
                    from.pop();
                    rest = &rest[1..];
                }
                if rest.len() == steps.len() {
                    return; // `self`: at home
                }
                from.extend(rest.first().cloned());
                self.rooms.extend(from.into_iter().next());
                return;
            }
            _ => return,
        }
        self.rooms.extend(rest.get(1).cloned());
    }

    fn note_tree(&mut self, tree: &UseTree, before: &mut Vec<String>) {
        let depth = before.len();
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.note_tree(&path.tree, before);
            }
            UseTree::Name(name) => before.push(name.ident.to_string()),
            UseTree::Rename(rename) => before.push(rename.ident.to_string()),
            UseTree::Glob(_) => before.push("*".to_owned()),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.note_tree(tree, before)),
        }
        if !matches!(tree, UseTree::Path(_) | UseTree::Group(_)) {
            // `use crate::task::{self}` names `task`.
            let steps: Vec<String> = before
                .iter()
                .enumerate()
                .filter(|(i, s)| *i == 0 || *s != "self")
                .map(|(_, s)| s.clone())
                .collect();
            self.note(&steps);
        }
        before.truncate(depth);
    }
}

impl<'ast> Visit<'ast> for Imports {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.note_tree(&item.tree, &mut Vec::new());
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.content.is_some() {
            self.at.push(module.ident.to_string());
            visit::visit_item_mod(self, module);
            self.at.pop();
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let steps: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.note(&steps);
        visit::visit_path(self, path);
    }

    /// What stands in a macro is tokens only; paths are found by how they look.
    fn visit_macro(&mut self, mac: &'ast Macro) {
        visit::visit_macro(self, mac);
        let text = without_strings(&mac.tokens.to_string()).replace(' ', "");
        for (at, _) in text.match_indices("crate::") {
            let whole_word = !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
            let room: String =
                text[at + 7..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if whole_word && !room.is_empty() {
                self.rooms.insert(room);
            }
        }
    }
}

fn without_strings(tokens: &str) -> String {
    tokens.split('"').step_by(2).collect()
}

/// Strings of a file that are SQL.
fn statements(module: &Module) -> Vec<String> {
    struct Strings(Vec<String>);
    impl<'ast> Visit<'ast> for Strings {
        fn visit_attribute(&mut self, _: &'ast syn::Attribute) {} // comments for the documentation
        fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
            self.0.push(text.value());
        }
        fn visit_macro(&mut self, mac: &'ast Macro) {
            self.0.push(mac.tokens.to_string());
        }
    }
    let mut strings = Strings(Vec::new());
    module.items.iter().for_each(|item| strings.visit_item(item));
    strings
        .0
        .iter()
        .filter(|text| SQL.iter().any(|word| text.contains(word)))
        .map(|text| format!("SQL outside of queue/sqlite: {text:?} (src/{})", module.file))
        .collect()
}
