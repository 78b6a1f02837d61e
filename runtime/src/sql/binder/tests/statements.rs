//! Views, keys, lists and what is refused by name.

use super::*;

/// The new definition of an altered table.
fn altered(sql: &str) -> Result<TableDef> {
    match bind(sql)? {
        Bound::AlterTable { table } => Ok(table),
        other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn a_view_is_renamed_and_given_another_query() {
    let Bound::AlterView { name, view } = bind("ALTER VIEW big RENAME TO huge").unwrap() else {
        panic!("not a view");
    };
    assert_eq!(
        (name.name.as_str(), view.name.name.as_str()),
        ("big", "huge")
    );
    assert_eq!(
        view.query,
        "SELECT order_id, price FROM orders WHERE price > 100"
    );
    let Bound::AlterView { name, view } =
        bind("ALTER VIEW big AS SELECT price FROM orders").unwrap()
    else {
        panic!("not a view");
    };
    assert_eq!(name, view.name);
    assert_eq!(view.query, "SELECT price FROM orders");
    for (sql, expected) in [
        ("ALTER VIEW big RENAME TO orders", "exists already"),
        ("ALTER VIEW orders AS SELECT 1", "is a table, not a view"),
        ("ALTER VIEW bgi AS SELECT 1", "did you mean \"big\"?"),
        (
            "ALTER VIEW big AS SELECT nothing FROM orders",
            "unknown column",
        ),
        ("ALTER VIEW big SET ('a' = 'b')", "expected RENAME TO or AS"),
        ("SHOW CREATE VIEW orders", "is a table, not a view"),
        (
            "DROP VIEW orders",
            "line 1, column 11: `default`.`cluster_0`.`orders` is a table",
        ),
        ("DROP TABLE big", "is a view, not a table"),
        (
            "DROP TABLE oders",
            "line 1, column 12: unknown table \"oders\", did you mean \"orders\"?",
        ),
        (
            "SELECT price FORM orders",
            "expected ; or the end of the text, found orders",
        ),
        (
            "CREATE TABLE t (a INT PRIMARY KEY)",
            "write PRIMARY KEY NOT ENFORCED",
        ),
    ] {
        let message = message(sql);
        assert!(message.contains(expected), "{sql}: {message}");
    }
}

#[test]
fn a_primary_key_is_added_and_dropped() {
    let keyed = altered("ALTER TABLE orders ADD PRIMARY KEY (order_id) NOT ENFORCED").unwrap();
    assert_eq!(keyed.primary_key, ["order_id"]);
    assert_eq!(keyed.option("changelog.mode"), Some("append"));
    let named =
        altered("ALTER TABLE orders ADD (CONSTRAINT pk PRIMARY KEY (order_id) NOT ENFORCED)");
    assert_eq!(named.unwrap(), keyed);
    for (sql, expected) in [
        (
            "ALTER TABLE orders ADD PRIMARY KEY (quantity) NOT ENFORCED",
            "may be NULL",
        ),
        (
            "ALTER TABLE totals ADD PRIMARY KEY (customer_id) NOT ENFORCED",
            "drop it first",
        ),
        (
            "ALTER TABLE totals DROP CONSTRAINT `PRIMARY`",
            "needs its primary key",
        ),
        (
            "ALTER TABLE totals DROP CONSTRAINT PRIMAR",
            "did you mean \"PRIMARY\"?",
        ),
        ("ALTER TABLE orders DROP PRIMARY KEY", "has no primary key"),
        (
            "ALTER TABLE orders ADD (x AS price + 1, PRIMARY KEY (order_id) NOT ENFORCED)",
            "one after the other",
        ),
        (
            "ALTER TABLE orders MODIFY price INT",
            "only the watermark can be modified",
        ),
        ("ALTER TABLE orders RENAME TO o", "create another one"),
        (
            "ALTER TABLE orders DROP PARTITION (p = 1)",
            "tables have buckets",
        ),
    ] {
        let message = message(sql);
        assert!(message.contains(expected), "{sql}: {message}");
        assert!(message.starts_with("line 1, column "), "{message}");
    }
}

#[test]
fn a_key_is_dropped_where_rows_do_not_replace_one_another() {
    let mut catalog = catalog();
    let mut keyed = altered("ALTER TABLE orders ADD PRIMARY KEY (order_id) NOT ENFORCED").unwrap();
    catalog.put_table(keyed.clone());
    let statements = parse("ALTER TABLE orders DROP CONSTRAINT `PRIMARY`").unwrap();
    let bound = analyze(&statements[0], &catalog, &Session::default()).unwrap();
    keyed.primary_key.clear();
    assert_eq!(bound, Bound::AlterTable { table: keyed });
}

#[test]
fn lists_take_places_and_patterns() {
    let names = |sql: &str| answer(sql).1.concat();
    assert_eq!(names("SHOW TABLES LIKE 'b%'"), ["big"]);
    assert_eq!(names("SHOW VIEWS FROM `default`.cluster_0"), ["big"]);
    assert_eq!(
        names("SHOW TABLES IN cluster_0 NOT LIKE '%e%'"),
        ["big", "clicks", "totals"]
    );
    assert_eq!(names("SHOW TABLES ILIKE 'BIG'"), ["big"]);
    assert_eq!(
        answer("SHOW CATALOGS LIKE 'd%'").1,
        [["default", "default"]]
    );
    assert_eq!(names("SHOW DATABASES FROM `default` LIKE 'x'").len(), 0);
    assert!(matches!(bind("SHOW JOBS").unwrap(), Bound::ShowJobs));
    for (sql, expected) in [
        ("SHOW TABLES FROM nowhere", "unknown database"),
        ("SHOW TABLES FROM nowhere.cluster_0", "unknown catalog"),
        ("SHOW CATALOGS FROM x", "takes no FROM"),
        ("SHOW TABLES NOT", "expected LIKE or ILIKE"),
        (
            "SHOW PARTITIONS orders",
            "SHOW PARTITIONS: tables have buckets",
        ),
        ("SHOW COLUMNS FROM orders", "SHOW COLUMNS: use DESCRIBE"),
        ("SHOW TABELS", "expected CATALOGS"),
    ] {
        let message = message(sql);
        assert!(message.contains(expected), "{sql}: {message}");
    }
}

#[test]
fn statements_that_there_are_not_are_named_with_a_way_out() {
    for (sql, expected) in [
        (
            "ANALYZE TABLE orders",
            "line 1, column 1: the statement ANALYZE: plans need no statistics",
        ),
        ("CALL f()", "the statement CALL"),
        (
            "CREATE DATABASE d",
            "CREATE DATABASE: a database is a Kafka cluster",
        ),
        (
            "ALTER CATALOG c SET ('a' = 'b')",
            "ALTER CATALOG: a catalog is an environment",
        ),
        ("DELETE FROM orders", "write to a table with a PRIMARY KEY"),
        ("UPDATE orders SET price = 1", "replaces the row of a key"),
        ("TRUNCATE TABLE orders", "DROP TABLE and CREATE TABLE"),
        ("ADD JAR 'x.jar'", "there are no JARs"),
        ("REMOVE JAR 'x.jar'", "there are no JARs"),
        ("LOAD MODULE m", "there are no modules"),
        ("UNLOAD MODULE m", "there are no modules"),
        ("CREATE TEMPORARY TABLE t (a INT)", "leave TEMPORARY out"),
        ("CREATE OR REPLACE TABLE t (a INT)", "leave OR REPLACE out"),
        (
            "CREATE MATERIALIZED TABLE t AS SELECT 1",
            "use CREATE TABLE ... AS SELECT",
        ),
        ("DROP SYSTEM FUNCTION f", "cannot be changed"),
        ("STOP JOB 'x'", "weir statement stop"),
        (
            "SELEC 1",
            "unknown statement \"SELEC\", did you mean \"SELECT\"?",
        ),
    ] {
        let message = message(sql);
        assert!(message.contains(expected), "{sql}: {message}");
    }
}

#[test]
fn a_table_is_created_from_a_query() {
    let created = |sql: &str| match bind(sql) {
        Ok(Bound::CreateTableAs { table, plan, .. }) => (table, plan),
        other => panic!("{sql}: {other:?}"),
    };
    let sql = "CREATE TABLE t (note STRING, price DECIMAL(20, 4), twice AS price * 2, WATERMARK FOR `$rowtime` AS `$rowtime`,
        PRIMARY KEY (order_id) NOT ENFORCED) WITH ('value.format' = 'json') AS SELECT order_id, amount AS price FROM orders";
    let (table, plan) = created(sql);
    let names: Vec<String> = table
        .columns
        .iter()
        .map(|c| format!("{} {}", c.name, c.ty))
        .collect();
    assert_eq!(
        names,
        [
            "note STRING",
            "price DECIMAL(20, 4)",
            "twice DECIMAL(31, 4)",
            "order_id STRING NOT NULL"
        ]
    );
    assert_eq!(table.primary_key, ["order_id"]);
    assert!(table.watermark.is_some());
    let sink = plan.nodes.last().unwrap();
    let written: Vec<&str> = sink
        .schema
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    assert_eq!(written, ["note", "price", "order_id"]);
    let (existing, _) =
        created("CREATE TABLE IF NOT EXISTS expensive AS SELECT order_id, price FROM orders");
    assert!(
        existing.columns.iter().all(|column| column.ty.nullable),
        "it is as it was"
    );
    for (sql, expected) in [
        (
            "CREATE TABLE expensive AS SELECT order_id, price FROM orders",
            "line 1, column 14: `default`.`cluster_0`.`expensive` exists already",
        ),
        (
            "CREATE TABLE t (n INT NOT NULL) AS SELECT order_id FROM orders",
            "column 'n' has no default value",
        ),
        (
            "CREATE TABLE t (price AS 1) AS SELECT price FROM orders",
            "give the latter another name",
        ),
        (
            "CREATE TABLE t (price INT) AS SELECT tags AS price FROM orders",
            "ARRAY",
        ),
        (
            "CREATE TABLE t AS SELECT nothing FROM orders",
            "unknown column",
        ),
        (
            "CREATE TABLE t AS SELECT customer_id, COUNT(*) AS n FROM orders GROUP BY customer_id",
            "update and delete changes",
        ),
    ] {
        let message = message(sql);
        assert!(message.contains(expected), "{sql}: {message}");
    }
}

#[test]
fn the_current_database_is_a_constant() {
    assert_eq!(types("SELECT CURRENT_DATABASE() AS d"), ["STRING NOT NULL"]);
    let filtered = plan("SELECT price FROM orders WHERE order_id = CURRENT_DATABASE()");
    assert!(format!("{filtered:?}").contains("String(\"cluster_0\")"));
    for (sql, expected) in [
        ("SELECT CURRENT_DATABASE(1)", "takes no arguments"),
        (
            "CREATE TABLE t (a INT, d AS CURRENT_DATABASE())",
            "write the name as a string",
        ),
        (
            "SELECT price FROM orders WHERE ts AT TIME ZONE 'UTC' = 1",
            "CONVERT_TZ(text, from, to)",
        ),
    ] {
        let message = message(sql);
        assert!(message.contains(expected), "{sql}: {message}");
    }
}

#[test]
fn properties_are_checked_when_they_are_set() {
    for (sql, expected) in [
        (
            "SET 'sql.tables.scan.source-operator-parallelism' = '0'",
            "line 1, column 53: property 'sql.tables.scan.source-operator-parallelism': \"0\" is not a whole number from 1 on",
        ),
        (
            "SET 'sql.state-tll' = '1 h'",
            "line 1, column 5: unknown property \"sql.state-tll\", did you mean \"sql.state-ttl\"?",
        ),
        ("SET 'sql.dry-run' = 'maybe'", "is not true or false"),
        ("SET 'sql.snapshot.mode' = 'then'", "is not one of now, off"),
        ("SET 'sql.local-time-zone' = 'Berlin'", "is not a time zone"),
        (
            "SET 'client.results-timeout' = 'soon'",
            "is not a whole number",
        ),
        (
            "SET 'sql.tables.scan.startup.timestamp-millis' = 'x'",
            "is not a whole number",
        ),
        (
            "RESET 'sql.local-time-zon'",
            "did you mean \"sql.local-time-zone\"?",
        ),
        ("USE nowhere", "unknown database \"nowhere\""),
        ("USE CATALOG defalt", "did you mean \"default\"?"),
    ] {
        let message = message(sql);
        assert!(message.contains(expected), "{sql}: {message}");
    }
}

/// What EXPLAIN prints.
fn explained(sql: &str) -> String {
    match bind(sql) {
        Ok(Bound::Rows { rows, .. }) => rows[0][0].clone().unwrap_or_default(),
        other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn explain_shows_the_details_that_are_asked_for() {
    let query =
        "SELECT customer_id, COUNT(*) FROM orders WHERE customer_id = 3 GROUP BY customer_id";
    let text = explained(&format!("EXPLAIN CHANGELOG_MODE, ESTIMATED_COST {query}"));
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let line = |start: &str| {
        let found = lines.iter().find(|line| line.starts_with(start));
        *found.unwrap_or_else(|| panic!("{start}: {text}"))
    };
    assert_eq!(
        line("+- StreamTableSourceScan"),
        "+- StreamTableSourceScan [1] (changelogMode=[I]): rowcount = 1.0E8, cumulative cost = \
         {1.0E8 rows, 1.0E8 cpu, 1.2E9 io, 0.0 network, 0.0 memory}"
    );
    let filtered = line("+- StreamCalc [2]");
    assert!(filtered.contains("rowcount = 1.5E7"), "{filtered}");
    let grouped = line("+- StreamGroupAggregate");
    assert!(
        grouped.contains("(changelogMode=[I,UB,UA,D]): rowcount = 1500000.0"),
        "{grouped}"
    );
    assert!(grouped.contains("6.0E7 network"), "{grouped}");
    let plain = explained(&format!("EXPLAIN {query}"));
    assert!(
        !plain.contains("changelogMode") && !plain.contains("rowcount"),
        "{plain}"
    );
}

#[test]
fn explain_shows_advice_and_the_plan_as_json() {
    let text = explained("EXPLAIN JSON_EXECUTION_PLAN, PLAN_ADVICE SELECT order_id FROM orders");
    assert!(text.contains("== Warnings ==\n\nnone\n"), "{text}");
    let (_, json) = text.split_once("== Physical Execution Plan ==\n").unwrap();
    let plan: serde_json::Value = serde_json::from_str(json).unwrap();
    let nodes = plan["nodes"].as_array().unwrap();
    assert_eq!(nodes[0]["pact"], "Data Source");
    assert_eq!(
        nodes.last().unwrap()["predecessors"][0]["ship_strategy"],
        "FORWARD"
    );
}

#[test]
fn explain_refuses_a_detail_twice() {
    let error = parse("EXPLAIN CHANGELOG_MODE, CHANGELOG_MODE SELECT 1").unwrap_err();
    assert!(error.message.contains("twice"), "{error}");
}

#[test]
fn sinks_by_another_key_need_a_strategy_when_it_is_asked_for() {
    let with = |required: &str, sql: &str| {
        let mut session = Session::default();
        let key = "table.exec.sink.require-on-conflict";
        session.set(key, required).unwrap();
        analyze(&parse(sql).unwrap()[0], &catalog(), &session)
    };
    let meeting = "INSERT INTO totals SELECT quantity, COUNT(*), 1.0 FROM (SELECT CAST(quantity AS INT) AS quantity, customer_id FROM orders) AS o GROUP BY quantity, customer_id";
    let error = with("true", meeting).unwrap_err().to_string();
    assert!(
        error.contains("not the primary key (customer_id)"),
        "{error}"
    );
    assert!(error.contains("ON CONFLICT DO DEDUPLICATE"), "{error}");
    let said = format!("{meeting} ON CONFLICT DO DEDUPLICATE");
    let own = "INSERT INTO totals SELECT customer_id, COUNT(*), SUM(price) FROM orders GROUP BY customer_id";
    for (required, sql) in [("false", meeting), ("true", &said), ("true", own)] {
        assert!(with(required, sql).is_ok(), "{required}: {sql}");
    }
}
