//! Every API on one listener, each under its own path.
//!
//! Enters: HTTP requests. Leaves: calls of the services and JSON in the form of Confluent's clients. Invariant: what waits for a
//! disk or a broker runs on threads that may wait; every error is Confluent's error JSON.

mod control_plane;
mod error;
mod fcpm_v2;
mod kafka_v3;
mod metrics;
mod sql_v1;
mod statement_json;
mod types_json;
mod weir_v1;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderMap, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use tower_http::compression::CompressionLayer;
use weir_runtime::time::SharedClock;

use crate::catalog::CatalogService;
use crate::error::{Error, Result};
use crate::meter::Meter;
use crate::statement::Statements;
pub(crate) use error::Answer;

/// Largest body of a request (guess: a batch of produced records).
const BODY_BYTES_MAX: usize = 16 << 20;

/// What handlers work with.
#[derive(Debug, Clone)]
pub(crate) struct App {
    /// Statements and pools.
    pub(crate) statements: Statements,
    /// Tables and topics.
    pub(crate) catalog: Arc<CatalogService>,
    /// Snapshots.
    pub(crate) meter: Arc<Meter>,
    /// Time.
    pub(crate) clock: SharedClock,
}

impl App {
    /// Runs what waits on a thread that may.
    ///
    /// # Errors
    /// What `work` returns; `Internal` when it panicked.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let app = self.clone();
        tokio::task::spawn_blocking(move || work(&app))
            .await
            .map_err(|error| {
                Error::Internal(format!("a request could not be carried out: {error}"))
            })?
    }
}

/// Every API.
pub(crate) fn router(app: App, schema_registry: Router) -> Router {
    Router::new()
        .route("/health", get(|| async { "ok\n" }))
        .merge(sql_v1::routes())
        .merge(fcpm_v2::routes())
        .merge(control_plane::routes())
        .merge(metrics::routes())
        .merge(kafka_v3::routes())
        .merge(weir_v1::routes())
        .with_state(app)
        .merge(schema_registry)
        .fallback(unknown_path)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(CompressionLayer::new())
        .layer(middleware::from_fn(refuse_other_origins))
}

/// No API has this path.
async fn unknown_path(uri: Uri) -> Response {
    Answer(Error::NotFound(format!("there is no {}", uri.path()))).into_response()
}

/// Refuses requests that a page of another site makes in a browser on this machine: nothing else protects a loopback server.
async fn refuse_other_origins(request: Request, next: Next) -> Response {
    if is_other_origin(request.headers()) {
        let refusal = "requests from pages of other sites are refused";
        return error::forbidden(refusal);
    }
    next.run(request).await
}

/// Whether a browser says that the request comes from a page of another site.
fn is_other_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return false;
    };
    let host = origin
        .to_str()
        .unwrap_or_default()
        .split_once("://")
        .map_or("", |(_, host)| host);
    let name = host.rsplit_once(':').map_or(host, |(name, port)| {
        if port.bytes().all(|byte| byte.is_ascii_digit()) {
            name
        } else {
            host
        }
    });
    !matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

/// Scheme and host as the client used them, for links.
pub(crate) fn base_url(headers: &HeaderMap) -> String {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("127.0.0.1");
    format!("http://{host}")
}

/// Reads a JSON body, whatever type the client declares.
///
/// # Errors
/// `Invalid` with the place in the body.
pub(crate) fn json_body<T: for<'de> Deserialize<'de>>(bytes: &Bytes) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        Error::Invalid(format!(
            "the body is not the JSON that is needed here: {error}"
        ))
    })
}

/// The value of a query parameter, percent-decoded.
pub(crate) fn query_value(query: &[(String, String)], name: &str) -> Option<String> {
    query
        .iter()
        .find(|(key, value)| key == name && !value.is_empty())
        .map(|(_, value)| value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_other_sites_are_told_apart() {
        let with_origin = |origin: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            is_other_origin(&headers)
        };
        assert!(!is_other_origin(&HeaderMap::new()));
        for own in [
            "http://localhost:3000",
            "http://127.0.0.1",
            "https://[::1]:8088",
        ] {
            assert!(!with_origin(own), "{own}");
        }
        for other in [
            "http://evil.example",
            "null",
            "http://127.0.0.1.evil.example:80",
        ] {
            assert!(with_origin(other), "{other}");
        }
    }
}
