//! What a conversation is to be examined for, held against the documented shape of its configuration: which keys
//! there are, what they hold, which presets exist. Pure; says where it is wrong.

use serde_json::{Map, Value, json};

use super::presets;
use super::refusal::Refusal;

/// The keys of a definition beside its id.
const DESCRIPTION: [&str; 3] = ["name", "short_description", "detailed_description"];

const TYPES: &str = "applies_to_conversation_type_uuids";
const ROLES: &str = "applies_to_participant_role_uuids";

/// A kind of definition: its id, and what it may be confined to.
struct Kind {
    id: &'static str,
    scopes: &'static [&'static str],
}

const CONVERSATION_TYPE: Kind = Kind { id: "conversation_type_uuid", scopes: &[] };
const PARTICIPANT_ROLE: Kind = Kind { id: "participant_role_uuid", scopes: &[TYPES] };
const BEHAVIOR: Kind = Kind { id: "behavior_uuid", scopes: &[TYPES, ROLES] };

/// Where something is: keys and positions, from the outside in.
#[derive(Clone)]
struct Place(Vec<Value>);

impl Place {
    fn at(&self, step: impl Into<Value>) -> Place {
        let mut steps = self.0.clone();
        steps.push(step.into());
        Place(steps)
    }

    fn flaw<T>(self, message: &'static str, kind: &'static str) -> Result<T, Refusal> {
        Err(Refusal::Flaw(Value::Array(self.0), message, kind))
    }

    fn boolean(self, value: &Value) -> Result<(), Refusal> {
        if value.is_boolean() { Ok(()) } else { self.flaw("Input should be a valid boolean", "bool_type") }
    }

    fn list(self, value: &Value) -> Result<&Vec<Value>, Refusal> {
        match value {
            Value::Array(items) => Ok(items),
            _ => self.flaw("Input should be a valid list", "list_type"),
        }
    }

    fn uuid(self, value: &Value) -> Result<(), Refusal> {
        match value.as_str().map(uuid::Uuid::parse_str) {
            Some(Ok(_)) => Ok(()),
            _ => self.flaw("Input should be a valid UUID", "uuid_parsing"),
        }
    }
}

/// Holds a configuration against its shape. Speech-to-text options inside are the caller's.
///
/// # Errors
/// With the first thing that is wrong.
pub(super) fn check(config: &Map<String, Value>) -> Result<(), Refusal> {
    let root = Place(vec![json!("body"), json!("config")]);
    for (key, value) in config {
        let at = root.at(key.as_str());
        match key.as_str() {
            "conversation_types" => each(value, &at, |item, at| CONVERSATION_TYPE.defines(item, at))?,
            "participant_roles" => each(value, &at, |item, at| PARTICIPANT_ROLE.defines(item, at))?,
            "behaviors" => each(value, &at, behavior)?,
            "default_conversation_type" | "default_participant_role" if value.is_null() => {}
            "default_conversation_type" => CONVERSATION_TYPE.defines(value, at)?,
            "default_participant_role" => PARTICIPANT_ROLE.defines(value, at)?,
            "produce_topics" | "produce_topic_sentiments" | "produce_summary" => at.boolean(value)?,
            "stt" if value.is_object() => {}
            "stt" => at.flaw("Input should be a valid dictionary", "dict_type")?,
            _ => at.flaw("Extra inputs are not permitted", "extra_forbidden")?,
        }
    }
    Ok(())
}

fn each(
    value: &Value,
    at: &Place,
    check: impl Fn(&Value, Place) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let items = at.clone().list(value)?;
    items.iter().enumerate().try_for_each(|(index, item)| check(item, at.at(index)))
}

/// A preset by its name, or a definition.
fn behavior(item: &Value, at: Place) -> Result<(), Refusal> {
    match item.as_str() {
        Some(text) => match text.strip_prefix("preset:") {
            Some(id) if presets::known(id) => Ok(()),
            _ => Err(Refusal::Preset),
        },
        None => BEHAVIOR.defines(item, at),
    }
}

impl Kind {
    /// An id that is a uuid, a name, both descriptions, and no key that the contract does not have.
    fn defines(&self, item: &Value, at: Place) -> Result<(), Refusal> {
        let Some(object) = item.as_object() else {
            return at.flaw("Input should be a valid dictionary", "dict_type");
        };
        for key in std::iter::once(self.id).chain(DESCRIPTION) {
            let here = at.at(key);
            match (key, object.get(key)) {
                (_, None) => here.flaw("Field required", "missing")?,
                (id, Some(value)) if id == self.id => here.uuid(value)?,
                ("name", Some(Value::String(name))) if name.is_empty() => {
                    here.flaw("String should have at least 1 character", "string_too_short")?;
                }
                (_, Some(Value::String(_))) => {}
                _ => here.flaw("Input should be a valid string", "string_type")?,
            }
        }
        for (key, value) in object {
            let here = at.at(key.as_str());
            if self.scopes.contains(&key.as_str()) {
                if !value.is_null() {
                    each(value, &here, |item, at| at.uuid(item))?;
                }
            } else if key != self.id && !DESCRIPTION.contains(&key.as_str()) {
                here.flaw("Extra inputs are not permitted", "extra_forbidden")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "7f0d2d64-9a3b-4d7a-8f53-0b8f9a4c2e31";

    fn with(id: &str, more: Value) -> Value {
        let mut item = json!({ id: ID, "name": "n", "short_description": "", "detailed_description": "" });
        item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        item
    }

    fn check(config: Value) -> Result<(), Refusal> {
        super::check(config.as_object().unwrap())
    }

    /// The last steps of the place, and the type.
    fn flaw(config: Value) -> (String, &'static str) {
        match check(config.clone()) {
            Err(Refusal::Flaw(Value::Array(place), _, kind)) => {
                let steps = place.iter().skip(2).map(|step| step.to_string().replace('"', ""));
                (steps.collect::<Vec<_>>().join("."), kind)
            }
            other => panic!("{config}: {other:?}"),
        }
    }

    #[test]
    fn whole_definitions_and_known_presets_are_taken() {
        let config = json!({
            "conversation_types": [with("conversation_type_uuid", json!({}))],
            "participant_roles": [
                with("participant_role_uuid", json!({ "applies_to_conversation_type_uuids": [ID] })),
                with("participant_role_uuid", json!({ "applies_to_conversation_type_uuids": null })),
            ],
            "behaviors": [
                "preset:complaints",
                with("behavior_uuid", json!({ "applies_to_participant_role_uuids": [] })),
            ],
            "default_conversation_type": null,
            "default_participant_role": with("participant_role_uuid", json!({})),
            "produce_summary": false,
            "stt": {},
        });
        assert_eq!(check(config), Ok(()));
        assert_eq!(check(json!({})), Ok(()));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let rows = [
            (json!({ "behaviours": [] }), "behaviours", "extra_forbidden"),
            (json!({ "behaviors": null }), "behaviors", "list_type"),
            (json!({ "behaviors": [7] }), "behaviors.0", "dict_type"),
            (json!({ "produce_topics": "true" }), "produce_topics", "bool_type"),
            (json!({ "stt": [] }), "stt", "dict_type"),
            (
                json!({ "behaviors": ["preset:vishing", { "name": "x" }] }),
                "behaviors.1.behavior_uuid",
                "missing",
            ),
            (
                json!({ "conversation_types": [with("conversation_type_uuid", json!({ "name": "" }))] }),
                "conversation_types.0.name",
                "string_too_short",
            ),
            (
                json!({ "conversation_types": [with("conversation_type_uuid", json!({ TYPES: null }))] }),
                "conversation_types.0.applies_to_conversation_type_uuids",
                "extra_forbidden",
            ),
            (
                json!({ "participant_roles": [with("participant_role_uuid", json!({ TYPES: ["x"] }))] }),
                "participant_roles.0.applies_to_conversation_type_uuids.0",
                "uuid_parsing",
            ),
            // As the console exports roles.
            (
                json!({ "participant_roles": [with("participant_uuid", json!({}))] }),
                "participant_roles.0.participant_role_uuid",
                "missing",
            ),
            (json!({ "default_conversation_type": "x" }), "default_conversation_type", "dict_type"),
        ];
        for (config, place, kind) in rows {
            assert_eq!(flaw(config), (place.to_owned(), kind));
        }
    }

    #[test]
    fn presets_that_do_not_exist_have_words_of_their_own() {
        for text in ["preset:no_such", "complaints"] {
            assert_eq!(check(json!({ "behaviors": [text] })), Err(Refusal::Preset));
        }
    }
}
