//! What a task costs the queue: to be claimed, and to be settled with a result. Per batch of 8, as 8 slots come to it.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use voxbatch::task::Settlement;
use voxbatch_micro::{Queue, release};

const SLOTS: u32 = 8;

fn claim(c: &mut Criterion) {
    let mut queue = Queue::new(SLOTS);
    queue.add(10_000);
    let mut group = c.benchmark_group("queue");
    group.throughput(Throughput::Elements(u64::from(SLOTS))).sample_size(20);
    group.bench_function("claim 8 of 10,000", |b| {
        b.iter_custom(|times| {
            let mut spent = Duration::ZERO;
            for _ in 0..times {
                let clock = Instant::now();
                let tasks = queue.claim(SLOTS);
                spent += clock.elapsed();
                assert_eq!(tasks.len(), SLOTS as usize);
                queue.settle(tasks, release);
            }
            spent
        });
    });
    group.finish();
}

fn settle(c: &mut Criterion) {
    let mut queue = Queue::new(SLOTS);
    let mut group = c.benchmark_group("queue");
    group.throughput(Throughput::Elements(u64::from(SLOTS))).sample_size(20);
    group.bench_function("settle 8 with results", |b| {
        b.iter_custom(|times| {
            let mut spent = Duration::ZERO;
            queue.add(times * u64::from(SLOTS));
            for _ in 0..times {
                let tasks = queue.claim(SLOTS);
                assert_eq!(tasks.len(), SLOTS as usize);
                let clock = Instant::now();
                queue.settle(tasks, || Settlement::Succeed);
                spent += clock.elapsed();
            }
            spent
        });
    });
    group.finish();
}

criterion_group!(benches, claim, settle);
criterion_main!(benches);
