//! Statements and their events.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use weir_model::statement::Phase;

use super::Store;
use crate::error::{Error, Result};
use crate::ledger::Charge;
use crate::statement::{Record, Rows};

/// Events kept of one statement; older ones are dropped with each new one (guess: a day of restarts at the longest back-off
/// would be 1,440).
const EVENTS_MAX: i64 = 200;

/// A statement as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct StoredStatement {
    /// Order of creation.
    pub(crate) seq: i64,
    /// What is known of it.
    pub(crate) record: Record,
    /// The plan's JSON.
    pub(crate) plan: Option<String>,
    /// The answer, for statements whose answer is known at once.
    pub(crate) rows: Option<Rows>,
}

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventKind {
    /// The phase or the wish changed.
    Change,
    /// A job failed.
    Exception,
}

impl EventKind {
    /// The stored name.
    fn as_str(self) -> &'static str {
        match self {
            Self::Change => "CHANGE",
            Self::Exception => "EXCEPTION",
        }
    }
}

/// Something that happened to a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// What kind.
    pub(crate) kind: EventKind,
    /// When, epoch milliseconds.
    pub(crate) at_ms: i64,
    /// What, for people.
    pub(crate) detail: String,
}

/// A change of a statement, with everything that belongs to it.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    /// The statement as it is to be.
    pub(crate) record: &'a Record,
    /// Its answer, when the change brings one.
    pub(crate) rows: Option<&'a Rows>,
    /// What happened.
    pub(crate) event: Event,
    /// Slot time up to the change.
    pub(crate) charges: &'a [Charge],
}

impl Store {
    /// Stores a new statement and returns its place in the order of creation.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken; `Storage` when the database refuses.
    pub(crate) fn insert_statement(
        &self,
        record: &Record,
        plan: Option<&str>,
        rows: Option<&Rows>,
    ) -> Result<i64> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let inserted = transaction.execute(
            "INSERT INTO statements (uid, name, phase, record, plan, rows) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                record.uid,
                record.name,
                record.phase.as_str(),
                serde_json::to_string(record)?,
                plan,
                rows.map(serde_json::to_string).transpose()?,
            ],
        );
        match inserted {
            Err(rusqlite::Error::SqliteFailure(error, _))
                if error.code == rusqlite::ErrorCode::ConstraintViolation =>
            {
                return Err(Error::AlreadyExists(format!(
                    "Statement {} already exists",
                    record.name
                )));
            }
            other => other?,
        };
        let seq = transaction.last_insert_rowid();
        let event = Event {
            kind: EventKind::Change,
            at_ms: record.created_at_ms,
            detail: "created".to_owned(),
        };
        insert_event(&transaction, &record.uid, record.phase, &event)?;
        transaction.commit()?;
        Ok(seq)
    }

    /// Stores a change; returns what the billed totals grew by, per charge.
    ///
    /// # Errors
    /// `Storage` when the database refuses; nothing is changed then.
    pub(crate) fn change_statement(&self, change: &Change<'_>) -> Result<Vec<u64>> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let record = change.record;
        let rows = change.rows.map(serde_json::to_string).transpose()?;
        let changed = transaction.execute(
            "UPDATE statements SET phase = ?2, record = ?3, rows = COALESCE(?4, rows) WHERE uid = ?1",
            params![
                record.uid,
                record.phase.as_str(),
                serde_json::to_string(record)?,
                rows
            ],
        )?;
        if changed == 0 {
            return Err(Error::Internal(format!(
                "statement {} is not in the database",
                record.name
            )));
        }
        let billed = super::ledger::add(&transaction, change.charges)?;
        insert_event(&transaction, &record.uid, record.phase, &change.event)?;
        transaction.commit()?;
        Ok(billed)
    }

    /// Deletes a statement and its events; its ledger rows stay.
    ///
    /// # Errors
    /// `Storage` when the database refuses.
    pub(crate) fn remove_statement(&self, uid: &str) -> Result<()> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        transaction.execute("DELETE FROM statements WHERE uid = ?1", [uid])?;
        transaction.execute("DELETE FROM statement_events WHERE uid = ?1", [uid])?;
        transaction.commit()?;
        Ok(())
    }

    /// Every statement, oldest first.
    ///
    /// # Errors
    /// `Storage` when the database refuses; `Internal` for a row of another form.
    pub(crate) fn statements(&self) -> Result<Vec<StoredStatement>> {
        let connection = self.lock();
        let mut query =
            connection.prepare("SELECT seq, record, plan, rows FROM statements ORDER BY seq")?;
        let rows = query.query_map([], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, Option<String>>(2)?,
                row.get::<_, Option<String>>(3)?,
            ))
        })?;
        rows.map(|row| {
            let (seq, record, plan, rows) = row?;
            Ok(StoredStatement {
                seq,
                record: serde_json::from_str(&record)?,
                plan,
                rows: rows.as_deref().map(serde_json::from_str).transpose()?,
            })
        })
        .collect()
    }

    /// The newest failures of a statement, newest first.
    ///
    /// # Errors
    /// `Storage` when the database refuses.
    pub(crate) fn exceptions(&self, uid: &str, count_max: u32) -> Result<Vec<Event>> {
        let connection = self.lock();
        let mut query = connection.prepare(
            "SELECT at_ms, detail FROM statement_events WHERE uid = ?1 AND kind = ?2 ORDER BY seq DESC LIMIT ?3",
        )?;
        let event = |row: &Row<'_>| {
            Ok(Event {
                kind: EventKind::Exception,
                at_ms: row.get(0)?,
                detail: row.get(1)?,
            })
        };
        let events = query.query_map(
            params![uid, EventKind::Exception.as_str(), count_max],
            event,
        )?;
        events.map(|event| Ok(event?)).collect()
    }
}

/// Appends an event and drops the oldest beyond [`EVENTS_MAX`].
fn insert_event(connection: &Connection, uid: &str, phase: Phase, event: &Event) -> Result<()> {
    connection.execute(
        "INSERT INTO statement_events (uid, at_ms, kind, phase, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            uid,
            event.at_ms,
            event.kind.as_str(),
            phase.as_str(),
            event.detail
        ],
    )?;
    let oldest: Option<i64> = connection
        .query_row(
            "SELECT seq FROM statement_events WHERE uid = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2",
            params![uid, EVENTS_MAX],
            |row| row.get(0),
        )
        .optional()?;
    if let Some(oldest) = oldest {
        connection.execute(
            "DELETE FROM statement_events WHERE uid = ?1 AND seq <= ?2",
            params![uid, oldest],
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::testing::record;

    /// An event.
    fn event(kind: EventKind, detail: &str) -> Event {
        Event {
            kind,
            at_ms: 5,
            detail: detail.to_owned(),
        }
    }

    #[test]
    fn a_change_its_event_and_its_slot_time_are_stored_together() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut record = record("a");
        let seq = store.insert_statement(&record, Some("{}"), None).unwrap();
        record.phase = Phase::Running;
        let slot_time = Charge {
            uid: record.uid.clone(),
            name: record.name.clone(),
            pool_id: record.pool_id.clone(),
            minute: 7,
            slot_ms: 90_000,
        };
        let change = Change {
            record: &record,
            rows: None,
            event: event(EventKind::Exception, "boom"),
            charges: std::slice::from_ref(&slot_time),
        };
        assert_eq!(store.change_statement(&change).unwrap(), vec![90_000]);
        drop(store);

        let store = Store::open(dir.path()).unwrap();
        let all = store.statements().unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].seq, seq);
        assert_eq!(all[0].record, record);
        assert_eq!(
            store.exceptions(&record.uid, 10).unwrap(),
            vec![event(EventKind::Exception, "boom")]
        );
        assert_eq!(store.ledger_rows(0, i64::MAX).unwrap(), vec![slot_time]);
        store.remove_statement(&record.uid).unwrap();
        assert!(store.statements().unwrap().is_empty());
        assert_eq!(store.ledger_rows(0, i64::MAX).unwrap().len(), 1);
    }

    #[test]
    fn a_name_is_free_again_once_its_statement_is_being_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut first = record("same");
        store.insert_statement(&first, None, None).unwrap();
        let second = record("same");
        let error = store.insert_statement(&second, None, None).unwrap_err();
        assert!(matches!(error, Error::AlreadyExists(_)), "{error}");
        first.phase = Phase::Deleting;
        let change = Change {
            record: &first,
            rows: None,
            event: event(EventKind::Change, "deleted"),
            charges: &[],
        };
        store.change_statement(&change).unwrap();
        store.insert_statement(&second, None, None).unwrap();
    }

    #[test]
    fn events_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let record = record("a");
        store.insert_statement(&record, None, None).unwrap();
        for number in 0..EVENTS_MAX + 20 {
            let change = Change {
                record: &record,
                rows: None,
                event: event(EventKind::Exception, &number.to_string()),
                charges: &[],
            };
            store.change_statement(&change).unwrap();
        }
        let kept = store.exceptions(&record.uid, 10_000).unwrap();
        assert_eq!(i64::try_from(kept.len()).unwrap(), EVENTS_MAX);
        assert_eq!(kept[0].detail, (EVENTS_MAX + 19).to_string());
    }
}
