//! Confluent's `fcpm/v2`: compute pools and regions.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::control_plane::{environment_reference, metadata};
use super::{Answer, App, base_url, json_body};
use crate::error::{Error, Result};
use crate::names::{CLOUD, ENVIRONMENT_ID, ORGANIZATION_ID, REGION};
use crate::pool::Pool;

/// The path of pools.
const POOLS: &str = "/fcpm/v2/compute-pools";

/// The routes of `fcpm/v2`.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route(POOLS, get(list).post(create))
        .route(
            &format!("{POOLS}/{{id}}"),
            get(get_one).patch(patch).delete(delete),
        )
        .route("/fcpm/v2/regions", get(regions))
}

/// A pool with the slots held in it.
fn pool_json(pool: &Pool, held: u32, base: &str) -> Value {
    let name = format!(
        "crn://confluent.cloud/organization={ORGANIZATION_ID}/environment={ENVIRONMENT_ID}/flink-region={}.{REGION}/compute-pool={}",
        CLOUD.to_lowercase(),
        pool.id
    );
    let link = format!("{base}{POOLS}/{}", pool.id);
    json!({
        "api_version": "fcpm/v2",
        "kind": "ComputePool",
        "id": pool.id,
        "metadata": metadata(&link, &name, pool.created_at_ms, pool.updated_at_ms),
        "spec": {
            "display_name": pool.display_name,
            "cloud": CLOUD,
            "region": REGION,
            "max_cfu": pool.max_cfu,
            "enable_ai": false,
            "default_pool": pool.is_default,
            "environment": environment_reference(base),
        },
        "status": { "phase": "PROVISIONED", "current_cfu": held },
    })
}

/// Every pool.
async fn list(State(app): State<App>, headers: HeaderMap) -> Json<Value> {
    let base = base_url(&headers);
    let pools = app.statements.pools();
    let data: Vec<Value> = pools
        .iter()
        .map(|(pool, held)| pool_json(pool, *held, &base))
        .collect();
    Json(json!({
        "api_version": "fcpm/v2",
        "kind": "ComputePoolList",
        "metadata": { "first": format!("{base}{POOLS}"), "total_size": data.len() },
        "data": data,
    }))
}

/// A pool.
async fn get_one(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Answer> {
    Ok(Json(find(&app, &id, &base_url(&headers))?))
}

/// The JSON of a pool.
fn find(app: &App, id: &str, base: &str) -> Result<Value> {
    let pools = app.statements.pools();
    let (pool, held) = pools
        .iter()
        .find(|(pool, _)| pool.id == id)
        .ok_or_else(|| Error::NotFound(format!("Compute pool {id} not found")))?;
    Ok(pool_json(pool, *held, base))
}

/// The members of a pool that a client may set.
fn settings(body: &Value) -> Result<(Option<String>, Option<u32>)> {
    let spec = &body["spec"];
    let name = spec["display_name"].as_str().map(str::to_owned);
    let max_cfu = match &spec["max_cfu"] {
        Value::Null => None,
        value => Some(Pool::check_max_cfu(value.as_u64().ok_or_else(|| {
            Error::Invalid(format!("max_cfu is {value}, a whole number is needed"))
        })?)?),
    };
    Ok((name, max_cfu))
}

/// Makes a pool.
async fn create(
    State(app): State<App>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, Answer> {
    let (name, max_cfu) = settings(&json_body(&bytes)?)?;
    let name = name.ok_or_else(|| Error::Invalid("spec.display_name is missing".to_owned()))?;
    let max_cfu = max_cfu.ok_or_else(|| Error::Invalid("spec.max_cfu is missing".to_owned()))?;
    let base = base_url(&headers);
    let json = app
        .blocking(move |app| {
            let pool = app.statements.create_pool(&name, max_cfu)?;
            find(app, &pool.id, &base)
        })
        .await?;
    Ok((StatusCode::ACCEPTED, Json(json)).into_response())
}

/// Changes a pool.
async fn patch(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Json<Value>, Answer> {
    let (name, max_cfu) = settings(&json_body(&bytes)?)?;
    let base = base_url(&headers);
    let json = app
        .blocking(move |app| {
            app.statements.update_pool(&id, name.as_deref(), max_cfu)?;
            find(app, &id, &base)
        })
        .await?;
    Ok(Json(json))
}

/// Deletes a pool.
async fn delete(State(app): State<App>, Path(id): Path<String>) -> Result<StatusCode, Answer> {
    app.blocking(move |app| app.statements.delete_pool(&id))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The one region, served here.
async fn regions(headers: HeaderMap) -> Json<Value> {
    let base = base_url(&headers);
    let id = format!("{}.{REGION}", CLOUD.to_lowercase());
    Json(json!({
        "api_version": "fcpm/v2",
        "kind": "RegionList",
        "metadata": { "first": format!("{base}/fcpm/v2/regions"), "total_size": 1 },
        "data": [{
            "api_version": "fcpm/v2",
            "kind": "Region",
            "id": id,
            "metadata": { "self": format!("{base}/fcpm/v2/regions/{id}") },
            "display_name": "this machine",
            "cloud": CLOUD,
            "region_name": REGION,
            "http_endpoint": base,
            "private_http_endpoint": base,
        }],
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_are_whole_numbers_in_range() {
        let body = json!({ "spec": { "display_name": "p", "max_cfu": 10 } });
        assert_eq!(settings(&body).unwrap(), (Some("p".to_owned()), Some(10)));
        assert_eq!(settings(&json!({})).unwrap(), (None, None));
        for wrong in [json!("ten"), json!(0), json!(-1), json!(1.5)] {
            assert!(
                settings(&json!({ "spec": { "max_cfu": wrong } })).is_err(),
                "{wrong}"
            );
        }
    }
}
