//! The wire format: tags, varints and lengths, read and written.
//!
//! Place in the flow: `read` walks messages with it, the encoder writes with it. Invariant: reading never goes behind the bytes it was
//! given, and what no writer writes is an error and not a guess.
//!
//! # Source
//! Protocol Buffers, "Encoding".

use crate::format::FailureCode;
use crate::format::column::Fault;
use crate::format::rows::varint;

/// How deep groups are passed over.
///
/// # Source
/// Protocol Buffers' default limit of recursion.
const GROUPS_MAX: usize = 100;

/// A value on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Raw<'a> {
    /// A varint.
    Varint(u64),
    /// Four bytes, little-endian.
    Fixed32(u32),
    /// Eight bytes, little-endian.
    Fixed64(u64),
    /// Bytes behind their length.
    Bytes(&'a [u8]),
    /// A group, passed over.
    Group,
}

/// A damaged record.
pub(super) fn malformed(what: &str) -> Fault {
    Fault::new(FailureCode::Malformed, format!("not Protobuf: {what}"))
}

/// Bytes that are read from the front.
#[derive(Debug)]
pub(super) struct Input<'a> {
    /// What is left.
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    /// All of the bytes.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether all was read.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What was not read.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next bytes.
    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(malformed(&format!(
                "{count} bytes are to follow, there are {}",
                self.rest.len()
            )));
        };
        self.rest = rest;
        Ok(taken)
    }

    /// So many bytes as an array.
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let Some((array, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(malformed(&format!(
                "{N} bytes are to follow, there are {}",
                self.rest.len()
            )));
        };
        self.rest = rest;
        Ok(*array)
    }

    /// A varint: seven bits a byte, the lowest first.
    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, Fault> {
        if let Some((byte, rest)) = self.rest.split_first()
            && *byte < 0x80
        {
            self.rest = rest;
            return Ok((*byte).into());
        }
        self.varint_of_many()
    }

    /// As [`Self::varint`], of more than one byte.
    fn varint_of_many(&mut self) -> Result<u64, Fault> {
        let value = varint(|| self.array().map(|[byte]| byte))?;
        value.ok_or_else(|| malformed("a number of more than 64 bits"))
    }

    /// Four bytes.
    pub(super) fn fixed32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes.
    pub(super) fn fixed64(&mut self) -> Result<u64, Fault> {
        self.array().map(u64::from_le_bytes)
    }

    /// Bytes behind their length.
    fn counted(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.varint()?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// A field's number and value.
    #[inline]
    pub(super) fn field(&mut self) -> Result<(u32, Raw<'a>), Fault> {
        let (number, wire) = self.tag()?;
        Ok((number, self.value(number, wire)?))
    }

    /// A field's number and wire type.
    fn tag(&mut self) -> Result<(u32, u8), Fault> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3)
            .ok()
            .filter(|number| (1..=NUMBER_MAX).contains(number));
        let number =
            number.ok_or_else(|| malformed(&format!("there is no field number {}", tag >> 3)))?;
        let [low, ..] = tag.to_le_bytes();
        Ok((number, low & 7))
    }

    /// A value of a wire type.
    fn value(&mut self, number: u32, wire: u8) -> Result<Raw<'a>, Fault> {
        Ok(match wire {
            VARINT => Raw::Varint(self.varint()?),
            FIXED64 => Raw::Fixed64(self.fixed64()?),
            BYTES => Raw::Bytes(self.counted()?),
            GROUP => {
                self.skip_group(number)?;
                Raw::Group
            }
            FIXED32 => Raw::Fixed32(self.fixed32()?),
            GROUP_END => {
                return Err(malformed(&format!(
                    "group {number} ends, but did not begin"
                )));
            }
            other => return Err(malformed(&format!("there is no wire type {other}"))),
        })
    }

    /// Passes a group over whose begin was read.
    fn skip_group(&mut self, number: u32) -> Result<(), Fault> {
        let mut open = vec![number];
        while let Some(inner) = open.last().copied() {
            let (number, wire) = self.tag()?;
            match wire {
                GROUP if open.len() >= GROUPS_MAX => {
                    return Err(malformed(&format!(
                        "groups of more than {GROUPS_MAX} levels"
                    )));
                }
                GROUP => open.push(number),
                GROUP_END if number == inner => {
                    open.pop();
                }
                GROUP_END => {
                    return Err(malformed(&format!("group {number} ends in group {inner}")));
                }
                _ => {
                    self.value(number, wire)?;
                }
            }
        }
        Ok(())
    }
}

/// The largest field number.
const NUMBER_MAX: u32 = (1 << 29) - 1;

/// Wire type of varints.
pub(super) const VARINT: u8 = 0;
/// Wire type of eight bytes.
pub(super) const FIXED64: u8 = 1;
/// Wire type of bytes behind their length.
pub(super) const BYTES: u8 = 2;
/// Wire type of the begin of a group.
const GROUP: u8 = 3;
/// Wire type of the end of a group.
const GROUP_END: u8 = 4;
/// Wire type of four bytes.
pub(super) const FIXED32: u8 = 5;

/// A number whose sign is in the lowest bit.
pub(super) fn unfold(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// A number with its sign in the lowest bit.
#[cfg(test)]
pub(super) fn fold(value: i64) -> u64 {
    (value << 1).cast_unsigned() ^ (value >> 63).cast_unsigned()
}

/// Writes a varint.
#[inline]
pub(super) fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low & 0x7F);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Writes a field's number and wire type.
pub(super) fn write_tag(out: &mut Vec<u8>, number: u32, wire: u8) {
    write_varint(out, u64::from(number) << 3 | u64::from(wire));
}

/// Writes a field of bytes.
pub(super) fn write_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    write_tag(out, number, BYTES);
    // No slice is longer than `u64::MAX`.
    write_varint(out, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    out.extend_from_slice(bytes);
}

/// Writes a field of what `inner` writes, with its length before it.
pub(super) fn write_nested<E>(
    out: &mut Vec<u8>,
    number: u32,
    inner: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    write_tag(out, number, BYTES);
    let start = out.len();
    inner(out)?;
    let mut length = Vec::with_capacity(LENGTH_BYTES);
    write_varint(
        &mut length,
        u64::try_from(out.len() - start).unwrap_or(u64::MAX),
    );
    out.splice(start..start, length);
    Ok(())
}

/// Bytes that a length takes at most: a hint for the allocation.
const LENGTH_BYTES: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<(u32, Raw<'_>)>, String> {
        let mut input = Input::new(bytes);
        let mut found = Vec::new();
        while !input.is_empty() {
            found.push(input.field().map_err(Fault::text)?);
        }
        Ok(found)
    }

    #[test]
    fn every_wire_type_is_read() {
        let bytes = [
            0x08, 0x96, 0x01, // 1: varint 150
            0x15, 1, 0, 0, 0, // 2: fixed32
            0x19, 2, 0, 0, 0, 0, 0, 0, 0, // 3: fixed64
            0x22, 2, b'h', b'i', // 4: bytes
            0x2B, 0x2B, 0x08, 5, 0x2C, 0x22, 1, b'x', 0x2C, // 5: a group in a group
            0xF8, 0xFF, 0xFF, 0xFF, 0x0F, 0, // the largest number
        ];
        assert_eq!(
            fields(&bytes).unwrap(),
            [
                (1, Raw::Varint(150)),
                (2, Raw::Fixed32(1)),
                (3, Raw::Fixed64(2)),
                (4, Raw::Bytes(b"hi")),
                (5, Raw::Group),
                (NUMBER_MAX, Raw::Varint(0)),
            ]
        );
    }

    #[test]
    fn what_no_writer_writes_is_refused() {
        let long = [0xFF; 9];
        let cases: [(&[u8], &str); 12] = [
            (&[0x08], "1 bytes are to follow"),
            (&[0x08, 0x80], "1 bytes are to follow"),
            (&[0x15, 1, 2], "4 bytes are to follow, there are 2"),
            (&[0x22, 3, 1, 2], "3 bytes are to follow, there are 2"),
            (
                &[[0x22].as_slice(), &long, &[1]].concat(),
                "bytes are to follow",
            ),
            (
                &[[0x08].as_slice(), &long, &[2]].concat(),
                "more than 64 bits",
            ),
            (
                &[[0x08].as_slice(), &long, &[0xFF, 0]].concat(),
                "more than 64 bits",
            ),
            (&[0x00, 0], "no field number 0"),
            (
                &[0x80, 0x80, 0x80, 0x80, 0x10, 0],
                "no field number 536870912",
            ),
            (&[0x0E], "no wire type 6"),
            (&[0x0C], "group 1 ends, but did not begin"),
            (&[0x0B, 0x14], "group 2 ends in group 1"),
        ];
        for (bytes, part) in cases {
            let error = fields(bytes).unwrap_err();
            assert!(error.contains(part), "{bytes:?}: {error}");
        }
        let deep = vec![0x0B; 1_000_000];
        assert!(fields(&deep).unwrap_err().contains("more than 100 levels"));
    }

    #[test]
    fn numbers_are_read_as_they_were_written() {
        for value in [
            0,
            1,
            127,
            128,
            300,
            u64::from(u32::MAX),
            u64::MAX >> 1,
            u64::MAX,
        ] {
            let mut out = Vec::new();
            write_varint(&mut out, value);
            assert_eq!(Input::new(&out).varint().unwrap(), value);
        }
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(unfold(fold(value)), value);
        }
    }
}
