//! Two texts with a grammar of their own: the API's address and the log filter.

use std::net::IpAddr;

use reqwest::Url;

use super::error::did_you_mean;
use super::value::Wrong;

/// An address as the client needs it: scheme and host. What would send the key astray is refused, and not repeated.
pub(super) fn base_url(text: &str) -> Result<String, Wrong> {
    let example = || "write for example \"https://modulate-developer-apis.com\"".to_owned();
    let url = Url::parse(text).map_err(|error| Wrong::value(format!("is no address: {error}"), example()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Wrong::value("must begin with https://", example()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Wrong::value(
            "must not hold a name or a password",
            "keys travel in a header; see api_key_file".to_owned(),
        ));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        let origin = url.origin().ascii_serialization();
        return Err(Wrong::value("must end after the host", format!("write \"{origin}\"")));
    }
    if url.scheme() == "http" && !is_loopback(&url) {
        let host = url.host_str().unwrap_or_default();
        return Err(Wrong::value(
            "must be https: with http the key would travel in clear",
            format!("write \"https://{host}\"; http is for this machine only"),
        ));
    }
    Ok(url.origin().ascii_serialization())
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A level or a filter. A level that is misspelt would pass as the name of a module, and log nothing.
pub(super) fn log_level(text: &str) -> Result<String, Wrong> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    let known = LEVELS.contains(&text.to_ascii_lowercase().as_str());
    if !known && !text.contains('=') {
        let hint = did_you_mean(text, LEVELS).unwrap_or_else(|| format!("one of: {}", LEVELS.join(", ")));
        return Err(Wrong::value(format!("knows no `{text}`"), hint));
    }
    // The parser slices other letters in half, and no module's name has them.
    if !text.is_ascii() {
        return Err(Wrong::value("is no log filter: it is not ASCII", "such as voxbatch=debug".to_owned()));
    }
    match tracing_subscriber::EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => {
            Err(Wrong::value(format!("is no log filter: {error}"), "such as voxbatch=debug".to_owned()))
        }
    }
}
