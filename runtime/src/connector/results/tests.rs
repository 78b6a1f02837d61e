//! Tests of the results buffer.

use arrow::array::{Array, ArrayRef, Int32Array};

use super::*;
use crate::batch::RowKind;
use crate::time::SystemClock;

/// A batch of consecutive numbers, the odd ones deletions.
fn batch(from: i32, rows: i32) -> Batch {
    let values: ArrayRef = Arc::new(Int32Array::from_iter_values(from..from + rows));
    let kind = |value: i32| match value % 2 {
        0 => RowKind::Insert,
        _ => RowKind::Delete,
    };
    Batch {
        columns: vec![values],
        rows: usize::try_from(rows).unwrap(),
        kinds: Some((from..from + rows).map(kind).collect()),
    }
}

/// The numbers of a page, after checking their kinds.
fn numbers(page: &ResultsPage) -> Vec<i32> {
    let mut numbers = Vec::new();
    for batch in &page.batches {
        let column = batch.columns[0].as_any().downcast_ref::<Int32Array>();
        for (row, value) in column.unwrap().values().iter().enumerate() {
            assert_eq!(batch.kind(row).is_retraction(), value % 2 == 1);
            numbers.push(*value);
        }
    }
    assert_eq!(numbers.len(), page.rows());
    numbers
}

/// A writer with its waker.
fn writer(results: &Arc<Results>) -> (Box<dyn SinkWriter>, Waker) {
    let waker = Waker::default();
    let writer = ResultsSink::new(Arc::clone(results))
        .writer(WriterContext {
            publishes: false,
            subtask_index: 0,
            parallelism: 1,
            statement_uid: "s".into(),
            transactions: None,
            waker: waker.clone(),
            clock: SystemClock::shared(),
        })
        .unwrap();
    (writer, waker)
}

#[test]
fn pages_repeat_until_the_next_position_is_asked_for() {
    let results = Results::new(100);
    let (mut writer, _waker) = writer(&results);
    writer.write_rows(&batch(0, 5)).unwrap();
    writer.write_rows(&batch(5, 5)).unwrap();
    for _ in 0..2 {
        let page = results.page(0, 7);
        assert_eq!(numbers(&page), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!((page.next, page.finished), (7, false));
    }
    let page = results.page(7, 7);
    assert_eq!(numbers(&page), [7, 8, 9]);
    // What is freed is gone, what is not there yet does not count as asked for.
    assert_eq!(numbers(&results.page(2, 1)), [7]);
    let page = results.page(99, 7);
    assert_eq!((page.rows(), page.next, page.finished), (0, 10, false));
    results.finish();
    let page = results.page(10, 7);
    assert_eq!((page.rows(), page.next, page.finished), (0, 10, true));
}

#[test]
fn a_full_buffer_stops_the_writer_until_rows_are_freed() {
    let results = Results::new(10);
    let (mut writer, waker) = writer(&results);
    assert!(writer.ready());
    writer.write_rows(&batch(0, 10)).unwrap();
    assert!(!writer.ready());
    let page = results.page(0, 4);
    assert!(!writer.ready(), "a page that may be repeated frees nothing");
    let page = results.page(page.next, 4);
    // Returns only because freeing rows woke the writer.
    waker.park(None);
    assert!(writer.ready());
    assert_eq!(numbers(&page), [4, 5, 6, 7]);
    assert!(writer.flush().unwrap());
    assert_eq!(results.lock().waiting.len(), 1);
}

#[test]
fn the_last_page_says_so() {
    let results = Results::new(10);
    let (mut writer, _waker) = writer(&results);
    writer.write_rows(&batch(0, 3)).unwrap();
    results.finish();
    assert!(!results.page(0, 2).finished);
    assert!(results.page(0, 3).finished);
}

#[tokio::test]
async fn a_client_waits_for_rows_and_for_the_end() {
    let results = Results::new(10);
    let waiting = {
        let results = Arc::clone(&results);
        tokio::spawn(async move {
            results.changed(0).await;
            let page = results.page(0, 10);
            assert_eq!(page.rows(), 2);
            results.changed(page.next).await;
            results.page(page.next, 10).finished
        })
    };
    tokio::task::yield_now().await;
    let (mut writer, _waker) = writer(&results);
    writer.write_rows(&batch(0, 2)).unwrap();
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    results.finish();
    assert!(waiting.await.unwrap());
}
