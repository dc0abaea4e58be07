//! What it costs to understand an answer: a success is read whole, a refusal by its words.

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use voxbatch::task::{Endpoint, Verdict};
use voxbatch::velma::{Answer, Exchange, classify};

fn understand(c: &mut Criterion) {
    let busy = r#"{"detail":"Too many concurrent requests for this model. Please try again shortly."}"#;
    let cases = [
        ("success, 4 utterances", 200, voxbatch_micro::response(4)),
        ("success, 1,000 utterances", 200, voxbatch_micro::response(1_000)),
        ("too many at once", 429, busy.to_owned()),
        ("a page of a proxy", 403, "<html><title>403 Forbidden</title></html>".to_owned()),
    ];
    for (name, status, body) in cases {
        let exchange = exchange(status, body);
        assert_eq!(
            status == 200,
            matches!(classify(Endpoint::SttBatch, &exchange), Verdict::Success),
            "{name}"
        );
        c.bench_function(&format!("velma/classify {name}"), |b| {
            b.iter(|| classify(Endpoint::SttBatch, &exchange));
        });
    }
}

fn exchange(status: u16, body: String) -> Exchange {
    Exchange {
        bytes_sent: 16_000,
        body_sent: true,
        blake3: None,
        request_id: None,
        outcome: Ok(Answer {
            status,
            retry_after: None,
            content_type: Some("application/json".to_owned()),
            body: Bytes::from(body),
            audio: None,
            is_complete: true,
        }),
    }
}

criterion_group!(benches, understand);
criterion_main!(benches);
