//! Opening a queue: refuses what cannot be safe, brings the schema up to date, starts the writer.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, SqlStr};

use super::liveness::Liveness;
use super::log::Log;
use super::writer::Writer;
use super::{QueueSettings, SqliteStore};
use crate::queue::QueueError;

/// Kept back on disk for the results in flight when everything else is full.
const RESERVE_BYTES: usize = 4 << 20;
/// How long a write waits for another process's.
const BUSY: Duration = Duration::from_secs(60);
/// The first SQLite whose write-ahead log cannot be corrupted by a reset.
const SQLITE_MIN: (u32, u32, u32) = (3, 51, 3);

impl SqliteStore {
    /// Opens the queue in the folder, making both when they are missing.
    ///
    /// # Errors
    /// A network file system, a newer schema, an older SQLite, a damaged or unreadable database.
    pub async fn open(settings: &QueueSettings) -> Result<Self, QueueError> {
        let folder = &settings.state_dir;
        let workers = folder.join("workers");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&workers)
            .map_err(|source| QueueError::Io { path: workers.clone(), source })?;
        let path = folder.join("queue.db");
        refuse_network_file_system(folder, &path)?;
        create_private(&path)?;
        refuse_torn(&path)?;
        let turn = take_turn(folder.join("opening.lock")).await;

        let named = |error| match error {
            QueueError::Database(source) => QueueError::Open { path: path.clone(), source },
            other => other,
        };
        let mut connection = options(&path).connect().await.map_err(|e| named(e.into()))?;
        refuse_old_sqlite(&mut connection).await?;
        migrate(&mut connection, &path).await.map_err(named)?;
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            // One stays open whatever happens to the writer's: with the last one SQLite deletes the log.
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_with(options(&path).pragma("query_only", "ON").pragma("cache_size", "-512"))
            .await
            .map_err(|e| named(e.into()))?;
        drop(turn);
        let log = Log::open(&folder.join("queue.db-wal"))?;
        let reserve = folder.join("reserve");
        let _ = keep_back(&reserve); // whoever only looks needs none; a run is refused without it
        Ok(SqliteStore {
            writer: Writer::start(connection, options(&path), log),
            readers,
            options: options(&path),
            liveness: Liveness::new(workers),
            reserve,
        })
    }
}

/// Processes open a queue one after another: while a new database is switched to its write-ahead log, SQLite answers
/// "locked" to others at once, whatever patience they have. Without a lock file the turn is not waited for, and
/// SQLite says what is wrong with the folder.
async fn take_turn(path: PathBuf) -> Option<File> {
    let lock = move || {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).ok()?;
        file.lock().ok().map(|()| file)
    };
    tokio::task::spawn_blocking(lock).await.ok().flatten()
}

fn options(path: &Path) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // Whoever must be sure of the disk waits for the log's own sync; no commit does.
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(BUSY)
        .foreign_keys(true)
        // What a statement may have to undo, or sorts, is little.
        .pragma("temp_store", "MEMORY")
        // Pages that change often are copied back less often.
        .pragma("wal_autocheckpoint", "8000")
        .pragma("journal_size_limit", "67108864");
    // A test asks for the plan of every statement that it can catch.
    if cfg!(test) { options } else { options.disable_statement_logging() }
}

/// The database holds answers: it is made readable by its owner only, before SQLite makes it otherwise.
fn create_private(path: &Path) -> Result<(), QueueError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(QueueError::Io { path: path.to_owned(), source: e })
        }
        Ok(_) => Ok(()),
        Err(_) => path.parent().into_iter().chain([path]).try_for_each(may_write),
    }
}

/// SQLite would only say that it cannot open something. Asked without opening: closing a file again would end every
/// lock that this process has on it.
fn may_write(path: &Path) -> Result<(), QueueError> {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK)
        .map_err(|source| QueueError::Io { path: path.to_owned(), source: source.into() })
}

/// SQLite fills a last page that is cut off with zeros, and takes what it finds there for the truth. Asked without
/// opening, as above. While there is a log, the end of the file may still be on its way.
fn refuse_torn(path: &Path) -> Result<(), QueueError> {
    const PAGE: u64 = 4096;
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |m| m.len());
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let length_of_it = length(path);
    if length_of_it > PAGE && length_of_it % PAGE != 0 && length(Path::new(&log)) == 0 {
        let source = sqlx::Error::Protocol(format!(
            "database disk image is malformed: cut off after {length_of_it} bytes"
        ));
        return Err(QueueError::Open { path: path.to_owned(), source });
    }
    Ok(())
}

/// Makes sure that the space kept back is there: taken without writing to it where the file system can do that.
pub(super) fn keep_back(reserve: &Path) -> Result<(), QueueError> {
    if std::fs::metadata(reserve).is_ok_and(|m| m.len() >= RESERVE_BYTES as u64) {
        return Ok(());
    }
    let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(reserve);
    let fill = |file: &mut File| match fallocate(&*file, FallocateFlags::empty(), 0, RESERVE_BYTES as u64) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.write_all(&vec![0u8; RESERVE_BYTES]),
        taken => Ok(taken?),
    };
    made.and_then(|mut file| fill(&mut file).and_then(|()| file.sync_all())).map_err(|source| {
        let _ = std::fs::remove_file(reserve);
        QueueError::Io { path: reserve.to_owned(), source }
    })
}

fn refuse_network_file_system(folder: &Path, path: &Path) -> Result<(), QueueError> {
    let Ok(found) = rustix::fs::statfs(folder) else { return Ok(()) };
    // statfs(2): f_type of file systems that give no shared memory between machines.
    let kind = match found.f_type as u32 {
        0x6969 => "NFS",
        0xFF53_4D42 | 0xFE53_4D42 | 0x517B => "SMB",
        0x0102_1997 => "9P",
        0x5346_414F => "AFS",
        0x0BD0_0BD0 => "Lustre",
        0x00C3_6400 => "Ceph",
        _ => return Ok(()),
    };
    Err(QueueError::NetworkFileSystem { path: path.to_owned(), kind })
}

async fn refuse_old_sqlite(connection: &mut SqliteConnection) -> Result<(), QueueError> {
    let found: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(connection).await?;
    let mut parts = found.split('.').map(|p| p.parse::<u32>().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    if (next(), next(), next()) < SQLITE_MIN {
        return Err(QueueError::SqliteTooOld { found });
    }
    Ok(())
}

/// Every migration, in order.
fn migrations() -> Vec<Migration> {
    let migration = |version, name: &'static str, sql| {
        let (name, sql) = (name.into(), SqlStr::from_static(sql));
        Migration::new(version, name, MigrationType::Simple, sql, false)
    };
    vec![
        migration(1, "queue", include_str!("../../../migrations/sqlite/0001_queue.sql")),
        migration(2, "purge", include_str!("../../../migrations/sqlite/0002_purge.sql")),
        migration(3, "scale", include_str!("../../../migrations/sqlite/0003_scale.sql")),
        migration(4, "stands again", include_str!("../../../migrations/sqlite/0004_stands_again.sql")),
        migration(5, "deck", include_str!("../../../migrations/sqlite/0005_deck.sql")),
        migration(6, "tally", include_str!("../../../migrations/sqlite/0006_tally.sql")),
        migration(11, "remote job", include_str!("../../../migrations/sqlite/0011_remote_job.sql")),
        migration(12, "durations", include_str!("../../../migrations/sqlite/0012_durations.sql")),
        migration(13, "piece", include_str!("../../../migrations/sqlite/0013_piece.sql")),
        migration(14, "content", include_str!("../../../migrations/sqlite/0014_content.sql")),
        migration(15, "told apart", include_str!("../../../migrations/sqlite/0015_told_apart.sql")),
    ]
}

/// What they make of an empty database, in one go: each column that is added has SQLite look at everything once more.
const SCHEMA: &str = include_str!("../../../migrations/sqlite/schema.sql");

async fn migrate(connection: &mut SqliteConnection, path: &Path) -> Result<(), QueueError> {
    let migrations = migrations();
    let known = migrations.last().map_or(0, |m| m.version);
    let has_schema: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'")
            .fetch_one(&mut *connection)
            .await?;
    if has_schema > 0 {
        let (found, applied): (i64, i64) =
            sqlx::query_as("SELECT ifnull(max(version), 0), count(*) FROM _sqlx_migrations")
                .fetch_one(&mut *connection)
                .await?;
        if found > known {
            return Err(QueueError::TooNew { path: path.to_owned(), found, known });
        }
        // Numbers are given out ahead: a later one can have come first.
        if found == known && applied == migrations.len() as i64 {
            return Ok(());
        }
    }
    // Two processes may start at once: the first migrates, the other waits and finds it done.
    let mut transaction = connection.begin_with("BEGIN EXCLUSIVE").await?;
    let migrator = Migrator::with_migrations(migrations);
    let is_new: bool = sqlx::query_scalar("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)")
        .fetch_one(&mut *transaction)
        .await?;
    if is_new {
        sqlx::raw_sql(SCHEMA).execute(&mut *transaction).await?;
        migrator.skip(&mut *transaction, None).await?;
    } else {
        migrator.run(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Purge, TaskStore};
    use crate::task::{JobId, Timestamp};

    /// As the first schema kept a result.
    const OLD: &str = r#"
        INSERT INTO job VALUES (1, 'old', 'velma-2-stt-batch', '{}', CAST('/in' AS BLOB), CAST('/out' AS BLOB), 'path', 0, 1);
        INSERT INTO task (id, job_id, endpoint, path, size_bytes, modified_ns, rank, state, run_at, fence, created_at,
                          changed_at, finished_at)
        VALUES (1, 1, 'velma-2-stt-batch', CAST('a.wav' AS BLOB), 9, 0, 0, 'succeeded', 0, 1, 1, 5, 5);
        INSERT INTO attempt (task_id, fence, worker, started_at, ended_at, outcome) VALUES (1, 1, 'w', 4, 5, 'succeeded');
        INSERT INTO result VALUES (7, 1, 1, 1, 200, 9, 'b3', 'wav', 'audio/wav', 5, 5, NULL, NULL, NULL, 4, 5,
                                   '{"text":"xyzzy"}');"#;

    /// What stands in a database, in the order in which it was made.
    async fn schema(connection: &mut SqliteConnection) -> Vec<String> {
        sqlx::query_scalar(
            "SELECT sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' AND name <> '_sqlx_migrations' ORDER BY rowid",
        )
        .fetch_all(connection)
        .await
        .unwrap()
    }

    #[tokio::test]
    async fn a_new_queue_is_what_all_migrations_would_make_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let open =
            async |name| options(&folder.path().join(name)).create_if_missing(true).connect().await.unwrap();
        let (mut step_by_step, mut new) = (open("old").await, open("new").await);
        Migrator::with_migrations(migrations()).run(&mut step_by_step).await.unwrap();
        let wanted = schema(&mut step_by_step).await;
        if std::env::var_os("WRITE_SCHEMA").is_some() {
            let head =
                SCHEMA.split_inclusive('\n').take_while(|line| line.starts_with("--")).collect::<String>();
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite/schema.sql");
            std::fs::write(path, format!("{head}\n{};\n", wanted.join(";\n\n"))).unwrap();
        }
        migrate(&mut new, Path::new("new")).await.unwrap();
        assert_eq!(schema(&mut new).await, wanted, "WRITE_SCHEMA=1 cargo test --lib a_new_queue");
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> '_sqlx_migrations'",
        )
        .fetch_all(&mut step_by_step)
        .await
        .unwrap();
        for table in tables {
            let rows = format!("SELECT count(*) FROM {table}");
            let rows: i64 =
                sqlx::query_scalar(sqlx::AssertSqlSafe(rows)).fetch_one(&mut step_by_step).await.unwrap();
            assert_eq!(rows, 0, "{table} is to begin with rows, which the schema does not make");
        }
        let applied: Vec<(i64, Vec<u8>)> =
            sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations ORDER BY version")
                .fetch_all(&mut new)
                .await
                .unwrap();
        assert_eq!(
            applied,
            migrations().iter().map(|m| (m.version, m.checksum.to_vec())).collect::<Vec<_>>()
        );
        migrate(&mut step_by_step, Path::new("old")).await.unwrap();
    }

    #[tokio::test]
    async fn a_queue_of_the_first_schema_keeps_its_results_and_can_be_purged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.db");
        let mut old = options(&path).create_if_missing(true).connect().await.unwrap();
        Migrator::with_migrations(migrations()[..1].to_vec()).run(&mut old).await.unwrap();
        sqlx::raw_sql(OLD).execute(&mut old).await.unwrap();
        old.close().await.unwrap();

        let settings = QueueSettings { state_dir: folder.path().to_owned() };
        let store = SqliteStore::open(&settings).await.unwrap();
        let rows = store.results(JobId(1), 0, 9).await.unwrap();
        assert_eq!((rows[0].seq, &*rows[0].response), (7, r#"{"text":"xyzzy"}"#));
        assert_eq!((rows[0].purged_at, rows[0].audio_purged_at), (None, None));
        let all = Purge { jobs: vec![JobId(1)], finished_by: Timestamp(5), answers: true, audio: true };
        assert_eq!(store.purge(all, Timestamp(9)).await.unwrap()[0].answers, 1);
        assert!(store.end_purge(1, Timestamp(9)).await.unwrap());
        store.close().await;
        assert!(!String::from_utf8_lossy(&std::fs::read(path).unwrap()).contains("xyzzy"));
        super::super::audit::audit(folder.path()).await.unwrap();
    }
}
