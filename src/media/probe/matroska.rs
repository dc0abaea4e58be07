//! Matroska and WebM: the length that the file was given when it was finished. A live one never was.

use std::fs::File;

use crate::media::ebml;
use crate::task::Measured;

pub(super) fn told(file: &File, len: u64) -> Option<Measured> {
    let head = ebml::matroska(file, len).ok()?;
    head.is_whole.then_some(head.length_ms.filter(|ms| *ms > 0)?).map(Measured::header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sample::{file_of, finished_webm};

    #[test]
    fn a_finished_file_is_believed_and_a_cut_one_is_not() {
        let whole = finished_webm(2000.4);
        let of = |bytes: &[u8]| told(&file_of(bytes), bytes.len() as u64);
        assert_eq!(of(&whole), Some(Measured::header(2000)));
        assert_eq!(of(&whole[..whole.len() - 1]), None);
        assert_eq!(of(&crate::media::sample::webm("webm", &[2])), None);
    }
}
