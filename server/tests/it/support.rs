//! A server with a client.

use std::path::Path;
use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use weir_server::{RunningServer, Server, ServerConfig};

/// The statements of the local environment.
const STATEMENTS: &str = "/sql/v1/organizations/o/environments/env-local/statements";

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Looks before a wait fails: 20 s.
const LOOKS_MAX: usize = 400;

/// A server and a client of it.
pub(crate) struct TestServer {
    /// The server.
    server: RunningServer,
    /// The client.
    client: Client,
}

impl TestServer {
    /// A server over a directory.
    pub(crate) async fn start(dir: &Path) -> Self {
        Self::with(ServerConfig::embedded(dir.to_owned())).await
    }

    /// A server as configured.
    pub(crate) async fn with(config: ServerConfig) -> Self {
        // A second test of the process finds the provider installed, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        Self {
            server: Server::start(config).await.unwrap(),
            client: Client::new(),
        }
    }

    /// The server.
    pub(crate) fn server(&self) -> &RunningServer {
        &self.server
    }

    /// Ends the server.
    pub(crate) async fn stop(self) {
        self.server.shutdown().await;
    }

    /// The address of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.local_addr())
    }

    /// Sends a request; status and JSON of the answer.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let mut request = self.client.request(method, self.url(path));
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Reads a path.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, json) = self.send(Method::GET, path, None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {json}");
        json
    }

    /// Makes a statement; it is returned as the server first answers.
    pub(crate) async fn submit(&self, name: &str, sql: &str, properties: Value) -> Value {
        let body = json!({ "name": name, "spec": { "statement": sql, "properties": properties } });
        let (status, json) = self.send(Method::POST, STATEMENTS, Some(body)).await;
        assert_eq!(status, StatusCode::CREATED, "{sql}: {json}");
        json
    }

    /// A request about a statement.
    pub(crate) async fn on_statement(
        &self,
        method: Method,
        name: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        self.send(method, &format!("{STATEMENTS}/{name}"), body)
            .await
    }

    /// Waits until a statement is in a phase.
    pub(crate) async fn wait_for(&self, name: &str, phase: &str) -> Value {
        let mut ticks = tokio::time::interval(LOOK);
        let mut last = Value::Null;
        for _ in 0..LOOKS_MAX {
            ticks.tick().await;
            last = self.get(&format!("{STATEMENTS}/{name}")).await;
            if last["status"]["phase"] == phase {
                return last;
            }
            assert_ne!(last["status"]["phase"], "FAILED", "{name}: {last}");
        }
        panic!("{name} is not {phase}: {last}");
    }

    /// Waits until something is so.
    pub(crate) async fn until<F: Future<Output = bool>>(&self, what: &str, is_so: impl Fn() -> F) {
        let mut ticks = tokio::time::interval(LOOK);
        for _ in 0..LOOKS_MAX {
            ticks.tick().await;
            if is_so().await {
                return;
            }
        }
        panic!("waited in vain for {what}");
    }

    /// Makes a statement and waits until it is COMPLETED.
    pub(crate) async fn complete(&self, name: &str, sql: &str) -> Value {
        self.submit(name, sql, json!({})).await;
        self.wait_for(name, "COMPLETED").await
    }

    /// Every row of a statement's results, following the links of its pages.
    pub(crate) async fn rows(&self, name: &str) -> Vec<Value> {
        self.rows_until(name, usize::MAX).await
    }

    /// At least so many rows of a statement's results, or all of them.
    pub(crate) async fn rows_until(&self, name: &str, count: usize) -> Vec<Value> {
        let mut rows = Vec::new();
        let mut url = self.url(&format!("{STATEMENTS}/{name}/results"));
        for _ in 0..LOOKS_MAX {
            let answer = self.client.get(&url).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK, "{url}");
            let page: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
            rows.extend(page["results"]["data"].as_array().unwrap().clone());
            match page["metadata"]["next"].as_str() {
                Some(next) if rows.len() < count => next.clone_into(&mut url),
                _ => return rows,
            }
        }
        panic!("results of {name} do not end: {rows:?}");
    }
}
