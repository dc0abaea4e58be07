//! What it costs to look at a recording: by content alone, and with all that is checked before it is sent.

use std::fs::File;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use voxbatch::media::{self, MediaSettings};
use voxbatch::task::{Endpoint, RecordingPath};

fn look(c: &mut Criterion) {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples");
    for name in ["account.wav", "kitchen.opus", "workshop.mp3", "lecture.mp4"] {
        let path = samples.join(name);
        c.bench_function(&format!("media/sniff {name}"), |b| {
            let mut file = File::open(&path).expect("a bundled sample");
            let len = file.metadata().expect("a bundled sample").len();
            b.iter(|| {
                media::sniff(&mut file, len).expect("a disk that can be read").format.expect("a recording")
            });
        });
    }
    let path = samples.join("account.wav");
    let (recording, settings) = (RecordingPath::from_bytes(*b"account.wav"), MediaSettings::default());
    let prepare =
        || media::prepare(&path, &recording, Endpoint::SttBatch, &settings, media::Terms::default());
    c.bench_function("media/prepare account.wav", |b| {
        b.iter(|| prepare().expect("a recording").len);
    });
}

criterion_group!(benches, look);
criterion_main!(benches);
