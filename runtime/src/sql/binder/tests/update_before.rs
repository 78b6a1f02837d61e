//! Which nodes say what rows were before their updates.

use super::*;

/// The updating nodes of a statement, each with `U` for upserts or `R` for full changes.
fn updating(sql: &str) -> Vec<String> {
    let plan = plan(sql);
    let mode = |node: &Node| match node.changelog {
        ChangelogMode::Append => None,
        ChangelogMode::Upsert => Some(format!("{} U", node.operator.name())),
        ChangelogMode::Retract => Some(format!("{} R", node.operator.name())),
    };
    plan.nodes.iter().filter_map(mode).collect()
}

#[test]
fn an_aggregation_into_its_own_key_emits_upserts() {
    let grouped = "SELECT customer_id, COUNT(*), SUM(price) FROM orders GROUP BY customer_id";
    let found = updating(&format!("INSERT INTO totals {grouped}"));
    assert_eq!(found, ["GroupAggregate U", "Sink U"]);
}

#[test]
fn a_filter_of_results_needs_what_they_were() {
    let grouped = "SELECT customer_id, COUNT(*), SUM(price) FROM orders GROUP BY customer_id";
    let found = updating(&format!("INSERT INTO totals {grouped} HAVING COUNT(*) > 2"));
    assert_eq!(
        found,
        ["GroupAggregate R", "Calc R", "Sink U"],
        "the old row of an update that does not pass takes the row away"
    );
    let found = updating(&format!(
        "INSERT INTO totals {grouped} HAVING customer_id > 2"
    ));
    assert!(found.iter().all(|node| node.ends_with('U')), "{found:?}");
}

#[test]
fn another_aggregation_takes_back_what_it_has_counted() {
    let found = updating(
        "INSERT INTO totals SELECT CAST(n AS INT), COUNT(*), MAX(revenue)
         FROM (SELECT customer_id, COUNT(*) AS n, SUM(price) AS revenue FROM orders GROUP BY customer_id)
         GROUP BY CAST(n AS INT)",
    );
    assert_eq!(found.first().map(String::as_str), Some("GroupAggregate R"));
    assert_eq!(found.last().map(String::as_str), Some("Sink U"));
}

#[test]
fn a_sink_by_another_key_and_one_of_changes_need_every_row() {
    let found = updating(
        "INSERT INTO totals SELECT CAST(quantity AS INT), customer_id, MAX(price)
         FROM orders GROUP BY customer_id, quantity",
    );
    assert_eq!(found.first().map(String::as_str), Some("GroupAggregate R"));
    let materialized = found.iter().position(|node| node == "UpsertMaterialize U");
    let before = &found[..materialized.unwrap_or(0)];
    assert!(
        !before.is_empty() && before.iter().all(|node| node.ends_with('R')),
        "{found:?}"
    );
    let found =
        updating("INSERT INTO printed SELECT product_id, COUNT(*) FROM orders GROUP BY product_id");
    assert!(found.iter().all(|node| node.ends_with('R')), "{found:?}");
    let found = updating("SELECT product_id, COUNT(*) FROM orders GROUP BY product_id");
    assert!(found.iter().all(|node| node.ends_with('R')), "{found:?}");
}

#[test]
fn two_readers_get_what_the_more_demanding_one_needs() {
    let found = updating(
        "EXECUTE STATEMENT SET BEGIN
         INSERT INTO totals SELECT customer_id, COUNT(*), SUM(price) FROM orders GROUP BY customer_id;
         INSERT INTO printed SELECT CAST(customer_id AS STRING), COUNT(*) FROM orders GROUP BY customer_id;
         END",
    );
    assert!(found.contains(&"GroupAggregate U".to_owned()), "{found:?}");
    assert!(found.contains(&"GroupAggregate R".to_owned()), "{found:?}");
}

#[test]
fn versions_are_read_by_key_unless_a_filter_takes_some_away() {
    let joined = |filter: &str| {
        updating(&format!(
            "WITH last_ones AS (SELECT customer_id, price, at FROM (SELECT customer_id, price, `$rowtime` AS at,
               ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY `$rowtime` DESC) AS n FROM orders) WHERE n = 1),
             versions AS (SELECT * FROM last_ones {filter})
             SELECT c.k, v.price FROM clicks AS c JOIN versions FOR SYSTEM_TIME AS OF c.ts AS v ON c.v = v.customer_id"
        ))
    };
    assert_eq!(
        joined("").first().map(String::as_str),
        Some("Deduplicate U")
    );
    let filtered = joined("WHERE price <> 5");
    assert_eq!(
        filtered.first().map(String::as_str),
        Some("Deduplicate R"),
        "{filtered:?}"
    );
}
