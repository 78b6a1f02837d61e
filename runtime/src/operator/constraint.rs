//! What the columns of a sink promise: no NULL where none may be, and lengths.
//!
//! Place in the flow: in front of a sink, before rows are exchanged by its key, so that the key is the one that is written. Invariant:
//! a row that leaves keeps every promise that is enforced; it is checked as a whole, outer fields before inner ones, and a row
//! that is dropped fails nothing.
//!
//! # Source
//! Flink 2.3: the constraint enforcer of sinks, which checks NULLs, then characters, then bytes, then rows, arrays and maps.

mod length;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, StructArray};
use arrow::buffer::{BooleanBuffer, OffsetBuffer};

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::operator::{Collector, Operator, OperatorContext};
use crate::plan::{self, NestedEnforcer, NotNullEnforcer, TypeLengthEnforcer};
use crate::types::{FlinkType, TypeKind};

use length::Length;

/// Checks the rows of a sink.
#[derive(Debug)]
pub struct ConstraintEnforcer {
    /// What is checked.
    checks: Checks,
}

/// What is enforced.
#[derive(Debug, Clone, Copy)]
struct Rules {
    /// What happens to NULL.
    not_null: NotNullEnforcer,
    /// What happens to lengths.
    type_length: TypeLengthEnforcer,
    /// How deep it goes.
    nested: NestedEnforcer,
}

/// What is checked of fields beside one another: columns, the fields of a ROW, the element of an array, key and value of a map.
#[derive(Debug)]
struct Checks {
    /// What happens to NULL.
    not_null: NotNullEnforcer,
    /// What happens to lengths.
    type_length: TypeLengthEnforcer,
    /// How each field is called in messages.
    names: Vec<String>,
    /// Fields that must not be NULL.
    required: Vec<usize>,
    /// Fields with lengths, characters first.
    lengths: Vec<(usize, Length)>,
    /// Fields with others within them, rows first.
    inner: Vec<(usize, Inner)>,
}

/// What is within a field.
#[derive(Debug)]
enum Inner {
    /// The fields of a ROW.
    Row(Checks),
    /// The element of an array.
    Array(Checks),
    /// Key and value of a map.
    Map(Checks),
}

/// What is wrong with a value.
struct Violation {
    /// The entry among those that were checked.
    entry: usize,
    /// The field, as `a.b[0].c`.
    path: String,
    /// What is wrong and how to go on.
    what: String,
}

impl ConstraintEnforcer {
    /// With the columns of a sink.
    pub fn new(spec: &plan::ConstraintEnforcer) -> Self {
        let columns = spec.columns.iter();
        let fields: Vec<(String, &FlinkType)> = columns
            .map(|column| (column.name.clone(), &column.ty))
            .collect();
        let rules = Rules {
            not_null: spec.not_null,
            type_length: spec.type_length,
            nested: spec.nested,
        };
        Self {
            checks: Checks::new(fields, rules),
        }
    }

    /// Whether rows can be wrong at all.
    pub fn has_checks(&self) -> bool {
        !self.checks.is_empty()
    }
}

impl Operator for ConstraintEnforcer {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        _context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<()> {
        let mut columns = batch.columns.clone();
        let live = BooleanBuffer::new_set(batch.rows);
        let kept = self
            .checks
            .enforce(&mut columns, live)
            .map_err(|violation| {
                Error::deserialization(format!(
                    "column \"{}\" of the sink is {}",
                    violation.path, violation.what
                ))
            })?;
        let enforced = Batch {
            columns,
            rows: batch.rows,
            kinds: batch.kinds.clone(),
        };
        out.emit(enforced.filter(&BooleanArray::new(kept, None))?);
        Ok(())
    }
}

impl Checks {
    /// What is checked of fields.
    fn new(fields: Vec<(String, &FlinkType)>, rules: Rules) -> Self {
        let mut checks = Self {
            not_null: rules.not_null,
            type_length: rules.type_length,
            names: Vec::new(),
            required: Vec::new(),
            lengths: Vec::new(),
            inner: Vec::new(),
        };
        let mut collections = Vec::new();
        for (index, (name, ty)) in fields.into_iter().enumerate() {
            checks.names.push(name);
            if !ty.nullable {
                checks.required.push(index);
            }
            if rules.type_length != TypeLengthEnforcer::Ignore {
                let length = Length::of(&ty.kind);
                checks.lengths.extend(length.map(|length| (index, length)));
            }
            match Inner::of(&ty.kind, rules) {
                Some(row @ Inner::Row(_)) => checks.inner.push((index, row)),
                Some(other) => collections.push((index, other)),
                None => {}
            }
        }
        checks.inner.append(&mut collections);
        checks.lengths.sort_by_key(|(_, length)| length.is_bytes());
        checks
    }

    /// Whether nothing is checked.
    fn is_empty(&self) -> bool {
        self.required.is_empty() && self.lengths.is_empty() && self.inner.is_empty()
    }

    /// Checks the live ones among the entries of fields, which are replaced where values are cut or filled up; those that stay live.
    fn enforce(
        &self,
        fields: &mut [ArrayRef],
        mut live: BooleanBuffer,
    ) -> std::result::Result<BooleanBuffer, Violation> {
        for index in &self.required {
            let Some(nulls) = fields[*index]
                .logical_nulls()
                .filter(|n| n.null_count() > 0)
            else {
                continue;
            };
            let wrong = &live & &!nulls.inner();
            live = match (self.not_null, wrong.set_indices().next()) {
                (NotNullEnforcer::Drop, _) => &live & nulls.inner(),
                (NotNullEnforcer::Error, None) => live,
                (NotNullEnforcer::Error, Some(entry)) => {
                    return Err(Violation {
                        entry,
                        path: self.names[*index].clone(),
                        what: "NOT NULL and a row has NULL for it; filter such rows out, use COALESCE, or set 'table.exec.sink.not-null-enforcer' = 'drop'".to_owned(),
                    });
                }
            };
        }
        for (index, length) in &self.lengths {
            if self.type_length == TypeLengthEnforcer::TrimPad {
                length.fit(&mut fields[*index]);
            } else if let Some((entry, found)) = length.violation(&fields[*index], &live) {
                return Err(Violation {
                    entry,
                    path: self.names[*index].clone(),
                    what: format!(
                        "{length} and a row has a value of length {found} for it; cut or fill it up in the query, or set 'table.exec.sink.type-length-enforcer' to 'trim_pad' or 'ignore'"
                    ),
                });
            }
        }
        for (index, inner) in &self.inner {
            live = inner.enforce(&self.names[*index], &mut fields[*index], &live)?;
        }
        Ok(live)
    }
}

impl Inner {
    /// What is checked within values of a type; absent when nothing is.
    fn of(kind: &TypeKind, rules: Rules) -> Option<Self> {
        let of_collection = |fields| {
            let deep = rules.nested == NestedEnforcer::RowsAndCollections;
            deep.then(|| Checks::new(fields, rules))
        };
        let inner = match kind {
            TypeKind::Row(fields) if rules.nested != NestedEnforcer::Ignore => {
                let fields = fields.iter();
                let fields = fields.map(|field| (format!(".{}", field.name), &field.ty));
                Self::Row(Checks::new(fields.collect(), rules))
            }
            TypeKind::Array(element) => {
                Self::Array(of_collection(vec![(String::new(), &**element)])?)
            }
            TypeKind::Map(key, value) => Self::Map(of_collection(vec![
                ("[key]".to_owned(), &**key),
                ("[value]".to_owned(), &**value),
            ])?),
            _ => return None,
        };
        let (Self::Row(checks) | Self::Array(checks) | Self::Map(checks)) = &inner;
        (!checks.is_empty()).then_some(inner)
    }

    /// Checks what is within the live ones among the entries of a field; those that stay live.
    fn enforce(
        &self,
        name: &str,
        field: &mut ArrayRef,
        live: &BooleanBuffer,
    ) -> std::result::Result<BooleanBuffer, Violation> {
        let present = match field.nulls() {
            Some(nulls) => live & nulls.inner(),
            None => live.clone(),
        };
        let below = |mut violation: Violation| {
            violation.path.insert_str(0, name);
            violation
        };
        match self {
            Self::Row(checks) => {
                let row = field.as_struct();
                let mut columns = row.columns().to_vec();
                let kept = checks
                    .enforce(&mut columns, present.clone())
                    .map_err(below)?;
                if columns
                    .iter()
                    .zip(row.columns())
                    .any(|(new, old)| !Arc::ptr_eq(new, old))
                {
                    let (fields, _, nulls) = row.clone().into_parts();
                    *field = Arc::new(StructArray::new(fields, columns, nulls));
                }
                let lost = &present & &!&kept;
                Ok(live & &!&lost)
            }
            Self::Array(checks) => {
                let list = field.as_list::<i32>();
                let offsets = list.offsets();
                let entries = (offsets, vec![list.values().clone()]);
                let of_element = |mut violation: Violation| {
                    let place = place(offsets, &mut violation);
                    violation.path.insert_str(0, &format!("{name}[{place}]"));
                    violation
                };
                of_collection(checks, entries, (live, &present)).map_err(of_element)
            }
            Self::Map(checks) => {
                let map = field.as_map();
                let entries = (
                    map.offsets(),
                    vec![map.keys().clone(), map.values().clone()],
                );
                let of_entry = |mut violation: Violation| {
                    place(map.offsets(), &mut violation);
                    below(violation)
                };
                of_collection(checks, entries, (live, &present)).map_err(of_entry)
            }
        }
    }
}

/// Checks the entries of collections, of which nothing is cut or filled up; the live collections without a wrong entry.
fn of_collection(
    checks: &Checks,
    (offsets, mut entries): (&OffsetBuffer<i32>, Vec<ArrayRef>),
    (live, present): (&BooleanBuffer, &BooleanBuffer),
) -> std::result::Result<BooleanBuffer, Violation> {
    let first = bound(offsets[0]);
    let within = |row: usize| bound(offsets[row]) - first..bound(offsets[row + 1]) - first;
    let count = bound(offsets[offsets.len() - 1]) - first;
    for entry in &mut entries {
        *entry = entry.slice(first, count);
    }
    let mut inside = BooleanBufferBuilder::new(count);
    inside.append_n(count, false);
    for row in present.set_indices() {
        within(row).for_each(|entry| inside.set_bit(entry, true));
    }
    let inside = inside.finish();
    let kept = checks
        .enforce(&mut entries, inside.clone())
        .map_err(|violation| Violation {
            entry: violation.entry + first,
            ..violation
        })?;
    let lost = &inside & &!&kept;
    if lost.count_set_bits() == 0 {
        return Ok(live.clone());
    }
    let is_whole = |row: usize| !present.value(row) || !within(row).any(|entry| lost.value(entry));
    Ok(BooleanBuffer::collect_bool(live.len(), |row| {
        live.value(row) && is_whole(row)
    }))
}

/// The place of a wrong entry within its collection; the violation becomes one of the collection.
fn place(offsets: &OffsetBuffer<i32>, violation: &mut Violation) -> usize {
    let row = offsets.partition_point(|end| bound(*end) <= violation.entry);
    let row = row.saturating_sub(1);
    let place = violation.entry - bound(offsets[row]);
    violation.entry = row;
    place
}

/// An offset as an index.
fn bound(offset: i32) -> usize {
    usize::try_from(offset).unwrap_or_default()
}

#[cfg(test)]
mod tests;
