//! Making a statement: its record and its plan, before anything runs.
//!
//! Place in the flow: called by the service outside of its lock, since planning takes time. Changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;
use weir_model::statement::Phase;
use weir_runtime::plan::advice::Advice;
use weir_runtime::sql::redacted;

use super::carry_over;
use super::entry::Entry;
use super::executor::session_of;
use super::limits::StateLimitStatus;
use super::prepare::{Prepared, prepare};
use super::record::{CarryOver, Kind, Origin, Record, Scaling, Wanted, Warning};
use super::service::{CreateStatement, Statements};
use crate::error::{Error, Result};
use crate::names::{DEFAULT_POOL_ID, PRINCIPAL, is_statement_name};
use crate::time::rfc3339;

/// Most bytes of a statement's text.
///
/// # Source
/// Confluent: "exceeds 4194304 bytes".
const SQL_BYTES_MAX: usize = 4 << 20;

/// Most statements that SHOW JOBS shows (guess: its answer is stored with it).
const JOBS_MAX: usize = 1000;

/// Advice as it is stored.
fn warning(advice: Advice) -> Warning {
    Warning {
        severity: advice.severity.as_str().to_owned(),
        reason: advice.reason.to_owned(),
        message: advice.message,
    }
}

impl Statements {
    /// The record of a new statement, before it is planned. Its text is the one that is shown.
    pub(super) fn new_record(&self, request: CreateStatement) -> Result<Record> {
        let uid = Uuid::new_v4().to_string();
        let name = request.name.unwrap_or_else(|| format!("statement-{uid}"));
        if !is_statement_name(&name) {
            return Err(Error::Invalid(format!(
                "statement name \"{name}\" is not allowed: at most 100 lower-case letters, digits and inner hyphens"
            )));
        }
        if request.sql.len() > SQL_BYTES_MAX {
            return Err(Error::Invalid(format!(
                "This query is too large to process (exceeds {SQL_BYTES_MAX} bytes)."
            )));
        }
        let pool_id = request
            .pool_id
            .unwrap_or_else(|| DEFAULT_POOL_ID.to_owned());
        self.pool(&pool_id)?;
        let now_ms = self.core.clock.now_ms();
        Ok(Record {
            uid,
            name,
            organization: request.organization,
            environment: request.environment,
            sql: request.sql,
            properties: request.properties,
            labels: request.labels,
            pool_id,
            principal: request.principal.unwrap_or_else(|| PRINCIPAL.to_owned()),
            kind: Kind::Immediate,
            wanted: if request.stopped {
                Wanted::Stop
            } else {
                Wanted::Run
            },
            phase: Phase::Pending,
            detail: String::new(),
            scaling: Scaling::Ok,
            traits: None,
            parallelism: 0,
            draining: false,
            resource_version: 1,
            created_at_ms: now_ms,
            updated_at_ms: now_ms,
            run: 0,
            restarts_total: 0,
            latest_offsets: BTreeMap::new(),
            latest_offsets_at_ms: None,
            origin: Origin {
                run: Uuid::new_v4().to_string(),
                ..Origin::default()
            },
            rescale_to: None,
            stop_savepoint: None,
            state_limit: StateLimitStatus::default(),
            is_soft_limit_waived: false,
            slow_checkpoints: None,
            advice: Vec::new(),
            creates_table: None,
        })
    }

    /// Plans a new statement; one that cannot be planned is FAILED. Secrets of its text stay in what is bound.
    pub(super) fn prepared(&self, mut record: Record) -> Result<Entry> {
        let now = self.core.clock.monotonic();
        let cap = self.pool(&record.pool_id)?.max_cfu;
        let redacted = redacted(&record.sql);
        let prepared = prepare(
            &record.sql,
            &session_of(&record),
            self.core.catalog.as_ref(),
            &|| self.jobs(&record.environment),
        )
        .and_then(|prepared| {
            if prepared.parallelism <= cap {
                return Ok(prepared);
            }
            Err(weir_runtime::Error::option(format!(
                "the statement asks for {} CFU and its pool has {cap}",
                prepared.parallelism
            )))
        });
        if let Some(redacted) = &redacted {
            record.sql.clone_from(&redacted.text);
        }
        let prepared = prepared.and_then(|prepared| {
            self.set_carry_over(&mut record, &prepared)?;
            Ok(prepared)
        });
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                record.phase = Phase::Failed;
                let detail = format!("{}: {error}", error.code);
                record.detail = redacted.map_or_else(|| detail.clone(), |text| text.mask(&detail));
                return Ok(Entry::new(0, record, now));
            }
        };
        record.kind = prepared.kind;
        record.parallelism = prepared.parallelism;
        record.traits = Some(prepared.traits);
        record.creates_table = prepared.creates_table;
        record.advice = prepared.advice.into_iter().map(warning).collect();
        let is_done = record.is_dry_run() || prepared.rows.is_some();
        if is_done {
            record.phase = Phase::Completed;
        }
        let mut entry = Entry::new(0, record, now);
        entry.rows = prepared.rows.map(Arc::new);
        if !is_done {
            entry.plan = prepared.plan.map(Arc::new);
            entry.bound = prepared.bound;
        }
        Ok(entry)
    }

    /// The rows of SHOW JOBS: statements of an environment, the newest first.
    fn jobs(&self, environment: &str) -> Vec<Vec<Option<String>>> {
        let state = self.core.lock();
        let is_shown =
            |record: &&Record| record.environment == environment && record.phase != Phase::Deleting;
        let row = |record: &Record| {
            [
                &record.name,
                record.phase.as_str(),
                &record.sql,
                &record.pool_id,
                &rfc3339(record.created_at_ms),
                &record.detail,
            ]
            .map(|text| Some(text.to_owned()))
            .to_vec()
        };
        let records = state.entries.values().rev().map(|entry| &entry.record);
        records.filter(is_shown).take(JOBS_MAX).map(row).collect()
    }

    /// Notes the statement that a new one is to go on after.
    fn set_carry_over(
        &self,
        record: &mut Record,
        prepared: &Prepared,
    ) -> weir_runtime::error::Result<()> {
        let Some(name) = record.properties.get(carry_over::PROPERTY).cloned() else {
            return Ok(());
        };
        carry_over::check(record, prepared.kind, prepared.plan.as_ref())?;
        let state = self.core.lock();
        let reference = state
            .names
            .get(&name)
            .and_then(|seq| state.entries.get(seq));
        let reference = reference
            .map(|entry| &entry.record)
            .filter(|reference| reference.environment == record.environment)
            .ok_or_else(|| {
                weir_runtime::Error::unknown(format!(
                    "property '{}': there is no statement \"{name}\" in environment {}",
                    carry_over::PROPERTY,
                    record.environment
                ))
            })?;
        record.origin.carry_over = Some(CarryOver {
            name,
            uid: reference.uid.clone(),
            since_ms: record.created_at_ms,
            is_done: false,
        });
        Ok(())
    }
}
