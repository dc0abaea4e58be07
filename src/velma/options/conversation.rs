//! What a conversation is to be examined for: the whole configuration of an analysis, held against the documented
//! shape before anything is sent. Whether presets exist, only the API knows: they are collected here and asked for
//! elsewhere.

use std::collections::HashSet;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::{OptionError, PresetUse, boolean, kind, known, not_text, stt_config, wrong};

const KEYS: &[&str] = &[
    "conversation_types",
    "participant_roles",
    "behaviors",
    "stt",
    "produce_topics",
    "produce_topic_sentiments",
    "produce_summary",
    "default_conversation_type",
    "default_participant_role",
];

const PRESET: &str = "preset:";

/// A kind of definition: its id, its name in messages, and what it may be confined to.
struct Kind {
    id: &'static str,
    says: &'static str,
    keys: &'static [&'static str],
}

const TYPE: Kind = Kind {
    id: "conversation_type_uuid",
    says: "a conversation type",
    keys: &["conversation_type_uuid", "name", "short_description", "detailed_description"],
};
const ROLE: Kind = Kind {
    id: "participant_role_uuid",
    says: "a participant role",
    keys: &[
        "participant_role_uuid",
        "name",
        "short_description",
        "detailed_description",
        "applies_to_conversation_type_uuids",
    ],
};
const BEHAVIOR: Kind = Kind {
    id: "behavior_uuid",
    says: "a behavior",
    keys: &[
        "behavior_uuid",
        "name",
        "short_description",
        "detailed_description",
        "applies_to_conversation_type_uuids",
        "applies_to_participant_role_uuids",
    ],
};

/// The ids that can be referred to; `None` where the API's own are candidates, whose ids nobody is told.
type Known = Option<HashSet<Uuid>>;

/// Checks a configuration. Returns it as it is to be sent, and the presets that it names.
pub(super) fn check(
    at: &str,
    config: &Map<String, Value>,
) -> Result<(Map<String, Value>, Vec<PresetUse>), OptionError> {
    for key in config.keys() {
        known(at, key, KEYS, "an analysis")?;
    }
    let path = |key: &str| format!("{at}.{key}");
    let list = |key: &str| config.get(key).map(|value| required_list(&path(key), value)).transpose();
    let fallback = |key: &str| config.get(key).filter(|value| !value.is_null());

    let types = candidates(&path("conversation_types"), list("conversation_types")?, &TYPE, &[])?;
    let types = with_fallback(
        types,
        &path("default_conversation_type"),
        fallback("default_conversation_type"),
        &TYPE,
        &[],
    )?;
    let scopes = [("applies_to_conversation_type_uuids", "conversation_types", &types)];
    let roles = candidates(&path("participant_roles"), list("participant_roles")?, &ROLE, &scopes)?;
    let roles = with_fallback(
        roles,
        &path("default_participant_role"),
        fallback("default_participant_role"),
        &ROLE,
        &scopes,
    )?;

    let mut sent = config.clone();
    let mut presets = Vec::new();
    for (key, value) in config {
        let path = path(key);
        match (key.as_str(), value) {
            // Nothing at all means the same, and is what every age of the API takes.
            ("behaviors" | "stt", Value::Null) => drop(sent.shift_remove(key)),
            ("behaviors", value) => {
                let scopes = [
                    ("applies_to_conversation_type_uuids", "conversation_types", &types),
                    ("applies_to_participant_role_uuids", "participant_roles", &roles),
                ];
                presets = behaviors(&path, required_list(&path, value)?, &scopes)?;
            }
            ("stt", Value::Object(stt)) => stt_config(&path, stt)?,
            ("stt", other) => return Err(wrong(&path, format!("must be a table, not {}", kind(other)))),
            ("produce_topics" | "produce_topic_sentiments" | "produce_summary", value) => {
                boolean(&path, value)?;
            }
            _ => {}
        }
    }
    Ok((sent, presets))
}

fn required_list<'v>(at: &str, value: &'v Value) -> Result<&'v [Value], OptionError> {
    match value {
        Value::Array(list) => Ok(list),
        Value::Null => {
            Err(wrong(at, "must be a list, not null: leave it out for the API's own, write [] for none"))
        }
        other => Err(wrong(at, format!("must be a list, not {}", kind(other)))),
    }
}

/// What a definition may be confined to: the key, the list it refers to, and what is known of that.
type Scope<'k> = (&'static str, &'static str, &'k Known);

fn candidates(
    at: &str,
    list: Option<&[Value]>,
    what: &Kind,
    scopes: &[Scope<'_>],
) -> Result<Known, OptionError> {
    let Some(list) = list else { return Ok(None) };
    let mut ids = HashSet::new();
    for (i, item) in list.iter().enumerate() {
        let path = format!("{at}[{i}]");
        if !ids.insert(definition(&path, item, what, scopes)?) {
            return Err(wrong(
                &format!("{path}.{}", what.id),
                "is the id of an earlier one: each needs its own",
            ));
        }
    }
    Ok(Some(ids))
}

/// The fallback can be referred to as well, where the others are known.
fn with_fallback(
    ids: Known,
    at: &str,
    fallback: Option<&Value>,
    what: &Kind,
    scopes: &[Scope<'_>],
) -> Result<Known, OptionError> {
    let fallback = fallback.map(|item| definition(at, item, what, scopes)).transpose()?;
    Ok(ids.map(|mut ids| {
        ids.extend(fallback);
        ids
    }))
}

fn behaviors(at: &str, list: &[Value], scopes: &[Scope<'_>]) -> Result<Vec<PresetUse>, OptionError> {
    let mut presets: Vec<PresetUse> = Vec::new();
    let mut ids = HashSet::new();
    for (i, behavior) in list.iter().enumerate() {
        let path = format!("{at}[{i}]");
        match behavior {
            Value::String(word) => {
                let id = match word.strip_prefix(PRESET) {
                    Some(id) if !id.is_empty() => id.to_owned(),
                    _ => {
                        let suggestion = Some(format!("{PRESET}{}", word.trim_start_matches(PRESET)));
                        let problem = "must name a preset as `preset:<id>`".to_owned();
                        return Err(OptionError { key: path, problem, suggestion });
                    }
                };
                if presets.iter().any(|earlier| earlier.id == id) {
                    return Err(wrong(&path, format!("names `{id}` a second time")));
                }
                presets.push(PresetUse { key: path, id });
            }
            other => {
                if !ids.insert(definition(&path, other, &BEHAVIOR, scopes)?) {
                    let key = format!("{path}.{}", BEHAVIOR.id);
                    return Err(wrong(&key, "is the id of an earlier one: each needs its own"));
                }
            }
        }
    }
    Ok(presets)
}

/// An id that is a uuid, a name, both descriptions, what it applies to, and no other key. Returns the id.
fn definition(at: &str, item: &Value, what: &Kind, scopes: &[Scope<'_>]) -> Result<Uuid, OptionError> {
    let Value::Object(item) = item else {
        let or = if what.id == BEHAVIOR.id { " or a preset" } else { "" };
        return Err(wrong(at, format!("must be a table{or}, not {}", kind(item))));
    };
    for key in item.keys() {
        // The console exports roles under another key than the API takes.
        if key == "participant_uuid" && what.id == ROLE.id {
            let problem = "is the console's name for it".to_owned();
            return Err(OptionError {
                key: format!("{at}.{key}"),
                problem,
                suggestion: Some(ROLE.id.to_owned()),
            });
        }
        known(at, key, what.keys, what.says)?;
    }
    let required = |key: &str| item.get(key).ok_or_else(|| wrong(at, format!("lacks `{key}`")));
    let id = uuid(&format!("{at}.{}", what.id), required(what.id)?)?;
    for key in ["name", "short_description", "detailed_description"] {
        let path = format!("{at}.{key}");
        match required(key)? {
            Value::String(text) if text.is_empty() && key == "name" => {
                return Err(wrong(&path, "must not be empty"));
            }
            Value::String(_) => {}
            other => return Err(not_text(&path, other)),
        }
    }
    for (key, of, ids) in scopes {
        let Some(value) = item.get(*key).filter(|value| !value.is_null()) else { continue };
        let path = format!("{at}.{key}");
        let Value::Array(list) = value else {
            return Err(wrong(
                &path,
                format!("must be a list of ids, or left out for all, not {}", kind(value)),
            ));
        };
        for (i, value) in list.iter().enumerate() {
            let path = format!("{path}[{i}]");
            let id = uuid(&path, value)?;
            if ids.as_ref().is_some_and(|ids| !ids.contains(&id)) {
                return Err(wrong(&path, format!("is the id of none of the `{of}`")));
            }
        }
    }
    Ok(id)
}

fn uuid(at: &str, value: &Value) -> Result<Uuid, OptionError> {
    let Some(text) = value.as_str() else { return Err(not_text(at, value)) };
    // Only the usual form: what else counts as one differs from reader to reader.
    let usual = text.len() == 36;
    Uuid::try_parse(text).ok().filter(|_| usual).ok_or_else(|| {
        wrong(at, "must be a UUID, such as 7f0d2d64-9a3b-4d7a-8f53-0b8f9a4c2e31 (`uuidgen` makes one)")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ONE: &str = "7f0d2d64-9a3b-4d7a-8f53-0b8f9a4c2e31";
    const TWO: &str = "3d1c1a5e-0b1e-4b43-8d62-2a4f0f6e9d01";

    fn with(key: &str, id: &str, more: Value) -> Value {
        let mut item = json!({ key: id, "name": "n", "short_description": "", "detailed_description": "" });
        item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        item
    }

    fn of_type(id: &str) -> Value {
        with(TYPE.id, id, json!({}))
    }

    fn role(id: &str, more: Value) -> Value {
        with(ROLE.id, id, more)
    }

    fn behavior(id: &str, more: Value) -> Value {
        with(BEHAVIOR.id, id, more)
    }

    fn checked(config: Value) -> Result<(Map<String, Value>, Vec<PresetUse>), OptionError> {
        check("config", config.as_object().unwrap())
    }

    fn whole() -> Value {
        json!({
            "conversation_types": [of_type(ONE), of_type(TWO)],
            "participant_roles": [role(ONE, json!({"applies_to_conversation_type_uuids": [TWO.to_uppercase()]}))],
            "behaviors": [
                "preset:complaints",
                behavior(TWO, json!({
                    "applies_to_conversation_type_uuids": null, "applies_to_participant_role_uuids": [ONE]
                })),
            ],
            "stt": {"emotion_signal": true, "custom_terms": ["Velma"]},
            "produce_summary": false,
            "default_conversation_type": null,
            "default_participant_role": role(TWO, json!({})),
        })
    }

    #[test]
    fn a_whole_configuration_is_sent_as_it_was_written_and_its_presets_are_known() {
        let (sent, presets) = checked(whole()).unwrap();
        assert_eq!(Value::Object(sent), whole());
        let preset = PresetUse { key: "config.behaviors[0]".into(), id: "complaints".into() };
        assert_eq!(presets, [preset]);
    }

    #[test]
    fn nothing_about_behaviors_is_sent_as_nothing() {
        let (sent, presets) = checked(json!({"behaviors": null, "stt": null})).unwrap();
        assert_eq!((sent.len(), presets.len()), (0, 0));
    }

    /// What is wrong, the path that is named, and a word of the message.
    #[test]
    fn everything_that_the_api_would_refuse_is_told_with_its_path() {
        let without = |key: &str| {
            let mut item = behavior(ONE, json!({}));
            item.as_object_mut().unwrap().remove(key);
            item
        };
        let cases = [
            (json!({"behaviours": []}), "config.behaviours", "is not known"),
            (json!({"conversation_types": null}), "config.conversation_types", "write [] for none"),
            (json!({"conversation_types": {}}), "config.conversation_types", "must be a list"),
            (json!({"conversation_types": ["x"]}), "config.conversation_types[0]", "must be a table, not"),
            (json!({"behaviors": [7]}), "config.behaviors[0]", "a table or a preset"),
            (json!({"behaviors": ["complaints"]}), "config.behaviors[0]", "preset:<id>"),
            (json!({"behaviors": ["preset:"]}), "config.behaviors[0]", "preset:<id>"),
            (
                json!({"behaviors": ["preset:a", "preset:b", "preset:a"]}),
                "config.behaviors[2]",
                "second time",
            ),
            (
                json!({"behaviors": [without("behavior_uuid")]}),
                "config.behaviors[0]",
                "lacks `behavior_uuid`",
            ),
            (
                json!({"behaviors": [without("detailed_description")]}),
                "config.behaviors[0]",
                "lacks `detailed",
            ),
            (json!({"behaviors": [behavior("7", json!({}))]}), "config.behaviors[0].behavior_uuid", "UUID"),
            (
                json!({"behaviors": [behavior(&ONE.replace('-', ""), json!({}))]}),
                "config.behaviors[0].behavior_uuid",
                "UUID",
            ),
            (json!({"behaviors": [behavior(ONE, json!({"name": ""}))]}), "config.behaviors[0].name", "empty"),
            (
                json!({"behaviors": [behavior(ONE, json!({"name": 1}))]}),
                "config.behaviors[0].name",
                "a string",
            ),
            (
                json!({"behaviors": [behavior(ONE, json!({"nme": ""}))]}),
                "config.behaviors[0].nme",
                "a behavior takes behavior_uuid",
            ),
            (
                json!({"behaviors": [behavior(ONE, json!({})), "preset:a", behavior(ONE, json!({}))]}),
                "config.behaviors[2].behavior_uuid",
                "an earlier one",
            ),
            (
                json!({"conversation_types": [of_type(ONE), of_type(&ONE.to_uppercase())]}),
                "config.conversation_types[1].conversation_type_uuid",
                "an earlier one",
            ),
            (
                json!({"conversation_types": [of_type(ONE)], "behaviors":
                    [behavior(ONE, json!({"applies_to_conversation_type_uuids": [ONE, TWO]}))]}),
                "config.behaviors[0].applies_to_conversation_type_uuids[1]",
                "none of the `conversation_types`",
            ),
            (
                json!({"participant_roles": [], "behaviors":
                    [behavior(ONE, json!({"applies_to_participant_role_uuids": [TWO]}))]}),
                "config.behaviors[0].applies_to_participant_role_uuids[0]",
                "none of the `participant_roles`",
            ),
            (
                json!({"participant_roles": [role(ONE, json!({"applies_to_participant_role_uuids": []}))]}),
                "config.participant_roles[0].applies_to_participant_role_uuids",
                "is not known",
            ),
            (
                json!({"participant_roles": [role(ONE, json!({"applies_to_conversation_type_uuids": ONE}))]}),
                "config.participant_roles[0].applies_to_conversation_type_uuids",
                "a list of ids",
            ),
            (json!({"default_participant_role": "x"}), "config.default_participant_role", "must be a table"),
            (json!({"default_conversation_type": {}}), "config.default_conversation_type", "lacks"),
            (json!({"produce_topics": null}), "config.produce_topics", "true or false"),
            (json!({"stt": []}), "config.stt", "must be a table"),
            (json!({"stt": {"custom_terms": [""]}}), "config.stt.custom_terms[0]", "must not be empty"),
        ];
        for (config, key, word) in cases {
            let error = checked(config.clone()).expect_err(&config.to_string());
            assert_eq!(error.key, key, "{config}");
            assert!(error.problem.contains(word), "{error}");
        }
    }

    #[test]
    fn what_applies_to_the_apis_own_types_cannot_be_held_against_them() {
        let behavior = behavior(ONE, json!({"applies_to_conversation_type_uuids": [TWO]}));
        assert!(checked(json!({"behaviors": [behavior]})).is_ok(), "its types have ids that nobody is told");
        assert!(
            checked(json!({"behaviors": [behavior], "default_conversation_type": of_type(ONE)})).is_ok(),
            "the fallback stands beside them"
        );
        let among = json!({"behaviors": [behavior], "conversation_types": [], "default_conversation_type": of_type(TWO)});
        assert!(checked(among).is_ok(), "the fallback can be referred to");
    }

    #[test]
    fn what_the_console_exports_is_recognised() {
        let mut exported = role(ONE, json!({"participant_uuid": ONE}));
        exported.as_object_mut().unwrap().remove(ROLE.id);
        let error = checked(json!({"participant_roles": [exported]})).unwrap_err();
        assert_eq!(error.suggestion.as_deref(), Some("participant_role_uuid"));
    }
}
