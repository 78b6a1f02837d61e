//! The parts of `org/v2` and `cmk/v2` that clients of statements ask for: the one organization, environment and cluster.

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::{Answer, App, base_url};
use crate::error::Error;
use crate::names::{
    CLOUD, CLUSTER_ID, CLUSTER_NAME, ENVIRONMENT_ID, ENVIRONMENT_NAME, ORGANIZATION_ID, REGION,
};
use crate::time::rfc3339;

/// The routes.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/org/v2/organizations", get(organizations))
        .route("/org/v2/organizations/{id}", get(organization))
        .route("/org/v2/environments", get(environments))
        .route("/org/v2/environments/{id}", get(environment))
        .route("/cmk/v2/clusters", get(clusters))
        .route("/cmk/v2/clusters/{id}", get(cluster))
}

/// Metadata as every control-plane object has them.
pub(super) fn metadata(link: &str, resource_name: &str, created_ms: i64, updated_ms: i64) -> Value {
    json!({
        "self": link,
        "resource_name": resource_name,
        "created_at": rfc3339(created_ms),
        "updated_at": rfc3339(updated_ms),
    })
}

/// The environment as other objects refer to it.
pub(super) fn environment_reference(base: &str) -> Value {
    json!({
        "id": ENVIRONMENT_ID,
        "related": format!("{base}/org/v2/environments/{ENVIRONMENT_ID}"),
        "resource_name": environment_resource(),
    })
}

/// The environment's resource name.
fn environment_resource() -> String {
    format!("crn://confluent.cloud/organization={ORGANIZATION_ID}/environment={ENVIRONMENT_ID}")
}

/// A list of one object.
fn list_of(api_version: &str, kind: &str, link: &str, item: &Value) -> Json<Value> {
    Json(json!({
        "api_version": api_version,
        "kind": kind,
        "metadata": { "first": link, "total_size": 1 },
        "data": [item],
    }))
}

/// The time every fixed object was made: the epoch, since nobody made them.
const CREATED_MS: i64 = 0;

/// The organization.
fn organization_json(base: &str) -> Value {
    let link = format!("{base}/org/v2/organizations/{ORGANIZATION_ID}");
    let name = format!("crn://confluent.cloud/organization={ORGANIZATION_ID}");
    json!({
        "api_version": "org/v2",
        "kind": "Organization",
        "id": ORGANIZATION_ID,
        "metadata": metadata(&link, &name, CREATED_MS, CREATED_MS),
        "display_name": "local",
        "jit_enabled": false,
    })
}

/// The environment.
fn environment_json(base: &str) -> Value {
    let link = format!("{base}/org/v2/environments/{ENVIRONMENT_ID}");
    json!({
        "api_version": "org/v2",
        "kind": "Environment",
        "id": ENVIRONMENT_ID,
        "metadata": metadata(&link, &environment_resource(), CREATED_MS, CREATED_MS),
        "display_name": ENVIRONMENT_NAME,
        "stream_governance_config": { "package": "ESSENTIALS" },
    })
}

/// The cluster.
fn cluster_json(app: &App, base: &str) -> Value {
    let link = format!("{base}/cmk/v2/clusters/{CLUSTER_ID}");
    let name = format!("{}/kafka={CLUSTER_ID}", environment_resource());
    let mut json = json!({
        "api_version": "cmk/v2",
        "kind": "Cluster",
        "id": CLUSTER_ID,
        "metadata": metadata(&link, &name, CREATED_MS, CREATED_MS),
        "spec": {
            "display_name": CLUSTER_NAME,
            "availability": "SINGLE_ZONE",
            "cloud": CLOUD,
            "region": REGION,
            "config": { "kind": "Basic" },
            "http_endpoint": base,
            "api_endpoint": base,
            "environment": environment_reference(base),
        },
        "status": { "phase": "PROVISIONED" },
    });
    if let crate::catalog::Topics::Kafka(options) = app.catalog.topics() {
        json["spec"]["kafka_bootstrap_endpoint"] = json!(options.bootstrap);
    }
    json
}

/// An object when the id is its own.
fn only(id: &str, own: &str, kind: &str, item: Value) -> Result<Json<Value>, Answer> {
    if id == own {
        Ok(Json(item))
    } else {
        Err(Answer(Error::NotFound(format!("{kind} {id} not found"))))
    }
}

/// Every organization.
async fn organizations(headers: HeaderMap) -> Json<Value> {
    let base = base_url(&headers);
    let link = format!("{base}/org/v2/organizations");
    list_of(
        "org/v2",
        "OrganizationList",
        &link,
        &organization_json(&base),
    )
}

/// An organization.
async fn organization(Path(id): Path<String>, headers: HeaderMap) -> Result<Json<Value>, Answer> {
    let item = organization_json(&base_url(&headers));
    only(&id, ORGANIZATION_ID, "Organization", item)
}

/// Every environment.
async fn environments(headers: HeaderMap) -> Json<Value> {
    let base = base_url(&headers);
    let link = format!("{base}/org/v2/environments");
    list_of("org/v2", "EnvironmentList", &link, &environment_json(&base))
}

/// An environment.
async fn environment(Path(id): Path<String>, headers: HeaderMap) -> Result<Json<Value>, Answer> {
    let item = environment_json(&base_url(&headers));
    only(&id, ENVIRONMENT_ID, "Environment", item)
}

/// Every cluster.
async fn clusters(State(app): State<App>, headers: HeaderMap) -> Json<Value> {
    let base = base_url(&headers);
    let link = format!("{base}/cmk/v2/clusters");
    list_of("cmk/v2", "ClusterList", &link, &cluster_json(&app, &base))
}

/// A cluster.
async fn cluster(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Answer> {
    let item = cluster_json(&app, &base_url(&headers));
    only(&id, CLUSTER_ID, "Cluster", item)
}
