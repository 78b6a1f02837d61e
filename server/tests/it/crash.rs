//! A server that was killed in the middle of a transition: what its database says then, and that the next start goes on from there.
//!
//! Every change of a statement is one transaction, so whatever `kill -9` interrupts, the database is as one of these cases writes it.

use std::path::Path;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::TestServer;

/// Makes the database of a server that is down say that its statement is in a phase, with these members of its record.
fn interrupt(dir: &Path, phase: &str, members: &Value) {
    let database = rusqlite::Connection::open(dir.join("weir.db")).unwrap();
    let record: String = database
        .query_row(
            "SELECT record FROM statements WHERE name = 'copy'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    let mut record: Value = serde_json::from_str(&record).unwrap();
    let known = record.as_object_mut().unwrap();
    known.insert("phase".to_owned(), json!(phase));
    for (key, value) in members.as_object().unwrap() {
        assert!(known.contains_key(key), "records have no member {key}");
        known.insert(key.clone(), value.clone());
    }
    let changed = database
        .execute(
            "UPDATE statements SET phase = ?1, record = ?2 WHERE name = 'copy'",
            [phase, &record.to_string()],
        )
        .unwrap();
    assert_eq!(changed, 1);
}

/// Makes tables and a statement from one to the other, in a directory whose server has ended.
async fn with_copy(dir: &Path) {
    let server = TestServer::start(dir).await;
    for name in ["source", "sink"] {
        let sql = format!(
            "CREATE TABLE {name} (id INT) DISTRIBUTED INTO 1 BUCKETS WITH ('value.format' = 'json')"
        );
        server.complete(&format!("create-{name}"), &sql).await;
    }
    let every = json!({ "execution.checkpointing.interval": "100 ms" });
    server
        .submit("copy", "INSERT INTO sink SELECT id FROM source", every)
        .await;
    server.wait_for("copy", "RUNNING").await;
    write_and_see(&server).await;
    server.stop().await;
}

/// Writes a record to the source and waits until it alone was added to the sink.
async fn write_and_see(server: &TestServer) {
    let log = server.server().log().unwrap();
    let before = log.end_offset("sink", 0).unwrap();
    let body = json!({ "value": { "type": "JSON", "data": { "id": 1 } } });
    let path = "/kafka/v3/clusters/lkc-local/topics/source/records";
    let (status, answer) = server.send(Method::POST, path, Some(body)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    server
        .until("the record in the sink", || async {
            log.end_offset("sink", 0).unwrap() > before
        })
        .await;
    assert_eq!(log.end_offset("sink", 0).unwrap(), before + 1);
}

/// Waits for a phase, FAILED included.
async fn wait_for(server: &TestServer, phase: &str) -> Value {
    let copy = || async { server.on_statement(Method::GET, "copy", None).await.1 };
    server
        .until(phase, || async { copy().await["status"]["phase"] == phase })
        .await;
    copy().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_to_run_runs() {
    let dir = tempfile::tempdir().unwrap();
    with_copy(dir.path()).await;
    for (phase, members, then) in [
        ("PENDING", json!({}), "RUNNING"),
        ("RUNNING", json!({}), "RUNNING"),
        (
            "DEGRADED",
            json!({ "detail": "failed 3 times" }),
            "DEGRADED",
        ),
        // Resumed, and killed before it was PENDING.
        ("STOPPED", json!({ "wanted": "run" }), "RUNNING"),
    ] {
        interrupt(dir.path(), phase, &members);
        let server = TestServer::start(dir.path()).await;
        wait_for(&server, then).await;
        write_and_see(&server).await;
        server.stop().await;
    }
    // Killed between the request for other slots and the start with them.
    interrupt(dir.path(), "RUNNING", &json!({ "rescale_to": 2 }));
    let server = TestServer::start(dir.path()).await;
    wait_for(&server, "RUNNING").await;
    write_and_see(&server).await;
    let meter = server.get("/weir/v1/statements/copy/meter").await;
    assert_eq!(meter["slots"], 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_to_end_ends() {
    let dir = tempfile::tempdir().unwrap();
    with_copy(dir.path()).await;
    let stopping = json!({ "wanted": "stop", "stop_savepoint": "last" });
    interrupt(dir.path(), "STOPPING", &stopping);
    let server = TestServer::start(dir.path()).await;
    let stopped = wait_for(&server, "STOPPED").await;
    assert_eq!(stopped["spec"]["stopped"], true);
    server
        .until("the savepoint that was not written", || async {
            let list = server.get("/weir/v1/statements/copy/savepoints").await;
            list["data"][0]["name"] == "last"
        })
        .await;
    server.stop().await;

    let why = json!({ "wanted": "run", "detail": "WEIR-3001: offset 3" });
    interrupt(dir.path(), "FAILING", &why);
    let server = TestServer::start(dir.path()).await;
    let failed = wait_for(&server, "FAILED").await;
    assert_eq!(failed["status"]["detail"], "WEIR-3001: offset 3");
    server.stop().await;
    let server = TestServer::start(dir.path()).await;
    wait_for(&server, "FAILED").await;
    server.stop().await;

    interrupt(dir.path(), "DELETING", &json!({ "wanted": "delete" }));
    let server = TestServer::start(dir.path()).await;
    server
        .until("the statement to be gone", || async {
            let answer = server.on_statement(Method::GET, "copy", None).await;
            answer.0 == StatusCode::NOT_FOUND
        })
        .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_from_a_savepoint_that_was_interrupted_is_done_once() {
    let dir = tempfile::tempdir().unwrap();
    with_copy(dir.path()).await;
    let server = TestServer::start(dir.path()).await;
    wait_for(&server, "RUNNING").await;
    write_and_see(&server).await;
    let stop = json!({ "savepoint": "s" });
    let path = "/weir/v1/statements/copy:stop";
    server.send(Method::POST, path, Some(stop)).await;
    wait_for(&server, "STOPPED").await;
    let list = "/weir/v1/statements/copy/savepoints";
    server
        .until("the savepoint", || async {
            server.get(list).await["data"][0]["name"] == "s"
        })
        .await;
    let location = server.get(list).await["data"][0]["location"].clone();
    server.stop().await;

    let origin = json!({ "run": "interrupted", "restore": { "savepoint": location } });
    let members = json!({ "wanted": "run", "origin": origin });
    for _ in 0..2 {
        interrupt(dir.path(), "PENDING", &members);
        let server = TestServer::start(dir.path()).await;
        wait_for(&server, "RUNNING").await;
        // The second start finds a checkpoint of the run and does not go back to the savepoint.
        write_and_see(&server).await;
        server.stop().await;
    }
}
