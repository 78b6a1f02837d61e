//! Statements as a service: what the APIs call.
//!
//! Place in the flow: requests come in, `executor` carries out what follows. Calls that write wait for the disk, so they are made
//! from threads that may wait; only [`Statements::settled`] and [`Statements::results`] are for async callers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use weir_model::cfu::CfuPrice;
use weir_model::meter;
use weir_model::statement::Phase;
use weir_runtime::plan::StreamPlan;
use weir_runtime::task::{Environment, JobConfig};
use weir_runtime::time::SharedClock;

use super::engine::CheckpointPlace;
use super::entry::{Entry, JobState};
use super::executor::{Core, SETTLE_MAX, State};
use super::limits::StateLimits;
use super::record::{Kind, Record, Wanted};
use super::results::{ResultPage, rows_of_batches, rows_of_text};
use super::resume::{ResumeFrom, choose, resume};
use super::state::UNCONSUMED_MAX;
use super::{executor, snapshot};
use crate::catalog::CatalogService;
use crate::error::{Error, Result};
use crate::ledger::{GroupBy, Usage, group};
use crate::pool::Pool;
use crate::store::Store;

/// Rows of a page of results (guess: about a tenth of what a job holds ready).
const PAGE_ROWS_MAX: usize = 1000;

/// How long a page waits for rows before it is returned empty.
///
/// # Source
/// Conformance notes: 100 to 500 ms, since one client asks without any pause.
const PAGE_WAIT: Duration = Duration::from_millis(300);

/// How often the end of all jobs is looked for when the server ends.
const ENDING_LOOK: Duration = Duration::from_millis(20);

/// Looks before the server ends without waiting longer: 30 s (guess, unmeasured).
const ENDING_LOOKS_MAX: u32 = 1500;

/// What the service is made of.
#[derive(Debug)]
pub(crate) struct Components {
    /// Where everything lasts.
    pub(crate) store: Arc<Store>,
    /// Tables.
    pub(crate) catalog: Arc<CatalogService>,
    /// What jobs run in.
    pub(crate) environment: Environment,
    /// Settings of jobs.
    pub(crate) job: JobConfig,
    /// Limits of each statement's state.
    pub(crate) limits: StateLimits,
    /// Where checkpoints are kept.
    pub(crate) checkpoints: CheckpointPlace,
    /// Directory of state that does not fit into memory.
    pub(crate) spill: PathBuf,
    /// Directory of imports that are not finished.
    pub(crate) imports: PathBuf,
    /// Time.
    pub(crate) clock: SharedClock,
    /// Runs what waits.
    pub(crate) runtime: Handle,
}

/// Statements and pools. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Statements {
    /// Everything.
    pub(super) core: Arc<Core>,
}

/// A request for a new statement.
#[derive(Debug, Clone, Default)]
pub struct CreateStatement {
    /// Name; made up when absent.
    pub name: Option<String>,
    /// Organization of the path.
    pub organization: String,
    /// Environment of the path.
    pub environment: String,
    /// SQL text.
    pub sql: String,
    /// Properties.
    pub properties: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Pool; the default one when absent.
    pub pool_id: Option<String>,
    /// Principal; the caller when absent.
    pub principal: Option<String>,
    /// Whether it is only to be stored.
    pub stopped: bool,
}

/// Which statements are listed.
#[derive(Debug, Clone, Default)]
pub struct ListStatements {
    /// Only those before this one in the order of the list; absent starts at the newest.
    pub before: Option<i64>,
    /// At most so many.
    pub count_max: usize,
    /// Only of this pool.
    pub pool_id: Option<String>,
    /// Only in this phase.
    pub phase: Option<Phase>,
    /// Only with these labels.
    pub labels: Vec<(String, String)>,
    /// Only names with this in them.
    pub name_contains: Option<String>,
}

/// A change of a statement; absent members stay.
#[derive(Debug, Clone, Default)]
pub struct Update {
    /// Whether it is to be stopped.
    pub stopped: Option<bool>,
    /// Another pool.
    pub pool_id: Option<String>,
    /// Another principal.
    pub principal: Option<String>,
    /// The version that the change was made from; a newer one is a conflict.
    pub resource_version: Option<String>,
}

impl Statements {
    /// Reads everything back and continues it.
    ///
    /// # Errors
    /// `Storage` when the database refuses; `Internal` for documents of another form.
    pub(crate) fn open(components: Components, max_cfu: Option<u32>) -> Result<Self> {
        let now = components.clock.monotonic();
        let mut state = State {
            totals: components.store.ledger_totals()?,
            ..State::default()
        };
        for pool in components.store.pools()? {
            state.pools.insert(pool.id.clone(), pool);
        }
        for stored in components.store.statements()? {
            let mut entry = Entry::new(stored.seq, stored.record, now);
            entry.plan = stored
                .plan
                .as_deref()
                .map(read_plan)
                .transpose()?
                .map(Arc::new);
            entry.rows = stored.rows.map(Arc::new);
            if entry.record.phase != Phase::Deleting {
                state.names.insert(entry.record.name.clone(), entry.seq);
            }
            state.entries.insert(entry.seq, entry);
        }
        let core = Arc::new_cyclic(|this| Core {
            store: components.store,
            catalog: components.catalog,
            environment: components.environment,
            job: components.job,
            limits: components.limits,
            checkpoints: components.checkpoints,
            spill: components.spill,
            imports: components.imports,
            clock: components.clock,
            runtime: components.runtime,
            state: Mutex::new(state),
            this: this.clone(),
        });
        let service = Self { core };
        service.set_default_pool(max_cfu)?;
        service.core.reconcile_all();
        Ok(service)
    }

    /// Makes a statement and starts it. A statement that does not parse or bind is made too, and is FAILED with the reason.
    ///
    /// # Errors
    /// `AlreadyExists` for a name in use; `Invalid` for a bad name, an unknown pool or too long a text; `Storage` when the
    /// database refuses.
    pub fn create(&self, request: CreateStatement) -> Result<Record> {
        let record = self.new_record(request)?;
        if self.core.lock().names.contains_key(&record.name) {
            return Err(Error::AlreadyExists(format!(
                "Statement {} already exists",
                record.name
            )));
        }
        let mut entry = self.prepared(record)?;
        let plan = entry
            .plan
            .as_deref()
            .map(serde_json::to_string)
            .transpose()?;
        let mut state = self.core.lock();
        let seq = self.core.store.insert_statement(
            &entry.record,
            plan.as_deref(),
            entry.rows.as_deref(),
        )?;
        entry.seq = seq;
        state.names.insert(entry.record.name.clone(), seq);
        state.entries.insert(seq, entry);
        self.core.reconcile(&mut state, seq);
        record_of(&state, seq)
    }

    /// The statement of that name.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub fn get(&self, name: &str) -> Result<Record> {
        let now = self.core.clock.monotonic();
        let mut state = self.core.lock();
        let seq = find(&state, name)?;
        let entry = state.entries.get_mut(&seq).ok_or_else(|| gone(name))?;
        // Who asks for a query that has not started is its consumer.
        if entry.record.phase == Phase::Pending {
            entry.times.consumed_at = now;
        }
        Ok(entry.record.clone())
    }

    /// The phase of a statement, without being its consumer.
    fn phase(&self, name: &str) -> Option<Phase> {
        let state = self.core.lock();
        let seq = state.names.get(name)?;
        state.entries.get(seq).map(|entry| entry.record.phase)
    }

    /// Statements, newest first, and whether more follow; each with its place in the list.
    pub fn list(&self, filter: &ListStatements) -> (Vec<(i64, Record)>, bool) {
        let state = self.core.lock();
        let matching = |entry: &&Entry| {
            let record = &entry.record;
            record.phase != Phase::Deleting
                && filter
                    .pool_id
                    .as_ref()
                    .is_none_or(|pool| *pool == record.pool_id)
                && filter.phase.is_none_or(|phase| phase == record.phase)
                && filter
                    .name_contains
                    .as_ref()
                    .is_none_or(|part| record.name.contains(part.as_str()))
                && filter
                    .labels
                    .iter()
                    .all(|(key, value)| record.labels.get(key) == Some(value))
        };
        let mut found: Vec<(i64, Record)> = state
            .entries
            .range(..filter.before.unwrap_or(i64::MAX))
            .rev()
            .map(|(_, entry)| entry)
            .filter(matching)
            .take(filter.count_max + 1)
            .map(|entry| (entry.seq, entry.record.clone()))
            .collect();
        let has_more = found.len() > filter.count_max;
        found.truncate(filter.count_max);
        (found, has_more)
    }

    /// Changes what is wanted of a statement.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it has changed since or its phase does not allow this; `Storage`.
    pub fn update(&self, name: &str, update: &Update) -> Result<Record> {
        let mut state = self.core.lock();
        let seq = find(&state, name)?;
        let record = record_of(&state, seq)?;
        let mut changed = updated(&record, update, &state.pools)?;
        let is_still = matches!(record.phase, Phase::Stopped | Phase::Failed);
        if update.stopped == Some(false) && is_still {
            choose(&mut changed, &ResumeFrom::Latest, None)?;
            resume(&mut changed, &self.core.limits, self.core.clock.now_ms())?;
        }
        let resume = update.stopped == Some(false) && record.phase == Phase::Failed;
        if changed != record {
            self.core
                .change(&mut state, seq, changed, "changed by its user")?;
        }
        if let Some(entry) = state.entries.get_mut(&seq) {
            entry.resume |= resume;
        }
        self.core.reconcile(&mut state, seq);
        record_of(&state, seq)
    }

    /// Ends the sources of a statement where they are, so that it completes.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it does not run; `Storage`.
    pub fn drain(&self, name: &str) -> Result<Record> {
        let mut state = self.core.lock();
        let seq = find(&state, name)?;
        let mut record = record_of(&state, seq)?;
        if record.phase.is_terminal() || record.kind == Kind::Immediate {
            return Err(Error::Conflict(format!(
                "statement {name} is {} and has nothing to drain",
                record.phase
            )));
        }
        record.draining = true;
        self.core
            .change(&mut state, seq, record, "drained by its user")?;
        if let Some(job) = state.entries.get(&seq).and_then(Entry::running) {
            job.drain();
        }
        record_of(&state, seq)
    }

    /// Deletes a statement; its name is free at once.
    ///
    /// # Errors
    /// `NotFound`; `Storage`.
    pub fn delete(&self, name: &str) -> Result<()> {
        let mut state = self.core.lock();
        let seq = find(&state, name)?;
        let mut record = record_of(&state, seq)?;
        record.wanted = Wanted::Delete;
        record.phase = Phase::Deleting;
        self.core
            .change(&mut state, seq, record, "deleted by its user")?;
        state.names.remove(name);
        self.core.reconcile(&mut state, seq);
        Ok(())
    }

    /// The statement once it has left PENDING, or after a moment.
    ///
    /// # Errors
    /// `NotFound` when it is gone.
    pub async fn settled(&self, name: &str) -> Result<Record> {
        let mut changes = {
            let state = self.core.lock();
            let seq = find(&state, name)?;
            let entry = state.entries.get(&seq).ok_or_else(|| gone(name))?;
            entry.changed.subscribe()
        };
        let is_settled = || {
            self.phase(name)
                .is_none_or(|phase| !matches!(phase, Phase::Pending | Phase::Failing))
        };
        let left = async { while !is_settled() && changes.changed().await.is_ok() {} };
        // Whether it has settled or not, the caller is told what it is now.
        drop(tokio::time::timeout(SETTLE_MAX, left).await);
        self.get(name)
    }

    /// A page of results from a position on; waits a moment when there is none yet.
    ///
    /// # Errors
    /// `NotFound` when there is no such statement, it has no results, or they are not held any more; `Internal` when a column
    /// is not of its type.
    pub async fn results(&self, name: &str, from: u64) -> Result<ResultPage> {
        let (record, rows, results, mut changes) = {
            let now = self.core.clock.monotonic();
            let mut state = self.core.lock();
            let seq = find(&state, name)?;
            let entry = state.entries.get_mut(&seq).ok_or_else(|| gone(name))?;
            entry.times.consumed_at = now;
            (
                entry.record.clone(),
                entry.rows.clone(),
                entry.results.clone(),
                entry.changed.subscribe(),
            )
        };
        if let Some(rows) = rows.filter(|_| record.phase == Phase::Completed) {
            return Ok(ResultPage {
                data: rows_of_text(&rows),
                next: None,
            });
        }
        let has_results = record
            .traits
            .as_ref()
            .is_some_and(|traits| traits.columns.is_some());
        if !has_results || record.is_dry_run() {
            return Ok(ResultPage {
                data: Vec::new(),
                next: (!record.phase.is_terminal()).then_some(from),
            });
        }
        let Some(results) = results else {
            if record.phase.is_terminal() {
                return no_results(&record);
            }
            drop(tokio::time::timeout(PAGE_WAIT, changes.changed()).await);
            return Ok(ResultPage {
                data: Vec::new(),
                next: Some(from),
            });
        };
        drop(tokio::time::timeout(PAGE_WAIT, results.changed(from)).await);
        let page = results.page(from, PAGE_ROWS_MAX);
        let Some(traits) = &record.traits else {
            return no_results(&record);
        };
        let has_ended = || self.phase(name).is_none_or(Phase::is_terminal);
        if page.finished {
            // The last page says how the statement ended, so it waits until that is known.
            let ended = async { while !has_ended() && changes.changed().await.is_ok() {} };
            drop(tokio::time::timeout(PAGE_WAIT, ended).await);
        }
        Ok(ResultPage {
            data: rows_of_batches(&page.batches, traits, record.time_zone())?,
            next: (!page.finished || !has_ended()).then_some(page.next),
        })
    }

    /// Usage of the minutes `from_ms` (inclusive) to `to_ms` (exclusive), slot time of this moment included.
    ///
    /// # Errors
    /// `Storage` when the database refuses.
    pub fn usage(&self, from_ms: i64, to_ms: i64, by: GroupBy) -> Result<Usage> {
        self.core.charge_all(&mut self.core.lock());
        let minute = |ms: i64| ms.div_euclid(weir_model::cfu::MINUTE_MS.cast_signed());
        let rows = self
            .core
            .store
            .ledger_rows(minute(from_ms), minute(to_ms.saturating_add(59_999)))?;
        Ok(group(rows, by, CfuPrice::default()))
    }

    /// Everything that runs, now.
    pub fn snapshot(&self) -> meter::Snapshot {
        let (now_ms, now) = (self.core.clock.now_ms(), self.core.clock.monotonic());
        snapshot::take(&self.core.lock(), now_ms, now)
    }

    /// Counters of the present or last run of a statement.
    ///
    /// # Errors
    /// `NotFound` when there is no such statement.
    pub fn statement_meter(&self, name: &str) -> Result<meter::Statement> {
        let state = self.core.lock();
        let seq = find(&state, name)?;
        let entry = state.entries.get(&seq).ok_or_else(|| gone(name))?;
        Ok(snapshot::statement(&state, entry, entry.meter()))
    }

    /// Every second: what waits for time to pass.
    pub(crate) fn tick(&self) {
        let now = self.core.clock.monotonic();
        for entry in self.core.lock().entries.values_mut() {
            let is_over = entry.record.phase.is_terminal();
            if is_over && now.saturating_sub(entry.times.consumed_at) >= UNCONSUMED_MAX {
                entry.results = None;
            }
        }
        self.core.reconcile_all();
        let mut state = self.core.lock();
        let all: Vec<i64> = state.entries.keys().copied().collect();
        for seq in all {
            self.core.retain(&mut state, seq);
        }
    }

    /// Every meter tick: slot time to the ledger.
    pub(crate) fn charge(&self) {
        self.core.charge_all(&mut self.core.lock());
    }

    /// Stops every job with a last checkpoint and leaves what is wanted as it is, so that the next start continues. Waits.
    pub(crate) fn end(&self) {
        self.core.charge_all(&mut self.core.lock());
        {
            let mut state = self.core.lock();
            state.is_ending = true;
            for entry in state.entries.values() {
                if let JobState::Active(job) = &entry.job {
                    job.stop();
                }
            }
        }
        for _ in 0..ENDING_LOOKS_MAX {
            if !self.has_jobs() {
                return;
            }
            std::thread::park_timeout(ENDING_LOOK);
        }
        tracing::warn!("jobs did not stop in time, their checkpoints before this count");
        for entry in self.core.lock().entries.values() {
            if let JobState::Active(job) = &entry.job {
                job.cancel();
            }
        }
    }

    /// Whether a job runs or is being started.
    fn has_jobs(&self) -> bool {
        self.core
            .lock()
            .entries
            .values()
            .any(|entry| matches!(entry.job, JobState::Active(_) | JobState::Starting { .. }))
    }
}

/// A record with a change in it.
fn updated(record: &Record, update: &Update, pools: &BTreeMap<String, Pool>) -> Result<Record> {
    if let Some(version) = &update.resource_version
        && *version != record.resource_version.to_string()
    {
        return Err(Error::Conflict(format!(
            "statement {} has changed since it was fetched: fetch it again",
            record.name
        )));
    }
    let mut changed = record.clone();
    let is_still = matches!(record.phase, Phase::Stopped | Phase::Failed);
    for (wanted, present, what) in [
        (&update.pool_id, &mut changed.pool_id, "compute pool"),
        (&update.principal, &mut changed.principal, "principal"),
    ] {
        let Some(wanted) = wanted.as_ref().filter(|wanted| *wanted != present) else {
            continue;
        };
        if !is_still {
            return Err(Error::Conflict(format!(
                "the {what} of statement {} can only be changed while it is stopped",
                record.name
            )));
        }
        present.clone_from(wanted);
    }
    if !pools.contains_key(&changed.pool_id) {
        return Err(Error::NotFound(format!(
            "Compute pool {} not found",
            changed.pool_id
        )));
    }
    if update.stopped == Some(true) && !record.phase.is_terminal() {
        changed.wanted = Wanted::Stop;
    }
    Ok(changed)
}

/// The place of the statement of that name.
pub(super) fn find(state: &State, name: &str) -> Result<i64> {
    state.names.get(name).copied().ok_or_else(|| gone(name))
}

/// The record of a statement.
pub(super) fn record_of(state: &executor::State, seq: i64) -> Result<Record> {
    state
        .entries
        .get(&seq)
        .map(|entry| entry.record.clone())
        .ok_or_else(|| gone(&seq.to_string()))
}

/// There is no statement of that name.
pub(super) fn gone(name: &str) -> Error {
    Error::NotFound(format!("Statement {name} not found"))
}

/// A query that has ended and whose rows are not held.
fn no_results(record: &Record) -> Result<ResultPage> {
    if record.phase == Phase::Failed {
        return Ok(ResultPage::default());
    }
    Err(Error::NotFound(format!(
        "results of statement {} are not held any more: submit the query again",
        record.name
    )))
}

/// Reads a stored plan. Its expressions were bounded when they were bound, so their depth needs no second bound here.
pub(super) fn read_plan(text: &str) -> serde_json::Result<StreamPlan> {
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.disable_recursion_limit();
    serde::Deserialize::deserialize(&mut reader)
}
