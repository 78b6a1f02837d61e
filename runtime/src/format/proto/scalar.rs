//! Numbers, strings and symbols.
//!
//! Place in the flow: `plan` asks which columns take them, `read` appends them. Invariant: a value that a column does not hold is a fault.
//!
//! # Source
//! Protocol Buffers, "Encoding" and "Language Guide"; Confluent Cloud for Apache Flink, "Data type mappings": Protobuf.

use std::collections::BTreeMap;

use prost_reflect::Kind;

use crate::format::column::{Data, Fault};
use crate::format::proto::wire::{Input, Raw, malformed, unfold};
use crate::format::rows;
use crate::types::TypeKind;

/// A type without fields.
#[derive(Debug)]
pub(super) enum Scalar {
    /// `bool`.
    Bool,
    /// `int32`.
    Int32,
    /// `sint32`.
    Sint32,
    /// `uint32`.
    Uint32,
    /// `int64`, and `uint64` as the number of the same bits.
    Int64,
    /// `sint64`.
    Sint64,
    /// `fixed32`.
    Fixed32,
    /// `sfixed32`.
    Sfixed32,
    /// `sfixed64`, and `fixed64` as the number of the same bits.
    Fixed64,
    /// `float`.
    Float,
    /// `double`.
    Double,
    /// `string`.
    String,
    /// `bytes`.
    Bytes,
    /// `enum`.
    Enum(Symbols),
}

/// The symbols of an enum.
#[derive(Debug)]
pub(super) struct Symbols {
    /// Names by number.
    pub(super) names: BTreeMap<i32, Box<str>>,
    /// The name of the enum.
    pub(super) name: Box<str>,
    /// The number that stands where there is none.
    pub(super) first: i32,
    /// Whether other numbers are as if they were not there.
    pub(super) is_closed: bool,
}

/// A value without fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Cell<'a> {
    /// A number's bits.
    Bits(u64),
    /// A string or message.
    Bytes(&'a [u8]),
}

/// The type of a kind; none for messages.
pub(super) fn scalar_of(kind: &Kind) -> Option<Scalar> {
    Some(match kind {
        Kind::Bool => Scalar::Bool,
        Kind::Int32 => Scalar::Int32,
        Kind::Sint32 => Scalar::Sint32,
        Kind::Uint32 => Scalar::Uint32,
        Kind::Int64 | Kind::Uint64 => Scalar::Int64,
        Kind::Sint64 => Scalar::Sint64,
        Kind::Fixed32 => Scalar::Fixed32,
        Kind::Sfixed32 => Scalar::Sfixed32,
        Kind::Fixed64 | Kind::Sfixed64 => Scalar::Fixed64,
        Kind::Float => Scalar::Float,
        Kind::Double => Scalar::Double,
        Kind::String => Scalar::String,
        Kind::Bytes => Scalar::Bytes,
        Kind::Enum(symbols) => Scalar::Enum(Symbols::new(symbols)),
        Kind::Message(_) => return None,
    })
}

impl Scalar {
    /// Whether columns of a type take it.
    pub(super) fn fits(&self, kind: &TypeKind) -> bool {
        match self {
            Self::Bool => matches!(kind, TypeKind::Boolean),
            Self::Int32 | Self::Sint32 | Self::Sfixed32 => kind.is_integer(),
            Self::Uint32 | Self::Int64 | Self::Sint64 | Self::Fixed32 | Self::Fixed64 => {
                matches!(kind, TypeKind::BigInt)
            }
            Self::Float => matches!(kind, TypeKind::Float | TypeKind::Double),
            Self::Double => matches!(kind, TypeKind::Double),
            Self::String | Self::Enum(_) => kind.is_character(),
            Self::Bytes => kind.is_binary(),
        }
    }

    /// The value where there is none.
    pub(super) fn zero(&self) -> Cell<'static> {
        match self {
            Self::String | Self::Bytes => Cell::Bytes(&[]),
            Self::Enum(symbols) => Cell::Bits(i64::from(symbols.first).cast_unsigned()),
            _ => Cell::Bits(0),
        }
    }

    /// A value on the wire, in one form for equal ones; none for what another type wrote and for unknown symbols.
    pub(super) fn cell<'a>(&self, raw: Raw<'a>) -> Option<Cell<'a>> {
        /// The lower half.
        fn low(bits: u64) -> u32 {
            let [a, b, c, d, ..] = bits.to_le_bytes();
            u32::from_le_bytes([a, b, c, d])
        }
        let signed = |value: i32| Cell::Bits(i64::from(value).cast_unsigned());
        Some(match (self, raw) {
            (Self::Bool, Raw::Varint(bits)) => Cell::Bits((bits != 0).into()),
            (Self::Int32, Raw::Varint(bits)) => signed(low(bits).cast_signed()),
            (Self::Sint32, Raw::Varint(bits)) => {
                Cell::Bits(unfold(low(bits).into()).cast_unsigned())
            }
            (Self::Uint32, Raw::Varint(bits)) => Cell::Bits(low(bits).into()),
            (Self::Sint64, Raw::Varint(bits)) => Cell::Bits(unfold(bits).cast_unsigned()),
            (Self::Sfixed32, Raw::Fixed32(bits)) => signed(bits.cast_signed()),
            (Self::Fixed32 | Self::Float, Raw::Fixed32(bits)) => Cell::Bits(bits.into()),
            (Self::Int64, Raw::Varint(bits))
            | (Self::Fixed64 | Self::Double, Raw::Fixed64(bits)) => Cell::Bits(bits),
            (Self::String | Self::Bytes, Raw::Bytes(bytes)) => Cell::Bytes(bytes),
            (Self::Enum(symbols), Raw::Varint(bits)) => {
                let number = low(bits).cast_signed();
                if symbols.is_closed && !symbols.names.contains_key(&number) {
                    return None;
                }
                signed(number)
            }
            _ => return None,
        })
    }

    /// The next of packed values; none for types that are not packed.
    pub(super) fn unpack(&self, input: &mut Input<'_>) -> Result<Option<Raw<'static>>, Fault> {
        Ok(match self {
            Self::Bool
            | Self::Int32
            | Self::Sint32
            | Self::Uint32
            | Self::Int64
            | Self::Sint64
            | Self::Enum(_) => Some(Raw::Varint(input.varint()?)),
            Self::Fixed32 | Self::Sfixed32 | Self::Float => Some(Raw::Fixed32(input.fixed32()?)),
            Self::Fixed64 | Self::Double => Some(Raw::Fixed64(input.fixed64()?)),
            Self::String | Self::Bytes => None,
        })
    }

    /// Appends a value to a column, without the note that it is there.
    pub(super) fn append(&self, cell: Cell<'_>, data: &mut Data) -> Result<(), Fault> {
        match cell {
            Cell::Bytes(bytes) => append_string(self, bytes, data),
            Cell::Bits(bits) => self.append_number(bits, data),
        }
    }

    /// Appends a number or symbol.
    fn append_number(&self, bits: u64, data: &mut Data) -> Result<(), Fault> {
        let float = || {
            let [a, b, c, d, ..] = bits.to_le_bytes();
            f32::from_le_bytes([a, b, c, d])
        };
        match (self, data) {
            (Self::Bool, Data::Boolean(values)) => values.append(bits != 0),
            (Self::Float, Data::Float32(values)) => values.push(float()),
            (Self::Float, Data::Float64(values)) => values.push(float().into()),
            (Self::Double, Data::Float64(values)) => values.push(f64::from_bits(bits)),
            (Self::Enum(symbols), Data::Utf8(values)) => {
                let number = i32::try_from(bits.cast_signed()).unwrap_or_default();
                match symbols.names.get(&number) {
                    Some(name) => return rows::push(values, name.as_bytes()),
                    None => return rows::push(values, symbols.unknown(number).as_bytes()),
                }
            }
            (_, Data::Int64(values)) => values.push(bits.cast_signed()),
            (_, Data::Int32(values)) => values.push(integer(bits, "an INT")?),
            (_, Data::Int16(values)) => values.push(integer(bits, "a SMALLINT")?),
            (_, Data::Int8(values)) => values.push(integer(bits, "a TINYINT")?),
            _ => return Err(misplaced()),
        }
        Ok(())
    }
}

impl Symbols {
    /// What stands for a number without a symbol.
    ///
    /// # Source
    /// The name that Protobuf's Java library gives it.
    fn unknown(&self, number: i32) -> String {
        format!("UNKNOWN_ENUM_VALUE_{}_{number}", self.name)
    }
}

/// A plan that does not fit its column: a bug, reported as a damaged record rather than a panic.
pub(super) fn misplaced() -> Fault {
    Fault::mismatch("a value that the column does not take")
}

/// An integer of the width of its column.
fn integer<T: TryFrom<i64>>(bits: u64, what: &str) -> Result<T, Fault> {
    let value = bits.cast_signed();
    T::try_from(value).map_err(|_| rows::out_of_range(value, what))
}

/// Appends a string.
fn append_string(scalar: &Scalar, bytes: &[u8], data: &mut Data) -> Result<(), Fault> {
    match (scalar, data) {
        (Scalar::String, Data::Utf8(values)) => {
            if simdutf8::basic::from_utf8(bytes).is_err() {
                return Err(malformed("a string that is not UTF-8"));
            }
            rows::push(values, bytes)
        }
        (Scalar::Bytes, Data::Binary(values)) => rows::push(values, bytes),
        _ => Err(misplaced()),
    }
}
