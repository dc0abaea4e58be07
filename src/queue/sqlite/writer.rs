//! The only write connection, and group commit: whatever waits while one commit reaches the disk goes into the
//! next one together. Callers are answered after the commit, so an answer means that it is durable.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::queue::QueueError;

/// The most operations that one commit carries.
const GROUP: usize = 256;

/// A write in the making.
pub(super) type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T, QueueError>> + Send + 'c>>;

/// A handle to the writer; the queue's only way to change anything.
pub(super) struct Writer {
    operations: mpsc::Sender<Box<dyn Operation>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts writing through `connection`; `options` open the next one, should it be lost.
    pub(super) fn start(connection: SqliteConnection, options: SqliteConnectOptions) -> Self {
        let (operations, waiting) = mpsc::channel(4 * GROUP);
        let task = tokio::spawn(write_in_groups(connection, options, waiting));
        Writer { operations, task: Mutex::new(Some(task)) }
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
        let operation = Pending { work: Some(work), outcome: None, reply, durable };
        self.operations.send(Box::new(operation)).await.map_err(|_| QueueError::Closed)?;
        answer.await.map_err(|_| QueueError::Closed)?
    }

    /// Ends once everything that was accepted is committed.
    pub(super) async fn close(&self) {
        let task = self.task.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(task) = task {
            let _ = self.operations.send(Box::new(LastOne)).await;
            let _ = task.await;
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
    /// Whether its group has to be on the disk before it is answered.
    fn is_durable(&self) -> bool;
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
        let answer = match (self.outcome, lost) {
            (Some(Err(own)), _) => Err(own),
            (_, Some(lost)) => {
                Err(QueueError::CommitFailed { message: lost.message.clone(), disk_full: lost.disk_full })
            }
            (Some(done), None) => done,
            (None, None) => Err(QueueError::Closed),
        };
        let _ = self.reply.send(answer); // a caller that went away does not mind
    }

    fn is_durable(&self) -> bool {
        self.durable
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

/// Why a whole group came to nothing.
struct CommitLost {
    message: String,
    disk_full: bool,
}

impl From<sqlx::Error> for CommitLost {
    fn from(error: sqlx::Error) -> Self {
        let message = error.to_string();
        CommitLost { disk_full: QueueError::from(error).is_disk_full(), message }
    }
}

async fn write_in_groups(
    connection: SqliteConnection,
    options: SqliteConnectOptions,
    mut waiting: mpsc::Receiver<Box<dyn Operation>>,
) {
    let mut connection = Some(Writing { connection, durable: true });
    let mut group = Vec::with_capacity(GROUP);
    while waiting.recv_many(&mut group, GROUP).await > 0 {
        let lost = commit_or_reopen(&mut connection, &options, &mut group).await.err().map(|lost| {
            CommitLost { message: format!("{}: {}", options.get_filename().display(), lost.message), ..lost }
        });
        let mut last = false;
        for operation in group.drain(..) {
            last |= operation.is_last();
            operation.answer(lost.as_ref());
        }
        if last {
            break;
        }
    }
    if let Some(open) = connection {
        let _ = open.connection.close().await;
    }
}

/// The write connection, and whether its commits wait for the disk.
struct Writing {
    connection: SqliteConnection,
    durable: bool,
}

impl Writing {
    /// A group with anything durable in it waits; the log it waits for holds what went before, too.
    async fn set_durable(&mut self, durable: bool) -> Result<(), sqlx::Error> {
        if self.durable != durable {
            let sql = if durable { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" };
            sqlx::query(sql).execute(&mut self.connection).await?;
            self.durable = durable;
        }
        Ok(())
    }
}

/// After a group is lost (a full disk makes SQLite end the transaction by itself) nobody knows what the connection
/// thinks of its transactions: the next group gets a new one.
async fn commit_or_reopen(
    connection: &mut Option<Writing>,
    options: &SqliteConnectOptions,
    group: &mut [Box<dyn Operation>],
) -> Result<(), CommitLost> {
    let mut open = match connection.take() {
        Some(open) => open,
        None => Writing { connection: options.connect().await?, durable: true },
    };
    let durable = group.iter().any(|operation| operation.is_durable());
    open.set_durable(durable).await?;
    let committed = commit(&mut open.connection, group).await;
    if committed.is_ok() {
        *connection = Some(open);
    }
    committed
}

/// One transaction for the group. An operation that fails is undone alone; the others still commit.
async fn commit(
    connection: &mut SqliteConnection,
    group: &mut [Box<dyn Operation>],
) -> Result<(), CommitLost> {
    // IMMEDIATE: a transaction that reads first and then writes is refused at once when somebody else wrote
    // in between, and no busy timeout helps.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let alone = group.len() == 1;
    for operation in group.iter_mut() {
        if alone {
            if !operation.run(&mut transaction).await {
                return Ok(transaction.rollback().await?);
            }
        } else {
            let mut inner = transaction.begin().await?;
            if operation.run(&mut inner).await {
                inner.commit().await?;
            } else {
                inner.rollback().await?;
            }
        }
    }
    Ok(transaction.commit().await?)
}
