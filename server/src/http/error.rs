//! Errors as Confluent's clients read them.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use uuid::Uuid;

use crate::error::Error;

/// An error on its way to a client.
#[derive(Debug)]
pub(crate) struct Answer(pub(crate) Error);

impl<E: Into<Error>> From<E> for Answer {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let (status, code) = self.0.status();
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() {
            tracing::error!(error = %self.0, "a request failed");
        }
        answer(status, code, &self.0.to_string())
    }
}

/// The answer to what is not allowed.
pub(super) fn forbidden(detail: &str) -> Response {
    answer(StatusCode::FORBIDDEN, "user_unauthorized", detail)
}

/// Confluent's error JSON.
fn answer(status: StatusCode, code: &str, detail: &str) -> Response {
    let body = json!({
        "errors": [{
            "id": Uuid::new_v4().simple().to_string(),
            "status": status.as_u16().to_string(),
            "code": code,
            "title": status.canonical_reason().unwrap_or_default(),
            "detail": detail,
            "source": {},
        }]
    });
    let json = (
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    (status, [json], body.to_string()).into_response()
}
