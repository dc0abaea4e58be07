//! Which streams an Ogg file opens with: every logical stream starts with a page of its own before any data.

/// What the opening pages announce.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Streams {
    pub(super) opus: bool,
    /// Vorbis, FLAC, Speex and rarer codecs.
    pub(super) other_audio: bool,
}

/// Reads the opening pages from the first bytes of a file; `None` when these are no Ogg page.
pub(super) fn streams(mut head: &[u8]) -> Option<Streams> {
    head.starts_with(b"OggS").then_some(())?;
    let mut found = Streams::default();
    // Flag 2: this page begins a stream. The first page without it ends the announcements.
    while head.starts_with(b"OggS") && head.get(5).is_some_and(|flags| flags & 2 != 0) {
        let Some(lacing) = head.get(26).and_then(|&n| head.get(27..27 + usize::from(n))) else { break };
        let body = 27 + lacing.len();
        let end = body + lacing.iter().map(|&n| usize::from(n)).sum::<usize>();
        let packet = &head[body..end.min(head.len())];
        found.opus |= packet.starts_with(b"OpusHead");
        found.other_audio |=
            [&b"\x01vorbis"[..], b"\x7FFLAC", b"fLaC", b"Speex   ", b"CELT    ", b"PCM     ", b"\x01audio"]
                .iter()
                .any(|magic| packet.starts_with(magic));
        head = &head[end.min(head.len())..];
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sample::ogg_page;

    #[test]
    fn a_skeleton_or_a_film_before_the_sound_does_not_hide_it() {
        let file = [
            ogg_page(2, b"fishead\0..."),
            ogg_page(2, b"\x80theora"),
            ogg_page(2, b"OpusHead"),
            ogg_page(0, b"x"),
        ];
        assert_eq!(streams(&file.concat()), Some(Streams { opus: true, other_audio: false }));
    }

    #[test]
    fn pages_of_data_announce_nothing() {
        let file = [ogg_page(2, b"\x80theora"), ogg_page(0, b"OpusHead")].concat();
        assert_eq!(streams(&file), Some(Streams::default()));
        assert_eq!(streams(b"OggS"), Some(Streams::default()), "cut inside the first page");
        assert_eq!(streams(b"Oggy"), None);
    }
}
