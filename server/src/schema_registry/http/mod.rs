//! Schema Registry's REST API over the embedded store.
//!
//! Place in the flow: merged into the server's one listener. Invariant: paths, bodies and error codes are those that Confluent's clients
//! use; every path is there again below `/contexts/{context}`.

mod call;
mod schemas;
mod settings;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, delete, get, post, put};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::store::{Refusal, SchemaStore};
use Verb::{Delete, Get, Post, Put};
use call::Call;

/// The type of every answer.
const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// What answers a request. It may wait for the disk.
type Work = fn(&SchemaStore, &Call) -> Result<Value, Refusal>;

/// A method of a path.
type Method = MethodRouter<Arc<SchemaStore>>;

/// The API of a store.
pub fn router(store: Arc<SchemaStore>) -> Router {
    Router::new()
        .route("/", get(async || ok(settings::root())))
        .route("/v1/metadata/id", get(async || ok(settings::cluster())))
        .route("/v1/metadata/version", get(async || ok(settings::build())))
        .route("/associations/{*rest}", any(async || not_found()))
        .merge(paths())
        .nest("/contexts/{context}", paths())
        .route("/contexts", on(Get, settings::contexts))
        .with_state(store)
}

/// The paths that a context has too.
fn paths() -> Router<Arc<SchemaStore>> {
    let version = "/subjects/{subject}/versions/{version}";
    let compatibility = "/compatibility/subjects/{subject}/versions";
    let config = |get_config| {
        on(Get, get_config)
            .merge(on(Put, settings::set_config))
            .merge(on(Delete, settings::delete_config))
    };
    let mode = |get_mode| {
        on(Get, get_mode)
            .merge(on(Put, settings::set_mode))
            .merge(on(Delete, settings::delete_mode))
    };
    let one_version = on(Get, schemas::version).merge(on(Delete, schemas::delete_version));
    let one_subject = on(Post, schemas::lookup).merge(on(Delete, schemas::delete_subject));
    Router::new()
        .route("/subjects", on(Get, schemas::subjects))
        .route("/subjects/{subject}", one_subject)
        .route(
            "/subjects/{subject}/versions",
            on(Get, schemas::versions).merge(on(Post, schemas::register)),
        )
        .route(version, one_version)
        .route(
            &format!("{version}/schema"),
            on(Get, schemas::version_schema),
        )
        .route(
            &format!("{version}/referencedby"),
            on(Get, schemas::referenced_by),
        )
        .route("/schemas", on(Get, schemas::list))
        .route("/schemas/types", get(async || ok(settings::types())))
        .route("/schemas/ids/{id}", on(Get, schemas::schema))
        .route("/schemas/ids/{id}/schema", on(Get, schemas::schema_text))
        .route(
            "/schemas/ids/{id}/versions",
            on(Get, schemas::schema_versions),
        )
        .route(
            "/schemas/ids/{id}/subjects",
            on(Get, schemas::schema_subjects),
        )
        .route("/schemas/guids/{guid}", on(Get, schemas::schema_of_guid))
        .route("/schemas/guids/{guid}/ids", on(Get, schemas::ids_of_guid))
        .route(compatibility, on(Post, schemas::compare_all))
        .route(
            &format!("{compatibility}/{{version}}"),
            on(Post, schemas::compare),
        )
        .route("/config", config(settings::global_config))
        .route("/config/{subject}", config(settings::config))
        .route("/mode", mode(settings::global_mode))
        .route("/mode/{subject}", mode(settings::mode))
}

/// Which method a path answers.
#[derive(Debug, Clone, Copy)]
enum Verb {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `DELETE`.
    Delete,
}

/// Answers a method by `work`, on a thread that may wait for the disk.
fn on(verb: Verb, work: Work) -> Method {
    let handler = async move |State(store): State<Arc<SchemaStore>>, call: Call| {
        let answered = tokio::task::spawn_blocking(move || work(&store, &call)).await;
        match answered.unwrap_or_else(|error| Err(Refusal::Store(error.to_string()))) {
            Ok(value) => ok(value),
            Err(refusal) => refused(&refusal),
        }
    };
    match verb {
        Verb::Get => get(handler),
        Verb::Post => post(handler),
        Verb::Put => put(handler),
        Verb::Delete => delete(handler),
    }
}

/// An answer.
fn ok(value: Value) -> Response {
    (
        [(header::CONTENT_TYPE, CONTENT_TYPE)],
        Json(value).into_response().into_body(),
    )
        .into_response()
}

/// A refusal.
fn refused(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status());
    let body = json!({ "error_code": refusal.code(), "message": refusal.to_string() });
    (
        status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        ok(body),
    )
        .into_response()
}

/// The answer where there is nothing.
fn not_found() -> Response {
    let body = json!({ "error_code": 404, "message": "HTTP 404 Not Found" });
    (StatusCode::NOT_FOUND, ok(body)).into_response()
}

#[cfg(test)]
mod tests;
