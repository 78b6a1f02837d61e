//! `STATE_TTL`: which operators keep what for how long, and which names are refused.

use std::time::Duration;

use super::*;
use crate::plan::explain::explain;

/// Times to live by node, of the nodes that have any.
fn ttls(sql: &str) -> Vec<(String, Vec<Option<u64>>)> {
    let plan = plan(sql);
    let with_ttl = plan.nodes.iter().filter(|n| !n.state_ttls_ms.is_empty());
    with_ttl
        .map(|node| (node.operator.name().to_owned(), node.state_ttls_ms.clone()))
        .collect()
}

/// A day in milliseconds.
const DAY_MS: u64 = 86_400_000;

#[test]
fn joins_take_the_times_of_their_inputs() {
    let cases: [(&str, Vec<Option<u64>>); 4] = [
        (
            "SELECT /*+ STATE_TTL('o' = '1 d', 'big' = '2 d') */ o.price FROM orders AS o JOIN big ON o.order_id = big.order_id",
            vec![Some(DAY_MS), Some(2 * DAY_MS)],
        ),
        (
            "SELECT /*+ STATE_TTL('b' = '0') */ o.price FROM orders AS o JOIN big AS b ON o.order_id = b.order_id",
            vec![None, Some(0)],
        ),
        (
            "SELECT /*+ STATE_TTL(x = '90 s') */ x.p FROM orders AS o JOIN (SELECT order_id, price * 2 AS p FROM big) AS x USING (order_id)",
            vec![None, Some(90_000)],
        ),
        (
            "SELECT /*+ STATE_TTL('o' = '1 d'), BROADCAST(b) */ o.price FROM orders AS o LEFT JOIN big AS b ON o.order_id = b.order_id",
            vec![Some(DAY_MS), None],
        ),
    ];
    for (sql, expected) in cases {
        assert_eq!(ttls(sql), [("Join".to_owned(), expected)], "{sql}");
    }
}

#[test]
fn an_input_that_is_a_join_has_no_name() {
    let sql = "SELECT /*+ STATE_TTL('a' = '1 d', 'c' = '2 d') */ a.price FROM orders AS a
        JOIN orders AS b ON a.order_id = b.order_id JOIN orders AS c ON a.order_id = c.order_id";
    assert_eq!(
        ttls(sql),
        [
            ("Join".to_owned(), vec![Some(DAY_MS), None]),
            ("Join".to_owned(), vec![None, Some(2 * DAY_MS)]),
        ]
    );
}

#[test]
fn group_aggregates_take_the_time_of_their_input_and_windows_none() {
    let grouped = "SELECT /*+ STATE_TTL('orders' = '1 d') */ customer_id, COUNT(*) FROM orders GROUP BY customer_id";
    let aggregate = ("GroupAggregate".to_owned(), vec![Some(DAY_MS)]);
    assert_eq!(ttls(grouped), [aggregate]);
    let windowed = "SELECT /*+ STATE_TTL('clicks' = '1 d') */ window_start, COUNT(*) FROM TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' MINUTE)
        GROUP BY window_start, window_end";
    assert_eq!(ttls(windowed), []);
}

#[test]
fn a_hint_stays_in_its_query_block() {
    let sql = "SELECT /*+ STATE_TTL('n' = '1 d') */ n.k FROM
        (SELECT customer_id AS k, COUNT(*) AS c FROM orders AS n GROUP BY customer_id) AS n JOIN totals AS t ON n.k = t.customer_id";
    assert_eq!(ttls(sql), [("Join".to_owned(), vec![Some(DAY_MS), None])]);
}

#[test]
fn names_that_no_input_has_are_refused() {
    assert_eq!(
        message(
            "SELECT /*+ STATE_TTL('orders' = '1 d') */ o.price FROM orders AS o JOIN big AS b ON o.order_id = b.order_id"
        ),
        "line 1, column 8: hint STATE_TTL: unknown table or alias \"orders\"; FROM has o, b"
    );
    assert!(message("SELECT /*+ STATE_TTL('t' = '1 d') */ 1").contains("unknown table or alias"));
    assert_eq!(
        message("SELECT 1 FROM orders /*+ STATE_TTL('orders' = '1 d') */"),
        "line 1, column 22: a hint STATE_TTL follows SELECT"
    );
}

#[test]
fn a_plan_is_stored_and_explained_with_its_times_and_as_before_without() {
    let sql = "SELECT /*+ STATE_TTL('b' = '1 h') */ o.price FROM orders AS o JOIN big AS b ON o.order_id = b.order_id";
    let hinted = plan(sql);
    let stored = serde_json::to_string(&hinted).unwrap();
    assert_eq!(serde_json::from_str::<StreamPlan>(&stored).unwrap(), hinted);
    let text = explain(&hinted);
    assert!(
        text.contains("State TTL: left that of the statement, right 3600000 ms"),
        "{text}"
    );
    let plain = plan("SELECT o.price FROM orders AS o JOIN big AS b ON o.order_id = b.order_id");
    assert!(
        !serde_json::to_string(&plain)
            .unwrap()
            .contains("state_ttls_ms")
    );
    let join = hinted
        .nodes
        .iter()
        .find(|node| node.operator.name() == "Join");
    let ttl = |input, of_statement| join.unwrap().state_ttl_ms(input, of_statement);
    assert_eq!(ttl(0, None), None);
    assert_eq!(ttl(0, Some(Duration::from_secs(5))), Some(5_000));
    assert_eq!(ttl(1, Some(Duration::from_secs(5))), Some(3_600_000));
}
