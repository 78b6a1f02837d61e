//! Whole jobs that join tables: from SQL to results, at several parallelisms and across a stop.

use std::collections::HashMap;
use std::time::Duration;

use weir_runtime::plan::{Exchange, StreamPlan};
use weir_runtime::sql::catalog::MemoryCatalog;
use weir_runtime::sql::session::Session;
use weir_runtime::sql::{Bound, analyze, parse};
use weir_runtime::task::JobEvent;

use crate::job::{PATIENCE, fold, start};

/// Result rows with how often each is there.
type Folded = HashMap<Vec<i64>, i64>;

/// A table of `id` from `first` to `last`, and `k`, its last digit.
fn table(name: &str, ids: (i64, i64), rows_per_second: u64) -> String {
    table_with(name, ids, rows_per_second, "")
}

/// As [`table`], with further columns.
pub(crate) fn table_with(
    name: &str,
    (first, last): (i64, i64),
    rows_per_second: u64,
    columns: &str,
) -> String {
    format!(
        "CREATE TABLE {name} (id BIGINT, k AS MOD(id, CAST(10 AS BIGINT)){columns}) WITH ('connector' = 'datagen',
         'rows-per-second' = '{rows_per_second}', 'fields.id.kind' = 'sequence', 'fields.id.start' = '{first}',
         'fields.id.end' = '{last}');"
    )
}

/// The plan of a query over tables, its results gathered in one subtask.
pub(crate) fn plan(tables: &[String], query: &str) -> StreamPlan {
    let mut catalog = MemoryCatalog::new();
    for statement in parse(&tables.concat()).unwrap() {
        match analyze(&statement, &catalog, &Session::default()).unwrap() {
            Bound::CreateTable { table, .. } => catalog.put_table(table),
            other => panic!("{other:?}"),
        }
    }
    let statements = parse(query).unwrap();
    let Bound::Query(mut plan, _) = analyze(&statements[0], &catalog, &Session::default()).unwrap()
    else {
        panic!("{query} is a query");
    };
    let sink = plan.nodes.last_mut().unwrap();
    sink.inputs[0].exchange = Exchange::Single;
    plan
}

/// What a query gives in the end.
fn run(plan: StreamPlan, parallelism: usize) -> Folded {
    let (job, events) = start(plan, parallelism, 4 << 20, None);
    let mut folded = Folded::new();
    assert_eq!(fold(&job, &events, &mut folded), JobEvent::Finished);
    folded.retain(|_, count| *count != 0);
    folded
}

#[test]
fn hot_keys_meet_all_their_rows_at_any_parallelism() {
    let tables = [
        table("a", (0, 999), 1_000_000),
        table("b", (1000, 2999), 1_000_000),
    ];
    let query = "SELECT a.k, COUNT(*), SUM(a.id), SUM(b.id) FROM a JOIN b ON a.k = b.k AND a.id < b.id GROUP BY a.k";
    let sum = |k: i64, first: i64, rows: i64| (0..rows).map(|i| first + k + 10 * i).sum::<i64>();
    let expected: Folded = (0..10)
        .map(|k| {
            let sums = (sum(k, 0, 100) * 200, sum(k, 1000, 200) * 100);
            (vec![k, 100 * 200, sums.0, sums.1], 1)
        })
        .collect();
    for parallelism in [1, 3] {
        assert_eq!(run(plan(&tables, query), parallelism), expected);
    }
}

#[test]
fn an_updating_input_leaves_its_last_value_in_every_row() {
    let tables = [
        table("a", (0, 4999), 1_000_000),
        table("b", (0, 299), 1_000_000),
    ];
    let query = "SELECT counts.k, counts.n, b.id FROM
        (SELECT k, COUNT(*) AS n FROM a GROUP BY k) AS counts JOIN b ON counts.k = b.k";
    let expected: Folded = (0..300).map(|id| (vec![id % 10, 500, id], 1)).collect();
    for parallelism in [1, 3] {
        assert_eq!(run(plan(&tables, query), parallelism), expected);
    }
}

#[test]
fn a_table_joins_itself_and_a_third() {
    let tables = [
        table("a", (0, 1999), 1_000_000),
        table("b", (500, 2499), 1_000_000),
    ];
    let query =
        "SELECT x.id, y.id, b.k FROM a AS x JOIN a AS y ON x.id = y.id + 1, b WHERE b.id = x.id";
    let expected: Folded = (500..2000)
        .map(|id| (vec![id, id - 1, id % 10], 1))
        .collect();
    for parallelism in [1, 3] {
        assert_eq!(run(plan(&tables, query), parallelism), expected);
    }
}

#[test]
fn a_stopped_join_goes_on_from_its_last_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let rows = 20_000;
    let tables = [
        table("a", (0, rows - 1), 5_000),
        table("b", (0, rows - 1), 5_000),
    ];
    let query = "SELECT a.id, b.id FROM a JOIN b ON a.id = b.id";
    let mut folded = Folded::new();
    let (job, events) = start(
        plan(&tables, query),
        2,
        4 << 20,
        Some(dir.path().to_owned()),
    );
    let mut waited = Duration::ZERO;
    while job.meter().checkpoints.completed_total < 2 {
        std::thread::park_timeout(Duration::from_millis(10));
        waited += Duration::from_millis(10);
        assert!(waited < PATIENCE, "checkpoints complete");
    }
    job.stop();
    assert!(matches!(
        fold(&job, &events, &mut folded),
        JobEvent::Stopped { .. }
    ));
    assert!(folded.len() < usize::try_from(rows).unwrap());
    let (job, events) = start(
        plan(&tables, query),
        2,
        4 << 20,
        Some(dir.path().to_owned()),
    );
    assert_eq!(fold(&job, &events, &mut folded), JobEvent::Finished);
    let expected: Folded = (0..rows).map(|id| (vec![id, id], 1)).collect();
    assert_eq!(folded, expected);
}
