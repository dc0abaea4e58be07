//! Renders the two tables: of recordings, and of what was said in them, in the order of task numbers. The same results give
//! the same bytes. Memory does not grow with them: rows lie in it by the page, and a row group until it is full.

use std::path::Path;
use std::sync::Arc;

use arrow_schema::DataType;

use super::super::file::{self, Lock};
use super::super::page::BUDGET;
use super::super::patience::Patience;
use super::super::record::Record;
use super::super::{OutputError, OutputSettings, proof, transcript};
use super::cells::{Cell, RECORDINGS, UTTERANCES, metadata, text, whole};
use super::standing::{self, PAGE, Standing};
use super::table::{Draft, Table};
use super::{LAYOUT, LOCK, MARK, TABLES};
use crate::queue::{OutputState, ResultRow, TaskRow, TaskStore};
use crate::task::{Filter, Job, TaskState, Timestamp};

/// Writes both tables below `folder`, of every recording that the filter picks, each in place of one that is there. Returns
/// how many rows each has.
///
/// # Errors
/// Trouble with files; the queue's own.
pub async fn export_tables(
    store: &dyn TaskStore,
    filter: Filter,
    settings: &OutputSettings,
    now: Timestamp,
    folder: &Path,
) -> Result<[u64; 2], OutputError> {
    let drafts = render(store, filter, &settings.fields, now, folder, None).await?;
    let rows = [drafts.both[0].rows, drafts.both[1].rows];
    file::blocking(move || drafts.put_in_place()).await?;
    Ok(rows)
}

/// Brings the tables of a job up to date. Returns how many rows each has, or `None` when another process was at it for too
/// long.
///
/// # Errors
/// Files with content that this queue never wrote; a full disk or another trouble with files; the queue's own.
pub(in super::super) async fn keep(
    store: &dyn TaskStore,
    job: &Job,
    fields: &[String],
    patience: Patience,
) -> Result<Option<[u64; 2]>, OutputError> {
    let Some(lock) = Lock::wait(&job.output, LOCK, patience).await? else { return Ok(None) };
    super::begin(store, job).await?;
    if let Some(rows) = as_written(store, job, fields, &lock).await? {
        return Ok(Some(rows));
    }
    let filter = standing::all_of(job);
    // `now` matters to filters by age only.
    let drafts = render(store, filter, fields, Timestamp(0), &job.output, Some(&lock)).await?;
    let (rows, last_seq) = ([drafts.both[0].rows, drafts.both[1].rows], drafts.last_seq);
    let mark = OutputState { last_seq, records: rows[0], sha256: drafts.standing.mark(LAYOUT), bytes: 0 };
    let [recordings, utterances] = [0, 1].map(|at| drafts.both[at].state(last_seq));
    // Until both are in their places a reader may find one of them new and the other old: then nothing counts.
    super::forget(store, job).await?;
    lock.during(move || drafts.put_in_place()).await?;
    super::commit(store, job, [recordings, utterances, mark]).await?;
    Ok(Some(rows))
}

/// The rows of both, if nothing has changed in the queue since they were written, nor in the files.
async fn as_written(
    store: &dyn TaskStore,
    job: &Job,
    fields: &[String],
    lock: &Arc<Lock>,
) -> Result<Option<[u64; 2]>, OutputError> {
    let states = [store.output(job.id, TABLES[0]).await?, store.output(job.id, TABLES[1]).await?];
    let (rows, places) = ([states[0].records, states[1].records], TABLES.map(|name| job.output.join(name)));
    let whole = lock.during(move || {
        let mut whole = true;
        for (path, state) in places.iter().zip(&states) {
            file::remove(&file::beside(path))?; // of a process that was killed
            whole = whole && holds(path, state)?;
        }
        Ok(whole)
    });
    let mark = store.output(job.id, MARK).await?;
    let same = whole.await?
        && store.results(job.id, mark.last_seq, 1).await?.is_empty()
        && standing::of(store, job, fields).await?.mark(LAYOUT) == mark.sha256;
    Ok(same.then_some(rows))
}

/// Whether a file is there with what was committed of it, and nothing else.
fn holds(path: &Path, state: &OutputState) -> Result<bool, OutputError> {
    let Some(there) = file::open_existing(path)? else { return Ok(false) };
    Ok(state.bytes > 0
        && file::length(&there, path)? == state.bytes
        && proof::is(&proof::read(&there, path, state.bytes)?, &state.sha256))
}

/// Both tables, whole, beside their places.
struct Drafts {
    both: [Draft; 2],
    /// What they were made of.
    standing: Standing,
    last_seq: i64,
}

impl Drafts {
    fn put_in_place(self) -> Result<(), OutputError> {
        // Both are on the disk before the first rename: what is left between the two takes no time.
        self.both
            .iter()
            .try_for_each(|draft| draft.file.sync_all().map_err(OutputError::io("sync", &draft.place)))?;
        self.both.into_iter().try_for_each(|draft| draft.replacement.put_in_place(&draft.file))
    }
}

/// A recording with its result, if it stands.
type Recording = (TaskRow, Option<ResultRow>);

/// Writes both beside their places. Each recording is read once, so that both tables say the same of it. Blocking work is
/// done by whoever has the lock, if there is one.
async fn render(
    store: &dyn TaskStore,
    filter: Filter,
    fields: &[String],
    now: Timestamp,
    folder: &Path,
    lock: Option<&Arc<Lock>>,
) -> Result<Drafts, OutputError> {
    let (place, names) = (folder.to_owned(), fields.to_vec());
    let mut tables = work(lock, move || Tables::begin(&place, names)).await?;
    let (mut standing, mut last_seq) = (Standing::new(fields), 0);
    let (mut waiting, mut bytes): (Vec<Recording>, _) = (Vec::new(), 0);
    let mut after = None;
    loop {
        let page = store.tasks(filter.clone(), after, PAGE, now).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        for task in page {
            standing.add(&task);
            let result = match task.state {
                TaskState::Succeeded => store.result(task.id).await?,
                _ => None,
            };
            last_seq = result.as_ref().map_or(last_seq, |row| last_seq.max(row.seq));
            bytes += result.as_ref().map_or(0, |row| row.response.len());
            waiting.push((task, result));
            if waiting.len() >= PAGE as usize || bytes >= BUDGET {
                bytes = 0;
                let rows = std::mem::take(&mut waiting);
                tables = work(lock, move || tables.with(rows)).await?;
            }
        }
    }
    let both = work(lock, move || tables.with(waiting)?.end()).await?;
    Ok(Drafts { both, standing, last_seq })
}

async fn work<T: Send + 'static>(
    lock: Option<&Arc<Lock>>,
    what: impl FnOnce() -> Result<T, OutputError> + Send + 'static,
) -> Result<T, OutputError> {
    match lock {
        Some(lock) => lock.during(what).await,
        None => file::blocking(what).await,
    }
}

/// Both tables on their way.
struct Tables {
    recordings: Table,
    utterances: Table,
    fields: Vec<String>,
}

impl Tables {
    fn begin(folder: &Path, fields: Vec<String>) -> Result<Tables, OutputError> {
        let names: Vec<String> = fields.iter().map(|name| format!("meta_{name}")).collect();
        let meta = || names.iter().map(|name| (name.as_str(), DataType::Utf8));
        let columns = RECORDINGS.iter().map(|(name, kind, _)| (*name, kind.clone()));
        let recordings = Table::begin(&folder.join(TABLES[0]), columns.chain(meta()))?;
        let whose = [
            ("job", DataType::Utf8),
            ("task", DataType::Int64),
            ("path", DataType::Utf8),
            ("index", DataType::Int64),
        ];
        let columns = UTTERANCES.iter().map(|(name, kind, _)| (*name, kind.clone()));
        let utterances =
            Table::begin(&folder.join(TABLES[1]), whose.into_iter().chain(columns).chain(meta()))?;
        Ok(Tables { recordings, utterances, fields })
    }

    fn with(mut self, rows: Vec<Recording>) -> Result<Tables, OutputError> {
        rows.iter().try_for_each(|(task, result)| self.add(task, result.as_ref()))?;
        Ok(self)
    }

    fn add(&mut self, task: &TaskRow, result: Option<&ResultRow>) -> Result<(), OutputError> {
        let Some(row) = result else { return self.recordings.record(&Record::of_task(task), &self.fields) };
        let transcript = transcript::read(row.endpoint, &row.response);
        let record = Record::of_result(&task.job_name, row, &transcript);
        self.recordings.record(&record, &self.fields)?;
        for (index, utterance) in record.transcript.map_or(&[][..], |t| &t.utterances).iter().enumerate() {
            let whose = [
                text(Some(record.job)),
                Cell::Int(Some(record.task)),
                text(Some(&record.path.path)),
                whole(Some(index as u64)),
            ];
            let cells = UTTERANCES.iter().map(|(_, _, cell)| cell(utterance));
            self.utterances.row(whose.into_iter().chain(cells).chain(metadata(&record, &self.fields)))?;
        }
        Ok(())
    }

    fn end(self) -> Result<[Draft; 2], OutputError> {
        Ok([self.recordings.end()?, self.utterances.end()?])
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use arrow_array::RecordBatch;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Int64Type, TimestampMicrosecondType};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::super::super::tests::store::{FakeStore, failed, stt};
    use super::*;
    use crate::task::{Cause, Metadata};

    fn read(place: &Path) -> RecordBatch {
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(File::open(place).unwrap()).unwrap().build().unwrap();
        let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
        let [batch] = &batches[..] else { panic!("{} batches", batches.len()) };
        batch.clone()
    }

    fn words(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
        let column = batch.column_by_name(column).unwrap();
        column.as_string::<i32>().iter().map(|said| said.map(str::to_owned)).collect()
    }

    #[tokio::test]
    async fn what_is_written_is_read_back_and_the_same_results_give_the_same_bytes() {
        let store = FakeStore::default();
        let mut row = stt(1, 7, "2024/=a.wav");
        row.metadata = Metadata { fields: Some(r#"{"agent":"A-17","score":-3}"#.into()), options: None };
        let done = crate::queue::TaskRow {
            state: TaskState::Succeeded,
            cause: None,
            path: row.path.clone(),
            ..failed(7, "", Cause::Empty)
        };
        store.add(row);
        store.set_tasks(vec![done, failed(8, "b.wav", Cause::UnreadableAudio)]);
        let settings =
            OutputSettings { fields: vec!["agent".into(), "score".into()], ..OutputSettings::default() };
        let folder = tempfile::tempdir().unwrap();
        let export = async || {
            export_tables(&store, Filter::default(), &settings, Timestamp(0), folder.path()).await.unwrap()
        };
        assert_eq!(export().await, [2, 2]);
        let both = TABLES.map(|name| std::fs::read(folder.path().join(name)).unwrap());
        let recordings = read(&folder.path().join(TABLES[0]));
        assert_eq!(words(&recordings, "path"), [Some("2024/=a.wav".into()), Some("b.wav".into())]);
        assert_eq!(words(&recordings, "status"), [Some("succeeded".into()), Some("failed".into())]);
        assert_eq!(words(&recordings, "meta_agent"), [Some("A-17".into()), None]);
        assert_eq!(words(&recordings, "meta_score"), [Some("-3".into()), None]);
        assert_eq!(words(&recordings, "cause"), [None, Some("unreadable_audio".into())]);
        let tasks = recordings.column_by_name("task").unwrap().as_primitive::<Int64Type>();
        assert_eq!(tasks.values(), &[7, 8]);
        let started =
            recordings.column_by_name("started_at").unwrap().as_primitive::<TimestampMicrosecondType>();
        assert_eq!(started.value(0), 1_798_761_590_000_000);
        let utterances = read(&folder.path().join(TABLES[1]));
        assert_eq!(words(&utterances, "text")[1].as_deref(), Some("I will open a ticket."));
        assert_eq!(words(&utterances, "emotion"), [Some("Concerned".into()), None]);
        assert_eq!(words(&utterances, "meta_agent"), [Some("A-17".into()), Some("A-17".into())]);
        assert_eq!(export().await, [2, 2]);
        assert_eq!(both, TABLES.map(|name| std::fs::read(folder.path().join(name)).unwrap()));
    }
}
