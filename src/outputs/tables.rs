//! Parquet: two tables, of recordings and of what was said in them, in the order of task numbers. The same results give
//! the same bytes.

use std::borrow::Cow;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use serde_json::Value;

use super::file::Replacement;
use super::record::Record;
use super::transcript::{self, Utterance};
use super::{OutputError, OutputSettings};
use crate::queue::TaskStore;
use crate::task::{Filter, TaskState, Timestamp};

/// The files.
pub const TABLES: [&str; 2] = ["recordings.parquet", "utterances.parquet"];

/// Tasks read at once.
const PAGE: u32 = 1000;
/// Rows that lie in memory, at most, before they are written.
const ROWS: usize = 8192;

enum Cell<'a> {
    Text(Option<Cow<'a, str>>),
    Int(Option<i64>),
    Float(Option<f64>),
    Time(Option<&'a str>),
}

type OfRecord = for<'a> fn(&'a Record<'a>) -> Cell<'a>;
type OfUtterance = for<'a> fn(&'a Utterance) -> Cell<'a>;

const RECORDINGS: &[(&str, DataType, OfRecord)] = &[
    ("job", DataType::Utf8, |r| text(Some(r.job))),
    ("task", DataType::Int64, |r| Cell::Int(Some(r.task))),
    ("path", DataType::Utf8, |r| text(Some(&r.path.path))),
    ("endpoint", DataType::Utf8, |r| text(Some(r.endpoint))),
    ("status", DataType::Utf8, |r| text(Some(r.status))),
    ("attempts", DataType::Int64, |r| int(Some(r.attempts))),
    ("http_status", DataType::Int64, |r| int(r.http_status)),
    ("bytes", DataType::Int64, |r| whole(Some(r.audio.bytes))),
    ("format", DataType::Utf8, |r| text(r.audio.format)),
    ("mime", DataType::Utf8, |r| text(r.audio.mime)),
    ("blake3", DataType::Utf8, |r| text(r.audio.blake3)),
    ("duration_ms", DataType::Int64, |r| whole(r.duration_ms)),
    ("measured_ms", DataType::Int64, |r| whole(r.measured_ms)),
    ("billed_ms", DataType::Int64, |r| whole(r.billed_ms)),
    ("text", DataType::Utf8, |r| text(r.text)),
    ("utterances", DataType::Int64, |r| whole(r.transcript.map(|t| t.utterances.len() as u64))),
    ("redacted_audio", DataType::Utf8, |r| text(r.redacted_audio.as_ref().map(|audio| &*audio.path.path))),
    ("reused_from", DataType::Int64, |r| Cell::Int(r.reused_from)),
    ("suspect", DataType::Utf8, |r| {
        let kinds = r.suspect.map(|odd| odd.iter().map(|one| one.kind.word()).collect::<Vec<_>>().join(" "));
        Cell::Text(kinds.map(Cow::Owned))
    }),
    ("suspect_evidence", DataType::Utf8, |r| {
        let said = r.suspect.map(|odd| odd.iter().map(|one| &*one.evidence).collect::<Vec<_>>().join("; "));
        Cell::Text(said.map(Cow::Owned))
    }),
    ("cause", DataType::Utf8, |r| text(r.error.as_ref().map(|e| e.cause))),
    ("message", DataType::Utf8, |r| text(r.error.as_ref().map(|e| e.message))),
    ("started_at", TIME, |r| Cell::Time(r.started_at.as_deref())),
    ("finished_at", TIME, |r| Cell::Time(r.finished_at.as_deref())),
    ("purged_at", TIME, |r| Cell::Time(r.purged_at.as_deref())),
];

/// Behind `job`, `task`, `path` and `index` of each.
const UTTERANCES: &[(&str, DataType, OfUtterance)] = &[
    ("start_ms", DataType::Int64, |u| whole(Some(u.start_ms))),
    ("end_ms", DataType::Int64, |u| whole(Some(u.end_ms))),
    ("speaker", DataType::Utf8, |u| text(u.speaker.as_deref())),
    ("language", DataType::Utf8, |u| text(u.language.as_deref())),
    ("emotion", DataType::Utf8, |u| text(u.emotion.as_deref())),
    ("accent", DataType::Utf8, |u| text(u.accent.as_deref())),
    ("deepfake_score", DataType::Float64, |u| Cell::Float(u.deepfake_score)),
    ("verdict", DataType::Utf8, |u| text(u.verdict.as_deref())),
    ("confidence", DataType::Float64, |u| Cell::Float(u.confidence)),
    ("text", DataType::Utf8, |u| text(u.text.as_deref())),
];

/// Moments in UTC; the zone is said by the schema.
const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

fn text(said: Option<&str>) -> Cell<'_> {
    Cell::Text(said.map(Cow::Borrowed))
}

fn int<'a>(number: Option<impl Into<i64>>) -> Cell<'a> {
    Cell::Int(number.map(Into::into))
}

fn whole<'a>(number: Option<u64>) -> Cell<'a> {
    Cell::Int(number.map(|n| i64::try_from(n).unwrap_or(i64::MAX)))
}

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
    let fields: Vec<String> = settings.fields.iter().map(|name| format!("meta_{name}")).collect();
    let columns = RECORDINGS.iter().map(|(name, kind, _)| (*name, kind.clone()));
    let meta = || fields.iter().map(|name| (name.as_str(), DataType::Utf8));
    let mut recordings = Table::begin(&folder.join(TABLES[0]), columns.chain(meta()))?;
    let whose = [
        ("job", DataType::Utf8),
        ("task", DataType::Int64),
        ("path", DataType::Utf8),
        ("index", DataType::Int64),
    ];
    let columns = UTTERANCES.iter().map(|(name, kind, _)| (*name, kind.clone()));
    let mut utterances =
        Table::begin(&folder.join(TABLES[1]), whose.into_iter().chain(columns).chain(meta()))?;
    let mut after = None;
    loop {
        let tasks = store.tasks(filter.clone(), after, PAGE, now).await?;
        let Some(last) = tasks.last() else { break };
        after = Some(last.id);
        for task in &tasks {
            let result = match task.state {
                TaskState::Succeeded => store.result(task.id).await?,
                _ => None,
            };
            let Some(row) = &result else {
                recordings.record(&Record::of_task(task), settings)?;
                continue;
            };
            let transcript = transcript::read(row.endpoint, &row.response);
            let record = Record::of_result(&task.job_name, row, &transcript);
            recordings.record(&record, settings)?;
            for (index, utterance) in record.transcript.map_or(&[][..], |t| &t.utterances).iter().enumerate()
            {
                let whose = [
                    text(Some(record.job)),
                    Cell::Int(Some(record.task)),
                    text(Some(&record.path.path)),
                    whole(Some(index as u64)),
                ];
                let cells = UTTERANCES.iter().map(|(_, _, cell)| cell(utterance));
                utterances.row(whose.into_iter().chain(cells).chain(metadata(&record, settings)))?;
            }
        }
    }
    Ok([recordings.end()?, utterances.end()?])
}

fn metadata<'a>(record: &'a Record<'_>, settings: &'a OutputSettings) -> impl Iterator<Item = Cell<'a>> {
    settings.fields.iter().map(|name| {
        Cell::Text(match record.metadata.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(said)) => Some(Cow::Borrowed(said.as_str())),
            Some(other) => Some(Cow::Owned(other.to_string())),
        })
    })
}

/// A column on its way.
enum Column {
    Text(StringBuilder),
    Int(Int64Builder),
    Float(Float64Builder),
    Time(TimestampMicrosecondBuilder),
}

impl Column {
    fn of(kind: &DataType) -> Self {
        match kind {
            DataType::Int64 => Column::Int(Int64Builder::new()),
            DataType::Float64 => Column::Float(Float64Builder::new()),
            DataType::Timestamp(..) => Column::Time(TimestampMicrosecondBuilder::new()),
            _ => Column::Text(StringBuilder::new()),
        }
    }

    fn push(&mut self, cell: Cell<'_>) {
        match (self, cell) {
            (Column::Text(column), Cell::Text(said)) => column.append_option(said),
            (Column::Int(column), Cell::Int(number)) => column.append_option(number),
            (Column::Float(column), Cell::Float(number)) => column.append_option(number),
            (Column::Time(column), Cell::Time(at)) => {
                let at = at.and_then(|at| at.parse::<jiff::Timestamp>().ok());
                column.append_option(at.map(jiff::Timestamp::as_microsecond));
            }
            // The lists of columns say both, so they cannot differ.
            (Column::Text(column), _) => column.append_null(),
            (Column::Int(column), _) => column.append_null(),
            (Column::Float(column), _) => column.append_null(),
            (Column::Time(column), _) => column.append_null(),
        }
    }

    fn take(&mut self) -> ArrayRef {
        match self {
            Column::Text(column) => Arc::new(column.finish()),
            Column::Int(column) => Arc::new(column.finish()),
            Column::Float(column) => Arc::new(column.finish()),
            Column::Time(column) => Arc::new(column.finish().with_timezone("UTC")),
        }
    }
}

/// A table on its way into a file beside its place.
struct Table {
    schema: Arc<Schema>,
    columns: Vec<Column>,
    waiting: usize,
    rows: u64,
    writer: ArrowWriter<File>,
    file: File,
    replacement: Replacement,
    place: std::path::PathBuf,
}

impl Table {
    fn begin<'a>(
        place: &Path,
        columns: impl Iterator<Item = (&'a str, DataType)>,
    ) -> Result<Table, OutputError> {
        let with_zone = |kind: DataType| match kind {
            DataType::Timestamp(unit, _) => DataType::Timestamp(unit, Some("UTC".into())),
            other => other,
        };
        let fields: Vec<Field> =
            columns.map(|(name, kind)| Field::new(name, with_zone(kind), true)).collect();
        let columns = fields.iter().map(|field| Column::of(field.data_type())).collect();
        let schema = Arc::new(Schema::new(fields));
        let (replacement, file) = Replacement::begin(place)?;
        let level = ZstdLevel::try_new(3).map_err(|e| failed(place, e))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_created_by(concat!("voxbatch ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let to = file.try_clone().map_err(OutputError::io("write", place))?;
        let writer =
            ArrowWriter::try_new(to, Arc::clone(&schema), Some(properties)).map_err(|e| failed(place, e))?;
        Ok(Table { schema, columns, waiting: 0, rows: 0, writer, file, replacement, place: place.to_owned() })
    }

    fn record(&mut self, record: &Record<'_>, settings: &OutputSettings) -> Result<(), OutputError> {
        let cells = RECORDINGS.iter().map(|(_, _, cell)| cell(record));
        self.row(cells.chain(metadata(record, settings)))
    }

    fn row<'a>(&mut self, cells: impl Iterator<Item = Cell<'a>>) -> Result<(), OutputError> {
        self.columns.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell));
        self.waiting += 1;
        self.rows += 1;
        if self.waiting >= ROWS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), OutputError> {
        if self.waiting == 0 {
            return Ok(());
        }
        self.waiting = 0;
        let arrays = self.columns.iter_mut().map(Column::take).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays);
        let batch = batch.map_err(|e| failed(&self.place, e.into()))?;
        self.writer.write(&batch).map_err(|e| failed(&self.place, e))
    }

    fn end(mut self) -> Result<u64, OutputError> {
        self.flush()?;
        let place = self.place;
        self.writer.close().map_err(|e| failed(&place, e))?;
        self.replacement.put_in_place(&self.file)?;
        Ok(self.rows)
    }
}

fn failed(place: &Path, error: ParquetError) -> OutputError {
    OutputError::io("write", place)(std::io::Error::other(error))
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Int64Type, TimestampMicrosecondType};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::super::tests::store::{FakeStore, failed, stt};
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
