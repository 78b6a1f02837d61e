//! Statements as Confluent's clients read them.

use serde_json::{Value, json};
use weir_model::statement::Phase;

use super::types_json::type_json;
use crate::statement::{Kind, Record, StateLimit, Traits};
use crate::time::rfc3339;

/// The path of the statements of an environment.
pub(super) fn statements_path(organization: &str, environment: &str) -> String {
    format!("/sql/v1/organizations/{organization}/environments/{environment}/statements")
}

/// A statement, with links under `base`.
pub(super) fn statement_json(record: &Record, base: &str) -> Value {
    let path = statements_path(&record.organization, &record.environment);
    let mode = if is_snapshot(record) {
        "SNAPSHOT"
    } else {
        "STREAMING"
    };
    json!({
        "api_version": "sql/v1",
        "kind": "Statement",
        "metadata": {
            "self": format!("{base}{path}/{}", record.name),
            "uid": record.uid,
            "resource_version": record.resource_version.to_string(),
            "created_at": rfc3339(record.created_at_ms),
            "updated_at": rfc3339(record.updated_at_ms),
            "labels": record.labels,
            "resource_name": "",
        },
        "name": record.name,
        "organization_id": record.organization,
        "environment_id": record.environment,
        "spec": {
            "statement": record.sql,
            "properties": record.properties,
            "compute_pool_id": record.pool_id,
            "principal": record.principal,
            "stopped": record.wanted == crate::statement::Wanted::Stop,
            "execution_mode": mode,
        },
        "status": status_json(record),
    })
}

/// The status of a statement.
fn status_json(record: &Record) -> Value {
    let mut status = json!({
        "phase": record.phase.as_str(),
        "detail": record.detail,
        "network_kind": "PUBLIC",
        "warnings": warnings_json(record),
        "scaling_status": {
            "scaling_state": record.scaling.as_str(),
            "last_updated": rfc3339(record.updated_at_ms),
        },
        "traits": record.traits.as_ref().map_or_else(|| json!({}), traits_json),
    });
    if record.kind != Kind::Immediate {
        let limit = &record.state_limit;
        let detail = match limit.state {
            StateLimit::Ok => "The statement is within state limits.",
            _ => &limit.detail,
        };
        status["state_limit_status"] = json!({
            "state_limit_state": limit.state.as_str(),
            "last_updated": rfc3339(limit.changed_at_ms.unwrap_or(record.created_at_ms)),
            "detail": detail,
        });
    }
    if let Some(at_ms) = record.latest_offsets_at_ms {
        status["latest_offsets"] = json!(record.latest_offsets);
        status["latest_offsets_timestamp"] = json!(rfc3339(at_ms));
    }
    if record.phase.is_terminal() && record.kind != Kind::Immediate {
        status["end_time"] = json!(rfc3339(record.updated_at_ms));
    }
    status
}

/// What its user is warned of. Every member is there, since clients insist on each.
fn warnings_json(record: &Record) -> Value {
    let limit = &record.state_limit;
    let severity = match limit.state {
        StateLimit::Ok => None,
        StateLimit::ApproachingSoftLimit => Some("MODERATE"),
        StateLimit::ExceedingSoftLimit
        | StateLimit::ApproachingHardLimit
        | StateLimit::ExceedingHardLimit => Some("CRITICAL"),
    };
    let limit = severity.map(|severity| {
        json!({
            "severity": severity,
            "created_at": rfc3339(limit.changed_at_ms.unwrap_or(record.updated_at_ms)),
            "reason": format!("STATE_{}", limit.state.as_str()),
            "message": limit.detail,
        })
    });
    let slow = record.slow_checkpoints.as_ref().map(|slow| {
        json!({
            "severity": "MODERATE",
            "created_at": rfc3339(slow.since_ms),
            "reason": "SLOW_CHECKPOINTS",
            "message": slow.message,
        })
    });
    let advice = record.advice.iter().map(|warning| {
        json!({
            "severity": warning.severity,
            "created_at": rfc3339(record.created_at_ms),
            "reason": warning.reason,
            "message": warning.message,
        })
    });
    limit.into_iter().chain(slow).chain(advice).collect()
}

/// The shape of a statement.
fn traits_json(traits: &Traits) -> Value {
    let mut json = json!({
        "sql_kind": traits.sql_kind,
        "is_bounded": traits.is_bounded,
        "is_append_only": traits.is_append_only,
        "upsert_columns": traits.upsert_columns,
        "connection_refs": [],
    });
    if let Some(columns) = &traits.columns {
        let columns: Vec<Value> = columns
            .iter()
            .map(|column| json!({ "name": column.name, "type": type_json(&column.ty) }))
            .collect();
        json["schema"] = json!({ "columns": columns });
    }
    json
}

/// Whether the statement reads what is there now and ends.
fn is_snapshot(record: &Record) -> bool {
    record
        .properties
        .get("sql.snapshot.mode")
        .is_some_and(|mode| mode == "now")
        && record.phase != Phase::Failed
}

#[cfg(test)]
mod tests {
    use weir_runtime::plan::Column;
    use weir_runtime::types::TypeKind;

    use super::*;
    use crate::statement::testing::record;

    #[test]
    fn a_statement_has_what_clients_insist_on() {
        let mut record = record("my-stmt");
        record.phase = Phase::Running;
        record.traits = Some(Traits {
            sql_kind: "SELECT".into(),
            is_bounded: false,
            is_append_only: true,
            upsert_columns: None,
            columns: Some(vec![Column {
                name: "id".into(),
                ty: TypeKind::Int.nullable(),
            }]),
        });
        let json = statement_json(&record, "http://127.0.0.1:8088");
        assert_eq!(
            json["metadata"]["self"],
            "http://127.0.0.1:8088/sql/v1/organizations/o/environments/env-local/statements/my-stmt"
        );
        assert_eq!(json["metadata"]["resource_version"], "1");
        let status = &json["status"];
        assert_eq!(status["phase"], "RUNNING");
        let traits = &status["traits"];
        assert_eq!(traits["sql_kind"], "SELECT");
        assert_eq!(traits["is_bounded"], false);
        assert_eq!(traits["is_append_only"], true);
        assert_eq!(traits["schema"]["columns"][0]["type"]["type"], "INTEGER");
        assert_eq!(json["spec"]["stopped"], false);
        assert_eq!(status["warnings"], json!([]));
        assert_eq!(status["state_limit_status"]["state_limit_state"], "OK");
    }

    #[test]
    fn limits_are_told_with_a_warning() {
        let mut record = record("a");
        let limits = crate::statement::StateLimits::default();
        record.state_limit = limits.status(&record.state_limit, 450_000_000_000, 1000);
        let status = status_json(&record);
        let told = &status["state_limit_status"];
        assert_eq!(told["state_limit_state"], "APPROACHING_SOFT_LIMIT");
        assert_eq!(told["last_updated"], "1970-01-01T00:00:01.000000Z");
        let warning = &status["warnings"][0];
        assert_eq!(warning["severity"], "MODERATE");
        assert_eq!(warning["reason"], "STATE_APPROACHING_SOFT_LIMIT");
        assert_eq!(warning["message"], told["detail"]);
        assert!(warning["created_at"].is_string());
        record.slow_checkpoints = Some(crate::statement::SlowCheckpoints {
            since_ms: 1000,
            message: "slow".to_owned(),
        });
        let warnings = &status_json(&record)["warnings"];
        assert_eq!(warnings[1]["reason"], "SLOW_CHECKPOINTS");
        assert_eq!(warnings[1]["created_at"], "1970-01-01T00:00:01.000000Z");
    }

    #[test]
    fn statements_without_results_have_no_schema() {
        let mut record = record("a");
        record.traits = Some(Traits {
            sql_kind: "CREATE_TABLE".into(),
            is_bounded: true,
            is_append_only: true,
            upsert_columns: None,
            columns: None,
        });
        let json = statement_json(&record, "http://h");
        assert!(json["status"]["traits"].get("schema").is_none());
    }
}
