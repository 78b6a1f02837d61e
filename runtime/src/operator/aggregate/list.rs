//! `ARRAY_AGG`, `LISTAGG` and `JSON_ARRAYAGG`, and `FIRST_VALUE` and `LAST_VALUE` over an updating input.
//!
//! Place in the flow: an accumulator of the aggregations. Invariant: values are kept in the order of the rows; one that is taken away
//! is the first of its copies, and what never came is not taken away.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, NullBufferBuilder, StringArray};
use arrow::datatypes::DataType;

use crate::error::{Error, Result};
use crate::operator::aggregate::sequence::{Sequence, Sequences};
use crate::operator::aggregate::values::{NULL, arrays, decode, offsets, too_large};
use crate::operator::aggregate::{Accumulator, Merged, Rows, same};
use crate::state::KeyCodec;
use crate::state::codec::{Reader, Writer};
use crate::types::FlinkType;

/// What becomes of the values of a group.
#[derive(Debug)]
pub(super) enum Output {
    /// An array of this type; NULL without values.
    Array(DataType),
    /// Their texts one behind the other; NULL without values.
    Text {
        /// What stands between them, which is the same for all groups; absent before the first row.
        separator: Option<Box<str>>,
    },
    /// A JSON array of texts that are JSON.
    Json,
    /// The first one.
    First,
    /// The last one.
    Last,
}

/// What becomes of NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nulls {
    /// It is a value.
    Keep,
    /// It is left out.
    Skip,
}

/// The values of all groups.
#[derive(Debug)]
pub(super) struct Lists {
    /// Encoded values of each group.
    values: Sequences,
    /// Encodes values.
    codec: KeyCodec,
    /// What becomes of them.
    output: Output,
    /// What becomes of NULL.
    nulls: Nulls,
}

/// What stands between the texts of LISTAGG with one argument.
///
/// # Source
/// Flink: LISTAGG.
const SEPARATOR: &str = ",";

impl Lists {
    /// No values yet.
    ///
    /// # Errors
    /// `Unsupported` for arguments without storage.
    pub(super) fn new(argument: &FlinkType, output: Output, nulls: Nulls) -> Result<Self> {
        Ok(Self {
            values: Sequences::default(),
            codec: KeyCodec::for_rows([argument])?,
            output,
            nulls,
        })
    }

    /// Remembers the separator of LISTAGG, which is a literal.
    fn learn_separator(&mut self, rows: &Rows<'_>) -> Result<()> {
        let Output::Text { separator: learned } = &mut self.output else {
            return Ok(());
        };
        if learned.is_some() || rows.groups.is_empty() {
            return Ok(());
        }
        let own = match rows.further.first() {
            None => SEPARATOR,
            Some(column) => {
                let texts = column.as_string_opt::<i32>();
                let texts =
                    texts.ok_or_else(|| Error::internal("a separator that is not a text"))?;
                if texts.is_valid(0) {
                    texts.value(0)
                } else {
                    return Err(Error::arithmetic("the separator of LISTAGG is NULL"));
                }
            }
        };
        *learned = Some(own.into());
        Ok(())
    }

    /// The sequences of some groups.
    fn of<'a>(&'a self, groups: &'a [u32]) -> impl Iterator<Item = &'a Sequence> + Clone {
        groups.iter().map(|group| self.values.of(*group))
    }

    /// Texts of the values of each group, which are all texts.
    fn texts(
        &self,
        groups: &[u32],
        mut append: impl FnMut(&mut String, usize, Option<&str>),
    ) -> Result<Vec<String>> {
        let values = self.of(groups).flat_map(Sequence::iter);
        let decoded = decode(&self.codec, values)?;
        let decoded = decoded.as_string::<i32>();
        let mut next = 0;
        let mut texts = Vec::with_capacity(groups.len());
        for sequence in self.of(groups) {
            let mut text = String::new();
            for (index, _) in sequence.iter().enumerate() {
                let value = decoded.is_valid(next).then(|| decoded.value(next));
                append(&mut text, index, value);
                next += 1;
            }
            texts.push(text);
        }
        Ok(texts)
    }
}

/// A column of texts, absent where there are no values.
fn text_column(texts: Vec<Option<String>>) -> Result<ArrayRef> {
    let bytes: usize = texts.iter().flatten().map(String::len).sum();
    if i32::try_from(bytes).is_err() {
        return Err(too_large());
    }
    Ok(Arc::new(StringArray::from(texts)))
}

impl Accumulator for Lists {
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups);
    }

    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        self.learn_separator(&rows)?;
        let values = rows.encoded(&self.codec)?;
        let lists = &mut self.values;
        let add = |row, group, is_retraction| lists.add(group, values.key(row), is_retraction);
        match self.nulls {
            Nulls::Keep => rows.for_each_row(add),
            Nulls::Skip => rows.for_each(add),
        }
        Ok(())
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn merge(&mut self, other: &dyn Accumulator, groups: &[Merged]) -> Result<()> {
        let other: &Self = same(other)?;
        if let (Output::Text { separator }, Output::Text { separator: known }) =
            (&mut self.output, &other.output)
            && separator.is_none()
        {
            separator.clone_from(known);
        }
        for Merged { into, from } in groups {
            self.values.append(*into, other.values.of(*from));
        }
        Ok(())
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        match &self.output {
            Output::Array(ty) => {
                let offsets = offsets(self.of(groups).map(|list| list.iter().count()))?;
                let values = decode(&self.codec, self.of(groups).flat_map(Sequence::iter))?;
                let mut nulls = NullBufferBuilder::new(groups.len());
                for list in self.of(groups) {
                    nulls.append(!matches!(list, Sequence::Empty));
                }
                arrays(ty, offsets, values, nulls.finish())
            }
            Output::Text { separator } => {
                let separator = separator.as_deref().unwrap_or(SEPARATOR);
                let texts = self.texts(groups, |text, index, value| {
                    if index > 0 {
                        text.push_str(separator);
                    }
                    text.push_str(value.unwrap_or_default());
                })?;
                let is_there = self.of(groups).map(|list| !matches!(list, Sequence::Empty));
                let texts = texts.into_iter().zip(is_there);
                text_column(texts.map(|(text, is)| is.then_some(text)).collect())
            }
            Output::Json => {
                let texts = self.texts(groups, |text, index, value| {
                    text.push(if index > 0 { ',' } else { '[' });
                    text.push_str(value.unwrap_or("null"));
                })?;
                let closed = |text: String| match text.as_str() {
                    "" => Some("[]".to_owned()),
                    open => Some(format!("{open}]")),
                };
                text_column(texts.into_iter().map(closed).collect())
            }
            Output::First => {
                let firsts = self
                    .of(groups)
                    .map(|list| list.iter().next().unwrap_or(NULL));
                decode(&self.codec, firsts)
            }
            Output::Last => {
                let lasts = self.of(groups).map(|list| list.last().unwrap_or(NULL));
                decode(&self.codec, lasts)
            }
        }
    }

    fn clear(&mut self, group: u32) {
        self.values.clear(group);
    }

    fn write(&self, group: u32, out: &mut Vec<u8>) {
        self.values.write(group, out);
        if let Output::Text { separator } = &self.output {
            // A window that is emitted after a restore may see no further row.
            out.put_bytes(separator.as_deref().unwrap_or(SEPARATOR).as_bytes());
        }
    }

    fn read(&mut self, group: u32, input: &mut Reader<'_>) -> Result<()> {
        self.values.read(group, input)?;
        if let Output::Text { separator } = &mut self.output {
            let text = std::str::from_utf8(input.bytes()?);
            let text = text.map_err(|_| Error::corrupt("a separator is not UTF-8"))?;
            // A group without values may have been written before the separator was known.
            if !matches!(self.values.of(group), Sequence::Empty) {
                separator.get_or_insert_with(|| text.into());
            }
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.values.memory_bytes()
    }

    fn heap_bytes(&self) -> usize {
        self.values.heap_bytes()
    }
}
