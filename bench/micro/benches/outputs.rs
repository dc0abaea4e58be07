//! What it costs to bring 1,000 results from the queue into the three files.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use voxbatch::outputs::{OutputSettings, Projector};
use voxbatch::queue::OutputState;
use voxbatch::task::Settlement;
use voxbatch_micro::Queue;

const RESULTS: u64 = 1_000;
const FILES: [&str; 3] = ["results.jsonl", "results.csv", "utterances.csv"];

fn project(c: &mut Criterion) {
    let mut queue = Queue::new(100);
    queue.add(RESULTS);
    for _ in 0..RESULTS / 100 {
        let tasks = queue.claim(100);
        queue.settle(tasks, || Settlement::Succeed);
    }
    let mut group = c.benchmark_group("outputs");
    group.throughput(Throughput::Elements(RESULTS)).sample_size(20);
    group.bench_function("project 1,000 results", |b| {
        b.iter_custom(|times| {
            let mut spent = Duration::ZERO;
            for _ in 0..times {
                forget(&queue);
                let clock = Instant::now();
                queue.wait(async {
                    let (store, job) = (Arc::clone(&queue.store), queue.job.clone());
                    let mut projector =
                        Projector::open(store, job, OutputSettings::default()).await.expect("files");
                    projector.advance().await.expect("room for files");
                });
                spent += clock.elapsed();
                assert!(fs::metadata(queue.job.output.join(FILES[0])).is_ok_and(|file| file.len() > 0));
            }
            spent
        });
    });
    group.finish();
}

/// As if nothing had ever been written.
fn forget(queue: &Queue) {
    for name in FILES {
        let _ = fs::remove_file(queue.job.output.join(name));
        queue.wait(queue.store.commit_output(queue.job.id, name, OutputState::default())).expect("a queue");
    }
}

criterion_group!(benches, project);
criterion_main!(benches);
