//! Statements and their events.

use rusqlite::{Connection, Row, params};
use weir_model::statement::Phase;

use super::Store;
use crate::error::{Error, Result};
use crate::ledger::Charge;
use crate::statement::{ExceptionClass, Record, Rows};

/// Exceptions kept of one statement; older ones are dropped with each new one.
///
/// # Source
/// Confluent: "the 10 most recent statement exceptions".
const EXCEPTIONS_MAX: i64 = 10;

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

/// What is known of a failure beside its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Whose it is.
    pub(crate) class: ExceptionClass,
    /// Its code, such as `WEIR-2001`.
    pub(crate) code: String,
    /// Whether the job was to be started again.
    pub(crate) is_recoverable: bool,
}

/// What kind of thing happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EventKind {
    /// The phase or the wish changed.
    Change,
    /// A job failed.
    Exception(Failure),
}

impl EventKind {
    /// The stored name.
    fn as_str(&self) -> &'static str {
        match self {
            Self::Change => "CHANGE",
            Self::Exception(_) => EXCEPTION,
        }
    }

    /// What is known of the failure, if it is one.
    fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Change => None,
            Self::Exception(failure) => Some(failure),
        }
    }
}

/// The stored name of failures.
const EXCEPTION: &str = "EXCEPTION";

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

    /// Deletes a statement, its events and its savepoints; its ledger rows stay.
    ///
    /// # Errors
    /// `Storage` when the database refuses.
    pub(crate) fn remove_statement(&self, uid: &str) -> Result<()> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        transaction.execute("DELETE FROM statements WHERE uid = ?1", [uid])?;
        transaction.execute("DELETE FROM statement_events WHERE uid = ?1", [uid])?;
        transaction.execute("DELETE FROM savepoints WHERE uid = ?1", [uid])?;
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

    /// The newest failures of a statement, newest first; at most [`EXCEPTIONS_MAX`] are kept.
    ///
    /// # Errors
    /// `Storage` when the database refuses.
    pub(crate) fn exceptions(&self, uid: &str) -> Result<Vec<Event>> {
        let connection = self.lock();
        let mut query = connection.prepare(
            "SELECT at_ms, detail, class, code, is_recoverable FROM statement_events
             WHERE uid = ?1 AND kind = ?2 ORDER BY seq DESC LIMIT ?3",
        )?;
        let events = query.query_map(params![uid, EXCEPTION, EXCEPTIONS_MAX], exception)?;
        events.map(|event| Ok(event?)).collect()
    }
}

/// A failure as it is stored. Those of the first version of the database have a message only, which begins with the code.
fn exception(row: &Row<'_>) -> rusqlite::Result<Event> {
    let detail: String = row.get(1)?;
    let class: Option<String> = row.get(2)?;
    let code: Option<String> = row.get(3)?;
    let failure = Failure {
        class: class
            .as_deref()
            .and_then(ExceptionClass::parse)
            .unwrap_or(ExceptionClass::System),
        code: code.unwrap_or_else(|| detail.split(':').next().unwrap_or_default().to_owned()),
        is_recoverable: row.get::<_, Option<bool>>(4)?.unwrap_or(true),
    };
    Ok(Event {
        kind: EventKind::Exception(failure),
        at_ms: row.get(0)?,
        detail,
    })
}

/// Appends an event and drops the oldest beyond [`EVENTS_MAX`] and, of failures, [`EXCEPTIONS_MAX`].
fn insert_event(connection: &Connection, uid: &str, phase: Phase, event: &Event) -> Result<()> {
    let failure = event.kind.failure();
    connection.execute(
        "INSERT INTO statement_events (uid, at_ms, kind, phase, detail, class, code, is_recoverable)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            uid,
            event.at_ms,
            event.kind.as_str(),
            phase.as_str(),
            event.detail,
            failure.map(|failure| failure.class.as_str()),
            failure.map(|failure| &failure.code),
            failure.map(|failure| failure.is_recoverable),
        ],
    )?;
    if failure.is_some() {
        connection.execute(
            "DELETE FROM statement_events WHERE uid = ?1 AND kind = ?2 AND seq <=
             (SELECT seq FROM statement_events WHERE uid = ?1 AND kind = ?2 ORDER BY seq DESC LIMIT 1 OFFSET ?3)",
            params![uid, EXCEPTION, EXCEPTIONS_MAX],
        )?;
    }
    connection.execute(
        "DELETE FROM statement_events WHERE uid = ?1 AND seq <=
         (SELECT seq FROM statement_events WHERE uid = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
        params![uid, EVENTS_MAX],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::testing::record;

    /// A failure.
    fn failure() -> EventKind {
        EventKind::Exception(Failure {
            class: ExceptionClass::User,
            code: "WEIR-3001".to_owned(),
            is_recoverable: false,
        })
    }

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
            event: event(failure(), "boom"),
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
            store.exceptions(&record.uid).unwrap(),
            vec![event(failure(), "boom")]
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

    /// Stored events of a statement.
    fn count(store: &Store, uid: &str) -> i64 {
        store
            .lock()
            .query_row(
                "SELECT COUNT(*) FROM statement_events WHERE uid = ?1",
                [uid],
                |row| row.get(0),
            )
            .unwrap()
    }

    #[test]
    fn events_are_bounded_and_exceptions_to_ten() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let record = record("a");
        store.insert_statement(&record, None, None).unwrap();
        let add = |kind: EventKind, count: i64| {
            for number in 0..count {
                let change = Change {
                    record: &record,
                    rows: None,
                    event: event(kind.clone(), &number.to_string()),
                    charges: &[],
                };
                store.change_statement(&change).unwrap();
            }
        };
        add(failure(), EXCEPTIONS_MAX + 5);
        assert_eq!(count(&store, &record.uid), EXCEPTIONS_MAX + 1);
        let kept = store.exceptions(&record.uid).unwrap();
        assert_eq!(i64::try_from(kept.len()).unwrap(), EXCEPTIONS_MAX);
        assert_eq!(kept[0].detail, (EXCEPTIONS_MAX + 4).to_string());
        add(EventKind::Change, EVENTS_MAX + 20);
        assert_eq!(count(&store, &record.uid), EVENTS_MAX);
    }
}
