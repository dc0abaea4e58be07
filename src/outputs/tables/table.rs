//! A file of Parquet on its way: written beside its place, and hashed as it is written.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use sha2::{Digest, Sha256};

use super::super::OutputError;
use super::super::file::{self, Replacement};
use super::super::page::BUDGET;
use super::super::record::Record;
use super::cells::{Cell, RECORDINGS, metadata};
use crate::queue::OutputState;

/// Rows that lie in memory, at most, before they are encoded.
const ROWS: usize = 8192;
/// Encoded bytes that lie in memory, at most and about, before they are written as a row group.
const GROUP: usize = 32 << 20;

/// A table that is whole.
pub(super) struct Draft {
    pub(super) rows: u64,
    bytes: u64,
    hash: Sha256,
    pub(super) file: File,
    pub(super) replacement: Replacement,
    pub(super) place: PathBuf,
}

impl Draft {
    pub(super) fn state(&self, last_seq: i64) -> OutputState {
        OutputState { bytes: self.bytes, last_seq, records: self.rows, sha256: file::hex(&self.hash) }
    }
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

/// A file that is hashed while it is written.
struct Hashed {
    file: File,
    hash: Sha256,
    bytes: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A table on its way into a file beside its place.
pub(super) struct Table {
    schema: Arc<Schema>,
    columns: Vec<Column>,
    /// Rows that are not encoded yet, and the bytes of their texts.
    waiting: (usize, usize),
    rows: u64,
    writer: ArrowWriter<Hashed>,
    file: File,
    replacement: Replacement,
    place: PathBuf,
}

impl Table {
    pub(super) fn begin<'a>(
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
            .set_max_row_group_bytes(Some(GROUP))
            .set_created_by(concat!("voxbatch ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let handle = file.try_clone().map_err(OutputError::io("write", place))?;
        let to = Hashed { file: handle, hash: Sha256::new(), bytes: 0 };
        let writer =
            ArrowWriter::try_new(to, Arc::clone(&schema), Some(properties)).map_err(|e| failed(place, e))?;
        let place = place.to_owned();
        Ok(Table { schema, columns, waiting: (0, 0), rows: 0, writer, file, replacement, place })
    }

    pub(super) fn record(&mut self, record: &Record<'_>, fields: &[String]) -> Result<(), OutputError> {
        let cells = RECORDINGS.iter().map(|(_, _, cell)| cell(record));
        self.row(cells.chain(metadata(record, fields)))
    }

    pub(super) fn row<'a>(&mut self, cells: impl Iterator<Item = Cell<'a>>) -> Result<(), OutputError> {
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            if let Cell::Text(Some(said)) = &cell {
                self.waiting.1 += said.len();
            }
            column.push(cell);
        }
        self.waiting.0 += 1;
        self.rows += 1;
        if self.waiting.0 >= ROWS || self.waiting.1 >= BUDGET { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), OutputError> {
        if self.waiting.0 == 0 {
            return Ok(());
        }
        self.waiting = (0, 0);
        let arrays = self.columns.iter_mut().map(Column::take).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays);
        let batch = batch.map_err(|e| failed(&self.place, e.into()))?;
        self.writer.write(&batch).map_err(|e| failed(&self.place, e))
    }

    pub(super) fn end(mut self) -> Result<Draft, OutputError> {
        self.flush()?;
        let Table { rows, mut writer, file, replacement, place, .. } = self;
        writer.finish().map_err(|e| failed(&place, e))?;
        let Hashed { hash, bytes, .. } = writer.inner();
        let (hash, bytes) = (hash.clone(), *bytes);
        Ok(Draft { rows, bytes, hash, file, replacement, place })
    }
}

fn failed(place: &Path, error: ParquetError) -> OutputError {
    OutputError::io("write", place)(std::io::Error::other(error))
}
