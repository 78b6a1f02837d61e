//! The two producers of a statement and the thread that serves them.
//!
//! Place in the flow: writers of all slots send through the [`Channel`]s of a [`Service`]; its thread takes the delivery reports and
//! wakes exactly the slots whose writers were served. Invariant: the thread waits for nothing but events and ends with the service,
//! before the producers do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

use super::channel::Channel;
use super::cluster::Cluster;
use crate::error::Result;
use crate::task::Waker;

/// Producers of a statement: while the transaction of one is committed, the other one writes the next epoch.
pub(super) const PRODUCERS: usize = 2;

/// How long librdkafka's threads have to hear that what lingers shall be sent. The wish is seen after a thread switch; the time is
/// lost for every flush, which happens once for every checkpoint. A guess, unmeasured.
const PUSH_PATIENCE: Duration = Duration::from_millis(1);

/// Pause before the wish is repeated, for what could not be sent when it was said: the first records of a partition wait for its
/// leader. Each further one is twice as long. A guess, unmeasured.
const PUSH_PAUSE: Duration = Duration::from_millis(1);

/// Longest such pause, while a broker is away. A guess, unmeasured.
const PUSH_PAUSE_MAX: Duration = Duration::from_millis(100);

/// The producers, which epochs use in turn, and their thread.
#[derive(Debug)]
pub(super) struct Service {
    /// What the thread shares.
    shared: Arc<Shared>,
    /// The thread; absent while it is being ended, and where a simulator makes the rounds.
    thread: Option<JoinHandle<()>>,
}

/// What the thread works on.
#[derive(Debug)]
struct Shared {
    /// Even epochs and odd ones.
    channels: [Arc<Channel>; PRODUCERS],
    /// Whether a writer has begun to wait for its deliveries.
    push: AtomicBool,
    /// Whether the thread shall end.
    stop: AtomicBool,
    /// Wakes the thread; producers hold it too.
    waker: Waker,
}

impl Service {
    /// Has the cluster's thread serve producers, which must have been made with the same waker.
    ///
    /// # Errors
    /// `Unavailable` when the operating system makes no thread.
    pub(super) fn start(
        cluster: &dyn Cluster,
        channels: [Arc<Channel>; PRODUCERS],
        waker: Waker,
    ) -> Result<Arc<Self>> {
        let shared = Arc::new(Shared {
            channels,
            push: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            waker,
        });
        let thread = cluster.attend(Rounds {
            shared: Arc::clone(&shared),
            pause: PUSH_PAUSE,
        })?;
        Ok(Arc::new(Self { shared, thread }))
    }

    /// The channels: of even epochs, of odd epochs.
    pub(super) fn channels(&self) -> &[Arc<Channel>; PRODUCERS] {
        &self.shared.channels
    }

    /// Has what lingers sent, wherever a writer waits for it.
    pub(super) fn push(&self) {
        self.shared.push.store(true, SeqCst);
        self.shared.waker.wake();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        self.shared.waker.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that serves kafka has panicked");
        }
    }
}

/// The rounds that serve the producers of a statement.
#[derive(Debug)]
pub(crate) struct Rounds {
    /// What they work on.
    shared: Arc<Shared>,
    /// Pause before the wish to push is repeated.
    pause: Duration,
}

/// What to wait for between two rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait {
    /// The next round comes after this time at the latest; absent waits for the waker alone.
    pub(crate) limit: Option<Duration>,
}

impl Rounds {
    /// Wakes whoever makes the rounds.
    pub(crate) fn waker(&self) -> &Waker {
        &self.shared.waker
    }

    /// Serves once. Absent when the service has ended; else there is nothing to do before the wait is over.
    pub(crate) fn round(&mut self) -> Option<Wait> {
        let shared = &self.shared;
        if shared.stop.load(SeqCst) {
            return None;
        }
        if shared.push.swap(false, SeqCst) {
            self.pause = PUSH_PAUSE;
        }
        let mut lingering = false;
        for channel in &shared.channels {
            channel.serve();
            if channel.is_waited_for() {
                channel.producer().push(PUSH_PATIENCE);
                channel.serve();
            }
            channel.wake_served();
            lingering |= channel.is_waited_for();
        }
        let limit = lingering.then_some(self.pause);
        self.pause = (self.pause * 2).min(PUSH_PAUSE_MAX);
        Some(Wait { limit })
    }
}
