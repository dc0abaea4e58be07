//! What was asked for on the command line.

use std::path::{Path, PathBuf};

pub(crate) const HELP: &str = "\
compare --voxbatch PATH [--only small,tail,…] [--clients curl,aiohttp,…] [--quick] [--million] [--rounds N]
        [--data DIR] [--out DIR] [--into PAGE.md]

  --voxbatch PATH   the release binary that is measured; default ../target/release/voxbatch
  --only LIST       these scenarios: small, tail, big, held, scan, halt, shared, growth, start
  --clients LIST    only peers whose names hold one of these words; voxbatch and the floor take part in any case
  --quick           one round, few and small files: does everything work?
  --million         also 1,000,000 files and 10,000,000 rows (some GB of disk, and an hour)
  --rounds N        turns of each client; default 5, with --quick 1
  --data DIR        where recordings and queues are made; kept for the next time; default bench/data
  --out DIR         where performance.md and performance.json go; default bench/out
  --into PAGE.md    put the tables between the marks of this page as well, and the plot beside it";

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) voxbatch: PathBuf,
    pub(crate) only: Vec<String>,
    pub(crate) clients: Vec<String>,
    pub(crate) quick: bool,
    pub(crate) million: bool,
    pub(crate) rounds: usize,
    pub(crate) data: PathBuf,
    pub(crate) out: PathBuf,
    pub(crate) into: Option<PathBuf>,
}

impl Settings {
    /// `None` when help is wanted.
    pub(crate) fn from_args() -> Result<Option<Settings>, lexopt::Error> {
        use lexopt::prelude::*;
        let home = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut settings = Settings {
            voxbatch: home.join("../target/release/voxbatch"),
            only: Vec::new(),
            clients: Vec::new(),
            quick: false,
            million: false,
            rounds: 0,
            data: home.join("data"),
            out: home.join("out"),
            into: None,
        };
        let mut args = lexopt::Parser::from_env();
        while let Some(arg) = args.next()? {
            match arg {
                Long("voxbatch") => settings.voxbatch = args.value()?.into(),
                Long("only") => settings.only = list(args.value()?.string()?),
                Long("clients") => settings.clients = list(args.value()?.string()?),
                Long("quick") => settings.quick = true,
                Long("million") => settings.million = true,
                Long("rounds") => settings.rounds = args.value()?.parse()?,
                Long("data") => settings.data = args.value()?.into(),
                Long("out") => settings.out = args.value()?.into(),
                Long("into") => settings.into = Some(args.value()?.into()),
                Long("help") | Short('h') => return Ok(None),
                _ => return Err(arg.unexpected()),
            }
        }
        if settings.rounds == 0 {
            settings.rounds = if settings.quick { 1 } else { 5 };
        }
        // Commands run in folders of their own.
        let missing = |path: &Path, e| format!("{}: {e}", path.display());
        settings.voxbatch = settings.voxbatch.canonicalize().map_err(|e| missing(&settings.voxbatch, e))?;
        std::fs::create_dir_all(&settings.data).map_err(|e| missing(&settings.data, e))?;
        settings.data = settings.data.canonicalize().map_err(|e| missing(&settings.data, e))?;
        if let Some(unknown) =
            settings.only.iter().find(|name| !crate::scenarios::ALL.iter().any(|s| s.name == **name))
        {
            return Err(format!("there is no scenario `{unknown}`").into());
        }
        Ok(Some(settings))
    }

    pub(crate) fn wants(&self, scenario: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == scenario)
    }

    /// Whether a client takes part, by its name.
    pub(crate) fn invites(&self, client: &str) -> bool {
        self.clients.is_empty() || self.clients.iter().any(|word| client.contains(word.as_str()))
    }

    /// How to ask for the same again.
    pub(crate) fn in_words(&self) -> String {
        let mut words = format!("just bench --rounds {}", self.rounds);
        for (flag, is_set) in [("--quick", self.quick), ("--million", self.million)] {
            words.extend(is_set.then(|| format!(" {flag}")));
        }
        for (flag, list) in [("--only", &self.only), ("--clients", &self.clients)] {
            words.extend((!list.is_empty()).then(|| format!(" {flag} {}", list.join(","))));
        }
        words
    }

    /// The number for a real comparison, or the one for a quick look.
    pub(crate) fn pick<T>(&self, real: T, quick: T) -> T {
        if self.quick { quick } else { real }
    }

    /// A program that was built with this one.
    pub(crate) fn tool(name: &str) -> PathBuf {
        std::env::current_exe().unwrap_or_default().with_file_name(name)
    }
}

fn list(words: String) -> Vec<String> {
    words.split(',').map(str::to_owned).collect()
}
