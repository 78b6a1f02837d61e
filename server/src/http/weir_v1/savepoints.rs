//! Savepoints and checkpoints of a statement, under `/weir/v1/statements/NAME/`.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::Error;
use crate::http::{Answer, App, json_body};
use crate::statement::Savepoint;
use crate::time::rfc3339;

/// The routes.
pub(super) fn routes() -> Router<App> {
    const SAVEPOINTS: &str = "/weir/v1/statements/{name}/savepoints";
    Router::new()
        .route(SAVEPOINTS, get(list).post(create))
        .route(
            &format!("{SAVEPOINTS}/{{savepoint}}"),
            get(get_one).delete(delete),
        )
        .route("/weir/v1/statements/{name}/checkpoints", get(checkpoints))
}

/// A savepoint to be taken.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SavepointBody {
    /// Its name; made up when absent.
    name: Option<String>,
}

/// A savepoint as clients read it.
fn savepoint_json(savepoint: &Savepoint) -> Value {
    json!({
        "name": savepoint.name,
        "statement_name": savepoint.statement_name,
        "statement_uid": savepoint.statement_uid,
        "location": savepoint.location,
        "run": savepoint.run,
        "epoch": savepoint.epoch,
        "offsets": savepoint.offsets,
        "created_at": rfc3339(savepoint.created_at_ms),
    })
}

/// Savepoints, newest first.
async fn list(State(app): State<App>, Path(name): Path<String>) -> Result<Json<Value>, Answer> {
    let found = app
        .blocking(move |app| app.statements.savepoints(&name))
        .await?;
    let data: Vec<Value> = found.iter().map(savepoint_json).collect();
    Ok(Json(json!({ "data": data })))
}

/// Takes a savepoint and answers once it is durable.
async fn create(
    State(app): State<App>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Answer> {
    let wanted: SavepointBody = if body.is_empty() {
        SavepointBody::default()
    } else {
        json_body(&body)?
    };
    let taken = app
        .blocking(move |app| app.statements.savepoint(&name, wanted.name))
        .await?;
    Ok((StatusCode::CREATED, Json(savepoint_json(&taken))))
}

/// A savepoint.
async fn get_one(
    State(app): State<App>,
    Path((name, savepoint)): Path<(String, String)>,
) -> Result<Json<Value>, Answer> {
    let found = app
        .blocking(move |app| app.statements.find_savepoint(&name, &savepoint))
        .await?;
    Ok(Json(savepoint_json(&found)))
}

/// Deletes a savepoint.
async fn delete(
    State(app): State<App>,
    Path((name, savepoint)): Path<(String, String)>,
) -> Result<StatusCode, Answer> {
    app.blocking(move |app| app.statements.delete_savepoint(&name, &savepoint))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Checkpoints that the statement can be resumed from, newest first.
async fn checkpoints(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Answer> {
    let found = app
        .blocking(move |app| app.statements.checkpoints(&name))
        .await?;
    let data = serde_json::to_value(found).map_err(Error::from)?;
    Ok(Json(json!({ "data": data })))
}
