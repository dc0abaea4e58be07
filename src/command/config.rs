//! `config check` and `config show`: whether the file holds together, and what would be in effect.

use std::io::Write;

use anyhow::Result;
use serde_json::json;

use crate::config::{CheckOptions, Environment, Overrides, load};

/// Look at the configuration
#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub verb: ConfigVerb,
}

/// What to do with the configuration.
#[derive(Debug, clap::Subcommand)]
pub enum ConfigVerb {
    /// Say whether the file holds together; lists everything that is wrong with it
    Check {
        /// As one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Print the values in effect
    Show {
        /// Say where each value came from
        #[arg(long)]
        origin: bool,
        /// As one JSON object, always with origins
        #[arg(long)]
        json: bool,
    },
}

/// Runs the verb; what was asked for goes to `out`.
///
/// # Errors
/// `show` cannot show what does not hold together: [`ConfigError`](crate::config::ConfigError), exit code 2.
/// For `check` that is an answer, not an error: it is printed and the code is 2.
pub fn config(
    args: &ConfigArgs,
    overrides: &Overrides,
    env: Environment<'_>,
    check: CheckOptions,
    out: &mut dyn Write,
) -> Result<u8> {
    let loaded = load(overrides, env, check);
    match &args.verb {
        ConfigVerb::Check { json } => {
            // A key that is missing may come later; one that nobody could use is a mistake now.
            let wrong = match &loaded {
                Ok(config) => config.key_problem().or_else(|| config.notify().err()),
                Err(error) => Some(error.clone()),
            };
            match (&wrong, &loaded) {
                (wrong, _) if *json => {
                    let problems = wrong.as_ref().map_or_else(|| json!([]), |error| error.to_json());
                    writeln!(out, "{}", json!({ "ok": wrong.is_none(), "problems": problems }))?;
                }
                (Some(error), _) => write!(out, "{}", error.render())?,
                (None, Ok(config)) => {
                    let names: Vec<&str> = config.jobs.iter().map(|job| job.spec.name.as_str()).collect();
                    writeln!(out, "ok: {} ({})", plural(names.len()), names.join(", "))?;
                }
                (None, Err(_)) => {}
            }
            Ok(if wrong.is_some() { 2 } else { 0 })
        }
        ConfigVerb::Show { origin, json } => {
            let config = loaded?;
            if *json {
                writeln!(out, "{:#}", config.to_json())?;
            } else {
                write!(out, "{}", config.to_toml(*origin))?;
            }
            Ok(0)
        }
    }
}

fn plural(jobs: usize) -> String {
    if jobs == 1 { "1 job".to_owned() } else { format!("{jobs} jobs") }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::ConfigError;

    const GOOD: &str = "[[job]]\nname = \"a\"\nendpoint = \"velma-2-stt-batch\"\nsource = \"in\"\n";

    fn run(verb: ConfigVerb, file: &Path, key: &str) -> (Result<u8>, String) {
        let overrides = Overrides { config: Some(file.to_owned()), ..Overrides::default() };
        let env = |name: &str| (name == "VOXBATCH_API_KEY").then(|| key.into());
        let mut out = Vec::new();
        let code = config(&ConfigArgs { verb }, &overrides, &env, |_, _| Ok(()), &mut out);
        (code, String::from_utf8(out).unwrap())
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn check_says_ok_with_zero_and_lists_problems_with_two() {
        let (code, text) = run(ConfigVerb::Check { json: false }, file(GOOD).path(), "");
        assert_eq!((code.unwrap(), text.as_str()), (0, "ok: 1 job (a)\n"));

        let broken = file(&format!("{GOOD}foo = 1\n"));
        let (code, text) = run(ConfigVerb::Check { json: false }, broken.path(), "");
        let place =
            format!("unknown setting `job.foo` in {}, line 5 [E-CONF-UNKNOWN]", broken.path().display());
        assert!(code.unwrap() == 2 && text.contains(&place), "{text}");
    }

    #[test]
    fn check_tells_programs_the_same_as_people() {
        let (code, text) = run(ConfigVerb::Check { json: true }, file(GOOD).path(), "");
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((code.unwrap(), &answer), (0, &json!({ "ok": true, "problems": [] })));

        let (code, text) = run(ConfigVerb::Check { json: true }, file("[retyr]\n").path(), "");
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((code.unwrap(), &answer["ok"]), (2, &json!(false)));
        assert_eq!(answer["problems"][1]["code"], "E-CONF-UNKNOWN");
        assert_eq!(answer["problems"][1]["line"], 1);
    }

    #[test]
    fn check_refuses_a_key_that_nobody_could_use() {
        let (code, text) = run(ConfigVerb::Check { json: false }, file(GOOD).path(), "two words");
        assert!(code.unwrap() == 2 && text.contains("E-CONF-KEY") && !text.contains("two words"), "{text}");
    }

    #[test]
    fn show_prints_values_with_origins_and_never_the_key() {
        let file = file(&format!("{GOOD}[retry]\nbase = \"3s\"\n"));
        let verb = ConfigVerb::Show { origin: true, json: false };
        let (code, text) = run(verb, file.path(), "mk-0123456789");
        assert_eq!(code.unwrap(), 0);
        let line = text.lines().find(|line| line.starts_with("retry.base = ")).unwrap();
        assert!(
            line.starts_with("retry.base = \"3s\"")
                && line.ends_with(&format!("{}:6", file.path().display()))
        );
        assert!(text.contains("…6789 from env VOXBATCH_API_KEY") && !text.contains("mk-0"), "{text}");

        let (_, text) = run(ConfigVerb::Show { origin: false, json: true }, file.path(), "mk-0123456789");
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["api_key"], json!({ "hint": "…6789", "origin": "env VOXBATCH_API_KEY" }));
        assert_eq!(answer["jobs"][0]["name"]["value"], "a");
    }

    #[test]
    fn show_of_a_broken_file_is_an_error_of_the_configuration() {
        let (code, text) = run(ConfigVerb::Show { origin: false, json: false }, file("x = 1").path(), "");
        assert!(code.unwrap_err().is::<ConfigError>() && text.is_empty());
    }
}
