//! The only write connection, and group commit: whatever waits while one commit goes on goes into the next one
//! together. A caller who needs certainty is answered when the [`Log`] is on the disk, which the next group does not
//! wait for.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::claim::claim;
use super::log::Log;
use super::settle::settle_all;
use crate::queue::{Claim, ClaimRequest, QueueError, Settle, Settled};

/// The most operations that one commit carries.
const GROUP: usize = 256;
/// So long those wait for company that nobody waits for: a commit costs about the same for one as for many.
const PATIENCE: Duration = Duration::from_millis(8);

/// A write in the making.
pub(super) type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T, QueueError>> + Send + 'c>>;

/// A handle to the writer; the queue's only way to change anything.
pub(super) struct Writer {
    operations: mpsc::Sender<Box<dyn Operation>>,
    log: Log,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts writing through `connection`; `options` open the next one, should it be lost.
    pub(super) fn start(connection: SqliteConnection, options: SqliteConnectOptions, log: Log) -> Self {
        let (operations, waiting) = mpsc::channel(4 * GROUP);
        let task = tokio::spawn(write_in_groups(connection, options, log.clone(), waiting));
        Writer { operations, log, task: Mutex::new(Some(task)) }
    }

    /// Runs `work` inside the next group and answers once it is committed and on the disk.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, QueueError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Work<'c, T> + Send + 'static,
    {
        self.write_as(true, work).await
    }

    /// The same for what may be lost in a power cut without harm: a claim, a sign of life, a pace. It survives the
    /// death of the process all the same, and nobody waits for the disk.
    pub(super) async fn write_lightly<T, F>(&self, work: F) -> Result<T, QueueError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Work<'c, T> + Send + 'static,
    {
        self.write_as(false, work).await
    }

    async fn write_as<T, F>(&self, durable: bool, work: F) -> Result<T, QueueError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Work<'c, T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.offer(Pending { work: Some(work), outcome: None, reply, durable }, answer).await
    }

    /// Settles inside the next group, together with whatever else is to be settled by then. Answered once it is
    /// committed; [`Writer::sync`] says when it is on the disk.
    pub(super) async fn settle(&self, settle: Arc<Settle>) -> Result<Settled, QueueError> {
        let (reply, answer) = oneshot::channel();
        self.offer(Settling { settle, outcome: None, reply }, answer).await
    }

    /// Claims inside the next group. A power cut can undo it until the next sync, at the latest that of a heartbeat:
    /// then nobody counts the request that was under way as perhaps billed.
    pub(super) async fn claim(&self, request: ClaimRequest) -> Result<Claim, QueueError> {
        let (reply, answer) = oneshot::channel();
        self.offer(Claiming { request, outcome: None, reply }, answer).await
    }

    async fn offer<T>(
        &self,
        operation: impl Operation + 'static,
        answer: oneshot::Receiver<Result<T, QueueError>>,
    ) -> Result<T, QueueError> {
        self.operations.send(Box::new(operation)).await.map_err(|_| QueueError::Closed)?;
        answer.await.map_err(|_| QueueError::Closed)?
    }

    /// Waits until everything that has been answered is on the disk.
    pub(super) async fn sync(&self) -> Result<(), QueueError> {
        self.log.synced().await
    }

    /// Ends once everything that was accepted is committed, and on the disk.
    pub(super) async fn close(&self) {
        let task = self.task.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(task) = task {
            let _ = self.operations.send(Box::new(LastOne)).await;
            let _ = task.await;
            if let Err(error) = self.log.synced().await {
                tracing::warn!(%error, "the last writes are perhaps not on the disk");
            }
        }
    }
}

/// One caller's write, its type forgotten.
#[async_trait::async_trait]
trait Operation: Send {
    /// Does it inside the open transaction. False: roll this one back.
    async fn run(&mut self, connection: &mut SqliteConnection) -> bool;
    /// Tells the caller; `lost` is why the group's commit failed.
    fn answer(self: Box<Self>, lost: Option<&CommitLost>);
    /// Whether it has to be on the disk before it is answered.
    fn is_durable(&self) -> bool;
    /// Whether nobody minds if it takes a few milliseconds longer.
    fn is_patient(&self) -> bool {
        false
    }
    /// Whether it can be run again after the group's transaction was rolled back.
    fn is_repeatable(&self) -> bool {
        false
    }
    /// What it settles, when that is all it does: settlements are written together.
    fn settling(&mut self) -> Option<&mut Settling> {
        None
    }
    /// Whether it does.
    fn is_settling(&self) -> bool {
        false
    }
    /// Whether the writer ends after this group.
    fn is_last(&self) -> bool {
        false
    }
}

struct Pending<T, F> {
    work: Option<F>,
    outcome: Option<Result<T, QueueError>>,
    reply: oneshot::Sender<Result<T, QueueError>>,
    durable: bool,
}

#[async_trait::async_trait]
impl<T, F> Operation for Pending<T, F>
where
    T: Send + 'static,
    F: for<'c> FnOnce(&'c mut SqliteConnection) -> Work<'c, T> + Send + 'static,
{
    async fn run(&mut self, connection: &mut SqliteConnection) -> bool {
        let Some(work) = self.work.take() else { return false };
        let outcome = work(connection).await;
        let fine = outcome.is_ok();
        self.outcome = Some(outcome);
        fine
    }

    fn answer(self: Box<Self>, lost: Option<&CommitLost>) {
        answer(self.outcome, self.reply, lost);
    }

    fn is_durable(&self) -> bool {
        self.durable
    }
}

/// Its own failure is told before the group's: it says more.
fn answer<T>(
    outcome: Option<Result<T, QueueError>>,
    reply: oneshot::Sender<Result<T, QueueError>>,
    lost: Option<&CommitLost>,
) {
    let answer = match (outcome, lost) {
        (Some(Err(own)), _) => Err(own),
        (_, Some(lost)) => Err(lost.error()),
        (Some(done), None) => done,
        (None, None) => Err(QueueError::Closed),
    };
    let _ = reply.send(answer); // a caller that went away does not mind
}

/// A settlement on its way.
struct Settling {
    settle: Arc<Settle>,
    outcome: Option<Result<Settled, QueueError>>,
    reply: oneshot::Sender<Result<Settled, QueueError>>,
}

#[async_trait::async_trait]
impl Operation for Settling {
    async fn run(&mut self, connection: &mut SqliteConnection) -> bool {
        let outcome = settle_all(connection, std::slice::from_ref(&self.settle)).await;
        let fine = outcome.is_ok();
        self.outcome = Some(outcome.map(|settled| settled.first().copied().unwrap_or(Settled::Fenced)));
        fine
    }

    fn answer(self: Box<Self>, lost: Option<&CommitLost>) {
        answer(self.outcome, self.reply, lost);
    }

    fn is_durable(&self) -> bool {
        false
    }

    fn is_repeatable(&self) -> bool {
        true
    }

    /// Its slot is in use again already. One that is let go may be waited for.
    fn is_patient(&self) -> bool {
        self.settle.next.is_some()
    }

    fn settling(&mut self) -> Option<&mut Settling> {
        Some(self)
    }

    fn is_settling(&self) -> bool {
        true
    }
}

/// A claim on its way.
struct Claiming {
    request: ClaimRequest,
    outcome: Option<Result<Claim, QueueError>>,
    reply: oneshot::Sender<Result<Claim, QueueError>>,
}

#[async_trait::async_trait]
impl Operation for Claiming {
    async fn run(&mut self, connection: &mut SqliteConnection) -> bool {
        let outcome = claim(connection, &self.request).await;
        let fine = outcome.is_ok();
        self.outcome = Some(outcome);
        fine
    }

    fn answer(self: Box<Self>, lost: Option<&CommitLost>) {
        answer(self.outcome, self.reply, lost);
    }

    fn is_durable(&self) -> bool {
        false
    }

    fn is_repeatable(&self) -> bool {
        true
    }

    fn is_patient(&self) -> bool {
        self.request.want == 0
    }
}

struct LastOne;

#[async_trait::async_trait]
impl Operation for LastOne {
    async fn run(&mut self, _: &mut SqliteConnection) -> bool {
        true
    }

    fn answer(self: Box<Self>, _: Option<&CommitLost>) {}

    fn is_durable(&self) -> bool {
        true
    }

    fn is_last(&self) -> bool {
        true
    }
}

/// Why a whole group came to nothing, or is not certain to stay.
pub(super) struct CommitLost {
    message: String,
    disk_full: bool,
}

impl CommitLost {
    /// Nobody is left who would write.
    pub(super) fn gone() -> Self {
        CommitLost { message: "the queue is closed".to_owned(), disk_full: false }
    }

    /// Written, and perhaps not to stay.
    pub(super) fn unsynced(path: &Path, error: std::io::Error) -> Self {
        let message = format!("{}: written, but the disk did not confirm it: {error}", path.display());
        CommitLost { message, disk_full: error.kind() == std::io::ErrorKind::StorageFull }
    }

    /// The same for each caller.
    pub(super) fn error(&self) -> QueueError {
        QueueError::CommitFailed { message: self.message.clone(), disk_full: self.disk_full }
    }
}

impl From<sqlx::Error> for CommitLost {
    fn from(error: sqlx::Error) -> Self {
        let message = error.to_string();
        CommitLost { disk_full: QueueError::from(error).is_disk_full(), message }
    }
}

type Group = Vec<Box<dyn Operation>>;

async fn write_in_groups(
    connection: SqliteConnection,
    options: SqliteConnectOptions,
    log: Log,
    mut waiting: mpsc::Receiver<Box<dyn Operation>>,
) {
    let mut connection = Some(connection);
    let mut group = Vec::with_capacity(GROUP);
    let mut last = false;
    while !last && gather(&mut group, &mut waiting).await {
        let lost = commit_or_reopen(&mut connection, &options, &mut group).await.err().map(|lost| {
            CommitLost { message: format!("{}: {}", options.get_filename().display(), lost.message), ..lost }
        });
        for operation in group.drain(..) {
            last |= operation.is_last();
            if operation.is_durable() && lost.is_none() {
                log.when_synced(Box::new(move |lost| operation.answer(lost)));
            } else {
                operation.answer(lost.as_ref());
            }
        }
    }
    if let Some(open) = connection {
        let _ = open.close().await;
    }
}

/// Fills the next group. False when nobody is left who could write.
async fn gather(group: &mut Group, waiting: &mut mpsc::Receiver<Box<dyn Operation>>) -> bool {
    if waiting.recv_many(group, GROUP).await == 0 {
        return false;
    }
    let until = Instant::now() + PATIENCE;
    let mut patient = 0;
    while group.len() < GROUP && group[patient..].iter().all(|operation| operation.is_patient()) {
        patient = group.len();
        match timeout_at(until, waiting.recv_many(group, GROUP - group.len())).await {
            Ok(more) if more > 0 => {}
            _ => break,
        }
    }
    true
}

/// After a group is lost (a full disk makes SQLite end the transaction by itself) nobody knows what the connection
/// thinks of its transactions: the next group gets a new one.
async fn commit_or_reopen(
    connection: &mut Option<SqliteConnection>,
    options: &SqliteConnectOptions,
    group: &mut Group,
) -> Result<(), CommitLost> {
    let mut open = match connection.take() {
        Some(open) => open,
        None => options.connect().await?,
    };
    let committed = commit(&mut open, group).await;
    if committed.is_ok() {
        *connection = Some(open);
    }
    committed
}

/// One transaction for the group. What fails is undone alone; the others still commit.
async fn commit(connection: &mut SqliteConnection, group: &mut Group) -> Result<(), CommitLost> {
    // IMMEDIATE: a transaction that reads first and then writes is refused at once when somebody else wrote
    // in between, and no busy timeout helps.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    // Alone, or with others that can all be run again, nothing has to be undone by itself before something fails.
    if group.len() == 1 || group.iter().all(|operation| operation.is_repeatable()) {
        let mut fine = true;
        for run in runs(group) {
            fine = fine && run_together(&mut transaction, run).await;
        }
        if fine {
            return Ok(transaction.commit().await?);
        }
        transaction.rollback().await?;
        if group.len() == 1 {
            return Ok(());
        }
        transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    }
    for run in runs(group) {
        if !run_alone(&mut transaction, run).await? && run.len() > 1 {
            for operation in run.chunks_mut(1) {
                run_alone(&mut transaction, operation).await?;
            }
        }
    }
    Ok(transaction.commit().await?)
}

/// Operations in the order in which they came; settlements that came one after another go together.
fn runs(group: &mut Group) -> impl Iterator<Item = &mut [Box<dyn Operation>]> {
    group.chunk_by_mut(|a, b| a.is_settling() && b.is_settling())
}

/// Inside a savepoint. False: it failed, and nothing of it is left.
async fn run_alone(
    transaction: &mut SqliteConnection,
    run: &mut [Box<dyn Operation>],
) -> Result<bool, CommitLost> {
    let mut inner = transaction.begin().await?;
    let fine = run_together(&mut inner, run).await;
    if fine {
        inner.commit().await?;
    } else {
        inner.rollback().await?;
    }
    Ok(fine)
}

/// False if one of them fails.
async fn run_together(transaction: &mut SqliteConnection, run: &mut [Box<dyn Operation>]) -> bool {
    match run {
        [operation] => operation.run(transaction).await,
        run => settle_together(transaction, run).await,
    }
}

/// Writes settlements with one statement each for all of them. False if one of them fails.
async fn settle_together(transaction: &mut SqliteConnection, run: &mut [Box<dyn Operation>]) -> bool {
    let mut settling: Vec<&mut Settling> = run.iter_mut().filter_map(|o| o.settling()).collect();
    let settles: Vec<Arc<Settle>> = settling.iter().map(|s| Arc::clone(&s.settle)).collect();
    match settle_all(transaction, &settles).await {
        Ok(settled) => {
            for (settling, settled) in settling.iter_mut().zip(settled) {
                settling.outcome = Some(Ok(settled));
            }
            true
        }
        // Told to one of them if the group cannot be saved: that the disk is full must not get lost on the way.
        Err(error) => {
            if let Some(first) = settling.first_mut() {
                first.outcome = Some(Err(error));
            }
            false
        }
    }
}
