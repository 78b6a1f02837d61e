//! Rows that a function makes of each row, beside it.
//!
//! Place in the flow: FROM with UNNEST, INTERSECT ALL and EXCEPT ALL. Invariant: a row that is taken back takes back what it made, as a
//! function makes the same rows of the same row; nothing is kept but a batch that has made more than a step emits.

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, UInt32Array};
use arrow::datatypes::{Int32Type, Int64Type};

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::operator::{Collector, EMIT_ROWS_MAX, Operator, OperatorContext};
use crate::plan::{self, JoinKind, REPLICATE_ROWS, UNNEST};
use crate::sql::eval::Evaluator;
use crate::types::{FlinkType, TypeKind};

/// Joins each row with what a function makes of it.
#[derive(Debug)]
pub struct Correlate {
    /// Computes the arguments.
    args: Vec<Evaluator>,
    /// What is made of them.
    function: Function,
    /// Whether a row stays of which nothing is made.
    keeps_rows: bool,
    /// Whether the last column counts the rows.
    with_ordinality: bool,
    /// The batch whose rows are not all made.
    backlog: Option<Backlog>,
}

/// What a function makes.
#[derive(Debug, Clone, Copy)]
enum Function {
    /// A row for each element.
    Unnest(Collection),
    /// The further arguments, as often as the first one says.
    Replicate,
}

/// What is taken apart.
#[derive(Debug, Clone, Copy)]
enum Collection {
    /// An array of values, or of rows.
    Array(Element),
    /// A map: keys and values.
    Map,
    /// A multiset of values, or of rows.
    Multiset(Element),
}

/// What columns an element becomes.
#[derive(Debug, Clone, Copy)]
enum Element {
    /// One.
    Value,
    /// As many as the row has.
    Row,
}

/// A batch on its way.
#[derive(Debug)]
struct Backlog {
    /// The rows.
    batch: Batch,
    /// Their arguments.
    args: Vec<ArrayRef>,
    /// The row that comes next.
    row: usize,
    /// What was made of it already.
    made: u64,
}

/// Rows of one step.
#[derive(Debug, Default)]
struct Made {
    /// Rows of the batch.
    rows: Vec<u32>,
    /// Elements among all elements of the batch; absent for a row that stays alone.
    elements: Vec<Option<u32>>,
    /// Their numbers within their row, from 1 on.
    ordinals: Vec<Option<i32>>,
}

/// Whether a function can be executed.
pub fn is_executable(correlate: &plan::Correlate) -> bool {
    [UNNEST, REPLICATE_ROWS].contains(&correlate.function.as_str())
}

impl Function {
    /// The function of a name.
    fn new(correlate: &plan::Correlate) -> Result<Self> {
        if correlate.function == REPLICATE_ROWS {
            return Ok(Self::Replicate);
        }
        let element = |ty: &FlinkType| match ty.kind {
            TypeKind::Row(_) => Element::Row,
            _ => Element::Value,
        };
        let collection = match correlate.args.first().map(|arg| &arg.ty.kind) {
            Some(TypeKind::Array(ty)) => Collection::Array(element(ty)),
            Some(TypeKind::Multiset(ty)) => Collection::Multiset(element(ty)),
            Some(TypeKind::Map(..)) => Collection::Map,
            _ => return Err(Error::internal("UNNEST of what is no collection")),
        };
        Ok(Self::Unnest(collection))
    }
}

impl Correlate {
    /// Compiles the arguments.
    ///
    /// # Errors
    /// `Invalid` for an argument that does not compile; `Internal` for a function that [`is_executable`] refuses.
    pub fn new(correlate: &plan::Correlate, time_zone: &str) -> Result<Self> {
        let args = correlate.args.iter();
        Ok(Self {
            args: args
                .map(|arg| Evaluator::compile(arg, time_zone))
                .collect::<Result<_>>()?,
            function: Function::new(correlate)?,
            keeps_rows: correlate.kind == JoinKind::Left,
            with_ordinality: correlate.with_ordinality,
            backlog: None,
        })
    }

    /// Emits the next rows of the backlog.
    fn step(&mut self, out: &mut Collector) -> Result<()> {
        let Some(mut backlog) = self.backlog.take() else {
            return Ok(());
        };
        let made = self.make(&mut backlog)?;
        if !made.rows.is_empty() {
            out.emit(self.joined(&backlog, made)?);
        }
        if backlog.row < backlog.batch.rows {
            self.backlog = Some(backlog);
        }
        Ok(())
    }

    /// Makes rows of the next rows of the batch, at most [`EMIT_ROWS_MAX`].
    fn make(&self, backlog: &mut Backlog) -> Result<Made> {
        let source = Source::new(self.function, &backlog.args)?;
        let mut made = Made::default();
        while backlog.row < backlog.batch.rows {
            let row = backlog.row;
            let number = u32::try_from(row).map_err(|_| Error::internal("a batch of 4 G rows"))?;
            let mut skip = backlog.made;
            for (element, copies) in source.elements(row) {
                if skip >= copies {
                    skip -= copies;
                    continue;
                }
                let room = EMIT_ROWS_MAX - made.rows.len();
                let take = usize::try_from(copies - skip).map_or(room, |left| left.min(room));
                for _ in 0..take {
                    backlog.made += 1;
                    let ordinal = i32::try_from(backlog.made).unwrap_or(i32::MAX);
                    made.push(number, Some(element), Some(ordinal));
                }
                if (take as u64) < copies - skip {
                    return Ok(made);
                }
                skip = 0;
            }
            if backlog.made == 0 && self.keeps_rows {
                made.push(number, None, None);
            }
            (backlog.row, backlog.made) = (row + 1, 0);
            if made.rows.len() >= EMIT_ROWS_MAX {
                break;
            }
        }
        Ok(made)
    }

    /// The rows of a step: columns of the batch, then those of the function.
    fn joined(&self, backlog: &Backlog, made: Made) -> Result<Batch> {
        let elements = UInt32Array::from(made.elements);
        let mut batch = backlog.batch.take(&UInt32Array::from(made.rows))?;
        match self.function {
            Function::Replicate => {
                for values in &backlog.args[1..] {
                    batch.columns.push(pick(values, &elements)?);
                }
            }
            Function::Unnest(Collection::Array(element)) => {
                let values = backlog.args[0].as_list::<i32>().values();
                unnest(values, element, &elements, &mut batch.columns)?;
            }
            Function::Unnest(Collection::Multiset(element)) => {
                let values = backlog.args[0].as_map().keys();
                unnest(values, element, &elements, &mut batch.columns)?;
            }
            Function::Unnest(Collection::Map) => {
                let map = backlog.args[0].as_map();
                batch.columns.push(pick(map.keys(), &elements)?);
                batch.columns.push(pick(map.values(), &elements)?);
            }
        }
        if self.with_ordinality {
            let ordinals = Int32Array::from(made.ordinals);
            batch.columns.push(std::sync::Arc::new(ordinals));
        }
        Ok(batch)
    }
}

impl Made {
    /// Adds a row.
    fn push(&mut self, row: u32, element: Option<u32>, ordinal: Option<i32>) {
        self.rows.push(row);
        self.elements.push(element);
        self.ordinals.push(ordinal);
    }
}

/// Where the elements of each row are among all of the batch.
enum Source<'a> {
    /// From one offset to the next.
    Offsets(&'a dyn Array, &'a [i32]),
    /// The same, each as often as its number says.
    Counted(&'a dyn Array, &'a [i32], &'a Int32Array),
    /// The row itself, as often as its number says.
    Replicate(&'a arrow::array::Int64Array),
}

impl<'a> Source<'a> {
    /// Looks at arguments.
    fn new(function: Function, args: &'a [ArrayRef]) -> Result<Self> {
        let first = args
            .first()
            .ok_or_else(|| Error::internal("a table function without arguments"))?;
        Ok(match function {
            Function::Replicate => Self::Replicate(first.as_primitive::<Int64Type>()),
            Function::Unnest(Collection::Array(_)) => {
                Self::Offsets(first, first.as_list::<i32>().value_offsets())
            }
            Function::Unnest(Collection::Map) => {
                Self::Offsets(first, first.as_map().value_offsets())
            }
            Function::Unnest(Collection::Multiset(_)) => {
                let map = first.as_map();
                let counts = map.values().as_primitive::<Int32Type>();
                Self::Counted(first, map.value_offsets(), counts)
            }
        })
    }

    /// The elements of a row, and how often each is there. NULL has none.
    fn elements(&self, row: usize) -> impl Iterator<Item = (u32, u64)> {
        let (range, is_null) = match self {
            Self::Offsets(column, offsets) | Self::Counted(column, offsets, _) => {
                (offsets[row]..offsets[row + 1], column.is_null(row))
            }
            Self::Replicate(counts) => {
                let first = i32::try_from(row).unwrap_or(i32::MAX);
                (first..first.saturating_add(1), counts.is_null(row))
            }
        };
        let range = if is_null { 0..0 } else { range };
        range.map(move |element| {
            let index = element.cast_unsigned();
            let copies = match self {
                Self::Offsets(..) => 1,
                Self::Counted(_, _, counts) => {
                    u64::try_from(counts.value(index as usize)).unwrap_or(0)
                }
                Self::Replicate(counts) => u64::try_from(counts.value(index as usize)).unwrap_or(0),
            };
            (index, copies)
        })
    }
}

/// Appends the columns of elements: of rows their fields, which are NULL when the row is.
fn unnest(
    values: &ArrayRef,
    element: Element,
    elements: &UInt32Array,
    columns: &mut Vec<ArrayRef>,
) -> Result<()> {
    match element {
        Element::Value => columns.push(pick(values, elements)?),
        Element::Row => {
            let rows = values.as_struct();
            let is_there = |element: &u32| rows.is_valid(*element as usize);
            let elements = elements.iter().map(|element| element.filter(is_there));
            let elements: UInt32Array = elements.collect();
            for field in rows.columns() {
                columns.push(pick(field, &elements)?);
            }
        }
    }
    Ok(())
}

/// The values at places, NULL where there is none.
fn pick(values: &ArrayRef, places: &UInt32Array) -> Result<ArrayRef> {
    if values.is_empty() {
        return Ok(arrow::array::new_null_array(
            values.data_type(),
            places.len(),
        ));
    }
    Ok(arrow::compute::take(values, places, None)?)
}

impl Operator for Correlate {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<()> {
        while self.has_backlog() {
            self.step(out)?;
        }
        let eval = context.eval();
        let args = self.args.iter().map(|arg| arg.eval(batch, &eval));
        self.backlog = Some(Backlog {
            batch: batch.clone(),
            args: args.collect::<Result<_>>()?,
            row: 0,
            made: 0,
        });
        self.step(out)
    }

    fn emit_pending(
        &mut self,
        _context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<bool> {
        self.step(out)?;
        Ok(self.has_backlog())
    }

    fn has_backlog(&self) -> bool {
        self.backlog.is_some()
    }
}

#[cfg(test)]
mod tests;
