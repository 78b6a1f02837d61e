//! Tests of the binder: plans, types, places and suggestions.

mod advice;
mod formats;
mod information_schema;
mod join;
mod like;
mod patterns;
mod process_functions;
mod resources;
mod shapes;
mod state_ttl;
mod statements;
mod update_before;

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

/// The demo: a window aggregation, an updating one and a filter over one table.
const DEMO: &str = "EXECUTE STATEMENT SET BEGIN
INSERT INTO per_window SELECT window_start, window_end, customer_id, COUNT(*), SUM(price)
  FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(`$rowtime`), INTERVAL '10' SECOND))
  GROUP BY window_start, window_end, customer_id;
INSERT INTO totals SELECT customer_id, COUNT(*), SUM(price) FROM orders GROUP BY customer_id;
INSERT INTO expensive SELECT order_id, price FROM orders WHERE price > 90;
END";

/// COUNT(*) and SUM of a DOUBLE column.
fn count_and_sum(argument: usize) -> Vec<AggregateCall> {
    let call = |function, argument, ty: FlinkType| AggregateCall {
        function,
        argument,
        further: Vec::new(),
        filter: None,
        distinct: false,
        ty,
    };
    vec![
        call(AggregateFunction::Count, None, TypeKind::BigInt.not_null()),
        call(
            AggregateFunction::Sum,
            Some(argument),
            TypeKind::Double.not_null(),
        ),
    ]
}

#[test]
fn a_statement_set_reads_its_table_once() {
    let plan = plan(DEMO);
    assert_eq!(
        nodes(&plan),
        [
            "StreamTableSourceScan [1]",
            "StreamCalc [2]",
            "StreamWindowAggregate [3]",
            "StreamCalc [4]",
            "StreamSink [5]",
            "StreamCalc [6]",
            "StreamGroupAggregate [7]",
            "StreamSink [8]",
            "StreamCalc [9]",
            "StreamSink [10]",
        ]
    );
    let source = &plan.nodes[0];
    assert_eq!(
        read(source),
        ["order_id", "customer_id", "price", "$rowtime"]
    );
    assert_eq!(source.rowtime, Some(3));
    let watermark = scan(source).watermark.as_ref().unwrap();
    assert_eq!((watermark.rowtime, &watermark.expression), (3, &None));
    assert_eq!(plan.consumers(source.id).count(), 3);
}

#[test]
fn a_window_aggregation_is_computed_per_key_and_window() {
    let plan = plan(DEMO);
    assert_eq!(projected(&plan.nodes[1]), [Some(1), Some(2), Some(3)]);
    let aggregate = &plan.nodes[2];
    assert_eq!(
        aggregate.operator,
        Operator::WindowAggregate {
            window: Window {
                time: 2,
                kind: WindowKind::Tumble {
                    size_ms: 10_000,
                    offset_ms: 0
                },
                time_zone: "UTC".to_owned(),
                partition: Vec::new(),
                domain: crate::plan::TimeDomain::Event,
                attached: None
            },
            keys: vec![0],
            aggregates: count_and_sum(1),
            properties: vec![WindowProperty::Start, WindowProperty::End],
        }
    );
    assert_eq!(aggregate.inputs[0].exchange, Exchange::Hash(vec![0]));
    assert_eq!(aggregate.changelog, ChangelogMode::Append);
    let types: Vec<String> = aggregate
        .schema
        .iter()
        .map(|column| column.ty.to_string())
        .collect();
    assert_eq!(
        types,
        [
            "INT NOT NULL",
            "BIGINT NOT NULL",
            "DOUBLE NOT NULL",
            "TIMESTAMP(3) NOT NULL",
            "TIMESTAMP(3) NOT NULL"
        ]
    );
    assert_eq!(
        projected(&plan.nodes[3]),
        [Some(3), Some(4), Some(0), Some(1), Some(2)]
    );
}

#[test]
fn an_updating_aggregation_is_written_by_its_key() {
    let plan = plan(DEMO);
    let aggregate = &plan.nodes[6];
    assert_eq!(
        aggregate.operator,
        Operator::GroupAggregate {
            keys: vec![0],
            aggregates: count_and_sum(1)
        }
    );
    assert_eq!(aggregate.changelog, ChangelogMode::Upsert);
    assert_eq!(aggregate.upsert_key, Some(vec![0]));
    let Operator::Sink(sink) = &plan.nodes[7].operator else {
        panic!("{:?}", plan.nodes[7]);
    };
    assert_eq!(
        (sink.changelog, sink.primary_key.as_slice()),
        (ChangelogMode::Upsert, &[0][..])
    );
    assert_eq!(plan.nodes[7].inputs[0].exchange, Exchange::Forward);
}

#[test]
fn a_filter_reads_only_what_it_needs() {
    let plan = plan("INSERT INTO expensive SELECT order_id, price FROM orders WHERE price > 90");
    assert_eq!(
        nodes(&plan),
        [
            "StreamTableSourceScan [1]",
            "StreamCalc [2]",
            "StreamSink [3]"
        ]
    );
    assert_eq!(read(&plan.nodes[0]), ["order_id", "price", "$rowtime"]);
    let Operator::Calc {
        condition: Some(condition),
        ..
    } = &plan.nodes[1].operator
    else {
        panic!("{:?}", plan.nodes[1]);
    };
    let ExprKind::Call { function, args } = &condition.kind else {
        panic!("{condition:?}");
    };
    assert_eq!(function, ">");
    assert_eq!(args[0].as_column(), Some(1));
    assert_eq!(args[1].ty, TypeKind::Double.not_null());
    assert_eq!(condition.span.line, 1);
    assert_eq!(condition.span.column, 64);
}

#[test]
fn a_calc_that_changes_nothing_is_left_out() {
    let plan = plan("SELECT customer_id, COUNT(*) AS n FROM (SELECT customer_id FROM generated_view) GROUP BY customer_id"
        .replace("generated_view", "(SELECT id AS customer_id FROM generated) AS g").as_str());
    assert_eq!(
        nodes(&plan),
        [
            "StreamTableSourceScan [1]",
            "StreamGroupAggregate [2]",
            "StreamSink [3]"
        ]
    );
    assert_eq!(plan.nodes[1].inputs[0].exchange, Exchange::Hash(vec![0]));
    let Operator::Sink(sink) = &plan.nodes[2].operator else {
        panic!("{:?}", plan.nodes[2]);
    };
    assert_eq!(sink.target, SinkTarget::Results);
    assert_eq!(sink.columns[1].name, "n");
}

#[test]
fn computed_and_metadata_columns_and_watermarks_are_planned() {
    let plan = plan("SELECT late, part FROM clicks WHERE ts IS NOT NULL");
    let source = scan(&plan.nodes[0]);
    assert_eq!(read(&plan.nodes[0]), ["v", "ts", "part"]);
    assert_eq!(source.read[2].metadata.as_deref(), Some("partition"));
    let projections = source.projections.as_ref().unwrap();
    assert_eq!(projections.len(), 3);
    assert_eq!(projections[0].as_column(), Some(1));
    assert_eq!(projections[1].columns(), [0]);
    let watermark = source.watermark.as_ref().unwrap();
    assert_eq!(watermark.rowtime, 0);
    let expression = watermark.expression.as_ref().unwrap();
    assert_eq!(expression.columns(), [0]);
    assert_eq!(expression.ty.to_string(), "TIMESTAMP(3)");
    assert_eq!(plan.nodes[0].rowtime, Some(0));
}

#[test]
fn a_global_aggregate_has_one_row_in_one_place() {
    let plan = plan("SELECT COUNT(*) FROM orders");
    assert_eq!(plan.nodes[2].inputs[0].exchange, Exchange::Single);
    assert_eq!(plan.nodes[2].upsert_key, Some(Vec::new()));
    assert_eq!(read(&plan.nodes[0]), ["$rowtime"]);
}

#[test]
fn window_functions_are_found_in_every_form() {
    let aggregate = |from: &str| {
        plan(&format!(
            "SELECT customer_id, MAX(price), window_time FROM {from} GROUP BY window_time, window_end, customer_id, window_start"
        ))
    };
    let expected =
        aggregate("TABLE(TUMBLE(TABLE orders, DESCRIPTOR(`$rowtime`), INTERVAL '1' MINUTE))");
    let Operator::WindowAggregate { properties, .. } = &expected.nodes[1].operator else {
        panic!("{:?}", nodes(&expected));
    };
    assert_eq!(
        *properties,
        [
            WindowProperty::Start,
            WindowProperty::End,
            WindowProperty::Time
        ]
    );
    assert_eq!(expected.nodes[1].rowtime, Some(4));
    assert_eq!(expected.nodes[2].rowtime, Some(2));
    for from in [
        "TABLE(TUMBLE(DATA => TABLE orders, TIMECOL => DESCRIPTOR(`$rowtime`), SIZE => INTERVAL '60' SECOND))",
        "TUMBLE(TABLE orders, DESCRIPTOR($rowtime), INTERVAL '1' MINUTES)",
        "TABLE(TUMBLE((SELECT * FROM orders WHERE TRUE), DESCRIPTOR(`$rowtime`), INTERVAL '1' MINUTE))",
        "(SELECT * FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(`$rowtime`), INTERVAL '1' MINUTE)))",
    ] {
        if from.contains("TRUE") {
            // The system column is not in `*`.
            assert!(
                message(&format!("SELECT 1 FROM {from}")).contains("unknown column \"$rowtime\"")
            );
        } else {
            assert_eq!(nodes(&aggregate(from)), nodes(&expected), "{from}");
        }
    }
    let offset = plan(
        "SELECT COUNT(*) FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' HOUR, INTERVAL '5' MINUTE)) GROUP BY window_start, window_end",
    );
    let window = offset.nodes.iter().find_map(|node| match &node.operator {
        Operator::WindowAggregate { window, .. } => Some(window.clone()),
        _ => None,
    });
    assert_eq!(
        window.unwrap().kind,
        WindowKind::Tumble {
            size_ms: 3_600_000,
            offset_ms: 300_000
        }
    );
}

#[test]
fn windows_without_grouping_by_them_are_columns() {
    let rows = plan(
        "SELECT customer_id, window_end FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(`$rowtime`), INTERVAL '1' DAY))",
    );
    assert_eq!(nodes(&rows)[1], "StreamWindowTableFunction [2]");
    assert_eq!(read(&rows.nodes[0]), ["customer_id", "$rowtime"]);
    assert_eq!(projected(&rows.nodes[2]), [Some(0), Some(3)]);
    let updating = plan(
        "SELECT window_start, COUNT(*) FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(`$rowtime`), INTERVAL '1' DAY)) GROUP BY window_start",
    );
    assert!(
        nodes(&updating).contains(&"StreamGroupAggregate [4]".to_owned()),
        "{:?}",
        nodes(&updating)
    );
}

#[test]
fn cascaded_windows_use_the_window_time() {
    let plan = plan(
        "SELECT window_start, window_end, SUM(n) FROM TABLE(TUMBLE(
           (SELECT window_time AS t, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(`$rowtime`), INTERVAL '1' MINUTE))
            GROUP BY window_start, window_end, window_time), DESCRIPTOR(t), INTERVAL '1' HOUR))
         GROUP BY window_start, window_end",
    );
    let windows = plan
        .nodes
        .iter()
        .filter(|node| matches!(node.operator, Operator::WindowAggregate { .. }))
        .count();
    assert_eq!(windows, 2);
}

#[test]
fn having_distinct_and_union_are_planned() {
    let having = plan(
        "SELECT customer_id FROM orders GROUP BY customer_id HAVING COUNT(*) > 3 AND MIN(price) < 1",
    );
    let Operator::Calc {
        condition: Some(condition),
        ..
    } = &having.nodes[3].operator
    else {
        panic!("{:?}", nodes(&having));
    };
    assert_eq!(condition.columns(), [1, 2]);
    let distinct = plan("SELECT DISTINCT product_id, customer_id FROM orders");
    let aggregate = distinct
        .nodes
        .iter()
        .find(|node| matches!(node.operator, Operator::GroupAggregate { .. }))
        .unwrap();
    assert_eq!(aggregate.upsert_key, Some(vec![0, 1]));
    let union = plan(
        "SELECT order_id, customer_id FROM orders UNION ALL SELECT name, id FROM generated UNION ALL SELECT 'x', 1",
    );
    let node = union
        .nodes
        .iter()
        .find(|node| node.operator == Operator::Union)
        .unwrap();
    assert_eq!(node.inputs.len(), 3);
    let types: Vec<String> = node
        .schema
        .iter()
        .map(|column| column.ty.to_string())
        .collect();
    assert_eq!(types, ["STRING", "BIGINT"]);
    assert_eq!(node.changelog, ChangelogMode::Append);
    let same = plan("SELECT id FROM generated UNION ALL SELECT id FROM generated");
    assert_eq!(
        nodes(&same),
        [
            "StreamTableSourceScan [1]",
            "StreamCalc [2]",
            "StreamUnion [3]",
            "StreamSink [4]"
        ]
    );
    let inputs: Vec<u32> = same.nodes[2]
        .inputs
        .iter()
        .map(|input| input.node.0)
        .collect();
    assert_eq!(inputs, [1, 2]);
    let set = plan("SELECT id FROM generated UNION SELECT id FROM generated");
    assert!(
        nodes(&set)
            .iter()
            .any(|name| name.starts_with("StreamGroupAggregate")),
        "{:?}",
        nodes(&set)
    );
}

#[test]
fn views_and_common_tables_are_queries() {
    let view = plan("SELECT order_id FROM big");
    assert_eq!(
        nodes(&view),
        [
            "StreamTableSourceScan [1]",
            "StreamCalc [2]",
            "StreamSink [3]"
        ]
    );
    let common = names(
        "WITH a AS (SELECT price * 2 AS twice FROM orders), b (x) AS (SELECT twice FROM a) SELECT * FROM b",
    );
    assert_eq!(common, ["x"]);
    assert_eq!(
        names("SELECT b.x FROM (SELECT order_id FROM orders) AS b(x)"),
        ["x"]
    );
}

#[test]
fn a_table_s_name_goes_before_a_column_of_that_name() {
    assert_eq!(names("SELECT a.x FROM (SELECT 1 AS a, 2 AS x) AS a"), ["x"]);
    assert_eq!(
        types("SELECT orders.orders FROM per_window AS orders"),
        ["BIGINT"]
    );
}

#[test]
fn fields_are_found_without_their_column() {
    assert_eq!(names("SELECT city FROM orders"), ["city"]);
    assert_eq!(
        types("SELECT x FROM (SELECT CAST(ROW(1, 2) AS ROW<x INT, y INT>) AS r, 'a' AS x)"),
        ["CHAR(1) NOT NULL"]
    );
    assert!(
        message("SELECT o.city, city FROM (SELECT address AS a, address AS b FROM orders) AS o")
            .contains("city")
    );
}

#[test]
fn results_are_named_as_in_flink() {
    assert_eq!(
        names(
            "SELECT customer_id, price + 1, orders.price, price, address.city, (quantity), tags[1] FROM orders"
        ),
        [
            "customer_id",
            "EXPR$1",
            "price",
            "price0",
            "city",
            "quantity",
            "EXPR$6"
        ]
    );
    assert_eq!(names("SELECT * FROM generated"), ["id", "name"]);
    assert_eq!(
        names("SELECT g.*, 1 AS one FROM generated AS g"),
        ["id", "name", "one"]
    );
    assert_eq!(names("VALUES (1, 'a')"), ["EXPR$0", "EXPR$1"]);
}

#[test]
fn literals_are_typed_as_in_flink() {
    let sql = "SELECT 'abc', 1, 3000000000, 1.5, .25, 1e0, -2147483648, TRUE, X'0AFF', DATE '2024-02-29', TIME '01:02:03', \
               TIMESTAMP '2024-01-01 00:00:00', TIMESTAMP '2024-01-01 00:00:00.123456', INTERVAL '1' DAY, INTERVAL '1-2' YEAR TO MONTH";
    let expected = [
        "CHAR(3)",
        "INT",
        "BIGINT",
        "DECIMAL(2, 1)",
        "DECIMAL(2, 2)",
        "DOUBLE",
        "INT",
        "BOOLEAN",
        "BINARY(2)",
        "DATE",
        "TIME(0)",
        "TIMESTAMP(0)",
        "TIMESTAMP(6)",
        "INTERVAL DAY(2) TO SECOND(3)",
        "INTERVAL YEAR(2) TO MONTH",
    ];
    for (ty, expected) in types(sql).iter().zip(expected) {
        // `.25` counts two digits.
        assert_eq!(*ty, format!("{expected} NOT NULL"));
    }
}

#[test]
fn aggregates_are_typed_as_in_flink() {
    assert_eq!(
        types(
            "SELECT COUNT(*), COUNT(DISTINCT product_id), SUM(customer_id), SUM(quantity), SUM(amount), AVG(amount), AVG(customer_id), MIN(product_id), SUM(price) FILTER (WHERE price > 1) FROM orders GROUP BY customer_id"
        ),
        [
            "BIGINT NOT NULL",
            "BIGINT NOT NULL",
            "INT NOT NULL",
            "BIGINT",
            "DECIMAL(38, 2) NOT NULL",
            "DECIMAL(38, 6) NOT NULL",
            "INT NOT NULL",
            "STRING",
            "DOUBLE",
        ]
    );
    assert_eq!(
        types("SELECT SUM(price), COUNT(*) FROM orders"),
        ["DOUBLE", "BIGINT NOT NULL"]
    );
}

#[test]
fn equal_aggregates_are_computed_once() {
    let plan = plan(
        "SELECT SUM(price), SUM(price) / COUNT(*) FROM orders GROUP BY customer_id HAVING SUM(price) > 0",
    );
    let calls = plan.nodes.iter().find_map(|node| match &node.operator {
        Operator::GroupAggregate { aggregates, .. } => Some(aggregates.len()),
        _ => None,
    });
    assert_eq!(calls, Some(2));
}

#[test]
fn grouped_expressions_are_columns() {
    let plan = plan(
        "SELECT UPPER(product_id), UPPER(product_id) || 'x', COUNT(*) FROM orders GROUP BY UPPER(product_id)",
    );
    let calc = plan
        .nodes
        .iter()
        .rev()
        .find(|node| matches!(node.operator, Operator::Calc { .. }))
        .unwrap();
    assert_eq!(projected(calc), [Some(0), None, Some(1)]);
    assert_eq!(
        message("SELECT product_id, COUNT(*) FROM orders GROUP BY UPPER(product_id)"),
        "line 1, column 8: expression \"product_id\" is not being grouped"
    );
}

#[test]
fn unknown_names_are_placed_and_nearest_ones_offered() {
    for (sql, expected) in [
        (
            "SELECT pric FROM orders",
            "line 1, column 8: unknown column \"pric\", did you mean \"price\"?",
        ),
        (
            "SELECT o.pric FROM orders o",
            "line 1, column 10: unknown column \"pric\", did you mean \"price\"?",
        ),
        ("SELECT 1\nFROM order", "line 2, column 6: "),
        (
            "SELECT 1 FROM `ordes`",
            "line 1, column 15: unknown table \"ordes\", did you mean \"orders\"?",
        ),
        (
            "SELECT UPER(product_id) FROM orders",
            "line 1, column 8: unknown function \"UPER\", did you mean \"UPPER\"?",
        ),
        (
            "SELECT CAST(1 AS STRIN)",
            "line 1, column 18: unknown type \"STRIN\", did you mean \"STRING\"?",
        ),
        (
            "INSERT INTO expensive (order_id, pric) SELECT order_id, price FROM orders",
            "line 1, column 34: unknown column \"pric\", did you mean \"price\"?",
        ),
        (
            "SELECT address.cit FROM orders",
            "line 1, column 16: unknown field \"cit\", did you mean \"city\"?",
        ),
        (
            "CREATE TABLE t (a INT) WITH (\n 'value.formt' = 'json')",
            "line 2, column 2: connector 'confluent': unknown option \"value.formt\", did you mean \"value.format\"?",
        ),
        (
            "CREATE TABLE t (a INT) WITH ('error-handling.mode' = 'skip')",
            "line 1, column 54: option 'error-handling.mode': \"skip\" is not one of fail, ignore, log",
        ),
        (
            "SELECT * FROM orders /*+ OPTIONS('scan.startup.mod' = 'x') */",
            "line 1, column 22: connector 'confluent': unknown option \"scan.startup.mod\", did you mean \"scan.startup.mode\"?",
        ),
        (
            "SET 'sql.state-tll' = '1 h'",
            "line 1, column 5: unknown property \"sql.state-tll\", did you mean \"sql.state-ttl\"?",
        ),
    ] {
        let message = message(sql);
        assert!(message.starts_with(expected), "{sql}\n{message}");
    }
}

#[test]
fn types_that_do_not_fit_are_refused_with_their_place() {
    for (sql, expected) in [
        (
            "SELECT 1 FROM orders WHERE price",
            "line 1, column 28: WHERE takes a BOOLEAN, not DOUBLE NOT NULL",
        ),
        (
            "SELECT SUM(product_id) FROM orders",
            "line 1, column 8: SUM does not take STRING",
        ),
        (
            "INSERT INTO totals SELECT quantity, 1, 1.0 FROM orders",
            "line 1, column 27: column types of query result and sink for `default`.`cluster_0`.`totals` do not match: incompatible types for sink column 'customer_id' at position 0: the query has BIGINT, the sink INT NOT NULL",
        ),
        (
            "INSERT INTO totals SELECT 1, 1 FROM orders",
            "line 1, column 13: column types of query result and sink for `default`.`cluster_0`.`totals` do not match: different number of columns",
        ),
        (
            "INSERT INTO totals (orders) SELECT 1",
            "line 1, column 13: column 'customer_id' has no default value",
        ),
    ] {
        let message = message(sql);
        assert!(message.starts_with(expected), "{sql}\n{message}");
    }
}

#[test]
fn updates_reach_only_sinks_that_can_write_them() {
    assert_eq!(
        message(
            "INSERT INTO expensive SELECT product_id, SUM(price) FROM orders GROUP BY product_id"
        ),
        "line 1, column 13: table sink `default`.`cluster_0`.`expensive` doesn't support consuming update and delete changes which is produced by node GroupAggregate(groupBy=[product_id]): give the table a PRIMARY KEY or 'changelog.mode' = 'retract'"
    );
    let other_key = plan(
        "INSERT INTO totals SELECT customer_id, COUNT(*), SUM(price) FROM orders GROUP BY customer_id, product_id",
    );
    let last = other_key.nodes.last().unwrap();
    assert!(matches!(&last.operator, Operator::Sink(sink) if sink.upsert_materialize));
    let materialize = other_key.node(last.inputs[0].node).unwrap();
    assert_eq!(materialize.operator.name(), "UpsertMaterialize");
    assert_eq!(materialize.inputs[0].exchange, Exchange::Hash(vec![0]));
    let printed =
        plan("INSERT INTO printed SELECT product_id, COUNT(*) FROM orders GROUP BY product_id");
    let Some(Operator::Sink(sink)) = printed.nodes.last().map(|node| &node.operator) else {
        panic!("{:?}", nodes(&printed));
    };
    assert_eq!(sink.changelog, ChangelogMode::Retract);
    let keyed = plan("INSERT INTO totals SELECT customer_id, 1, price FROM orders");
    assert_eq!(
        keyed.nodes.last().unwrap().inputs[0].exchange,
        Exchange::Hash(vec![0])
    );
    let by_append = plan("SELECT * FROM totals /*+ OPTIONS('changelog.mode' = 'append') */");
    assert_eq!(by_append.nodes[0].changelog, ChangelogMode::Append);
    let by_key = plan("SELECT * FROM totals");
    assert!(
        matches!(&by_key.nodes[1].operator, Operator::ChangelogNormalize { keys, condition: None } if *keys == [0])
    );
    assert_eq!(by_key.nodes[0].changelog, ChangelogMode::Upsert);
    assert_eq!(by_key.nodes[1].changelog, ChangelogMode::Retract);
    assert_eq!(by_key.nodes[1].upsert_key, Some(vec![0]));
}

#[test]
fn what_comes_later_is_refused_with_its_name() {
    for (sql, what) in [
        (
            "CREATE TABLE t (a INT) WITH ('value.format' = 'protobuf')",
            "json, json-registry, avro",
        ),
        ("SHOW PARTITIONS orders", "PARTITIONS"),
    ] {
        let error = bind(sql).unwrap_err();
        assert_eq!(error.kind, Kind::Unsupported, "{sql}: {error}");
        assert!(error.message.contains(what), "{sql}: {error}");
        assert!(error.span.is_known(), "{sql}");
    }
}

#[test]
fn time_columns_must_be_time_attributes() {
    let error = message(
        "SELECT 1 FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(price), INTERVAL '1' MINUTE))",
    );
    assert!(
        error.starts_with(
            "line 1, column 53: the window function requires the timecol is a time attribute type"
        ),
        "{error}"
    );
    let computed = message(
        "SELECT 1 FROM TABLE(TUMBLE((SELECT ts + INTERVAL '1' SECOND AS t FROM clicks), DESCRIPTOR(t), INTERVAL '1' MINUTE))",
    );
    assert!(computed.contains("time attribute"), "{computed}");
    let kept = plan(
        "SELECT 1 FROM TABLE(TUMBLE((SELECT ts AS t FROM clicks), DESCRIPTOR(t), INTERVAL '1' MINUTE))",
    );
    assert!(nodes(&kept).contains(&"StreamWindowTableFunction [2]".to_owned()));
}

#[test]
fn tables_are_completed_with_confluents_defaults() {
    let Ok(Bound::CreateTable { table, .. }) = bind(
        "CREATE TABLE t (a INT, b INT, PRIMARY KEY (a) NOT ENFORCED) DISTRIBUTED INTO 4 BUCKETS",
    ) else {
        panic!("refused");
    };
    assert_eq!(table.columns[0].ty, TypeKind::Int.not_null());
    assert_eq!(table.distributed_by, ["a"]);
    assert_eq!(table.buckets, Some(4));
    let options: Vec<(&str, &str)> = table
        .options
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    assert_eq!(
        options,
        [
            ("changelog.mode", "upsert"),
            ("connector", "confluent"),
            ("key.format", "avro-registry"),
            ("value.format", "avro-registry")
        ]
    );
    for (sql, code) in [
        (
            "CREATE TABLE t (a INT) WITH ('changelog.mode' = 'upsert')",
            Code::Validation,
        ),
        (
            "CREATE TABLE t (a INT, PRIMARY KEY (b) NOT ENFORCED)",
            Code::UnknownName,
        ),
        (
            "CREATE TABLE t (a INT, WATERMARK FOR a AS a)",
            Code::Validation,
        ),
        (
            "CREATE TABLE t (a INT, WATERMARK FOR b AS b)",
            Code::UnknownName,
        ),
        ("CREATE TABLE t (a INT, c AS d + 1)", Code::UnknownName),
        ("CREATE TABLE t (a INT, a STRING)", Code::Validation),
        (
            "CREATE TABLE t (a INT) WITH ('connector' = 'kafka')",
            Code::InvalidOption,
        ),
        (
            "CREATE TABLE t (a INT, p INT METADATA FROM 'partition')",
            Code::Validation,
        ),
        (
            "CREATE TABLE t (a INT, p BIGINT METADATA FROM 'partition' VIRTUAL)",
            Code::Unsupported,
        ),
        (
            "CREATE TABLE t (a INT) WITH ('connector' = 'faker')",
            Code::InvalidOption,
        ),
        ("CREATE TABLE t (a INTERVAL DAY)", Code::Validation),
    ] {
        let error = bind(sql).unwrap_err();
        assert_eq!(error.code, code, "{sql}: {error}");
        assert!(error.span.is_known(), "{sql}");
    }
}

#[test]
fn tables_are_altered_and_created_from_queries() {
    let alter = |sql: &str| match bind(sql) {
        Ok(Bound::AlterTable { table }) => table,
        other => panic!("{other:?}"),
    };
    let set =
        alter("ALTER TABLE orders SET ('value.format' = 'csv', 'kafka.retention.time' = '1 d')");
    assert_eq!(set.option("value.format"), Some("csv"));
    assert_eq!(
        alter("ALTER TABLE orders RESET ('value.format')").option("value.format"),
        Some("avro-registry")
    );
    let modified = alter("ALTER TABLE clicks MODIFY WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE");
    assert_eq!(
        modified.watermark.unwrap().expression,
        "ts - INTERVAL '1' MINUTE"
    );
    assert_eq!(alter("ALTER TABLE clicks DROP WATERMARK").watermark, None);
    assert_eq!(
        alter("ALTER TABLE clicks ADD (twice AS v * 2)")
            .columns
            .len(),
        6
    );
    assert!(message("ALTER TABLE clicks RESET ('topik')").contains("did you mean \"topic\"?"));
    let Ok(Bound::CreateTableAs { table, plan, .. }) =
        bind("CREATE TABLE copy AS SELECT order_id, price AS p FROM orders")
    else {
        panic!("refused");
    };
    assert_eq!(table.columns[1].name, "p");
    assert_eq!(table.columns[1].ty, TypeKind::Double.not_null());
    assert_eq!(plan.nodes.len(), 3);
}

#[test]
fn show_and_describe_answer_as_confluent_does() {
    let (columns, rows) = answer("SHOW TABLES LIKE 'p%'");
    assert_eq!(
        (columns, rows),
        (
            vec!["table name".to_owned()],
            vec![vec!["per_window".to_owned()], vec!["printed".to_owned()]]
        )
    );
    assert_eq!(answer("SHOW VIEWS").1, [["big"]]);
    let (columns, rows) = answer("DESCRIBE clicks");
    assert_eq!(columns, ["Column Name", "Data Type", "Nullable", "Extras"]);
    assert_eq!(
        rows[2],
        [
            "ts",
            "TIMESTAMP(3) *ROWTIME*",
            "NULL",
            "WATERMARK AS ts - INTERVAL '5' SECOND"
        ]
    );
    assert_eq!(rows[3], ["late", "INT", "NULL", "AS v + 1"]);
    assert_eq!(
        rows[4],
        ["part", "INT", "NULL", "METADATA FROM 'partition' VIRTUAL"]
    );
    let (_, rows) = answer("DESCRIBE EXTENDED totals");
    assert_eq!(
        rows[0],
        [
            "customer_id",
            "INT",
            "NOT NULL",
            "PRIMARY KEY, BUCKET KEY",
            ""
        ]
    );
    assert_eq!(
        rows[3],
        [
            "$rowtime",
            "TIMESTAMP_LTZ(3) *ROWTIME*",
            "NOT NULL",
            "METADATA VIRTUAL, WATERMARK AS `SOURCE_WATERMARK`()",
            "SYSTEM"
        ]
    );
    assert_eq!(
        answer("DESCRIBE big").1[1],
        ["price", "DOUBLE", "NOT NULL", ""]
    );
    assert!(
        answer("SHOW FUNCTIONS")
            .1
            .contains(&vec!["UPPER".to_owned()])
    );
}

#[test]
fn show_create_table_can_be_run_again_and_hides_secrets() {
    let catalog = catalog();
    for name in ["orders", "clicks", "totals"] {
        let (_, rows) = answer(&format!("SHOW CREATE TABLE {name}"));
        let statement = &parse(&rows[0][0]).unwrap()[0];
        let Ok(Bound::CreateTable { table, .. }) =
            analyze(statement, &catalog, &Session::default())
        else {
            panic!("{}", rows[0][0]);
        };
        let full = ObjectName {
            catalog: "default".into(),
            database: "cluster_0".into(),
            name: name.into(),
        };
        assert_eq!(
            Some(table),
            catalog
                .table(&full)
                .unwrap()
                .map(|table| TableDef::clone(&table))
        );
    }
    assert!(answer("SHOW CREATE TABLE totals").1[0][0].contains(
        "`orders` BIGINT,\n  `revenue` DOUBLE,\n  CONSTRAINT `PRIMARY` PRIMARY KEY (`customer_id`) NOT ENFORCED\n)\nDISTRIBUTED BY HASH(`customer_id`)\nWITH (\n  'changelog.mode' = 'upsert',"
    ));
}

#[test]
fn explain_prints_confluents_form() {
    let (_, rows) = answer(
        "EXPLAIN INSERT INTO totals SELECT customer_id, COUNT(*), SUM(price) FROM orders GROUP BY customer_id",
    );
    assert_eq!(
        rows[0][0],
        "== Physical Plan ==

StreamSink [4]
  +- StreamGroupAggregate [3]
    +- StreamCalc [2]
      +- StreamTableSourceScan [1]

== Physical Details ==

[1] StreamTableSourceScan
Table: `default`.`cluster_0`.`orders`
Changelog mode: append
State size: low

[2] StreamCalc
Changelog mode: append

[3] StreamGroupAggregate
Changelog mode: upsert
Upsert key: (customer_id)
State size: medium

[4] StreamSink
Table: `default`.`cluster_0`.`totals`
Primary key: (customer_id)
Changelog mode: upsert
Upsert key: (customer_id)
State size: low
"
    );
}

/// Levels of an expression.
fn depth(expr: &crate::sql::expr::Expr) -> usize {
    1 + expr.children().into_iter().map(depth).max().unwrap_or(0)
}

#[test]
fn long_conditions_stay_shallow() {
    let condition: Vec<String> = (0..900).map(|i| format!("quantity = {i}")).collect();
    let plan = plan(&format!(
        "SELECT 1 FROM orders WHERE {}",
        condition.join(" OR ")
    ));
    let Operator::Calc {
        condition: Some(condition),
        ..
    } = &plan.nodes[1].operator
    else {
        panic!("{:?}", nodes(&plan));
    };
    assert!(depth(condition) < 16, "{}", depth(condition));
    let sum = vec!["quantity"; 400].join(" + ");
    assert_eq!(types(&format!("SELECT {sum} FROM orders")), ["BIGINT"]);
    assert!(
        message(&format!(
            "SELECT {} FROM orders",
            vec!["quantity"; 4000].join(" + ")
        ))
        .contains("too large")
    );
}

#[test]
fn session_statements_are_bound() {
    assert_eq!(
        bind("SET 'sql.state-ttl' = '1 h'").unwrap(),
        Bound::Set {
            key: "sql.state-ttl".into(),
            value: "1 h".into()
        }
    );
    assert_eq!(bind("RESET").unwrap(), Bound::Reset { key: None });
    assert_eq!(
        bind("USE cluster_0").unwrap(),
        Bound::Set {
            key: "sql.current-database".into(),
            value: "cluster_0".into()
        }
    );
    assert!(message("USE CATALOG defaul").contains("did you mean \"default\"?"));
}

#[test]
fn a_plan_survives_its_stored_form() {
    let plan = plan(DEMO);
    let stored = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<StreamPlan>(&stored).unwrap(), plan);
}
