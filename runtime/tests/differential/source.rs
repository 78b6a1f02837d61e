//! Tables in memory as the runtime reads them.
//!
//! Place in the flow: an environment's stage gives them in the place of connectors. Invariant: changes of a row stay in one split and in
//! order; what a reader gives next depends on its seed alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, StringArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, TimeUnit};
use weir_runtime::connector::results::{Results, ResultsSink};
use weir_runtime::connector::sink::Sink;
use weir_runtime::connector::source::{
    Poll, ReaderContext, Source, SourceReader, SplitInfo, SplitPosition,
};
use weir_runtime::operator::Operator;
use weir_runtime::plan::{Node, ReadColumn};
use weir_runtime::sql::catalog::TableDef;
use weir_runtime::testing::Stage;
use weir_runtime::{Batch, Error, FlinkType, Result, RowKind};

use crate::fault::Fault;
use crate::random::Random;
use crate::tables::{Content, TABLES};
use crate::value::{Row, Value};

/// Of so many polls one finds nothing at first, as it is outside of tests.
const PAUSES: usize = 8;

/// How tables are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Giving {
    /// What chooses splits and sizes.
    pub(crate) seed: u64,
    /// Splits of each table.
    pub(crate) splits: usize,
    /// Rows of a batch at most.
    pub(crate) batch_rows_max: usize,
}

/// A kind and a row for each change.
type Changelog = Vec<(RowKind, Row)>;

/// Tables in memory, and a fault if there is to be one.
#[derive(Debug)]
pub(crate) struct Memory {
    /// How they are given.
    giving: Giving,
    /// The changes of each split of each table.
    tables: HashMap<&'static str, Arc<Vec<Changelog>>>,
    /// What goes wrong.
    fault: Option<Fault>,
    /// What was written, by table.
    written: Mutex<HashMap<String, Arc<Results>>>,
}

impl Memory {
    /// Tables with these contents.
    pub(crate) fn new(contents: &[Content], giving: Giving, fault: Option<Fault>) -> Self {
        let tables = TABLES.iter().zip(contents).map(|(table, content)| {
            let mut splits: Vec<Changelog> = vec![Vec::new(); giving.splits];
            for (slot, kind, row) in content.changelog(table) {
                let split = table.lane(slot, &row) % giving.splits;
                splits[split].push((kind, row));
            }
            (table.name, Arc::new(splits))
        });
        Self {
            giving,
            tables: tables.collect(),
            fault,
            written: Mutex::default(),
        }
    }

    /// What is written into a table, also by jobs that go on with what others have begun.
    pub(crate) fn written(&self, table: &str) -> Arc<Results> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let results = written.entry(table.to_owned());
        Arc::clone(results.or_insert_with(|| Results::new(usize::MAX)))
    }
}

impl Stage for Memory {
    fn source(&self, table: &TableDef, read: &[ReadColumn]) -> Option<Arc<dyn Source>> {
        let (name, splits) = self.tables.get_key_value(table.name.name.as_str())?;
        let definition = TABLES.iter().find(|table| table.name == *name)?;
        let columns = read.iter().map(|read| {
            let mut columns = definition.columns.iter();
            let place = columns.position(|(name, ..)| *name == read.name)?;
            Some((place, read.ty.clone()))
        });
        Some(Arc::new(MemoryTable {
            name,
            columns: columns.collect::<Option<_>>()?,
            splits: splits.clone(),
            giving: self.giving,
        }))
    }

    fn sink(&self, table: &TableDef) -> Option<Arc<dyn Sink>> {
        let results = self.written(&table.name.name);
        Some(Arc::new(ResultsSink::new(results)))
    }

    fn operator(&self, node: &Node, operator: Box<dyn Operator>) -> Box<dyn Operator> {
        match self.fault {
            Some(fault) => fault.plant(node, operator),
            None => operator,
        }
    }
}

/// A table.
#[derive(Debug, Clone)]
struct MemoryTable {
    /// Its name.
    name: &'static str,
    /// Places and types of the columns that are read.
    columns: Vec<(usize, FlinkType)>,
    /// The changes of each split.
    splits: Arc<Vec<Changelog>>,
    /// How they are given.
    giving: Giving,
}

impl Source for MemoryTable {
    fn reader(&self, context: ReaderContext) -> Result<Box<dyn SourceReader>> {
        let own = (0..self.splits.len())
            .filter(|split| split % context.parallelism == context.subtask_index);
        let offset = |split: &usize| {
            let positions = context.restored.as_deref().unwrap_or_default();
            let position = positions
                .iter()
                .find(|position| usize::try_from(position.partition).ok() == Some(*split))?;
            usize::try_from(position.offset).ok()
        };
        let own = own.map(|split| OwnSplit {
            split,
            offset: offset(&split).unwrap_or(0),
            has_ended: false,
        });
        Ok(Box::new(MemoryReader {
            own: own.collect(),
            random: Random::new(self.giving.seed ^ context.subtask_index as u64),
            table: self.clone(),
            context,
        }))
    }

    fn is_bounded(&self) -> bool {
        true
    }
}

/// Reads some splits.
#[derive(Debug)]
struct MemoryReader {
    /// The table.
    table: MemoryTable,
    /// The splits.
    own: Vec<OwnSplit>,
    /// Choices.
    random: Random,
    /// What wakes its slot.
    context: ReaderContext,
}

/// A split that is read.
#[derive(Debug)]
struct OwnSplit {
    /// Its number.
    split: usize,
    /// The next change.
    offset: usize,
    /// Whether its end was reported.
    has_ended: bool,
}

impl SourceReader for MemoryReader {
    fn poll(&mut self, rows_max: usize) -> Result<Poll> {
        if self.random.once_in(PAUSES) {
            self.context.waker.wake();
            return Ok(Poll::Pending);
        }
        let open: Vec<usize> = (0..self.own.len())
            .filter(|index| !self.own[*index].has_ended)
            .collect();
        if open.is_empty() {
            return Ok(Poll::EndOfInput);
        }
        let split = self.random.pick(&open);
        let own = &mut self.own[split];
        let changes = &self.table.splits[own.split][own.offset..];
        if changes.is_empty() {
            own.has_ended = true;
            return Ok(Poll::SplitFinished { split });
        }
        let rows = 1 + self.random.below(self.table.giving.batch_rows_max);
        let changes = &changes[..rows.min(rows_max).min(changes.len())];
        own.offset += changes.len();
        let columns = self.table.columns.iter();
        let columns = columns.map(|(place, ty)| column(changes, *place, ty));
        let mut batch = Batch::inserts(columns.collect::<Result<_>>()?, changes.len());
        if changes.iter().any(|(kind, _)| *kind != RowKind::Insert) {
            batch.kinds = Some(changes.iter().map(|(kind, _)| *kind).collect());
        }
        Ok(Poll::Rows { split, batch })
    }

    fn splits(&self) -> Vec<SplitInfo> {
        let splits = self.own.iter().map(|own| SplitInfo {
            topic: self.table.name.to_owned(),
            partition: i32::try_from(own.split).unwrap_or(i32::MAX),
            pending_records: None,
        });
        splits.collect()
    }

    fn positions(&self) -> Vec<SplitPosition> {
        let positions = self.own.iter().map(|own| SplitPosition {
            topic: self.table.name.to_owned(),
            partition: i32::try_from(own.split).unwrap_or(i32::MAX),
            offset: i64::try_from(own.offset).unwrap_or(i64::MAX),
        });
        positions.collect()
    }

    fn drain(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The values of a column.
fn column(changes: &[(RowKind, Row)], place: usize, ty: &FlinkType) -> Result<ArrayRef> {
    let values = || changes.iter().map(|(_, row)| &row[place]);
    let int = |value: &Value| match value {
        Value::Int(value) => Some(*value),
        Value::Null | Value::Bool(_) | Value::Text(_) => None,
    };
    Ok(match ty.to_arrow()? {
        DataType::Boolean => Arc::new(values().map(Value::truth).collect::<BooleanArray>()),
        DataType::Int32 => {
            let ints = values().map(|value| int(value).and_then(|value| value.try_into().ok()));
            Arc::new(ints.collect::<Int32Array>())
        }
        DataType::Int64 => Arc::new(values().map(int).collect::<Int64Array>()),
        DataType::Timestamp(TimeUnit::Millisecond, None) => {
            Arc::new(values().map(int).collect::<TimestampMillisecondArray>())
        }
        DataType::Utf8 => {
            let texts = values().map(|value| match value {
                Value::Text(text) => Some(&**text),
                Value::Null | Value::Bool(_) | Value::Int(_) => None,
            });
            Arc::new(texts.collect::<StringArray>())
        }
        other => return Err(Error::internal(format!("no table has a column of {other}"))),
    })
}
