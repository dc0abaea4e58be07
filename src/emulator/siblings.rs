//! The answers of the smaller models: emotion, accent, language, music. All of them are guesses without listening,
//! and say so by their confidence; only the shapes are the service's.

use serde_json::{Value, json};

use super::answer::Basis;
use super::audio::WINDOW_MS;
use super::settings::Contract;

/// Emotion and accent look at whole windows of this length; what remains is left out.
const SERIES_MS: u64 = 15_000;

/// Music is looked for in windows of about this length.
const MUSIC_MS: u64 = 192;

/// The answer of emotion and of accent: one word for all, and one for each window.
pub(super) fn series(word: &str, guess: &str, basis: &Basis<'_>) -> Value {
    let windows = (0..basis.sound.duration_ms / SERIES_MS)
        .map(|window| json!({ "start_ms": window * SERIES_MS, "duration_ms": SERIES_MS, word: guess }));
    json!({ word: guess, "time_series": windows.collect::<Vec<_>>() })
}

pub(super) fn language(basis: &Basis<'_>) -> Value {
    json!({
        "predicted_language": "English",
        "predicted_language_code": "en",
        "confidence": if basis.transcript.sample { 0.99 } else { 0.5 },
        "duration_ms": basis.sound.duration_ms,
    })
}

/// Samples are speech; of anything else a hash decides which it "is", silence apart.
pub(super) fn music(basis: &Basis<'_>) -> Value {
    let total = basis.sound.duration_ms;
    let musical = !basis.transcript.sample && basis.digest("music", 0)[0] < 128;
    let frames: Vec<_> = (0..total.div_ceil(MUSIC_MS))
        .map(|frame| {
            let (start, end) = (frame * MUSIC_MS, ((frame + 1) * MUSIC_MS).min(total));
            let (music, speech) = match (silent(basis, start), musical) {
                (true, _) => (0.0, 0.0),
                (false, true) => (0.5, 0.0),
                (false, false) => (0.0, 0.5),
            };
            json!({ "start_time_ms": start, "end_time_ms": end, "music_prob": music, "speech_prob": speech })
        })
        .collect();
    let share = |key: &str| {
        let some = frames.iter().filter(|frame| frame[key].as_f64() > Some(0.0)).count();
        some as f64 * 100.0 / frames.len().max(1) as f64
    };
    let (music_pct, speech_pct) = (share("music_prob"), share("speech_prob"));
    let label = match (music_pct > 0.0, speech_pct > 0.0) {
        (true, _) => "music",
        (false, true) => "speech",
        (false, false) => "neither",
    };
    json!({
        "filename": basis.file_name,
        "duration_s": total as f64 / 1000.0,
        "primary_label": label,
        "music_pct": music_pct,
        "speech_pct": speech_pct,
        "latency_ms": 0.0,
        "frames": frames,
    })
}

/// Never says that a machine made it. The percentages of the oldest generation became probabilities, which may be
/// null where there was nothing to judge.
pub(super) fn made_music(basis: &Basis<'_>) -> Value {
    let total = basis.sound.duration_ms;
    let (vocal, instrumental, most) = match basis.contract {
        Contract::A => ("vocal_ai_percentage", "instrumental_ai_percentage", 100.0),
        Contract::B | Contract::C => ("vocal_ai_probability", "instrumental_ai_probability", 1.0),
    };
    let judged = |silent: bool| match (silent, basis.contract) {
        (true, Contract::B | Contract::C) => Value::Null,
        (true, Contract::A) => json!(0.0),
        (false, _) => json!(most / 4.0),
    };
    let windows = (0..total.div_ceil(WINDOW_MS)).map(|window| {
        let (start, end) = (window * WINDOW_MS, ((window + 1) * WINDOW_MS).min(total));
        let guess = judged(silent(basis, start));
        json!({ "start_time_ms": start, "end_time_ms": end, vocal: guess, instrumental: guess })
    });
    let all_silent = (0..total.div_ceil(WINDOW_MS)).all(|window| silent(basis, window * WINDOW_MS));
    json!({
        "filename": basis.file_name,
        "duration_ms": total,
        "verdict": "not-ai-music",
        vocal: judged(all_silent),
        instrumental: judged(all_silent),
        "windows": windows.collect::<Vec<_>>(),
    })
}

fn silent(basis: &Basis<'_>, at_ms: u64) -> bool {
    basis.sound.silent_windows.get((at_ms / WINDOW_MS) as usize).copied().unwrap_or(false)
}
