//! Tables of what models find beside words: behaviors, topics and roles of a conversation, windows of music. Each
//! column stands beside what fills it.

use super::csv::{Table, listed, maybe_number, maybe_text, number, text};
use super::record::Record;
use super::transcript::{Behavior, Pick, Sentiment, Transcript, Utterance};

/// `behaviors.csv`: what the answer lists. What was not detected is mostly missing, like what was not looked for.
pub(super) const BEHAVIORS: Table<Behavior> = Table(&[
    ("behavior", |of| maybe_text(of.item.name.as_deref())),
    ("speaker", |of| maybe_text(of.item.speaker.as_deref())),
    ("detected", |of| text(if of.item.detected { "true" } else { "false" })),
    ("confidence", |of| maybe_number(of.item.confidence)),
    ("start_ms", |of| maybe_number(shown_in(of.transcript, of.item).map(|clip| clip.start_ms))),
    ("end_ms", |of| maybe_number(shown_in(of.transcript, of.item).map(|clip| clip.end_ms))),
    ("evidence_clips", |of| listed(of.item.evidence.iter().map(String::as_str))),
    ("reasoning", |of| maybe_text(of.item.reasoning.as_deref())),
    ("behavior_uuid", |of| maybe_text(of.item.id.as_deref())),
]);

/// `topics.csv`: a row for each sentiment on a topic, and one for each topic that nobody has one on.
pub(super) const TOPICS: Table<Sentiment> = Table(&[
    ("topic", |of| maybe_text(of.item.topic.as_deref())),
    ("speaker", |of| maybe_text(of.item.speaker.as_deref())),
    ("sentiment_score", |of| maybe_number(of.item.score)),
    ("sentiment", |of| maybe_text(of.item.label.as_deref())),
]);

/// `roles.csv`: who is what.
pub(super) const ROLES: Table<Pick> = Table(&[
    ("speaker", |of| maybe_text(of.item.speaker.as_deref())),
    ("role", |of| maybe_text(of.item.name.as_deref())),
    ("confidence", |of| maybe_number(of.item.confidence)),
    ("selection_source", |of| maybe_text(of.item.source.as_deref())),
    ("detail", |of| maybe_text(of.item.detail.as_deref())),
    ("reasoning", |of| maybe_text(of.item.reasoning.as_deref())),
    ("role_uuid", |of| maybe_text(of.item.id.as_deref())),
]);

/// `music.csv`: the windows that the music models look at; each model fills two of the last four columns.
pub(super) const MUSIC: Table<Utterance> = Table(&[
    ("start_ms", |of| number(of.item.start_ms)),
    ("end_ms", |of| number(of.item.end_ms)),
    ("music", |of| maybe_number(of.item.music.music)),
    ("speech", |of| maybe_number(of.item.music.speech)),
    ("ai_vocal", |of| maybe_number(of.item.music.ai_vocal)),
    ("ai_instrumental", |of| maybe_number(of.item.music.ai_instrumental)),
]);

/// The behaviors of a recording.
pub(super) fn behaviors<'a>(record: &Record<'a>) -> &'a [Behavior] {
    record.transcript.map_or(&[], |t| &t.behaviors)
}

/// Its topics, each with what speakers feel about it; then sentiments on what is listed nowhere.
pub(super) fn topics(record: &Record<'_>) -> Vec<Sentiment> {
    let Some(transcript) = record.transcript else { return Vec::new() };
    let mut left: Vec<&Sentiment> = transcript.sentiments.iter().collect();
    let mut rows = Vec::new();
    for topic in &transcript.topics {
        let about: Vec<&Sentiment> =
            left.extract_if(.., |sentiment| sentiment.topic.as_ref() == Some(topic)).collect();
        if about.is_empty() {
            rows.push(Sentiment { topic: Some(topic.clone()), ..Sentiment::default() });
        }
        rows.extend(about.into_iter().cloned());
    }
    rows.extend(left.into_iter().cloned());
    rows
}

/// The roles of its speakers.
pub(super) fn roles<'a>(record: &Record<'a>) -> &'a [Pick] {
    record.transcript.map_or(&[], |t| &t.roles)
}

/// Its windows.
pub(super) fn music<'a>(record: &Record<'a>) -> &'a [Utterance] {
    record.transcript.map_or(&[], |t| &t.utterances)
}

/// The clip to listen to: the definitive one, else the first piece of evidence.
fn shown_in<'a>(transcript: &'a Transcript, behavior: &Behavior) -> Option<&'a Utterance> {
    let clip = |id: &String| transcript.utterances.iter().find(|clip| clip.id.as_ref() == Some(id));
    behavior
        .definitive
        .as_ref()
        .and_then(clip)
        .or_else(|| behavior.evidence.iter().filter_map(clip).min_by_key(|clip| clip.start_ms))
}

#[cfg(test)]
mod tests {
    use super::super::OutputSettings;
    use super::*;
    use crate::outputs::tests::store::stt;
    use crate::queue::ResultRow;
    use crate::task::Endpoint;

    fn rows<T>(
        table: &Table<T>,
        endpoint: Endpoint,
        json: &str,
        items: impl Fn(&Record<'_>) -> Vec<T>,
    ) -> Vec<String> {
        let row = ResultRow { endpoint, response: json.to_owned(), ..stt(1, 1, "a.wav") };
        let transcript = Transcript::from_json(endpoint, json).unwrap();
        let record = Record::of_result("calls", &row, &transcript);
        let mut out = Vec::new();
        table.rows(&mut out, &record, &items(&record), &OutputSettings::default()).unwrap();
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_behavior_points_at_the_clip_that_shows_it() {
        let json = r#"{"clips":[{"clip_uuid":"x","start_ms":100,"duration_ms":50},{"clip_uuid":"y","start_ms":500,"duration_ms":5}],
            "behaviors":[{"behavior_name":"a","evidence_clip_uuids":["y","x"],"definitive_clip_uuid":"y","confidence":0.5},
                {"behavior_name":"b","evidence_clip_uuids":["y","x"]},{"behavior_name":"=c","evidence_clip_uuids":["gone"]}]}"#;
        let rows = rows(&BEHAVIORS, Endpoint::Batch, json, |r| behaviors(r).to_vec());
        assert_eq!(
            rows,
            [
                "calls,1,a.wav,0,a,,true,0.5,500,505,y; x,,",
                "calls,1,a.wav,1,b,,true,,100,150,y; x,,",
                "calls,1,a.wav,2,'=c,,true,,,,gone,,",
            ]
        );
    }

    #[test]
    fn every_topic_and_every_sentiment_has_a_row_and_none_has_two() {
        let json = r#"{"clips":[],"topics":["fee","thanks"],"topic_sentiments":[
            {"topic":"other","speaker_label":"2","sentiment_score":0.5,"sentiment_label":"positive"},
            {"topic":"fee","speaker_label":"1","sentiment_score":-0.6,"sentiment_label":"negative"},
            {"topic":"fee","speaker_label":"2","sentiment_score":0,"sentiment_label":"neutral"}]}"#;
        assert_eq!(
            rows(&TOPICS, Endpoint::Batch, json, topics),
            [
                "calls,1,a.wav,0,fee,1,-0.6,negative",
                "calls,1,a.wav,1,fee,2,0,neutral",
                "calls,1,a.wav,2,thanks,,,",
                "calls,1,a.wav,3,other,2,0.5,positive",
            ]
        );
    }
}
