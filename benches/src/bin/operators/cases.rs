//! What is measured: queries, their rows, and the goals.
//!
//! Place in the flow: `main` runs them, `results/operators.md` has their figures. Invariant: a case with a goal is the query of that goal,
//! with NULLs among keys and values and rows out of order within a second.

/// A query over generated rows.
#[derive(Debug)]
pub(crate) struct Case {
    /// Name.
    pub(crate) name: &'static str,
    /// Tables, each with the columns `k`, `v` and `ts`, and a query.
    pub(crate) sql: &'static str,
    /// Different keys, uniformly distributed.
    pub(crate) keys: u64,
    /// Rows of all inputs together.
    pub(crate) rows: usize,
    /// Tables: rows come from them in turns, batch by batch.
    pub(crate) inputs: usize,
    /// Rows of each input per second of event time.
    pub(crate) rows_per_second: usize,
    /// Rows per CPU-second.
    pub(crate) goal: f64,
}

/// The table of a query over one.
macro_rules! over_t {
    ($query:literal) => {
        concat!(
            "CREATE TABLE t (k BIGINT, v BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) ",
            "WITH ('connector' = 'datagen');",
            $query
        )
    };
}

/// The tables of a query over two.
macro_rules! over_a_and_b {
    ($query:literal) => {
        concat!(
            "CREATE TABLE a (k BIGINT, v BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) ",
            "WITH ('connector' = 'datagen');",
            "CREATE TABLE b (k BIGINT, v BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) ",
            "WITH ('connector' = 'datagen');",
            $query
        )
    };
}

/// Aggregates of a window of ten seconds.
const TUMBLE: &str = over_t!(
    "SELECT k, window_start, window_end, COUNT(*), SUM(v) FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND) \
     GROUP BY k, window_start, window_end"
);

/// A sum over all rows of a key so far.
const OVER_UNBOUNDED: &str = over_t!(
    "SELECT k, v, ts, SUM(v) OVER (PARTITION BY k ORDER BY ts RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW), \
     COUNT(*) OVER (PARTITION BY k ORDER BY ts RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) FROM t"
);

/// A sum over the last ten rows of a key.
const OVER_ROWS: &str = over_t!(
    "SELECT k, v, ts, SUM(v) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN 9 PRECEDING AND CURRENT ROW) FROM t"
);

/// The cases.
pub(crate) const CASES: [Case; 12] = [
    Case {
        name: "tumble-1k",
        sql: TUMBLE,
        keys: 1_000,
        rows: 40_000_000,
        inputs: 1,
        rows_per_second: 100_000,
        goal: 50e6,
    },
    // Every key is in every window, about ten times.
    Case {
        name: "tumble-1m",
        sql: TUMBLE,
        keys: 1_000_000,
        rows: 20_000_000,
        inputs: 1,
        rows_per_second: 1_000_000,
        goal: 15e6,
    },
    // A million rows to a window: two of three rows open a group, as in the measurement of Flink.
    Case {
        name: "tumble-1m-sparse",
        sql: TUMBLE,
        keys: 1_000_000,
        rows: 10_000_000,
        inputs: 1,
        rows_per_second: 100_000,
        goal: 15e6,
    },
    Case {
        name: "group-1m",
        sql: over_t!("SELECT k, COUNT(*), SUM(v) FROM t GROUP BY k"),
        keys: 1_000_000,
        rows: 10_000_000,
        inputs: 1,
        rows_per_second: 100_000,
        goal: 5e6,
    },
    Case {
        name: "join-1m",
        sql: over_a_and_b!("SELECT a.k, a.v, b.v FROM a JOIN b ON a.k = b.k"),
        keys: 1_000_000,
        rows: 4_000_000,
        inputs: 2,
        rows_per_second: 100_000,
        goal: 3e6,
    },
    Case {
        name: "interval-join-1m",
        sql: over_a_and_b!(
            "SELECT a.k, a.v, b.v FROM a JOIN b ON a.k = b.k \
             AND a.ts BETWEEN b.ts - INTERVAL '2' SECOND AND b.ts + INTERVAL '2' SECOND"
        ),
        keys: 1_000_000,
        rows: 6_000_000,
        inputs: 2,
        rows_per_second: 100_000,
        goal: 3e6,
    },
    Case {
        name: "dedup-last-1m",
        sql: over_t!(
            "SELECT k, v, ts FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) AS rn FROM t) WHERE rn = 1"
        ),
        keys: 1_000_000,
        rows: 10_000_000,
        inputs: 1,
        rows_per_second: 100_000,
        goal: 4e6,
    },
    Case {
        name: "top-10",
        sql: over_t!(
            "SELECT k, v, ts FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC) AS rn FROM t) WHERE rn <= 10"
        ),
        keys: 100_000,
        rows: 5_000_000,
        inputs: 1,
        rows_per_second: 100_000,
        goal: 2e6,
    },
    Case {
        name: "top-10-numbered",
        sql: over_t!(
            "SELECT k, v, ts, rn FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC) AS rn FROM t) WHERE rn <= 10"
        ),
        keys: 100_000,
        rows: 5_000_000,
        inputs: 1,
        rows_per_second: 100_000,
        goal: 2e6,
    },
    Case {
        name: "over-unbounded-1k",
        sql: OVER_UNBOUNDED,
        keys: 1_000,
        rows: 4_000_000,
        inputs: 1,
        rows_per_second: 100_000,
        goal: 3e6,
    },
    Case {
        name: "over-unbounded-100k",
        sql: OVER_UNBOUNDED,
        keys: 100_000,
        rows: 4_000_000,
        inputs: 1,
        rows_per_second: 100_000,
        goal: 3e6,
    },
    Case {
        name: "over-rows-1k",
        sql: OVER_ROWS,
        keys: 1_000,
        rows: 4_000_000,
        inputs: 1,
        rows_per_second: 100_000,
        goal: 3e6,
    },
];
