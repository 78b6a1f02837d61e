//! Savepoints, resuming from elsewhere, other slots, limits, exceptions and moving to another server.

use std::path::Path;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use weir_server::ServerConfig;
use weir_server::statement::StateLimits;

use crate::support::TestServer;

/// Source and sink tables of two columns.
async fn with_tables(server: &TestServer) {
    for name in ["source", "sink"] {
        let sql = format!(
            "CREATE TABLE {name} (id INT) DISTRIBUTED INTO 1 BUCKETS WITH ('value.format' = 'json')"
        );
        server.complete(&format!("create-{name}"), &sql).await;
    }
}

/// A statement from one to the other that takes many checkpoints.
async fn start_copy(server: &TestServer, name: &str, properties: Value) {
    let mut all = json!({ "execution.checkpointing.interval": "100 ms" });
    all.as_object_mut()
        .unwrap()
        .extend(properties.as_object().unwrap().clone());
    let sql = "INSERT INTO sink SELECT id FROM source WHERE id > 0";
    server.submit(name, sql, all).await;
}

/// Writes numbers to the source.
async fn write(server: &TestServer, ids: std::ops::RangeInclusive<u64>) {
    for id in ids {
        let body = json!({ "value": { "type": "JSON", "data": { "id": id } } });
        let path = "/kafka/v3/clusters/lkc-local/topics/source/records";
        let (status, answer) = server.send(Method::POST, path, Some(body)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
}

/// Waits until the sink has so many records, and not more.
async fn wait_for_records(server: &TestServer, count: i64) {
    let log = server.server().log().unwrap();
    let is_there = || log.end_offset("sink", 0).unwrap() >= count;
    server
        .until("records in the sink", || async { is_there() })
        .await;
    assert_eq!(log.end_offset("sink", 0).unwrap(), count);
}

/// Waits until a statement has a checkpoint of these offsets of the source; its epoch.
async fn wait_for_checkpoint(server: &TestServer, name: &str, offset: u64) -> u64 {
    let path = format!("/weir/v1/statements/{name}/checkpoints");
    let wanted = format!("partition:0,offset:{offset}");
    let newest = || async { server.get(&path).await["data"][0].clone() };
    server
        .until("a checkpoint", || async {
            newest().await["offsets"]["source"] == wanted
        })
        .await;
    newest().await["epoch"].as_u64().unwrap()
}

/// Carries out an action.
async fn act(server: &TestServer, name: &str, verb: &str, body: Value) -> (StatusCode, Value) {
    let path = format!("/weir/v1/statements/{name}:{verb}");
    server.send(Method::POST, &path, Some(body)).await
}

/// Stops a statement.
async fn stop(server: &TestServer, name: &str) -> Value {
    let patch = json!([{ "op": "replace", "path": "/spec/stopped", "value": true }]);
    server.on_statement(Method::PATCH, name, Some(patch)).await;
    server.wait_for(name, "STOPPED").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_savepoint_is_kept_listed_resumed_from_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    with_tables(&server).await;
    start_copy(&server, "copy", json!({})).await;
    server.wait_for("copy", "RUNNING").await;
    write(&server, 1..=2).await;
    wait_for_checkpoint(&server, "copy", 2).await;
    let savepoints = "/weir/v1/statements/copy/savepoints";
    let body = Some(json!({ "name": "two" }));
    let (status, taken) = server.send(Method::POST, savepoints, body.clone()).await;
    assert_eq!(status, StatusCode::CREATED, "{taken}");
    assert_eq!(taken["offsets"]["source"], "partition:0,offset:2");
    let (status, _) = server.send(Method::POST, savepoints, body).await;
    assert_eq!(status, StatusCode::CONFLICT, "the name is taken");

    write(&server, 3..=3).await;
    let (status, stops) = act(&server, "copy", "stop", json!({ "savepoint": "three" })).await;
    assert_eq!(
        (status, &stops["savepoint"]),
        (StatusCode::OK, &json!("three"))
    );
    server.wait_for("copy", "STOPPED").await;
    server
        .until("the savepoint of the stop", || async {
            server.get(savepoints).await["data"]
                .as_array()
                .unwrap()
                .len()
                == 2
        })
        .await;
    let list = server.get(savepoints).await;
    assert_eq!(list["data"][0]["name"], "three");
    wait_for_records(&server, 3).await;

    // The third record is written again, since it came after the savepoint.
    let (status, resumed) = act(
        &server,
        "copy",
        "resume",
        json!({ "from_savepoint": "two" }),
    )
    .await;
    assert_eq!(status, StatusCode::OK, "{resumed}");
    wait_for_records(&server, 4).await;
    let (status, _) = act(&server, "copy", "resume", json!({})).await;
    assert_eq!(status, StatusCode::CONFLICT, "it runs");
    server.wait_for("copy", "RUNNING").await;
    server
        .until("the savepoint to be let go", || async {
            let path = format!("{savepoints}/two");
            server.send(Method::DELETE, &path, None).await.0 == StatusCode::NO_CONTENT
        })
        .await;
    let (status, _) = server
        .send(Method::GET, &format!("{savepoints}/two"), None)
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    server.stop().await;

    let server = TestServer::start(dir.path()).await;
    server.wait_for("copy", "RUNNING").await;
    write(&server, 4..=4).await;
    wait_for_records(&server, 5).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_two_ways_out_of_a_damaged_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    with_tables(&server).await;
    start_copy(&server, "copy", json!({})).await;
    server.wait_for("copy", "RUNNING").await;
    write(&server, 1..=1).await;
    let older = wait_for_checkpoint(&server, "copy", 1).await;
    write(&server, 2..=2).await;
    wait_for_checkpoint(&server, "copy", 2).await;
    wait_for_records(&server, 2).await;
    // The stop takes a checkpoint too, and two are kept: the list says which.
    stop(&server, "copy").await;
    let list = server.get("/weir/v1/statements/copy/checkpoints").await;
    let epochs: Vec<u64> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|checkpoint| checkpoint["epoch"].as_u64().unwrap())
        .collect();
    assert!(epochs[0] > older, "{list}");
    let oldest = *epochs.last().unwrap();
    let ask = |accepted: bool| json!({ "from_checkpoint": oldest, "accept_duplicates": accepted });
    let unknown = json!({ "from_checkpoint": 9999, "accept_duplicates": true });
    let (status, answer) = act(&server, "copy", "resume", unknown).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{answer}");
    let (status, refused) = act(&server, "copy", "resume", ask(false)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{refused}");
    let (status, resumed) = act(&server, "copy", "resume", ask(true)).await;
    assert_eq!(status, StatusCode::OK, "{resumed}");
    server.wait_for("copy", "RUNNING").await;

    stop(&server, "copy").await;
    let before = server
        .server()
        .log()
        .unwrap()
        .end_offset("sink", 0)
        .unwrap();
    let offsets = json!({ "source": "partition:0,offset:1" });
    let body = json!({ "from_nothing": true, "offsets": offsets });
    let (status, resumed) = act(&server, "copy", "resume", body).await;
    assert_eq!(status, StatusCode::OK, "{resumed}");
    wait_for_records(&server, before + 1).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_slots_are_billed_from_the_moment_they_change() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = ServerConfig::embedded(dir.path().to_owned());
    config.max_cfu = Some(4);
    let server = TestServer::with(config).await;
    with_tables(&server).await;
    start_copy(&server, "copy", json!({})).await;
    server.wait_for("copy", "RUNNING").await;
    write(&server, 1..=2).await;
    wait_for_records(&server, 2).await;
    let (status, refused) = act(&server, "copy", "rescale", json!({ "parallelism": 5 })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{refused}");
    let (status, answer) = act(&server, "copy", "rescale", json!({ "parallelism": 3 })).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    server
        .until("three slots", || async {
            let meter = server.get("/weir/v1/statements/copy/meter").await;
            let slots = meter["job"]["slots"].as_array().map_or(0, Vec::len);
            meter["slots"] == 3 && slots == 3
        })
        .await;
    let copy = server.wait_for("copy", "RUNNING").await;
    assert_eq!(copy["status"]["detail"], "");
    write(&server, 3..=3).await;
    wait_for_records(&server, 3).await;
    let meter = server.get("/weir/v1/statements/copy/meter").await;
    assert_eq!(meter["restarts_total"], 0, "it did not fail");
    let usage = || async {
        let usage = server.get("/weir/v1/usage").await;
        usage["data"][0]["slot_ms"].as_u64().unwrap_or_default()
    };
    let from = usage().await;
    let began = std::time::Duration::from_secs(2);
    tokio::time::timeout(began, std::future::pending::<()>())
        .await
        .unwrap_err();
    let grown = usage().await - from;
    assert!(
        (5_900..9_000).contains(&grown),
        "{grown} slot-ms in 2 s of 3 slots"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exceptions_have_class_and_code_and_ten_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    let far = "CREATE TABLE far (id INT) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json', \
               'properties.bootstrap.servers' = '127.0.0.1:1', 'weir.kafka.connect-timeout' = '50 ms')";
    server.complete("create-far", far).await;
    with_tables(&server).await;
    let quick = json!({
        "restart-strategy.exponential-delay.initial-backoff": "10 ms",
        "restart-strategy.exponential-delay.max-backoff": "20 ms",
    });
    server
        .submit("copy", "INSERT INTO sink SELECT id FROM far", quick)
        .await;
    let exceptions = || async {
        let answer = server
            .on_statement(Method::GET, "copy/exceptions", None)
            .await;
        answer.1["data"].as_array().unwrap().clone()
    };
    server
        .until("ten exceptions", || async {
            exceptions().await.len() == 10
        })
        .await;
    let first = exceptions().await[9].clone();
    server
        .until("an eleventh", || async { exceptions().await[9] != first })
        .await;
    let newest = exceptions().await[0].clone();
    assert_eq!(exceptions().await.len(), 10);
    assert_eq!(newest["kind"], "StatementException");
    assert_eq!(newest["name"], "WEIR-2001");
    assert_eq!(newest["class"], "SYSTEM");
    assert_eq!(newest["is_recoverable"], true);
    assert!(newest["message"].as_str().unwrap().contains("127.0.0.1:1"));
    assert!(newest["timestamp"].as_str().unwrap().ends_with('Z'));
    let wrong = json!({ "restart-strategy.exponential-delay.max-backoff": "soon" });
    let refused = server
        .submit("wrong", "INSERT INTO sink SELECT id FROM far", wrong)
        .await;
    assert_eq!(refused["status"]["phase"], "FAILED", "{refused}");
    server.stop().await;
}

/// A server whose statements may have so much state.
async fn limited(dir: &Path, soft_bytes: u64, hard_bytes: u64) -> TestServer {
    let mut config = ServerConfig::embedded(dir.to_owned());
    config.state_limits = StateLimits {
        soft_bytes,
        hard_bytes,
        ..StateLimits::default()
    };
    TestServer::with(config).await
}

/// An aggregation with state of a few keys.
async fn start_count(server: &TestServer) {
    with_tables(server).await;
    let sql = "CREATE TABLE counts (id INT NOT NULL, c BIGINT, PRIMARY KEY (id) NOT ENFORCED) WITH ('value.format' = 'json', 'key.format' = 'json')";
    server.complete("create-counts", sql).await;
    let every = json!({ "execution.checkpointing.interval": "100 ms" });
    let sql = "INSERT INTO counts SELECT id, COUNT(*) FROM source WHERE id IS NOT NULL GROUP BY id";
    server.submit("count", sql, every).await;
    server.wait_for("count", "RUNNING").await;
    write(server, 1..=20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_soft_limit_stops_a_statement_that_can_be_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let server = limited(dir.path(), 1, 1 << 40).await;
    start_count(&server).await;
    let stopped = server.wait_for("count", "STOPPED").await;
    let status = &stopped["status"];
    assert_eq!(
        status["state_limit_status"]["state_limit_state"],
        "EXCEEDING_SOFT_LIMIT"
    );
    assert_eq!(status["warnings"][0]["severity"], "CRITICAL");
    let (status, _) = act(&server, "count", "resume", json!({})).await;
    assert_eq!(status, StatusCode::OK);
    server.wait_for("count", "RUNNING").await;
    // Two looks of the observer later it still runs.
    let waited = std::time::Duration::from_secs(11);
    tokio::time::timeout(waited, std::future::pending::<()>())
        .await
        .unwrap_err();
    server.wait_for("count", "RUNNING").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hard_limit_fails_a_statement_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let server = limited(dir.path(), 1, 2).await;
    start_count(&server).await;
    let count = || async { server.on_statement(Method::GET, "count", None).await.1 };
    server
        .until("FAILED", || async {
            count().await["status"]["phase"] == "FAILED"
        })
        .await;
    let failed = count().await;
    let detail = failed["status"]["detail"].as_str().unwrap();
    assert!(detail.contains("hard limit"), "{detail}");
    let (status, refused) = act(&server, "count", "resume", json!({})).await;
    assert_eq!(status, StatusCode::CONFLICT, "{refused}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_carried_over_without_gap_or_overlap() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    with_tables(&server).await;
    start_copy(&server, "first", json!({})).await;
    server.wait_for("first", "RUNNING").await;
    write(&server, 1..=5).await;
    wait_for_records(&server, 5).await;
    let after = json!({ "sql.tables.initial-offset-from": "first" });
    start_copy(&server, "second", after.clone()).await;
    let waits = server.wait_for("second", "PENDING").await;
    let detail = waits["status"]["detail"].as_str().unwrap();
    assert!(detail.contains("\"first\""), "{detail}");
    stop(&server, "first").await;
    server.wait_for("second", "RUNNING").await;
    write(&server, 6..=8).await;
    wait_for_records(&server, 8).await;
    let stopped = stop(&server, "second").await;
    assert_eq!(
        stopped["status"]["latest_offsets"]["source"],
        "partition:0,offset:8"
    );
    assert!(stopped["status"]["latest_offsets_timestamp"].is_string());

    let sql = "INSERT INTO sink SELECT COUNT(*) FROM source";
    let grouped = server.submit("grouped", sql, after).await;
    assert_eq!(grouped["status"]["phase"], "FAILED", "{grouped}");
    let unknown = json!({ "sql.tables.initial-offset-from": "nobody" });
    let sql = "INSERT INTO sink SELECT id FROM source";
    let lost = server.submit("lost", sql, unknown).await;
    assert_eq!(lost["status"]["phase"], "FAILED", "{lost}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exported_statement_goes_on_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(&dir.path().join("a")).await;
    with_tables(&server).await;
    start_copy(&server, "copy", json!({})).await;
    server.wait_for("copy", "RUNNING").await;
    write(&server, 1..=3).await;
    wait_for_checkpoint(&server, "copy", 3).await;
    let (status, manifest) = act(&server, "copy", "export", json!({})).await;
    assert_eq!(status, StatusCode::OK, "{manifest}");
    let savepoint = manifest["savepoint"]["name"].as_str().unwrap();
    let mut objects = Vec::new();
    for object in manifest["savepoint"]["objects"].as_array().unwrap() {
        let name = object["name"].as_str().unwrap();
        let path =
            format!("/weir/v1/statements/copy/savepoints/{savepoint}/objects/{name}?offset=0");
        let bytes = reqwest::get(server.url(&path))
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        assert_eq!(bytes.len() as u64, object["bytes"].as_u64().unwrap());
        objects.push((name.to_owned(), bytes));
    }
    assert!(!objects.is_empty());
    server.stop().await;

    // The other site has the mirrored topic with the same offsets.
    let server = TestServer::start(&dir.path().join("b")).await;
    with_tables(&server).await;
    write(&server, 1..=4).await;
    let (status, begun) = server
        .send(Method::POST, "/weir/v1/imports", Some(manifest.clone()))
        .await;
    assert_eq!(status, StatusCode::CREATED, "{begun}");
    let import = format!("/weir/v1/imports/{}", begun["id"].as_str().unwrap());
    let finish = format!("{import}/statement");
    let wanted = Some(json!({ "name": "copy-2", "start": true }));
    let (status, early) = server.send(Method::POST, &finish, wanted.clone()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "nothing was sent: {early}");
    for (name, bytes) in objects {
        let url = server.url(&format!("{import}/objects/{name}?offset=0"));
        let sent = reqwest::Client::new()
            .put(url)
            .body(bytes)
            .send()
            .await
            .unwrap();
        assert_eq!(sent.status(), StatusCode::NO_CONTENT);
    }
    let (status, made) = server.send(Method::POST, &finish, wanted).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    server.wait_for("copy-2", "RUNNING").await;
    wait_for_records(&server, 1).await;
    let mut damaged = manifest;
    damaged["statement"]["sql"] = json!("INSERT INTO sink SELECT 1");
    let (status, refused) = server
        .send(Method::POST, "/weir/v1/imports", Some(damaged))
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{refused}");
    server.stop().await;
}
