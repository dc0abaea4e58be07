//! The length of sound that nothing here can decode, by what its container says: GSM and ADPCM in WAV and AIFF,
//! Speex in Ogg. A service with more decoders takes these; an emulator that refused them would teach a wrong lesson.

use std::io::{self, Read, Seek, SeekFrom};

/// Ogg pages end within this; the last one tells how much was said.
const TAIL: u64 = 128 * 1024;

/// The length in milliseconds, if the container tells one above zero.
pub(super) fn by_container(file: &mut (impl Read + Seek)) -> Option<u64> {
    let mut head = [0u8; 12];
    file.rewind().and_then(|()| file.read_exact(&mut head)).ok()?;
    let seconds = match (&head[..4], &head[8..]) {
        (b"RIFF", b"WAVE") => wav(file),
        (b"FORM", b"AIFC") => aiff(file),
        (b"OggS", _) => speex(file),
        _ => Ok(None),
    };
    let ms = (seconds.ok().flatten()? * 1000.0).round();
    (ms.is_finite() && ms >= 1.0).then_some(ms as u64)
}

/// Data bytes ÷ average bytes per second.
fn wav(file: &mut (impl Read + Seek)) -> io::Result<Option<f64>> {
    let mut rate = None;
    while let Some((name, size)) = chunk(file, u32::from_le_bytes)? {
        match &name {
            b"fmt " if size >= 16 => {
                let mut format = [0u8; 16];
                file.read_exact(&mut format)?;
                rate = Some(f64::from(le32(&format[8..12]))).filter(|r| *r > 0.0);
                skip(file, size - 16)?;
            }
            b"data" => return Ok(rate.map(|rate| f64::from(size) / rate)),
            _ => skip(file, size)?,
        }
    }
    Ok(None)
}

/// Sample frames ÷ rate; a compressed "frame" is a packet, of 64 samples for IMA and 160 for GSM.
fn aiff(file: &mut (impl Read + Seek)) -> io::Result<Option<f64>> {
    while let Some((name, size)) = chunk(file, u32::from_be_bytes)? {
        if &name == b"COMM" && size >= 22 {
            let mut common = [0u8; 22];
            file.read_exact(&mut common)?;
            let frames = f64::from(u32::from_be_bytes([common[2], common[3], common[4], common[5]]));
            let exponent = i32::from(u16::from_be_bytes([common[8], common[9]]) & 0x7fff) - 16383 - 63;
            let mantissa = common[10..18].iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
            let rate = mantissa as f64 * 2f64.powi(exponent);
            let samples = match &common[18..22] {
                b"ima4" => frames * 64.0,
                b"GSM " | b"agsm" => frames * 160.0,
                _ => frames,
            };
            return Ok((rate > 0.0).then(|| samples / rate));
        }
        skip(file, size)?;
    }
    Ok(None)
}

/// The last page's position ÷ the rate in the Speex header.
fn speex(file: &mut (impl Read + Seek)) -> io::Result<Option<f64>> {
    let mut first = Vec::new();
    file.rewind()?;
    file.take(512).read_to_end(&mut first)?;
    let Some(header) = find(&first, b"Speex   ") else { return Ok(None) };
    let Some(rate) = first.get(header + 36..header + 40).map(le32).filter(|rate| *rate > 0) else {
        return Ok(None);
    };
    let end = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(end.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let page = (0..tail.len()).rev().find(|at| tail[*at..].starts_with(b"OggS"));
    let position = page.and_then(|at| tail.get(at + 6..at + 14));
    Ok(position.map(|p| {
        let samples = p.iter().rev().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        samples as f64 / f64::from(rate)
    }))
}

/// The next chunk's name and size; chunks are padded to even lengths.
fn chunk(file: &mut impl Read, number: fn([u8; 4]) -> u32) -> io::Result<Option<([u8; 4], u32)>> {
    let mut head = [0u8; 8];
    match file.read_exact(&mut head) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let [a, b, c, d, e, f, g, h] = head;
    Ok(Some(([a, b, c, d], number([e, f, g, h]))))
}

fn skip(file: &mut impl Seek, bytes: u32) -> io::Result<()> {
    file.seek(SeekFrom::Current(i64::from(bytes) + i64::from(bytes % 2))).map(drop)
}

fn le32(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn gsm_in_a_wav_is_measured_by_its_byte_rate() {
        let mut file = b"RIFF\0\0\0\0WAVEfmt \x14\0\0\0\x31\0\x01\0".to_vec();
        file.extend(8000u32.to_le_bytes());
        file.extend(1625u32.to_le_bytes());
        file.extend([65, 0, 0, 0, 2, 0, 64, 1]);
        file.extend(b"data");
        file.extend(3250u32.to_le_bytes());
        assert_eq!(by_container(&mut Cursor::new(file)), Some(2000));
    }

    #[test]
    fn packets_in_an_aiff_are_counted_as_the_samples_they_hold() {
        let mut file = b"FORM\0\0\0\0AIFCCOMM\0\0\0\x18\0\x01".to_vec();
        file.extend(250u32.to_be_bytes());
        file.extend([0, 16, 0x40, 0x0b, 0xfa, 0, 0, 0, 0, 0, 0, 0]); // 8000 as an 80-bit number
        file.extend(b"ima4\0\0");
        assert_eq!(by_container(&mut Cursor::new(file)), Some(2000));
    }

    #[test]
    fn what_says_nothing_has_no_length() {
        for bytes in [&b""[..], b"RIFF\0\0\0\0WAVE", b"FORM\0\0\0\0AIFC", b"OggS\0\0\0\0\0\0\0\0\0", &[0; 64]]
        {
            assert_eq!(by_container(&mut Cursor::new(bytes)), None);
        }
    }
}
