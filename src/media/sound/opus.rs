//! Opus packets as samples, which symphonia takes out of their containers and does not decode. Always 48 kHz: that is
//! the clock that Opus tells time by, whatever went in.

use opus_pure::{MAX_PACKET_SAMPLES, OpusDecoder, OpusMSDecoder, packet};
use symphonia::core::errors::Error;
use symphonia::core::packet::Packet;

use super::{DecodeError, Shape};
use crate::media::read::{be16, le16};

/// What Opus decodes to.
pub(super) const RATE: u32 = 48_000;

/// Where in a frame of Opus the channels are that FLAC and WAV have in this order. It begins with left, centre and right.
const ORDERS: [&[usize]; 5] =
    [&[0, 2, 1], &[0, 2, 1, 3, 4], &[0, 2, 1, 5, 3, 4], &[0, 2, 1, 6, 5, 3, 4], &[0, 2, 1, 7, 5, 6, 3, 4]];

/// See the module.
pub(super) struct Opus {
    streams: Streams,
    channels: u16,
    /// Frames still to come before what was put in: an encoder runs late, and its file says by how much.
    lead: u64,
}

enum Streams {
    One(Box<OpusDecoder>),
    Several(Box<OpusMSDecoder>),
}

impl Opus {
    /// As CAF tells what there is to know.
    pub(super) fn without_head(channels: usize, lead: u32) -> Result<Self, DecodeError> {
        let channels = u8::try_from(channels).unwrap_or(u8::MAX);
        let lead = u16::try_from(lead).unwrap_or(u16::MAX).to_le_bytes();
        Opus::of(&[&b"OpusHead\x01"[..], &[channels], &lead, &[0; 7]].concat())
    }

    /// By the head that other containers have for it.
    pub(super) fn of(head: &[u8]) -> Result<Self, DecodeError> {
        let unfit = |what: String| DecodeError::Undecodable(format!("Opus {what}"));
        let short = || unfit("without its head".to_owned());
        let byte = |at: usize| head.get(at).copied().ok_or_else(short);
        if !head.starts_with(b"OpusHead") {
            return Err(short());
        }
        // MP4 tells the same the other way round, and calls it version 0.
        let word =
            |at| if head.get(8) == Some(&0) { be16(head, at) } else { le16(head, at) }.ok_or_else(short);
        let (channels, lead, gain, family) = (byte(9)?, word(10)?, word(16)?, byte(18)?);
        let gain = i32::from(gain.cast_signed());
        let strange = || unfit(format!("with {channels} channels of mapping family {family}"));
        let streams = match family {
            0 => {
                let one = OpusDecoder::new(RATE.cast_signed(), usize::from(channels));
                let mut one = Box::new(one.map_err(|_| strange())?);
                one.gain_q8 = gain;
                Streams::One(one)
            }
            _ => {
                let several = OpusMSDecoder::new(RATE.cast_signed(), usize::from(channels), family);
                let mut several = Box::new(several.map_err(|_| strange())?);
                let layout = several.layout();
                let usual =
                    [&[layout.nb_streams as u8, layout.nb_coupled_streams as u8][..], &layout.mapping];
                if head.get(19..) != Some(&usual.concat()) {
                    return Err(strange());
                }
                several.streams_mut().iter_mut().for_each(|stream| stream.gain_q8 = gain);
                Streams::Several(several)
            }
        };
        Ok(Opus { streams, channels: u16::from(channels), lead: u64::from(lead) })
    }

    /// How many frames of a packet are to be heard.
    pub(super) fn told(&self, packet: &Packet) -> u64 {
        frames(packet).saturating_sub(self.lead).saturating_sub(packet.trim_end.get())
    }

    /// Takes note of a packet that is not decoded.
    pub(super) fn pass(&mut self, packet: &Packet) {
        self.lead = self.lead.saturating_sub(frames(packet));
    }

    /// What comes next does not follow what was decoded last.
    pub(super) fn reset(&mut self) {
        // It fails for a decoder that could not be made, and this one was.
        let _ = match &mut self.streams {
            Streams::One(one) => one.reset_state(),
            Streams::Several(several) => several.reset_state(),
        };
    }

    /// Puts what is to be heard of a packet in the place of what is in `block`.
    pub(super) fn decode(&mut self, packet: &Packet, block: &mut Vec<i16>) -> Result<Shape, Error> {
        let channels = usize::from(self.channels);
        block.resize(MAX_PACKET_SAMPLES * channels, 0);
        let decoded = match &mut self.streams {
            // Nothing at all would be taken for a packet that was lost.
            _ if packet.data.is_empty() => Err(opus_pure::Error::InvalidPacket("it is empty")),
            Streams::One(one) => one.decode_s16(&packet.data, MAX_PACKET_SAMPLES, block),
            Streams::Several(several) => several.decode_s16(&packet.data, MAX_PACKET_SAMPLES, block),
        };
        let lead = usize::try_from(self.lead).unwrap_or(usize::MAX);
        self.pass(packet);
        let frames = decoded.map_err(|_| Error::DecodeError("opus: damaged packet"))?;
        let late = usize::try_from(packet.trim_end.get()).unwrap_or(usize::MAX);
        let end = frames.saturating_sub(late);
        block.truncate(end * channels);
        block.drain(..lead.min(end) * channels);
        if let Some(order) = ORDERS.iter().find(|order| order.len() == channels) {
            let mut before = [0; 8];
            for frame in block.chunks_exact_mut(channels) {
                before[..channels].copy_from_slice(frame);
                frame.iter_mut().zip(*order).for_each(|(sample, &place)| *sample = before[place]);
            }
        }
        Ok(Shape { rate: RATE, channels: self.channels })
    }
}

/// Of what is no packet there are none.
fn frames(of: &Packet) -> u64 {
    packet::samples_48k(&of.data).unwrap_or(0) as u64
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use opus_pure::{Application, ChannelLayout, OggOpusWriter, OpusEncoder, OpusHead, OpusMSEncoder};
    use symphonia::core::units::{Duration, Timestamp};

    use super::*;
    use crate::media::sample::file_of;
    use crate::media::sound::decoder::Decoder;
    use crate::media::sound::testing::heard;
    use crate::media::sound::{OpusWriter, Sound};

    /// Packets of 20 ms, a second of a tone, and how late it is.
    fn packets(channels: usize) -> (Vec<Vec<u8>>, u16) {
        let mut encoder = OpusEncoder::new(48_000, channels, Application::Audio).unwrap();
        let lead = OpusHead::for_encoder(&encoder, 0).pre_skip;
        let tone =
            |n: usize| ((n / channels) as f64 / 48_000.0 * 440.0 * std::f64::consts::TAU).sin() * 9000.0;
        let packets = (0..50).map(|number| {
            let from = number * 960 * channels;
            let samples: Vec<i16> = (from..from + 960 * channels).map(|n| tone(n) as i16).collect();
            let mut packet = vec![0; 4000];
            let size = encoder.encode_s16(&samples, 960, &mut packet).unwrap();
            packet.truncate(size);
            packet
        });
        (packets.collect(), lead)
    }

    /// As Ogg has it, or MP4.
    fn head(version: u8, channels: u8, lead: u16, gain: i16) -> Vec<u8> {
        let word = |n: u16| if version == 0 { n.to_be_bytes() } else { n.to_le_bytes() };
        let gain = word(gain.cast_unsigned());
        [&b"OpusHead"[..], &[version, channels], &word(lead), &[0; 4], &gain, &[0]].concat()
    }

    fn packet(data: &[u8], late: u64) -> Packet {
        let mut packet = Packet::new(0, Timestamp::ZERO, Duration::ZERO, data.to_vec());
        packet.trim_end = Duration::new(late);
        packet
    }

    fn all(opus: &mut Opus, packets: &[Vec<u8>]) -> Vec<i16> {
        let (mut all, mut block) = (Vec::new(), Vec::new());
        for data in packets {
            let (data, told) = (packet(data, 0), opus.told(&packet(data, 0)));
            opus.decode(&data, &mut block).unwrap();
            assert_eq!(block.len() as u64, told * u64::from(opus.channels));
            all.append(&mut block);
        }
        all
    }

    #[test]
    fn the_head_of_mp4_says_the_same_the_other_way_round() {
        let (packets, lead) = packets(1);
        assert_eq!(lead, 312);
        let of = |version| all(&mut Opus::of(&head(version, 1, lead, -1536)).unwrap(), &packets);
        let there = of(1);
        assert_eq!((there.len(), of(0)), (48_000 - 312, there.clone()));
        let plain = all(&mut Opus::of(&head(1, 1, lead, 0)).unwrap(), &packets);
        let loudest = |samples: &[i16]| f64::from(*samples.iter().max().unwrap());
        assert!((loudest(&plain) / loudest(&there) - 2.0).abs() < 0.05, "6 dB less were asked for");
        assert_eq!(all(&mut Opus::without_head(1, 312).unwrap(), &packets), plain);
    }

    #[test]
    fn what_begins_late_and_ends_early_is_cut_to_the_frame() {
        let (packets, _) = packets(2);
        let mut opus = Opus::of(&head(1, 2, 2000, 0)).unwrap();
        let mut told = Vec::new();
        for (number, data) in packets[..4].iter().enumerate() {
            let late = if number == 3 { 900 } else { 0 };
            let (packet, mut block) = (packet(data, late), Vec::new());
            let before = opus.told(&packet);
            opus.decode(&packet, &mut block).unwrap();
            assert_eq!(block.len() as u64, before * 2);
            told.push(before);
        }
        assert_eq!(told, [0, 0, 880, 60]);
        // What is passed over counts as well.
        let mut other = Opus::of(&head(1, 2, 2000, 0)).unwrap();
        packets[..2].iter().for_each(|data| other.pass(&packet(data, 0)));
        assert_eq!(other.told(&packet(&packets[2], 0)), 880);
    }

    #[test]
    fn a_damaged_packet_keeps_its_place() {
        let (mut packets, lead) = packets(1);
        let file = |packets: &[Vec<u8>]| {
            let head = OpusHead { pre_skip: lead, ..OpusHead::new(1, 48_000).unwrap() };
            let mut ogg = OggOpusWriter::new(Cursor::new(Vec::new()), head).unwrap();
            packets.iter().for_each(|packet| ogg.write_packet_with_duration(packet, 960).unwrap());
            ogg.finish().unwrap().into_inner()
        };
        let of = |packets: &[Vec<u8>]| heard(Box::new(Decoder::open(file_of(&file(packets))).unwrap()));
        let whole = of(&packets);
        // One frame, and padding that is longer than the packet.
        packets[25] = vec![packets[25][0] | 3, 0x41, 200];
        let damaged = of(&packets);
        assert_eq!(damaged.len(), whole.len());
        assert_eq!(damaged[..20 * 960], whole[..20 * 960]);
        let power = |of: &[i16]| of.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>();
        let off: Vec<i16> = damaged[40 * 960..].iter().zip(&whole[40 * 960..]).map(|(a, b)| a - b).collect();
        assert!(power(&off) < power(&whole[40 * 960..]) / 50.0);
    }

    #[test]
    fn links_of_a_chain_follow_one_another_without_a_gap() {
        let shape = Shape { rate: 48_000, channels: 1 };
        let ramp: Vec<i16> = (0..100_123).map(|n| ((n as f64 / 9.0).sin() * 9000.0) as i16).collect();
        let mut writer = OpusWriter::new(Vec::new(), shape, 64_000).unwrap();
        writer.write(&ramp).unwrap();
        let (mut file, _) = writer.finish().unwrap();
        let alone = heard(Box::new(Decoder::open(file_of(&file)).unwrap()));
        // Another stream has another number.
        let head = OpusHead::new(1, 48_000).unwrap();
        let mut second = OggOpusWriter::with_serial(Vec::new(), head, Default::default(), 77).unwrap();
        let (packets, _) = packets(1);
        packets.iter().for_each(|packet| second.write_packet(packet).unwrap());
        file.extend(second.finish().unwrap());
        let both = heard(Box::new(Decoder::open(file_of(&file)).unwrap()));
        assert_eq!((alone.len(), both.len()), (100_123, 100_123 + 48_000 - 312));
        assert_eq!(both[..100_123], alone);
        // Skipping across the seam lands at the same place.
        let mut later = Decoder::open(file_of(&file)).unwrap();
        later.skip(130_000).unwrap();
        assert_eq!(heard(Box::new(later)).len(), both.len() - 130_000);
    }

    #[test]
    fn six_channels_come_in_the_order_of_flac() {
        // Only the third of them sounds, which Opus has between the two in front: the centre is the second here.
        let mut encoder = OpusMSEncoder::new(48_000, 6, 1, Application::Audio).unwrap();
        encoder.set_bitrate(256_000);
        let layout = ChannelLayout::surround(6, 1).unwrap();
        let head = OpusHead::for_layout(&layout, 48_000);
        let mut ogg = OggOpusWriter::new(Vec::new(), head).unwrap();
        for number in 0..50 {
            let tone = |n: usize| (((number * 960 + n) as f32) / 17.0).sin() * 0.3;
            let frames: Vec<f32> = (0..960 * 6).map(|n| if n % 6 == 1 { tone(n / 6) } else { 0.0 }).collect();
            let mut packet = vec![0; 9000];
            let size = encoder.encode(&frames, 960, &mut packet).unwrap();
            ogg.write_packet(&packet[..size]).unwrap();
        }
        let sound = Decoder::open(file_of(&ogg.finish().unwrap())).unwrap();
        assert_eq!(sound.shape(), Shape { rate: 48_000, channels: 6 });
        let there = heard(Box::new(sound));
        let power = |n: usize| there.iter().skip(n).step_by(6).map(|s| f64::from(*s).powi(2)).sum::<f64>();
        let loudest = (0..6).max_by(|a, b| power(*a).total_cmp(&power(*b)));
        assert_eq!(loudest, Some(2), "left, right, centre");
    }

    #[test]
    fn what_no_player_knows_how_to_place_says_so() {
        for (head, what) in [
            (b"OpusHead\x01\x03\0\0\0\0\0\0\0\0\0".to_vec(), "3 channels of mapping family 0"),
            (b"OpusHead\x01\x02\0\0\0\0\0\0\0\0\x02\x02\0\0\x01".to_vec(), "2 channels of mapping family 2"),
            (
                b"OpusHead\x01\x03\0\0\0\0\0\0\0\0\x01\x03\0\0\x01\x02".to_vec(),
                "3 channels of mapping family 1",
            ),
            (b"OpusHead\x01\x02".to_vec(), "without its head"),
            (b"nothing".to_vec(), "without its head"),
        ] {
            let Err(DecodeError::Undecodable(told)) = Opus::of(&head) else { panic!("{what}") };
            assert!(told.contains(what), "{told}");
        }
    }

    #[test]
    fn noise_is_an_error_or_sound_and_nothing_else() {
        let mut dice = fastrand::Rng::with_seed(11);
        let (good, _) = packets(2);
        let mut opus = Opus::of(&head(1, 2, 0, 0)).unwrap();
        let mut block = Vec::new();
        for number in 0..3000 {
            let mut data = good[number % good.len()].clone();
            match number % 3 {
                0 => data = (0..dice.usize(0..400)).map(|_| dice.u8(..)).collect(),
                1 => data.truncate(dice.usize(0..data.len())),
                _ => (0..4).for_each(|_| data[dice.usize(0..4)] ^= 1 << dice.u8(0..8)),
            }
            let _ = opus.decode(&packet(&data, 0), &mut block);
            assert!(block.len() <= MAX_PACKET_SAMPLES * 2);
        }
    }
}
