//! Joins: plans, names, keys, pruning and what is refused where.

use super::*;
use crate::error::{Code, Kind};
use crate::plan::JoinKind;
use crate::sql::expr::Expr;

/// What a join is made by.
struct Joined<'a> {
    /// The node.
    node: &'a Node,
    /// Names and types of the left keys.
    left: Vec<String>,
    /// Names and types of the right keys.
    right: Vec<String>,
    /// What else must be TRUE.
    residual: Option<&'a Expr>,
}

/// The joins of a plan.
fn joins(plan: &StreamPlan) -> Vec<Joined<'_>> {
    let mut joins = Vec::new();
    for node in &plan.nodes {
        let Operator::Join {
            kind: JoinKind::Inner,
            left_keys,
            right_keys,
            residual,
            ..
        } = &node.operator
        else {
            continue;
        };
        let input = |index: usize| plan.node(node.inputs[index].node).unwrap();
        let keys = |index: usize, keys: &[usize]| {
            let schema = &input(index).schema;
            let key = |key: &usize| format!("{} {}", schema[*key].name, schema[*key].ty.kind);
            keys.iter().map(key).collect()
        };
        for (edge, keys) in node.inputs.iter().zip([left_keys, right_keys]) {
            assert_eq!(edge.exchange, Exchange::Hash(keys.clone()));
        }
        let width = input(0).schema.len() + input(1).schema.len();
        assert_eq!(node.schema.len(), width, "a join emits what it reads");
        assert_eq!(node.rowtime, None);
        joins.push(Joined {
            node,
            left: keys(0, left_keys),
            right: keys(1, right_keys),
            residual: residual.as_ref(),
        });
    }
    joins
}

/// The keys of the only join of a query, and whether there is a rest of its condition.
fn keys(sql: &str) -> (Vec<String>, Vec<String>, bool) {
    let plan = plan(sql);
    let joins = joins(&plan);
    let [join] = joins.as_slice() else {
        panic!("{sql}: {:?}", nodes(&plan));
    };
    (
        join.left.clone(),
        join.right.clone(),
        join.residual.is_some(),
    )
}

/// Owned strings.
fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn every_form_of_an_inner_join_is_one_join() {
    for from in [
        "orders JOIN clicks ON product_id = k",
        "orders INNER JOIN clicks ON k = product_id",
        "orders AS o JOIN clicks AS c ON o.product_id = c.k",
        "orders, clicks WHERE product_id = k",
        "orders CROSS JOIN clicks WHERE orders.product_id = clicks.k",
        "(orders JOIN clicks ON product_id = k)",
        "orders JOIN (SELECT k, v FROM clicks) AS c ON product_id = c.k",
        "orders JOIN clicks ON TRUE WHERE product_id = k",
    ] {
        let sql = format!("SELECT price, v FROM {from}");
        let plan = plan(&sql);
        assert_eq!(
            nodes(&plan),
            [
                "StreamTableSourceScan [1]",
                "StreamTableSourceScan [2]",
                "StreamCalc [3]",
                "StreamCalc [4]",
                "StreamJoin [5]",
                "StreamCalc [6]",
                "StreamSink [7]"
            ],
            "{sql}"
        );
        let joins = joins(&plan);
        assert_eq!(joins[0].left, ["product_id STRING"], "{sql}");
        assert_eq!(joins[0].right, ["k STRING"], "{sql}");
        assert_eq!(joins[0].residual, None, "{sql}");
        assert_eq!(joins[0].node.changelog, ChangelogMode::Append);
        assert_eq!(read(&plan.nodes[0]), ["product_id", "price", "$rowtime"]);
        assert_eq!(names(&sql), ["price", "v"]);
    }
}

#[test]
fn a_join_reads_what_its_consumers_need() {
    let plan = plan(
        "SELECT o.price FROM orders o JOIN clicks c ON o.product_id = c.k AND o.quantity < c.v",
    );
    let columns = |index: usize| -> Vec<&str> {
        let schema = &plan.nodes[index].schema;
        schema.iter().map(|column| column.name.as_str()).collect()
    };
    let joins = joins(&plan);
    let join = joins[0].node;
    let input = |index: usize| join.inputs[index].node.0 as usize - 1;
    assert_eq!(columns(input(0)), ["product_id", "price", "quantity"]);
    assert_eq!(columns(input(1)), ["k", "v"]);
    let names: Vec<&str> = join.schema.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["product_id", "price", "quantity", "k", "v"]);
    let residual = joins[0].residual.unwrap();
    assert_eq!(residual.columns(), [2, 4]);
    assert_eq!(residual.ty.kind, TypeKind::Boolean);
}

#[test]
fn keys_may_be_expressions_and_have_one_type() {
    let of = |on: &str| keys(&format!("SELECT 1 FROM orders o JOIN clicks c ON {on}"));
    assert_eq!(
        of("o.quantity = c.v"),
        (texts(&["quantity BIGINT"]), texts(&["$k0 BIGINT"]), false)
    );
    assert_eq!(
        of("UPPER(o.product_id) = c.k AND c.v + 1 = o.customer_id"),
        (
            texts(&["$k0 STRING", "customer_id INT"]),
            texts(&["k STRING", "$k1 INT"]),
            false
        )
    );
    assert_eq!(
        of("o.amount = c.v"),
        (
            texts(&["$k0 DECIMAL(12, 2)"]),
            texts(&["$k0 DECIMAL(12, 2)"]),
            false
        )
    );
    assert_eq!(of("o.price = c.v").0, texts(&["price DOUBLE"]));
    assert_eq!(
        of("o.address.city = c.k"),
        (texts(&["$k0 STRING"]), texts(&["k STRING"]), false)
    );
    // The digits of both sides do not fit into one DECIMAL: exact comparison needs another key.
    let wide = of("c.k = o.product_id AND CAST(c.v AS DECIMAL(38, 0)) = o.amount");
    assert_eq!(
        wide,
        (texts(&["product_id STRING"]), texts(&["k STRING"]), true)
    );
}

#[test]
fn conditions_on_one_input_are_tested_before_the_join() {
    let plan = plan(
        "SELECT o.price, c.v FROM orders o JOIN clicks c ON o.product_id = c.k AND c.v > 3
         WHERE o.price > 10 AND o.quantity < c.v AND UUID() <> 'x'",
    );
    let conditions: Vec<(String, bool)> = plan
        .nodes
        .iter()
        .filter_map(|node| match &node.operator {
            Operator::Calc { condition, .. } => Some((node_name(node), condition.is_some())),
            _ => None,
        })
        .collect();
    assert_eq!(
        conditions,
        [
            ("StreamCalc [3]".to_owned(), true),
            ("StreamCalc [4]".to_owned(), true),
            ("StreamCalc [6]".to_owned(), true)
        ],
        "two inputs, and what gives another value each time"
    );
    assert!(joins(&plan)[0].residual.is_some());
}

#[test]
fn using_and_natural_merge_columns() {
    let sql = "SELECT * FROM generated g JOIN (SELECT id, v FROM clicks JOIN generated ON v = id) c USING (id)";
    assert_eq!(names(sql), ["id", "name", "v"]);
    let natural = "SELECT *, b.id FROM expensive a NATURAL JOIN (SELECT order_id, quantity, order_id AS id FROM orders) b";
    assert_eq!(
        names(natural),
        ["order_id", "price", "quantity", "id", "id0"]
    );
    let by_table = "SELECT id, g.id, h.id, h.* FROM generated g JOIN generated h USING (id)";
    assert_eq!(names(by_table), ["id", "id0", "id1", "id2", "name"]);
    let moved =
        "SELECT * FROM (SELECT price, order_id FROM orders) a JOIN expensive b USING (order_id)";
    assert_eq!(names(moved), ["order_id", "price", "price0"]);
    let chain =
        "SELECT id FROM generated a JOIN generated b USING (id) JOIN generated c USING (id)";
    assert_eq!(names(chain), ["id"]);
}

#[test]
fn a_self_join_reads_its_table_once() {
    let plan = plan("SELECT a.name, b.name FROM generated a JOIN generated b ON a.id = b.id");
    assert_eq!(
        nodes(&plan),
        [
            "StreamTableSourceScan [1]",
            "StreamJoin [2]",
            "StreamCalc [3]",
            "StreamSink [4]"
        ]
    );
    let (_, rows) =
        answer("EXPLAIN SELECT a.name FROM generated a JOIN generated b ON a.id = b.id");
    assert!(rows[0][0].contains("(reused) [1]"), "{}", rows[0][0]);
    assert!(
        rows[0][0].contains("StreamJoin\nChangelog mode: append\nState size: high\n"),
        "{}",
        rows[0][0]
    );
}

#[test]
fn several_inputs_are_a_chain() {
    let explicit = plan(
        "SELECT o.price, c.v, g.name FROM orders o JOIN clicks c ON o.product_id = c.k JOIN generated g ON g.id = o.quantity AND g.id > c.v",
    );
    let chain = joins(&explicit);
    assert_eq!(chain.len(), 2);
    assert_eq!(chain[0].left, ["product_id STRING"]);
    assert_eq!(chain[1].left, ["quantity BIGINT"]);
    assert_eq!(chain[1].right, ["id BIGINT"]);
    assert!(chain[0].residual.is_none() && chain[1].residual.is_some());
    // The keys of the first join are not kept by the second.
    let below = explicit.node(chain[1].node.inputs[0].node).unwrap();
    let names: Vec<&str> = below.schema.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["price", "quantity", "v"]);

    let by_comma = plan(
        "SELECT o.price FROM orders o, generated g, clicks c WHERE o.product_id = c.k AND c.v = g.id",
    );
    let chain = joins(&by_comma);
    assert_eq!(chain[0].right, ["k STRING"], "what is connected goes first");
    assert_eq!(chain[1].left, ["$k0 BIGINT"]);
    let nested = plan(
        "SELECT a.id FROM generated a, (generated b JOIN generated c ON b.id = c.id) WHERE a.id = b.id AND FALSE",
    );
    assert_eq!(joins(&nested).len(), 2);
}

#[test]
fn updating_inputs_give_an_updating_join_with_a_key() {
    let counts = "(SELECT product_id, COUNT(*) AS n FROM orders GROUP BY product_id)";
    let sums = "(SELECT k, SUM(v) AS total FROM clicks GROUP BY k)";
    let of = |sql: &str| {
        let plan = plan(sql);
        let join = joins(&plan).pop().unwrap().node.clone();
        let names = |key: &Vec<usize>| -> Vec<String> {
            key.iter().map(|c| join.schema[*c].name.clone()).collect()
        };
        (join.changelog, join.upsert_key.as_ref().map(names))
    };
    assert_eq!(
        of(&format!(
            "SELECT * FROM {counts} a JOIN {sums} b ON a.product_id = b.k"
        )),
        (ChangelogMode::Retract, Some(texts(&["product_id"])))
    );
    assert_eq!(
        of(&format!(
            "SELECT * FROM {counts} a JOIN clicks b ON a.product_id = b.k"
        )),
        (ChangelogMode::Retract, None)
    );
    // Rows of one product come out of several subtasks.
    assert_eq!(
        of(&format!(
            "SELECT * FROM {counts} a JOIN {sums} b ON a.n = b.total"
        )),
        (ChangelogMode::Retract, None)
    );
    let fine = "(SELECT k, v, COUNT(*) AS m FROM clicks GROUP BY k, v)";
    assert_eq!(
        of(&format!(
            "SELECT * FROM {counts} a JOIN {fine} b ON a.product_id = b.k"
        )),
        (ChangelogMode::Retract, Some(texts(&["k", "v"])))
    );
    let written = plan(
        "INSERT INTO totals SELECT a.customer_id, a.n, b.total FROM
         (SELECT customer_id, COUNT(*) AS n FROM orders GROUP BY customer_id) a JOIN
         (SELECT v, SUM(v + 0E0) AS total FROM clicks GROUP BY v) b ON a.customer_id = b.v",
    );
    assert_eq!(
        written.nodes.last().unwrap().inputs[0].exchange,
        Exchange::Forward
    );
}

#[test]
fn time_attributes_become_plain_timestamps() {
    let error = message(
        "SELECT 1 FROM TABLE(TUMBLE((SELECT a.ts AS t FROM clicks a JOIN clicks b ON a.k = b.k), DESCRIPTOR(t), INTERVAL '1' MINUTE))",
    );
    assert!(error.contains("time attribute"), "{error}");
    assert_eq!(
        types("SELECT a.ts FROM clicks a JOIN clicks b ON a.k = b.k"),
        ["TIMESTAMP(3)"]
    );
}

#[test]
fn window_columns_may_be_join_keys() {
    let windowed = |alias: &str| {
        format!("TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) AS {alias}")
    };
    let (left, right, _) = keys(&format!(
        "SELECT a.k FROM {} JOIN {} ON a.k = b.k AND a.window_start = b.window_start",
        windowed("a"),
        windowed("b")
    ));
    assert_eq!(left, ["k STRING", "window_start TIMESTAMP(3)"]);
    assert_eq!(right, left);
}

#[test]
fn outer_joins_make_columns_nullable() {
    let plan =
        plan("SELECT order_id, k FROM orders LEFT JOIN clicks ON product_id = k AND price > 1");
    let node = plan
        .nodes
        .iter()
        .find(|node| matches!(node.operator, Operator::Join { .. }));
    let node = node.unwrap();
    let Operator::Join {
        kind,
        left_keys,
        residual,
        ..
    } = &node.operator
    else {
        panic!("{node:?}");
    };
    assert_eq!(*kind, JoinKind::Left);
    assert_eq!(left_keys.len(), 1);
    // A condition on the left side does not drop its rows.
    assert!(residual.is_some());
    assert_eq!(node.changelog, ChangelogMode::Retract);
    assert_eq!(
        types("SELECT order_id, price, v FROM orders RIGHT JOIN clicks ON product_id = k"),
        ["STRING", "DOUBLE", "INT"]
    );
    assert_eq!(
        types("SELECT order_id, price FROM orders LEFT JOIN clicks ON product_id = k"),
        ["STRING NOT NULL", "DOUBLE NOT NULL"]
    );
}

#[test]
fn joins_without_an_equality_have_a_single_task() {
    for sql in [
        "SELECT * FROM orders, clicks AS c(a, b, c, d, e)",
        "SELECT * FROM orders JOIN clicks ON TRUE",
        "SELECT * FROM orders\nCROSS JOIN clicks",
        "SELECT * FROM orders JOIN clicks ON price < v",
    ] {
        let plan = plan(sql);
        let node = plan
            .nodes
            .iter()
            .find(|node| matches!(node.operator, Operator::Join { .. }));
        let exchanges = node.unwrap().inputs.iter().map(|input| &input.exchange);
        assert!(
            exchanges.into_iter().all(|e| *e == Exchange::Single),
            "{sql}"
        );
    }
}

#[test]
fn wrong_joins_are_refused_with_their_place() {
    for (sql, code, expected) in [
        (
            "SELECT * FROM orders JOIN clicks",
            Code::Validation,
            "line 1, column 27: INNER, LEFT, RIGHT or FULL join requires a condition",
        ),
        (
            "SELECT * FROM orders JOIN clicks ON product_id = kk",
            Code::UnknownName,
            "line 1, column 50: unknown column \"kk\", did you mean \"k\"?",
        ),
        (
            "SELECT * FROM orders JOIN clicks USING (product_id)",
            Code::UnknownName,
            "line 1, column 41: unknown column \"product_id\"",
        ),
        (
            "SELECT id FROM generated a JOIN generated b ON a.id = b.id",
            Code::Validation,
            "line 1, column 8: column \"id\" is ambiguous",
        ),
        (
            "SELECT 1 FROM generated JOIN generated ON TRUE",
            Code::Validation,
            "line 1, column 30: duplicate relation name \"generated\" in FROM",
        ),
        (
            "SELECT 1 FROM orders o, clicks c JOIN generated g ON g.id = o.quantity",
            Code::UnknownName,
            "line 1, column 61: unknown table or column \"o\"",
        ),
        (
            "SELECT 1 FROM orders JOIN clicks ON tags = v",
            Code::TypeMismatch,
            "line 1, column 37: = does not take (ARRAY<STRING>, INT)",
        ),
        (
            "SELECT 1 FROM orders JOIN clicks ON v",
            Code::TypeMismatch,
            "line 1, column 37:",
        ),
    ] {
        let error = bind(sql).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{sql}\n{error}");
        assert_eq!(
            (error.kind, error.code),
            (Kind::Invalid, code),
            "{sql}: {error}"
        );
    }
}

#[test]
fn a_join_survives_its_stored_form() {
    let plan = plan(
        "SELECT a.price FROM orders a JOIN clicks b ON a.product_id = b.k AND a.quantity < b.v",
    );
    let stored = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<StreamPlan>(&stored).unwrap(), plan);
}

#[test]
fn the_workload_of_a_join_is_of_its_class() {
    use weir_model::workload::{OperatorClass, StatementClass};
    let plan = plan("SELECT a.price FROM orders a JOIN clicks b ON a.product_id = b.k");
    let graph = crate::graph::workload(&plan).unwrap();
    let join = &graph.vertices[4];
    assert_eq!((join.class, join.keyed), (OperatorClass::Join, true));
    assert_eq!(graph.class(), StatementClass::Join);
}

#[test]
fn a_time_attribute_that_is_cast_is_none() {
    let join = |left: &str, right: &str| {
        let sql = format!(
            "SELECT a.v FROM (SELECT v, {left} AS t FROM clicks) AS a JOIN (SELECT v, {right} AS t FROM clicks) AS b
             ON a.v = b.v AND a.t = b.t"
        );
        nodes(&plan(&sql)).join(" ")
    };
    let both = join("ts", "ts");
    assert!(both.contains("StreamIntervalJoin"), "{both}");
    let cast = "CAST(ts AS TIMESTAMP(3))";
    let neither = join(cast, cast);
    assert!(neither.contains("StreamJoin"), "{neither}");
}
