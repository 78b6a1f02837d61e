//! Weir's own API: usage, the meter, draining, sealing; savepoints, resuming, rescaling; export and import.
//!
//! Documented for users in `docs/guide/weir-api.md`; a route is added there too.

mod actions;
mod savepoints;
mod transfer;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use weir_model::meter::{Snapshot, Statement};

use super::{Answer, App, base_url, query_value};
use crate::error::{Error, Result};
use crate::ledger::{GroupBy, Usage};
use crate::time::parse_rfc3339;

/// The routes of `/weir/v1`.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/weir/v1/usage", get(usage))
        .route("/weir/v1/meter", get(meter))
        .route("/weir/v1/statements/{name}/meter", get(statement_meter))
        .route("/weir/v1/statements/{action}", post(statement_action))
        .route("/weir/v1/topics/{action}", post(topic_action))
        .merge(savepoints::routes())
        .merge(transfer::routes())
}

/// Usage, grouped by `by` (statement, pool, minute) and limited to `from` and `to`, RFC 3339.
async fn usage(
    State(app): State<App>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Json<Usage>, Answer> {
    let by = match query_value(&query, "by").as_deref() {
        None | Some("statement") => GroupBy::Statement,
        Some("pool") => GroupBy::Pool,
        Some("minute") => GroupBy::Minute,
        Some(other) => {
            return Err(Answer(Error::Invalid(format!(
                "usage by \"{other}\" is not known: statement, pool and minute are"
            ))));
        }
    };
    let time = |name: &str, default: i64| match query_value(&query, name) {
        None => Ok(default),
        Some(text) => parse_rfc3339(&text).ok_or_else(|| {
            Error::Invalid(format!(
                "{name} is \"{text}\", a time such as 2026-01-31T12:00:00Z is needed"
            ))
        }),
    };
    // A year past the clock is after everything and cannot overflow.
    let end = app.clock.now_ms() + 366 * 24 * 3_600_000;
    let (from, to) = (time("from", 0)?, time("to", end)?);
    let usage = app
        .blocking(move |app| app.statements.usage(from, to, by))
        .await?;
    Ok(Json(usage))
}

/// Everything that runs, now.
async fn meter(State(app): State<App>) -> Json<Snapshot> {
    Json(app.statements.snapshot())
}

/// Counters of the present or last run of a statement.
async fn statement_meter(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Statement>, Answer> {
    Ok(Json(app.statements.statement_meter(&name)?))
}

/// Splits `name:verb`.
fn name_and_verb(action: &str) -> Result<(String, String)> {
    action
        .rsplit_once(':')
        .map(|(name, verb)| (name.to_owned(), verb.to_owned()))
        .ok_or_else(|| Error::NotFound(format!("there is no action in \"{action}\"")))
}

/// `NAME:VERB`; what the verb needs is in the body.
async fn statement_action(
    State(app): State<App>,
    Path(action): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Answer> {
    let (name, verb) = name_and_verb(&action)?;
    let base = base_url(&headers);
    let answer = app
        .blocking(move |app| actions::run(app, (&name, &verb), &body, &base))
        .await?;
    Ok(Json(answer).into_response())
}

/// `TOPIC:seal`.
async fn topic_action(
    State(app): State<App>,
    Path(action): Path<String>,
) -> Result<Response, Answer> {
    let (topic, verb) = name_and_verb(&action)?;
    if verb != "seal" {
        return Err(Answer(Error::NotFound(format!(
            "topics have no action \"{verb}\", only seal"
        ))));
    }
    let answer = json!({ "topic": topic, "sealed": true });
    app.blocking(move |app| {
        let log = app.catalog.topics().log().ok_or_else(|| {
            Error::Conflict("topics in Kafka cannot be sealed: drain the statement".to_owned())
        })?;
        Ok(log.seal(&topic)?)
    })
    .await?;
    Ok((StatusCode::OK, Json(answer)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verb_follows_the_last_colon() {
        assert_eq!(
            name_and_verb("a:b:seal").unwrap(),
            ("a:b".to_owned(), "seal".to_owned())
        );
        assert!(name_and_verb("seal").is_err());
    }
}
