//! The bytes of record batches: both decoders, and the specification.

use proptest::prelude::*;

use super::*;
use crate::connector::log::record_batch::{HEADER_BYTES, RecordReader, Wanted};

/// The checksum bit by bit, as its definition has it.
fn crc32c_plain(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
    }
    !crc
}

/// A decoder of one record batch written straight from the format's description.
struct Plain<'a> {
    bytes: &'a [u8],
}

impl Plain<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.bytes.split_at(N);
        self.bytes = rest;
        head.try_into().unwrap()
    }

    fn varint(&mut self) -> i64 {
        let mut value = 0_u64;
        for i in 0.. {
            let [byte] = self.take::<1>();
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                break;
            }
        }
        (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
    }

    fn field(&mut self) -> Option<Vec<u8>> {
        let len = usize::try_from(self.varint()).ok()?;
        let (head, rest) = self.bytes.split_at(len);
        self.bytes = rest;
        Some(head.to_vec())
    }

    /// Decodes one batch and moves behind it.
    fn batch(&mut self) -> Vec<(i64, Owned)> {
        let base_offset = i64::from_be_bytes(self.take());
        let length = usize::try_from(i32::from_be_bytes(self.take())).unwrap();
        let rest = self.bytes.split_at(length).1;
        assert_eq!(self.take::<4>(), [0; 4]);
        assert_eq!(self.take::<1>(), [2]);
        let crc = u32::from_be_bytes(self.take());
        assert_eq!(crc, crc32c_plain(&self.bytes[..length - 9]));
        assert_eq!(self.take::<2>(), [0; 2]);
        let last_delta = i32::from_be_bytes(self.take());
        let base_ms = i64::from_be_bytes(self.take());
        let max_ms = i64::from_be_bytes(self.take());
        assert_eq!(self.take::<14>(), [0xff; 14]);
        let count = i32::from_be_bytes(self.take());
        assert_eq!(count, last_delta + 1);
        let records: Vec<_> = (0..count)
            .map(|_| {
                let length = usize::try_from(self.varint()).unwrap();
                let left = self.bytes.len();
                assert_eq!(self.take::<1>(), [0]);
                let timestamp_ms = base_ms.wrapping_add(self.varint());
                let offset = base_offset + self.varint();
                let key = self.field();
                let value = self.field();
                let headers = (0..self.varint())
                    .map(|_| (self.field().unwrap(), self.field()))
                    .collect();
                assert_eq!(left - self.bytes.len(), length);
                let record = Owned {
                    key,
                    value,
                    timestamp_ms,
                    headers,
                };
                (offset, record)
            })
            .collect();
        assert_eq!(
            records.iter().map(|(_, record)| record.timestamp_ms).max(),
            Some(max_ms)
        );
        assert_eq!(self.bytes.len(), rest.len());
        records
    }
}

/// Optional bytes: absent, empty or some.
fn bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40))
}

fn record() -> impl Strategy<Value = Owned> {
    let headers = proptest::collection::vec(
        (proptest::collection::vec(any::<u8>(), 0..8), bytes()),
        0..3,
    );
    let timestamp = prop_oneof![any::<i64>(), 1_700_000_000_000..1_700_000_100_000_i64];
    (bytes(), bytes(), timestamp, headers).prop_map(|(key, value, timestamp_ms, headers)| Owned {
        key,
        value,
        timestamp_ms,
        headers,
    })
}

/// Decodes everything with the decoder under test, pausing after `rows_max` records each.
fn decode(bytes: &[u8], rows_max: usize) -> Result<Vec<(i64, Owned)>, &'static str> {
    let mut rows = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let header = Header::parse(&bytes[at..])?;
        header.verify(bytes.get(at..at + header.bytes).ok_or("cut off")?)?;
        let mut reader = RecordReader::new(header, at);
        let mut from = header.base_offset;
        while !reader.is_done() {
            let mut out = RawBatch::default();
            let wanted = Wanted {
                from,
                until: i64::MAX,
                rows_max,
            };
            from = reader.decode(bytes, wanted, &mut out)?;
            out.buffer = bytes::Bytes::copy_from_slice(bytes);
            rows.extend(owned_rows(&out));
        }
        at += header.bytes;
    }
    Ok(rows)
}

proptest! {
    #[test]
    fn both_decoders_give_what_was_encoded(
        records in proptest::collection::vec(record(), 1..60),
        base_offset in 0..i64::from(u32::MAX),
        rows_max in 1..20_usize,
    ) {
        let mut encoded = Encoded::default();
        with_records(&records, |records| encoded.extend(records.iter().copied())).unwrap();
        encoded.set_base_offset(base_offset);
        let expected: Vec<_> = (base_offset..).zip(records).collect();
        let mut plain = Plain { bytes: &encoded.buffer };
        let mut by_plain = Vec::new();
        while !plain.bytes.is_empty() {
            by_plain.extend(plain.batch());
        }
        prop_assert_eq!(&by_plain, &expected);
        prop_assert_eq!(&decode(&encoded.buffer, rows_max).unwrap(), &expected);
    }

    #[test]
    fn arbitrary_records_with_a_right_checksum_never_panic(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        count in 1..40_i32,
    ) {
        let mut encoded = Encoded::default();
        encoded.extend(std::iter::once(Record::default())).unwrap();
        let mut bytes = encoded.buffer;
        bytes.truncate(HEADER_BYTES);
        bytes.extend_from_slice(&body);
        let length = i32::try_from(bytes.len() - 12).unwrap();
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[23..27].copy_from_slice(&(count - 1).to_be_bytes());
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        if let Ok(rows) = decode(&bytes, 1000) {
            prop_assert_eq!(i32::try_from(rows.len()).unwrap(), count);
        }
    }

    #[test]
    fn every_flipped_bit_is_an_error(at in 0..200_usize, bit in 0..8_u32) {
        let mut encoded = Encoded::default();
        let value = Owned::value(&"v".repeat(132), 7);
        with_records(&[value], |records| encoded.extend(records.iter().copied())).unwrap();
        let mut bytes = encoded.buffer;
        let at = at % bytes.len();
        // The base offset is not covered by the checksum; the reader compares it with the offset it expects.
        prop_assume!(at >= 8);
        bytes[at] ^= 1 << bit;
        prop_assert!(decode(&bytes, 1000).is_err());
    }
}

/// The bytes were computed by hand from the format's description, with a checksum of another implementation.
#[test]
fn a_batch_has_the_bytes_of_the_specification() {
    assert_eq!(crc32c_plain(b"123456789"), 0xe306_9283);
    let expected = concat!(
        "000000000000002900000056000000000259d700aa",
        "0000000000020000018bcfe568000000018bcfe568c8ffffffffffffffffffffffffffff00000003",
        "18000000026b0a68656c6c6f00",
        "1c000902010004046f700203026e01",
        "100090030402640100",
    );
    let base_ms = 1_700_000_000_000;
    let records = [
        Owned {
            key: Some(b"k".to_vec()),
            ..Owned::value("hello", base_ms)
        },
        Owned {
            headers: vec![(b"op".to_vec(), Some(vec![3])), (b"n".to_vec(), None)],
            ..Owned::value("", base_ms - 5)
        },
        Owned {
            key: Some(b"d".to_vec()),
            value: None,
            timestamp_ms: base_ms + 200,
            headers: Vec::new(),
        },
    ];
    let mut encoded = Encoded::default();
    with_records(&records, |records| encoded.extend(records.iter().copied())).unwrap();
    encoded.set_base_offset(41);
    let bytes: Vec<u8> = (0..expected.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&expected[at..at + 2], 16).unwrap())
        .collect();
    assert_eq!(encoded.buffer, bytes);
}
