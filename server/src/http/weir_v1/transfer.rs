//! Export and import of statements: manifests as JSON, objects in pieces.

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::Value;

use crate::http::statement_json::statement_json;
use crate::http::{Answer, App, base_url, json_body};
use crate::statement::{Import, ImportOptions};

/// The routes.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route(
            "/weir/v1/statements/{name}/savepoints/{savepoint}/objects/{*object}",
            get(read),
        )
        .route("/weir/v1/imports", post(begin))
        .route("/weir/v1/imports/{id}/objects/{*object}", put(write))
        .route("/weir/v1/imports/{id}/statement", post(finish))
}

/// Which piece of an object.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Piece {
    /// Its first byte.
    offset: u64,
}

/// How an import becomes a statement.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FinishBody {
    /// Another name.
    name: Option<String>,
    /// Another pool.
    compute_pool_id: Option<String>,
    /// Start at once.
    start: bool,
    /// Keep the uid.
    take_over: bool,
}

/// A piece of an object of a savepoint; empty at its end.
async fn read(
    State(app): State<App>,
    Path((name, savepoint, object)): Path<(String, String, String)>,
    Query(piece): Query<Piece>,
) -> Result<Bytes, Answer> {
    let bytes = app
        .blocking(move |app| {
            app.statements
                .read_savepoint((&name, &savepoint), &object, piece.offset)
        })
        .await?;
    Ok(bytes)
}

/// Begins an import with its manifest.
async fn begin(State(app): State<App>, body: Bytes) -> Result<(StatusCode, Json<Import>), Answer> {
    let begun = app
        .blocking(move |app| app.statements.begin_import(&body))
        .await?;
    Ok((StatusCode::CREATED, Json(begun)))
}

/// Adds a piece of an object.
async fn write(
    State(app): State<App>,
    Path((id, object)): Path<(String, String)>,
    Query(piece): Query<Piece>,
    body: Bytes,
) -> Result<StatusCode, Answer> {
    app.blocking(move |app| {
        app.statements
            .write_import(&id, &object, piece.offset, &body)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes the statement of an import.
async fn finish(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Answer> {
    let wanted: FinishBody = if body.is_empty() {
        FinishBody::default()
    } else {
        json_body(&body)?
    };
    let options = ImportOptions {
        name: wanted.name,
        pool_id: wanted.compute_pool_id,
        start: wanted.start,
        take_over: wanted.take_over,
    };
    let record = app
        .blocking(move |app| app.statements.finish_import(&id, &options))
        .await?;
    let json = statement_json(&record, &base_url(&headers));
    Ok((StatusCode::CREATED, Json(json)))
}
