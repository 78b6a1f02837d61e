//! The records API of Kafka REST v3: how programs outside write to topics of the embedded log.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use weir_runtime::connector::log::{LogStore, Record};
use weir_runtime::connector::partitioner::partition_of;

use super::{Answer, App};
use crate::error::{Error, Result};
use crate::time::{parse_rfc3339, rfc3339};

/// The routes.
pub(super) fn routes() -> Router<App> {
    Router::new().route(
        "/kafka/v3/clusters/{cluster}/topics/{topic}/records",
        post(produce),
    )
}

/// A record as clients send it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RecordBody {
    /// Partition; chosen by key when absent.
    partition_id: Option<u32>,
    /// Headers, values in base64.
    headers: Vec<HeaderBody>,
    /// Key.
    key: Option<DataBody>,
    /// Value.
    value: Option<DataBody>,
    /// RFC 3339; now when absent.
    timestamp: Option<String>,
}

/// A header as clients send it.
#[derive(Debug, Deserialize)]
struct HeaderBody {
    /// Name.
    name: String,
    /// Value in base64.
    value: Option<String>,
}

/// A key or value as clients send it.
#[derive(Debug, Deserialize)]
struct DataBody {
    /// `JSON`, `STRING` or `BINARY`; JSON when absent.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// The data.
    #[serde(default)]
    data: Value,
}

/// A record ready to be appended.
#[derive(Debug)]
struct Prepared {
    /// Partition asked for.
    partition: Option<u32>,
    /// Headers.
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Key.
    key: Option<Vec<u8>>,
    /// Value.
    value: Option<Vec<u8>>,
    /// Epoch milliseconds.
    timestamp_ms: Option<i64>,
}

/// Appends the records of the body, one answer each.
async fn produce(
    State(app): State<App>,
    Path((cluster, topic)): Path<(String, String)>,
    bytes: Bytes,
) -> Result<Response, Answer> {
    let mut records = Vec::new();
    for record in serde_json::Deserializer::from_slice(&bytes).into_iter::<RecordBody>() {
        let record = record.map_err(|error| {
            Error::Invalid(format!(
                "record {} of the body is not a record: {error}",
                records.len()
            ))
        })?;
        records.push(prepare(record)?);
    }
    if records.is_empty() {
        return Err(Answer(Error::Invalid("the body has no record".to_owned())));
    }
    let answers = app
        .blocking(move |app| append(app, &cluster, &topic, &records))
        .await?;
    if let [answer] = answers.as_slice() {
        return Ok((StatusCode::OK, Json(answer)).into_response());
    }
    let lines: Vec<String> = answers.iter().map(Value::to_string).collect();
    let json = [(axum::http::header::CONTENT_TYPE, "application/json")];
    Ok((StatusCode::OK, json, lines.join("\n")).into_response())
}

/// Decodes what the client sent.
fn prepare(record: RecordBody) -> Result<Prepared> {
    let timestamp_ms = record
        .timestamp
        .map(|text| {
            parse_rfc3339(&text)
                .ok_or_else(|| Error::Invalid(format!("timestamp \"{text}\" is not RFC 3339")))
        })
        .transpose()?;
    let header = |header: HeaderBody| {
        let value = header.value.map(|text| binary(&text)).transpose()?;
        Ok((header.name.into_bytes(), value))
    };
    Ok(Prepared {
        partition: record.partition_id,
        headers: record
            .headers
            .into_iter()
            .map(header)
            .collect::<Result<_>>()?,
        key: record.key.map(data).transpose()?.flatten(),
        value: record.value.map(data).transpose()?.flatten(),
        timestamp_ms,
    })
}

/// The bytes of a key or value; JSON null is none.
fn data(body: DataBody) -> Result<Option<Vec<u8>>> {
    match (body.kind.as_deref().unwrap_or("JSON"), body.data) {
        (_, Value::Null) => Ok(None),
        ("JSON", data) => Ok(Some(data.to_string().into_bytes())),
        ("STRING", Value::String(text)) => Ok(Some(text.into_bytes())),
        ("BINARY", Value::String(text)) => binary(&text).map(Some),
        (kind, _) => Err(Error::Invalid(format!(
            "data of type \"{kind}\" cannot be produced: JSON, STRING and BINARY can"
        ))),
    }
}

/// Base64 to bytes.
fn binary(text: &str) -> Result<Vec<u8>> {
    STANDARD
        .decode(text)
        .map_err(|error| Error::Invalid(format!("\"{text}\" is not base64: {error}")))
}

/// Appends records one by one, so that each has its own offset.
fn append(app: &App, cluster: &str, topic: &str, records: &[Prepared]) -> Result<Vec<Value>> {
    let log = app.catalog.topics().log().ok_or_else(|| {
        Error::Conflict("topics are in Kafka: produce to the broker itself".to_owned())
    })?;
    let partitions = log
        .topic(topic)
        .ok_or_else(|| Error::NotFound(format!("topic \"{topic}\" not found")))?
        .partitions;
    let now_ms = app.clock.now_ms();
    records
        .iter()
        .map(|record| {
            let by_key = record.key.as_deref().map_or_else(
                || spread(now_ms, partitions),
                |key| partition_of(key, partitions),
            );
            let partition = record.partition.unwrap_or(by_key);
            let timestamp_ms = record.timestamp_ms.unwrap_or(now_ms);
            let offset = append_one(log, topic, partition, (record, timestamp_ms))?;
            let size = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
            Ok(json!({
                "error_code": 200,
                "cluster_id": cluster,
                "topic_name": topic,
                "partition_id": partition,
                "offset": offset,
                "timestamp": rfc3339(timestamp_ms),
                "key": { "size": size(&record.key) },
                "value": { "size": size(&record.value) },
            }))
        })
        .collect()
}

/// The partition of records without a key: another one every millisecond.
fn spread(now_ms: i64, partitions: u32) -> u32 {
    u32::try_from(now_ms.rem_euclid(i64::from(partitions.max(1)))).unwrap_or(0)
}

/// Appends one record.
fn append_one(
    log: &LogStore,
    topic: &str,
    partition: u32,
    (record, timestamp_ms): (&Prepared, i64),
) -> Result<i64> {
    let headers: Vec<(&[u8], Option<&[u8]>)> = record
        .headers
        .iter()
        .map(|(name, value)| (name.as_slice(), value.as_deref()))
        .collect();
    Ok(log.append(
        topic,
        partition,
        &[Record {
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            timestamp_ms,
            headers: &headers,
        }],
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of a key or value.
    fn bytes(json: Value) -> Result<Option<Vec<u8>>> {
        data(serde_json::from_value(json).unwrap())
    }

    #[test]
    fn data_is_decoded_by_its_type() {
        let json = bytes(json!({ "type": "JSON", "data": { "a": 1 } })).unwrap();
        assert_eq!(json.as_deref(), Some(br#"{"a":1}"#.as_slice()));
        let text = bytes(json!({ "type": "STRING", "data": "x" })).unwrap();
        assert_eq!(text.as_deref(), Some(b"x".as_slice()));
        let binary = bytes(json!({ "type": "BINARY", "data": "/w==" })).unwrap();
        assert_eq!(binary.as_deref(), Some([255].as_slice()));
        assert_eq!(
            bytes(json!({ "type": "STRING", "data": null })).unwrap(),
            None
        );
        assert!(bytes(json!({ "type": "AVRO", "data": {} })).is_err());
        assert!(bytes(json!({ "type": "BINARY", "data": "?" })).is_err());
    }
}
