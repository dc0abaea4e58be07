//! `[notify]`: the address may be the secret, so that it is never shown whole, and may lie in a file of its own.

use std::path::PathBuf;

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::error::{Code, Problem};
use super::key;
use super::origin::Origin;
use super::reader::Reader;
use super::value::{Choice, Kind, Location, Numbers, Several, Switch, Whole, Words, Wrong};
use crate::notify::{Address, Event, NotifySettings};

/// The variable that may hold the token.
const TOKEN: &str = "VOXBATCH_NOTIFY_TOKEN";

/// Reads the section. A file that cannot be read is a problem only for those who are to tell somebody.
pub(super) fn read(reader: &mut Reader<'_>, location: &Location<'_>) -> Result<NotifySettings, Problem> {
    let d = NotifySettings::default();
    let url = reader.find("notify.url", &Web);
    let url_file = reader.find("notify.url_file", location);
    let events = Several(Choice { words: Event::ALL.map(|e| (e.word(), e)).to_vec(), code: Code::Value });
    let codes = Numbers(Whole { min: 0, max: 255 });
    let settings = NotifySettings {
        url: None,
        suffixes: reader.get("notify.suffixes", &Switch, d.suffixes),
        on: reader.get("notify.on", &events, d.on),
        success: reader
            .get("notify.success", &codes, d.success.into_iter().map(u32::from).collect())
            .into_iter()
            .filter_map(|code| code.try_into().ok())
            .collect(),
        token: None,
        token_header: reader.get("notify.token_header", &Words(header), d.token_header),
    };
    let token_file = reader.find("notify.token_file", location);
    let token = match (reader.variable(TOKEN), token_file) {
        (Some(text), _) => {
            let text = text.to_str().map(|text| key::usable(text, TOKEN, "token"));
            Some(text.unwrap_or_else(|| Err(Problem::new(Code::Value, format!("{TOKEN} is not text"))))?)
        }
        (None, Some((path, _))) => Some(key::from_file(&path, "token")?),
        (None, None) => None,
    };
    Ok(NotifySettings { url: address(url, url_file)?, token, ..settings })
}

fn address(
    url: Option<(Address, Origin)>,
    file: Option<(PathBuf, Origin)>,
) -> Result<Option<Address>, Problem> {
    let (url, (path, _)) = match (url, file) {
        (url, None) => return Ok(url.map(|(url, _)| url)),
        (url, Some(file)) => (url, file),
    };
    if url.is_some() {
        let problem = Problem::new(Code::Value, "`notify.url` and `notify.url_file` both say where pings go");
        return Err(problem.hint("keep one of them".to_owned()));
    }
    let text = key::from_file(&path, "address")?;
    let name = path.display();
    Address::parse(text.expose_secret())
        .map(Some)
        .map_err(|why| Problem::new(Code::Value, format!("what stands in the address file {name} {why}")))
}

/// An address of which only the host is shown.
struct Web;

impl Kind for Web {
    type Out = Address;
    const EXPECTED: &'static str = "an address";

    fn text(&self, text: &str) -> Result<Address, Wrong> {
        Address::parse(text).map_err(|why| Wrong::value(why, "such as \"https://host/path\"".to_owned()))
    }

    fn show(&self, address: &Address) -> Value {
        json!(address.to_string())
    }
}

fn header(text: &str) -> Result<String, Wrong> {
    match reqwest::header::HeaderName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(Wrong::value("is no header", "such as \"Authorization\"".to_owned())),
    }
}
