//! What the conformance list says case by case, as a property: any writes in any order, two processes, crashes
//! between any two; after each the store tells exactly what a small reference in plain Rust says.
//!
//! A backend is added at the foot. `VOXBATCH_MODEL_OPS=200000` goes on until that many writes were compared, and
//! `VOXBATCH_MODEL_SEED` repeats a run.

mod broken;
mod call;
mod life;
mod look;
mod op;
mod purge;
mod reference;
mod resolve;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use self::broken::{Broken, Fault};
use self::op::{Step, steps};
use self::world::World;
use super::*;

/// A fresh store for a case: what it lies in outlives the processes that open it.
#[async_trait(?Send)]
pub(super) trait Backend: Send + Sync {
    /// Opens it, as one more process does.
    async fn open(&self) -> Arc<dyn TaskStore>;
    /// What must be true of it and cannot be seen through the trait.
    async fn audit(&self) -> Result<(), String>;
}

/// Steps of a case, at most.
const LENGTH: usize = 120;
/// What a plain `cargo test` gives it.
const PATIENCE: Duration = Duration::from_secs(4);
/// A broken promise shows within so many cases.
const CASES_TO_FIND: u64 = 160;

/// How far a search went.
struct Searched {
    writes: u64,
    cases: u64,
    /// The shortest case that shows a difference, and the difference.
    found: Option<(String, Vec<Step>)>,
}

/// Runs cases on so many threads until one shows a difference or `enough` is told of the writes and cases so far.
fn search(
    make: &(impl Fn() -> Box<dyn Backend> + Sync),
    seed: u64,
    shrinks: u32,
    threads: usize,
    enough: impl Fn(u64, u64) -> bool + Sync,
) -> Searched {
    let (writes, cases, found) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::new(None));
    let is_over = || {
        let so_far = (writes.load(Ordering::Relaxed), cases.load(Ordering::Relaxed));
        found.lock().unwrap().is_some() || enough(so_far.0, so_far.1)
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !is_over() {
                    let case = cases.fetch_add(1, Ordering::Relaxed);
                    if let Some(difference) = run_case(make, (seed, case), shrinks, &writes) {
                        found.lock().unwrap().get_or_insert(difference);
                    }
                }
            });
        }
    });
    Searched { writes: writes.into_inner(), cases: cases.into_inner(), found: found.into_inner().unwrap() }
}

/// One case, and if it shows a difference, ever shorter ones that do.
fn run_case(
    make: &impl Fn() -> Box<dyn Backend>,
    (seed, case): (u64, u64),
    shrinks: u32,
    writes: &AtomicU64,
) -> Option<(String, Vec<Step>)> {
    let config = Config {
        cases: 1,
        failure_persistence: None,
        max_shrink_iters: shrinks,
        max_shrink_time: 120_000,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&case.to_le_bytes());
    let dice = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let outcome = TestRunner::new_with_rng(config, dice).run(&steps(LENGTH), |steps| {
        let backend = make();
        let mut world = World::new(&*backend).map_err(TestCaseError::fail)?;
        let lived = steps.iter().try_for_each(|step| world.step(step)).and_then(|()| world.finish());
        writes.fetch_add(world.writes, Ordering::Relaxed);
        lived.map_err(TestCaseError::fail)
    });
    match outcome {
        Ok(()) => None,
        Err(TestError::Fail(difference, steps)) => Some((difference.to_string(), steps)),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

/// The property, for a backend.
fn prop_store(make: impl Fn() -> Box<dyn Backend> + Sync) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("VOXBATCH_MODEL_SEED").unwrap_or_else(|| fastrand::u64(..));
    let (aim, began) = (number("VOXBATCH_MODEL_OPS"), Instant::now());
    // A case mostly waits for the database's threads: several go on beside it.
    let threads = aim.map_or(1, |_| 2 * std::thread::available_parallelism().map_or(1, usize::from));
    let searched = search(&make, seed, 4000, threads, |writes, _| match aim {
        Some(aim) => writes >= aim,
        None => began.elapsed() >= PATIENCE,
    });
    let Searched { writes, cases, found } = searched;
    println!("{writes} writes in {cases} cases compared in {:.0?}, seed {seed}", began.elapsed());
    if let Some((difference, steps)) = found {
        let steps: Vec<String> = steps.iter().map(|step| format!("{step:?}")).collect();
        panic!("VOXBATCH_MODEL_SEED={seed}: {difference}\nafter\n{}", steps.join("\n"));
    }
}

/// The property must find a store that breaks a promise, soon.
fn prop_finds(fault: Fault, make: impl Fn() -> Box<dyn Backend> + Sync) {
    let broken = || -> Box<dyn Backend> { Box::new(Broken { whole: make(), fault }) };
    let searched = search(&broken, 7, 0, 1, |_, cases| cases >= CASES_TO_FIND);
    assert!(searched.found.is_some(), "{fault:?} was not found in {} writes", searched.writes);
    println!("{fault:?} was found after {} writes in {} cases", searched.writes, searched.cases);
}

mod sqlite {
    use super::super::sqlite::audit::audit;
    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn state_dir(&self) -> std::path::PathBuf {
            self.0.path().join("state")
        }
    }

    #[async_trait(?Send)]
    impl Backend for Folder {
        async fn open(&self) -> Arc<dyn TaskStore> {
            Arc::new(SqliteStore::open(&QueueSettings { state_dir: self.state_dir() }).await.unwrap())
        }

        async fn audit(&self) -> Result<(), String> {
            audit(&self.state_dir()).await
        }
    }

    /// In memory where the system has such a place: every write is synced, and the disk is not what is tested.
    fn folder() -> Box<dyn Backend> {
        let memory = std::path::Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        Box::new(Folder(tempfile::Builder::new().prefix("voxbatch-model-").tempdir_in(place).unwrap()))
    }

    #[test]
    fn the_queue_tells_what_the_reference_says_after_any_writes_and_crashes() {
        prop_store(folder);
    }

    #[test]
    fn a_store_that_breaks_a_promise_is_found() {
        let all = [
            Fault::FenceIgnored,
            Fault::CapIgnored,
            Fault::LoneIgnored,
            Fault::HaltsIgnored,
            Fault::CancelForgets,
            Fault::RetryGrabs,
            Fault::PauseForgotten,
            Fault::HandOverForgotten,
            Fault::PurgeGrabs,
            Fault::JobForgotten,
            Fault::PieceForgotten,
            Fault::SettledUnwritten,
        ];
        all.into_iter().for_each(|fault| prop_finds(fault, folder));
    }
}
