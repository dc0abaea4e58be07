//! A handful of behaviour presets, as the free call lists them.

use serde_json::{Value, json};

const PRESETS: [(&str, &str, &str); 5] = [
    ("vishing", "Vishing", "Somebody tries to get secrets by telephone."),
    ("jailbreak_attempt", "Jailbreak attempt", "Somebody tries to talk an assistant out of its rules."),
    ("complaints", "Complaints", "A participant complains."),
    ("service-churn", "Service churn", "A customer means to leave."),
    ("refund_request", "Refund request", "A customer asks for money back."),
];

/// Whether `preset:<id>` names one of them.
pub(super) fn known(id: &str) -> bool {
    PRESETS.iter().any(|(known, ..)| *known == id)
}

/// The name that a detection carries.
pub(super) fn name(id: &str) -> Option<&'static str> {
    PRESETS.iter().find(|(known, ..)| *known == id).map(|(_, name, _)| *name)
}

/// The answer of the list.
pub(super) fn list() -> Value {
    let presets: Vec<_> = PRESETS
        .iter()
        .map(|(identifier, name, description)| {
            json!({
                "identifier": identifier,
                "name": name,
                "short_description": description,
                "detailed_description": format!("{description} (Emulated; nothing is detected.)"),
            })
        })
        .collect();
    json!({ "presets": presets })
}
