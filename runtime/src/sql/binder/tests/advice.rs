//! What a plan's user is advised, and when not.

use std::time::Duration;

use super::*;
use crate::plan::advice::{Severity, advise};

/// Reasons of the advice about a statement.
fn reasons(sql: &str, ttl: Option<Duration>) -> Vec<&'static str> {
    let advice = advise(&plan(sql), ttl);
    advice.into_iter().map(|advice| advice.reason).collect()
}

/// A join of two tables that only grow.
const JOIN: &str = "SELECT a.price FROM orders AS a JOIN orders AS b ON a.order_id = b.order_id AND a.price < b.price";

#[test]
fn joins_without_a_time_to_live_are_warned_of() {
    assert_eq!(reasons(JOIN, None), ["HIGH_STATE_WITHOUT_TTL"]);
    assert_eq!(reasons(JOIN, Some(Duration::from_secs(1))), [""; 0]);
    let hinted = JOIN.replacen(
        "SELECT",
        "SELECT /*+ STATE_TTL('a' = '1 d', 'b' = '1 d') */",
        1,
    );
    assert_eq!(reasons(&hinted, None), [""; 0]);
    let one_side = JOIN.replacen("SELECT", "SELECT /*+ STATE_TTL('a' = '1 d') */", 1);
    assert_eq!(reasons(&one_side, None), ["HIGH_STATE_WITHOUT_TTL"]);
    assert_eq!(
        reasons("SELECT order_id FROM orders WHERE price > 1", None),
        [""; 0]
    );
}

#[test]
fn a_key_that_is_not_the_query_s_is_warned_of() {
    let sql = "INSERT INTO totals SELECT customer_id, COUNT(*), MAX(price) FROM orders GROUP BY customer_id, product_id";
    let advice = advise(&plan(sql), Some(Duration::from_secs(1)));
    assert_eq!(advice.len(), 1);
    assert_eq!(advice[0].severity, Severity::Critical);
    assert_eq!(advice[0].reason, "PRIMARY_KEY_UPSERT_KEY_MISMATCH");
    let message = &advice[0].message;
    assert!(
        message.starts_with(
            "[Warning] The primary key (customer_id) of `default`.`cluster_0`.`totals`"
        ),
        "{message}"
    );
    let fitting = "INSERT INTO totals SELECT customer_id, COUNT(*), MAX(price) FROM orders GROUP BY customer_id";
    assert_eq!(reasons(fitting, None), [""; 0]);
}

#[test]
fn groups_by_half_a_window_are_warned_of() {
    let grouped = |keys: &str| {
        format!(
            "SELECT COUNT(*) FROM TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' MINUTE) GROUP BY {keys}"
        )
    };
    assert_eq!(
        reasons(&grouped("k, window_start"), None),
        ["MISSING_WINDOW_START_END"]
    );
    assert_eq!(reasons(&grouped("k"), None), ["MISSING_WINDOW_START_END"]);
    assert_eq!(
        reasons(&grouped("k, window_start, window_end"), None),
        [""; 0]
    );
}

#[test]
fn sessions_of_a_whole_table_are_warned_of() {
    let session = |table: &str| {
        format!(
            "SELECT window_start, COUNT(*) FROM SESSION(TABLE clicks {table}, DESCRIPTOR(ts), INTERVAL '1' MINUTE) GROUP BY window_start, window_end"
        )
    };
    assert_eq!(
        reasons(&session(""), None),
        ["SESSION_WITHOUT_PARTITION_BY"]
    );
    assert_eq!(reasons(&session("PARTITION BY k"), None), [""; 0]);
}

#[test]
fn explain_prints_advice_behind_the_plan() {
    let text = answer(&format!("EXPLAIN {JOIN}")).1.concat().concat();
    let (_, warnings) = text
        .split_once("\n== Warnings ==\n\n1. MODERATE: [Warning] StreamJoin [")
        .unwrap();
    assert!(
        warnings.ends_with("https://cnfl.io/high_state_intensive_operators\n"),
        "{warnings}"
    );
    assert!(
        !answer("EXPLAIN SELECT price FROM orders")
            .1
            .concat()
            .concat()
            .contains("Warnings")
    );
}
