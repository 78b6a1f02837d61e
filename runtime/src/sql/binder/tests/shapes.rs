//! Shapes of queries: which operator each becomes, with which changelog, key and time attributes.

use super::*;
use crate::plan::{
    AggregateFunction, FrameBound, JoinKind, LateRows, RankFunction, RankRange, TimeDomain,
};

/// The names of the operators of a query, without scans, Calcs and the sink.
fn shape(sql: &str) -> Vec<&'static str> {
    let left_out = ["TableSourceScan", "Calc", "Sink"];
    let plan = plan(sql);
    let names = plan.nodes.iter().map(|node| node.operator.name());
    names.filter(|name| !left_out.contains(name)).collect()
}

/// The first node that has an operator of that name.
pub(super) fn find<'a>(plan: &'a StreamPlan, name: &str) -> &'a Node {
    let found = plan.nodes.iter().find(|node| node.operator.name() == name);
    found.unwrap_or_else(|| panic!("no {name} in {:?}", nodes(plan)))
}

/// The kinds of the joins of a query.
fn join_kinds(sql: &str) -> Vec<JoinKind> {
    let plan = plan(sql);
    let kind = |node: &Node| match &node.operator {
        Operator::Join { kind, .. } => Some(*kind),
        _ => None,
    };
    plan.nodes.iter().filter_map(kind).collect()
}

#[test]
fn sub_queries_of_where_are_semi_and_anti_joins() {
    for (condition, kind, keys, has_rest) in [
        (
            "product_id IN (SELECT k FROM clicks)",
            JoinKind::Semi,
            1,
            false,
        ),
        (
            "product_id NOT IN (SELECT k FROM clicks)",
            JoinKind::Anti,
            0,
            true,
        ),
        (
            "order_id NOT IN (SELECT order_id FROM orders)",
            JoinKind::Anti,
            1,
            false,
        ),
        (
            "EXISTS (SELECT 1 FROM clicks WHERE k = product_id)",
            JoinKind::Semi,
            1,
            false,
        ),
        (
            "NOT EXISTS (SELECT 1 FROM clicks WHERE k = product_id AND v > customer_id)",
            JoinKind::Anti,
            1,
            true,
        ),
        (
            "NOT (product_id IN (SELECT k FROM clicks WHERE v = 1))",
            JoinKind::Anti,
            0,
            true,
        ),
        (
            "product_id = ANY (SELECT k FROM clicks)",
            JoinKind::Semi,
            1,
            false,
        ),
    ] {
        let sql = format!("SELECT order_id FROM orders WHERE {condition}");
        let plan = plan(&sql);
        let node = find(&plan, "Join");
        let Operator::Join {
            kind: found,
            left_keys,
            residual,
            ..
        } = &node.operator
        else {
            panic!("{node:?}");
        };
        assert_eq!((*found, left_keys.len()), (kind, keys), "{sql}");
        assert_eq!(residual.is_some(), has_rest, "{sql}");
        let is_append = node.changelog == ChangelogMode::Append;
        assert_eq!(is_append, kind == JoinKind::Semi, "{sql}");
        assert_eq!(
            node.schema.len(),
            plan.node(node.inputs[0].node).unwrap().schema.len()
        );
    }
}

#[test]
fn sub_queries_as_values_are_left_joins_of_one_row() {
    let count =
        "SELECT order_id, (SELECT COUNT(*) FROM clicks WHERE k = product_id) AS n FROM orders";
    assert_eq!(shape(count), ["GroupAggregate", "Join"]);
    assert_eq!(join_kinds(count), [JoinKind::Left]);
    assert_eq!(types(count), ["STRING NOT NULL", "BIGINT"]);
    // Nothing says that there is one row at most.
    let any = plan(
        "SELECT order_id FROM orders WHERE price > (SELECT v FROM clicks WHERE k = product_id)",
    );
    let Operator::GroupAggregate { keys, aggregates } = &find(&any, "GroupAggregate").operator
    else {
        panic!("{:?}", nodes(&any));
    };
    assert_eq!(keys.len(), 1);
    assert_eq!(aggregates[0].function, AggregateFunction::SingleValue);
    // An OR needs the answer as a column; it is never unknown when nothing can be NULL.
    let marked =
        "SELECT order_id FROM orders WHERE order_id IN (SELECT order_id FROM orders) OR price > 1";
    assert_eq!(join_kinds(marked), [JoinKind::Left]);
    let unknown = "SELECT product_id IN (SELECT k FROM clicks) FROM orders";
    assert_eq!(join_kinds(unknown), [JoinKind::Left, JoinKind::Left]);
    assert_eq!(types(unknown), ["BOOLEAN"]);
    let having = "SELECT product_id, SUM(price) FROM orders GROUP BY product_id HAVING SUM(price) > (SELECT MAX(v) FROM clicks)";
    assert_eq!(shape(having), ["GroupAggregate", "GroupAggregate", "Join"]);
}

#[test]
fn wrong_sub_queries_are_refused_with_their_place() {
    for (sql, expected) in [
        (
            "SELECT (SELECT k, v FROM clicks) FROM orders",
            "line 1, column 9: a sub-query with 2 columns where 1 are needed",
        ),
        (
            "SELECT 1 FROM orders WHERE (product_id, price) IN (SELECT k FROM clicks)",
            "line 1, column 52: a sub-query with 1 columns where 2 are needed",
        ),
        (
            "SELECT 1 FROM orders WHERE EXISTS (SELECT 1 FROM clicks WHERE k = nothing)",
            "line 1, column 67: unknown column \"nothing\"",
        ),
        (
            "SELECT (SELECT MAX(v) FROM clicks WHERE k > product_id) FROM orders",
            "line 1, column 41: a condition other than an equality",
        ),
    ] {
        let message = message(sql);
        assert!(message.starts_with(expected), "{sql}\n{message}");
    }
}

#[test]
fn ranks_that_are_bounded_are_top_n() {
    let top = plan(
        "SELECT * FROM (SELECT product_id, price, ROW_NUMBER() OVER (PARTITION BY product_id ORDER BY price DESC) AS n FROM orders) WHERE n <= 3 AND price > 1",
    );
    let node = find(&top, "Rank");
    let Operator::Rank(rank) = &node.operator else {
        panic!("{node:?}");
    };
    assert_eq!(rank.function, RankFunction::RowNumber);
    assert_eq!(rank.range, RankRange::Constant { start: 1, end: 3 });
    assert!(rank.order[0].descending && rank.order[0].nulls_last);
    assert!(rank.has_number);
    assert_eq!(node.changelog, ChangelogMode::Retract);
    assert_eq!(
        node.inputs[0].exchange,
        Exchange::Hash(rank.partition.clone())
    );
    // The rest of the condition is still tested.
    assert!(top.nodes.iter().any(|node| matches!(
        &node.operator,
        Operator::Calc {
            condition: Some(_),
            ..
        }
    )));
    let unread = plan(
        "SELECT price FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY product_id ORDER BY price) AS n FROM orders) WHERE 2 > n",
    );
    let Operator::Rank(rank) = &find(&unread, "Rank").operator else {
        panic!("{:?}", nodes(&unread));
    };
    assert_eq!(rank.range, RankRange::Constant { start: 1, end: 1 });
    assert!(!rank.has_number);
    let ranked = |function: &str, condition: &str| {
        let query = format!("SELECT *, {function}() OVER (ORDER BY price) AS n FROM orders");
        message(&format!("SELECT price FROM ({query}) WHERE {condition}"))
    };
    let refused = ranked("RANK", "n < 3");
    assert!(refused.contains("RANK() on streaming table"), "{refused}");
    let refused = ranked("ROW_NUMBER", "n > 3");
    assert!(refused.contains("rank end is not specified"), "{refused}");
}

#[test]
fn the_first_row_by_time_is_a_deduplication() {
    let last = plan(
        "SELECT k, v FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) AS n FROM clicks) WHERE n = 1",
    );
    let node = find(&last, "Deduplicate");
    let Operator::Deduplicate(deduplicate) = &node.operator else {
        panic!("{node:?}");
    };
    assert!(deduplicate.keep_last);
    assert_eq!(deduplicate.domain, TimeDomain::Event);
    assert_eq!(node.changelog, ChangelogMode::Retract);
    assert_eq!(
        node.upsert_key.as_deref(),
        Some(deduplicate.keys.as_slice())
    );
    let window = "SELECT k FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, k ORDER BY v) AS n FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' MINUTE))) WHERE n <= 2";
    assert_eq!(shape(window), ["WindowTableFunction", "WindowRank"]);
    assert_eq!(
        shape(
            &window
                .replace("ORDER BY v", "ORDER BY ts")
                .replace("n <= 2", "n <= 1")
        ),
        ["WindowTableFunction", "WindowDeduplicate"]
    );
}

#[test]
fn over_windows_share_a_node_and_append_by_time() {
    let plan = plan(
        "SELECT SUM(v) OVER w, COUNT(*) OVER w FROM clicks WINDOW w AS (PARTITION BY k ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)",
    );
    let overs: Vec<&Node> = plan
        .nodes
        .iter()
        .filter(|node| node.operator.name() == "OverAggregate")
        .collect();
    assert_eq!(overs.len(), 1);
    let Operator::OverAggregate(over) = &overs[0].operator else {
        panic!("{:?}", overs[0]);
    };
    assert_eq!(over.aggregates.len(), 2);
    assert_eq!(over.frame.start, FrameBound::Preceding(2));
    assert_eq!(over.domain, Some(TimeDomain::Event));
    assert!(
        overs
            .iter()
            .all(|node| node.changelog == ChangelogMode::Append)
    );
    assert_eq!(
        types(
            "SELECT RANK() OVER w, LAG(order_id, 1, 'x') OVER w FROM orders WINDOW w AS (ORDER BY `$rowtime`)"
        ),
        ["BIGINT NOT NULL", "STRING NOT NULL"]
    );
}

#[test]
fn set_operations_compare_nulls_as_equal() {
    let plan = plan("SELECT product_id FROM orders EXCEPT SELECT k FROM clicks");
    let Operator::Join {
        kind, filter_nulls, ..
    } = &find(&plan, "Join").operator
    else {
        panic!("{:?}", nodes(&plan));
    };
    assert_eq!(*kind, JoinKind::Anti);
    assert_eq!(filter_nulls, &[false]);
    assert_eq!(
        shape("SELECT product_id FROM orders INTERSECT ALL SELECT k FROM clicks"),
        ["Union", "GroupAggregate", "Correlate"]
    );
}

#[test]
fn orders_and_limits_have_operators_of_their_own() {
    assert_eq!(shape("SELECT k FROM clicks ORDER BY ts"), ["TemporalSort"]);
    assert!(message("SELECT k FROM clicks ORDER BY v").contains("sort on a non-time-attribute"));
    assert!(message("SELECT k FROM clicks OFFSET 2").contains("FETCH is missed"));
    assert_eq!(shape("SELECT k FROM clicks LIMIT 3"), ["Limit"]);
    assert_eq!(
        shape("SELECT DISTINCT k FROM clicks ORDER BY k LIMIT 3"),
        ["GroupAggregate", "SortLimit"]
    );
    let plan = plan("SELECT k FROM clicks ORDER BY v DESC, 1 OFFSET 2 ROWS FETCH NEXT 3 ROWS ONLY");
    let Operator::SortLimit(sort) = &find(&plan, "SortLimit").operator else {
        panic!("{:?}", nodes(&plan));
    };
    assert_eq!((sort.offset, sort.fetch), (2, Some(3)));
    assert_eq!(sort.order.len(), 2);
    assert_eq!(names("SELECT k FROM clicks ORDER BY v LIMIT 1"), ["k"]);
    assert!(
        message("SELECT k FROM clicks ORDER BY 2")
            .starts_with("line 1, column 31: ordinal out of range")
    );
}

#[test]
fn grouping_sets_expand_rows() {
    let sql = "SELECT product_id, customer_id, COUNT(*), GROUPING(product_id) FROM orders GROUP BY ROLLUP (product_id, customer_id)";
    assert_eq!(shape(sql), ["Expand", "GroupAggregate"]);
    assert_eq!(
        types(sql),
        ["STRING", "INT", "BIGINT NOT NULL", "BIGINT NOT NULL"]
    );
    let plan = plan(sql);
    let Operator::Expand { projections } = &find(&plan, "Expand").operator else {
        panic!("{:?}", nodes(&plan));
    };
    assert_eq!(projections.len(), 3);
    assert!(
        message("SELECT GROUPING(price) FROM orders GROUP BY CUBE (product_id)")
            .starts_with("line 1, column 17: argument to GROUPING must be a grouped expression")
    );
}

#[test]
fn windows_of_every_shape_are_aggregated() {
    for function in [
        "HOP(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '5' MINUTE)",
        "CUMULATE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '5' MINUTE)",
        "SESSION(TABLE clicks PARTITION BY k, DESCRIPTOR(ts), INTERVAL '1' MINUTE)",
        "HOP(DATA => TABLE clicks, TIMECOL => DESCRIPTOR(ts), SLIDE => INTERVAL '1' MINUTE, SIZE => INTERVAL '5' MINUTE)",
    ] {
        let sql = format!(
            "SELECT window_start, window_end, k, COUNT(*) FROM TABLE({function}) GROUP BY window_start, window_end, k"
        );
        assert_eq!(shape(&sql), ["WindowAggregate"], "{function}");
    }
    let group = "SELECT TUMBLE_ROWTIME(ts, INTERVAL '1' HOUR) AS t, COUNT(*) FROM clicks GROUP BY TUMBLE(ts, INTERVAL '1' HOUR)";
    assert_eq!(shape(group), ["GroupWindowAggregate"]);
    assert_eq!(find(&plan(group), "GroupWindowAggregate").rowtime, Some(1));
    assert!(message("SELECT TUMBLE_END(ts, INTERVAL '2' HOUR) FROM clicks GROUP BY TUMBLE(ts, INTERVAL '1' HOUR)")
        .contains("must have matching call"));
    assert!(message("SELECT 1 FROM TABLE(CUMULATE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '2' MINUTE, INTERVAL '5' MINUTE))")
        .contains("integral multiple"));
}

#[test]
fn joins_near_in_time_are_interval_joins() {
    let plan = plan(
        "SELECT a.v FROM clicks a JOIN clicks b ON a.k = b.k AND a.ts >= b.ts - INTERVAL '5' SECOND AND b.ts + INTERVAL '2' SECOND > a.ts AND a.v < b.v",
    );
    let node = find(&plan, "IntervalJoin");
    let Operator::IntervalJoin(join) = &node.operator else {
        panic!("{node:?}");
    };
    assert_eq!((join.lower_ms, join.upper_ms), (-5_000, 1_999));
    assert!(join.residual.is_some());
    assert!(node.rowtime.is_some());
    let equal = self::plan(
        "SELECT a.v FROM clicks a FULL JOIN clicks b ON a.k = b.k AND a.ts = b.ts + INTERVAL '1' SECOND",
    );
    let Operator::IntervalJoin(join) = &find(&equal, "IntervalJoin").operator else {
        panic!("{:?}", nodes(&equal));
    };
    assert_eq!((join.lower_ms, join.upper_ms), (1_000, 1_000));
    assert_eq!((join.left_keys.len(), &join.residual), (1, &None));
    assert_eq!(
        shape("SELECT a.v FROM clicks a JOIN clicks b ON a.k = b.k AND a.ts >= b.ts"),
        ["Join"]
    );
}

#[test]
fn windows_that_are_equal_are_joined_per_window() {
    let window = "TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' MINUTE))";
    let equal = "a.window_start = b.window_start AND a.window_end = b.window_end";
    let joined =
        format!("SELECT a.v FROM {window} a LEFT JOIN {window} b ON a.k = b.k AND {equal}");
    let plan = plan(&joined);
    let Operator::WindowJoin(join) = &find(&plan, "WindowJoin").operator else {
        panic!("{:?}", nodes(&plan));
    };
    assert_eq!((join.kind, join.left_keys.len()), (JoinKind::Left, 1));
    let semi = format!(
        "SELECT v FROM (SELECT * FROM {window}) a WHERE k NOT IN (SELECT k FROM {window} b WHERE {equal})"
    );
    assert!(shape(&semi).contains(&"WindowJoin"), "{:?}", shape(&semi));
}

#[test]
fn rows_are_joined_with_versions() {
    let plan = plan(
        "SELECT o.price, t.revenue FROM (SELECT *, `$rowtime` AS at FROM orders) o LEFT JOIN totals FOR SYSTEM_TIME AS OF o.at AS t ON o.customer_id = t.customer_id",
    );
    let node = find(&plan, "TemporalJoin");
    let Operator::TemporalJoin(join) = &node.operator else {
        panic!("{node:?}");
    };
    assert_eq!(join.kind, JoinKind::Left);
    assert_eq!(join.version_key, join.right_keys);
    assert_eq!(node.changelog, ChangelogMode::Append);
    assert!(message("SELECT 1 FROM orders o JOIN totals FOR SYSTEM_TIME AS OF o.price AS t ON o.customer_id = t.customer_id")
        .contains("left table's time attribute field"));
    assert!(message("SELECT 1 FROM (SELECT *, PROCTIME() AS at FROM orders) o JOIN totals FOR SYSTEM_TIME AS OF o.at AS t ON o.customer_id = t.customer_id")
        .contains("join as of a rowtime"));
    assert!(message("SELECT 1 FROM orders o JOIN totals FOR SYSTEM_TIME AS OF o.`$rowtime` AS t ON o.product_id = CAST(t.orders AS STRING)")
        .contains("requires both primary key and row time attribute"));
}

#[test]
fn collections_become_rows() {
    let sql = "SELECT order_id, tag, n FROM orders LEFT JOIN UNNEST(tags) WITH ORDINALITY AS t(tag, n) ON TRUE";
    assert_eq!(shape(sql), ["Correlate"]);
    assert_eq!(types(sql), ["STRING NOT NULL", "STRING", "INT"]);
    assert!(
        message("SELECT 1 FROM orders, UNNEST(price) AS t(a)")
            .starts_with("line 1, column 30: UNNEST takes")
    );
    let lateral = "SELECT order_id, v FROM orders, LATERAL (SELECT v FROM clicks WHERE k = product_id ORDER BY v LIMIT 2)";
    assert_eq!(shape(lateral), ["Rank", "Join"]);
}

#[test]
fn aggregates_have_flinks_types() {
    assert_eq!(
        types(
            "SELECT LISTAGG(product_id), COLLECT(product_id), ARRAY_AGG(quantity), FIRST_VALUE(order_id), STDDEV_POP(quantity), VAR_POP(amount), JSON_OBJECTAGG(KEY order_id VALUE price), JSON_ARRAYAGG(price ABSENT ON NULL), COUNT(DISTINCT product_id), PERCENTILE(price, ARRAY[0.5, 0.9]) FROM orders GROUP BY customer_id"
        ),
        [
            "STRING",
            "MULTISET<STRING> NOT NULL",
            "ARRAY<BIGINT>",
            "STRING NOT NULL",
            "BIGINT",
            "DECIMAL(38, 6) NOT NULL",
            "STRING NOT NULL",
            "STRING NOT NULL",
            "BIGINT NOT NULL",
            "ARRAY<DOUBLE>"
        ]
    );
    assert!(
        message("SELECT PERCENTILE(price, 1.5) FROM orders")
            .starts_with("line 1, column 8: PERCENTILE takes")
    );
    assert!(message("SELECT LAG(price) FROM orders").contains("OVER clause is necessary for LAG"));
}

#[test]
fn conflicts_need_a_key_and_watermarks() {
    let plan = plan(
        "INSERT INTO totals SELECT customer_id, 1, price FROM orders ON CONFLICT DO DEDUPLICATE",
    );
    let last = plan.nodes.last().unwrap();
    assert!(matches!(&last.operator, Operator::Sink(sink) if sink.on_conflict.is_some()));
    assert!(
        message("INSERT INTO expensive SELECT order_id, price FROM orders ON CONFLICT DO NOTHING")
            .contains("only allowed for upsert sinks")
    );
    assert!(
        message(
            "INSERT INTO totals SELECT CAST(id AS INT), 1, 1.0 FROM generated ON CONFLICT DO ERROR"
        )
        .contains("requires all source tables to define watermarks")
    );
}

#[test]
fn the_deepest_statements_fit_the_stack_of_any_thread() {
    let nested = |levels: i32| {
        let orders = "SELECT customer_id AS a FROM orders".to_owned();
        (0..levels).fold(orders, |query, level| {
            format!(
                "SELECT t{level}.a FROM ({query}) AS t{level} WHERE NOT (t{level}.a IN (SELECT customer_id FROM orders WHERE price > {level}))"
            )
        })
    };
    // A thread of a test has 2 MiB, of which ten levels took all.
    let deepest = (0..50).find(|levels| bind(&nested(*levels)).is_err());
    let deepest = deepest.expect("there is a limit");
    assert!(deepest > 20, "{deepest} levels are refused");
    assert!(message(&nested(deepest)).contains("nests deeper than 50 levels"));
}

#[test]
fn sub_queries_that_double_a_column_do_not_double_the_plan() {
    let orders = "SELECT customer_id AS a FROM orders".to_owned();
    let query = (0..20).fold(orders, |query, _| {
        format!("SELECT a + a AS a FROM ({query})")
    });
    assert!(plan(&query).nodes.len() < 30);
}

#[test]
fn late_rows_are_told_apart_where_a_table_says_so() {
    let refused = [
        (
            "SELECT order_id FROM `orders$late`",
            "passes late rows through: ALTER TABLE `default`.`cluster_0`.`orders` SET ('late-handling.mode' = 'filter')",
        ),
        (
            "SELECT id FROM generated /*+ OPTIONS('late-handling.mode' = 'filter') */",
            "late-handling.mode",
        ),
        (
            "INSERT INTO `expensive$late` SELECT order_id, price FROM orders",
            "it can only be read",
        ),
        ("SELECT 1 FROM `nothing$late`", "nothing$late"),
    ];
    for (sql, expected) in refused {
        let message = message(sql);
        assert!(message.contains(expected), "{sql}: {message}");
    }
    let late = plan(
        "SELECT o.order_id FROM `orders$late` /*+ OPTIONS('late-handling.mode' = 'filter') */ AS o",
    );
    let source = scan(&late.nodes[0]);
    assert_eq!(source.late, LateRows::Only);
    assert!(source.watermark.is_some() && late.nodes[0].rowtime.is_none());
    let both = plan(
        "SELECT order_id FROM orders /*+ OPTIONS('late-handling.mode' = 'filter') */ UNION ALL SELECT order_id FROM orders",
    );
    let scans = both.nodes.iter().filter_map(|node| match &node.operator {
        Operator::TableSourceScan(scan) => Some(scan.late),
        _ => None,
    });
    let scans: Vec<LateRows> = scans.collect();
    assert_eq!(scans, [LateRows::Filter, LateRows::PassThrough]);
}

#[test]
fn what_is_computed_twice_is_one_node() {
    let per_customer = "(SELECT customer_id, COUNT(*) AS n FROM orders GROUP BY customer_id)";
    let both = format!(
        "EXECUTE STATEMENT SET BEGIN INSERT INTO printed SELECT CAST(customer_id AS STRING), n FROM {per_customer} WHERE n > 1; INSERT INTO totals SELECT customer_id, n, CAST(n AS DOUBLE) FROM {per_customer}; END"
    );
    let aggregations = |sql: &str| {
        let plan = plan(sql);
        let aggregations = plan.nodes.iter();
        aggregations
            .filter(|node| matches!(node.operator, Operator::GroupAggregate { .. }))
            .count()
    };
    assert_eq!(aggregations(&both), 1);
    let joined = |key: &str| {
        let side = format!("(SELECT {key} AS k, COUNT(*) AS n FROM orders GROUP BY {key})");
        format!("SELECT a.n, b.n FROM {side} AS a JOIN {side} AS b ON a.k = b.k")
    };
    assert_eq!(aggregations(&joined("customer_id")), 1);
    assert_eq!(aggregations(&joined("RAND_INTEGER(customer_id)")), 2);
}
