//! What makes samples of packets: a decoder of symphonia's, or that of Opus, which it lacks.

use symphonia::core::codecs::audio::AudioDecoder;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::errors::Error;
use symphonia::core::formats::Track;
use symphonia::core::packet::Packet;

use super::opus::Opus;
use super::{DecodeError, Shape};

/// See the module.
pub(super) struct Codec {
    by: By,
    /// Packets were passed over since the last one that was decoded.
    jumped: bool,
}

enum By {
    Symphonia {
        decoder: Box<dyn AudioDecoder>,
        /// Whether packets say how many frames they hold.
        counts_frames: bool,
    },
    Opus(Opus),
}

impl Codec {
    /// For a sound track.
    pub(super) fn of(track: &Track) -> Result<Self, DecodeError> {
        let undecodable = |what: &str| DecodeError::Undecodable(what.to_owned());
        let parameters = track.codec_params.as_ref().and_then(|codec| codec.audio());
        let parameters = parameters.ok_or_else(|| undecodable("a sound track of an unknown kind"))?;
        if parameters.codec == CODEC_ID_OPUS {
            let opus = match &parameters.extra_data {
                Some(head) => Opus::of(head)?,
                None => {
                    let channels = parameters.channels.as_ref().map_or(1, |channels| channels.count());
                    Opus::without_head(channels, track.delay.unwrap_or(0))?
                }
            };
            return Ok(Codec { by: By::Opus(opus), jumped: false });
        }
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(parameters, &Default::default())
            .map_err(|_| undecodable("sound in a codec that is not read here"))?;
        let base = track.time_base.map(|base| (base.numer.get(), base.denom.get()));
        let counts_frames =
            base.is_some_and(|(numer, denom)| numer == 1 && Some(denom) == parameters.sample_rate);
        Ok(Codec { by: By::Symphonia { decoder, counts_frames }, jumped: false })
    }

    /// How many frames of a packet are to be heard, where that shows without opening it: then it can be passed over.
    pub(super) fn told(&self, packet: &Packet) -> Option<u64> {
        match &self.by {
            By::Symphonia { counts_frames, .. } => counts_frames.then_some(packet.dur.get()),
            By::Opus(opus) => Some(opus.told(packet)),
        }
    }

    /// Leaves out a packet.
    pub(super) fn pass(&mut self, packet: &Packet) {
        self.jumped = true;
        if let By::Opus(opus) = &mut self.by {
            opus.pass(packet);
        }
    }

    /// Puts what is to be heard of a packet in the place of what is in `block`.
    pub(super) fn decode(&mut self, packet: &Packet, block: &mut Vec<i16>) -> Result<Shape, Error> {
        let jumped = std::mem::take(&mut self.jumped);
        match &mut self.by {
            By::Symphonia { decoder, .. } => {
                if jumped {
                    decoder.reset();
                }
                let heard = decoder.decode(packet)?;
                heard.copy_to_vec_interleaved(block);
                let (rate, channels) = (heard.spec().rate(), heard.spec().channels().count());
                Ok(Shape { rate, channels: u16::try_from(channels).unwrap_or(0) })
            }
            By::Opus(opus) => {
                if jumped {
                    opus.reset();
                }
                opus.decode(packet, block)
            }
        }
    }
}
