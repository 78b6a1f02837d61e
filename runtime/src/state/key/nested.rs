//! ARRAY, MAP, MULTISET and ROW in the canonical encoding.
//!
//! Place in the flow: [`super::KeyCodec`] calls it for columns of these types. Invariant: the entries of a map in a row keep their
//! order, so that the row decodes to what it was; those of a map in a key stand in the order of their encodings, so that maps with the
//! same entries are the same key.
//!
//! After the byte 1: ARRAY a 4-byte count and its elements; MAP and MULTISET a 4-byte count and their entries, each a key and a
//! value; ROW its fields. Elements, keys, values and fields are encoded as columns are.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, MapArray, NullBufferBuilder, StructArray, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};

use super::{EntryOrder, Nullable, decode_column, present};
use crate::error::{Error, Result};
use crate::state::codec::{Reader, Writer};

/// The encoding of a NULL.
const NULL: &[u8] = &[0];

/// A column of values of other values.
pub(super) enum Nested<'a> {
    /// Arrays, and maps as arrays of entries: the end of each, and one column of elements or two of entries.
    Repeated {
        /// First element of each value, then the end of the last.
        offsets: &'a [i32],
        /// What an element is made of.
        parts: Vec<Nullable<'a>>,
        /// In which order elements are encoded.
        order: EntryOrder,
    },
    /// Rows.
    Row(Vec<Nullable<'a>>),
    /// The type of a bare NULL.
    Null,
}

/// Looks at the values of a column.
pub(super) fn view(column: &ArrayRef, order: EntryOrder) -> Result<Nested<'_>> {
    Ok(match column.data_type() {
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            Nested::Repeated {
                offsets: list.value_offsets(),
                parts: views(&[list.values()], order)?,
                order: EntryOrder::Kept,
            }
        }
        DataType::Map(..) => {
            let map = column.as_map();
            Nested::Repeated {
                offsets: map.value_offsets(),
                parts: views(&[map.keys(), map.values()], order)?,
                order,
            }
        }
        DataType::Struct(_) => {
            let fields: Vec<&ArrayRef> = column.as_struct().columns().iter().collect();
            Nested::Row(views(&fields, order)?)
        }
        DataType::Null => Nested::Null,
        other => return Err(Error::internal(format!("stored column of type {other}"))),
    })
}

/// Looks at several columns.
fn views<'a>(columns: &[&'a ArrayRef], order: EntryOrder) -> Result<Vec<Nullable<'a>>> {
    let columns = columns.iter();
    columns.map(|column| super::view(column, order)).collect()
}

impl Nested<'_> {
    /// Appends the encoding of one value that is not null.
    pub(super) fn append(&self, row: usize, bytes: &mut Vec<u8>) {
        match self {
            Self::Repeated {
                offsets,
                parts,
                order,
            } => {
                let (first, end) = (offsets[row], offsets[row + 1]);
                bytes.put_u32((end - first).unsigned_abs());
                let start = bytes.len();
                let mut ends = Vec::new();
                for element in first.unsigned_abs()..end.unsigned_abs() {
                    for part in parts {
                        part.append(element as usize, bytes);
                    }
                    if *order == EntryOrder::Sorted {
                        ends.push(bytes.len());
                    }
                }
                sort(bytes, start, &ends);
            }
            Self::Row(fields) => fields.iter().for_each(|field| field.append(row, bytes)),
            Self::Null => {}
        }
    }
}

/// Sorts the encodings that begin at `start` and have these ends.
fn sort(bytes: &mut Vec<u8>, start: usize, ends: &[usize]) {
    let starts = [start].into_iter().chain(ends.iter().copied());
    let mut entries: Vec<&[u8]> = starts
        .zip(ends)
        .map(|(start, end)| &bytes[start..*end])
        .collect();
    if !entries.is_sorted() {
        entries.sort_unstable();
        let sorted = entries.concat();
        bytes.truncate(start);
        bytes.extend_from_slice(&sorted);
    }
}

/// Reads one column of all rows.
pub(super) fn decode(ty: &DataType, readers: &mut [Reader<'_>]) -> Result<ArrayRef> {
    match ty {
        DataType::List(element) => decode_list(element, readers),
        DataType::Map(entries, is_sorted) => decode_map(entries, *is_sorted, readers),
        DataType::Struct(fields) => decode_row(fields, readers),
        _ => {
            for reader in &mut *readers {
                present(reader)?;
            }
            Ok(new_null_array(ty, readers.len()))
        }
    }
}

/// Reads a column of rows.
fn decode_row(fields: &Fields, readers: &mut [Reader<'_>]) -> Result<ArrayRef> {
    let mut nulls = NullBufferBuilder::new(readers.len());
    let mut inner = Vec::with_capacity(readers.len());
    for reader in &mut *readers {
        let is_present = present(reader)?;
        nulls.append(is_present);
        inner.push(if is_present {
            reader.clone()
        } else {
            // One NULL per field is read from it, each from a fresh copy below.
            Reader::new(NULL)
        });
    }
    let nulls = nulls.finish();
    let mut columns = Vec::with_capacity(fields.len());
    for field in fields {
        if let Some(nulls) = &nulls {
            let missing = inner.iter_mut().enumerate();
            missing
                .filter(|(row, _)| nulls.is_null(*row))
                .for_each(|(_, reader)| *reader = Reader::new(NULL));
        }
        columns.push(decode_column(field.data_type(), &mut inner)?);
    }
    for (row, (reader, inner)) in readers.iter_mut().zip(inner).enumerate() {
        if is_valid(nulls.as_ref(), row) {
            *reader = inner;
        }
    }
    if columns.is_empty() {
        return Ok(Arc::new(StructArray::new_empty_fields(
            readers.len(),
            nulls,
        )));
    }
    Ok(Arc::new(StructArray::try_new(
        fields.clone(),
        columns,
        nulls,
    )?))
}

/// Whether a row is there.
fn is_valid(nulls: Option<&NullBuffer>, row: usize) -> bool {
    nulls.is_none_or(|nulls| nulls.is_valid(row))
}

/// Reads a column of arrays.
fn decode_list(element: &FieldRef, readers: &mut [Reader<'_>]) -> Result<ArrayRef> {
    let mut repeated = Repeated::read(&[element], readers)?;
    let values = repeated.column(0, element)?;
    let (offsets, nulls) = repeated.finish();
    Ok(Arc::new(ListArray::try_new(
        element.clone(),
        offsets,
        values,
        nulls,
    )?))
}

/// Reads a column of maps.
fn decode_map(entries: &FieldRef, is_sorted: bool, readers: &mut [Reader<'_>]) -> Result<ArrayRef> {
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(Error::internal("a map without entries"));
    };
    let parts: Vec<&FieldRef> = fields.iter().collect();
    let mut repeated = Repeated::read(&parts, readers)?;
    let columns = parts
        .iter()
        .enumerate()
        .map(|(part, field)| repeated.column(part, field))
        .collect::<Result<_>>()?;
    let (offsets, nulls) = repeated.finish();
    let entry = StructArray::try_new(fields.clone(), columns, None)?;
    Ok(Arc::new(MapArray::try_new(
        entries.clone(),
        offsets,
        entry,
        nulls,
        is_sorted,
    )?))
}

/// The elements of a column of arrays or maps.
struct Repeated<'a> {
    /// First element of each value, then the end of the last.
    offsets: Vec<i32>,
    /// Which values are there.
    nulls: NullBufferBuilder,
    /// Where each part of each element stands: all of the first part, then all of the second.
    parts: Vec<Vec<Reader<'a>>>,
}

impl<'a> Repeated<'a> {
    /// Finds the elements and moves the readers behind them.
    fn read(fields: &[&FieldRef], readers: &mut [Reader<'a>]) -> Result<Self> {
        let mut repeated = Self {
            offsets: Vec::with_capacity(readers.len() + 1),
            nulls: NullBufferBuilder::new(readers.len()),
            parts: fields.iter().map(|_| Vec::new()).collect(),
        };
        repeated.offsets.push(0);
        for reader in readers {
            let is_present = present(reader)?;
            repeated.nulls.append(is_present);
            let count = if is_present { reader.u32()? } else { 0 };
            for _ in 0..count {
                for (part, field) in repeated.parts.iter_mut().zip(fields) {
                    part.push(reader.clone());
                    skip(field.data_type(), reader)?;
                }
            }
            let end = repeated.parts.first().map_or(0, Vec::len);
            let end = i32::try_from(end)
                .map_err(|_| Error::internal("more than two billion elements in a batch"))?;
            repeated.offsets.push(end);
        }
        Ok(repeated)
    }

    /// The column of one part.
    fn column(&mut self, part: usize, field: &Field) -> Result<ArrayRef> {
        decode_column(field.data_type(), &mut self.parts[part])
    }

    /// Where values begin, and which are there.
    fn finish(mut self) -> (OffsetBuffer<i32>, Option<NullBuffer>) {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        (offsets, self.nulls.finish())
    }
}

/// Moves a reader behind a value.
fn skip(ty: &DataType, reader: &mut Reader<'_>) -> Result<()> {
    if !present(reader)? {
        return Ok(());
    }
    match ty {
        DataType::List(element) => {
            for _ in 0..reader.u32()? {
                skip(element.data_type(), reader)?;
            }
        }
        DataType::Map(entries, _) => {
            for _ in 0..reader.u32()? {
                if let DataType::Struct(fields) = entries.data_type() {
                    skip_all(fields, reader)?;
                }
            }
        }
        DataType::Struct(fields) => skip_all(fields, reader)?,
        DataType::Utf8 | DataType::Binary => {
            reader.bytes()?;
        }
        fixed => {
            reader.take(fixed.primitive_width().unwrap_or(1))?;
        }
    }
    Ok(())
}

/// Moves a reader behind the values of several fields.
fn skip_all(fields: &Fields, reader: &mut Reader<'_>) -> Result<()> {
    fields
        .iter()
        .try_for_each(|field| skip(field.data_type(), reader))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, StringArray, UInt32Array};
    use arrow::compute::take;

    use crate::state::KeyCodec;
    use crate::types::{FlinkType, RowField, TypeKind};

    use super::*;

    /// `ROW<a INT, b STRING>`.
    fn row_type() -> FlinkType {
        let field = |name: &str, kind: TypeKind| RowField {
            name: name.into(),
            ty: kind.nullable(),
        };
        TypeKind::Row(vec![
            field("a", TypeKind::Int),
            field("b", TypeKind::string()),
        ])
        .nullable()
    }

    /// Rows `(1, 'x')`, NULL, `(NULL, 'yz')`.
    fn rows() -> ArrayRef {
        let DataType::Struct(fields) = row_type().to_arrow().unwrap() else {
            panic!("a row is a struct");
        };
        let a = Arc::new(Int32Array::from(vec![Some(1), None, None]));
        let b = Arc::new(StringArray::from(vec![Some("x"), None, Some("yz")]));
        let nulls = NullBuffer::from(vec![true, false, true]);
        Arc::new(StructArray::try_new(fields, vec![a, b], Some(nulls)).unwrap())
    }

    /// A column of arrays of three elements.
    fn list(ty: &FlinkType, elements: ArrayRef) -> ArrayRef {
        let DataType::List(field) = ty.to_arrow().unwrap() else {
            panic!("an array is a list");
        };
        let offsets = OffsetBuffer::new(ScalarBuffer::from(vec![0, 2, 2, 3]));
        let nulls = NullBuffer::from(vec![true, false, true]);
        Arc::new(ListArray::try_new(field, offsets, elements, Some(nulls)).unwrap())
    }

    /// Maps `{'x': row 0, 'y': row 1}`, `{}`, `{'z': row 2}`.
    fn map(ty: &FlinkType) -> ArrayRef {
        let DataType::Map(entries, is_sorted) = ty.to_arrow().unwrap() else {
            panic!("a map is a map");
        };
        let DataType::Struct(fields) = entries.data_type().clone() else {
            panic!("entries are rows");
        };
        let keys = Arc::new(StringArray::from(vec!["x", "y", "z"]));
        let entry = StructArray::try_new(fields, vec![keys, rows()], None).unwrap();
        let offsets = OffsetBuffer::new(ScalarBuffer::from(vec![0, 2, 2, 3]));
        Arc::new(MapArray::try_new(entries, offsets, entry, None, is_sorted).unwrap())
    }

    #[test]
    fn golden_vectors() {
        let ints = TypeKind::Array(Box::new(TypeKind::Int.nullable())).nullable();
        let arrays = list(
            &ints,
            Arc::new(Int32Array::from(vec![Some(7), None, Some(8)])),
        );
        let codec = KeyCodec::for_rows([&ints, &row_type()]).unwrap();
        let encoded = codec.encode_rows(&[&arrays, &rows()], 3).unwrap();
        let first = [
            1, 2, 0, 0, 0, 1, 7, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, b'x',
        ];
        assert_eq!(encoded.key(0), first);
        assert_eq!(encoded.key(1), [0, 0]);
        let multiset = TypeKind::Multiset(Box::new(TypeKind::string().nullable())).nullable();
        let DataType::Map(entries, _) = multiset.to_arrow().unwrap() else {
            panic!("a multiset is a map");
        };
        let DataType::Struct(fields) = entries.data_type().clone() else {
            panic!("entries are rows");
        };
        let keys = Arc::new(StringArray::from(vec!["b", "a"]));
        let counts = Arc::new(Int32Array::from(vec![2, 1]));
        let entry = StructArray::try_new(fields, vec![keys, counts], None).unwrap();
        let offsets = OffsetBuffer::new(ScalarBuffer::from(vec![0, 2]));
        let sets: ArrayRef =
            Arc::new(MapArray::try_new(entries, offsets, entry, None, false).unwrap());
        let codec = KeyCodec::for_rows([&multiset]).unwrap();
        let encoded = codec.encode_rows(&[&sets], 1).unwrap();
        let expected = [
            1, 2, 0, 0, 0, 1, 1, 0, 0, 0, b'b', 1, 2, 0, 0, 0, 1, 1, 0, 0, 0, b'a', 1, 1, 0, 0, 0,
        ];
        assert_eq!(encoded.key(0), expected);
        let codec = KeyCodec::new([&multiset]).unwrap();
        let encoded = codec.encode(&[&sets], 1).unwrap();
        let expected = [
            1, 2, 0, 0, 0, 1, 1, 0, 0, 0, b'a', 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, b'b', 1, 2, 0, 0, 0,
        ];
        assert_eq!(encoded.key(0), expected);
    }

    #[test]
    fn decoding_gives_back_nested_values() {
        let of_rows = TypeKind::Array(Box::new(row_type())).nullable();
        let of_maps = TypeKind::Map(
            Box::new(TypeKind::string().not_null()),
            Box::new(row_type()),
        )
        .nullable();
        let of_lists = TypeKind::Array(Box::new(of_rows.clone())).nullable();
        let lists = list(&of_rows, rows());
        let types = [
            row_type(),
            of_rows,
            of_maps.clone(),
            of_lists.clone(),
            TypeKind::Null.nullable(),
            TypeKind::BigInt.nullable(),
        ];
        let columns: Vec<ArrayRef> = vec![
            rows(),
            lists.clone(),
            map(&of_maps),
            list(&of_lists, lists),
            new_null_array(&DataType::Null, 3),
            Arc::new(arrow::array::Int64Array::from(vec![1, 2, 3])),
        ];
        let codec = KeyCodec::for_rows(&types).unwrap();
        let order = UInt32Array::from(vec![2, 0, 1, 0]);
        for rows in [UInt32Array::from(vec![0, 1, 2]), order] {
            let columns: Vec<ArrayRef> = columns
                .iter()
                .map(|column| take(column, &rows, None).unwrap())
                .collect();
            let views: Vec<&ArrayRef> = columns.iter().collect();
            let encoded = codec.encode_rows(&views, rows.len()).unwrap();
            let decoded = codec
                .decode((0..rows.len()).map(|row| encoded.key(row)))
                .unwrap();
            for (before, after) in columns.iter().zip(&decoded) {
                assert_eq!(before, after);
            }
        }
    }

    #[test]
    fn damaged_bytes_are_an_error() {
        let ty = TypeKind::Array(Box::new(row_type())).nullable();
        let codec = KeyCodec::for_rows([&ty]).unwrap();
        for damaged in [&[1u8, 9, 0, 0, 0, 1][..], &[1, 1, 0], &[]] {
            assert!(codec.decode(std::iter::once(damaged)).is_err());
        }
    }

    #[test]
    fn maps_with_the_same_entries_are_one_key() {
        let of_maps = TypeKind::Map(
            Box::new(TypeKind::string().not_null()),
            Box::new(row_type()),
        );
        let ty = TypeKind::Array(Box::new(of_maps.nullable())).nullable();
        let DataType::List(element) = ty.to_arrow().unwrap() else {
            panic!("an array is a list");
        };
        // The entries of the second map are those of the first, the other way round.
        let DataType::Map(entries, is_sorted) = element.data_type().clone() else {
            panic!("a map is a map");
        };
        let DataType::Struct(fields) = entries.data_type().clone() else {
            panic!("entries are rows");
        };
        let keys = Arc::new(StringArray::from(vec!["x", "y", "y", "x", "x"]));
        let order = UInt32Array::from(vec![0, 1, 1, 0, 2]);
        let values = take(&rows(), &order, None).unwrap();
        let entry = StructArray::try_new(fields, vec![keys, values], None).unwrap();
        let offsets = OffsetBuffer::new(ScalarBuffer::from(vec![0, 2, 4, 5]));
        let maps = MapArray::try_new(entries, offsets, entry, None, is_sorted).unwrap();
        let offsets = OffsetBuffer::new(ScalarBuffer::from(vec![0, 1, 2, 3]));
        let lists: ArrayRef =
            Arc::new(ListArray::try_new(element, offsets, Arc::new(maps), None).unwrap());
        let keys = KeyCodec::new([&ty]).unwrap();
        let encoded = keys.encode(&[&lists], 3).unwrap();
        assert_eq!(encoded.key(0), encoded.key(1));
        assert_eq!(encoded.hashes[0], encoded.hashes[1]);
        assert_ne!(encoded.key(0), encoded.key(2));
        let decoded = keys.decode([encoded.key(1)].into_iter()).unwrap();
        let again = keys.encode(&[&decoded[0]], 1).unwrap();
        assert_eq!(again.key(0), encoded.key(0));
        let rows = KeyCodec::for_rows([&ty]).unwrap();
        let encoded = rows.encode_rows(&[&lists], 3).unwrap();
        assert_ne!(encoded.key(0), encoded.key(1));
    }
}
