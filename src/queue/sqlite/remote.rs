//! Jobs that a service has accepted for tasks, and works on by itself.

use sqlx::SqliteConnection;

use super::rows::{Columns, int};
use crate::queue::{QueueError, RemoteJob, Settled};
use crate::task::{Fence, TaskId};

/// Also of a task that was taken back meanwhile, unless somebody has claimed it anew: the job is paid for.
pub(super) async fn remember(
    c: &mut SqliteConnection,
    task: TaskId,
    fence: Fence,
    job: RemoteJob,
) -> Result<Settled, QueueError> {
    let done = sqlx::query(
        "INSERT INTO remote_job (task_id, job_id, blake3, bytes, accepted_at)
         SELECT id, ?3, ?4, ?5, ?6 FROM task WHERE id = ?1 AND fence = ?2
         ON CONFLICT DO UPDATE SET job_id = ?3, blake3 = ?4, bytes = ?5, accepted_at = ?6",
    )
    .bind(task.0)
    .bind(fence.0)
    .bind(&job.id)
    .bind(&job.blake3)
    .bind(int(job.bytes))
    .bind(job.accepted_at.0)
    .execute(c)
    .await?;
    Ok(if done.rows_affected() == 1 { Settled::Accepted } else { Settled::Fenced })
}

pub(super) async fn find(c: &mut SqliteConnection, task: TaskId) -> Result<Option<RemoteJob>, QueueError> {
    let row = sqlx::query("SELECT job_id, blake3, bytes, accepted_at FROM remote_job WHERE task_id = ?")
        .bind(task.0)
        .fetch_optional(c)
        .await?;
    row.map(|row| {
        Ok(RemoteJob {
            id: row.value("job_id")?,
            blake3: row.value("blake3")?,
            bytes: row.count("bytes")?,
            accepted_at: row.time("accepted_at")?,
        })
    })
    .transpose()
}

/// Its end is known.
pub(super) async fn forget(c: &mut SqliteConnection, task: TaskId) -> Result<(), QueueError> {
    sqlx::query("DELETE FROM remote_job WHERE task_id = ?").bind(task.0).execute(c).await?;
    Ok(())
}
