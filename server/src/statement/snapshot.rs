//! The meter's snapshot of everything that runs.

use std::time::Duration;

use weir_model::meter;
use weir_model::statement::Phase;

use super::entry::Entry;
use super::executor::State;

/// How long the counters of a statement that has ended stay in the snapshot: long enough for the last one-minute deltas and for
/// a reader that looks every few seconds.
const ENDED_KEPT: Duration = Duration::from_mins(2);

/// Everything at one instant.
pub(super) fn take(state: &State, at_ms: i64, now: Duration) -> meter::Snapshot {
    let pools = state
        .pools
        .values()
        .map(|pool| meter::Pool {
            id: pool.id.clone(),
            current_cfus: state.slots_held(&pool.id),
            cfu_limit: pool.max_cfu,
            cfu_millis_total: state.totals.pools.get(&pool.id).copied().unwrap_or(0),
        })
        .collect();
    let statements = state
        .entries
        .values()
        .filter(|entry| entry.record.phase != Phase::Deleting)
        .map(|entry| {
            let has_just_ended = now.saturating_sub(entry.times.phase_since) < ENDED_KEPT;
            let is_shown = !entry.record.phase.is_terminal() || has_just_ended;
            statement(state, entry, is_shown.then(|| entry.meter()).flatten())
        })
        .collect();
    meter::Snapshot {
        at_ms,
        pools,
        statements,
    }
}

/// A statement with these counters.
pub(super) fn statement(state: &State, entry: &Entry, job: Option<meter::Job>) -> meter::Statement {
    let record = &entry.record;
    meter::Statement {
        name: record.name.clone(),
        uid: record.uid.clone(),
        pool_id: record.pool_id.clone(),
        phase: record.phase,
        run: record.run,
        slots: entry.slots_held(),
        cfu_millis_total: state
            .totals
            .statements
            .get(&record.uid)
            .copied()
            .unwrap_or(0),
        job,
        restarts_total: record.restarts_total,
    }
}
