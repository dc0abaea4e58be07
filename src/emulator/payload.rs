//! The bytes of a good answer: JSON, or the multipart form of redaction with an MP3 that is made frame by frame
//! while it is sent, so that an hour of audio costs no memory.

use axum::body::Bytes;
use serde_json::Value;

use super::settings::Shape;

/// One frame of MPEG-2 Layer III, mono, 16 kHz, 8 kbit/s: 576 samples. An empty side info is silence.
const SILENCE: [u8; FRAME_BYTES] = {
    let mut frame = [0; FRAME_BYTES];
    frame[0] = 0xff;
    frame[1] = 0xf3;
    frame[2] = 0x18;
    frame[3] = 0xc4;
    frame
};

/// The same with a tone of 444.4 Hz: sixteen whole waves a frame, so that frames join without a seam.
const TONE: [u8; FRAME_BYTES] = [
    0xff, 0xf3, 0x18, 0xc4, 0x00, 0x05, 0x59, 0x46, 0x04, 0x00, 0x05, 0xec, 0x80, 0x08, 0xf4, 0x52, 0x0c,
    0x3e, 0xf7, 0x08, 0x9b, 0x90, 0x64, 0x44, 0xff, 0xff, 0xff, 0xd4, 0x7f, 0xff, 0xff, 0xd7, 0xff, 0x3a,
    0xc9, 0x80,
];

const FRAME_BYTES: usize = 36;
const FRAME_MS: u64 = 36;

/// Frames in a chunk: about 64 KiB.
const CHUNK_FRAMES: u64 = 1820;

/// A decoder carries a frame's sound over into the two that follow.
const ECHO_FRAMES: u64 = 2;

/// What a body consists of.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) content_type: String,
    pieces: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Ready(Bytes),
    /// So many frames of MP3; silent in these ranges of milliseconds.
    Frames(u64, Vec<[u64; 2]>),
}

impl Payload {
    pub(super) fn json(value: &Value) -> Self {
        Payload::whole("application/json", value.to_string().into())
    }

    pub(super) fn whole(content_type: &str, body: Bytes) -> Self {
        Payload { content_type: content_type.to_owned(), pieces: vec![Piece::Ready(body)] }
    }

    /// Redaction's two parts, in whichever of the possible shapes.
    pub(super) fn redaction(
        metadata: &Value,
        duration_ms: u64,
        silent: Vec<[u64; 2]>,
        id: &str,
        shape: Shape,
    ) -> Self {
        if shape.redaction_as_json {
            return Payload::json(metadata);
        }
        let boundary = format!("emulated-{}", id.get(..16).unwrap_or(id));
        let part = |disposition: &str, kind: &str| {
            let disposition = format!("Content-Disposition: form-data; {disposition}");
            format!("--{boundary}\r\n{disposition}\r\nContent-Type: {kind}\r\n\r\n")
        };
        let text = |text: String| Piece::Ready(text.into());
        let metadata = text(format!("{}{metadata}\r\n", part("name=\"metadata\"", "application/json")));
        let audio = [
            text(part("name=\"audio\"; filename=\"redacted.mp3\"", "audio/mpeg")),
            Piece::Frames(frames(duration_ms), silent),
            text("\r\n".to_owned()),
        ];
        let mut pieces: Vec<Piece> = Vec::new();
        if shape.parts_swapped && !shape.audio_missing {
            pieces.extend(audio);
            pieces.push(metadata);
        } else {
            pieces.push(metadata);
            pieces.extend(audio.into_iter().filter(|_| !shape.audio_missing));
        }
        pieces.push(text(format!("--{boundary}--{}", if shape.last_crlf_missing { "" } else { "\r\n" })));
        let quote = if shape.quoted_boundary { "\"" } else { "" };
        Payload { content_type: format!("multipart/form-data; boundary={quote}{boundary}{quote}"), pieces }
    }

    /// The length of all pieces.
    pub(super) fn bytes(&self) -> u64 {
        let size = |piece: &Piece| match piece {
            Piece::Ready(bytes) => bytes.len() as u64,
            Piece::Frames(frames, _) => frames * FRAME_BYTES as u64,
        };
        self.pieces.iter().map(size).sum()
    }

    /// The body, made while it is asked for, and cut after so many bytes.
    pub(super) fn chunks(self, mut limit: u64) -> impl Iterator<Item = Bytes> + Send + 'static {
        let chunks = self.pieces.into_iter().flat_map(|piece| -> Box<dyn Iterator<Item = Bytes> + Send> {
            match piece {
                Piece::Ready(bytes) => Box::new(std::iter::once(bytes)),
                Piece::Frames(frames, silent) => Box::new(mp3(frames, silent)),
            }
        });
        chunks.map_while(move |mut chunk| {
            chunk.truncate(limit.min(chunk.len() as u64) as usize);
            limit -= chunk.len() as u64;
            (!chunk.is_empty()).then_some(chunk)
        })
    }
}

/// A piece of redacted audio by itself.
pub(super) fn clip(duration_ms: u64, silent: Vec<[u64; 2]>) -> Bytes {
    mp3(frames(duration_ms), silent).flatten().collect()
}

/// As many as come closest to a length, and never none.
fn frames(duration_ms: u64) -> u64 {
    ((duration_ms + FRAME_MS / 2) / FRAME_MS).max(1)
}

/// A tone, silent in these ranges.
fn mp3(frames: u64, silent: Vec<[u64; 2]>) -> impl Iterator<Item = Bytes> + Send {
    (0..frames.div_ceil(CHUNK_FRAMES)).map(move |chunk| {
        let frames = chunk * CHUNK_FRAMES..frames.min((chunk + 1) * CHUNK_FRAMES);
        let mut bytes = Vec::with_capacity((frames.end - frames.start) as usize * FRAME_BYTES);
        for frame in frames {
            let (from, to) = (frame * FRAME_MS, (frame + 1 + ECHO_FRAMES) * FRAME_MS);
            let hushed = silent.iter().any(|[start, end]| from < *end && *start < to);
            bytes.extend_from_slice(if hushed { &SILENCE } else { &TONE });
        }
        bytes.into()
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use serde_json::json;
    use symphonia::core::formats::TrackType;
    use symphonia::core::io::MediaSourceStream;

    use super::*;

    /// Every sample at 16 kHz.
    fn decoded(bytes: Vec<u8>) -> Vec<f32> {
        let stream = MediaSourceStream::new(Box::new(Cursor::new(bytes)), Default::default());
        let probe = symphonia::default::get_probe();
        let mut reader =
            probe.probe(&Default::default(), stream, Default::default(), Default::default()).unwrap();
        let track = reader.default_track(TrackType::Audio).unwrap();
        let parameters = track.codec_params.as_ref().unwrap().audio().unwrap().clone();
        assert_eq!(parameters.sample_rate, Some(16_000));
        let codecs = symphonia::default::get_codecs();
        let mut decoder = codecs.make_audio_decoder(&parameters, &Default::default()).unwrap();
        let (mut all, mut some) = (Vec::new(), Vec::new());
        while let Ok(Some(packet)) = reader.next_packet() {
            decoder.decode(&packet).unwrap().copy_to_vec_interleaved(&mut some);
            all.append(&mut some);
        }
        all
    }

    #[test]
    fn the_mp3_lasts_as_long_as_the_recording_and_is_silent_where_it_must_be() {
        for duration_ms in [500, 9_326, 120_011] {
            let silent = vec![[200, 333], [7_000, 8_111]];
            let payload = Payload::redaction(&json!({}), duration_ms, silent.clone(), "id", Shape::default());
            let Some(Piece::Frames(frames, _)) = payload.pieces.get(2) else { panic!("no audio") };
            let samples = decoded(mp3(*frames, silent.clone()).flatten().collect());
            let lasted_ms = samples.len() as u64 / 16;
            assert!(lasted_ms.abs_diff(duration_ms) <= 50, "{lasted_ms} for {duration_ms}");
            let peak = |from_ms: usize, to_ms: usize| {
                let part = &samples[(from_ms * 16).min(samples.len())..(to_ms * 16).min(samples.len())];
                part.iter().fold(0f32, |peak, sample| peak.max(sample.abs()))
            };
            assert!(silent.iter().all(|[start, end]| peak(*start as usize, *end as usize) < 0.001));
            assert!(peak(400, 1000) > 0.05, "a tone outside the ranges");
        }
    }

    #[test]
    fn the_announced_length_is_the_length() {
        let shapes = [
            Shape::default(),
            Shape { parts_swapped: true, quoted_boundary: true, ..Shape::default() },
            Shape { audio_missing: true, last_crlf_missing: true, ..Shape::default() },
        ];
        for shape in shapes {
            let payload = Payload::redaction(&json!({"text": "x"}), 400_000, vec![], "id", shape);
            let announced = payload.bytes();
            assert_eq!(payload.chunks(u64::MAX).map(|chunk| chunk.len() as u64).sum::<u64>(), announced);
        }
    }

    #[test]
    fn a_cut_body_ends_at_the_limit() {
        let payload = Payload::redaction(&json!({}), 400_000, vec![], "id", Shape::default());
        assert_eq!(payload.chunks(70_000).map(|chunk| chunk.len()).sum::<usize>(), 70_000);
    }
}
