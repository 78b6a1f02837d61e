//! DDL, INSERT and SELECT as a client sees them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::TestServer;

/// A table and some rows in it.
async fn with_rows(server: &TestServer) {
    server
        .complete(
            "create",
            "CREATE TABLE t (id INT, name STRING) WITH ('value.format' = 'json')",
        )
        .await;
    server
        .complete(
            "insert",
            "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, NULL)",
        )
        .await;
}

/// The values of rows, sorted.
fn values(rows: &[Value]) -> Vec<String> {
    let mut values: Vec<String> = rows.iter().map(|row| row["row"].to_string()).collect();
    values.sort();
    values
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_inserted_are_selected() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    with_rows(&server).await;
    let select = server
        .submit("select", "SELECT id, name FROM t", json!({}))
        .await;
    let traits = &select["status"]["traits"];
    assert_eq!(traits["sql_kind"], "SELECT");
    assert_eq!(traits["is_append_only"], true);
    assert_eq!(traits["schema"]["columns"][0]["name"], "id");
    let rows = server.rows_until("select", 3).await;
    assert_eq!(
        values(&rows),
        vec![r#"["1","a"]"#, r#"["2","b"]"#, r#"["3",null]"#]
    );
    let (status, _) = server.on_statement(Method::DELETE, "select", None).await;
    assert_eq!(status.as_u16(), 202);
    let (status, _) = server.on_statement(Method::GET, "select", None).await;
    assert_eq!(status.as_u16(), 404, "the name is free at once");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_rows_carry_their_kind() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    with_rows(&server).await;
    server
        .submit("count", "SELECT COUNT(*) AS n FROM t", json!({}))
        .await;
    let mut folded: Vec<String> = Vec::new();
    let rows = server.rows_until("count", 1).await;
    for row in &rows {
        let value = row["row"][0].as_str().unwrap().to_owned();
        match row["op"].as_u64().unwrap() {
            0 | 2 => folded.push(value),
            _ => folded.retain(|present| *present != value),
        }
    }
    assert!(!folded.is_empty(), "{rows:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_cannot_be_bound_fails_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    with_rows(&server).await;
    for (name, sql, words) in [
        ("syntax", "SELEC 1", "line 1"),
        ("table", "SELECT * FROM tt", "did you mean"),
        ("column", "SELECT nam FROM t", "did you mean \"name\""),
    ] {
        let failed = server.submit(name, sql, json!({})).await;
        assert_eq!(failed["status"]["phase"], "FAILED", "{sql}");
        let detail = failed["status"]["detail"].as_str().unwrap();
        assert!(detail.contains(words), "{sql}: {detail}");
        assert!(detail.starts_with("WEIR-1"), "{sql}: {detail}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_shown_described_and_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    with_rows(&server).await;
    server.complete("show", "SHOW TABLES").await;
    assert_eq!(values(&server.rows("show").await), vec![r#"["t"]"#]);
    let again = server
        .submit("again", "CREATE TABLE t (id INT)", json!({}))
        .await;
    assert_eq!(again["status"]["phase"], "FAILED", "{again}");
    server.complete("drop", "DROP TABLE t").await;
    server.complete("show-2", "SHOW TABLES").await;
    assert!(server.rows("show-2").await.is_empty());
    assert!(server.server().log().unwrap().topics().is_empty());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_unique_and_lists_are_paged() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    for number in 0..5 {
        server
            .complete(&format!("show-{number}"), "SHOW TABLES")
            .await;
    }
    let path = "/sql/v1/organizations/o/environments/env-local/statements";
    let body = json!({ "name": "show-0", "spec": { "statement": "SHOW TABLES" } });
    let (status, json) = server.send(Method::POST, path, Some(body)).await;
    assert_eq!(status.as_u16(), 409, "{json}");
    assert_eq!(json["errors"][0]["code"], "resource_already_exists");

    let first = server.get(&format!("{path}?page_size=3")).await;
    assert_eq!(first["data"].as_array().unwrap().len(), 3);
    assert_eq!(first["data"][0]["name"], "show-4", "newest first");
    let next = first["metadata"]["next"].as_str().unwrap();
    let next = next.strip_prefix(&server.url("")).unwrap();
    let second = server.get(next).await;
    assert_eq!(second["data"].as_array().unwrap().len(), 2);
    assert_eq!(second["metadata"]["next"], "");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_ends_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    with_rows(&server).await;
    let now = json!({ "sql.snapshot.mode": "now" });
    let select = server.submit("snapshot", "SELECT id FROM t", now).await;
    assert_eq!(select["status"]["traits"]["is_bounded"], true, "{select}");
    let rows = server.rows("snapshot").await;
    assert_eq!(rows.len(), 3, "{rows:?}");
    server.wait_for("snapshot", "COMPLETED").await;
    let now = json!({ "sql.snapshot.mode": "now" });
    let count = "SELECT COUNT(*), MAX(id) FROM t";
    let updating = server.submit("final", count, now).await;
    assert_eq!(
        updating["status"]["traits"]["is_append_only"], true,
        "{updating}"
    );
    let rows = server.rows("final").await;
    assert_eq!(rows.len(), 1, "no row but the last: {rows:?}");
    server.wait_for("final", "COMPLETED").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_the_schema_and_runs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    with_rows(&server).await;
    let dry = json!({ "sql.dry-run": "true" });
    let select = server.submit("dry", "SELECT id FROM t", dry.clone()).await;
    assert_eq!(select["status"]["phase"], "COMPLETED");
    let columns = &select["status"]["traits"]["schema"]["columns"];
    assert_eq!(columns[0]["name"], "id");
    let create = "CREATE TABLE other (id INT)";
    server.submit("dry-create", create, dry).await;
    server.complete("show", "SHOW TABLES").await;
    assert_eq!(values(&server.rows("show").await), vec![r#"["t"]"#]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_answered_with_what_the_client_is_to_remember() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    server
        .complete("set", "SET 'sql.local-time-zone' = 'Europe/Berlin'")
        .await;
    assert_eq!(
        values(&server.rows("set").await),
        vec![r#"["sql.local-time-zone","Europe/Berlin"]"#]
    );
    let wrong = server
        .submit("wrong", "SHOW TABLES", json!({ "sql.state-tll": "1 h" }))
        .await;
    assert_eq!(wrong["status"]["phase"], "FAILED", "{wrong}");
    server.stop().await;
}
