//! Confluent's `sql/v1`: statements, their results and their failures.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use weir_model::statement::Phase;

use super::statement_json::{statement_json, statements_path};
use super::{Answer, App, base_url, json_body, query_value};
use crate::error::{Error, Result};
use crate::statement::{CreateStatement, ListStatements, Update};
use crate::time::rfc3339;

/// Statements of a page when the client does not say.
///
/// # Source
/// Confluent's description of `sql/v1`: 10, at most 100.
const PAGE_SIZE: usize = 10;

/// Most statements of a page.
const PAGE_SIZE_MAX: usize = 100;

/// What handlers answer.
type Answered<T> = Result<T, Answer>;

/// The parameters of a query, in order.
type Parameters = Query<Vec<(String, String)>>;

/// The routes of `sql/v1`.
pub(super) fn routes() -> Router<App> {
    const STATEMENTS: &str =
        "/sql/v1/organizations/{organization}/environments/{environment}/statements";
    Router::new()
        .route(STATEMENTS, get(list).post(create))
        .route(
            &format!("{STATEMENTS}/{{name}}"),
            get(get_one).put(put).patch(patch).delete(delete),
        )
        .route(&format!("{STATEMENTS}/{{name}}/results"), get(results))
        .route(
            &format!("{STATEMENTS}/{{name}}/exceptions"),
            get(exceptions),
        )
}

/// A statement as clients send it; members that are not known are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StatementBody {
    /// Name.
    name: Option<String>,
    /// What is wanted.
    spec: SpecBody,
    /// Labels and version.
    metadata: Option<MetadataBody>,
}

/// What is wanted of a statement.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SpecBody {
    /// SQL text.
    statement: Option<String>,
    /// Properties.
    properties: Option<BTreeMap<String, String>>,
    /// Pool.
    compute_pool_id: Option<String>,
    /// Principal.
    principal: Option<String>,
    /// Whether it is to stand still.
    stopped: Option<bool>,
}

/// Metadata that clients may send.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MetadataBody {
    /// Labels.
    labels: Option<BTreeMap<String, String>>,
    /// The version a change was made from.
    resource_version: Option<String>,
}

/// One step of a JSON patch.
#[derive(Debug, Deserialize)]
struct PatchStep {
    /// `add` or `replace`, in either case.
    op: String,
    /// What.
    path: String,
    /// To what.
    #[serde(default)]
    value: Value,
}

/// An empty text counts as absent.
fn non_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// Makes a statement.
async fn create(
    State(app): State<App>,
    Path((organization, environment)): Path<(String, String)>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answered<Response> {
    let request: StatementBody = json_body(&bytes)?;
    let metadata = request.metadata.unwrap_or_default();
    let create = CreateStatement {
        name: non_empty(request.name),
        organization,
        environment,
        sql: request
            .spec
            .statement
            .ok_or_else(|| Error::Invalid("spec.statement is missing".to_owned()))?,
        properties: request.spec.properties.unwrap_or_default(),
        labels: metadata.labels.unwrap_or_default(),
        pool_id: non_empty(request.spec.compute_pool_id),
        principal: non_empty(request.spec.principal),
        stopped: request.spec.stopped.unwrap_or(false),
    };
    let created = app
        .blocking(move |app| app.statements.create(create))
        .await?;
    let record = app
        .statements
        .settled(&created.name)
        .await
        .unwrap_or(created);
    let json = statement_json(&record, &base_url(&headers));
    Ok((StatusCode::CREATED, Json(json)).into_response())
}

/// A statement; one that is PENDING is waited for a moment.
async fn get_one(
    State(app): State<App>,
    Path((_, _, name)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Answered<Json<Value>> {
    let record = app.statements.settled(&name).await?;
    Ok(Json(statement_json(&record, &base_url(&headers))))
}

/// Statements, newest first.
async fn list(
    State(app): State<App>,
    Path((organization, environment)): Path<(String, String)>,
    Query(query): Parameters,
    headers: HeaderMap,
) -> Answered<Json<Value>> {
    let filter = list_filter(&query)?;
    let (found, has_more) = app.statements.list(&filter);
    let base = base_url(&headers);
    let url = format!("{base}{}", statements_path(&organization, &environment));
    let next = match found.last() {
        Some((seq, _)) if has_more => next_page(&url, &query, &seq.to_string()),
        _ => String::new(),
    };
    let data: Vec<Value> = found
        .iter()
        .map(|(_, record)| statement_json(record, &base))
        .collect();
    Ok(Json(json!({
        "api_version": "sql/v1",
        "kind": "StatementList",
        "metadata": { "self": url, "first": url, "last": "", "prev": "", "next": next },
        "data": data,
    })))
}

/// What a list's parameters ask for.
fn list_filter(query: &[(String, String)]) -> Result<ListStatements> {
    let count_max = match query_value(query, "page_size") {
        None => PAGE_SIZE,
        Some(text) => text
            .parse::<usize>()
            .ok()
            .filter(|size| (1..=PAGE_SIZE_MAX).contains(size))
            .ok_or_else(|| {
                Error::Invalid(format!(
                    "page_size is \"{text}\", it must be 1 to {PAGE_SIZE_MAX}"
                ))
            })?,
    };
    let before = query_value(query, "page_token")
        .map(|token| token.parse().map_err(|_| bad_token(&token)))
        .transpose()?;
    let phase = query_value(query, "status.phase")
        .map(|name| {
            Phase::parse(&name)
                .ok_or_else(|| Error::Invalid(format!("there is no phase \"{name}\"")))
        })
        .transpose()?;
    let labels = query_value(query, "label_selector")
        .map(|selector| labels_of(&selector))
        .transpose()?
        .unwrap_or_default();
    Ok(ListStatements {
        before,
        count_max,
        pool_id: query_value(query, "spec.compute_pool_id"),
        phase,
        labels,
        name_contains: query_value(query, "statement_name_search_query"),
    })
}

/// A token that was not made here.
fn bad_token(token: &str) -> Error {
    Error::Invalid(format!("page_token \"{token}\" is not one of this list"))
}

/// `key=value,key=value`.
fn labels_of(selector: &str) -> Result<Vec<(String, String)>> {
    selector
        .split(',')
        .map(|pair| {
            pair.split_once('=')
                .map(|(key, value)| {
                    (
                        key.trim().to_owned(),
                        value.trim_start_matches('=').trim().to_owned(),
                    )
                })
                .ok_or_else(|| {
                    Error::Invalid(format!("label_selector \"{pair}\" is not key=value"))
                })
        })
        .collect()
}

/// The link to the next page: every parameter of this one, the token last.
fn next_page(url: &str, query: &[(String, String)], token: &str) -> String {
    let mut parameters: Vec<String> = query
        .iter()
        .filter(|(key, _)| key != "page_token")
        .map(|(key, value)| format!("{}={}", url_encoded(key), url_encoded(value)))
        .collect();
    parameters.push(format!("page_token={token}"));
    format!("{url}?{}", parameters.join("&"))
}

/// Percent-encodes everything but letters, digits and what is safe in a query.
fn url_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-') {
            encoded.push(char::from(byte));
        } else {
            let digit = |half: u8| char::from(b"0123456789ABCDEF"[usize::from(half)]);
            encoded.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    encoded
}

/// Replaces what may be changed of a statement.
async fn put(
    State(app): State<App>,
    Path((_, _, name)): Path<(String, String, String)>,
    bytes: Bytes,
) -> Answered<StatusCode> {
    let request: StatementBody = json_body(&bytes)?;
    let update = Update {
        stopped: request.spec.stopped,
        pool_id: non_empty(request.spec.compute_pool_id),
        principal: non_empty(request.spec.principal),
        resource_version: request
            .metadata
            .and_then(|metadata| non_empty(metadata.resource_version)),
    };
    app.blocking(move |app| app.statements.update(&name, &update))
        .await?;
    Ok(StatusCode::ACCEPTED)
}

/// Changes a statement with a JSON patch.
async fn patch(
    State(app): State<App>,
    Path((_, _, name)): Path<(String, String, String)>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answered<Json<Value>> {
    let steps: Vec<PatchStep> = json_body(&bytes)?;
    let update = update_of(&steps)?;
    let record = app
        .blocking(move |app| app.statements.update(&name, &update))
        .await?;
    Ok(Json(statement_json(&record, &base_url(&headers))))
}

/// What a JSON patch asks for.
fn update_of(steps: &[PatchStep]) -> Result<Update> {
    let mut update = Update::default();
    for step in steps {
        let is_set = ["add", "replace"]
            .iter()
            .any(|op| step.op.eq_ignore_ascii_case(op));
        let text = step.value.as_str().map(str::to_owned);
        match (step.path.as_str(), &step.value, text) {
            ("/spec/stopped", Value::Bool(stopped), _) if is_set => update.stopped = Some(*stopped),
            ("/spec/compute_pool_id", _, Some(pool)) if is_set => update.pool_id = Some(pool),
            ("/spec/principal", _, Some(principal)) if is_set => {
                update.principal = Some(principal);
            }
            _ => {
                return Err(Error::Invalid(format!(
                    "the patch {} of {} is not possible: /spec/stopped, /spec/compute_pool_id and /spec/principal can be replaced",
                    step.op, step.path
                )));
            }
        }
    }
    Ok(update)
}

/// Deletes a statement.
async fn delete(
    State(app): State<App>,
    Path((_, _, name)): Path<(String, String, String)>,
) -> Answered<StatusCode> {
    app.blocking(move |app| app.statements.delete(&name))
        .await?;
    Ok(StatusCode::ACCEPTED)
}

/// A page of results.
async fn results(
    State(app): State<App>,
    Path((organization, environment, name)): Path<(String, String, String)>,
    Query(query): Parameters,
    headers: HeaderMap,
) -> Answered<Json<Value>> {
    let from = match query_value(&query, "page_token") {
        None => 0,
        Some(token) => token.parse().map_err(|_| bad_token(&token))?,
    };
    let record = app.statements.get(&name)?;
    let page = app.statements.results(&name, from).await?;
    let url = format!(
        "{}{}/{name}/results",
        base_url(&headers),
        statements_path(&organization, &environment)
    );
    let mut metadata = json!({ "self": url, "created_at": rfc3339(record.created_at_ms) });
    if let Some(next) = page.next {
        metadata["next"] = json!(format!("{url}?page_token={next}"));
    }
    Ok(Json(json!({
        "api_version": "sql/v1",
        "kind": "StatementResult",
        "metadata": metadata,
        "results": { "data": page.data },
    })))
}

/// The newest failures of a statement.
async fn exceptions(
    State(app): State<App>,
    Path((organization, environment, name)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Answered<Json<Value>> {
    let path = statements_path(&organization, &environment);
    let url = format!("{}{path}/{name}/exceptions", base_url(&headers));
    let found = app
        .blocking(move |app| app.statements.exceptions(&name))
        .await?;
    let data: Vec<Value> = found
        .iter()
        .map(|exception| {
            json!({
                "kind": "StatementException",
                "name": exception.code,
                "message": exception.message,
                "timestamp": rfc3339(exception.at_ms),
                // Weir's own members; clients ignore those they do not know.
                "class": exception.class.as_str(),
                "code": exception.code,
                "is_recoverable": exception.is_recoverable,
            })
        })
        .collect();
    Ok(Json(json!({
        "api_version": "sql/v1",
        "kind": "StatementExceptionList",
        "metadata": { "self": url },
        "data": data,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A JSON patch.
    fn steps(json: Value) -> Vec<PatchStep> {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn patches_are_read_in_either_case() {
        for op in ["replace", "REPLACE", "add"] {
            let update = update_of(&steps(
                json!([{ "op": op, "path": "/spec/stopped", "value": true }]),
            ))
            .unwrap();
            assert_eq!(update.stopped, Some(true), "{op}");
        }
        for wrong in [
            json!([{ "op": "remove", "path": "/spec/stopped" }]),
            json!([{ "op": "replace", "path": "/spec/statement", "value": "SELECT 1" }]),
            json!([{ "op": "replace", "path": "/spec/stopped", "value": "yes" }]),
        ] {
            let error = update_of(&steps(wrong.clone())).unwrap_err();
            assert_eq!(error.status().0, 400, "{wrong}");
        }
    }

    #[test]
    fn the_token_of_a_next_page_comes_last() {
        let query = vec![
            ("page_token".to_owned(), "9".to_owned()),
            ("label_selector".to_owned(), "a/b=c".to_owned()),
        ];
        assert_eq!(
            next_page("http://h/x", &query, "4"),
            "http://h/x?label_selector=a%2Fb%3Dc&page_token=4"
        );
    }

    #[test]
    fn filters_are_checked() {
        let ask = |key: &str, value: &str| list_filter(&[(key.to_owned(), value.to_owned())]);
        assert_eq!(ask("page_size", "100").unwrap().count_max, 100);
        assert_eq!(
            ask("label_selector", "a=b,c==d").unwrap().labels,
            vec![
                ("a".to_owned(), "b".to_owned()),
                ("c".to_owned(), "d".to_owned())
            ]
        );
        assert!(ask("page_size", "101").is_err());
        assert!(ask("page_token", "x").is_err());
        assert!(ask("status.phase", "LOST").is_err());
        assert!(
            ask("cell_based_self_url", "true").is_ok(),
            "unknown ones are ignored"
        );
    }
}
