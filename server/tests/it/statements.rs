//! CTAS, models, connections, views, lists and warnings as a client sees them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::TestServer;

/// A table and some rows in it.
async fn with_rows(server: &TestServer) {
    let create = "CREATE TABLE t (id INT, name STRING) WITH ('value.format' = 'json')";
    server.complete("create", create).await;
    let insert = "INSERT INTO t VALUES (1, 'a'), (2, 'b')";
    server.complete("insert", insert).await;
}

/// The values of rows, sorted.
fn values(rows: &[Value]) -> Vec<String> {
    let mut values: Vec<String> = rows.iter().map(|row| row["row"].to_string()).collect();
    values.sort();
    values
}

/// The detail of a statement that fails at once.
async fn failure(server: &TestServer, name: &str, sql: &str) -> String {
    let failed = server.submit(name, sql, json!({})).await;
    assert_eq!(failed["status"]["phase"], "FAILED", "{sql}: {failed}");
    failed["status"]["detail"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_created_and_filled_by_one_statement_that_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    with_rows(&server).await;
    let sql = "CREATE TABLE copy (twice AS id * 2) WITH ('kafka.retention.time' = '1 d') AS SELECT id, name FROM t";
    let properties = json!({ "execution.checkpointing.interval": "100 ms" });
    server.submit("ctas", sql, properties).await;
    let running = server.wait_for("ctas", "RUNNING").await;
    assert_eq!(running["status"]["traits"]["sql_kind"], "CREATE_TABLE_AS");
    let subjects = server.get("/subjects").await;
    assert!(subjects.as_array().unwrap().contains(&json!("copy-value")));
    let select = "SELECT twice, name FROM copy";
    server.submit("select", select, json!({})).await;
    let rows = server.rows_until("select", 2).await;
    assert_eq!(values(&rows), [r#"["2","a"]"#, r#"["4","b"]"#]);
    // The table is its user's now: altered, it does not keep the statement from starting again.
    let alter = "ALTER TABLE copy SET ('kafka.retention.time' = '2 d')";
    server.complete("alter", alter).await;
    server.stop().await;

    let server = TestServer::start(dir.path()).await;
    server.wait_for("ctas", "RUNNING").await;
    server
        .complete("more", "INSERT INTO t VALUES (3, 'c')")
        .await;
    server.submit("again", select, json!({})).await;
    let rows = server.rows_until("again", 3).await;
    assert_eq!(
        values(&rows),
        [r#"["2","a"]"#, r#"["4","b"]"#, r#"["6","c"]"#]
    );
    server.on_statement(Method::DELETE, "ctas", None).await;
    server.complete("tables", "SHOW TABLES LIKE 'copy'").await;
    assert_eq!(server.rows("tables").await.len(), 1, "the table stays");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_created_when_a_table_cannot_be_filled() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    with_rows(&server).await;
    let detail = failure(&server, "there", "CREATE TABLE t AS SELECT 1 AS id").await;
    assert!(detail.contains("exists already"), "{detail}");
    let detail = failure(&server, "wrong", "CREATE TABLE n AS SELECT ix FROM t").await;
    assert!(detail.contains("did you mean \"id\"?"), "{detail}");
    let checked = server
        .submit(
            "dry",
            "CREATE TABLE n AS SELECT id FROM t",
            json!({ "sql.dry-run": "true" }),
        )
        .await;
    assert_eq!(checked["status"]["phase"], "COMPLETED");
    // Binds, and no operator executes it: the table is not there either.
    let model = "CREATE MODEL m INPUT (a STRING) OUTPUT (b STRING) WITH ('provider' = 'openai', 'task' = 'classification', 'openai.connection' = 'c')";
    let connection =
        "CREATE CONNECTION c WITH ('type' = 'openai', 'endpoint' = 'https://x', 'api-key' = 'k')";
    server.complete("connection", connection).await;
    server.complete("model", model).await;
    let sql = "CREATE TABLE n AS SELECT p.b FROM t, LATERAL TABLE(ML_PREDICT('m', name)) AS p";
    server.submit("unable", sql, json!({})).await;
    server
        .until("the failure", || async {
            let (_, json) = server.on_statement(Method::GET, "unable", None).await;
            json["status"]["phase"] == "FAILED"
        })
        .await;
    assert_eq!(server.server().log().unwrap().topics(), ["t"]);
    let filled = "CREATE TABLE IF NOT EXISTS t AS SELECT 7 AS id, 'z' AS name";
    server.complete("filled", filled).await;
    server
        .submit("select", "SELECT id FROM t WHERE id = 7", json!({}))
        .await;
    assert_eq!(server.rows_until("select", 1).await.len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_and_connections_last_and_secrets_are_never_told() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    let create = "CREATE CONNECTION c WITH ('type' = 'openai', 'endpoint' = 'https://x', 'api-key' = 'geheim')";
    let made = server.complete("connection", create).await;
    assert_eq!(made["status"]["traits"]["sql_kind"], "CREATE_CONNECTION");
    let shown = made["spec"]["statement"].as_str().unwrap();
    assert!(shown.contains("'api-key' = '******'"), "{shown}");
    for (name, sql) in [
        ("twice", create.to_owned()),
        (
            "key",
            create.replace("api-key", "apikey").replace(" c ", " d "),
        ),
        (
            "form",
            create
                .replace("= 'geheim'", "'geheim'")
                .replace(" c ", " d "),
        ),
        (
            "open",
            create.replace("'geheim'", "'geheim").replace(" c ", " d "),
        ),
    ] {
        let detail = failure(&server, name, &sql).await;
        assert!(!detail.contains("geheim"), "{detail}");
    }
    let model = "CREATE MODEL m INPUT (a STRING) OUTPUT (b STRING) WITH ('provider' = 'openai', 'task' = 'classification', 'openai.connection' = 'c')";
    server.complete("model", model).await;
    server.complete("model-2", model).await;
    server
        .complete("default", "ALTER MODEL m SET ('default_version' = '2')")
        .await;
    let all = "/sql/v1/organizations/o/environments/env-local/statements?page_size=100";
    assert!(!server.get(all).await.to_string().contains("geheim"));
    server.stop().await;

    let server = TestServer::start(dir.path()).await;
    server.complete("describe", "DESCRIBE CONNECTION c").await;
    let described = server.rows("describe").await;
    assert_eq!(
        values(&described),
        [r#"["c","OPENAI","https://x","'api-key' = '******'",null]"#]
    );
    server.complete("versions", "DESCRIBE MODEL `m$all`").await;
    assert_eq!(
        values(&server.rows("versions").await),
        [
            r#"["(`a` STRING)","(`b` STRING)","1","no",null]"#,
            r#"["(`a` STRING)","(`b` STRING)","2","yes",null]"#
        ]
    );
    with_rows(&server).await;
    let call = "SELECT p.b FROM t, LATERAL TABLE(ML_PREDICT('m', name)) AS p";
    server.submit("call", call, json!({})).await;
    server
        .until("the refusal", || async {
            let (_, json) = server.on_statement(Method::GET, "call", None).await;
            json["status"]["detail"].as_str().is_some_and(|detail| {
                detail.contains("the function ML_PREDICT is planned and not executed")
            })
        })
        .await;
    server.complete("drop", "DROP MODEL `m$all`").await;
    server.complete("drop-2", "DROP CONNECTION c").await;
    server.complete("models", "SHOW MODELS").await;
    assert!(server.rows("models").await.is_empty());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn views_are_altered_and_statements_and_functions_listed() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    with_rows(&server).await;
    server
        .complete("view", "CREATE VIEW v AS SELECT id FROM t")
        .await;
    server.complete("rename", "ALTER VIEW v RENAME TO w").await;
    server
        .complete("query", "ALTER VIEW w AS SELECT name FROM t WHERE id = 2")
        .await;
    server.stop().await;

    let server = TestServer::start(dir.path()).await;
    server.complete("views", "SHOW VIEWS").await;
    assert_eq!(values(&server.rows("views").await), [r#"["w"]"#]);
    server.submit("select", "SELECT * FROM w", json!({})).await;
    assert_eq!(values(&server.rows_until("select", 1).await), [r#"["b"]"#]);
    let jobs = server.complete("jobs", "SHOW JOBS").await;
    let columns = jobs["status"]["traits"]["schema"]["columns"]
        .as_array()
        .unwrap();
    let names: Vec<&str> = columns
        .iter()
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "Name",
            "Phase",
            "Statement",
            "Compute Pool",
            "Creation Time",
            "Detail"
        ]
    );
    let rows = server.rows("jobs").await;
    let view = rows.iter().find(|row| row["row"][0] == "view").unwrap();
    assert_eq!(view["row"][1], "COMPLETED");
    assert_eq!(view["row"][2], "CREATE VIEW v AS SELECT id FROM t");
    assert_eq!(view["row"][3], "lfcp-local");
    let dropped = server
        .complete("function", "DROP FUNCTION IF EXISTS f")
        .await;
    assert_eq!(dropped["status"]["traits"]["sql_kind"], "DROP_FUNCTION");
    let java = "CREATE FUNCTION f AS 'a.B' USING JAR 'confluent-artifact://cfa-1'";
    let detail = failure(&server, "java", java).await;
    assert!(
        detail.contains("write the expression into a view"),
        "{detail}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn advice_about_a_plan_is_among_the_warnings() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    with_rows(&server).await;
    let join = "SELECT a.id FROM t AS a JOIN t AS b ON a.id = b.id AND a.name < b.name";
    let joined = server.submit("join", join, json!({})).await;
    let warning = &joined["status"]["warnings"][0];
    assert_eq!(warning["reason"], "HIGH_STATE_WITHOUT_TTL");
    assert_eq!(warning["severity"], "MODERATE");
    assert_eq!(warning["created_at"], joined["metadata"]["created_at"]);
    assert!(
        warning["message"]
            .as_str()
            .unwrap()
            .starts_with("[Warning] StreamJoin [")
    );
    let bounded = server
        .submit("ttl", join, json!({ "sql.state-ttl": "1 h" }))
        .await;
    assert_eq!(bounded["status"]["warnings"], json!([]));
    server.stop().await;
}
