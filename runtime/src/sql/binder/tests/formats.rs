//! Formats of tables: which connector takes which, their options, their metadata, and tables whose records are changes.

use super::{bind, catalog, message};
use crate::plan::{ChangelogMode, Node, Operator};
use crate::sql::binder::{Bound, analyze};
use crate::sql::catalog::{ColumnKind, MemoryCatalog, TableDef};
use crate::sql::parse;
use crate::sql::session::Session;

/// What a connector to Kafka needs besides.
const KAFKA: &str =
    "'connector' = 'kafka', 'topic' = 't', 'properties.bootstrap.servers' = 'b:9092'";

/// The table that a statement creates.
fn create(sql: &str) -> Result<TableDef, String> {
    match bind(sql) {
        Ok(Bound::CreateTable { table, .. }) => Ok(table),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.message),
    }
}

/// What is wrong with a table of `id INT, name STRING` with these options.
fn wrong(options: &str) -> String {
    create(&format!(
        "CREATE TABLE x (id INT, name STRING) WITH ({options})"
    ))
    .unwrap_err()
}

/// A catalog with tables of changes.
fn with_changes() -> MemoryCatalog {
    let mut catalog = catalog();
    for sql in [
        "CREATE TABLE parts (id INT, name STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ('value.format' = 'debezium-json', 'value.fields-include' = 'all')".to_owned(),
        format!("CREATE TABLE stock (id INT, n INT, PRIMARY KEY (id) NOT ENFORCED) WITH ({KAFKA}, 'format' = 'canal-json')"),
        "CREATE TABLE moves (id INT, name STRING) WITH ('changelog.mode' = 'retract')".to_owned(),
        "CREATE TABLE plain (id INT, name STRING) WITH ('value.format' = 'json')".to_owned(),
        format!("CREATE TABLE lines (id INT, name STRING) WITH ({KAFKA}, 'format' = 'ogg-json')"),
    ] {
        match analyze(&parse(&sql).unwrap()[0], &catalog, &Session::default()).unwrap() {
            Bound::CreateTable { table, .. } => catalog.put_table(table),
            other => panic!("{other:?}"),
        }
    }
    catalog
}

/// The result of a statement about those tables.
fn bound(sql: &str) -> Result<Bound, String> {
    let statement = parse(sql).map_err(|error| error.to_string())?;
    analyze(&statement[0], &with_changes(), &Session::default()).map_err(|error| error.message)
}

/// The text of EXPLAIN.
fn explain(query: &str) -> String {
    match bound(&format!("EXPLAIN {query}")).unwrap() {
        Bound::Rows { rows, .. } => format!("{rows:?}").replace("\\n", "\n"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn scans_of_changes_are_updating_and_explain_shows_it() {
    let text = explain("SELECT name FROM parts WHERE id > 1");
    assert!(text.contains("StreamTableSourceScan"), "{text}");
    assert!(text.contains("Primary key: (id)"), "{text}");
    assert_eq!(text.matches("Changelog mode: retract").count(), 3, "{text}");
    assert!(text.contains("Upsert key: (id)"), "{text}");
    for table in ["stock", "moves", "lines"] {
        let plan = match bound(&format!("SELECT * FROM {table}")).unwrap() {
            Bound::Query(plan, info) => {
                assert!(!info.is_append_only);
                plan
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(plan.nodes[0].changelog, ChangelogMode::Retract, "{table}");
        let is_normalized =
            |operator: &Operator| matches!(operator, Operator::ChangelogNormalize { .. });
        assert!(!plan.nodes.iter().any(|node| is_normalized(&node.operator)));
    }
    let hint = "SELECT * FROM parts /*+ OPTIONS('changelog.mode' = 'append') */";
    assert!(explain(hint).contains("Changelog mode: append"));
}

#[test]
fn filters_of_upserts_are_part_of_what_makes_them_complete() {
    let shapes = |sql: &str| -> Vec<String> {
        let (Bound::Query(plan, _) | Bound::Insert(plan, _)) = bound(sql).unwrap() else {
            panic!("{sql}")
        };
        let shape = |node: &Node| match &node.operator {
            Operator::ChangelogNormalize { condition, .. } => {
                format!("normalize {}", condition.is_some())
            }
            Operator::Calc { condition, .. } => format!("calc {}", condition.is_some()),
            other => other.name().to_owned(),
        };
        plan.nodes.iter().map(shape).collect()
    };
    let filtered = shapes("SELECT customer_id FROM totals WHERE revenue > 5");
    let normalized = ["TableSourceScan", "normalize true", "calc false", "Sink"];
    assert_eq!(filtered, normalized);
    // Rows that others read as well are not filtered for them.
    let shared =
        "SELECT customer_id FROM totals WHERE revenue > 5 UNION ALL SELECT customer_id FROM totals";
    assert!(shapes(shared).contains(&"normalize false".to_owned()));
    assert!(shapes(shared).contains(&"calc true".to_owned()));
}

#[test]
fn updates_go_where_changes_can_be_written() {
    for target in ["parts", "moves", "lines"] {
        let sql = format!("INSERT INTO {target} SELECT id, MAX(name) FROM moves GROUP BY id");
        assert!(bound(&sql).is_ok(), "{target}");
        assert!(bound(&format!("INSERT INTO {target} SELECT id, name FROM plain")).is_ok());
    }
    let error = bound("INSERT INTO plain SELECT id, name FROM moves").unwrap_err();
    assert!(
        error.contains("doesn't support consuming update and delete changes"),
        "{error}"
    );
}

#[test]
fn changes_stand_where_there_are_changes() {
    let key = "CREATE TABLE x (id INT, name STRING, PRIMARY KEY (id) NOT ENFORCED) WITH";
    let table = create(&format!("{key} ({KAFKA}, 'format' = 'debezium-json')")).unwrap();
    assert_eq!(table.primary_key, ["id"]);
    let error = create(&format!("{key} ({KAFKA}, 'format' = 'json')")).unwrap_err();
    assert!(error.contains("without a format of changes"), "{error}");
    let error = create(&format!(
        "{key} ({}, 'key.format' = 'json', 'value.format' = 'debezium-json')",
        KAFKA.replace("'kafka'", "'upsert-kafka'")
    ))
    .unwrap_err();
    assert!(error.contains("use connector 'kafka'"), "{error}");
    let error = create(&format!(
        "{key} ('key.format' = 'debezium-json', 'value.format' = 'json')"
    ))
    .unwrap_err();
    assert!(error.contains("there is 'json'"), "{error}");
    for mode in ["append", "upsert"] {
        let error = create(&format!(
            "{key} ('changelog.mode' = '{mode}', 'value.format' = 'avro-debezium-registry')"
        ))
        .unwrap_err();
        assert!(error.contains("is retract"), "{error}");
    }
    // The key has no envelope.
    let table = create(&format!(
        "{key} ('value.format' = 'json-debezium-registry')"
    ))
    .unwrap();
    assert_eq!(table.option("key.format"), Some("json-registry"));
    assert_eq!(table.option("changelog.mode"), Some("retract"));
    let files = "CREATE TABLE x (id INT) WITH ('connector' = 'filesystem', 'path' = '/tmp/x', 'format' = 'maxwell-json')";
    assert!(create(files).is_ok());
}

#[test]
fn options_of_formats_stand_where_their_format_does() {
    assert_eq!(
        wrong("'value.format' = 'json', 'key.json.fail-on-missing-field' = 'true'"),
        "option 'key.json.fail-on-missing-field' is for 'key.format' = 'json': did you mean \"value.json.fail-on-missing-field\"?"
    );
    assert_eq!(
        wrong(&format!(
            "{KAFKA}, 'value.format' = 'json', 'json.timestamp-format.standard' = 'SQL'"
        )),
        "option 'json.timestamp-format.standard' is for 'format' = 'json': did you mean \"value.json.timestamp-format.standard\"?"
    );
    assert_eq!(
        wrong("'value.format' = 'csv', 'value.json.fail-on-missing-field' = 'true'"),
        "option 'value.json.fail-on-missing-field' is for 'value.format' = 'json': 'value.format' is 'csv'"
    );
    assert_eq!(
        wrong("'value.format' = 'debezium-json', 'value.debezium-json.schema-includ' = 'true'"),
        "options that begin with 'value.': unknown option \"debezium-json.schema-includ\", did you mean \"debezium-json.schema-include\"?"
    );
    let error = wrong("'value.format' = 'canal-json', 'value.canal-json.table.include' = '('");
    assert!(error.contains("is not a regular expression"), "{error}");
    let error =
        wrong("'value.format' = 'avro-registry', 'value.avro-registry.id-encoding' = 'header'");
    assert!(error.contains("leave it out"), "{error}");
    let error = wrong("'connector' = 'datagen', 'json.x' = '1'");
    assert!(error.contains("unknown option"), "{error}");
    let good = format!(
        "CREATE TABLE x (id INT, name STRING) WITH ({KAFKA}, 'key.format' = 'csv', 'key.fields' = 'id', 'key.csv.field-delimiter' = ';', 'value.format' = 'json', 'value.json.timestamp-format.standard' = 'ISO-8601')"
    );
    assert!(create(&good).is_ok());
    // A hint is held to the same.
    let hint = "SELECT * FROM plain /*+ OPTIONS('value.csv.field-delimiter' = ';') */";
    let error = bound(hint).unwrap_err();
    assert!(error.contains("'value.format' is 'json'"), "{error}");
}

#[test]
fn keys_of_kafka_are_named_and_formatted() {
    let value = "'value.format' = 'json'";
    let error = wrong(&format!("{KAFKA}, {value}, 'key.fields' = 'id'"));
    assert!(error.contains("needs the option 'key.format'"), "{error}");
    let error = wrong(&format!("{KAFKA}, {value}, 'key.format' = 'json'"));
    assert!(error.contains("needs the option 'key.fields'"), "{error}");
    let both = format!("{KAFKA}, {value}, 'key.format' = 'json', 'key.fields'");
    let error = wrong(&format!("{both} = 'idd'"));
    assert!(
        error.contains("option 'key.fields': unknown physical column \"idd\", did you mean \"id\""),
        "{error}"
    );
    let error = wrong(&format!(
        "{both} = 'id', 'key.fields-prefix' = 'k_', 'value.fields-include' = 'EXCEPT_KEY'"
    ));
    assert!(error.contains("does not begin with \"k_\""), "{error}");
    let error = wrong(&format!("{both} = 'id', 'key.fields-prefix' = 'i'"));
    assert!(
        error.contains("needs 'value.fields-include' = 'EXCEPT_KEY'"),
        "{error}"
    );
    let error = wrong(
        "'value.format' = 'json', 'value.fields-include' = 'all', 'key.fields-prefix' = 'k_'",
    );
    assert!(error.contains("'except-key'"), "{error}");
    assert!(
        create(&format!(
            "CREATE TABLE x (id INT, name STRING) WITH ({both} = 'id;name')"
        ))
        .is_ok()
    );
}

#[test]
fn metadata_of_formats_and_headers_can_be_declared() {
    let table = create(
        "CREATE TABLE x (id INT, db STRING METADATA FROM 'value.source.database' VIRTUAL, \
         props MAP<STRING, STRING> METADATA FROM 'value.source.properties' VIRTUAL, \
         h MAP<STRING NOT NULL, BYTES> METADATA FROM 'headers') WITH ('value.format' = 'debezium-json')",
    )
    .unwrap();
    assert_eq!(
        table.columns[1].kind,
        ColumnKind::Metadata {
            key: "value.source.database".to_owned(),
            is_virtual: true
        }
    );
    let column = |column: &str| {
        message(&format!(
            "CREATE TABLE x (id INT, {column}) WITH ('value.format' = 'debezium-json')"
        ))
    };
    let error = column("db STRING METADATA FROM 'value.source.databas' VIRTUAL");
    assert!(
        error.contains("did you mean \"value.source.database\"?"),
        "{error}"
    );
    let error = column("db STRING METADATA FROM 'value.source.database'");
    assert!(error.contains("read-only"), "{error}");
    let error = column("db INT METADATA FROM 'value.source.database' VIRTUAL");
    assert!(error.contains("declare it as STRING"), "{error}");
    let error = column("pk ARRAY<STRING> METADATA FROM 'value.pk-names' VIRTUAL");
    assert!(error.contains("unknown metadata key"), "{error}");
}
