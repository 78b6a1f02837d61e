//! Rows of values as bytes and back, and conversions of whole columns.
//!
//! Place in the flow: accumulators encode what they keep and decode what they emit. Invariant: values are equal exactly when their
//! bytes are.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray, MapArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, FieldRef};

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::operator::aggregate::Rows;
use crate::sql::eval::{EvalContext, Evaluator};
use crate::sql::expr::Expr;
use crate::sql::typing::convert;
use crate::state::{EncodedKeys, KeyCodec};
use crate::types::{FlinkType, TypeKind};

/// The encoding of NULL.
pub(super) const NULL: &[u8] = &[0];

impl Rows<'_> {
    /// The argument.
    ///
    /// # Errors
    /// `Internal` when there is none.
    pub(super) fn argument(&self) -> Result<&ArrayRef> {
        self.argument
            .ok_or_else(|| Error::internal("an aggregate without its argument"))
    }

    /// A further argument.
    ///
    /// # Errors
    /// `Internal` when there is none.
    pub(super) fn further(&self, index: usize) -> Result<&ArrayRef> {
        let further = self.further.get(index).copied();
        further.ok_or_else(|| Error::internal("an aggregate without its further argument"))
    }

    /// The encoded argument of each row.
    ///
    /// # Errors
    /// `Internal` when there is none, or it has another type than the codec.
    pub(super) fn encoded(&self, codec: &KeyCodec) -> Result<EncodedKeys> {
        let argument = self.argument()?;
        codec.encode_rows(&[argument], argument.len())
    }
}

/// Decodes a column of values.
///
/// # Errors
/// `Corrupt` for bytes that are not of the codec's only type.
pub(super) fn decode<'a>(
    codec: &KeyCodec,
    values: impl Iterator<Item = &'a [u8]> + Clone,
) -> Result<ArrayRef> {
    let mut columns = codec.decode(values)?;
    columns
        .pop()
        .ok_or_else(|| Error::internal("a codec without a type"))
}

/// How many values each group has, as their places in a column.
///
/// # Errors
/// `Data` past two billion values.
pub(super) fn offsets(counts: impl Iterator<Item = usize>) -> Result<OffsetBuffer<i32>> {
    let mut offsets = vec![0];
    let mut end = 0;
    for count in counts {
        end += count;
        offsets.push(i32::try_from(end).map_err(|_| too_large())?);
    }
    Ok(OffsetBuffer::new(ScalarBuffer::from(offsets)))
}

/// Results that do not fit into a batch.
pub(super) fn too_large() -> Error {
    Error::arithmetic(
        "the results of an aggregate that collects values take more than 2 GiB for the groups of one batch; collect fewer values with FILTER or WHERE",
    )
}

/// A column of arrays.
///
/// # Errors
/// `Internal` when the type is none of an array.
pub(super) fn arrays(
    ty: &DataType,
    offsets: OffsetBuffer<i32>,
    values: ArrayRef,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let DataType::List(element) = ty else {
        return Err(Error::internal("an array of another type"));
    };
    let element: FieldRef = element.clone();
    Ok(Arc::new(ListArray::try_new(
        element, offsets, values, nulls,
    )?))
}

/// A column of multisets.
///
/// # Errors
/// `Internal` when the type is none of a multiset.
pub(super) fn multisets(
    ty: &DataType,
    offsets: OffsetBuffer<i32>,
    (values, counts): (ArrayRef, ArrayRef),
) -> Result<ArrayRef> {
    let DataType::Map(entries, is_sorted) = ty else {
        return Err(Error::internal("a multiset of another type"));
    };
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(Error::internal("a multiset without entries"));
    };
    let entry = StructArray::try_new(fields.clone(), vec![values, counts], None)?;
    Ok(Arc::new(MapArray::try_new(
        entries.clone(),
        offsets,
        entry,
        None,
        *is_sorted,
    )?))
}

/// A conversion of columns from one type to another.
#[derive(Debug)]
pub(super) struct Conversion {
    /// CAST of the only column; absent when there is nothing to do.
    cast: Option<Evaluator>,
}

impl Conversion {
    /// The conversion that CAST does.
    ///
    /// # Errors
    /// `Internal` for types that CAST does not take.
    pub(super) fn new(from: &FlinkType, to: &TypeKind) -> Result<Self> {
        let column = Expr::column(0, from.clone());
        let cast = convert(column.clone(), to);
        let cast = (cast != column).then(|| Evaluator::compile(&cast, "UTC"));
        Ok(Self {
            cast: cast.transpose()?,
        })
    }

    /// The converted column.
    ///
    /// # Errors
    /// `Data` for a value that CAST refuses.
    pub(super) fn apply(&self, column: &ArrayRef) -> Result<ArrayRef> {
        let Some(cast) = &self.cast else {
            return Ok(Arc::clone(column));
        };
        let batch = Batch::inserts(vec![Arc::clone(column)], column.len());
        cast.eval(&batch, &EvalContext::default())
    }
}
