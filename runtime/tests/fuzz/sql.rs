//! SQL text: any text is parsed or refused.
//!
//! Place in the flow: a seed makes a text of words and damages it. Invariant: nothing panics, neither the parser nor the binder, and
//! nothing hangs.

use weir_runtime::sql::catalog::MemoryCatalog;
use weir_runtime::sql::session::Session;
use weir_runtime::sql::{Bound, analyze, parse};

use crate::random::Random;

/// Texts of a group that shares a catalog.
const GROUP: u64 = 100;

/// Groups unless more are asked for: some seconds.
const GROUPS: u64 = 300;

/// Stack of the thread that runs the test, bytes: as large as that of the server's threads.
const STACK_BYTES: usize = 2 << 20;

/// Statements that bind, as material.
const STATEMENTS: [&str; 9] = [
    "CREATE TABLE t (a INT, b STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) WITH ('connector' = 'datagen')",
    "SELECT a, COUNT(*) AS n FROM t WHERE b LIKE 'x%' ESCAPE '!' GROUP BY a HAVING COUNT(*) > 1",
    "SELECT window_start, SUM(a) FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end",
    "INSERT INTO t (a, b) SELECT CAST(b AS INT), UPPER(TRIM(b)) FROM t /*+ OPTIONS('k' = 'v') */",
    "SELECT x.a, y.b FROM t AS x JOIN t AS y ON x.a = y.a AND x.ts BETWEEN y.ts - INTERVAL '1' HOUR AND y.ts",
    "WITH c AS (SELECT a FROM t UNION ALL SELECT 1) SELECT CASE a WHEN 1, 2 THEN 'l' ELSE NULL END FROM c",
    "SELECT ARRAY[1, 2][1], MAP['k', ROW(1, 'x')], U&'\\0041', x'00FF', -1.5e3, DATE '2024-02-29', TIMESTAMP '2024-01-01 00:00:00.123456789'",
    "EXECUTE STATEMENT SET BEGIN INSERT INTO t SELECT * FROM t; INSERT INTO t SELECT * FROM t; END",
    "SELECT CAST(ROW(1, 'a') AS ROW<i INT NOT NULL, s STRING>), TRY_CAST('1' AS DECIMAL(38, 18)), EXTRACT(DAY FROM ts), FLOOR(ts TO HOUR) FROM t",
];

/// Words that stand anywhere.
const WORDS: [&str; 44] = [
    "SELECT",
    "FROM",
    "WHERE",
    "(",
    ")",
    "((",
    "))",
    ",",
    ";",
    "'",
    "`",
    "\"",
    "--",
    "/*",
    "*/",
    "/*+",
    "CASE",
    "WHEN",
    "END",
    "CAST(",
    " AS ",
    "INTERVAL",
    "'1'",
    "BETWEEN",
    "SYMMETRIC",
    "AND",
    "NOT",
    "IS",
    "NULL",
    "ROW<",
    "ARRAY[",
    "MAP[",
    "]",
    ">",
    "t",
    "a",
    "b",
    "1e999",
    "99999999999999999999",
    "0x",
    "U&'",
    "OVERLAPS",
    "TABLE",
    "\u{0}é😀",
];

/// A text.
fn text(random: &mut Random) -> String {
    let mut words: Vec<&str> = random.pick(&STATEMENTS).split(' ').collect();
    for _ in 0..random.below(6) {
        let at = random.below(words.len());
        match random.below(4) {
            0 => drop(words.remove(at)),
            1 => words.insert(at, random.pick(&WORDS)),
            2 => words[at] = random.pick(&WORDS),
            _ => {
                let other: Vec<&str> = random.pick(&STATEMENTS).split(' ').collect();
                let from = random.below(other.len());
                words.splice(at..at, other[from..].iter().copied());
            }
        }
        if words.is_empty() {
            return String::new();
        }
    }
    if random.once_in(40) {
        let word = random.pick(&[
            "(",
            "NOT ",
            "- ",
            "ARRAY[",
            "CASE WHEN ",
            "(SELECT ",
            "CAST(",
            "1 + ",
            "ARRAY<",
        ]);
        let deep = word.repeat(1 + random.below(5_000));
        let at = random.below(words.len());
        return format!("{} {deep} {}", words[..at].join(" "), words[at..].join(" "));
    }
    let mut bytes = words.join(" ").into_bytes();
    if random.once_in(3) {
        random.damage(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Parses and binds the texts of a seed; how many bound.
fn run(seed: u64) -> u64 {
    let mut random = Random::new(seed);
    let (mut catalog, session) = (MemoryCatalog::new(), Session::default());
    let mut bound = 0;
    for create in parse(STATEMENTS[0]).expect("the first one parses") {
        if let Bound::CreateTable { table, .. } =
            analyze(&create, &catalog, &session).expect("and binds")
        {
            catalog.put_table(table);
        }
    }
    for _ in 0..GROUP {
        let text = text(&mut random);
        let Ok(statements) = parse(&text) else {
            continue;
        };
        for statement in statements {
            bound += u64::from(analyze(&statement, &catalog, &session).is_ok());
        }
    }
    bound
}

#[test]
fn any_text_is_parsed_or_refused() {
    let seeds = crate::seeds(GROUPS, GROUP);
    let groups = seeds.end - seeds.start;
    let worker = std::thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(move || seeds.map(run).sum::<u64>())
        .unwrap();
    let bound = worker.join().expect("no text panics");
    assert!(bound > groups * GROUP / 50, "{bound} texts bound");
}
