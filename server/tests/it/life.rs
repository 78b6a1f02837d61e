//! Statements through stops, restarts of the server and full pools.

use reqwest::Method;
use serde_json::{Value, json};
use weir_server::ServerConfig;

use crate::support::TestServer;

/// Source and sink tables, and a statement from one to the other.
async fn with_copy(server: &TestServer) {
    for name in ["source", "sink"] {
        server
            .complete(
                &format!("create-{name}"),
                &format!("CREATE TABLE {name} (id INT) DISTRIBUTED INTO 1 BUCKETS WITH ('value.format' = 'json')"),
            )
            .await;
    }
    server
        .submit("copy", "INSERT INTO sink SELECT id FROM source", json!({}))
        .await;
    server.wait_for("copy", "RUNNING").await;
}

/// Writes a number to the source.
async fn write(server: &TestServer, id: u64) {
    let body = json!({ "value": { "type": "JSON", "data": { "id": id } } });
    let path = "/kafka/v3/clusters/lkc-local/topics/source/records";
    let (status, answer) = server.send(Method::POST, path, Some(body)).await;
    assert_eq!(status.as_u16(), 200, "{answer}");
}

/// Waits until the sink has so many records.
async fn wait_for_records(server: &TestServer, count: i64) {
    let log = server.server().log().unwrap();
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(50));
    for _ in 0..400 {
        ticks.tick().await;
        if log.end_offset("sink", 0).unwrap() >= count {
            break;
        }
    }
    assert_eq!(log.end_offset("sink", 0).unwrap(), count);
}

/// A patch that stops or resumes.
fn stopped(is_stopped: bool) -> Value {
    json!([{ "op": "replace", "path": "/spec/stopped", "value": is_stopped }])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_continues_after_a_restart_of_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    with_copy(&server).await;
    write(&server, 1).await;
    wait_for_records(&server, 1).await;
    server.stop().await;

    let server = TestServer::start(dir.path()).await;
    server.wait_for("copy", "RUNNING").await;
    write(&server, 2).await;
    wait_for_records(&server, 2).await;
    let created = server.wait_for("create-source", "COMPLETED").await;
    assert_eq!(created["status"]["traits"]["sql_kind"], "CREATE_TABLE");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_statement_is_resumed_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    with_copy(&server).await;
    write(&server, 1).await;
    wait_for_records(&server, 1).await;
    let (status, json) = server
        .on_statement(Method::PATCH, "copy", Some(stopped(true)))
        .await;
    assert_eq!(status.as_u16(), 200, "{json}");
    let still = server.wait_for("copy", "STOPPED").await;
    assert_eq!(still["spec"]["stopped"], true);
    assert_eq!(
        still["status"]["latest_offsets"]["source"],
        "partition:0,offset:1"
    );
    write(&server, 2).await;
    server
        .on_statement(Method::PATCH, "copy", Some(stopped(false)))
        .await;
    wait_for_records(&server, 2).await;
    server.wait_for("copy", "RUNNING").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_forgets_the_commits_of_a_deleted_statement_and_keeps_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    with_copy(&server).await;
    write(&server, 1).await;
    wait_for_records(&server, 1).await;
    let copy = server
        .on_statement(Method::PATCH, "copy", Some(stopped(true)))
        .await;
    assert_eq!(copy.0.as_u16(), 200, "{copy:?}");
    let copy = server.wait_for("copy", "STOPPED").await;
    let uid = copy["metadata"]["uid"].as_str().unwrap();
    let is_known = || {
        let log = server.server().log().unwrap();
        log.committed_record(uid).unwrap().is_some()
    };
    assert!(is_known(), "the stop has committed");
    server.on_statement(Method::DELETE, "copy", None).await;
    server
        .until("the record to go", || async { !is_known() })
        .await;
    server.stop().await;

    let server = TestServer::start(dir.path()).await;
    let log = server.server().log().unwrap();
    assert_eq!(log.committed_record(uid).unwrap(), None);
    let rows = log.read("sink", 0, 0, 1 << 20, 10).unwrap();
    assert_eq!(rows.rows(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_topic_completes_its_readers() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    with_copy(&server).await;
    write(&server, 1).await;
    let (status, _) = server
        .send(Method::POST, "/weir/v1/topics/source:seal", None)
        .await;
    assert_eq!(status.as_u16(), 200);
    server.wait_for("copy", "COMPLETED").await;
    wait_for_records(&server, 1).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_statement_completes_with_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    with_copy(&server).await;
    write(&server, 1).await;
    let (status, _) = server
        .send(Method::POST, "/weir/v1/statements/copy:drain", None)
        .await;
    assert_eq!(status.as_u16(), 200);
    server.wait_for("copy", "COMPLETED").await;
    wait_for_records(&server, 1).await;
    let (status, _) = server
        .send(Method::POST, "/weir/v1/statements/copy:drain", None)
        .await;
    assert_eq!(status.as_u16(), 409, "there is nothing left to drain");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_pool_makes_statements_wait() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = ServerConfig::embedded(dir.path().to_owned());
    config.max_cfu = Some(1);
    let server = TestServer::with(config).await;
    with_copy(&server).await;
    let waiting = server
        .submit(
            "second",
            "INSERT INTO sink SELECT id FROM source",
            json!({}),
        )
        .await;
    assert_eq!(waiting["status"]["phase"], "PENDING", "{waiting}");
    assert_eq!(
        waiting["status"]["scaling_status"]["scaling_state"],
        "POOL_EXHAUSTED"
    );
    let pools = server.get("/fcpm/v2/compute-pools").await;
    assert_eq!(pools["data"][0]["status"]["current_cfu"], 1);
    server.on_statement(Method::DELETE, "copy", None).await;
    let running = server.wait_for("second", "RUNNING").await;
    assert_eq!(running["status"]["scaling_status"]["scaling_state"], "OK");

    let greedy = server
        .submit(
            "greedy",
            "INSERT INTO sink SELECT id FROM source",
            json!({ "parallelism.default": "2" }),
        )
        .await;
    assert_eq!(greedy["status"]["phase"], "FAILED", "it can never start");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_record_fails_the_statement_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    with_copy(&server).await;
    let body = json!({ "value": { "type": "STRING", "data": "{\"id\":" } });
    let path = "/kafka/v3/clusters/lkc-local/topics/source/records";
    server.send(Method::POST, path, Some(body)).await;
    let failed = server.wait_for("copy", "FAILED").await;
    let detail = failed["status"]["detail"].as_str().unwrap();
    assert!(detail.contains("offset 0"), "{detail}");
    let (_, exceptions) = server
        .on_statement(Method::GET, "copy/exceptions", None)
        .await;
    assert_eq!(exceptions["data"][0]["message"], detail);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_records_go_to_the_error_table() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    server
        .complete(
            "create-source",
            "CREATE TABLE source (id INT) DISTRIBUTED INTO 1 BUCKETS WITH ('value.format' = 'json', 'error-handling.mode' = 'log')",
        )
        .await;
    server
        .complete(
            "create-sink",
            "CREATE TABLE sink (id INT) DISTRIBUTED INTO 1 BUCKETS",
        )
        .await;
    server
        .submit("copy", "INSERT INTO sink SELECT id FROM source", json!({}))
        .await;
    let bad = json!({ "value": { "type": "STRING", "data": "{\"id\":" } });
    let path = "/kafka/v3/clusters/lkc-local/topics/source/records";
    server.send(Method::POST, path, Some(bad)).await;
    write(&server, 1).await;
    wait_for_records(&server, 1).await;
    server
        .submit(
            "dead",
            "SELECT error_reason, statement_name, affected_name FROM error_log",
            json!({}),
        )
        .await;
    let rows = server.rows_until("dead", 1).await;
    assert_eq!(
        rows[0]["row"],
        json!(["MALFORMED_RECORD", "copy", "source"])
    );
    let subjects = server.get("/subjects").await;
    assert_eq!(subjects, json!(["sink-value"]), "the default format");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_does_not_answer_is_named_and_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    server
        .complete(
            "create",
            "CREATE TABLE far (id INT) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json', \
             'properties.bootstrap.servers' = '127.0.0.1:1', 'weir.kafka.connect-timeout' = '200 ms')",
        )
        .await;
    server
        .complete("create-sink", "CREATE TABLE sink (id INT)")
        .await;
    server
        .submit("copy", "INSERT INTO sink SELECT id FROM far", json!({}))
        .await;
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(100));
    let mut detail = String::new();
    for _ in 0..300 {
        ticks.tick().await;
        let copy = server.on_statement(Method::GET, "copy", None).await.1;
        assert_eq!(copy["status"]["phase"], "PENDING", "{copy}");
        copy["status"]["detail"]
            .as_str()
            .unwrap()
            .clone_into(&mut detail);
        if detail.contains("attempt 2") {
            break;
        }
    }
    assert!(detail.contains("attempt 2"), "{detail}");
    assert!(detail.contains("127.0.0.1:1"), "{detail}");
    server.stop().await;
}
