//! The sample recordings as part of the program, so that a demonstration needs no download and no checkout.

/// A short recording of synthetic speech whose words the emulator knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Its file name, extension included.
    pub name: &'static str,
    /// The whole file.
    pub bytes: &'static [u8],
}

macro_rules! samples {
    ($($name:literal)*) => {
        /// One sample in each format that the API takes; about half a megabyte together.
        pub const SAMPLES: &[Sample] =
            &[$(Sample { name: $name, bytes: include_bytes!(concat!("../../samples/", $name)) }),*];
    };
}

samples! {
    "account.wav" "ferry.aiff" "garden.mov" "kitchen.opus" "lecture.mp4"
    "library.flac" "meeting.webm" "night-shift.aac" "platform.ogg" "workshop.mp3"
}
