//! The reader of multipart answers itself, which is quicker than through a socket: whatever the cutting, the same
//! parts come out.
#![no_main]

#[path = "../../src/velma/multipart.rs"]
mod multipart;

use multipart::{Event, Malformed, Multipart};

/// Names and contents of the parts, and whether the closing boundary came.
type Parts = (Vec<(Option<String>, Vec<u8>, bool)>, bool);

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Parts, Malformed> {
    let mut reader = Multipart::from_content_type("multipart/form-data; boundary=b").expect("a boundary");
    let mut parts = Vec::new();
    for piece in pieces {
        reader.feed(piece);
        while let Some(event) = reader.next()? {
            match event {
                Event::Begin(name) => parts.push((name, Vec::new(), false)),
                Event::Data(data) => parts.last_mut().expect("a part that began").1.extend_from_slice(&data),
                Event::End => {
                    let part = parts.last_mut().expect("a part that began");
                    assert!(!std::mem::replace(&mut part.2, true), "a part that ends twice");
                }
            }
        }
    }
    Ok((parts, reader.is_complete()))
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let whole = read(std::iter::once(data));
    // A part whose end never comes keeps back what may be a boundary: the same bytes, however they came.
    assert_eq!(whole, read(data.chunks(7)));
    // A header is looked through anew with each piece: byte by byte only what is short.
    if data.len() <= 2048 {
        assert_eq!(whole, read(data.chunks(1)));
    }
    if let Ok(header) = std::str::from_utf8(data) {
        let _ = Multipart::from_content_type(header);
        let _ = Multipart::from_content_type(&format!("multipart/form-data; {header}"));
    }
});
