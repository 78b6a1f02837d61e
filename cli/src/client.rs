//! A client of the server's APIs.
//!
//! Place in the flow: every command but `up`, `estimate` and `completion` uses it. Invariant: errors carry what the server said, or the
//! address that did not answer.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// The organization that a local server answers for; it accepts any.
const ORGANIZATION: &str = "00000000-0000-0000-0000-000000000000";

/// The environment of a local server.
const ENVIRONMENT: &str = "env-local";

/// Longest wait for an answer: starting a statement waits for brokers, which give up after half of it.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Statements of a page; the most that the API gives.
const PAGE_SIZE: usize = 100;

/// A client of one server.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// Does the requests.
    http: reqwest::Client,
    /// `http://HOST:PORT`.
    url: String,
}

impl Client {
    /// A client of a server.
    ///
    /// # Errors
    /// When the TLS set-up fails.
    pub(crate) fn new(url: &str) -> Result<Self> {
        let http = reqwest::Client::builder().timeout(TIMEOUT).build()?;
        Ok(Self {
            http,
            url: url.trim_end_matches('/').to_owned(),
        })
    }

    /// Sends a request and reads its JSON; null for an empty answer.
    ///
    /// # Errors
    /// What the server refuses, or that it does not answer.
    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value> {
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}{path}", self.url)
        };
        let mut request = self.http.request(method.clone(), &url);
        if let Some(body) = body {
            let content = if method == Method::PATCH {
                "application/json-patch+json"
            } else {
                "application/json"
            };
            request = request
                .header("content-type", content)
                .body(body.to_string());
        }
        let response = request.send().await.map_err(|error| {
            if error.is_connect() {
                anyhow!(
                    "no server answers at {}; start one with \"weir up\" or name it with --url",
                    self.url
                )
            } else {
                anyhow!(error).context(format!("request to {url}"))
            }
        })?;
        let status = response.status();
        let text = response.text().await?;
        if !status.is_success() {
            bail!(refusal(status, &text));
        }
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| format!("{url} did not answer with JSON"))
    }

    /// Reads a path.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.request(Method::GET, path, None).await
    }

    /// The path of the SQL API.
    pub(crate) fn statements_path() -> String {
        format!("/sql/v1/organizations/{ORGANIZATION}/environments/{ENVIRONMENT}/statements")
    }

    /// The path of a statement.
    pub(crate) fn statement_path(name: &str) -> String {
        format!("{}/{name}", Self::statements_path())
    }

    /// Submits a statement under a generated name.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub(crate) async fn submit(&self, sql: &str, properties: &Value) -> Result<Value> {
        let body = json!({
            "organization_id": ORGANIZATION,
            "environment_id": ENVIRONMENT,
            "spec": { "statement": sql, "properties": properties },
        });
        self.request(Method::POST, &Self::statements_path(), Some(body))
            .await
    }

    /// A statement.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub(crate) async fn statement(&self, name: &str) -> Result<Value> {
        self.get(&Self::statement_path(name)).await
    }

    /// All statements, newest first.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub(crate) async fn statements(&self) -> Result<Vec<Value>> {
        self.pages(&format!(
            "{}?page_size={PAGE_SIZE}",
            Self::statements_path()
        ))
        .await
    }

    /// All items of a paged list.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub(crate) async fn pages(&self, path: &str) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut next = path.to_owned();
        loop {
            let page = self.get(&next).await?;
            items.extend(page["data"].as_array().cloned().unwrap_or_default());
            match page["metadata"]["next"].as_str() {
                Some(url) if !url.is_empty() => url.clone_into(&mut next),
                Some(_) | None => return Ok(items),
            }
        }
    }

    /// Stops (true) or resumes (false) a statement.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub(crate) async fn set_stopped(&self, name: &str, stopped: bool) -> Result<()> {
        let patch = json!([{ "op": "replace", "path": "/spec/stopped", "value": stopped }]);
        self.request(Method::PATCH, &Self::statement_path(name), Some(patch))
            .await
            .map(drop)
    }

    /// Deletes a statement.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub(crate) async fn delete(&self, name: &str) -> Result<()> {
        self.request(Method::DELETE, &Self::statement_path(name), None)
            .await
            .map(drop)
    }

    /// Carries out an action of Weir's own on a statement, such as `drain`.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub(crate) async fn act(&self, name: &str, verb: &str, body: Value) -> Result<Value> {
        let path = format!("/weir/v1/statements/{name}:{verb}");
        self.request(Method::POST, &path, Some(body)).await
    }

    /// Ends a statement's sources at their present ends.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub(crate) async fn drain(&self, name: &str) -> Result<()> {
        self.act(name, "drain", json!({})).await.map(drop)
    }

    /// Reads bytes.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub(crate) async fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        let response = self.http.get(format!("{}{path}", self.url)).send().await?;
        let status = response.status();
        if !status.is_success() {
            bail!(refusal(status, &response.text().await?));
        }
        Ok(response.bytes().await?.into())
    }

    /// Sends bytes and reads the JSON of the answer; null for an empty one.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub(crate) async fn send_bytes(
        &self,
        method: Method,
        path: &str,
        bytes: Vec<u8>,
    ) -> Result<Value> {
        let url = format!("{}{path}", self.url);
        let response = self.http.request(method, url).body(bytes).send().await?;
        let status = response.status();
        let text = response.text().await?;
        if !status.is_success() {
            bail!(refusal(status, &text));
        }
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }
}

/// What a server says when it refuses.
fn refusal(status: StatusCode, text: &str) -> String {
    let answer: Value = serde_json::from_str(text).unwrap_or_default();
    let detail = answer["errors"][0]["detail"]
        .as_str()
        .or_else(|| answer["message"].as_str());
    detail.map_or_else(|| format!("the server answered {status}"), str::to_owned)
}

/// The phase of a statement.
pub(crate) fn phase(statement: &Value) -> &str {
    statement["status"]["phase"].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_words_are_passed_on() {
        let body = r#"{"errors":[{"status":"404","detail":"statement x does not exist"}]}"#;
        assert_eq!(
            refusal(StatusCode::NOT_FOUND, body),
            "statement x does not exist"
        );
        assert_eq!(
            refusal(StatusCode::BAD_GATEWAY, "oops"),
            "the server answered 502 Bad Gateway"
        );
    }
}
