//! The MP4 family: the time that the index gives to its sound track, if all the sound is there and the index holds it.

use std::fs::File;

use crate::media::boxes;
use crate::task::Measured;

pub(super) fn told(file: &File, len: u64) -> Option<Measured> {
    let movie = boxes::movie(file, len).ok()?;
    let whole = !movie.is_cut && !movie.is_fragmented;
    whole.then_some(movie.sound_ms.filter(|ms| *ms > 0)?).map(Measured::header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sample::{file_of, mp4_box, timed_mp4};

    fn of(bytes: &[u8]) -> Option<Measured> {
        told(&file_of(bytes), bytes.len() as u64)
    }

    #[test]
    fn the_shorter_of_track_and_media_counts() {
        let data = mp4_box(b"mdat", &[0; 500]);
        // The media has what encoders put in front; the track leaves it out.
        assert_eq!(of(&[timed_mp4(2000, 16_768), data.clone()].concat()), Some(Measured::header(2000)));
        // The track has silence in front, which is no sound.
        assert_eq!(of(&[timed_mp4(9000, 16_000), data.clone()].concat()), Some(Measured::header(2000)));
        assert_eq!(of(&[timed_mp4(0, 16_000), data].concat()), Some(Measured::header(2000)));
    }

    #[test]
    fn a_cut_file_and_one_in_pieces_are_not_taken_at_their_word() {
        let whole = [timed_mp4(2000, 16_000), mp4_box(b"mdat", &[0; 500])].concat();
        assert_eq!(of(&whole[..whole.len() - 1]), None);
        let pieces = [timed_mp4(2000, 16_000), mp4_box(b"moof", &[0; 8]), mp4_box(b"mdat", &[0; 9])].concat();
        assert_eq!(of(&pieces), None);
    }
}
