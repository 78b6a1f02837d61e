//! Checkpoints with a flipped byte or a missing file: which are passed over, and which end a statement with two ways out.

use std::path::{Path, PathBuf};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use weir_runtime::checkpoint::store::{CheckpointStore, Manifest};

use crate::support::TestServer;

/// What is done to a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    /// A bit of the byte at this part of its length, in thirds.
    Flip(usize),
    /// It is gone.
    Missing,
}

/// What becomes of the statement.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It goes on.
    Runs,
    /// It has failed; the message names the file and has this code.
    Fails(&'static str),
}

/// Copies a directory.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The files below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Writes the numbers from 1 to 3 to the source.
async fn write(server: &TestServer) {
    for id in 1..=3 {
        let body = json!({ "value": { "type": "JSON", "data": { "id": id } } });
        let path = "/kafka/v3/clusters/lkc-local/topics/source/records";
        let (status, answer) = server.send(Method::POST, path, Some(body)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
}

/// The present checkpoints of the statement.
async fn checkpoints(server: &TestServer) -> Value {
    server.get("/weir/v1/statements/counts/checkpoints").await["data"].clone()
}

/// Fills a directory with a statement that counts and has two checkpoints, and ends the server.
async fn with_counts(dir: &Path, mode: &str) {
    let server = TestServer::start(dir).await;
    let options = "DISTRIBUTED INTO 1 BUCKETS WITH ('value.format' = 'json'";
    let source = format!("CREATE TABLE source (id INT) {options})");
    let sink = format!(
        "CREATE TABLE sink (id INT, n BIGINT, PRIMARY KEY (id) NOT ENFORCED) {options}, 'key.format' = 'json', 'changelog.mode' = 'upsert')"
    );
    server.complete("create-source", &source).await;
    server.complete("create-sink", &sink).await;
    let properties = json!({
        "execution.checkpointing.interval": "1 s",
        "execution.checkpointing.mode": mode,
    });
    let sql = "INSERT INTO sink SELECT id, COUNT(*) FROM source GROUP BY id";
    server.submit("counts", sql, properties).await;
    server.wait_for("counts", "RUNNING").await;
    for round in 1..=2 {
        write(&server).await;
        let wanted = format!("partition:0,offset:{}", 3 * round);
        server
            .until("a checkpoint", || async {
                checkpoints(&server).await[0]["offsets"]["source"] == wanted
            })
            .await;
    }
    server.stop().await;
}

/// What a file means, and so what its damage does.
fn expected(mode: &str, object: &str, manifests: &[Manifest]) -> Outcome {
    let [newest, before] = manifests else {
        panic!("two checkpoints are kept, and not {}", manifests.len());
    };
    let is_in = |manifest: &Manifest| {
        object == manifest.name().to_string() || manifest.segments().contains(object)
    };
    match (mode, is_in(newest), is_in(before)) {
        ("EXACTLY_ONCE", true, _) => Outcome::Fails("WEIR-2005"),
        (_, true, true) => Outcome::Fails("WEIR-2003"),
        _ => Outcome::Runs,
    }
}

/// What becomes of the statement when a server starts over a directory.
async fn outcome(dir: &Path, object: &str) -> Outcome {
    let server = TestServer::start(dir).await;
    let statement = || async { server.on_statement(Method::GET, "counts", None).await.1 };
    write(&server).await;
    let goes_on =
        || async { checkpoints(&server).await[0]["offsets"]["source"] == "partition:0,offset:9" };
    let has_failed = || async { statement().await["status"]["phase"] == "FAILED" };
    server
        .until("an outcome", || async {
            goes_on().await || has_failed().await
        })
        .await;
    if !has_failed().await {
        server.stop().await;
        return Outcome::Runs;
    }
    let status = statement().await["status"].clone();
    let detail = status["detail"].to_string();
    assert!(detail.contains(object), "{object} is named: {detail}");
    let code = ["WEIR-2003", "WEIR-2005"]
        .into_iter()
        .find(|code| detail.contains(code));
    if code == Some("WEIR-2005") {
        assert!(detail.contains("--from-checkpoint") && detail.contains("--from-nothing"));
        let body = json!({ "from_nothing": true });
        let path = "/weir/v1/statements/counts:resume";
        let (status, answer) = server.send(Method::POST, path, Some(body)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        server.wait_for("counts", "RUNNING").await;
    }
    server.stop().await;
    Outcome::Fails(code.unwrap_or("no code"))
}

/// Damages every file of the checkpoints in several ways, each time anew.
async fn damage_everything(mode: &str) {
    let whole = tempfile::tempdir().unwrap();
    with_counts(whole.path(), mode).await;
    let folders = std::fs::read_dir(whole.path().join("checkpoints")).unwrap();
    let folders: Vec<PathBuf> = folders.map(|entry| entry.unwrap().path()).collect();
    let [folder] = folders.as_slice() else {
        panic!("one statement has checkpoints: {folders:?}");
    };
    let store = CheckpointStore::open_local(folder).unwrap();
    let mut listed = store.list().unwrap();
    listed.reverse();
    let read = |listed: &weir_runtime::checkpoint::store::Listed| {
        store.read_manifest(&listed.name).unwrap()
    };
    let manifests: Vec<Manifest> = listed.iter().map(read).collect();
    let objects = files(folder);
    assert!(objects.len() >= 4, "{objects:?}");
    for (index, path) in objects.iter().enumerate() {
        let object = path.strip_prefix(folder).unwrap().to_str().unwrap();
        for damage in [Damage::Missing, Damage::Flip(index % 3)] {
            let dir = tempfile::tempdir().unwrap();
            copy(whole.path(), dir.path());
            let path = dir.path().join(path.strip_prefix(whole.path()).unwrap());
            match damage {
                Damage::Missing => std::fs::remove_file(path).unwrap(),
                Damage::Flip(third) => {
                    let mut bytes = std::fs::read(&path).unwrap();
                    let at = (bytes.len() - 1) * third / 2;
                    bytes[at] ^= 4;
                    std::fs::write(&path, bytes).unwrap();
                }
            }
            assert_eq!(
                outcome(dir.path(), object).await,
                match damage {
                    // One that is not there is not known to have been there, unless it is known to be committed.
                    Damage::Missing if mode == "AT_LEAST_ONCE" && object.starts_with("chk/") =>
                        Outcome::Runs,
                    Damage::Missing | Damage::Flip(_) => expected(mode, object, &manifests),
                },
                "{mode}: {object} with {damage:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_exactly_once_a_damaged_committed_checkpoint_ends_the_statement_with_two_ways_out() {
    damage_everything("EXACTLY_ONCE").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_at_least_once_a_damaged_checkpoint_is_passed_over() {
    damage_everything("AT_LEAST_ONCE").await;
}
