//! Finds MPEG audio (MP3, layers I and II) and ADTS AAC by chains of frames: a sync word alone proves nothing,
//! a frame whose length leads to the next frame does.

/// What a chain of frames is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Mp3,
    /// Layers I and II.
    Mp2,
    Aac,
}

/// One frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    stream: Stream,
    /// Header bits that all frames of a stream share: version, layer, sample rate.
    kin: u32,
    pub(super) bytes: usize,
    pub(super) samples: u32,
    pub(super) rate: u32,
    /// Where a table of contents would stand in an MP3's first frame: behind header and side information.
    pub(super) side: usize,
}

/// Frames in a row that prove a stream at the very start of the audio, and behind junk.
const AT_START: usize = 2;
const BEHIND_JUNK: usize = 4;

/// Looks for a stream in the first bytes of a file's audio (tags already skipped). `whole` says that the bytes
/// reach the end of the file, so that a chain may end there.
pub(super) fn find(bytes: &[u8], whole: bool) -> Option<Stream> {
    let needed = |start: usize| if start == 0 { AT_START } else { BEHIND_JUNK };
    (0..bytes.len()).filter(|&i| bytes[i] == 0xFF).find_map(|start| {
        let first = frame(&bytes[start..])?;
        let (mut at, mut seen) = (start, 0);
        while seen < needed(start) {
            match bytes.get(at..).and_then(frame) {
                Some(next) if next.kin == first.kin && next.stream == first.stream => {
                    seen += 1;
                    at += next.bytes;
                }
                _ => break,
            }
        }
        // A very short recording ends before the proof does: then it has to end exactly with a frame.
        let ends_cleanly =
            whole && seen > 0 && (at == bytes.len() || bytes[at.min(bytes.len())..].starts_with(b"TAG"));
        (seen >= needed(start) || (start == 0 && ends_cleanly)).then_some(first.stream)
    })
}

/// The sizes of the first frames of this kind that follow one another somewhere in these bytes.
pub(super) fn sizes(bytes: &[u8], like: &Frame) -> Vec<usize> {
    let is_kin = |frame: &Frame| frame.kin == like.kin && frame.stream == like.stream;
    let chain = |start: usize| {
        let mut at = start;
        std::iter::from_fn(|| {
            let next = bytes.get(at..).and_then(frame).filter(is_kin)?;
            at += next.bytes;
            Some(next.bytes)
        })
        .collect::<Vec<_>>()
    };
    let starts = (0..bytes.len()).filter(|&i| bytes[i] == 0xFF);
    starts.map(chain).find(|chain| chain.len() >= BEHIND_JUNK).unwrap_or_default()
}

/// The frame that begins here.
pub(super) fn frame(bytes: &[u8]) -> Option<Frame> {
    let head: [u8; 4] = bytes.get(..4)?.try_into().ok()?;
    if head[0] != 0xFF || head[1] & 0xE0 != 0xE0 {
        return None;
    }
    if head[1] & 0xF6 == 0xF0 { adts(bytes, head) } else { mpeg(head) }
}

fn adts(bytes: &[u8], head: [u8; 4]) -> Option<Frame> {
    let length = (usize::from(head[3] & 3) << 11)
        | (usize::from(*bytes.get(4)?) << 3)
        | usize::from(bytes.get(5)? >> 5);
    let rate = (head[2] >> 2) & 0xF;
    const RATES: [u32; 13] =
        [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000, 7350];
    let &rate = RATES.get(usize::from(rate))?;
    (length > 7).then(|| Frame {
        stream: Stream::Aac,
        kin: u32::from_be_bytes([head[0], head[1], head[2] & 0xFC, 0]),
        bytes: length,
        samples: 1024,
        rate,
        side: 0,
    })
}

/// kbit/s by the header's index, for MPEG-1 layers I, II, III and MPEG-2 layer I, layers II and III.
const BIT_RATES: [[u32; 14]; 5] = [
    [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

fn mpeg(head: [u8; 4]) -> Option<Frame> {
    let (version, layer) = ((head[1] >> 3) & 3, 4 - ((head[1] >> 1) & 3));
    let (rate_index, bit_index) = ((head[2] >> 2) & 3, head[2] >> 4);
    // Version 1 and layer 4 are reserved; bit rate 0 ("free") gives no length to follow.
    if version == 1 || layer == 4 || rate_index == 3 || bit_index == 0 || bit_index == 15 {
        return None;
    }
    let mpeg1 = version == 3;
    let row = match (mpeg1, layer) {
        (true, layer) => usize::from(layer - 1),
        (false, 1) => 3,
        (false, _) => 4,
    };
    let bits = BIT_RATES[row][usize::from(bit_index - 1)] * 1000;
    let rate = [44_100, 48_000, 32_000][usize::from(rate_index)] >> [2, 0, 1, 0][usize::from(version)];
    let padding = u32::from(head[2] >> 1 & 1);
    let bytes = match (layer, mpeg1) {
        (1, _) => (12 * bits / rate + padding) * 4,
        (3, false) => 72 * bits / rate + padding,
        _ => 144 * bits / rate + padding,
    };
    let mono = head[3] >> 6 == 3;
    Some(Frame {
        stream: if layer == 3 { Stream::Mp3 } else { Stream::Mp2 },
        kin: u32::from_be_bytes([head[0], head[1] & 0xFE, head[2] & 0x0C, 0]),
        bytes: bytes as usize,
        samples: match (layer, mpeg1) {
            (1, _) => 384,
            (3, false) => 576,
            _ => 1152,
        },
        rate,
        side: 4 + match (mpeg1, mono) {
            (true, false) => 32,
            (true, true) | (false, false) => 17,
            (false, true) => 9,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sample;

    #[test]
    fn chains_of_frames_are_found_at_the_start_and_behind_junk() {
        assert_eq!(find(&sample::mp3(6), true), Some(Stream::Mp3));
        assert_eq!(find(&sample::adts(6), true), Some(Stream::Aac));
        assert_eq!(find(&sample::mp2(6), true), Some(Stream::Mp2));
        let junk = [vec![0x11; 5_000], sample::mp3(6)].concat();
        assert_eq!(find(&junk, true), Some(Stream::Mp3));
    }

    #[test]
    fn one_whole_frame_is_a_recording_and_half_a_frame_is_not() {
        assert_eq!(find(&sample::mp3(1), true), Some(Stream::Mp3));
        assert_eq!(find(&sample::mp3(1)[..100], true), None);
        assert_eq!(find(&sample::mp3(1), false), None, "a window that merely ends here proves nothing");
    }

    #[test]
    fn a_sync_word_that_leads_nowhere_is_not_audio() {
        assert_eq!(find(&[&[0xFF, 0xFB, 0x90, 0x00][..], &[1; 4000]].concat(), true), None);
        assert_eq!(find(&[0xFF; 4000], true), None);
    }

    #[test]
    fn noise_is_not_taken_for_audio() {
        // A small generator of our own: the test must not depend on dice.
        let mut state = 0x2545_F491_4F6C_DD1Du64;
        let noise: Vec<u8> = (0..262_144)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect();
        assert_eq!(find(&noise, false), None);
    }
}
