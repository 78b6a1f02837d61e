//! The catalog as tables.

use super::{message, plan};
use crate::plan::Operator;
use crate::sql::expr::{ExprKind, Literal};

/// The rows of a view, as text, `-` for NULL.
fn rows(view: &str) -> Vec<Vec<String>> {
    let plan = plan(&format!("SELECT * FROM {view}"));
    let Operator::Values { rows } = &plan.nodes[0].operator else {
        panic!("{:?}", plan.nodes[0].operator);
    };
    let text = |kind: &ExprKind| match kind {
        ExprKind::Literal(Literal::String(text)) => text.clone(),
        ExprKind::Literal(Literal::Integer(number)) => number.to_string(),
        _ => "-".to_owned(),
    };
    rows.iter()
        .map(|row| row.iter().map(|expr| text(&expr.kind)).collect())
        .collect()
}

/// The row that has these values in some columns.
fn row_of<'a>(rows: &'a [Vec<String>], values: &[&str]) -> &'a [String] {
    let has = |row: &&Vec<String>| {
        values
            .iter()
            .all(|value| row.iter().any(|cell| cell == value))
    };
    rows.iter().find(has).unwrap()
}

#[test]
fn databases_are_listed_with_that_of_the_views() {
    let found = rows("INFORMATION_SCHEMA.SCHEMATA");
    let names: Vec<&str> = found.iter().map(|row| row[3].as_str()).collect();
    assert_eq!(names, ["cluster_0", "INFORMATION_SCHEMA"]);
    assert_eq!(
        rows("`default`.INFORMATION_SCHEMA.`CATALOGS`")[0],
        ["default", "default"]
    );
}

#[test]
fn tables_tell_their_watermark_and_distribution() {
    let found = rows("INFORMATION_SCHEMA.`TABLES`");
    let totals = row_of(&found, &["totals"]);
    assert_eq!(
        totals[4..].join("|"),
        "totals|BASE TABLE|YES|HASH|-|YES|$rowtime|`SOURCE_WATERMARK`()|YES|NO|-"
    );
    assert_eq!(row_of(&found, &["COLUMNS"])[5], "SYSTEM TABLE");
    assert_eq!(row_of(&found, &["big"])[5], "VIEW");
}

#[test]
fn columns_are_numbered_and_hidden_ones_marked() {
    let found = rows("INFORMATION_SCHEMA.`COLUMNS`");
    let customer = row_of(&found, &["totals", "customer_id"]);
    assert_eq!(customer[6..8], ["1", "NO"]);
    assert_eq!(customer[16], "1", "place among the keys of the buckets");
    let rowtime = row_of(&found, &["totals", "$rowtime"]);
    assert_eq!(
        rowtime[7..17].join("|"),
        "NO|TIMESTAMP|TIMESTAMP(3) WITH LOCAL TIME ZONE|YES|NEVER|-|YES|timestamp|NO|-"
    );
    assert_eq!(row_of(&found, &["big", "price"])[8], "DOUBLE");
}

#[test]
fn keys_and_options_belong_to_their_tables() {
    let keys = rows("INFORMATION_SCHEMA.KEY_COLUMN_USAGE");
    assert_eq!(
        row_of(&keys, &["totals"])[5..],
        ["PRIMARY", "customer_id", "1"]
    );
    let constraints = rows("INFORMATION_SCHEMA.TABLE_CONSTRAINTS");
    assert_eq!(
        row_of(&constraints, &["totals"])[5..],
        ["PRIMARY", "PRIMARY KEY", "NO"]
    );
    let options = rows("INFORMATION_SCHEMA.TABLE_OPTIONS");
    assert_eq!(row_of(&options, &["totals", "changelog.mode"])[6], "upsert");
}

#[test]
fn views_join_filter_and_are_refused_by_name() {
    let plan = plan(
        "SELECT t.TABLE_NAME, COUNT(*) AS n FROM INFORMATION_SCHEMA.`TABLES` AS t JOIN INFORMATION_SCHEMA.`COLUMNS` AS c \
         ON t.TABLE_NAME = c.TABLE_NAME WHERE c.IS_HIDDEN = 'NO' GROUP BY t.TABLE_NAME",
    );
    assert!(plan.nodes.len() > 4, "{}", plan.nodes.len());
    assert!(message("SELECT * FROM INFORMATION_SCHEMA.TABLE").contains("\"TABLES\""));
    assert!(message("SELECT * FROM nowhere.INFORMATION_SCHEMA.`TABLES`").contains("nowhere"));
}
