//! Schema Registry's REST API over the embedded store.
//!
//! Place in the flow: merged into the server's one listener. Invariant: paths, bodies and error codes are those that Confluent's clients
//! use.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::store::{NewSchema, Refusal, Schema, SchemaStore, Version};

/// The type of every answer.
const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// The shared store.
type Store = State<Arc<SchemaStore>>;

/// The API of a store.
pub fn router(store: Arc<SchemaStore>) -> Router {
    Router::new()
        .route("/subjects", get(subjects))
        .route("/subjects/{subject}", post(lookup).delete(delete_subject))
        .route("/subjects/{subject}/versions", get(versions).post(register))
        .route(
            "/subjects/{subject}/versions/{version}",
            get(version).delete(delete_version),
        )
        .route(
            "/subjects/{subject}/versions/{version}/schema",
            get(version_schema),
        )
        .route(
            "/schemas/types",
            get(|| async { ok(json!(["JSON", "PROTOBUF", "AVRO"])) }),
        )
        .route("/schemas/ids/{id}", get(schema))
        .route("/schemas/ids/{id}/schema", get(schema_text))
        .route("/schemas/ids/{id}/versions", get(schema_versions))
        .route("/schemas/ids/{id}/subjects", get(schema_subjects))
        .route("/config", get(global_level).put(set_global_level))
        .route("/config/{subject}", get(level).put(set_level))
        .route("/mode", get(mode))
        .route("/mode/{subject}", get(mode))
        .route("/contexts", get(|| async { ok(json!(["."])) }))
        .with_state(store)
}

/// A schema in a request.
#[derive(Debug, Deserialize)]
struct Body {
    /// Text.
    schema: String,
    /// Language; none means Avro.
    #[serde(rename = "schemaType")]
    schema_type: Option<String>,
    /// References.
    references: Option<Value>,
}

/// An answer.
fn ok(value: Value) -> Response {
    (
        [(header::CONTENT_TYPE, CONTENT_TYPE)],
        Json(value).into_response().into_body(),
    )
        .into_response()
}

/// An answer or a refusal.
fn answer(result: Result<Value, Refusal>) -> Response {
    match result {
        Ok(value) => ok(value),
        Err(refusal) => {
            let code = refusal.code();
            let status = u16::try_from(code / 100)
                .ok()
                .and_then(|status| StatusCode::from_u16(status).ok());
            let body = ok(json!({ "error_code": code, "message": refusal.to_string() }));
            (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body).into_response()
        }
    }
}

/// Runs what waits for the disk on a thread that may.
async fn blocking(
    store: Arc<SchemaStore>,
    work: impl FnOnce(&SchemaStore) -> Result<Value, Refusal> + Send + 'static,
) -> Response {
    let result = tokio::task::spawn_blocking(move || work(&store)).await;
    answer(result.unwrap_or_else(|error| Err(Refusal::Store(error.to_string()))))
}

/// Reads a schema of a request.
fn body(bytes: &Bytes) -> Result<(Body, String), Refusal> {
    let body: Body =
        serde_json::from_slice(bytes).map_err(|error| Refusal::InvalidSchema(error.to_string()))?;
    let references = body.references.as_ref().filter(|value| !value.is_null());
    let references = references.map_or_else(|| "[]".to_owned(), Value::to_string);
    Ok((body, references))
}

impl Body {
    /// What is to be registered or looked up.
    fn new_schema<'a>(&'a self, references: &'a str) -> NewSchema<'a> {
        NewSchema {
            schema_type: self.schema_type.as_deref().unwrap_or("AVRO"),
            text: &self.schema,
            references,
        }
    }
}

/// A schema as JSON; Avro is not named, as in the real registry.
fn schema_json(schema: &Schema) -> Value {
    let mut json = json!({ "schema": schema.text });
    if schema.language != "AVRO" {
        json["schemaType"] = Value::from(schema.language.as_str());
    }
    let references: Value = serde_json::from_str(&schema.references).unwrap_or_default();
    if references
        .as_array()
        .is_some_and(|references| !references.is_empty())
    {
        json["references"] = references;
    }
    json
}

/// A version as JSON.
fn version_json(version: &Version) -> Value {
    let mut json = schema_json(&version.schema);
    json["subject"] = Value::from(version.subject.as_str());
    json["version"] = Value::from(version.number);
    json["id"] = Value::from(version.schema.id);
    json
}

/// `GET /subjects`.
async fn subjects(State(store): Store) -> Response {
    blocking(store, |store| Ok(json!(store.subjects()?))).await
}

/// `POST /subjects/{subject}`.
async fn lookup(State(store): Store, Path(subject): Path<String>, bytes: Bytes) -> Response {
    blocking(store, move |store| {
        let (body, references) = body(&bytes)?;
        Ok(version_json(
            &store.find(&subject, &body.new_schema(&references))?,
        ))
    })
    .await
}

/// `DELETE /subjects/{subject}`.
async fn delete_subject(State(store): Store, Path(subject): Path<String>) -> Response {
    blocking(store, move |store| Ok(json!(store.delete(&subject, None)?))).await
}

/// `GET /subjects/{subject}/versions`.
async fn versions(State(store): Store, Path(subject): Path<String>) -> Response {
    blocking(store, move |store| Ok(json!(store.versions(&subject)?))).await
}

/// `POST /subjects/{subject}/versions`.
async fn register(State(store): Store, Path(subject): Path<String>, bytes: Bytes) -> Response {
    blocking(store, move |store| {
        let (body, references) = body(&bytes)?;
        Ok(version_json(
            &store.add(&subject, &body.new_schema(&references))?,
        ))
    })
    .await
}

/// `GET /subjects/{subject}/versions/{version}`.
async fn version(
    State(store): Store,
    Path((subject, version)): Path<(String, String)>,
) -> Response {
    blocking(store, move |store| {
        Ok(version_json(&store.version(&subject, &version)?))
    })
    .await
}

/// `GET /subjects/{subject}/versions/{version}/schema`.
async fn version_schema(
    State(store): Store,
    Path((subject, version)): Path<(String, String)>,
) -> Response {
    blocking(store, move |store| {
        Ok(raw_schema(&store.version(&subject, &version)?.schema))
    })
    .await
}

/// `DELETE /subjects/{subject}/versions/{version}`.
async fn delete_version(
    State(store): Store,
    Path((subject, version)): Path<(String, String)>,
) -> Response {
    blocking(store, move |store| {
        Ok(json!(store.delete(&subject, Some(&version))?.first()))
    })
    .await
}

/// `GET /schemas/ids/{id}`.
async fn schema(State(store): Store, Path(id): Path<i64>) -> Response {
    blocking(store, move |store| Ok(schema_json(&store.by_id(id)?.0))).await
}

/// `GET /schemas/ids/{id}/schema`.
async fn schema_text(State(store): Store, Path(id): Path<i64>) -> Response {
    blocking(store, move |store| Ok(raw_schema(&store.by_id(id)?.0))).await
}

/// `GET /schemas/ids/{id}/versions`.
async fn schema_versions(State(store): Store, Path(id): Path<i64>) -> Response {
    blocking(store, move |store| {
        let (_, uses) = store.by_id(id)?;
        Ok(uses
            .iter()
            .map(|(subject, version)| json!({ "subject": subject, "version": version }))
            .collect())
    })
    .await
}

/// `GET /schemas/ids/{id}/subjects`.
async fn schema_subjects(State(store): Store, Path(id): Path<i64>) -> Response {
    blocking(store, move |store| {
        let (_, uses) = store.by_id(id)?;
        Ok(uses.iter().map(|(subject, _)| subject.as_str()).collect())
    })
    .await
}

/// The text of a schema; a schema that is no JSON is a JSON string.
fn raw_schema(schema: &Schema) -> Value {
    serde_json::from_str(&schema.text).unwrap_or_else(|_| Value::from(schema.text.as_str()))
}

/// A level as JSON.
fn level_json(level: &str) -> Value {
    json!({ "compatibilityLevel": level })
}

/// `GET /config`.
async fn global_level(State(store): Store) -> Response {
    blocking(store, |store| {
        store.level(None).map(|level| level_json(&level))
    })
    .await
}

/// `GET /config/{subject}`.
async fn level(State(store): Store, Path(subject): Path<String>) -> Response {
    blocking(store, move |store| {
        store.level(Some(&subject)).map(|level| level_json(&level))
    })
    .await
}

/// Sets a level from a request's body.
async fn put_level(store: Arc<SchemaStore>, subject: Option<String>, bytes: Bytes) -> Response {
    blocking(store, move |store| {
        let body: Value = serde_json::from_slice(&bytes).map_err(|_| Refusal::Level)?;
        let level = body["compatibility"]
            .as_str()
            .unwrap_or_default()
            .to_uppercase();
        store.set_level(subject.as_deref(), &level)?;
        Ok(json!({ "compatibility": level }))
    })
    .await
}

/// `PUT /config`.
async fn set_global_level(State(store): Store, bytes: Bytes) -> Response {
    put_level(store, None, bytes).await
}

/// `PUT /config/{subject}`.
async fn set_level(State(store): Store, Path(subject): Path<String>, bytes: Bytes) -> Response {
    put_level(store, Some(subject), bytes).await
}

/// `GET /mode`.
async fn mode() -> Response {
    ok(json!({ "mode": "READWRITE" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server on a free port and a client of it.
    async fn serve() -> (tempfile::TempDir, String, reqwest::Client) {
        // The provider may be installed by another test already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(SchemaStore::open(dir.path()).unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router(store)).await });
        (dir, url, reqwest::Client::new())
    }

    #[tokio::test]
    async fn a_schema_is_registered_once_and_read_back() {
        let (_dir, url, client) = serve().await;
        let body = json!({ "schema": "{\"type\":\"object\"}", "schemaType": "JSON" });
        let path = format!("{url}/subjects/a%2Fb-value/versions");
        let post = || async {
            client
                .post(&path)
                .json(&body)
                .send()
                .await
                .unwrap()
                .json::<Value>()
                .await
                .unwrap()
        };
        let first = post().await;
        assert_eq!(
            (first["id"].as_i64(), first["version"].as_i64()),
            (Some(1), Some(1))
        );
        assert_eq!(post().await, first);
        let get = |path: String| async {
            client
                .get(path)
                .send()
                .await
                .unwrap()
                .json::<Value>()
                .await
                .unwrap()
        };
        assert_eq!(
            get(format!("{url}/schemas/ids/1")).await["schemaType"],
            "JSON"
        );
        assert_eq!(get(format!("{url}/subjects")).await, json!(["a/b-value"]));
        assert_eq!(
            get(format!("{url}/subjects/a%2Fb-value/versions/latest")).await["subject"],
            "a/b-value"
        );
        assert_eq!(
            get(format!("{url}/schemas/ids/9")).await["error_code"],
            40403
        );
        assert_eq!(
            get(format!("{url}/subjects/none/versions")).await["error_code"],
            40401
        );
        assert_eq!(
            get(format!("{url}/config")).await["compatibilityLevel"],
            "BACKWARD"
        );
    }

    #[tokio::test]
    async fn what_is_no_schema_is_refused() {
        let (_dir, url, client) = serve().await;
        for body in [
            json!({ "schema": "{" }),
            json!({ "schema": "{}", "schemaType": "XML" }),
            json!([]),
        ] {
            let answer = client
                .post(format!("{url}/subjects/s/versions"))
                .json(&body)
                .send()
                .await
                .unwrap();
            assert_eq!(answer.status(), 422);
            assert_eq!(answer.json::<Value>().await.unwrap()["error_code"], 42201);
        }
    }
}
