//! The catalog over a real database and a real embedded log.

use std::path::Path;

use weir_runtime::connector::log::{LogOptions, LogStore};
use weir_runtime::format::registry::SchemaType;
use weir_runtime::sql::catalog::{ColumnKind, TableColumn};
use weir_runtime::time::SystemClock;
use weir_runtime::types::TypeKind;

use super::*;
use crate::schema_registry::SchemaStore;

/// A catalog in a directory.
fn open(dir: &Path) -> CatalogService {
    let store = Arc::new(Store::open(dir).unwrap());
    let log = LogStore::open(
        &dir.join("log"),
        LogOptions::default(),
        SystemClock::shared(),
    )
    .unwrap();
    let registry = Arc::new(SchemaStore::open(dir).unwrap());
    CatalogService::open(store, Topics::Log(log), registry).unwrap()
}

/// A name, by ids or by display names.
fn name(catalog: &str, database: &str, name: &str) -> ObjectName {
    ObjectName {
        catalog: catalog.into(),
        database: database.into(),
        name: name.into(),
    }
}

/// A table of one column.
fn table(table: &str, options: &[(&str, &str)]) -> TableDef {
    TableDef {
        name: name("default", "cluster_0", table),
        columns: vec![TableColumn {
            name: "a".into(),
            ty: TypeKind::Int.nullable(),
            kind: ColumnKind::Physical,
            comment: None,
        }],
        watermark: None,
        primary_key: vec![],
        distributed_by: vec![],
        buckets: None,
        options: [("value.format", "json-registry")]
            .iter()
            .chain(options)
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        comment: None,
    }
}

/// The log behind a catalog.
fn log(catalog: &CatalogService) -> &LogStore {
    catalog.topics().log().unwrap()
}

#[test]
fn a_table_its_topic_and_its_error_table_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = open(dir.path());
    let orders = table("orders", &[("error-handling.mode", "log")]);
    catalog.create_table(orders.clone(), false).unwrap();
    assert_eq!(log(&catalog).topic("orders").unwrap().partitions, 6);
    assert_eq!(
        log(&catalog).topics(),
        vec!["error_log".to_owned(), "orders".to_owned()]
    );
    let schema = catalog.registry.schema(1).unwrap().unwrap();
    assert!(schema.schema.contains("\"a\""), "{schema:?}");
    drop(catalog);

    let catalog = open(dir.path());
    let found = catalog
        .table(&name("env-local", "lkc-local", "orders"))
        .unwrap();
    assert_eq!(found.as_deref(), Some(&orders));
    assert_eq!(
        catalog.table_names("default", "cluster_0").unwrap(),
        vec!["error_log".to_owned(), "orders".to_owned()]
    );
    catalog
        .drop_table(&name("env-local", "lkc-local", "orders"), false)
        .unwrap();
    assert_eq!(log(&catalog).topics(), vec!["error_log".to_owned()]);
    // Its subject is gone, so that the next table of the name may be another; the id stays for records that have it.
    assert_eq!(catalog.registry.latest("orders-value"), Ok(None));
    assert!(catalog.registry.schema(1).unwrap().is_some());
}

#[test]
fn making_a_table_twice_is_an_error_unless_told_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = open(dir.path());
    catalog.create_table(table("t", &[]), false).unwrap();
    let error = catalog.create_table(table("t", &[]), false).unwrap_err();
    assert_eq!(error.status().0, 409, "{error}");
    catalog.create_table(table("t", &[]), true).unwrap();
    let error = catalog
        .drop_table(&name("default", "cluster_0", "tt"), false)
        .unwrap_err()
        .to_string();
    assert!(error.contains("did you mean \"t\""), "{error}");
    catalog
        .drop_table(&name("default", "cluster_0", "tt"), true)
        .unwrap();
}

#[test]
fn a_topic_that_was_there_before_stays_when_its_table_goes() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = open(dir.path());
    let config = weir_runtime::connector::log::TopicConfig {
        partitions: 2,
        retention_ms: None,
        compacted: false,
    };
    log(&catalog).create_topic("old", config).unwrap();
    let mut wrong = table("old", &[]);
    wrong.buckets = Some(3);
    assert!(catalog.create_table(wrong, false).is_err());
    catalog.create_table(table("old", &[]), false).unwrap();
    catalog
        .drop_table(&name("default", "cluster_0", "old"), false)
        .unwrap();
    assert!(log(&catalog).topic("old").is_some());
}

#[test]
fn tables_of_other_connectors_have_no_topic() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = open(dir.path());
    catalog
        .create_table(table("gen", &[("connector", "datagen")]), false)
        .unwrap();
    assert!(log(&catalog).topics().is_empty());
}

#[test]
fn a_topic_that_nobody_declared_is_a_table_of_its_schema() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = open(dir.path());
    let config = weir_runtime::connector::log::TopicConfig {
        partitions: 2,
        retention_ms: None,
        compacted: false,
    };
    log(&catalog).create_topic("found", config).unwrap();
    let found = name("default", "cluster_0", "found");
    let columns = |catalog: &CatalogService| -> Vec<String> {
        let table = catalog.table(&found).unwrap().unwrap();
        let columns = table.columns.iter();
        columns
            .map(|column| format!("{} {}", column.name, column.ty))
            .collect()
    };
    assert_eq!(columns(&catalog), ["key BYTES", "val BYTES"]);
    let schema = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}"#;
    catalog
        .registry
        .register("found-value", SchemaType::Avro, schema)
        .unwrap();
    assert_eq!(columns(&catalog), ["key BYTES", "a INT NOT NULL"]);
    assert_eq!(
        catalog.table_names("default", "cluster_0").unwrap(),
        ["found"]
    );
    assert!(catalog.declared(&found).is_none());

    let error = catalog.drop_table(&found, false).unwrap_err().to_string();
    assert!(error.contains("delete the topic"), "{error}");
    catalog.drop_table(&found, true).unwrap();
    assert_eq!(log(&catalog).topics(), ["found"]);

    let mut changed = TableDef::clone(&catalog.table(&found).unwrap().unwrap());
    changed
        .options
        .insert("error-handling.mode".to_owned(), "ignore".to_owned());
    catalog.alter_table(changed).unwrap();
    assert!(catalog.declared(&found).is_some());
    let versions = catalog.registry.latest("found-value").unwrap().unwrap();
    assert_eq!(versions.schema, schema, "the schema of the topic stays");
    catalog.drop_table(&found, false).unwrap();
    assert_eq!(columns(&catalog), ["key BYTES", "a INT NOT NULL"]);
    let none = catalog.table(&name("default", "cluster_0", "no such topic"));
    assert!(none.unwrap().is_none());
}

#[test]
fn a_table_over_records_of_another_language_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = open(dir.path());
    catalog
        .registry
        .register("taken-value", SchemaType::Avro, "\"string\"")
        .unwrap();
    let error = catalog
        .create_table(table("taken", &[]), false)
        .unwrap_err()
        .to_string();
    assert!(error.contains("schema of AVRO"), "{error}");
    assert!(log(&catalog).topics().is_empty());
}
