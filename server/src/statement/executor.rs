//! Carries out what `state` decides.
//!
//! Place in the flow: called after every request, every event of a job, and every second. Invariant: everything happens under one
//! lock, and a change is stored before it is visible; only starting a job, which waits for the outside world, happens outside.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use weir_model::cfu::MINUTE_MS;
use weir_model::statement::Phase;
use weir_runtime::sql::session::Session;
use weir_runtime::task::{Environment, JobConfig};
use weir_runtime::time::SharedClock;

use super::carry_over::{self, CarryOverFact};
use super::engine::{CheckpointPlace, Checkpoints, Ended, Running, StartSpec};
use super::entry::{Entry, JobState, Surroundings};
use super::limits::StateLimits;
use super::record::{Kind, Record, Scaling, Wanted};
use super::state::{self, Decision};
use super::{creation, immediate, properties};
use crate::catalog::CatalogService;
use crate::error::Result;
use crate::ledger::{Charge, Totals};
use crate::names::{catalog_name, database_name};
use crate::pool::Pool;
use crate::store::{Change, Event, EventKind, Store};

/// Decisions carried out in a row; more than any way through the phases has.
const STEPS_MAX: usize = 10;

/// What the executor works with.
#[derive(Debug)]
pub(super) struct Core {
    /// Where everything lasts.
    pub(super) store: Arc<Store>,
    /// Tables.
    pub(super) catalog: Arc<CatalogService>,
    /// What jobs run in.
    pub(super) environment: Environment,
    /// Settings of jobs.
    pub(super) job: JobConfig,
    /// Limits of each statement's state.
    pub(super) limits: StateLimits,
    /// Where checkpoints are kept.
    pub(super) checkpoints: CheckpointPlace,
    /// Directory of state that does not fit into memory, one directory per statement in it.
    pub(super) spill: PathBuf,
    /// Directory of imports that are not finished.
    pub(super) imports: PathBuf,
    /// Time.
    pub(super) clock: SharedClock,
    /// Runs what waits.
    pub(super) runtime: Handle,
    /// Everything that changes.
    pub(super) state: Mutex<State>,
    /// Itself, for what runs elsewhere.
    pub(super) this: Weak<Self>,
}

/// Everything that changes.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Statements by order of creation.
    pub(super) entries: BTreeMap<i64, Entry>,
    /// Statements by name, without those being deleted.
    pub(super) names: BTreeMap<String, i64>,
    /// Pools by id.
    pub(super) pools: BTreeMap<String, Pool>,
    /// Billed totals.
    pub(super) totals: Totals,
    /// Whether the server is ending: nothing is started and no phase changes any more.
    pub(super) is_ending: bool,
}

impl State {
    /// Slots held in a pool.
    pub(super) fn slots_held(&self, pool_id: &str) -> u32 {
        self.entries
            .values()
            .filter(|entry| entry.record.pool_id == pool_id)
            .map(Entry::slots_held)
            .sum()
    }

    /// Whether a statement's pool has room for it; always when it holds its slots already.
    fn has_room(&self, entry: &Entry) -> bool {
        let Some(pool) = self.pools.get(&entry.record.pool_id) else {
            return false;
        };
        entry.slots_held() > 0
            || pool.admits(
                self.slots_held(&entry.record.pool_id),
                entry.record.parallelism,
            )
    }
}

impl State {
    /// What is known of the statement that another one goes on after.
    fn carry_over(&self, entry: &Entry, now_ms: i64) -> CarryOverFact {
        let carry_over = entry.record.origin.carry_over.as_ref();
        let reference = carry_over.and_then(|carry_over| self.by_uid(&carry_over.uid));
        carry_over::look(carry_over, reference.map(|entry| &entry.record), now_ms)
    }

    /// The record of a statement whose job is being started: with the slots and the offsets it is to have.
    fn starting(&self, entry: &Entry) -> Record {
        let mut record = entry.record.clone();
        record.run += 1;
        record.restarts_total += u64::from(entry.failure_message().is_some());
        record.scaling = Scaling::Ok;
        if let Some(slots) = record.rescale_to.take() {
            record.parallelism = slots;
        }
        let waits = record.origin.carry_over.as_mut();
        if let Some(carry_over) = waits.filter(|carry_over| !carry_over.is_done)
            && let Some(reference) = self.by_uid(&carry_over.uid)
        {
            carry_over.is_done = true;
            let offsets = reference.record.latest_offsets.clone();
            record.origin.offsets.by_topic = offsets;
        }
        record
    }

    /// The statement of that uid.
    pub(super) fn by_uid(&self, uid: &str) -> Option<&Entry> {
        self.entries.values().find(|entry| entry.record.uid == uid)
    }
}

impl Core {
    /// The state; it is whole after every statement of this module, whatever happened to other holders.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at a statement until there is nothing to do.
    pub(super) fn reconcile(&self, state: &mut State, seq: i64) {
        for _ in 0..STEPS_MAX {
            if state.is_ending {
                return;
            }
            let Some(entry) = state.entries.get(&seq) else {
                return;
            };
            let wall_ms = self.clock.now_ms();
            let facts = entry.facts(Surroundings {
                now: self.clock.monotonic(),
                wall_ms,
                has_room: state.has_room(entry),
                carry_over: state.carry_over(entry, wall_ms),
            });
            let decision = state::decide(entry.record.phase, &facts);
            match self.carry_out(state, seq, decision) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    // The phase stays what the database says; the next look tries again.
                    tracing::error!(%error, seq, "a change of a statement could not be stored");
                    return;
                }
            }
        }
    }

    /// Looks at every statement.
    pub(super) fn reconcile_all(&self) {
        let mut state = self.lock();
        let all: Vec<i64> = state.entries.keys().copied().collect();
        for seq in all {
            self.reconcile(&mut state, seq);
        }
    }

    /// Carries out a decision; whether there may be another one.
    fn carry_out(&self, state: &mut State, seq: i64, decision: Decision) -> Result<bool> {
        let Some(entry) = state.entries.get_mut(&seq) else {
            return Ok(false);
        };
        match decision {
            Decision::Stay => Ok(false),
            Decision::Explain { detail, scaling } => {
                if entry.record.detail != detail || entry.record.scaling != scaling {
                    let mut record = entry.record.clone();
                    record.detail.clone_from(&detail);
                    record.scaling = scaling;
                    self.change(state, seq, record, &detail)?;
                }
                Ok(false)
            }
            Decision::Start => self.start(state, seq).map(|()| false),
            Decision::Stop => {
                if let JobState::Active(job) = &entry.job {
                    job.stop();
                    entry.stop_asked = true;
                }
                Ok(false)
            }
            Decision::Cancel => {
                if let JobState::Active(job) = &entry.job {
                    job.cancel();
                }
                Ok(false)
            }
            Decision::Move { phase, detail } => self.move_to(state, seq, phase, detail),
            Decision::Remove => self.remove(state, seq).map(|()| false),
        }
    }

    /// Goes to another phase.
    fn move_to(&self, state: &mut State, seq: i64, phase: Phase, detail: String) -> Result<bool> {
        let Some(entry) = state.entries.get(&seq) else {
            return Ok(false);
        };
        let mut record = entry.record.clone();
        record.phase = phase;
        record.scaling = Scaling::Ok;
        // The reason is stored with FAILING and STOPPING and stays with FAILED and STOPPED.
        let keeps_reason = match phase {
            Phase::Failed => true,
            Phase::Stopped => detail.is_empty() && entry.record.phase == Phase::Stopping,
            Phase::Pending
            | Phase::Running
            | Phase::Degraded
            | Phase::Completed
            | Phase::Stopping
            | Phase::Failing
            | Phase::Deleting => false,
        };
        if !keeps_reason {
            record.detail = detail;
        }
        if matches!(phase, Phase::Stopping | Phase::Stopped) && record.wanted == Wanted::Run {
            record.wanted = Wanted::Stop;
        }
        if phase == Phase::Stopped && !record.latest_offsets.is_empty() {
            record.latest_offsets_at_ms = Some(self.clock.now_ms());
        }
        if phase == Phase::Running && entry.record.phase == Phase::Pending {
            // Those of an earlier stop say nothing about a job that has run since.
            record.latest_offsets.clear();
            record.latest_offsets_at_ms = None;
        }
        if phase.is_terminal() {
            record.draining = false;
        }
        let what = if record.detail.is_empty() {
            phase.as_str().to_owned()
        } else {
            record.detail.clone()
        };
        let name = record.name.clone();
        self.change(state, seq, record, &what)?;
        if phase.is_terminal() {
            self.retain(state, seq);
        }
        if phase == Phase::Deleting && state.names.get(&name) == Some(&seq) {
            state.names.remove(&name);
        }
        tracing::info!(statement = name, phase = phase.as_str(), detail = what);
        Ok(true)
    }

    /// Stores a changed record with its slot time and makes it the present one.
    pub(super) fn change(
        &self,
        state: &mut State,
        seq: i64,
        record: Record,
        what: &str,
    ) -> Result<()> {
        self.change_with(state, seq, record, (EventKind::Change, what))
    }

    /// As [`Self::change`], with the kind of the event.
    fn change_with(
        &self,
        state: &mut State,
        seq: i64,
        mut record: Record,
        (kind, what): (EventKind, &str),
    ) -> Result<()> {
        let Some(entry) = state.entries.get_mut(&seq) else {
            return Ok(());
        };
        let now = self.clock.monotonic();
        let wall_ms = self.clock.now_ms();
        let mut charges = entry.charges(now, wall_ms);
        if record.phase.is_billed() && charges.is_empty() {
            // The first minute is billed from its first moment on.
            charges.push(first_charge(&record, wall_ms));
        }
        record.resource_version += 1;
        record.updated_at_ms = wall_ms;
        let billed = self.store.change_statement(&Change {
            record: &record,
            rows: entry.rows.as_deref(),
            event: Event {
                kind,
                at_ms: wall_ms,
                detail: what.to_owned(),
            },
            charges: &charges,
        })?;
        entry.adopt(record, now);
        add_totals(&mut state.totals, &charges, &billed);
        Ok(())
    }

    /// Starts a job, or carries an immediate statement out, elsewhere.
    fn start(&self, state: &mut State, seq: i64) -> Result<()> {
        let Some(entry) = state.entries.get(&seq) else {
            return Ok(());
        };
        let record = state.starting(entry);
        let what = format!("run {} starts with {} CFU", record.run, record.parallelism);
        self.change(state, seq, record, &what)?;
        let Some(entry) = state.entries.get_mut(&seq) else {
            return Ok(());
        };
        entry.job = JobState::Starting { ended: None };
        entry.final_meter = None;
        let this = self.this.clone();
        if entry.record.kind == Kind::Immediate {
            let bound = entry.bound.take();
            let record = entry.record.clone();
            let catalog = Arc::clone(&self.catalog);
            self.runtime.spawn_blocking(move || {
                let event = immediate::run(bound, &record.sql, &session_of(&record), &catalog);
                if let Some(core) = this.upgrade() {
                    core.job_ended(seq, record.run, event);
                    core.job_started(seq, record.run, None);
                }
            });
            return Ok(());
        }
        let Some(spec) = self.job_spec(entry) else {
            let lost = weir_runtime::Error::internal("the plan of the statement is missing");
            self.job_failed_to_start(state, seq, lost);
            return Ok(());
        };
        let run = entry.record.run;
        let wanted = entry.record.creates_table.clone();
        let catalog = Arc::clone(&self.catalog);
        let environment = self.environment.clone();
        self.runtime.spawn_blocking(move || {
            let events = this.clone();
            let on_event = Box::new(move |event| {
                if let Some(core) = events.upgrade() {
                    core.job_ended(seq, run, event);
                }
            });
            let started = creation::create(wanted, &spec.plan, run > 1, &catalog)
                .and_then(|()| Running::start(&spec, &environment, on_event));
            let Some(core) = this.upgrade() else {
                return;
            };
            match started {
                Ok(job) => core.job_started(seq, run, Some(job)),
                Err(error) => {
                    core.job_ended(seq, run, Ended::Failed(error));
                    core.job_started(seq, run, None);
                }
            }
        });
        Ok(())
    }

    /// What is to run.
    fn job_spec(&self, entry: &Entry) -> Option<StartSpec> {
        let record = &entry.record;
        let plan = entry.plan.as_ref()?;
        Some(StartSpec {
            statement_name: record.name.clone(),
            statement_uid: record.uid.clone(),
            plan: carry_over::with_offsets(plan, &record.origin.offsets),
            parallelism: record.parallelism,
            checkpoints: (record.kind == Kind::Background).then(|| self.checkpoints_of(record)),
            restore: record.origin.restore.clone(),
            config: JobConfig {
                spill_dir: Some(self.spill.join(&record.uid)),
                ..properties::job_config(&session_of(record), &self.job)
            },
        })
    }

    /// Checkpoints of a statement.
    pub(super) fn checkpoints_of(&self, record: &Record) -> Checkpoints {
        Checkpoints::new(self.checkpoints.clone(), &record.uid, &record.origin.run)
    }

    /// A job that has no chance to start has ended.
    fn job_failed_to_start(&self, state: &mut State, seq: i64, error: weir_runtime::Error) {
        if let Some(entry) = state.entries.get_mut(&seq) {
            let now = self.clock.monotonic();
            entry.job_ended(Ended::Failed(error), now);
        }
    }

    /// A starter has returned: with a job, or without one when it has ended already.
    fn job_started(&self, seq: i64, run: u64, job: Option<Running>) {
        let mut state = self.lock();
        let is_ending = state.is_ending;
        let now = self.clock.monotonic();
        let Some(entry) = state
            .entries
            .get_mut(&seq)
            .filter(|entry| entry.record.run == run)
        else {
            if let Some(job) = job {
                job.cancel();
            }
            return;
        };
        let JobState::Starting { ended } = &mut entry.job else {
            return;
        };
        let ended = ended.take();
        let has_created = job.is_some() && entry.record.creates_table.is_some();
        if let Some(job) = job {
            if is_ending {
                job.cancel();
            }
            if entry.record.draining {
                job.drain();
            }
            entry.results = job.results();
            entry.job = JobState::Active(Arc::new(job));
            entry.times.active_since = now;
            entry.times.consumed_at = now;
        }
        if has_created {
            self.forget_created(&mut state, seq);
        }
        if let Some(event) = ended {
            self.note_end(&mut state, seq, event);
        }
        self.reconcile(&mut state, seq);
    }

    /// A job has ended.
    fn job_ended(&self, seq: i64, run: u64, event: Ended) {
        let mut state = self.lock();
        let Some(entry) = state
            .entries
            .get_mut(&seq)
            .filter(|entry| entry.record.run == run)
        else {
            return;
        };
        if let JobState::Starting { ended } = &mut entry.job {
            *ended = Some(event);
            return;
        }
        self.note_end(&mut state, seq, event);
        self.reconcile(&mut state, seq);
    }

    /// Takes in the end of a job: slot time up to now, and the failure if it was one.
    fn note_end(&self, state: &mut State, seq: i64, event: Ended) {
        let Some(entry) = state.entries.get_mut(&seq) else {
            return;
        };
        let now = self.clock.monotonic();
        let charges = entry.charges(now, self.clock.now_ms());
        let failure = entry.job_ended(event, now);
        let record = entry.record.clone();
        let message = entry.failure_message().map(str::to_owned);
        let stored = if let (Some(failure), Some(message)) = (failure, message) {
            tracing::warn!(statement = record.name, error = message, "a job failed");
            let kind = EventKind::Exception(failure);
            self.store_end(state, seq, record, (kind, &message, charges))
        } else {
            let what = (EventKind::Change, "the job ended", charges);
            self.store_end(state, seq, record, what)
        };
        if let Err(error) = stored {
            tracing::error!(%error, seq, "the end of a job could not be stored");
        }
    }

    /// Stores the end of a job with the slot time it held; the slots are gone already, so the time is given.
    fn store_end(
        &self,
        state: &mut State,
        seq: i64,
        mut record: Record,
        (kind, what, charges): (EventKind, &str, Vec<Charge>),
    ) -> Result<()> {
        let now = self.clock.monotonic();
        record.resource_version += 1;
        record.updated_at_ms = self.clock.now_ms();
        let billed = self.store.change_statement(&Change {
            record: &record,
            rows: None,
            event: Event {
                kind,
                at_ms: record.updated_at_ms,
                detail: what.to_owned(),
            },
            charges: &charges,
        })?;
        if let Some(entry) = state.entries.get_mut(&seq) {
            entry.adopt(record, now);
        }
        add_totals(&mut state.totals, &charges, &billed);
        Ok(())
    }

    /// Forgets a statement and deletes its checkpoints. What Kafka holds of its transactions goes with the broker's retention.
    fn remove(&self, state: &mut State, seq: i64) -> Result<()> {
        let Some(entry) = state.entries.get(&seq) else {
            return Ok(());
        };
        // Before the statement, since nobody knows its uid afterwards. A full device does not keep it from being deleted.
        if let Some(log) = &self.environment.log
            && let Err(error) = log.forget_owner(&entry.record.uid)
        {
            tracing::warn!(statement = entry.record.name, %error, "a record of commits is left behind");
        }
        self.store.remove_statement(&entry.record.uid)?;
        let checkpoints = self.checkpoints_of(&entry.record);
        state.entries.remove(&seq);
        self.runtime.spawn_blocking(move || {
            if let Err(error) = checkpoints.remove_all() {
                tracing::warn!(%error, "checkpoints are left behind");
            }
        });
        Ok(())
    }

    /// Writes the slot time of everything that runs to the ledger.
    pub(super) fn charge_all(&self, state: &mut State) {
        let now = self.clock.monotonic();
        let wall_ms = self.clock.now_ms();
        let charges: Vec<Charge> = state
            .entries
            .values()
            .flat_map(|entry| entry.charges(now, wall_ms))
            .collect();
        if charges.is_empty() {
            return;
        }
        match self.store.charge(&charges) {
            Ok(billed) => {
                for entry in state.entries.values_mut() {
                    entry.times.charged_at = now;
                }
                add_totals(&mut state.totals, &charges, &billed);
            }
            // Nothing is lost: the time is charged with the next tick.
            Err(error) => tracing::error!(%error, "the ledger could not be written"),
        }
    }
}

/// Marks the minute in which a statement enters a billed phase.
fn first_charge(record: &Record, wall_ms: i64) -> Charge {
    Charge {
        uid: record.uid.clone(),
        name: record.name.clone(),
        pool_id: record.pool_id.clone(),
        minute: wall_ms.div_euclid(MINUTE_MS.cast_signed()),
        slot_ms: 0,
    }
}

/// Adds what the ledger grew by.
fn add_totals(totals: &mut Totals, charges: &[Charge], billed: &[u64]) {
    for (charge, billed) in charges.iter().zip(billed) {
        totals.add(&charge.uid, &charge.pool_id, *billed);
    }
}

/// The session of a statement: its properties, with display names in place of ids.
pub(super) fn session_of(record: &Record) -> Session {
    let mut properties = record.properties.clone();
    if let Some(catalog) = properties.get_mut("sql.current-catalog") {
        *catalog = if *catalog == record.environment {
            crate::names::ENVIRONMENT_NAME.to_owned()
        } else {
            catalog_name(catalog).to_owned()
        };
    }
    if let Some(database) = properties.get_mut("sql.current-database") {
        *database = database_name(database).to_owned();
    }
    Session { properties }
}

/// How long a request waits for a statement to leave PENDING, so that clients need not ask again.
///
/// # Source
/// Conformance notes: clients sleep a second after a first answer of PENDING; at most 500 ms.
pub(super) const SETTLE_MAX: Duration = Duration::from_millis(400);
