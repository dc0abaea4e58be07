//! Writes FLAC as the samples come: what speech models take everywhere, exact to the sample, about half of a WAV.

use std::io::{self, Seek, SeekFrom, Write};

use flacenc::bitsink::ByteSink;
use flacenc::component::{BitRepr, Stream, StreamInfo};
use flacenc::config::Encoder;
use flacenc::error::{Verified, Verify};
use flacenc::source::{Context, Fill, FrameBuf};

use super::Shape;

const BITS: usize = 16;

/// Frames that are encoded together: about a tenth of a second, so that a file can be cut as finely as that.
fn block_of(rate: u32) -> usize {
    (rate / 10).next_power_of_two().clamp(256, 4096) as usize
}

/// See the module. Without [`FlacWriter::finish`] the file has no head and is none.
pub struct FlacWriter<W: Write + Seek> {
    to: W,
    settings: Verified<Encoder>,
    info: StreamInfo,
    context: Context,
    buffer: FrameBuf,
    /// Samples that do not fill a frame yet.
    waiting: Vec<i32>,
    shape: Shape,
    block: usize,
    bytes: u64,
}

impl<W: Write + Seek> FlacWriter<W> {
    /// Begins a file at the writer's place.
    ///
    /// # Errors
    /// When FLAC has no such shape, or nothing can be written.
    pub fn new(to: W, shape: Shape) -> io::Result<Self> {
        let channels = usize::from(shape.channels);
        let mut info = StreamInfo::new(shape.rate as usize, channels, BITS).map_err(unfit)?;
        let block = block_of(shape.rate);
        info.set_block_sizes(block, block).map_err(unfit)?;
        let settings = Encoder::default().into_verified().map_err(|(_, error)| unfit(error))?;
        let mut this = FlacWriter {
            to,
            settings,
            context: Context::new(BITS, channels),
            buffer: FrameBuf::with_size(channels, block).map_err(unfit)?,
            waiting: Vec::with_capacity(block * channels),
            info,
            shape,
            block,
            bytes: 0,
        };
        this.write_head()?;
        Ok(this)
    }

    /// What goes in.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Frames that are encoded together.
    pub fn block(&self) -> usize {
        self.block
    }

    /// Bytes so far; frames that do not fill a block are not among them yet.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds whole frames.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&mut self, frames: &[i16]) -> io::Result<()> {
        let most = self.block * usize::from(self.shape.channels);
        let mut left = frames;
        while !left.is_empty() {
            let (now, later) = left.split_at(left.len().min(most - self.waiting.len()));
            self.waiting.extend(now.iter().map(|&sample| i32::from(sample)));
            left = later;
            if self.waiting.len() == most {
                self.write_frame()?;
            }
        }
        Ok(())
    }

    /// Writes what is left and the head, and gives the writer back, behind the end.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        if !self.waiting.is_empty() {
            self.write_frame()?;
        }
        self.info.set_total_samples(self.context.total_samples());
        self.info.set_md5_digest(&self.context.md5_digest());
        let bytes = self.bytes;
        self.end_at(bytes)
    }

    /// Ends the file after so many whole blocks, as it was when it had so many bytes, and gives the writer back there.
    /// What lies behind is left for the caller to cut off.
    ///
    /// # Errors
    /// When the head cannot be written.
    pub fn finish_after(mut self, blocks: usize, bytes: u64) -> io::Result<W> {
        self.info.set_total_samples(blocks * self.block);
        // All zeros: nobody has reckoned the sum of these samples alone.
        self.info.set_md5_digest(&[0; 16]);
        self.end_at(bytes).map(|(to, _)| to)
    }

    fn end_at(mut self, bytes: u64) -> io::Result<(W, u64)> {
        self.info.set_block_sizes(self.block, self.block).map_err(unfit)?;
        let begin = self.to.stream_position()? - self.bytes;
        self.to.seek(SeekFrom::Start(begin))?;
        self.write_head()?;
        self.to.seek(SeekFrom::Start(begin + bytes))?;
        self.to.flush()?;
        Ok((self.to, bytes))
    }

    fn write_frame(&mut self) -> io::Result<()> {
        self.buffer.fill_interleaved(&self.waiting).map_err(unfit)?;
        self.context.fill_interleaved(&self.waiting).map_err(unfit)?;
        let number = self.context.current_frame_number().unwrap_or(0);
        let frame = flacenc::encode_fixed_size_frame(&self.settings, &self.buffer, number, &self.info)
            .map_err(unfit)?;
        self.info.update_frame_info(&frame);
        self.waiting.clear();
        self.put(&frame)
    }

    fn write_head(&mut self) -> io::Result<()> {
        let head = Stream::with_stream_info(self.info.clone());
        self.put(&head)
    }

    fn put(&mut self, part: &impl BitRepr) -> io::Result<()> {
        let mut sink = ByteSink::new();
        part.write(&mut sink).map_err(unfit)?;
        self.to.write_all(sink.as_slice())?;
        self.bytes += sink.as_slice().len() as u64;
        Ok(())
    }
}

fn unfit(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("FLAC: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sample::file_of;
    use crate::media::sound::decoder::Decoder;
    use crate::media::sound::testing::heard;

    fn through_flac(shape: Shape, samples: &[i16]) -> Vec<i16> {
        let mut writer = FlacWriter::new(io::Cursor::new(Vec::new()), shape).unwrap();
        for some in samples.chunks(usize::from(shape.channels) * 777) {
            writer.write(some).unwrap();
        }
        let (file, bytes) = writer.finish().unwrap();
        assert_eq!(file.position(), file.get_ref().len() as u64);
        assert_eq!(bytes, file.get_ref().len() as u64);
        let decoder = Decoder::open(file_of(file.get_ref())).unwrap();
        heard(Box::new(decoder))
    }

    #[test]
    fn every_sample_comes_back_whatever_the_length_of_the_last_frame() {
        for channels in [1u16, 2, 6] {
            let shape = Shape { rate: 11_025, channels };
            for frames in [1usize, 2, 5, 17, 33, 65, 4095, 4096, 4097, 10_000] {
                let samples: Vec<i16> = (0..frames * usize::from(channels))
                    .map(|n| ((n as f64 / 9.0).sin() * 9000.0) as i16 ^ (n % 5) as i16)
                    .collect();
                assert_eq!(through_flac(shape, &samples), samples, "{frames} frames of {channels}");
            }
        }
    }

    #[test]
    fn a_file_that_ends_earlier_has_the_samples_up_to_there() {
        let shape = Shape { rate: 8000, channels: 2 };
        let samples: Vec<i16> = (0..20_000).map(|n| (n * 31 % 9000 - 4500) as i16).collect();
        let mut writer = FlacWriter::new(io::Cursor::new(Vec::new()), shape).unwrap();
        let block = writer.block();
        writer.write(&samples[..6 * block]).unwrap();
        let bytes = writer.bytes();
        writer.write(&samples[6 * block..]).unwrap();
        let mut file = writer.finish_after(3, bytes).unwrap().into_inner();
        file.truncate(bytes as usize);
        assert_eq!(heard(Box::new(Decoder::open(file_of(&file)).unwrap())), samples[..6 * block]);
    }

    #[test]
    fn the_loudest_samples_come_back() {
        let samples: Vec<i16> = (0..9000).map(|n| if n / 3 % 2 == 0 { i16::MAX } else { i16::MIN }).collect();
        assert_eq!(through_flac(Shape { rate: 44_100, channels: 1 }, &samples), samples);
    }

    #[test]
    fn a_shape_that_flac_does_not_have_is_refused_at_once() {
        let nine = Shape { rate: 8000, channels: 9 };
        assert!(FlacWriter::new(io::Cursor::new(Vec::new()), nine).is_err());
    }
}
