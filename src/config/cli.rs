//! What flags can say about the configuration: the same settings as in the file, for one call.

use std::ffi::OsString;
use std::path::PathBuf;

/// Flags that every verb takes. Each stands for a setting and wins over its variable, which wins over the file.
///
/// Variables are read by [`load`](super::load), by the same rule for every setting, so that `config show --origin`
/// can tell them from flags. There is no flag for the key: it would show in the list of processes.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Configuration")]
pub struct Overrides {
    /// The file of jobs and settings [default: jobs.toml] [env: VOXBATCH_CONFIG]
    #[arg(short, long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder of the queue [default: .voxbatch beside the file] [env: VOXBATCH_STATE_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// At most this many requests at once; never more than an endpoint's limit [env: VOXBATCH_SLOTS]
    #[arg(short = 'j', long, global = true, value_name = "N")]
    pub slots: Option<String>,
    /// Scheme and host of the API [env: VOXBATCH_API_BASE_URL]
    #[arg(long, global = true, value_name = "URL")]
    pub base_url: Option<String>,
    /// A file that holds the API key and nothing else [env: VOXBATCH_API_KEY_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,
    /// Tries for each recording, the first included [env: VOXBATCH_RETRY_MAX_ATTEMPTS]
    #[arg(long, global = true, value_name = "N")]
    pub max_attempts: Option<String>,
    /// Stop before so many hours of audio are billed, counted on from the budget's first run [env: VOXBATCH_RUN_BUDGET_HOURS]
    #[arg(long, global = true, value_name = "HOURS")]
    pub budget_hours: Option<String>,
    /// The same in US dollars, by the prices in jobs.toml [env: VOXBATCH_RUN_BUDGET_COST]
    #[arg(long, global = true, value_name = "DOLLARS")]
    pub budget_cost: Option<String>,
    /// Leave files alone that changed within this time, such as 10s [env: VOXBATCH_SCAN_SETTLE]
    #[arg(long, global = true, value_name = "TIME")]
    pub settle: Option<String>,
    /// error, warn, info, debug, trace, or a filter such as voxbatch=debug [env: VOXBATCH_LOG_LEVEL]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// text or json [env: VOXBATCH_LOG_FORMAT]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// How names of recordings appear in logs: full, hash or none [env: VOXBATCH_LOG_PATHS]
    #[arg(long, global = true, value_name = "HOW")]
    pub log_paths: Option<String>,
}

/// What a flag said about a setting.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) setting: &'static str,
    pub(super) flag: &'static str,
    pub(super) value: OsString,
}

impl Overrides {
    /// What was said, by setting. `config` is none: it says where the settings are.
    pub(super) fn said(&self) -> Vec<Said> {
        let path = |path: &Option<PathBuf>| path.clone().map(PathBuf::into_os_string);
        let word = |word: &Option<String>| word.clone().map(OsString::from);
        [
            ("state_dir", "--state-dir", path(&self.state_dir)),
            ("slots", "--slots", word(&self.slots)),
            ("api.base_url", "--base-url", word(&self.base_url)),
            ("api.api_key_file", "--api-key-file", path(&self.api_key_file)),
            ("retry.max_attempts", "--max-attempts", word(&self.max_attempts)),
            ("run.budget_hours", "--budget-hours", word(&self.budget_hours)),
            ("run.budget_cost", "--budget-cost", word(&self.budget_cost)),
            ("scan.settle", "--settle", word(&self.settle)),
            ("log.level", "--log-level", word(&self.log_level)),
            ("log.format", "--log-format", word(&self.log_format)),
            ("log.paths", "--log-paths", word(&self.log_paths)),
        ]
        .into_iter()
        .filter_map(|(setting, flag, value)| Some(Said { setting, flag, value: value? }))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, CommandFactory as _};

    use super::super::reader::env_name;
    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        overrides: Overrides,
    }

    #[test]
    fn every_flag_tells_its_variable_by_the_rule() {
        let all = Some(String::from("x"));
        let path = Some(PathBuf::from("x"));
        let overrides = Overrides {
            config: path.clone(),
            state_dir: path.clone(),
            slots: all.clone(),
            base_url: all.clone(),
            api_key_file: path,
            max_attempts: all.clone(),
            budget_hours: all.clone(),
            budget_cost: all.clone(),
            settle: all.clone(),
            log_level: all.clone(),
            log_format: all.clone(),
            log_paths: all,
        };
        let command = Overrides::augment_args(clap::Command::new("x"));
        for said in overrides.said() {
            let arg = command
                .get_arguments()
                .find(|arg| Some(said.flag.trim_start_matches("--")) == arg.get_long())
                .unwrap_or_else(|| panic!("no {}", said.flag));
            let help = arg.get_help().unwrap().to_string();
            assert!(help.contains(&format!("[env: {}]", env_name(said.setting))), "{help}");
        }
        assert_eq!(
            overrides.said().len() + 1,
            command.get_arguments().count(),
            "each but --config is a setting"
        );
    }

    #[test]
    fn there_is_no_flag_for_the_key_itself() {
        Cli::command().debug_assert();
        assert!(Cli::command().try_get_matches_from(["x", "--api-key", "abc"]).is_err());
    }
}
