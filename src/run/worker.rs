//! One task: submit, classify, decide, settle, tell. Its file was prepared and its slot taken before; the slot goes to
//! whoever is on deck as soon as the queue has been told.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc};

use super::crew::{Ended, Slot};
use super::deck::Deck;
use super::judge::{Finding, Heard, Judge, Mode, News};
use super::keep::{Facts, counting, keep_answer};
use super::length::Lengths;
use super::probe::Word;
use super::ready::Ready;
use super::{Stop, audio, dice, now, saving, steady};
use crate::event::{About, RunEvent};
use crate::media::{MediaSettings, Prepared};
use crate::queue::{ClaimedTask, QueueError, Request, Settle, Settled, TaskStore};
use crate::task::{
    Cause, Decision, Endpoint, Failure, RetryPolicy, Settlement, Standing, Suspect, TaskId, Timestamp,
    Verdict, decide,
};
use crate::velma::{self, Client, Decoded, Exchange, Source, Streamed, Submission, TransportError};

/// How long an answer that cannot be stored is held on to before the run gives up, at most.
const STORE_PATIENCE: Duration = Duration::from_secs(60);

/// What the workers of one endpoint share.
pub(super) struct Bench {
    pub(super) endpoint: Endpoint,
    pub(super) store: Arc<dyn TaskStore>,
    pub(super) client: Arc<Client>,
    pub(super) policy: RetryPolicy,
    /// Passed on in order, and of results once they are certain.
    pub(super) events: mpsc::Sender<RunEvent>,
    pub(super) stop: Stop,
    pub(super) judge: Mutex<Judge>,
    pub(super) raised_by: String,
    /// Requests under way on all endpoints.
    pub(super) in_flight: Arc<AtomicU32>,
    /// Why an answer could not be stored at once: the run ends with it even if a later try went well.
    pub(super) trouble: Mutex<Option<QueueError>>,
    /// Who is up next.
    pub(super) deck: Mutex<Deck>,
    /// Somebody has stopped all endpoints.
    pub(super) all_stopped: Arc<AtomicBool>,
    /// Workers that the pool has not heard the end of.
    pub(super) at_work: AtomicUsize,
    /// Where it hears of it.
    pub(super) ends: mpsc::UnboundedSender<(TaskId, Ended)>,
    /// How long a job that the service has accepted may take.
    pub(super) job_deadline: Duration,
    /// How much audio a request may hold.
    pub(super) lengths: Lengths,
    /// What is accepted.
    pub(super) media: MediaSettings,
    /// A folder for passing files.
    pub(super) scratch: Arc<Path>,
    /// How many of these may wait there for a slot.
    pub(super) room: Arc<Semaphore>,
}

impl Bench {
    pub(super) fn judge(&self) -> MutexGuard<'_, Judge> {
        self.judge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn trouble(&self) -> MutexGuard<'_, Option<QueueError>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn deck(&self) -> MutexGuard<'_, Deck> {
        self.deck.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn tell(&self, event: RunEvent) {
        let _ = self.events.send(event).await; // a run goes on when nobody listens
    }

    /// Sends one recording and writes down what came of it.
    pub(super) async fn work(self: &Arc<Self>, task: ClaimedTask, ready: Ready, slot: Slot) -> Ended {
        let about = about(&task, &ready);
        if self.stop.drain.is_cancelled() || !self.may_start(&task) || self.has_outgrown(&ready) {
            return self.put_back(task, about, Some(slot)).await;
        }
        let mut facts = Facts::of(&ready);
        let work = Arc::clone(&facts.work);
        let counting = counting(&ready);
        let mut ready = ready;
        let can_be_less = self.can_be_less(&ready.prepared);
        let audio_place = facts.audio_place.clone();
        let next = ready.next.take();
        let may_resend = facts.work.suspect.resend && !facts.resent && next.is_none();
        let anew = match next {
            None => None,
            Some(next) => match self.take_next(task.id, next, &mut ready, &mut facts).await {
                Some(file) => Some(file),
                None => return self.put_back(task, about, Some(slot)).await,
            },
        };
        self.tell(RunEvent::TaskStarted(about.clone())).await;
        let (started_at, sent_at, clock) = (now(), steady(), Instant::now());
        let begun = self.judge().begin(sent_at);
        if begun.shows {
            slot.wake(); // the pool looks again when its refusal would have come
        }
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let exchange = match anew {
            Some(file) => self.submit_from(Source::File(file), ready, &facts).await,
            None if self.endpoint.works_by_jobs() => self.send_or_follow(&task, ready, &mut facts).await,
            None => self.submit(ready, &facts).await,
        };
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        if let (Some(counting), Ok(_)) = (counting, &exchange.outcome) {
            facts.measured = counting.await.unwrap_or(facts.measured);
            if facts.pieces.is_none() {
                facts.sent_ms = facts.measured.duration_ms;
            }
        }
        let verdict = velma::classify(self.endpoint, &exchange);
        let verdict = self.learn_length(verdict, can_be_less, facts.sent_ms).await;
        let piece = facts.pieces.as_ref().map(|pieces| (pieces.number(), pieces.about));
        let is_gone = matches!(exchange.outcome, Err(TransportError::JobGone));
        let (verdict, result, mut request) =
            keep_answer(self.endpoint, verdict, exchange, started_at, facts).await;
        // Otherwise the job is asked for again when the task has its next turn.
        request.job_over = self.endpoint.works_by_jobs()
            && (is_gone || matches!(verdict, Verdict::Success | Verdict::FileFault(_)));
        let verdict = self.stop_if_unstorable(verdict, audio_place);
        let heard = Heard {
            task: task.id,
            alone: task.alone,
            elsewhere: task.elsewhere,
            begun,
            throttles: task.throttles,
            sent_at,
            now: steady(),
            jitter: dice(),
        };
        let finding = self.judge().hear(verdict, heard);
        // One look at the clock for both: when it is set in between, a wait would be told from nowhere.
        let at = now();
        let unfinished = result.as_ref().is_some_and(|result| result.piece.is_some());
        let decision = self.decide(&task, &finding, unfinished, at);
        let settlement = decision.settlement.clone();
        let suspicions = result.as_ref().map_or(&[][..], |result| &result.suspicions);
        let kinds: Vec<Suspect> = suspicions.iter().map(|one| one.kind).collect();
        let resend = may_resend && kinds.contains(&Suspect::EmptyButLoud);
        let succeeded = settlement == Settlement::Succeed;
        // What is paid for is stored first; what stops others is said before the slot is free for them.
        if !succeeded {
            self.apply(&finding, &decision).await;
        }
        if decision.pause.is_some() || finding.pace.is_some_and(|pace| pace < self.judge().ceiling()) {
            // Who was claimed under the old terms is claimed anew under these.
            self.clear_deck();
        }
        let heir = self.heir();
        let next = heir.as_ref().map(|(task, _)| task.id);
        if self.deck().lacking() > 0 {
            slot.wake();
        }
        let settle = Arc::new(Settle { task, settlement, request, result, next, resend, now: at });
        let leave = || match heir {
            Some((task, ready)) => self.begin(task, ready, slot),
            None => drop(slot),
        };
        let settled = match self.settle(&settle, leave).await {
            Ok(settled) => settled,
            Err(error) => return Ended::Unstored(error),
        };
        if succeeded {
            self.apply(&finding, &decision).await;
        }
        let kept = settle.result.as_ref().and_then(|result| result.redacted_audio.as_ref());
        if let Some(kept) = kept.filter(|_| settled == Settled::Accepted) {
            audio::remove_overtaken(&work.job, &about.path, &kept.path);
        }
        if settled == Settled::Accepted && !kinds.is_empty() && !resend {
            self.tell(RunEvent::TaskSuspect { about: about.clone(), kinds }).await;
        }
        self.tell_end(about, &settle, settled, piece, clock.elapsed()).await;
        Ended::Settled {
            terminal: !resend && matches!(settle.settlement, Settlement::Succeed | Settlement::Fail(_)),
            word: Word::of(&finding.verdict, &settle.settlement, settle.now),
        }
    }

    /// An answer that cannot be stored here would not be stored the next time either, and be paid for again: the
    /// run ends, and the task goes back as it was.
    fn stop_if_unstorable(&self, verdict: Verdict, path: PathBuf) -> Verdict {
        match verdict {
            Verdict::Transient(failure) if failure.cause == Cause::LocalStorage => {
                let message = failure.message.clone();
                self.trouble().get_or_insert(QueueError::Audio { path, message });
                self.stop.drain.cancel();
                Verdict::Stopped(failure)
            }
            verdict => verdict,
        }
    }

    /// Whether what has been heard since the claim still lets this request start.
    fn may_start(&self, task: &ClaimedTask) -> bool {
        match self.judge().mode() {
            Mode::Open => true,
            Mode::Alone(_) => task.alone,
            Mode::AskFree | Mode::Closed => false,
        }
    }

    pub(super) async fn put_back(&self, task: ClaimedTask, about: About, slot: Option<Slot>) -> Ended {
        let failure = Failure::local(Cause::Interrupted, "nothing was sent");
        let settlement = Settlement::Release(failure);
        let settle = Settle {
            task,
            settlement,
            request: Request::default(),
            result: None,
            next: None,
            resend: false,
            now: now(),
        };
        let settle = Arc::new(settle);
        match self.settle(&settle, || drop(slot)).await {
            Ok(settled) => {
                self.tell_end(about, &settle, settled, None, Duration::ZERO).await;
                Ended::Settled { terminal: false, word: Word::of_none() }
            }
            Err(error) => Ended::Unstored(error),
        }
    }

    /// What the queue knows of a task that was paid for already, be it a job or pieces. If that cannot be looked up,
    /// nothing may be sent.
    pub(super) fn paid_for<T>(
        &self,
        task: TaskId,
        known: Result<T, QueueError>,
    ) -> Result<T, TransportError> {
        known.map_err(|error| {
            tracing::warn!(task.id = task.0, %error, "what was paid for already could not be looked up");
            self.stop.drain.cancel();
            self.trouble().get_or_insert(error);
            TransportError::Aborted
        })
    }

    pub(super) async fn submit(&self, mut ready: Ready, facts: &Facts) -> Exchange {
        let is_fresh = ready.prepared.is_fresh();
        let source = match ready.prepared.whole.take() {
            Some(bytes) if is_fresh => Source::Whole(bytes.into(), ready.blake3.take()),
            _ => match ready.prepared.file.try_clone() {
                Ok(file) => Source::File(file),
                Err(error) => return Exchange::none(TransportError::SourceRead(error.to_string())),
            },
        };
        self.submit_from(source, ready, facts).await
    }

    /// Sends what is ready, out of this.
    pub(super) async fn submit_from(&self, source: Source, ready: Ready, facts: &Facts) -> Exchange {
        let Prepared { file, len, upload_name, mime, carriage, pcm, .. } = ready.prepared;
        drop(file); // many slots need not mean many open files
        let estimated_ms = facts.sent_ms;
        let streamed = carriage.map(|carriage| Streamed {
            carriage,
            decoded: pcm.map(|pcm| Decoded(Box::new(pcm.into_iter()))),
            estimated_ms,
        });
        self.client
            .submit(Submission {
                endpoint: self.endpoint,
                options: ready.options.as_ref().unwrap_or(&ready.work.options),
                source,
                len,
                upload_name: &upload_name,
                mime,
                audio_beside: self.endpoint.returns_audio().then_some(facts.audio_place.as_path()),
                abort: &self.stop.abort,
                streamed,
            })
            .await
    }

    fn decide(&self, task: &ClaimedTask, finding: &Finding, unfinished: bool, at: Timestamp) -> Decision {
        let cause = finding.verdict.failure().map(|f| f.cause);
        let repeats = match task.last_cause {
            Some((last, times)) if Some(last) == cause => times,
            _ => 0,
        };
        let standing = Standing {
            endpoint: self.endpoint,
            attempts: task.attempts,
            repeats,
            first_failed_at: task.first_failed_at,
            unfinished,
            outage: finding.outage,
            throttle_rounds: finding.throttle_rounds,
            now: at,
            jitter: dice(),
        };
        decide(finding.verdict.clone(), &self.policy, standing)
    }

    /// What a decision means for others than its task.
    async fn apply(&self, finding: &Finding, decision: &Decision) {
        for news in &finding.news {
            let endpoint = self.endpoint;
            if matches!(news, News::OutageBegan(_)) {
                self.lengths.forget_tried();
            }
            self.tell(match news.clone() {
                News::Examining(doubt) => RunEvent::Examining { endpoint, doubt },
                News::OutageBegan(failure) => RunEvent::OutageBegan { endpoint, failure },
                News::OutageEnded => RunEvent::OutageEnded { endpoint },
            })
            .await;
        }
        let until = decision.pause.map(|pause| now().after(pause));
        self.keep_pace(finding.pace, until).await;
        if let Some(until) = until {
            self.tell(RunEvent::LimiterPaused { endpoint: self.endpoint, until }).await;
        }
        if let Some(order) = decision.halt.clone() {
            self.raise(order).await;
        }
    }

    /// Tells the queue, and who watches, what the pace has moved to, and until when nothing starts.
    pub(super) async fn keep_pace(&self, moved: Option<u32>, until: Option<Timestamp>) {
        let tell = |effective| self.store.save_pace(self.endpoint, effective, until);
        let saved = match moved {
            Some(_) => saving::save(&self.judge, |effective| tell(Some(effective))).await,
            None if until.is_some() => tell(None).await,
            None => Ok(()),
        };
        if let Err(error) = saved {
            tracing::warn!(endpoint = %self.endpoint, %error, "the pace was not saved");
        }
        if let Some(effective) = moved {
            let ceiling = self.judge().ceiling();
            self.tell(RunEvent::PaceChanged { endpoint: self.endpoint, effective, ceiling }).await;
        }
    }

    /// A result that was received is paid for: storing it is tried for as long as that makes sense. The slot is left
    /// as soon as the queue has been asked: what it is asked next it does after that.
    async fn settle(&self, settle: &Arc<Settle>, leave: impl FnOnce()) -> Result<Settled, QueueError> {
        let mut waited = Duration::ZERO;
        let mut leave = Some(leave);
        loop {
            let mut settling = self.store.settle(Arc::clone(settle));
            let at_once = futures_util::poll!(&mut settling);
            if let Some(leave) = leave.take() {
                leave();
            }
            let settled = match at_once {
                Poll::Ready(settled) => settled,
                Poll::Pending => settling.await,
            };
            let error = match settled {
                Err(error) if !matches!(error, QueueError::Closed) && waited < STORE_PATIENCE => error,
                done => return done,
            };
            if waited.is_zero() {
                tracing::warn!(task.id = settle.task.id.0, %error, "an answer waits to be stored");
                // Nothing more may start: what it brings could not be stored either.
                self.stop.drain.cancel();
                self.trouble().get_or_insert(error);
            } else if self.stop.abort.is_cancelled() {
                return Err(error);
            }
            let wait = Duration::from_secs(1);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.abort.cancelled() => {}
            }
            waited += wait;
        }
    }

    async fn tell_end(
        &self,
        about: About,
        settle: &Settle,
        settled: Settled,
        piece: Option<(u64, u64)>,
        wall: Duration,
    ) {
        if settled == Settled::Fenced {
            return self.tell(RunEvent::AnswerFenced(about)).await;
        }
        let wait_until = |run_at: &Timestamp| run_at.since(settle.now);
        let event = match &settle.settlement {
            Settlement::Succeed if settle.resend => RunEvent::TaskResent {
                about,
                billed_ms: settle.result.as_ref().map_or(0, |r| r.billed_ms),
                wall,
            },
            Settlement::Advance => {
                let (piece, of_about) = piece.unwrap_or_default();
                let billed_ms = settle.result.as_ref().map_or(0, |r| r.billed_ms);
                RunEvent::PieceAnswered { about, piece, of_about, billed_ms, wall }
            }
            Settlement::Succeed => RunEvent::TaskSucceeded {
                about,
                http_status: settle.request.http_status.unwrap_or(200),
                duration_ms: settle.result.as_ref().and_then(|r| r.duration_ms),
                // What earlier pieces were billed was told with them.
                billed_ms: settle
                    .result
                    .as_ref()
                    .map_or(0, |r| r.billed_ms.saturating_sub(r.counted.billed.audio_ms)),
                bytes: settle.result.as_ref().map_or(0, |r| r.audio.bytes),
                wall,
            },
            Settlement::Retry { run_at, failure } => {
                RunEvent::TaskRetried { about, failure: failure.clone(), wait: wait_until(run_at) }
            }
            Settlement::Snooze { run_at, failure, .. } => {
                RunEvent::TaskSnoozed { about, failure: failure.clone(), wait: wait_until(run_at) }
            }
            Settlement::Fail(failure) => RunEvent::TaskFailed { about, failure: failure.clone(), sent: true },
            Settlement::Release(failure) => RunEvent::TaskReleased { about, failure: failure.clone() },
        };
        self.tell(event).await;
    }
}

pub(super) fn about(task: &ClaimedTask, ready: &Ready) -> About {
    About {
        task: task.id,
        job: ready.work.job.name.clone(),
        path: task.path.clone(),
        endpoint: task.endpoint,
        attempt: task.attempts + 1,
        fence: task.fence,
    }
}
