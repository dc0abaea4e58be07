//! The source as the compiler reads it: from `lib.rs` down, each file with its place in the tree of modules.

use std::fs;
use std::path::{Path, PathBuf};

use syn::{Expr, Item, Lit, Meta};

pub(super) fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every Rust file below a folder, relative to it, in order.
pub(super) fn files(folder: &Path) -> Vec<String> {
    let entries = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(Result::unwrap);
    entries
        .filter(|e| e.path().extension().is_some_and(|x| x == "rs"))
        .map(|e| e.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned())
        .collect()
}

/// A file of the library and where it stands in the tree of modules.
pub(super) struct Module {
    /// Relative to `src`.
    pub(super) file: String,
    pub(super) path: Vec<String>,
    pub(super) items: Vec<Item>,
}

impl Module {
    pub(super) fn parse(file: &str, path: &[&str], text: &str) -> Module {
        let items = syn::parse_file(text).unwrap_or_else(|e| panic!("{file}: {e}")).items;
        Module { file: file.to_owned(), path: path.iter().map(|s| (*s).to_owned()).collect(), items }
    }

    pub(super) fn room(&self) -> &str {
        &self.path[0]
    }
}

/// Every file of the library but `lib.rs`, which is read to see that it holds nothing but modules.
pub(super) fn library() -> Vec<Module> {
    let mut found = Vec::new();
    let items = syn::parse_file(&fs::read_to_string(src().join("lib.rs")).unwrap()).unwrap().items;
    assert!(items.iter().all(|i| matches!(i, Item::Mod(_))), "lib.rs declares modules and nothing else");
    follow(&items, &src(), &[], &mut found);
    found
}

/// Reads the files that modules are declared to be in; `folder` is where the declaring module keeps them.
fn follow(items: &[Item], folder: &Path, path: &[String], found: &mut Vec<Module>) {
    for item in items {
        let Item::Mod(module) = item else { continue };
        let name = module.ident.to_string();
        let path: Vec<String> = path.iter().cloned().chain([name.clone()]).collect();
        if let Some((_, items)) = &module.content {
            follow(items, &folder.join(&name), &path, found);
            continue;
        }
        let elsewhere = module.attrs.iter().find_map(|a| match &a.meta {
            Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
                Expr::Lit(text) => match &text.lit {
                    Lit::Str(text) => Some(text.value()),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        });
        let file = match elsewhere {
            // Relative to the folder of the declaring file, which is the parent unless that is a `mod.rs`.
            Some(at) => {
                [folder, folder.parent().unwrap()].map(|f| f.join(&at)).into_iter().find(|f| f.exists())
            }
            None => [format!("{name}.rs"), format!("{name}/mod.rs")]
                .map(|f| folder.join(f))
                .into_iter()
                .find(|f| f.exists()),
        };
        let file = file.unwrap_or_else(|| panic!("no file for the module {}", path.join("::")));
        let text = fs::read_to_string(&file).unwrap();
        let relative = file.strip_prefix(src()).unwrap().to_str().unwrap();
        let steps: Vec<&str> = path.iter().map(String::as_str).collect();
        let module = Module::parse(relative, &steps, &text);
        follow(&module.items, &folder.join(&name), &path, found);
        found.push(module);
    }
}
