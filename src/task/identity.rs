//! What makes two recordings one and the same to the API: content, endpoint and options. Whoever has an answer for one
//! of them has it for all.

use serde_json::Value;

use super::Endpoint;

/// A hash of content, endpoint and options.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(pub String);

impl Identity {
    /// Of content with this BLAKE3 (in hex), sent with these options.
    pub fn of(blake3: &str, endpoint: Endpoint, options: &Value) -> Self {
        let mut hash = blake3::Hasher::new();
        for part in [blake3, endpoint.name(), &canonical(options)] {
            hash.update(part.as_bytes()).update(&[0]);
        }
        Identity(hash.finalize().to_hex()[..32].to_owned())
    }
}

/// A short hash of options, the same whatever order they stand in.
pub fn options_key(options: &Value) -> String {
    blake3::hash(canonical(options).as_bytes()).to_hex()[..16].to_owned()
}

/// As text, keys in their order at any depth. What is `null` is as good as not said.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<_> = map.iter().filter(|(_, value)| !value.is_null()).collect();
            pairs.sort_by_key(|(key, _)| key.as_str());
            let pairs: Vec<String> = pairs
                .iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical(value)))
                .collect();
            format!("{{{}}}", pairs.join(","))
        }
        Value::Array(list) => format!("[{}]", list.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::Null => "{}".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn content_endpoint_and_each_option_count_and_their_order_does_not() {
        let stt = Endpoint::SttBatch;
        let of = |blake3, endpoint, options| Identity::of(blake3, endpoint, &options);
        let one = of("b3", stt, json!({ "a": 1, "b": { "c": [1, 2], "d": null } }));
        assert_eq!(one, of("b3", stt, json!({ "b": { "c": [1, 2] }, "a": 1 })));
        assert_eq!(one.0.len(), 32);
        for other in [
            of("b4", stt, json!({ "a": 1, "b": { "c": [1, 2] } })),
            of("b3", Endpoint::Batch, json!({ "a": 1, "b": { "c": [1, 2] } })),
            of("b3", stt, json!({ "a": 1, "b": { "c": [2, 1] } })),
            of("b3", stt, json!({ "a": "1", "b": { "c": [1, 2] } })),
            of("b3", stt, json!({ "a": 1 })),
        ] {
            assert_ne!(one, other);
        }
        assert_eq!(options_key(&json!({})), options_key(&Value::Null));
        assert_eq!(options_key(&json!({ "a": 1, "b": 2 })), options_key(&json!({ "b": 2, "a": 1 })));
    }
}
