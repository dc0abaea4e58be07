//! The analysis of a conversation: clips, a type, roles, behaviours, topics. Types and roles are chosen by rule and
//! behaviours by a hash; what was asked for decides which there are to choose from.

use serde_json::{Map, Value, json};

use super::answer::Basis;
use super::presets;
use super::settings::Contract;
use super::transcript::{CONFESSION, Tags};

/// The service's own behaviours, under the literal configuration `default`.
const OWN: [&str; 2] = ["preset:complaints", "preset:vishing"];

/// The keys that belong to a list of candidates: the list, its fallback, the id.
struct Candidates {
    list: &'static str,
    fallback: &'static str,
    id: &'static str,
}

const TYPES: Candidates = Candidates {
    list: "conversation_types",
    fallback: "default_conversation_type",
    id: "conversation_type_uuid",
};
const ROLES: Candidates = Candidates {
    list: "participant_roles",
    fallback: "default_participant_role",
    id: "participant_role_uuid",
};

pub(super) fn conversation(basis: &Basis<'_>) -> Value {
    let picked = pick(basis, &TYPES, None);
    let picked_uuid = picked[TYPES.id].as_str().map(str::to_owned);
    let tags = if basis.options.tagging { Tags::Around } else { Tags::Off };
    let clips: Vec<_> = (0u64..)
        .zip(&basis.transcript.utterances)
        .map(|(index, utterance)| {
            let mut clip = Map::new();
            clip.insert("clip_uuid".into(), basis.uuid("clip", index).into());
            clip.insert("text".into(), utterance.shown(tags).into());
            clip.insert("start_ms".into(), utterance.start_ms.into());
            clip.insert("duration_ms".into(), utterance.duration_ms.into());
            clip.insert("speaker_label".into(), basis.speaker(utterance).to_string().into());
            clip.insert("language".into(), basis.language().into());
            clip.extend(basis.signals());
            Value::Object(clip)
        })
        .collect();
    let wants = |key: &str| {
        let asked = basis.options.examine.as_ref().and_then(|config| config.get(key));
        asked.and_then(Value::as_bool).unwrap_or(true)
    };
    let topics = if wants("produce_topics") { json!(["emulation"]) } else { json!([]) };
    let sentiments = match wants("produce_topic_sentiments") {
        true => json!([{
            "topic": "emulation", "speaker_label": "1", "sentiment_score": 0.0, "sentiment_label": "neutral"
        }]),
        false => json!([]),
    };
    let summary = if wants("produce_summary") { json!(CONFESSION) } else { Value::Null };
    json!({
        "duration_ms": basis.sound.duration_ms,
        "clips": clips,
        "conversation_type_pick": picked,
        "participant_role_picks": roles(basis, picked_uuid.as_deref()),
        "behaviors": behaviours(basis, picked_uuid.as_deref()),
        "topics": topics,
        "topic_sentiments": sentiments,
        "summary": summary,
    })
}

/// The first candidate that applies; else the fallback that was given, the service's own if none was, and none at
/// all if that was declined.
fn pick(basis: &Basis<'_>, candidates: &Candidates, of_type: Option<&str>) -> Value {
    let config = basis.options.examine.as_ref();
    let asked = |key: &str| config.and_then(|config| config.get(key));
    let listed = asked(candidates.list).and_then(Value::as_array);
    let fitting: Vec<_> = listed.into_iter().flatten().filter(|item| applies(item, of_type)).collect();
    let (uuid, name, source) = match (&fitting[..], asked(candidates.fallback)) {
        ([only], _) => (only[candidates.id].clone(), only["name"].clone(), "auto_selected_single_option"),
        ([first, ..], _) => (first[candidates.id].clone(), first["name"].clone(), "inferred"),
        ([], Some(Value::Null)) => return Value::Null,
        ([], Some(given)) => (given[candidates.id].clone(), given["name"].clone(), "default"),
        ([], None) => (json!(basis.uuid(candidates.list, 0)), json!("Emulated"), "default"),
    };
    let mut pick = json!({
        candidates.id: uuid, "name": name, "confidence": 0.5, "selection_source": source,
        "detail": "Emulated: nothing was listened to.", "reasoning": null,
    });
    if let (Contract::A, Value::Object(pick)) = (basis.contract, &mut pick) {
        pick.remove("selection_source");
    }
    pick
}

/// Whether something that may be confined to types of conversation is for this one.
fn applies(item: &Value, of_type: Option<&str>) -> bool {
    match (item["applies_to_conversation_type_uuids"].as_array(), of_type) {
        (Some(types), Some(of_type)) => {
            types.iter().filter_map(Value::as_str).any(|uuid| uuid.eq_ignore_ascii_case(of_type))
        }
        _ => true,
    }
}

fn roles(basis: &Basis<'_>, of_type: Option<&str>) -> Value {
    let said = &basis.transcript.utterances;
    let speakers: std::collections::BTreeSet<_> =
        said.iter().map(|utterance| basis.speaker(utterance)).collect();
    let picks = speakers.into_iter().filter_map(|speaker| {
        let mut role = json!({ "speaker_label": speaker.to_string() });
        let Value::Object(picked) = pick(basis, &ROLES, of_type) else { return None };
        role.as_object_mut()?.extend(picked);
        Some(role)
    });
    Value::Array(picks.collect())
}

/// A hash decides which behaviours are "detected", so that both cases occur; only detected ones are listed, so one
/// that was confined to another type is missing like one that did not occur.
fn behaviours(basis: &Basis<'_>, of_type: Option<&str>) -> Value {
    let config = basis.options.examine.as_ref();
    let asked = match (config.and_then(|config| config.get("behaviors")).and_then(Value::as_array), config) {
        (Some(asked), _) => asked.clone(),
        // An object without behaviours has none evaluated.
        (None, Some(_)) => Vec::new(),
        (None, None) => OWN.map(Value::from).to_vec(),
    };
    let detected = asked.iter().filter(|item| applies(item, of_type)).filter_map(|item| {
        let (uuid, name) = match item.as_str().and_then(|text| text.strip_prefix("preset:")) {
            Some(id) => (json!(basis.uuid(id, 0)), json!(presets::name(id)?)),
            None => (item["behavior_uuid"].clone(), item["name"].clone()),
        };
        if basis.digest(name.as_str()?, 0)[0] >= 128 {
            return None;
        }
        Some(json!({
            "behavior_uuid": uuid, "behavior_name": name, "speaker_label": "1", "detected": true,
            "confidence": 0.5, "evidence_clip_uuids": [basis.uuid("clip", 0)], "definitive_clip_uuid": null,
            "reasoning": "Emulated: decided by a hash, not by listening.",
        }))
    });
    Value::Array(detected.collect())
}
