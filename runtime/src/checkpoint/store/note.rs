//! The statement's own note of what it knows to be committed.
//!
//! Place in the flow: overwritten after each commit; a start asks it when the sink's system has forgotten its epoch record. Invariant:
//! pure; a note with any flipped byte, or cut short, is refused.
//!
//! Layout: the epoch record as JSON, a line feed, CRC-32C of everything before as 8 hexadecimal digits, a line feed.

use crate::checkpoint::commit::EpochRecord;
use crate::error::{Error, Result};

/// The stored form.
///
/// # Errors
/// `Internal` only.
pub(super) fn encode(record: &EpochRecord) -> Result<String> {
    let line = format!("{}\n", record.to_text()?);
    let crc = crc32c::crc32c(line.as_bytes());
    Ok(format!("{line}{crc:08x}\n"))
}

/// Reads the stored form.
///
/// # Errors
/// `Corrupt` when it is not what [`encode`] wrote.
pub(super) fn decode(bytes: &[u8]) -> Result<EpochRecord> {
    let damaged = || Error::corrupt("the note of the committed epoch does not match its checksum");
    let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
    let (json, _) = text.split_once('\n').ok_or_else(damaged)?;
    let record = EpochRecord::from_text(json).map_err(|_| damaged())?;
    let crc = crc32c::crc32c(format!("{json}\n").as_bytes());
    if text != format!("{json}\n{crc:08x}\n") {
        return Err(damaged());
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_byte_and_every_cut_is_noticed() {
        let record = EpochRecord {
            run: "r1".into(),
            epoch: 12,
            checkpoint: "chk/r1/00000000000000000012.manifest".into(),
        };
        let bytes = encode(&record).unwrap().into_bytes();
        assert_eq!(decode(&bytes).unwrap(), record);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert!(decode(&flipped).is_err(), "byte {at}");
            }
            assert!(decode(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}
