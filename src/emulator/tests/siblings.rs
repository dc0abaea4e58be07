//! The smaller models: their forms, their answers, and the words in which they differ.

use serde_json::json;

use super::*;
use crate::emulator::{Contract, Faults};

async fn answered(call: &Call, model: &str, name: &str, fields: &[(&str, &str)]) -> Value {
    json(call.sample(model, name, fields).await).await
}

#[tokio::test]
async fn the_multilingual_model_answers_like_the_english_one() {
    let call = Call::to(Settings::default()).await;
    let other = answered(&call, MULTILINGUAL, "kitchen.opus", &[("language", "de")]).await;
    assert_eq!(other, answered(&call, FAST, "kitchen.opus", &[]).await);
    let refusal = refused(call.sample(MULTILINGUAL, "kitchen.opus", &[("language", "german")]).await).await;
    assert_eq!(refusal.0, 400);
}

#[tokio::test]
async fn emotion_and_accent_come_in_whole_windows_of_fifteen_seconds() {
    let call = Call::to(Settings::default()).await;
    for (model, word, guess) in [(EMOTION, "emotion", "Neutral"), (ACCENT, "accent", "Unknown")] {
        let long = call.upload(model, "a.wav", wav_ms(47_000, 1), "audio/wav").send().await.unwrap();
        let long = json(long).await;
        let starts: Vec<_> =
            long["time_series"].as_array().unwrap().iter().map(|part| part["start_ms"].clone()).collect();
        assert_eq!(
            (long[word].clone(), starts),
            (json!(guess), vec![json!(0), json!(15_000), json!(30_000)])
        );
        assert_eq!(long["time_series"][2], json!({"start_ms": 30_000, "duration_ms": 15_000, word: guess}));
        assert_eq!(json(call.good(model).await).await, json!({word: guess, "time_series": []}));
    }
}

#[tokio::test]
async fn whoever_says_nothing_has_permitted_training() {
    let call = Call::to(Settings::default()).await;
    answered(&call, EMOTION, "kitchen.opus", &[("training_permitted", "false")]).await;
    answered(&call, ACCENT, "kitchen.opus", &[("training_permitted", "false"), ("use_ensemble", "true")])
        .await;
    answered(&call, STT, "kitchen.opus", &[]).await;
    assert_eq!(call.emulator.report().training_permitted, 0);
    answered(&call, EMOTION, "kitchen.opus", &[]).await;
    answered(&call, ACCENT, "kitchen.opus", &[("training_permitted", "true")]).await;
    assert_eq!(call.emulator.report().training_permitted, 2);
    let refusal = refused(call.sample(EMOTION, "kitchen.opus", &[("use_ensemble", "maybe")]).await).await;
    assert_eq!((refusal.0, refusal.1[0]["loc"][1].clone()), (422, json!("use_ensemble")));
}

#[tokio::test]
async fn a_language_is_predicted_with_its_code() {
    let call = Call::to(Settings::default()).await;
    let answer = answered(&call, LANGUAGE, "library.flac", &[]).await;
    assert_eq!(
        (&answer["predicted_language"], &answer["predicted_language_code"]),
        (&json!("English"), &json!("en"))
    );
    assert_eq!(answer["confidence"], 0.99);
    let other = json(call.good(LANGUAGE).await).await;
    assert_eq!((other["confidence"].clone(), other["duration_ms"].clone()), (json!(0.5), json!(1000)));
}

#[tokio::test]
async fn music_is_told_from_speech_and_from_neither() {
    let call = Call::to(Settings::default()).await;
    let speech = answered(&call, MUSIC, "library.flac", &[]).await;
    assert_eq!((&speech["primary_label"], &speech["filename"]), (&json!("speech"), &json!("library.flac")));
    let silent = call.upload(MUSIC, "a.wav", wav_ms(1000, 0), "audio/wav").send().await.unwrap();
    let silent = json(silent).await;
    assert_eq!(
        (&silent["primary_label"], &silent["duration_s"], &silent["music_pct"]),
        (&json!("neither"), &json!(1.0), &json!(0.0))
    );
    let frames = silent["frames"].as_array().unwrap();
    assert_eq!((frames.len(), &frames[5]["end_time_ms"]), (6, &json!(1000)));
    assert_eq!(refused(call.sample(MUSIC, "garden.mov", &[]).await).await.0, 400);
}

#[tokio::test]
async fn percentages_of_made_music_became_probabilities_that_may_be_null() {
    for (contract, key, silence) in
        [(Contract::A, "vocal_ai_percentage", json!(0.0)), (Contract::C, "vocal_ai_probability", json!(null))]
    {
        let call = Call::to(Settings { contract, ..Settings::default() }).await;
        let answer = json(call.good(MADE_MUSIC).await).await;
        assert_eq!((&answer["verdict"], &answer[key]), (&json!("not-ai-music"), &silence));
        assert_eq!(answer["windows"].as_array().unwrap().len(), 1);
        assert!(answer["windows"][0].get(key).is_some());
    }
}

#[tokio::test]
async fn two_siblings_have_words_of_their_own_for_a_missing_key() {
    let call = Call::to(Settings { contract: Contract::B, ..Settings::default() }).await;
    let without = |model: &str| {
        let url = format!("{}/api/{model}", call.emulator.base_url());
        call.client.post(url).multipart(form("a.wav", wav(0), "audio/wav")).send()
    };
    assert_eq!(
        refused(without(MULTILINGUAL).await.unwrap()).await,
        (401, json!("This request is not permitted."))
    );
    assert_eq!(refused(without(MADE_MUSIC).await.unwrap()).await, (422, json!("Invalid request.")));
    let unknown = refused(call.sample(MULTILINGUAL, "kitchen.opus", &[("colour", "red")]).await).await;
    assert_eq!(unknown, (400, json!("Invalid request.")));
}

#[tokio::test]
async fn siblings_fail_as_the_others_do() {
    let faults: Faults = "502=1".parse().unwrap();
    let call = Call::to(Settings { contract: Contract::B, faults, ..Settings::default() }).await;
    let complete = json!("Unable to complete the request. Please try again.");
    assert_eq!(refused(call.good(EMOTION).await).await, (502, complete));
    assert_eq!(refused(call.good(MUSIC).await).await.0, 502);
    assert_eq!(call.emulator.report().spoiled, 2);
}
