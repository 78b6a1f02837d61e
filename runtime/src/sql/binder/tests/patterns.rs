//! `MATCH_RECOGNIZE`: what is planned, and what is refused.

use super::shapes::find;
use super::*;
use crate::plan::{Operator, PatternVariable};

#[test]
fn patterns_are_bound_through_their_variables() {
    let plan = plan(
        "SELECT * FROM clicks MATCH_RECOGNIZE (PARTITION BY k ORDER BY ts MEASURES FIRST(A.v) AS f, COUNT(A.v) AS n, MATCH_ROWTIME() AS t AFTER MATCH SKIP TO LAST B PATTERN (A{2,}? B) WITHIN INTERVAL '1' HOUR DEFINE A AS v > 1, B AS B.v < LAST(A.v, 1))",
    );
    let node = find(&plan, "Match");
    let Operator::Match(found) = &node.operator else {
        panic!("{node:?}");
    };
    let names: Vec<&str> = node
        .schema
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    assert_eq!(names, ["k", "f", "n", "t"]);
    assert_eq!(found.within_ms, Some(3_600_000));
    assert_eq!(node.rowtime, Some(3));
    let variable = |name: &str, min, max, greedy| PatternVariable {
        name: name.to_owned(),
        min,
        max,
        greedy,
    };
    assert_eq!(
        found.pattern,
        [
            variable("A", 2, None, false),
            variable("B", 1, Some(1), false)
        ]
    );
}

/// What a pattern with its definitions is refused with.
fn refused_pattern(pattern: &str, define: &str) -> String {
    message(&format!(
        "SELECT * FROM clicks MATCH_RECOGNIZE (ORDER BY ts MEASURES A.v AS v PATTERN ({pattern}) DEFINE {define})"
    ))
}

#[test]
fn patterns_that_flink_refuses_are_refused_with_the_reason() {
    for (pattern, reason) in [
        ("A | B", "alternatives (|)"),
        ("A PERMUTE(B, C)", "PERMUTE"),
        ("{- B -} A", "{- -}"),
        ("^ A B", "^"),
        ("(A B)+ C", "a group of a pattern"),
        ("(A+)? B", "a group of a pattern"),
        ("A B A", "the pattern variable A twice"),
        ("A B+", "the greedy variable B at the end"),
        ("A B{2,3}", "the greedy variable B at the end"),
        ("A* B?", "the optional variable B behind the greedy A"),
        ("A? B{0,2}?", "may match no row"),
        ("A+ B? C", "the optional variable B behind the greedy A"),
        (
            "A{2,3} B*? C",
            "the optional variable B behind the greedy A",
        ),
        ("A B?? C", "the reluctant optional variable B"),
        ("A B{0,1}? C", "the reluctant optional variable B"),
        ("A{,3} B", "write A{0,3}"),
        ("A{0} B", "the repetition of A takes"),
        ("A{3,2} B", "the repetition of A takes"),
    ] {
        let found = refused_pattern(pattern, "A AS v > 1");
        assert!(found.contains(reason), "{pattern}: {found}");
    }
    for pattern in [
        "(A B) C",
        "A (B C)",
        "(A)+ C",
        "A+ B{0,2} C",
        "A{2} B? C",
        "A? B? C{1}?",
    ] {
        plan(&format!(
            "SELECT * FROM clicks MATCH_RECOGNIZE (ORDER BY ts MEASURES A.v AS v PATTERN ({pattern}) DEFINE A AS v > 1)"
        ));
    }
}

#[test]
fn conditions_and_measures_that_flink_refuses_are_refused_with_the_reason() {
    for (define, reason) in [
        ("A AS PREV(A.v) > 1", "no physical offsets"),
        ("A AS NEXT(A.v, 2) > 1", "no physical offsets"),
        ("A AS CLASSIFIER() = 'A'", "CLASSIFIER in MATCH_RECOGNIZE"),
        (
            "A AS LAST(A.v + B.v, 1) > 1",
            "LAST looks at rows of several",
        ),
        ("A AS SUM(A.v + B.v) > 1", "SUM looks at rows of several"),
        ("A AS LAST(SUM(A.v)) > 1", "do not nest"),
        ("A AS LAST(FIRST(A.v)) > 1", "do not nest"),
        ("A AS SUM(SUM(A.v)) > 1", "do not nest"),
        (
            "A AS LAST(A.v, -1) > 1",
            "a whole number that is written out",
        ),
        (
            "A AS COUNT(DISTINCT A.v) > 1",
            "DISTINCT and FILTER of COUNT",
        ),
        ("A AS v", "DEFINE takes a BOOLEAN"),
        (
            "A AS v > 1, A AS v > 2",
            "the pattern variable A is defined twice",
        ),
        ("A AS v > (SELECT MAX(v) FROM clicks)", "sub-queries, OVER"),
        ("A AS MATCH_ROWTIME(v) > ts", "MATCH_ROWTIME takes nothing"),
    ] {
        let found = refused_pattern("A B", define);
        assert!(found.contains(reason), "{define}: {found}");
    }
}

#[test]
fn clauses_that_flink_refuses_are_refused_with_the_reason() {
    for (clauses, reason) in [
        (
            "PARTITION BY k ORDER BY v MEASURES A.v AS v",
            "either rowtime or proctime",
        ),
        (
            "PARTITION BY k ORDER BY ts DESC MEASURES A.v AS v",
            "must be ascending on time",
        ),
        ("PARTITION BY k MEASURES A.v AS v", "requires an ORDER BY"),
        ("PARTITION BY k ORDER BY ts", "without MEASURES"),
        (
            "PARTITION BY k ORDER BY ts MEASURES A.v AS a, B.v AS a",
            "two columns of the name a",
        ),
        (
            "PARTITION BY k ORDER BY ts MEASURES A.v AS k",
            "two columns of the name k",
        ),
        (
            "PARTITION BY v + 1 ORDER BY ts MEASURES A.v AS a",
            "PARTITION BY of MATCH_RECOGNIZE takes columns",
        ),
        (
            "ORDER BY ts MEASURES A.v AS a ALL ROWS PER MATCH",
            "ALL ROWS PER MATCH, as in Flink",
        ),
        (
            "ORDER BY ts MEASURES A.v AS a AFTER MATCH SKIP TO FIRST C",
            "unknown pattern variable \"C\"",
        ),
    ] {
        let sql = format!(
            "SELECT * FROM clicks MATCH_RECOGNIZE ({clauses} PATTERN (A B) DEFINE A AS v > 1)"
        );
        let found = message(&sql);
        assert!(found.contains(reason), "{clauses}: {found}");
    }
    assert!(message("SELECT * FROM clicks MATCH_RECOGNIZE (ORDER BY ts MEASURES A.v AS v PATTERN (A B) WITHIN INTERVAL '1' MONTH DEFINE A AS v > 1)")
        .contains("WITHIN takes an interval of days to seconds"));
    let updates = message(
        "SELECT * FROM (SELECT k, MAX(ts) AS ts FROM clicks GROUP BY k) MATCH_RECOGNIZE (ORDER BY ts MEASURES A.k AS a PATTERN (A B) DEFINE A AS A.k IS NULL)",
    );
    assert!(updates.contains("update and delete changes"), "{updates}");
}
