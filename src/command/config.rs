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
                Ok(config) => config.key_problem(),
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
