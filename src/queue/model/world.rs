//! Two processes on one store, and the reference beside them: takes steps on both, and compares.

use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::poll;
use tokio::runtime::Runtime;

use super::Backend;
use super::call::{Answer, Call, perform};
use super::look::{Seen, look};
use super::op::{Fate, Op, Step};
use super::reference::Model;
use super::resolve::{START, beginning, worker};
use crate::queue::TaskStore;
use crate::task::WorkerId;

/// Two processes, played by two handles.
const PROCESSES: usize = 2;

pub(super) struct World<'b> {
    backend: &'b dyn Backend,
    /// Gone and replaced at a crash, and with it whatever was under way.
    runtime: Runtime,
    processes: Vec<Arc<dyn TaskStore>>,
    model: Model,
    /// Writes handed over.
    pub(super) writes: u64,
}

impl<'b> World<'b> {
    pub(super) fn new(backend: &'b dyn Backend) -> Result<Self, String> {
        let runtime = runtime();
        let processes = open(&runtime, backend);
        let mut world = World { backend, runtime, processes, model: Model::new(START), writes: 0 };
        for call in beginning() {
            world.calls(vec![call], Fate::Awaited, 0)?;
        }
        Ok(world)
    }

    pub(super) fn step(&mut self, step: &Step) -> Seen {
        let process = usize::from(step.second);
        match &step.ops[..] {
            [Op::Wait { seconds }] => {
                self.model.now = self.model.now.after(std::time::Duration::from_secs((*seconds).into()));
                return self.compare(0, false);
            }
            [Op::Die { orderly }] => {
                self.writes += 1;
                self.end(process, *orderly);
                return self.compare(process, true);
            }
            _ => {}
        }
        if !matches!(step.fate, Fate::Awaited) {
            self.model.now.0 += 1; // whatever happens now can be told from what happened before
        }
        // Each is made from what the ones before it will have done. What looks before it writes goes alone.
        let (mut ahead, mut calls) = (self.model.clone(), Vec::new());
        for op in &step.ops {
            let call = ahead.resolve(op).filter(|_| {
                step.ops.len() == 1
                    || !matches!(op, Op::Scan { .. } | Op::Jobs { .. } | Op::Sweep | Op::EndPurge)
            });
            if let Some(call) = call {
                ahead.apply(&call, process);
                calls.push(call);
            }
        }
        self.calls(calls, step.fate, process)
    }

    /// Everything once more, and what only the database can tell.
    pub(super) fn finish(&mut self) -> Seen {
        self.compare(1, true)?;
        self.runtime.block_on(self.backend.audit())
    }

    fn compare(&mut self, process: usize, every_task: bool) -> Seen {
        self.runtime.block_on(look(&*self.processes[process], &mut self.model, every_task))
    }

    fn calls(&mut self, calls: Vec<Call>, fate: Fate, process: usize) -> Seen {
        self.writes += calls.len() as u64;
        let mine = |c: &Call| matches!(c, Call::Register(_) | Call::Retire(..) | Call::Sweep);
        match fate {
            // Locks are taken and given up beside the write: whoever does that lives to see its end.
            Fate::Abandoned(looks) if !calls.iter().any(mine) => {
                let possible = self.possible(&calls, process);
                self.nudge(calls, looks, process);
                self.barrier(process);
                self.settle_on(possible)
            }
            Fate::Crashed(looks) => {
                let mut possible = self.possible(&calls, process);
                self.nudge(calls, looks, process);
                self.crash();
                possible.iter_mut().for_each(|model| (0..PROCESSES).for_each(|p| model.die(p)));
                self.settle_on(possible)?;
                self.runtime.block_on(self.backend.audit())?;
                // Somebody starts the program again.
                let again = Call::Register(worker(self.model.workers.len(), self.model.now));
                self.calls(vec![again], Fate::Awaited, process)
            }
            _ => self.awaited(calls, process),
        }
    }

    fn awaited(&mut self, calls: Vec<Call>, process: usize) -> Seen {
        let store = &self.processes[process];
        if let [Call::Scan(job, found)] = &calls[..] {
            let foretold = self.runtime.block_on(store.compare(*job, found.clone())).unwrap();
            let wanted = self.model.clone().apply(&calls[0], process);
            // What cannot be written is compared all the same.
            if wanted != Answer::Refused && Answer::Scanned(foretold) != wanted {
                return Err(format!("comparing foretells {foretold:?}, and it will be {wanted:?}"));
            }
        }
        let now = self.model.now;
        let under_way = join_all(calls.iter().map(|call| perform(Arc::clone(store), call.clone(), now)));
        let answers = self.runtime.block_on(under_way);
        for (call, answer) in calls.iter().zip(answers) {
            let wanted = self.model.apply(call, process);
            if answer != wanted {
                return Err(format!("{call:?}\n   told: {answer:?}\n wanted: {wanted:?}"));
            }
        }
        // By the other process: what is committed, all can see.
        self.compare(PROCESSES - 1 - process, false)
    }

    /// What may be found when the answers are not heard: everything up to any of the writes.
    fn possible(&self, calls: &[Call], process: usize) -> Vec<Model> {
        let mut possible = vec![self.model.clone()];
        for call in calls {
            let mut next = possible.last().unwrap_or(&self.model).clone();
            if let Call::Sweep = call {
                // Worker by worker, each in a write of its own.
                let dead = next.dead_owners();
                let some = (1..1usize << dead.len()).map(|set| {
                    let chosen: Vec<WorkerId> = dead
                        .iter()
                        .enumerate()
                        .filter(|(n, _)| set >> n & 1 == 1)
                        .map(|(_, id)| id.clone())
                        .collect();
                    let mut next = next.clone();
                    next.recover(&chosen);
                    next
                });
                possible.extend(some.collect::<Vec<_>>());
            } else {
                next.apply(call, process);
                possible.push(next);
            }
        }
        possible
    }

    /// Hands the writes over, looks so many times, and goes away.
    fn nudge(&mut self, calls: Vec<Call>, looks: u8, process: usize) {
        let (store, now) = (&self.processes[process], self.model.now);
        self.runtime.block_on(async {
            let mut under_way =
                Box::pin(join_all(calls.into_iter().map(|c| perform(Arc::clone(store), c, now))));
            for _ in 0..looks {
                if poll!(&mut under_way).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
                std::thread::yield_now(); // the database works on threads of its own
            }
        });
    }

    /// A write that changes nothing comes after all that were under way.
    fn barrier(&self, process: usize) {
        let nobody = WorkerId("nobody".into());
        self.runtime.block_on(self.processes[process].heartbeat(nobody, self.model.now)).unwrap();
    }

    fn crash(&mut self) {
        std::mem::replace(&mut self.runtime, runtime()).shutdown_background();
        self.processes.clear();
        self.processes = open(&self.runtime, self.backend);
        self.barrier(0);
    }

    fn end(&mut self, process: usize, orderly: bool) {
        if orderly {
            self.runtime.block_on(self.processes[process].close());
        }
        self.processes.remove(process);
        let again = self.runtime.block_on(self.backend.open());
        self.processes.insert(process, again);
        self.model.die(process);
    }

    fn settle_on(&mut self, possible: Vec<Model>) -> Seen {
        let mut differences = Vec::new();
        for mut model in possible {
            match self.runtime.block_on(look(&*self.processes[0], &mut model, true)) {
                Ok(()) => {
                    self.model = model;
                    return Ok(());
                }
                Err(difference) => differences.push(difference),
            }
        }
        Err(format!("neither before nor after what was under way:\n{}", differences.join("\n")))
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn open(runtime: &Runtime, backend: &dyn Backend) -> Vec<Arc<dyn TaskStore>> {
    (0..PROCESSES).map(|_| runtime.block_on(backend.open())).collect()
}
