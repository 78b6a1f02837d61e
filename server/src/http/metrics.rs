//! Metrics for scrapers: Confluent's names and Weir's own.

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use weir_metrics_exporter::confluent::Filter;

use super::{Answer, App};
use crate::meter::Surface;

/// The routes.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v2/metrics/cloud/export", get(export))
        .route("/metrics", get(native))
}

/// Confluent's names.
async fn export(
    State(app): State<App>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Response, Answer> {
    let every = |name: &str| {
        query
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
            .collect()
    };
    let filter = Filter {
        pool_ids: every("resource.compute_pool.id"),
        metrics: every("metric"),
    };
    scrape(app, Surface::Confluent(filter), &headers).await
}

/// Weir's own names.
async fn native(State(app): State<App>, headers: HeaderMap) -> Result<Response, Answer> {
    scrape(app, Surface::Native, &headers).await
}

/// The text of a surface in the format that the scraper accepts.
async fn scrape(app: App, surface: Surface, headers: &HeaderMap) -> Result<Response, Answer> {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .map(str::to_owned);
    let (content_type, text) = app
        .blocking(move |app| Ok(app.meter.text(&app.statements, &surface, accept.as_deref())))
        .await?;
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}
