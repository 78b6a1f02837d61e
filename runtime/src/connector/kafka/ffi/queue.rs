//! Native queues: what a client reports beside records, and waking whoever takes it.
//!
//! Place in the flow: consumers and producers hold a [`Queue`]; the visitor of [`Queue::serve`] is shown each [`Event`]. Invariant:
//! a queue's callback does nothing but wake, and is taken off before its waker is freed.

use std::borrow::Cow;
use std::ffi::{CStr, c_char, c_void};
use std::ptr::{self, NonNull};

use rdkafka::bindings::{self as sys, rd_kafka_resp_err_t as RespErr};
use rdkafka::types::RDKafkaErrorCode;

use super::bootstrap::Bootstrap;
use crate::error::{Error, Result};
use crate::task::Waker;

/// A native queue of a client.
pub(super) struct Queue {
    /// The queue, owned.
    pub(super) native: NonNull<sys::rd_kafka_queue_t>,
    /// Called by librdkafka while the queue is set to wake; boxed so that its address is fixed.
    waker: Option<Box<Waker>>,
    /// The client's way back to its brokers; absent for a queue that no statistics come to.
    bootstrap: Option<Bootstrap>,
}

impl Queue {
    /// Takes over a queue that librdkafka has handed out.
    pub(super) fn own(queue: *mut sys::rd_kafka_queue_t) -> Result<Self> {
        NonNull::new(queue)
            .map(|native| Self {
                native,
                waker: None,
                bootstrap: None,
            })
            .ok_or_else(|| Error::internal("librdkafka made no queue"))
    }

    /// Wakes the slot whenever the queue becomes non-empty.
    pub(super) fn wake_with(&mut self, waker: Waker) {
        let waker: &Waker = self.waker.insert(Box::new(waker));
        // SAFETY: the queue is alive, and the boxed waker stays where it is until the callback is taken off in `drop`:
        // this is called once, right after `own`.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(
                self.native.as_ptr(),
                Some(wake),
                ptr::from_ref(waker).cast_mut().cast(),
            );
        }
    }

    /// Brings the client back when its statistics, which come to this queue, say that it has forgotten its brokers.
    pub(super) fn restore_with(&mut self, bootstrap: Bootstrap) {
        self.bootstrap = Some(bootstrap);
    }

    /// Operations in the queue.
    pub(super) fn len(&self) -> usize {
        // SAFETY: the queue is alive.
        unsafe { sys::rd_kafka_queue_length(self.native.as_ptr()) }
    }

    /// Shows what pending events say, at most `max`, without waiting. What is left is taken by the next call, for which no
    /// wake-up comes, so the caller must not stop before the queue is empty unless it calls again by itself.
    pub(super) fn serve(&self, max: usize, visit: &mut dyn FnMut(Event<'_>)) {
        for _ in 0..max {
            if self.len() == 0 {
                return;
            }
            // SAFETY: the queue is alive; the event returned is owned here and destroyed below.
            let event = unsafe { sys::rd_kafka_queue_poll(self.native.as_ptr(), 0) };
            if event.is_null() {
                // What was queued was served by librdkafka itself.
                continue;
            }
            match &self.bootstrap {
                // SAFETY: the event is owned here; its text lives as long as it.
                Some(bootstrap) if unsafe { is_statistics(event) } => {
                    bootstrap.restore(&unsafe { text(sys::rd_kafka_event_stats(event)) });
                }
                _ => show_event(event, visit),
            }
            // SAFETY: the event came from the poll above and nothing borrowed from it is left.
            unsafe { sys::rd_kafka_event_destroy(event) };
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the queue is alive. Taking the callback off locks the queue, under whose lock callbacks run, so that none
        // runs after it; only then are the queue and, after this function, the waker freed.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.native.as_ptr(), None, ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.native.as_ptr());
        }
    }
}

/// The queue callback: wakes the slot. Runs on librdkafka's threads under the queue's lock, so it does nothing else.
unsafe extern "C" fn wake(_client: *mut sys::rd_kafka_t, waker: *mut c_void) {
    // SAFETY: `Queue::wake_with` passed a waker that lives until the callback is taken off.
    unsafe { &*waker.cast::<Waker>() }.wake();
}

/// What a client reports beside records.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// Records whose delivery is acknowledged.
    Delivered {
        /// The mark they were sent with.
        mark: usize,
        /// How many.
        count: u64,
    },
    /// A record that will not be delivered.
    DeliveryFailed {
        /// The mark it was sent with.
        mark: usize,
        /// Where it was to go.
        partition: i32,
        /// Why.
        code: RDKafkaErrorCode,
    },
    /// Trouble with a broker, or a fatal error of the client.
    Failed {
        /// What.
        code: RDKafkaErrorCode,
        /// Whether the client is of no more use.
        fatal: bool,
        /// In librdkafka's words.
        reason: &'a str,
    },
    /// A log line of librdkafka.
    Log {
        /// Syslog level.
        level: i32,
        /// What the line is about, in librdkafka's short names.
        facility: &'a str,
        /// The line.
        text: &'a str,
    },
}

/// Whether an event has statistics.
///
/// # Safety
/// The event is valid.
unsafe fn is_statistics(event: *mut sys::rd_kafka_event_t) -> bool {
    // SAFETY: promised by the caller.
    unsafe { sys::rd_kafka_event_type(event) == sys::RD_KAFKA_EVENT_STATS }
}

/// Shows what an event says.
fn show_event(event: *mut sys::rd_kafka_event_t, visit: &mut dyn FnMut(Event<'_>)) {
    // SAFETY: the caller owns the event.
    match unsafe { sys::rd_kafka_event_type(event) } {
        sys::RD_KAFKA_EVENT_DR => show_deliveries(event, visit),
        sys::RD_KAFKA_EVENT_ERROR => {
            // SAFETY: the event is an error event and owned by the caller; its text lives as long as it.
            let (code, fatal, reason) = unsafe {
                (
                    sys::rd_kafka_event_error(event),
                    sys::rd_kafka_event_error_is_fatal(event) != 0,
                    text(sys::rd_kafka_event_error_string(event)),
                )
            };
            visit(Event::Failed {
                code: code.into(),
                fatal,
                reason: &reason,
            });
        }
        sys::RD_KAFKA_EVENT_LOG => {
            let (mut facility, mut line, mut level) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the event is a log event and owned by the caller; the three places are valid for writing.
            let status = unsafe {
                sys::rd_kafka_event_log(event, &raw mut facility, &raw mut line, &raw mut level)
            };
            if status == 0 {
                // SAFETY: the call succeeded, so both are C strings that live as long as the event.
                let (facility, line) = unsafe { (text(facility), text(line)) };
                visit(Event::Log {
                    level,
                    facility: &facility,
                    text: &line,
                });
            }
        }
        _ => {}
    }
}

/// Counts acknowledged records of a delivery report, those that follow one another with one mark together, and shows the failed
/// ones.
fn show_deliveries(event: *mut sys::rd_kafka_event_t, visit: &mut dyn FnMut(Event<'_>)) {
    let (mut mark, mut count) = (0, 0);
    // SAFETY: the event is a delivery report and owned by the caller; each message lives as long as it.
    while let Some(message) = unsafe { sys::rd_kafka_event_message_next(event).as_ref() } {
        // The opaque pointer is a number that was never a pointer.
        let own = message._private.addr();
        if own != mark && count > 0 {
            visit(Event::Delivered { mark, count });
            count = 0;
        }
        mark = own;
        if message.err == RespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            count += 1;
        } else {
            visit(Event::DeliveryFailed {
                mark,
                partition: message.partition,
                code: message.err.into(),
            });
        }
    }
    if count > 0 {
        visit(Event::Delivered { mark, count });
    }
}

/// A C string as text; null is empty.
///
/// # Safety
/// A pointer that is not null is a C string that lives as long as the result is used.
pub(super) unsafe fn text<'a>(string: *const c_char) -> Cow<'a, str> {
    if string.is_null() {
        return Cow::Borrowed("");
    }
    // SAFETY: promised by the caller.
    unsafe { CStr::from_ptr(string) }.to_string_lossy()
}
