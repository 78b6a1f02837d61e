//! What keeps a server from starting, and that it says so.

use std::path::PathBuf;

use reqwest::Method;
use weir_server::{Server, ServerConfig};

use crate::support::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named_and_nothing_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let first = TestServer::start(&dir.path().join("first")).await;
    let other = dir.path().join("second");
    let mut config = ServerConfig::embedded(other.clone());
    config.listen = first.server().local_addr();
    let error = Server::start(config).await.unwrap_err().to_string();
    assert!(
        error.contains(&first.server().local_addr().to_string()),
        "{error}"
    );
    assert!(error.contains("--listen"), "{error}");
    assert!(!other.exists(), "the data directory was made");
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_belongs_to_one_server() {
    let dir = tempfile::tempdir().unwrap();
    let first = TestServer::start(dir.path()).await;
    let second = ServerConfig::embedded(dir.path().to_owned());
    let error = Server::start(second).await.unwrap_err().to_string();
    assert!(error.contains("in use by another weir"), "{error}");
    assert!(error.contains(dir.path().to_str().unwrap()), "{error}");
    first.stop().await;
    let third = TestServer::start(dir.path()).await;
    third.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unwritable_data_directory_is_named() {
    // A path below a file can be made by nobody, not even by the superuser.
    let file = tempfile::NamedTempFile::new().unwrap();
    let dir: PathBuf = file.path().join("data");
    let error = Server::start(ServerConfig::embedded(dir.clone()))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains(dir.to_str().unwrap()), "{error}");
    assert!(error.contains("--data-dir"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_machines_are_not_served() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = ServerConfig::embedded(dir.path().to_owned());
    config.listen = "0.0.0.0:0".parse().unwrap();
    let error = Server::start(config).await.unwrap_err().to_string();
    assert!(error.contains("TLS"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_is_confluents_json() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    let statement = "/sql/v1/organizations/o/environments/e/statements/none";
    for (path, status) in [
        (statement, 404),
        ("/fcpm/v2/compute-pools/lfcp-none", 404),
        ("/no/such/path", 404),
        ("/weir/v1/usage?by=moon", 400),
    ] {
        let (found, json) = server.send(Method::GET, path, None).await;
        assert_eq!(found.as_u16(), status, "{path}");
        let error = &json["errors"][0];
        assert_eq!(error["status"], status.to_string(), "{path}: {json}");
        assert!(!error["detail"].as_str().unwrap().is_empty(), "{path}");
    }
    let (status, json) = server
        .send(
            Method::POST,
            statement.trim_end_matches("/none"),
            Some(serde_json::json!({ "spec": {} })),
        )
        .await;
    assert_eq!(status.as_u16(), 400, "{json}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_pool_is_there_and_its_cap_can_be_set() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = ServerConfig::embedded(dir.path().to_owned());
    config.max_cfu = Some(7);
    TestServer::with(config).await.stop().await;
    let server = TestServer::start(dir.path()).await;
    let pools = server.get("/fcpm/v2/compute-pools?environment=e").await;
    let pool = &pools["data"][0];
    assert_eq!(pool["id"], "lfcp-local");
    assert_eq!(pool["spec"]["max_cfu"], 7, "the cap was not kept");
    assert_eq!(pool["status"]["phase"], "PROVISIONED");
    let created = serde_json::json!({ "spec": { "display_name": "p", "max_cfu": 10 } });
    let (status, pool) = server
        .send(Method::POST, "/fcpm/v2/compute-pools", Some(created))
        .await;
    assert_eq!(status.as_u16(), 202, "{pool}");
    let path = format!("/fcpm/v2/compute-pools/{}", pool["id"].as_str().unwrap());
    let (status, _) = server.send(Method::DELETE, &path, None).await;
    assert_eq!(status.as_u16(), 204);
    let (status, _) = server.send(Method::GET, &path, None).await;
    assert_eq!(status.as_u16(), 404);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_registry_gives_ids_and_keeps_them() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path()).await;
    let schema = serde_json::json!({ "schemaType": "JSON", "schema": "{\"type\":\"object\"}" });
    let versions = "/subjects/orders-value/versions";
    let (status, registered) = server
        .send(Method::POST, versions, Some(schema.clone()))
        .await;
    assert_eq!(status.as_u16(), 200, "{registered}");
    server.stop().await;

    let server = TestServer::start(dir.path()).await;
    let (_, again) = server.send(Method::POST, versions, Some(schema)).await;
    assert_eq!(again["id"], registered["id"]);
    let id = format!("/schemas/ids/{}", registered["id"]);
    assert_eq!(server.get(&id).await["schemaType"], "JSON");
    let latest = server.get("/subjects/orders-value/versions/latest").await;
    assert_eq!(latest["version"], 1);
    for (path, status, code) in [
        ("/subjects/none/versions", 404, 40401),
        ("/subjects/orders-value/versions/7", 404, 40402),
        ("/schemas/ids/999", 404, 40403),
    ] {
        let (found, json) = server.send(Method::GET, path, None).await;
        assert_eq!(found.as_u16(), status, "{path}");
        assert_eq!(json["error_code"], code, "{path}");
    }
    let (_, deleted) = server
        .send(Method::DELETE, "/subjects/orders-value", None)
        .await;
    assert_eq!(deleted, serde_json::json!([1]));
    assert_eq!(server.get("/subjects").await, serde_json::json!([]));
    server.stop().await;
}
