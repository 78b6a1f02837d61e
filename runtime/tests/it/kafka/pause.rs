//! Partitions that are not read for a while.

use super::{Open, Topic, WHOLE, broker, keyed, values};

#[test]
fn a_paused_partition_waits_and_loses_and_doubles_nothing() {
    const RECORDS: usize = 20_000;
    let Some(options) = broker() else { return };
    let topic = Topic::create(&options, 2, &[]);
    topic.write(&keyed(RECORDS));
    let mut open = Open::new(&topic.source(WHOLE), 0, 1, None);
    let (mut seen, _) = open.until(100, |seen| seen.len() >= 100);

    // While one is paused the other one is read to its end.
    open.reader.pause(&[true, false]).unwrap();
    let other = |open: &Open| open.reader.splits()[1].pending_records;
    while other(&open) != Some(0) {
        seen.extend(open.until(500, |seen| !seen.is_empty()).0);
    }
    let pending = open.reader.splits()[0].pending_records;
    assert!(pending > Some(1_000), "{pending:?} records are left");

    // Now and then.
    for round in 0..6 {
        open.reader
            .pause(&[round % 2 == 1, round % 3 == 1])
            .unwrap();
        if round % 2 == 0 {
            seen.extend(open.until(100, |seen| seen.len() >= 300).0);
        }
    }
    open.reader.pause(&[false, false]).unwrap();
    seen.extend(open.read_to_end());

    for partition in [0, 1] {
        let offsets = seen.iter().filter(|record| record.partition == partition);
        let offsets: Vec<i64> = offsets.map(|record| record.offset).collect();
        let expected: Vec<i64> = (0..i64::try_from(offsets.len()).unwrap()).collect();
        assert_eq!(offsets, expected, "partition {partition}");
    }
    assert_eq!(values(&seen).len(), RECORDS);
}
