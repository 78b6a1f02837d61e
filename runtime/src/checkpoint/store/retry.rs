//! Trying again: a store that fails now and then still works.
//!
//! Place in the flow: between [`Objects`] and everything that stores. Invariant: every call ends after a bounded number of attempts,
//! with an error that names the store, the object and the last reason; no secret is in it.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::checkpoint::store::location::Location;
use crate::checkpoint::store::objects::{Fault, Object, Objects, PutMode};
use crate::checkpoint::store::options::RetryOptions;
use crate::error::{Error, Kind, Result};

/// Waits between two attempts.
pub trait Pause: Send + Sync + Debug {
    /// Lets that much time pass; a simulator only notes it.
    fn pause(&self, time: Duration);
}

/// Lets the calling thread sleep.
#[derive(Debug, Clone, Copy, Default)]
pub struct SleepingPause;

impl Pause for SleepingPause {
    fn pause(&self, time: Duration) {
        // The thread is one of the edge, which is there to wait.
        std::thread::sleep(time);
    }
}

/// How long to wait after a failed attempt, counted from 0: doubling, at most the maximum, and by a random part of up to a half less,
/// so that clients that failed together do not come back together.
pub(super) fn pause_after(options: &RetryOptions, attempt: u32, random: u64) -> Duration {
    let doubled = options
        .pause_first
        .saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX))
        .min(options.pause_max);
    let half_us = u64::try_from(doubled.as_micros() / 2).unwrap_or(u64::MAX);
    doubled.saturating_sub(Duration::from_micros(random % (half_us + 1)))
}

/// The next number of a splitmix64 sequence.
///
/// # Source
/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
pub fn next_random(state: &AtomicU64) -> u64 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut z = state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What a put with [`PutMode::IfAbsent`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Created {
    /// The object is new.
    New,
    /// There is an object of that name. It may be the one of an earlier attempt whose answer was lost.
    Existed,
}

/// Objects whose calls are tried again.
#[derive(Debug)]
pub(super) struct Retrying {
    /// Where the objects are.
    objects: Arc<dyn Objects>,
    /// How often and how long.
    options: RetryOptions,
    /// Waits.
    pause: Arc<dyn Pause>,
    /// Where it is, for messages.
    label: String,
    /// Whether it is a disk, whose errors have another code.
    is_local: bool,
    /// State of the random numbers.
    random: AtomicU64,
}

impl Retrying {
    /// Objects at a location, tried as the options say.
    pub(super) fn new(
        objects: Arc<dyn Objects>,
        location: &Location,
        options: RetryOptions,
        pause: Arc<dyn Pause>,
        seed: u64,
    ) -> Self {
        Self {
            objects,
            options,
            pause,
            label: location.to_string(),
            is_local: location.is_local(),
            random: AtomicU64::new(seed),
        }
    }

    /// Where it is, for messages.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// An error of this store.
    fn error(&self, what: &str, name: &str, reason: &str) -> Error {
        let message = format!("checkpoint store {}: {what} {name}: {reason}", self.label);
        if self.is_local {
            Error::storage(message)
        } else {
            Error::unavailable(message)
        }
    }

    /// Waits after a failed attempt; false when it was the last.
    fn wait_after(&self, attempt: u32, attempts_max: u32) -> bool {
        if attempt + 1 >= attempts_max {
            return false;
        }
        let random = next_random(&self.random);
        self.pause
            .pause(pause_after(&self.options, attempt, random));
        true
    }

    /// Makes a call until it is answered; what it fails with for good is given to the caller.
    fn call<T>(&self, mut call: impl FnMut() -> Result<T, Fault>) -> Result<T, Fault> {
        let mut attempt = 0;
        loop {
            match call() {
                Err(Fault::Passing(reason)) => {
                    if !self.wait_after(attempt, self.options.attempts_max) {
                        return Err(Fault::Passing(format!(
                            "{reason} (after {} attempts)",
                            self.options.attempts_max
                        )));
                    }
                    tracing::debug!(store = self.label, reason, attempt, "trying again");
                    attempt += 1;
                }
                done @ (Ok(_) | Err(Fault::Missing | Fault::Exists | Fault::Refused(_))) => {
                    return done;
                }
            }
        }
    }

    /// Stores an object, replacing one of that name.
    pub(super) fn put(&self, name: &str, parts: &[Bytes]) -> Result<()> {
        self.call(|| self.objects.put(name, parts, PutMode::Overwrite))
            .map_err(|fault| self.error("write", name, &fault.to_string()))
    }

    /// Stores an object unless there is one of that name.
    pub(super) fn create(&self, name: &str, bytes: &Bytes) -> Result<Created> {
        let parts = std::slice::from_ref(bytes);
        match self.call(|| self.objects.put(name, parts, PutMode::IfAbsent)) {
            Ok(()) => Ok(Created::New),
            Err(Fault::Exists) => Ok(Created::Existed),
            Err(fault @ (Fault::Missing | Fault::Refused(_) | Fault::Passing(_))) => {
                Err(self.error("write", name, &fault.to_string()))
            }
        }
    }

    /// Reads an object, or a part of it, and what `check` makes of it; absent when there is none. Bytes that do not pass are read
    /// again some times before they count as damaged, since a connection may break in a way that looks like a short object.
    ///
    /// # Errors
    /// The last error of `check`, with the name of the object; `Unavailable` when it cannot be read.
    pub(super) fn read<T>(
        &self,
        name: &str,
        range: Option<&Range<u64>>,
        check: impl Fn(Bytes) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut attempt = 0;
        loop {
            let bytes = match self.call(|| self.objects.read(name, range.cloned())) {
                Ok(bytes) => bytes,
                Err(Fault::Missing) => return Ok(None),
                Err(fault @ (Fault::Exists | Fault::Refused(_) | Fault::Passing(_))) => {
                    return Err(self.error("read", name, &fault.to_string()));
                }
            };
            match check(bytes) {
                Ok(value) => return Ok(Some(value)),
                Err(error)
                    if error.kind == Kind::Corrupt
                        && self.wait_after(attempt, self.options.damage_attempts_max) =>
                {
                    tracing::warn!(store = self.label, name, %error, "reading again");
                    attempt += 1;
                }
                Err(error) => {
                    return Err(error.context(&format!("{name} of {}", self.label)));
                }
            }
        }
    }

    /// Every object below a folder, by name.
    pub(super) fn list(&self, folder: &str) -> Result<Vec<Object>> {
        let mut objects = self
            .call(|| self.objects.list(folder))
            .map_err(|fault| self.error("list", folder, &fault.to_string()))?;
        objects.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(objects)
    }

    /// Removes an object.
    pub(super) fn delete(&self, name: &str) -> Result<()> {
        match self.call(|| self.objects.delete(name)) {
            Ok(()) | Err(Fault::Missing) => Ok(()),
            Err(fault @ (Fault::Exists | Fault::Refused(_) | Fault::Passing(_))) => {
                Err(self.error("delete", name, &fault.to_string()))
            }
        }
    }

    /// Removes what interrupted puts of others have left.
    pub(super) fn sweep(&self) -> Result<()> {
        self.call(|| self.objects.sweep())
            .map_err(|fault| self.error("tidy", "", &fault.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_maximum_and_vary_by_a_half() {
        let options = RetryOptions::default();
        for (attempt, whole_ms) in [(0, 100), (1, 200), (3, 800), (20, 10_000), (60, 10_000)] {
            let whole = Duration::from_millis(whole_ms);
            assert_eq!(pause_after(&options, attempt, 0), whole);
            let random = AtomicU64::new(7);
            for _ in 0..100 {
                let pause = pause_after(&options, attempt, next_random(&random));
                assert!(pause <= whole && pause >= whole / 2, "{pause:?}");
            }
        }
    }
}
