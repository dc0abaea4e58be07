//! The formats that we tell apart: the API's ten, those that only some endpoints take, and those that none does.

use std::str::FromStr;

macro_rules! formats {
    ($($(#[$doc:meta])* $variant:ident = $word:literal, $says:literal, [$($extension:literal),*];)*) => {
        /// A format as the content of a file shows it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Format {
            $($(#[$doc])* $variant,)*
        }

        impl Format {
            /// Every format.
            pub const ALL: &'static [Format] = &[$(Format::$variant),*];

            /// The stable word that the queue stores: `wav`, `mp3`.
            pub fn word(self) -> &'static str {
                match self { $(Format::$variant => $word,)* }
            }

            /// The name for people.
            pub fn says(self) -> &'static str {
                match self { $(Format::$variant => $says,)* }
            }

            /// The extensions that files of this format usually carry, in lower case.
            pub fn usual_extensions(self) -> &'static [&'static str] {
                match self { $(Format::$variant => &[$($extension),*],)* }
            }
        }
    };
}

formats! {
    /// AAC in ADTS frames.
    Aac = "aac", "AAC", ["aac", "adts"];
    /// AIFF and AIFF-C.
    Aiff = "aiff", "AIFF", ["aiff", "aif", "aifc"];
    /// FLAC in its own container.
    Flac = "flac", "FLAC", ["flac", "fla"];
    /// MPEG layer III.
    Mp3 = "mp3", "MP3", ["mp3", "mpga"];
    /// The MP4 family with a sound track: `.mp4`, `.m4a`, `.m4b`, and `.3gp` that holds AAC.
    Mp4 = "mp4", "MP4", ["mp4", "m4a", "m4b", "m4r", "m4v", "mp4a", "f4a", "f4b", "f4v", "3gp", "3gpp", "3g2"];
    /// QuickTime with a sound track.
    Mov = "mov", "QuickTime", ["mov", "qt"];
    /// Vorbis, FLAC or Speex in Ogg.
    Ogg = "ogg", "Ogg", ["ogg", "oga", "ogv", "ogx", "spx"];
    /// Opus in Ogg.
    Opus = "opus", "Opus", ["opus", "ogg", "oga"];
    /// WAV, whatever codec is in it.
    Wav = "wav", "WAV", ["wav", "wave", "bwf"];
    /// WebM with a sound track.
    Webm = "webm", "WebM", ["webm", "weba"];
    /// 3GP whose sound is not AAC (AMR, mostly).
    ThreeGp = "3gp", "3GP", ["3gp", "3gpp", "3g2"];
    /// AMR narrow or wide band.
    Amr = "amr", "AMR", ["amr", "awb"];
    /// Sun audio.
    Au = "au", "AU", ["au", "snd"];
    /// Windows Media with sound only.
    Wma = "wma", "WMA", ["wma", "asf"];
    /// WAV beyond 4 GB: RF64 and BW64. Its readers are few.
    Rf64 = "rf64", "RF64", ["wav", "rf64", "bw64"];
    /// Apple's Core Audio Format.
    Caf = "caf", "CAF", ["caf"];
    /// Matroska that does not call itself WebM.
    Matroska = "matroska", "Matroska", ["mkv", "mka", "mks", "mk3d"];
    /// MPEG layers I and II.
    Mp2 = "mp2", "MPEG layer I or II", ["mp2", "mp1", "mpa", "m2a", "mpga"];
    /// Sound or film in a container that no endpoint takes; [`super::Sniffed::what`] names it.
    Other = "other", "another format", [];
}

impl FromStr for Format {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Format::ALL.iter().copied().find(|f| f.word() == word).ok_or_else(|| word.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_found_by_its_own_word() {
        for &format in Format::ALL {
            assert_eq!(format.word().parse(), Ok(format));
        }
        assert!("WAV".parse::<Format>().is_err());
    }
}
