//! Record batches that a user stored as the value of a record, and damage around them.

use super::*;

/// Where the version of a batch is.
const MAGIC_AT: usize = 16;

/// Bytes of one good batch of two records per base offset.
fn forged(base_offsets: &[i64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for base_offset in base_offsets {
        let mut encoded = Encoded::default();
        let records = [Owned::value("forged", 1), Owned::value("forged", 1)];
        with_records(&records, |records| encoded.extend(records.iter().copied())).unwrap();
        encoded.set_base_offset(*base_offset);
        bytes.extend(encoded.buffer);
    }
    bytes
}

/// Appends one record with those bytes as its value.
fn append_bytes(store: &LogStore, bytes: Vec<u8>) {
    let record = Owned {
        key: None,
        value: Some(bytes),
        timestamp_ms: 1,
        headers: Vec::new(),
    };
    with_records(&[record], |records| store.append("t", 0, records).unwrap());
}

/// All values from an offset on that can be read, and how many offsets of them cannot.
fn values(store: &LogStore) -> (Vec<(i64, Vec<u8>)>, usize) {
    let (mut rows, mut next, mut failures) = (Vec::new(), 0, 0);
    while next < store.end_offset("t", 0).unwrap() {
        match store.read("t", 0, next, 1 << 20, 1) {
            Ok(batch) => {
                let (offset, record) = owned_rows(&batch).swap_remove(0);
                next = offset + 1;
                rows.push((offset, record.value.unwrap()));
            }
            Err(error) => {
                assert_eq!(error.code, Code::Corrupt, "{error}");
                failures += 1;
                next += 1;
            }
        }
    }
    (rows, failures)
}

/// The log `a0 a1 a2 HOLDER b0 b1` in one file, where the value of the holder at offset 3 is a row of batches; the file, and the bytes
/// before and up to the end of the holder's batch.
fn with_holder(dir: &TempDir, options: LogOptions, value: Vec<u8>) -> (PathBuf, usize, usize) {
    let store = LogStore::open(dir.path(), options, SystemClock::shared()).unwrap();
    store.create_topic("t", config(1)).unwrap();
    let path = segments(dir, 0).pop().unwrap();
    let bytes = || usize::try_from(fs::metadata(&path).unwrap().len()).unwrap();
    append(&store, 0, "a", 3);
    let before = bytes();
    append_bytes(&store, value);
    let behind = bytes();
    append(&store, 0, "b", 2);
    (path, before, behind)
}

#[test]
fn a_batch_inside_of_a_damaged_record_is_not_taken_for_one_of_the_log() {
    // One that begins where the damage does, one that leaves a gap, and one whose offsets lead to the batch behind.
    for base_offsets in [&[3_i64, 5, 7][..], &[4, 6], &[2, 4]] {
        let dir = TempDir::new().unwrap();
        let (path, before, behind) = with_holder(&dir, small(), forged(base_offsets));
        let whole = fs::read(&path).unwrap();
        for at in before..behind {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            fs::write(&path, &bytes).unwrap();
            let (rows, failures) = values(&open(&dir));
            assert_eq!(fs::read(&path).unwrap(), bytes, "byte {at}");
            let offsets: Vec<_> = rows.iter().map(|row| row.0).collect();
            assert_eq!((offsets, failures), (vec![0, 1, 2, 4, 5], 1), "byte {at}");
            assert!(rows.iter().all(|row| row.1 != b"forged"), "byte {at}");
        }
    }
}

#[test]
fn a_record_with_batches_that_is_torn_is_cut_off_whole() {
    let dir = TempDir::new().unwrap();
    let value = forged(&[3, 5, 7]);
    let batch_bytes = value.len() / 3;
    let (path, before, behind) = with_holder(&dir, small(), value);
    let whole = fs::read(&path).unwrap();
    // Behind the value is one byte, the number of headers.
    let value_at = behind - 1 - 3 * batch_bytes;
    for cut in before..behind {
        fs::write(&path, &whole[..cut]).unwrap();
        let (rows, failures) = values(&open(&dir));
        let seen = rows.iter().filter(|row| row.1 == b"forged").count();
        // A limit: a tear at the very end of a stored batch leaves a file that could have been written so.
        let stored = cut.saturating_sub(value_at) / batch_bytes;
        let expected = if stored > 0 && cut == value_at + stored * batch_bytes {
            stored * 2
        } else {
            0
        };
        assert_eq!((seen, failures), (expected, 0), "cut at {cut}");
        assert_eq!(rows.len(), 3 + expected);
    }
    // The same with a header that never reached the device, and with one that is damaged, at the end of the file.
    for header in [[0; 61].as_slice(), &whole[before + 1..before + 62]] {
        let mut bytes = whole[..behind].to_vec();
        bytes[before..before + 61].copy_from_slice(header);
        fs::write(&path, &bytes).unwrap();
        assert_eq!(values(&open(&dir)).0.len(), 3);
    }
}

#[test]
fn in_a_closed_segment_the_offsets_have_to_lead_to_the_next_one() {
    let options = LogOptions {
        segment_bytes: 1000,
        ..small()
    };
    let dir = TempDir::new().unwrap();
    let (path, before, behind) = with_holder(&dir, options, forged(&[3, 5, 7]));
    fs::File::options()
        .write(true)
        .open(&path)
        .and_then(|file| file.set_len(behind as u64))
        .unwrap();
    let store = LogStore::open(dir.path(), options, SystemClock::shared()).unwrap();
    append(&store, 0, "in the next segment ", 50);
    assert_eq!(segments(&dir, 0).len(), 2);
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    bytes[before + MAGIC_AT] ^= 0x10;
    // Cut where the last stored batch ends, the offsets lead to 9, while the next segment begins at 4.
    for end in [behind, behind - 1] {
        fs::write(&path, &bytes[..end]).unwrap();
        let store = LogStore::open(dir.path(), options, SystemClock::shared()).unwrap();
        // Asks the index of the closed segment.
        assert!(store.offset_for_timestamp("t", 0, 2000).unwrap().is_none());
        let (rows, failures) = values(&store);
        assert_eq!((rows.len(), failures), (53, 1));
        assert!(rows.iter().all(|row| row.1 != b"forged"));
        assert!(store.read("t", 0, 3, 1 << 20, 1).is_err());
    }
}

#[test]
fn damage_in_two_places_and_a_torn_tail_leave_the_good_batches_between() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    store.create_topic("t", config(1)).unwrap();
    for batch in 0..6 {
        append(&store, 0, &format!("{batch}-"), 2);
    }
    drop(store);
    let path = segments(&dir, 0).pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let batch_bytes = bytes.len() / 6;
    // The records of the second and of the fourth batch; the last one is cut off.
    for batch in [1, 3] {
        bytes[batch * batch_bytes + 70] ^= 1;
    }
    bytes.truncate(bytes.len() - 3);
    fs::write(&path, &bytes).unwrap();
    let (rows, failures) = values(&open(&dir));
    let offsets: Vec<_> = rows.iter().map(|row| row.0).collect();
    assert_eq!((offsets, failures), (vec![0, 1, 4, 5, 8, 9], 4));
}

#[test]
fn headers_with_the_highest_numbers_are_no_batches() {
    let dir = TempDir::new().unwrap();
    let value = forged(&[i64::MAX - 3, i64::MAX - 1]);
    let (path, before, _) = with_holder(&dir, small(), value);
    let mut bytes = fs::read(&path).unwrap();
    bytes[before + MAGIC_AT] = 0;
    fs::write(&path, &bytes).unwrap();
    let store = open(&dir);
    assert_eq!(store.end_offset("t", 0).unwrap(), 6);
    assert_eq!(values(&store).0.len(), 5);
}

#[test]
fn a_search_among_many_stored_headers_ends() {
    const HEADERS: usize = 40_000;
    let dir = TempDir::new().unwrap();
    let options = LogOptions {
        segment_bytes: 64 << 20,
        ..small()
    };
    let (path, before, behind) = with_holder(&dir, options, vec![0; HEADERS * 61]);
    let mut bytes = fs::read(&path).unwrap();
    let header = forged(&[4]);
    let value_at = behind - 1 - HEADERS * 61;
    for at in (value_at..behind - 61).step_by(61) {
        bytes[at..at + 61].copy_from_slice(&header[..61]);
        let length = u32::try_from(bytes.len() - at - 12).unwrap();
        bytes[at + 8..at + 12].copy_from_slice(&length.to_be_bytes());
    }
    bytes[before + MAGIC_AT] = 0;
    fs::write(&path, &bytes).unwrap();
    // A limit: the search was given up, so the rest is taken for a torn tail.
    assert_eq!(open(&dir).end_offset("t", 0).unwrap(), 3);
}
