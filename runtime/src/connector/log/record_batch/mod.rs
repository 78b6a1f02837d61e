//! Kafka v2 record batches: encoding, header checks, and decoding to slices.
//!
//! Place in the flow: the append path encodes into one buffer, the cursor decodes out of one. Invariant: the checksum covers
//! everything from the attributes on, and no length taken from bytes is trusted before it was compared with what is there.
//!
//! # Source
//! Apache Kafka, "Message Format": record batch with magic 2. The producer id holds the transaction instead.

mod compact;
mod decode;
mod encode;
mod header;

pub(super) use compact::CompactEncoder;
pub(super) use decode::{RecordReader, Wanted};
pub use encode::Record;
pub(super) use encode::{Encoded, EncodedHeader};
pub(super) use header::Header;

/// Bytes of a batch before its first record.
pub(super) const HEADER_BYTES: usize = 61;
/// Bytes before the part that the batch length counts.
const LENGTH_PREFIX_BYTES: usize = 12;
/// Where the checksummed part starts.
const CRC_START: usize = 21;
/// Where the attributes are, two bytes.
const ATTRIBUTES_AT: usize = 21;
/// Where the producer id is, eight bytes.
const PRODUCER_AT: usize = 43;
/// The only format version written and read.
const MAGIC: u8 = 2;
/// Attribute bits that name a compression codec.
const COMPRESSION_MASK: i16 = 0x07;
/// Attribute bit of batches whose records carry the append time.
const LOG_APPEND_TIME: i16 = 0x08;
/// Attribute bit of batches that belong to a transaction.
const TRANSACTIONAL: i16 = 0x10;
/// Attribute bit of compacted batches whose base timestamp says when their deletes are forgotten.
const DELETE_HORIZON: i16 = 0x40;
/// The producer id of batches that belong to no transaction.
const ABSENT_ID: i64 = -1;
/// Largest record taken: far above Kafka's default of 1 MiB, far below the 2 GiB of the length field (guess, unmeasured).
pub(super) const RECORD_BYTES_MAX: usize = 64 << 20;
/// Least bytes of a record: length, attributes, two deltas, two lengths and the header count.
pub(super) const RECORD_BYTES_MIN: usize = 7;
