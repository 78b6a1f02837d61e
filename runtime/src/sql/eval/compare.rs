//! Equality and order of values of any type, the way Flink's `=` and `<` see them.
//!
//! Place in the flow: kernels that compare nested values or look for elements among others. Invariant: NULLs inside a value
//! equal each other, -0.0 equals 0.0, NaN equals nothing, and the order of a map's entries does not count.

use std::cmp::Ordering;
use std::ops::Range;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, downcast_primitive_array, make_comparator,
};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Float32Type, Float64Type};

use crate::error::{Error, Result};

/// Writes values as bytes that are the same exactly when the values are equal.
#[derive(Debug)]
pub(crate) struct Identity<'a> {
    /// The values, for their NULLs.
    array: &'a dyn Array,
    /// What they consist of.
    parts: Parts<'a>,
}

/// What the values of an array consist of.
#[derive(Debug)]
enum Parts<'a> {
    /// Nothing but NULL.
    Null,
    /// BOOLEAN.
    Boolean(&'a BooleanArray),
    /// Values of one width whose bytes identify them.
    Fixed(&'a [u8], usize),
    /// FLOAT.
    Single(&'a [f32]),
    /// DOUBLE.
    Double(&'a [f64]),
    /// Text and bytes: where each begins, and the bytes.
    Bytes(&'a [i32], &'a [u8]),
    /// Arrays: where each begins, and the elements.
    List(&'a [i32], Box<Identity<'a>>),
    /// Maps: where each begins, keys and values.
    Map(&'a [i32], Box<[Identity<'a>; 2]>),
    /// Rows.
    Row(Vec<Identity<'a>>),
}

/// Marks a NULL.
const NULL: u8 = 0;

/// Marks any other value.
const PRESENT: u8 = 1;

impl<'a> Identity<'a> {
    /// Looks at the values of an array.
    ///
    /// # Errors
    /// `Internal` for an Arrow type that no logical type maps to.
    pub(crate) fn new(array: &'a dyn Array) -> Result<Self> {
        let parts = match array.data_type() {
            DataType::Null => Parts::Null,
            DataType::Boolean => Parts::Boolean(array.as_boolean()),
            DataType::Float32 => Parts::Single(array.as_primitive::<Float32Type>().values()),
            DataType::Float64 => Parts::Double(array.as_primitive::<Float64Type>().values()),
            DataType::Utf8 => {
                let texts = array.as_string::<i32>();
                Parts::Bytes(texts.value_offsets(), texts.value_data())
            }
            DataType::Binary => {
                let bytes = array.as_binary::<i32>();
                Parts::Bytes(bytes.value_offsets(), bytes.value_data())
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Parts::List(list.value_offsets(), Box::new(Self::new(list.values())?))
            }
            DataType::Map(..) => {
                let map = array.as_map();
                let entries = [Self::new(map.keys())?, Self::new(map.values())?];
                Parts::Map(map.value_offsets(), Box::new(entries))
            }
            DataType::Struct(_) => {
                let fields = array.as_struct().columns().iter();
                Parts::Row(
                    fields
                        .map(|field| Self::new(field))
                        .collect::<Result<_>>()?,
                )
            }
            _ => downcast_primitive_array!(
                array => {
                    let values = array.values();
                    Parts::Fixed(values.inner().as_slice(), size_of_val(&**values) / values.len().max(1))
                }
                other => return Err(Error::internal(format!("values of type {other} have no equality")))
            ),
        };
        Ok(Self { array, parts })
    }

    /// Appends the bytes of a value. FALSE, with some of them, when it equals nothing because it is or holds NaN.
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) -> bool {
        if matches!(self.parts, Parts::Null) || self.array.is_null(row) {
            out.push(NULL);
            return true;
        }
        out.push(PRESENT);
        match &self.parts {
            Parts::Null => true,
            Parts::Boolean(values) => {
                out.push(u8::from(values.value(row)));
                true
            }
            Parts::Fixed(bytes, width) => {
                out.extend_from_slice(&bytes[row * width..(row + 1) * width]);
                true
            }
            Parts::Single(values) => {
                // Adding zero makes -0.0 the zero it equals.
                out.extend_from_slice(&(values[row] + 0.0).to_le_bytes());
                !values[row].is_nan()
            }
            Parts::Double(values) => {
                out.extend_from_slice(&(values[row] + 0.0).to_le_bytes());
                !values[row].is_nan()
            }
            Parts::Bytes(offsets, bytes) => {
                let bytes = &bytes[range(offsets, row)];
                write_count(bytes.len(), out);
                out.extend_from_slice(bytes);
                true
            }
            Parts::List(offsets, element) => {
                let mut elements = range(offsets, row);
                write_count(elements.len(), out);
                elements.all(|at| element.write(at, out))
            }
            Parts::Map(offsets, entries) => write_map(entries, range(offsets, row), out),
            Parts::Row(fields) => fields.iter().all(|field| field.write(row, out)),
        }
    }
}

/// The entries of a map in the order of their bytes, so that it does not count how the map has them.
fn write_map(entries: &[Identity<'_>; 2], rows: Range<usize>, out: &mut Vec<u8>) -> bool {
    write_count(rows.len(), out);
    let mut sound = true;
    let mut written: Vec<Vec<u8>> = rows
        .map(|at| {
            let mut entry = Vec::new();
            for part in entries {
                sound &= part.write(at, &mut entry);
            }
            entry
        })
        .collect();
    written.sort_unstable();
    out.extend(written.into_iter().flatten());
    sound
}

/// A count, so that the end of a value is known.
fn write_count(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&count.to_le_bytes());
}

/// The elements of a row.
fn range(offsets: &[i32], row: usize) -> Range<usize> {
    offsets[row].unsigned_abs() as usize..offsets[row + 1].unsigned_abs() as usize
}

/// The bytes of several values.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    /// All bytes.
    bytes: Vec<u8>,
    /// Where the bytes of each value end, and whether it equals itself.
    ends: Vec<(usize, bool)>,
}

impl Identities {
    /// Forgets all values.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Adds a value.
    pub(crate) fn push(&mut self, identity: &Identity<'_>, row: usize) {
        let sound = identity.write(row, &mut self.bytes);
        self.ends.push((self.bytes.len(), sound));
    }

    /// The bytes of a value in the order they were added; `None` when it equals nothing, not even itself.
    pub(crate) fn get(&self, index: usize) -> Option<&[u8]> {
        let (end, sound) = *self.ends.get(index)?;
        let start = index
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .map_or(0, |(end, _)| *end);
        sound.then(|| &self.bytes[start..end])
    }

    /// The bytes of each value.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Option<&[u8]>> {
        (0..self.ends.len()).map(|index| self.get(index))
    }
}

/// Whether the first of two values is above the second or below; `None` when one of them is NaN.
pub(crate) type Comparator = Box<dyn Fn(usize, usize) -> Option<Ordering> + Send + Sync>;

/// Compares the values of two arrays, none of them NULL.
///
/// # Errors
/// `Internal` for a type without order.
pub(crate) fn comparator(left: &ArrayRef, right: &ArrayRef) -> Result<Comparator> {
    /// Compares floating-point numbers with Java's operators.
    macro_rules! floats {
        ($ty:ty) => {{
            let left = left.as_primitive_opt::<$ty>().map(|a| a.values().clone());
            let right = right.as_primitive_opt::<$ty>().map(|a| a.values().clone());
            let (Some(left), Some(right)) = (left, right) else {
                return Err(Error::internal("values of two types are compared"));
            };
            Ok(Box::new(move |i, j| left[i].partial_cmp(&right[j])))
        }};
    }
    match left.data_type() {
        DataType::Float32 => floats!(Float32Type),
        DataType::Float64 => floats!(Float64Type),
        _ => {
            let compare = make_comparator(left, right, SortOptions::default())?;
            Ok(Box::new(move |i, j| Some(compare(i, j))))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int32Array, ListArray, MapArray, StringArray, StructArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::Int32Type;

    use super::*;
    use crate::types::TypeKind;

    /// Whether two values of an array are equal.
    fn equal(array: &dyn Array, i: usize, j: usize) -> bool {
        let identity = Identity::new(array).unwrap();
        let mut both = Identities::default();
        both.push(&identity, i);
        both.push(&identity, j);
        both.get(0).is_some() && both.get(0) == both.get(1)
    }

    #[test]
    fn floating_point_is_javas() {
        let values = Float64Array::from(vec![0.0, -0.0, f64::NAN, 1.0]);
        assert!(equal(&values, 0, 1));
        assert!(!equal(&values, 2, 2));
        assert!(!equal(&values, 0, 3));
        let values: ArrayRef = Arc::new(values);
        let compare = comparator(&values, &values).unwrap();
        assert_eq!(compare(0, 1), Some(Ordering::Equal));
        assert_eq!(compare(2, 2), None);
    }

    #[test]
    fn slices_are_compared_where_they_begin() {
        let numbers = Int32Array::from(vec![7, 8, 7, 9]);
        let slice = numbers.slice(1, 3);
        assert!(!equal(&slice, 0, 1));
        assert!(equal(&numbers, 0, 2));
        let texts = StringArray::from(vec!["ab", "c", "a", "bc", "c"]).slice(1, 4);
        assert!(equal(&texts, 0, 3));
        assert!(!equal(&texts, 1, 2));
    }

    #[test]
    fn nulls_inside_are_equal_and_lengths_count() {
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
            Some(vec![Some(1), None]),
            Some(vec![Some(1), None]),
            Some(vec![Some(1)]),
            None,
        ]);
        assert!(equal(&lists, 0, 1));
        assert!(!equal(&lists, 0, 2));
        assert!(equal(&lists, 3, 3));
        assert!(!equal(&lists, 2, 3));
    }

    #[test]
    fn order_of_map_entries_does_not_count() {
        let ty = TypeKind::Map(
            Box::new(TypeKind::string().not_null()),
            Box::new(TypeKind::Int.nullable()),
        );
        let DataType::Map(field, sorted) = ty.nullable().to_arrow().unwrap() else {
            panic!("a map is a map");
        };
        let DataType::Struct(fields) = field.data_type().clone() else {
            panic!("entries are rows");
        };
        let keys = StringArray::from(vec!["a", "b", "b", "a", "a", "b"]);
        let values = Int32Array::from(vec![1, 2, 2, 1, 2, 1]);
        let entries = StructArray::new(fields, vec![Arc::new(keys), Arc::new(values)], None);
        let offsets = OffsetBuffer::from_lengths([2, 2, 2]);
        let maps = MapArray::new(field, offsets, entries, None, sorted);
        assert!(equal(&maps, 0, 1));
        assert!(!equal(&maps, 0, 2));
    }
}
