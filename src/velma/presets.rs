//! The behaviors that the API has ready, by the free call that lists them. Which of them a job names: `options`.

use serde_json::Value;

use super::{Answer, Client, Exchange, classify, options};
use crate::task::{Billed, Cause, Endpoint, Failure, Verdict};

/// A behavior that the API has ready, named in a configuration as `preset:<identifier>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preset {
    /// Its name in a configuration.
    pub identifier: String,
    /// Its name for people.
    pub name: String,
    /// What it is, in a line.
    pub short_description: String,
    /// What it is, at length.
    pub detailed_description: String,
}

impl Client {
    /// The presets of an endpoint that analyses conversations. Costs nothing and uses no quota; needs a key that may use
    /// the model.
    ///
    /// # Errors
    /// What [`classify`] says of the answer.
    pub async fn presets(&self, endpoint: Endpoint) -> Result<Vec<Preset>, Verdict> {
        let outcome = self.get(&format!("/api/{endpoint}/list-presets")).await;
        if let Ok(answer) = &outcome
            && answer.is_good()
        {
            return read(answer).ok_or_else(|| {
                let what = "the list of presets cannot be read";
                Verdict::Transient(Failure::answered(Cause::BadAnswer, answer.status, what, Billed::No))
            });
        }
        let exchange = Exchange { bytes_sent: 0, body_sent: false, blake3: None, request_id: None, outcome };
        Err(classify(endpoint, &exchange))
    }
}

/// The preset that was probably meant.
pub fn nearest_preset<'p>(id: &str, presets: &'p [Preset]) -> Option<&'p str> {
    let known: Vec<&str> = presets.iter().map(|preset| preset.identifier.as_str()).collect();
    // Documents write some with hyphens that the API lists with underscores.
    let plain = |id: &str| id.to_lowercase().replace(['-', ' '], "_");
    let same = known.iter().copied().find(|known| plain(known) == plain(id));
    same.or_else(|| options::nearest(id, &known).and_then(|near| known.into_iter().find(|k| *k == near)))
}

fn read(answer: &Answer) -> Option<Vec<Preset>> {
    let body = answer.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&answer.body);
    let list = match serde_json::from_slice(body).ok()? {
        Value::Object(mut answer) => answer.remove("presets")?,
        list => list,
    };
    let text =
        |of: &Value, key: &str| of.get(key).and_then(Value::as_str).unwrap_or_default().trim().to_owned();
    let preset = |of: &Value| Preset {
        identifier: text(of, "identifier").trim_start_matches("preset:").to_owned(),
        name: text(of, "name"),
        short_description: text(of, "short_description"),
        detailed_description: text(of, "detailed_description"),
    };
    Some(list.as_array()?.iter().map(preset).filter(|preset| !preset.identifier.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn listed(body: &str) -> Option<Vec<Preset>> {
        read(&Answer {
            status: 200,
            retry_after: None,
            content_type: None,
            body: Bytes::copy_from_slice(body.as_bytes()),
            audio: None,
            is_complete: true,
        })
    }

    #[test]
    fn a_list_is_read_with_or_without_its_envelope_and_nameless_entries_are_passed_over() {
        let one = r#"{"identifier":"vishing","name":"Vishing","short_description":" By phone. ","new":1}"#;
        for body in [format!(r#"{{"presets":[{one},{{"name":"x"}},7]}}"#), format!("\u{feff}[{one}]")] {
            let presets = listed(&body).unwrap();
            assert_eq!(presets.len(), 1, "{body}");
            assert_eq!(
                (presets[0].identifier.as_str(), presets[0].short_description.as_str()),
                ("vishing", "By phone.")
            );
        }
        for body in ["", "{}", "<html>", r#"{"presets":"none"}"#] {
            assert_eq!(listed(body), None, "{body}");
        }
    }

    #[test]
    fn the_preset_that_was_meant_is_found_by_spelling_and_by_sign() {
        let presets = listed(
            r#"[{"identifier":"complaints"},{"identifier":"service-churn"},{"identifier":"vishing"}]"#,
        );
        let presets = presets.unwrap();
        for (written, meant) in [
            ("complaint", Some("complaints")),
            ("Complaints", Some("complaints")),
            ("service_churn", Some("service-churn")),
            ("vishng", Some("vishing")),
            ("weather", None),
        ] {
            assert_eq!(nearest_preset(written, &presets), meant, "{written}");
        }
    }
}
