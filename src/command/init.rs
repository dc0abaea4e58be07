//! `init`: writes a commented `jobs.toml`. Never over one that exists, unless told to.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::config::{Code, ConfigError, Overrides, Problem, example, load_text, starter};
use crate::task::Endpoint;

/// Write a commented jobs.toml
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// Folder or file of recordings
    #[arg(long, value_name = "PATH", default_value = "recordings")]
    pub source: PathBuf,
    /// The model
    #[arg(long, value_name = "NAME", default_value = "velma-2-stt-batch", value_parser = endpoint)]
    pub endpoint: Endpoint,
    /// Write every setting with its default
    #[arg(long)]
    pub full: bool,
    /// Where to write; `-` prints it [default: jobs.toml, or what --config says]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Replace a file that exists
    #[arg(long)]
    pub force: bool,
}

fn endpoint(name: &str) -> Result<Endpoint, String> {
    name.parse().map_err(|error| {
        let known = Endpoint::ALL.map(Endpoint::name).join(", ");
        format!("{error}; known: {known}")
    })
}

/// Writes the file, or prints it to `out`.
///
/// # Errors
/// The file exists, cannot be written, or the source's name cannot stand in a TOML file. Exit code 2.
pub fn init(args: &InitArgs, overrides: &Overrides, out: &mut dyn Write) -> Result<u8> {
    let target =
        args.output.clone().or_else(|| overrides.config.clone()).unwrap_or_else(|| "jobs.toml".into());
    let folder = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let source = source_in_file(&args.source, folder)?;
    let name = job_name(&args.source);
    let text = if args.full { example } else { starter }(&name, &source, args.endpoint);
    // What init writes must be something that run can read.
    load_text(&text, folder, &Overrides::default(), &|_| None, |_, _| Ok(()))?;

    if target == Path::new("-") {
        out.write_all(text.as_bytes())?;
        return Ok(0);
    }
    write_new(&target, folder, &text, args.force)?;
    writeln!(out, "wrote {}", target.display())?;
    writeln!(out, "next   set `concurrent` to your organisation's limit, then: voxbatch config check")?;
    Ok(0)
}

/// What was typed is relative to the current folder, what stands in the file to the file's: they differ unless both are one.
fn source_in_file(source: &Path, folder: &Path) -> Result<String> {
    let here = folder == Path::new(".") || folder.canonicalize().ok() == Path::new(".").canonicalize().ok();
    let path = if source.is_absolute() || here { source.to_owned() } else { std::path::absolute(source)? };
    match path.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => {
            let what = format!("the source {} is not UTF-8, which a TOML file has to be", path.display());
            let mend = "rename it, or let --source name a folder above it";
            Err(ConfigError::from(Problem::new(Code::Value, what).mend(mend)).into())
        }
    }
}

/// The source's own name, as far as a job's name can hold it.
fn job_name(source: &Path) -> String {
    let stem = source.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name: String = stem.chars().map(|c| if legal(c) { c } else { '-' }).take(64).collect();
    match name.trim_matches('-') {
        "" => "archive".to_owned(),
        name => name.to_owned(),
    }
}

/// Beside, then renamed: half a file is never there. Temporary files are born 0600 and stay so.
fn write_new(target: &Path, folder: &Path, text: &str, force: bool) -> Result<()> {
    let refuse = |error: std::io::Error| {
        let name = target.display();
        ConfigError::from(match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                Problem::new(Code::Exists, format!("{name} is there already"))
                    .mend("replace it: voxbatch init --force        only print it: voxbatch init -o -")
            }
            _ => Problem::new(Code::Read, format!("{name} cannot be written: {error}")),
        })
    };
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(refuse)?;
    file.write_all(text.as_bytes()).map_err(refuse)?;
    file.as_file().sync_all().map_err(refuse)?;
    let written = if force { file.persist(target) } else { file.persist_noclobber(target) };
    written.map(drop).map_err(|error| refuse(error.error).into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::config::load;

    fn args(output: &Path) -> InitArgs {
        InitArgs {
            source: "/data/night calls".into(),
            endpoint: Endpoint::PiiPhiRedactionBatch,
            full: false,
            output: Some(output.to_owned()),
            force: false,
        }
    }

    fn run(args: &InitArgs) -> (Result<u8>, String) {
        let mut out = Vec::new();
        let code = init(args, &Overrides::default(), &mut out);
        (code, String::from_utf8(out).unwrap())
    }

    #[test]
    fn it_writes_a_private_file_that_loads_short_or_full() {
        let folder = tempfile::tempdir().unwrap();
        for full in [false, true] {
            let path = folder.path().join(format!("{full}.toml"));
            assert_eq!(run(&InitArgs { full, ..args(&path) }).0.unwrap(), 0);
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            let overrides = Overrides { config: Some(path), ..Overrides::default() };
            let config = load(&overrides, &|_| None, |_, _| Ok(())).unwrap();
            let job = &config.jobs[0];
            assert_eq!(
                (job.spec.name.as_str(), job.spec.endpoint),
                ("night-calls", Endpoint::PiiPhiRedactionBatch)
            );
            assert_eq!(job.source, Path::new("/data/night calls"));
        }
    }

    #[test]
    fn it_never_writes_over_a_file_unless_told_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jobs.toml");
        std::fs::write(&path, "mine").unwrap();
        let error = run(&args(&path)).0.unwrap_err();
        assert_eq!(error.downcast::<ConfigError>().unwrap().problems()[0].code, Code::Exists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");

        assert_eq!(run(&InitArgs { force: true, ..args(&path) }).0.unwrap(), 0);
        assert!(std::fs::read_to_string(&path).unwrap().contains("night calls"));
    }

    #[test]
    fn a_dash_prints_the_text_and_nothing_else() {
        let (code, text) = run(&InitArgs { full: true, ..args(Path::new("-")) });
        assert_eq!(code.unwrap(), 0);
        assert!(text.starts_with("# voxbatch") && text.ends_with('\n'), "{text}");
        assert!(!Path::new("-").exists());
    }

    #[test]
    fn a_relative_source_is_made_absolute_for_a_file_in_another_folder() {
        let folder = tempfile::tempdir().unwrap();
        let here = std::path::absolute("recordings").unwrap();
        assert_eq!(source_in_file(Path::new("recordings"), folder.path()).unwrap(), here.to_str().unwrap());
        assert_eq!(source_in_file(Path::new("recordings"), Path::new(".")).unwrap(), "recordings");
    }

    #[test]
    fn a_source_that_toml_cannot_hold_is_refused() {
        use std::os::unix::ffi::OsStrExt as _;
        let source = std::ffi::OsStr::from_bytes(b"/a\xff").into();
        let error = run(&InitArgs { source, ..args(Path::new("-")) }).0.unwrap_err();
        assert!(error.is::<ConfigError>());
    }

    #[test]
    fn a_name_comes_from_the_source_as_far_as_names_go() {
        for (source, name) in
            [("a/calls 2026.d", "calls-2026"), ("..", "archive"), ("/", "archive"), ("é", "archive")]
        {
            assert_eq!(job_name(Path::new(source)), name);
        }
    }
}
