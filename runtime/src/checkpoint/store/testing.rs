//! Objects in memory, and objects that fail: for tests of this folder and of others.
//!
//! Place in the flow: in the place of a disk or a bucket, below [`super::CheckpointStore::over`]. Invariant: nothing sleeps and nothing
//! is random but by the seed, so that a simulation that fails can be repeated.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::checkpoint::store::objects::{Fault, Object, Objects, PutMode};
use crate::checkpoint::store::retry::Pause;
pub use crate::checkpoint::store::retry::next_random;
use crate::time::EpochMillis;

/// Locks, also after a panic of another test's thread.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Objects in memory.
#[derive(Debug, Default)]
pub struct MemoryObjects {
    /// By name: bytes and the number of the put, which serves as time.
    objects: Mutex<BTreeMap<String, (Bytes, EpochMillis)>>,
    /// Puts so far.
    put_count: AtomicU64,
}

impl MemoryObjects {
    /// The names of all objects.
    pub fn names(&self) -> Vec<String> {
        lock(&self.objects).keys().cloned().collect()
    }

    /// Changes the bytes of an object, as a bad disk does; whether there is one.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut objects = lock(&self.objects);
        let Some((bytes, _)) = objects.get_mut(name) else {
            return false;
        };
        let mut changed = bytes.to_vec();
        change(&mut changed);
        *bytes = Bytes::from(changed);
        true
    }

    /// A copy of what is there now, as a crash leaves it.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        Self {
            objects: Mutex::new(lock(&self.objects).clone()),
            put_count: AtomicU64::new(self.put_count.load(Ordering::Relaxed)),
        }
    }
}

impl Objects for MemoryObjects {
    fn put(&self, name: &str, parts: &[Bytes], mode: PutMode) -> Result<(), Fault> {
        let mut objects = lock(&self.objects);
        if mode == PutMode::IfAbsent && objects.contains_key(name) {
            return Err(Fault::Exists);
        }
        let time = self.put_count.fetch_add(1, Ordering::Relaxed);
        let time = EpochMillis::try_from(time).unwrap_or(EpochMillis::MAX);
        objects.insert(name.to_owned(), (Bytes::from(parts.concat()), time));
        Ok(())
    }

    fn read(&self, name: &str, range: Option<Range<u64>>) -> Result<Bytes, Fault> {
        let objects = lock(&self.objects);
        let (bytes, _) = objects.get(name).ok_or(Fault::Missing)?;
        let Some(range) = range else {
            return Ok(bytes.clone());
        };
        let at =
            |offset: u64| usize::try_from(offset).map_or(bytes.len(), |at| at.min(bytes.len()));
        Ok(bytes.slice(at(range.start)..at(range.end.max(range.start))))
    }

    fn list(&self, folder: &str) -> Result<Vec<Object>, Fault> {
        let is_below = |name: &str| {
            folder.is_empty()
                || name
                    .strip_prefix(folder)
                    .is_some_and(|rest| rest.starts_with('/'))
        };
        let objects = lock(&self.objects);
        let found = objects.iter().filter(|(name, _)| is_below(name));
        Ok(found
            .map(|(name, (bytes, modified_ms))| Object {
                name: name.clone(),
                len: bytes.len() as u64,
                modified_ms: *modified_ms,
            })
            .collect())
    }

    fn delete(&self, name: &str) -> Result<(), Fault> {
        lock(&self.objects).remove(name);
        Ok(())
    }
}

/// A call, as the hook of [`FaultyObjects`] sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call<'a> {
    /// A put of the object.
    Put(&'a str),
    /// A read of it.
    Read(&'a str),
    /// A listing of the folder.
    List(&'a str),
    /// A delete of the object.
    Delete(&'a str),
    /// A sweep.
    Sweep,
}

/// What goes wrong. Fractions are from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FaultPlan {
    /// Calls that fail before they do anything.
    pub failing: f64,
    /// Puts and deletes that are carried out and whose answer is lost.
    pub unanswered: f64,
    /// Reads that end early.
    pub truncated: f64,
    /// Reads with a flipped bit.
    pub flipped: f64,
    /// Puts and deletes are refused.
    pub is_read_only: bool,
    /// Puts are refused.
    pub is_full: bool,
    /// The process is dead after that many calls: all further ones are refused.
    pub calls_max: Option<u64>,
}

/// Looks at each call before it is made; this is the place for delays.
pub type Hook = Arc<dyn Fn(Call<'_>) + Send + Sync>;

/// Objects that fail as planned.
pub struct FaultyObjects {
    /// What is wrapped.
    inner: Arc<dyn Objects>,
    /// What goes wrong.
    plan: Mutex<FaultPlan>,
    /// State of the random numbers.
    random: AtomicU64,
    /// Calls so far.
    call_count: AtomicU64,
    /// Faults so far.
    fault_count: AtomicU64,
    /// Looks at each call.
    hook: Option<Hook>,
}

impl fmt::Debug for FaultyObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyObjects")
            .field("inner", &self.inner)
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

impl FaultyObjects {
    /// Wraps objects.
    pub fn new(inner: Arc<dyn Objects>, plan: FaultPlan, seed: u64) -> Self {
        Self {
            inner,
            plan: Mutex::new(plan),
            random: AtomicU64::new(seed),
            call_count: AtomicU64::new(0),
            fault_count: AtomicU64::new(0),
            hook: None,
        }
    }

    /// Sets what looks at each call.
    #[must_use]
    pub fn with_hook(mut self, hook: Hook) -> Self {
        self.hook = Some(hook);
        self
    }

    /// Changes what goes wrong from now on.
    pub fn set_plan(&self, plan: FaultPlan) {
        *lock(&self.plan) = plan;
    }

    /// Calls so far.
    pub fn call_count(&self) -> u64 {
        self.call_count.load(Ordering::Relaxed)
    }

    /// Faults so far, damaged reads among them.
    pub fn fault_count(&self) -> u64 {
        self.fault_count.load(Ordering::Relaxed)
    }

    /// Whether something with this probability happens now.
    fn happens(&self, fraction: f64) -> bool {
        // 53 bits are what an f64 holds.
        #[expect(
            clippy::cast_precision_loss,
            reason = "the number has 53 bits, and 2^53 is exact"
        )]
        let number = (next_random(&self.random) >> 11) as f64 / (1_u64 << 53) as f64;
        let happens = number < fraction;
        if happens {
            self.fault_count.fetch_add(1, Ordering::Relaxed);
        }
        happens
    }

    /// Lets a call begin, or fails it.
    fn begin(&self, call: Call<'_>) -> Result<FaultPlan, Fault> {
        if let Some(hook) = &self.hook {
            hook(call);
        }
        let plan = *lock(&self.plan);
        let number = self.call_count.fetch_add(1, Ordering::Relaxed);
        if plan.calls_max.is_some_and(|max| number >= max) {
            return Err(Fault::Refused("the process is dead".into()));
        }
        let is_write = matches!(call, Call::Put(_) | Call::Delete(_));
        if plan.is_read_only && is_write {
            return Err(Fault::Refused("read-only file system".into()));
        }
        if plan.is_full && matches!(call, Call::Put(_)) {
            return Err(Fault::Refused("no space left on device".into()));
        }
        if self.happens(plan.failing) {
            return Err(Fault::Passing("injected: service unavailable".into()));
        }
        Ok(plan)
    }

    /// Lets a change end, or loses its answer.
    fn end(&self, plan: &FaultPlan, outcome: Result<(), Fault>) -> Result<(), Fault> {
        if outcome.is_ok() && self.happens(plan.unanswered) {
            return Err(Fault::Passing("injected: connection reset".into()));
        }
        outcome
    }
}

impl Objects for FaultyObjects {
    fn put(&self, name: &str, parts: &[Bytes], mode: PutMode) -> Result<(), Fault> {
        let plan = self.begin(Call::Put(name))?;
        self.end(&plan, self.inner.put(name, parts, mode))
    }

    fn read(&self, name: &str, range: Option<Range<u64>>) -> Result<Bytes, Fault> {
        let plan = self.begin(Call::Read(name))?;
        let bytes = self.inner.read(name, range)?;
        if bytes.is_empty() {
            return Ok(bytes);
        }
        let at = |random: u64| usize::try_from(random % bytes.len() as u64).unwrap_or_default();
        if self.happens(plan.truncated) {
            return Ok(bytes.slice(..at(next_random(&self.random))));
        }
        if self.happens(plan.flipped) {
            let mut flipped = bytes.to_vec();
            let place = next_random(&self.random);
            flipped[at(place >> 3)] ^= 1 << (place & 7);
            return Ok(Bytes::from(flipped));
        }
        Ok(bytes)
    }

    fn list(&self, folder: &str) -> Result<Vec<Object>, Fault> {
        self.begin(Call::List(folder))?;
        self.inner.list(folder)
    }

    fn delete(&self, name: &str) -> Result<(), Fault> {
        let plan = self.begin(Call::Delete(name))?;
        self.end(&plan, self.inner.delete(name))
    }

    fn sweep(&self) -> Result<(), Fault> {
        self.begin(Call::Sweep)?;
        self.inner.sweep()
    }
}

/// Adds up pauses instead of waiting.
#[derive(Debug, Default)]
pub struct CountingPause {
    /// Sum in microseconds.
    total_us: AtomicU64,
}

impl CountingPause {
    /// The sum of all pauses.
    pub fn total(&self) -> Duration {
        Duration::from_micros(self.total_us.load(Ordering::Relaxed))
    }
}

impl Pause for CountingPause {
    fn pause(&self, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.total_us.fetch_add(time, Ordering::Relaxed);
    }
}
