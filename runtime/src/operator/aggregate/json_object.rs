//! `JSON_OBJECTAGG`.
//!
//! Place in the flow: an accumulator of the aggregations; the binder makes its values JSON. Invariant: keys stand in ascending order,
//! as in all JSON that is written; a key that is there twice when a result is wanted is an error, as is NULL as a key.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};

use crate::error::{Error, Result};
use crate::operator::aggregate::list::Nulls;
use crate::operator::aggregate::multiset::Multisets;
use crate::operator::aggregate::values::too_large;
use crate::operator::aggregate::{Accumulator, Merged, Rows, same};
use crate::sql::eval::json::encode::write_key;
use crate::sql::eval::json::sort_keys;
use crate::state::KeyCodec;
use crate::state::codec::Reader;
use crate::types::FlinkType;

/// The members of all groups.
#[derive(Debug)]
pub(super) struct Objects {
    /// Encoded keys with their values, per group.
    members: Multisets<[u8]>,
    /// Encodes a key and a value.
    codec: KeyCodec,
    /// What becomes of NULL as a value.
    nulls: Nulls,
}

impl Objects {
    /// No members yet.
    ///
    /// # Errors
    /// `Unsupported` for arguments without storage.
    pub(super) fn new((key, value): (&FlinkType, &FlinkType), nulls: Nulls) -> Result<Self> {
        Ok(Self {
            members: Multisets::default(),
            codec: KeyCodec::for_rows([key, value])?,
            nulls,
        })
    }

    /// The object of a group.
    fn object(&self, group: u32) -> Result<String> {
        let members = self.members.of(group);
        if members.present().next().is_none() {
            return Ok("{}".to_owned());
        }
        let columns = self.codec.decode(members.present())?;
        let [keys, values] = columns.as_slice() else {
            return Err(Error::internal("a member of other columns"));
        };
        let (keys, values) = (keys.as_string::<i32>(), values.as_string::<i32>());
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_by(|a, b| sort_keys(keys.value(*a), keys.value(*b)));
        let copies = members.iter().map(|(_, copies)| copies);
        let copies: Vec<i64> = copies.filter(|copies| *copies > 0).collect();
        let twice = order.windows(2).map(|pair| (pair[0], pair[1]));
        let mut twice = twice.filter(|(a, b)| keys.value(*a) == keys.value(*b));
        let repeated = order.iter().copied().find(|row| copies[*row] > 1);
        if let Some(row) = twice.next().map(|(row, _)| row).or(repeated) {
            return Err(Error::arithmetic(format!(
                "the key '{}' is there twice in JSON_OBJECTAGG; group by it as well, or take one value of it before",
                keys.value(row)
            )));
        }
        let mut out = "{".to_owned();
        for (member, row) in order.into_iter().enumerate() {
            write_key(&mut out, member, keys.value(row));
            let value = values.is_valid(row).then(|| values.value(row));
            out.push_str(value.unwrap_or("null"));
        }
        out.push('}');
        Ok(out)
    }
}

impl Accumulator for Objects {
    fn resize(&mut self, groups: usize) {
        self.members.resize(groups);
    }

    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        let (keys, values) = (rows.argument()?, rows.further(0)?);
        let encoded = self.codec.encode_rows(&[keys, values], keys.len())?;
        let mut has_null_key = false;
        let members = &mut self.members;
        rows.for_each_row(|row, group, is_retraction| {
            if keys.is_null(row) {
                has_null_key = true;
            } else if self.nulls == Nulls::Keep || values.is_valid(row) {
                let change = if is_retraction { -1 } else { 1 };
                members.add(group, encoded.key(row), change);
            }
        });
        if has_null_key {
            return Err(Error::arithmetic(
                "a key of JSON_OBJECTAGG is NULL; leave such rows out with WHERE",
            ));
        }
        Ok(())
    }

    fn can_merge(&self) -> bool {
        true
    }

    fn merge(&mut self, other: &dyn Accumulator, groups: &[Merged]) -> Result<()> {
        let other: &Self = same(other)?;
        for Merged { into, from } in groups {
            self.members.merge(*into, other.members.of(*from));
        }
        Ok(())
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        let objects = groups.iter().map(|group| self.object(*group));
        let objects = objects.collect::<Result<Vec<String>>>()?;
        if i32::try_from(objects.iter().map(String::len).sum::<usize>()).is_err() {
            return Err(too_large());
        }
        Ok(Arc::new(StringArray::from(objects)))
    }

    fn clear(&mut self, group: u32) {
        self.members.clear(group);
    }

    fn write(&self, group: u32, out: &mut Vec<u8>) {
        self.members.write(group, out);
    }

    fn read(&mut self, group: u32, input: &mut Reader<'_>) -> Result<()> {
        self.members.read(group, input)
    }

    fn memory_bytes(&self) -> usize {
        self.members.memory_bytes()
    }

    fn heap_bytes(&self) -> usize {
        self.members.heap_bytes()
    }
}
