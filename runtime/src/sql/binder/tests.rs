//! Tests of the binder: plans, types, places and suggestions.

use super::*;
use crate::error::{Code, Kind};
use crate::plan::explain::node_name;
use crate::plan::{
    AggregateCall, AggregateFunction, ChangelogMode, Exchange, Node, Operator, Scan, SinkTarget,
    Window, WindowKind, WindowProperty,
};
use crate::sql::catalog::MemoryCatalog;
use crate::sql::expr::ExprKind;
use crate::sql::parse;
use crate::types::{FlinkType, TypeKind};

/// Tables of the tests.
const TABLES: &str = "
CREATE TABLE orders (
  order_id STRING NOT NULL, customer_id INT NOT NULL, product_id STRING, price DOUBLE NOT NULL, quantity BIGINT,
  amount DECIMAL(10, 2) NOT NULL, address ROW<city STRING, zip INT>, tags ARRAY<STRING>
) WITH ('value.format' = 'json');
CREATE TABLE clicks (
  k STRING, v INT, ts TIMESTAMP(3), late AS v + 1, part INT METADATA FROM 'partition' VIRTUAL,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH ('connector' = 'kafka', 'topic' = 'c', 'properties.bootstrap.servers' = 'b:1', 'format' = 'json');
CREATE TABLE per_window (
  window_start TIMESTAMP(3), window_end TIMESTAMP(3), customer_id INT, orders BIGINT, revenue DOUBLE);
CREATE TABLE totals (customer_id INT, orders BIGINT, revenue DOUBLE, PRIMARY KEY (customer_id) NOT ENFORCED);
CREATE TABLE expensive (order_id STRING, price DOUBLE);
CREATE TABLE printed (a STRING, n BIGINT) WITH ('connector' = 'print');
CREATE TABLE generated (id BIGINT, name STRING) WITH ('connector' = 'datagen', 'number-of-rows' = '10');
CREATE VIEW big AS SELECT order_id, price FROM orders WHERE price > 100;
";

/// A catalog with the tables of the tests.
fn catalog() -> MemoryCatalog {
    let mut catalog = MemoryCatalog::new();
    for statement in parse(TABLES).unwrap() {
        match analyze(&statement, &catalog, &Session::default()).unwrap() {
            Bound::CreateTable { table, .. } => catalog.put_table(table),
            Bound::CreateView { view, .. } => catalog.put_view(view),
            other => panic!("{other:?}"),
        }
    }
    catalog
}

/// Binds one statement.
fn bind(sql: &str) -> Result<Bound> {
    let statements = parse(sql)?;
    assert_eq!(statements.len(), 1, "{sql}");
    analyze(&statements[0], &catalog(), &Session::default())
}

/// The plan of a statement.
fn plan(sql: &str) -> StreamPlan {
    match bind(sql) {
        Ok(Bound::Query(plan, _) | Bound::Insert(plan, _) | Bound::CreateTableAs { plan, .. }) => {
            plan
        }
        other => panic!("{sql}: {other:?}"),
    }
}

/// The message of a statement that does not bind.
fn message(sql: &str) -> String {
    match bind(sql) {
        Err(error) => error.to_string(),
        Ok(bound) => panic!("{sql}: {bound:?}"),
    }
}

/// Names of a plan's nodes.
fn nodes(plan: &StreamPlan) -> Vec<String> {
    plan.nodes.iter().map(node_name).collect()
}

/// Result types of a query.
fn types(sql: &str) -> Vec<String> {
    match bind(sql) {
        Ok(Bound::Query(_, info)) => info
            .columns
            .iter()
            .map(|column| column.ty.to_string())
            .collect(),
        other => panic!("{sql}: {other:?}"),
    }
}

/// Result names of a query.
fn names(sql: &str) -> Vec<String> {
    match bind(sql) {
        Ok(Bound::Query(_, info)) => info.columns.into_iter().map(|column| column.name).collect(),
        other => panic!("{sql}: {other:?}"),
    }
}

/// The scan of a node.
fn scan(node: &Node) -> &Scan {
    match &node.operator {
        Operator::TableSourceScan(scan) => scan,
        other => panic!("{other:?}"),
    }
}

/// Names of what a scan reads.
fn read(node: &Node) -> Vec<&str> {
    scan(node)
        .read
        .iter()
        .map(|column| column.name.as_str())
        .collect()
}

/// The projections of a Calc as column indices; computed ones are absent.
fn projected(node: &Node) -> Vec<Option<usize>> {
    match &node.operator {
        Operator::Calc { projections, .. } => projections
            .iter()
            .map(crate::sql::expr::Expr::as_column)
            .collect(),
        other => panic!("{other:?}"),
    }
}

/// An answer's rows.
fn answer(sql: &str) -> (Vec<String>, Vec<Vec<String>>) {
    match bind(sql) {
        Ok(Bound::Rows { columns, rows, .. }) => (
            columns.into_iter().map(|column| column.name).collect(),
            rows.into_iter()
                .map(|row| row.into_iter().map(Option::unwrap_or_default).collect())
                .collect(),
        ),
        other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn demo() {
    let plan = plan(
        "EXECUTE STATEMENT SET BEGIN
INSERT INTO per_window SELECT window_start, window_end, customer_id, COUNT(*), SUM(price)
  FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(`$rowtime`), INTERVAL '10' SECOND))
  GROUP BY window_start, window_end, customer_id;
INSERT INTO totals SELECT customer_id, COUNT(*), SUM(price) FROM orders GROUP BY customer_id;
INSERT INTO expensive SELECT order_id, price FROM orders WHERE price > 90;
END",
    );
    eprintln!("{}", crate::plan::explain::explain(&plan));
    panic!("{:#?}", plan.nodes);
}
