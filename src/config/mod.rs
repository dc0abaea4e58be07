//! Fills every room's settings from flags, environment, file and defaults, in this order, and says of each value
//! where it came from. Whether sources exist and keys are accepted is left to the rooms that use them.
//!
//! The flow: `file` (text, lines) → `reader` (layers, unknown names) with `value` (kinds) → `resolve` and `job`
//! → [`Config`]. A new setting is one line in `resolve`, one in `jobs.example.toml`; its variable, its origin,
//! `config show` and the suggestions follow from the name.

mod address;
mod cli;
mod error;
mod example;
mod file;
mod job;
mod key;
mod media;
mod money;
mod notify;
mod options;
mod origin;
mod reader;
mod resolve;
mod show;
#[cfg(test)]
mod tests;
mod value;

pub use cli::Overrides;
pub use error::{CheckOptions, Code, ConfigError, OptionProblem, Place, Problem};
pub use example::{EXAMPLE, example, starter};
pub use job::JobConfig;
pub use key::KeyOrigin;
pub use origin::{Effective, Origin};
pub use reader::Environment;
pub use resolve::{ApiSettings, Config, PlatformApiSettings, load, load_text};
