//! Queues between subtasks, bounded in bytes.
//!
//! Place in the flow: the output of one subtask pushes, the gate of another pops. Invariant: a queue has one producer and one
//! consumer, keeps order, and is over its bound by at most what one step emits.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::batch::StreamElement;
use crate::task::Waker;

/// A queue between two subtasks.
#[derive(Debug)]
pub(super) struct Queue {
    /// Elements and their bytes.
    inner: Mutex<Inner>,
    /// Bytes of all elements, to be read without the lock.
    bytes: AtomicUsize,
    /// Bytes from which on the producer must wait.
    capacity_bytes: usize,
    /// The producer's slot, when it is another one than the consumer's.
    producer: Option<Waker>,
    /// The consumer's slot, when it is another one than the producer's.
    consumer: Option<Waker>,
}

/// Elements and their bytes.
#[derive(Debug, Default)]
struct Inner {
    /// Oldest first.
    elements: VecDeque<(StreamElement, usize)>,
    /// Bytes of all elements.
    bytes: usize,
}

/// Bytes that an element counts beside its rows, so that control elements are bounded too (guess, unmeasured).
const ELEMENT_BYTES: usize = 64;

impl Queue {
    /// An empty queue between two slots; `same_slot` when both ends run in one, which needs no wake-ups.
    pub(super) fn new(
        capacity_bytes: usize,
        producer: &Waker,
        consumer: &Waker,
        same_slot: bool,
    ) -> Arc<Self> {
        let waker = |waker: &Waker| (!same_slot).then(|| waker.clone());
        Arc::new(Self {
            inner: Mutex::default(),
            bytes: AtomicUsize::new(0),
            capacity_bytes,
            producer: waker(producer),
            consumer: waker(consumer),
        })
    }

    /// The contents; a panic of the other end does not matter, as it fails the job anyway.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the producer may step.
    pub(super) fn has_room(&self) -> bool {
        self.lock().bytes < self.capacity_bytes
    }

    /// Bytes of all elements.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Appends an element.
    pub(super) fn push(&self, element: StreamElement) {
        let bytes = ELEMENT_BYTES
            + if let StreamElement::Batch(batch) = &element {
                batch.memory_bytes()
            } else {
                0
            };
        let mut inner = self.lock();
        inner.bytes += bytes;
        self.bytes.store(inner.bytes, Ordering::Relaxed);
        inner.elements.push_back((element, bytes));
        drop(inner);
        if let Some(consumer) = &self.consumer {
            consumer.wake();
        }
    }

    /// Takes the oldest element.
    pub(super) fn pop(&self) -> Option<StreamElement> {
        let mut inner = self.lock();
        let was_full = inner.bytes >= self.capacity_bytes;
        let (element, bytes) = inner.elements.pop_front()?;
        inner.bytes -= bytes;
        self.bytes.store(inner.bytes, Ordering::Relaxed);
        let has_room = inner.bytes < self.capacity_bytes;
        drop(inner);
        if was_full
            && has_room
            && let Some(producer) = &self.producer
        {
            producer.wake();
        }
        Some(element)
    }
}
