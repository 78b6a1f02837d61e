//! Rows of the ledger.

use rusqlite::{Connection, OptionalExtension as _, params};
use weir_model::cfu::{CfuMillis, MINUTE_MS};

use super::Store;
use crate::error::{Error, Result};
use crate::ledger::{Charge, Totals};

impl Store {
    /// Adds slot time; returns what the billed totals grew by, per charge.
    ///
    /// # Errors
    /// `Storage` when the database refuses; nothing is added then.
    pub(crate) fn charge(&self, charges: &[Charge]) -> Result<Vec<u64>> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let billed = add(&transaction, charges)?;
        transaction.commit()?;
        Ok(billed)
    }

    /// Rows of the minutes `from` (inclusive) to `to` (exclusive).
    ///
    /// # Errors
    /// `Storage` when the database refuses.
    pub(crate) fn ledger_rows(&self, from: i64, to: i64) -> Result<Vec<Charge>> {
        let connection = self.lock();
        let mut query = connection.prepare(
            "SELECT uid, name, pool_id, minute, slot_ms FROM ledger WHERE minute >= ?1 AND minute < ?2 ORDER BY minute, uid",
        )?;
        let rows = query.query_map([from, to], |row| {
            Ok(Charge {
                uid: row.get(0)?,
                name: row.get(1)?,
                pool_id: row.get(2)?,
                minute: row.get(3)?,
                slot_ms: row.get::<_, i64>(4)?.max(0).cast_unsigned(),
            })
        })?;
        rows.map(|row| Ok(row?)).collect()
    }

    /// Billed totals of everything.
    ///
    /// # Errors
    /// `Storage` when the database refuses.
    pub(crate) fn ledger_totals(&self) -> Result<Totals> {
        let connection = self.lock();
        let mut query = connection.prepare(
            "SELECT uid, pool_id, SUM(MAX(slot_ms, ?1)) FROM ledger GROUP BY uid, pool_id",
        )?;
        let rows = query.query_map([MINUTE_MS.cast_signed()], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, i64>(2)?,
            ))
        })?;
        let mut totals = Totals::default();
        for row in rows {
            let (uid, pool_id, billed) = row?;
            totals.add(&uid, &pool_id, billed.max(0).cast_unsigned());
        }
        Ok(totals)
    }
}

/// Adds slot time inside a transaction; returns what the billed totals grew by, per charge.
///
/// # Errors
/// `Storage` when the database refuses.
pub(super) fn add(connection: &Connection, charges: &[Charge]) -> Result<Vec<u64>> {
    let mut read = connection.prepare_cached(
        "SELECT slot_ms FROM ledger WHERE uid = ?1 AND pool_id = ?2 AND minute = ?3",
    )?;
    let mut write = connection.prepare_cached(
        "INSERT INTO ledger (uid, pool_id, minute, name, slot_ms) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (uid, pool_id, minute) DO UPDATE SET slot_ms = excluded.slot_ms",
    )?;
    charges
        .iter()
        .map(|charge| {
            let key = params![charge.uid, charge.pool_id, charge.minute];
            let before: Option<i64> = read.query_row(key, |row| row.get(0)).optional()?;
            let before = before.map(|slot_ms| slot_ms.max(0).cast_unsigned());
            let after = before.unwrap_or(0) + charge.slot_ms;
            let stored = i64::try_from(after)
                .map_err(|_| Error::Internal("slot time overflows".to_owned()))?;
            write.execute(params![
                charge.uid,
                charge.pool_id,
                charge.minute,
                charge.name,
                stored
            ])?;
            let billed = |slot_ms: u64| CfuMillis::billed_minute(slot_ms).0;
            Ok(billed(after) - before.map_or(0, billed))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_of_the_bill_is_the_difference_of_billed_minutes() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let charge = |minute, slot_ms| Charge {
            uid: "u".into(),
            name: "n".into(),
            pool_id: "p".into(),
            minute,
            slot_ms,
        };
        let grown = store
            .charge(&[
                charge(1, 0),
                charge(1, 5_000),
                charge(1, 70_000),
                charge(2, 1),
            ])
            .unwrap();
        assert_eq!(grown, vec![60_000, 0, 15_000, 60_000]);
        let totals = store.ledger_totals().unwrap();
        assert_eq!(totals.statements["u"], 135_000);
        assert_eq!(totals.pools["p"], 135_000);
        assert_eq!(store.ledger_rows(2, 3).unwrap(), vec![charge(2, 1)]);
    }
}
