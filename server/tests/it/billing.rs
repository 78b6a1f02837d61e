//! The ledger and the metrics as a client sees them.

use serde_json::{Value, json};

use crate::support::TestServer;

/// Runs a statement to its end and one that goes on.
async fn with_work(server: &TestServer) {
    server
        .complete(
            "create",
            "CREATE TABLE t (id INT) WITH ('value.format' = 'json')",
        )
        .await;
    server
        .complete("insert", "INSERT INTO t VALUES (1), (2)")
        .await;
    server
        .complete(
            "create-2",
            "CREATE TABLE u (id INT) WITH ('value.format' = 'json')",
        )
        .await;
    server
        .submit("copy", "INSERT INTO u SELECT id FROM t", json!({}))
        .await;
    server.wait_for("copy", "RUNNING").await;
}

/// The billed CFU-milliseconds of a report.
fn total(usage: &Value) -> u64 {
    usage["total"]["cfu_millis"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_in_which_a_statement_ran_is_billed_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    with_work(&server).await;
    let usage = server.get("/weir/v1/usage").await;
    let rows = usage["data"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "DDL costs nothing: {usage}");
    for row in rows {
        assert!(row["cfu_millis"].as_u64().unwrap() >= 60_000, "{row}");
    }
    let by_minute = server.get("/weir/v1/usage?by=minute").await;
    let by_pool = server.get("/weir/v1/usage?by=pool").await;
    let sum: u64 = by_minute["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["cfu_millis"].as_u64().unwrap())
        .sum();
    assert_eq!(sum, total(&by_minute));
    assert_eq!(by_pool["data"][0]["pool_id"], "lfcp-local");
    let minutes = by_minute["total"]["cfu_minutes"].as_f64().unwrap();
    let cost = by_minute["total"]["cost"].as_f64().unwrap();
    assert!((cost - minutes * 0.0035).abs() < 1e-9, "{by_minute}");
    server.stop().await;

    let server = TestServer::start(dir.path()).await;
    let kept = server.get("/weir/v1/usage").await;
    assert!(total(&kept) >= total(&usage), "{kept} after {usage}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_meter_agrees_with_the_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    with_work(&server).await;
    server
        .send(
            reqwest::Method::POST,
            "/weir/v1/statements/copy:drain",
            None,
        )
        .await;
    server.wait_for("copy", "COMPLETED").await;
    let usage = server.get("/weir/v1/usage?by=minute").await;
    let meter = server.get("/weir/v1/meter").await;
    let billed: u64 = meter["statements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|statement| statement["cfu_millis_total"].as_u64().unwrap())
        .sum();
    assert_eq!(billed, total(&usage));
    assert_eq!(meter["pools"][0]["cfu_millis_total"], billed);
    let copy = server.get("/weir/v1/statements/copy/meter").await;
    let read: u64 = copy["job"]["tables"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|table| table["direction"] == "Read")
        .map(|table| table["records_total"].as_u64().unwrap())
        .sum();
    assert_eq!(read, 2, "{copy}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_metric_surfaces_answer() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    with_work(&server).await;
    for (path, name) in [
        (
            "/v2/metrics/cloud/export?resource.compute_pool.id=lfcp-local",
            "confluent_flink_statement_status",
        ),
        ("/metrics", "# TYPE"),
    ] {
        let answer = reqwest::get(server.url(path)).await.unwrap();
        assert_eq!(answer.status().as_u16(), 200);
        let content_type = answer.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(content_type.starts_with("text/plain"), "{content_type}");
        let text = answer.text().await.unwrap();
        assert!(text.contains(name), "{path}: {text}");
    }
    server.stop().await;
}
