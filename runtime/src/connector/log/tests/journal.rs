//! The journal of commits: torn, damaged, old, full, and how large it gets.

use super::transaction::JOURNAL_FILE;
use super::transactions::{Life, committed, record_of, store_in};
use super::*;
use crate::checkpoint::commit::Committer;

#[test]
fn a_journal_cut_at_any_byte_has_each_commit_whole_or_not_at_all() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let path = dir.path().join(JOURNAL_FILE);
    let mut life = Life::start(&store, "s");
    let mut lengths = vec![fs::read(&path).unwrap().len()];
    for epoch in 1..=3 {
        life.write(epoch, &epoch.to_string());
        life.commit(epoch).unwrap();
        lengths.push(fs::read(&path).unwrap().len());
    }
    drop((life, store));
    let whole = fs::read(&path).unwrap();
    for cut in lengths[0]..=whole.len() {
        for zeros in [0, 300] {
            let mut bytes = whole[..cut].to_vec();
            bytes.resize(cut + zeros, 0);
            fs::write(&path, &bytes).unwrap();
            let store = store_in(dir.path());
            let epoch = lengths.iter().filter(|length| **length <= cut).count() - 1;
            let expected: Vec<_> = (1..=epoch).map(|epoch| epoch.to_string()).collect();
            assert_eq!(committed(&store), expected, "cut at {cut}");
            let record = store.committed_record("s").unwrap();
            assert_eq!(record.map_or(0, |record| record.epoch), epoch as u64);
        }
    }
    // Without its first line it is damaged, since that was on the device before anything else.
    for cut in 0..lengths[0] {
        fs::write(&path, &whole[..cut]).unwrap();
        let opened = LogStore::open(dir.path(), small(), SystemClock::shared());
        assert_eq!(opened.unwrap_err().code, Code::Corrupt, "cut at {cut}");
    }
}

#[test]
fn every_flipped_bit_of_the_journal_is_named() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let mut life = Life::start(&store, "s");
    for epoch in 1..=2 {
        life.write(epoch, "v");
        life.commit(epoch).unwrap();
    }
    store.forget_owner("nobody").unwrap();
    drop((life, store));
    let path = dir.path().join(JOURNAL_FILE);
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            fs::write(&path, &bytes).unwrap();
            let error = LogStore::open(dir.path(), small(), SystemClock::shared()).unwrap_err();
            assert_eq!(error.code, Code::Corrupt, "byte {at}: {error}");
            assert!(error.message.contains(path.to_str().unwrap()), "{error}");
            assert!(error.message.contains("at byte "), "{error}");
        }
    }
    fs::write(&path, &whole).unwrap();
    let store = store_in(dir.path());
    assert_eq!(committed(&store), ["v", "v"]);
    drop(store);
    // An old journal must not give old numbers out again, and a missing one neither.
    fs::write(&path, &whole[..0]).unwrap();
    fs::remove_file(&path).unwrap();
    let error = LogStore::open(dir.path(), small(), SystemClock::shared()).unwrap_err();
    assert_eq!(error.code, Code::Corrupt);
    assert!(error.message.contains("missing or old"), "{error}");
}

#[test]
fn a_damaged_line_is_named_and_the_log_opens_without_it() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let mut life = Life::start(&store, "s");
    for epoch in 1..=3 {
        life.write(epoch, &epoch.to_string());
        life.commit(epoch).unwrap();
    }
    drop((life, store));
    let path = dir.path().join(JOURNAL_FILE);
    let whole = fs::read(&path).unwrap();
    let lines: Vec<_> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), 5);
    let with = |line: usize, text: &[u8]| {
        let mut lines: Vec<_> = lines.clone();
        lines[line - 1] = text;
        fs::write(&path, lines.concat()).unwrap();
        LogStore::open(dir.path(), small(), SystemClock::shared())
    };
    // Also where a power failure has kept a block from the device in the middle.
    let unwritten = [[0; 600].as_slice(), b"\n"].concat();
    for damaged in [b"0123abcd {}\n".as_slice(), &unwritten] {
        for (line, way_out) in [
            (2, "from a copy"),
            (3, "delete line 3"),
            (4, "delete line 4"),
        ] {
            let error = with(line, damaged).unwrap_err();
            assert_eq!(error.code, Code::Corrupt);
            let position: usize = lines[..line - 1].iter().map(|line| line.len()).sum();
            let place = format!("at byte {position}, in line {line}:");
            for part in [path.to_str().unwrap(), &place, way_out] {
                assert!(error.message.contains(part), "{part}: {error}");
            }
        }
    }
    let store = with(4, b"").unwrap();
    assert_eq!(committed(&store), ["1", "3"]);
    assert_eq!(
        store.committed_record("s").unwrap(),
        Some(record_of(3)),
        "the newest commit counts"
    );
}

#[test]
fn the_journal_stays_small_and_keeps_what_counts() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let path = dir.path().join(JOURNAL_FILE);
    let owners = ["a", "b"];
    let lives = owners.map(|owner| LogTransactions::new(&store, owner));
    let mut largest = 0;
    let mut shrunk = false;
    for epoch in 1..20_000 {
        for life in &lives {
            if epoch % 5_000 == 1 {
                life.fence().unwrap();
            }
            life.begin(epoch).unwrap();
            if epoch % 5_000 != 0 {
                life.commit(epoch, &record_of(epoch)).unwrap();
            }
        }
        let size = fs::metadata(&path).unwrap().len();
        shrunk |= size < largest;
        largest = largest.max(size);
    }
    assert!(shrunk && largest < (1 << 20) + 1000, "{largest}");
    drop((lives, store));
    let store = store_in(dir.path());
    for owner in owners {
        assert_eq!(
            store.committed_record(owner).unwrap(),
            Some(record_of(19_999))
        );
    }
    drop(store);
    assert!(fs::metadata(&path).unwrap().len() < 2000);
}

#[test]
fn a_commit_that_fails_leaves_no_trace_and_can_be_repeated() {
    let dir = TempDir::new().unwrap();
    let store = store_in(dir.path());
    let path = dir.path().join(JOURNAL_FILE);
    let aside = dir.path().join("aside");
    let mut life = Life::start(&store, "s");
    life.write(1, "a");
    fs::rename(&path, &aside).unwrap();
    // A device that is always full and cannot be truncated either.
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let error = life.commit(1).unwrap_err();
    assert_eq!((error.kind, error.code), (Kind::Unavailable, Code::Storage));
    assert!(error.message.contains(path.to_str().unwrap()), "{error}");
    assert_eq!(committed(&store), [""; 0]);
    // Until it is known what became of the commit, nobody takes over.
    assert_eq!(life.committer().fence().unwrap_err().code, Code::Storage);
    fs::remove_file(&path).unwrap();
    let mut bytes = fs::read(&aside).unwrap();
    bytes.extend_from_slice(b"0123abcd {\"commit\":");
    fs::write(&path, &bytes).unwrap();
    life.commit(1).unwrap();
    life.write(2, "b");
    life.commit(2).unwrap();
    drop((life, store));
    assert_eq!(committed(&store_in(dir.path())), ["a", "b"]);
}
