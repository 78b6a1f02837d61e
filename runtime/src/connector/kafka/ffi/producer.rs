//! Writing records in batches, and committing them.
//!
//! Place in the flow: [`super::super::channel`] owns a [`Producer`] and serves its events; every writer has an [`Outlet`] into one
//! topic of it. Invariant: records of a call are taken in order, and none after the first refused one.

use std::ffi::{CStr, CString, c_int, c_void};
use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings::{
    self as sys, rd_kafka_resp_err_t as RespErr, rd_kafka_vtype_t as Vtype,
    rd_kafka_vu_s__bindgen_ty_1 as Argument,
};
use rdkafka::error::RDKafkaError;
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka::types::RDKafkaErrorCode;

use super::bootstrap::Bootstrap;
use super::queue::{Event, Queue, text};
use super::topic::{c_name, open_topic};
use crate::connector::kafka::client::Context;
use crate::error::{Error, Result};
use crate::task::Waker;

/// Records of one produce call. A guess, unmeasured.
pub(crate) const OFFER_MAX: usize = 1_024;

/// The header that carries the kind of change in retract topics.
const OP_HEADER: &CStr = c"op";

/// A record to write; librdkafka copies what it borrows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    /// Key; absent is null.
    pub(crate) key: Option<&'a [u8]>,
    /// Value; absent is null.
    pub(crate) value: Option<&'a [u8]>,
}

/// What stands beside a record where the topic asks for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Extras<'a> {
    /// Epoch milliseconds, above 0; absent is the time of writing.
    pub(crate) timestamp_ms: Option<i64>,
    /// Value of the `op` header.
    pub(crate) op: Option<u8>,
    /// Further headers.
    pub(crate) headers: Vec<(CString, &'a [u8])>,
}

/// How far a produce call came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// Records taken, all of them before the first refused one.
    pub(crate) count: usize,
    /// Why the next one was refused; absent when all that were offered in this call were taken.
    pub(crate) refused: Option<RDKafkaErrorCode>,
}

/// Why librdkafka did not do what a transaction needs, and what it says can be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What.
    pub(crate) code: RDKafkaErrorCode,
    /// In librdkafka's words.
    pub(crate) reason: String,
    /// Whether the client is of no more use.
    pub(crate) fatal: bool,
    /// Whether the same call may be made again.
    pub(crate) retriable: bool,
    /// Whether the transaction can only be aborted.
    pub(crate) abortable: bool,
}

impl From<&RDKafkaError> for Refusal {
    fn from(error: &RDKafkaError) -> Self {
        Self {
            code: error.code(),
            reason: error.string(),
            fatal: error.is_fatal(),
            retriable: error.is_retriable(),
            abortable: error.txn_requires_abort(),
        }
    }
}

/// A client that writes, with the queue of what it reports.
pub(crate) struct Producer {
    /// Where delivery reports and everything else arrive.
    events: Queue,
    /// The client, dropped last.
    client: BaseProducer<Context>,
}

// SAFETY: librdkafka's handles may be used from any thread, several at a time, and the queue's waker is set once, before the value
// is shared.
unsafe impl Send for Producer {}
// SAFETY: as for `Send`.
unsafe impl Sync for Producer {}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").finish_non_exhaustive()
    }
}

impl Producer {
    /// Takes over a client; `waker` is woken when there is something to serve.
    ///
    /// # Errors
    /// `Internal` when librdkafka makes no queue.
    pub(crate) fn new(client: BaseProducer<Context>, waker: Waker) -> Result<Self> {
        // SAFETY: the client is alive and outlives the queue, being dropped after it.
        let mut events =
            Queue::own(unsafe { sys::rd_kafka_queue_get_main(client.client().native_ptr()) })?;
        events.wake_with(waker);
        events.restore_with(Bootstrap::of_producer(&client)?);
        Ok(Self { events, client })
    }

    /// The safe client, for transactions and metadata.
    pub(crate) fn client(&self) -> &BaseProducer<Context> {
        &self.client
    }

    /// Shows everything reported since the last call, at most `max` events.
    pub(crate) fn serve(&self, max: usize, visit: &mut dyn FnMut(Event<'_>)) {
        self.events.serve(max, visit);
    }

    /// Asks librdkafka to send what lingers, and gives its threads `patience` to hear of it: the wish holds only during the call.
    /// Ends early when nothing is outstanding.
    pub(crate) fn push(&self, patience: Duration) {
        // SAFETY: the client is alive. That the call reports a time-out says nothing, since deliveries are counted from their
        // reports.
        unsafe { sys::rd_kafka_flush(self.client.client().native_ptr(), millis(patience)) };
    }

    /// Commits the open transaction. Unlike the crate's own call it serves no events, which are another thread's, and does not wait
    /// in steps of 100 ms. A call that ran out of time may be repeated and goes on where the first one was.
    pub(crate) fn commit(&self, timeout: Duration) -> Result<(), Refusal> {
        // SAFETY: the client is alive.
        let error = unsafe {
            sys::rd_kafka_commit_transaction(self.client.client().native_ptr(), millis(timeout))
        };
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: an error that is not null is ours to read and to destroy, once; its text lives as long as it.
        unsafe {
            let refusal = Refusal {
                code: sys::rd_kafka_error_code(error).into(),
                reason: text(sys::rd_kafka_error_string(error)).into_owned(),
                fatal: sys::rd_kafka_error_is_fatal(error) != 0,
                retriable: sys::rd_kafka_error_is_retriable(error) != 0,
                abortable: sys::rd_kafka_error_txn_requires_abort(error) != 0,
            };
            sys::rd_kafka_error_destroy(error);
            Err(refusal)
        }
    }
}

/// A wait as librdkafka takes it.
fn millis(wait: Duration) -> c_int {
    c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX)
}

/// Writes to one topic of a producer that may be shared.
pub(crate) struct Outlet {
    /// Room for one produce call.
    messages: Vec<sys::rd_kafka_message_t>,
    /// Comes back with every delivery report.
    mark: usize,
    /// The topic's handle, owned.
    topic: NonNull<sys::rd_kafka_topic_t>,
    /// The producer, released last.
    producer: Arc<Producer>,
}

// SAFETY: librdkafka's handles may be used from any thread, and the message array is only valid inside `produce`.
unsafe impl Send for Outlet {}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet").finish_non_exhaustive()
    }
}

impl Outlet {
    /// Opens a topic; `mark` comes back with every delivery report of this outlet.
    ///
    /// # Errors
    /// `Invalid` when the topic has a name that cannot be.
    pub(crate) fn new(producer: Arc<Producer>, topic: &str, mark: usize) -> Result<Self> {
        let topic = open_topic(producer.client.client().native_ptr(), &c_name(topic)?)?;
        Ok(Self {
            messages: Vec::with_capacity(OFFER_MAX),
            mark,
            topic,
            producer,
        })
    }

    /// Offers the first records of an iterator to one partition in one call, in order; the caller goes on with the rest when
    /// all were taken. One partition a call is what makes the batch call cheap.
    ///
    /// # Errors
    /// `Internal` when librdkafka took a record after refusing an earlier one, which would reorder a partition.
    pub(crate) fn produce<'a>(
        &mut self,
        partition: i32,
        records: impl Iterator<Item = Outgoing<'a>>,
    ) -> Result<Accepted> {
        self.messages.clear();
        let mark = self.mark;
        self.messages.extend(
            records
                .take(OFFER_MAX)
                .map(|record| native_message(record, mark)),
        );
        let offered = self.messages.len();
        // SAFETY: the topic is alive, the array has as many messages as said, and their keys and values are borrowed for 'a,
        // which covers the call; with the copy flag librdkafka keeps none of the pointers.
        let taken = unsafe {
            sys::rd_kafka_produce_batch(
                self.topic.as_ptr(),
                partition,
                sys::RD_KAFKA_MSG_F_COPY,
                self.messages.as_mut_ptr(),
                c_int::try_from(offered).unwrap_or(0),
            )
        };
        let first_refused = self
            .messages
            .iter()
            .position(|message| message.err != RespErr::RD_KAFKA_RESP_ERR_NO_ERROR);
        let accepted = Accepted {
            count: first_refused.unwrap_or(offered),
            refused: first_refused.map(|index| self.messages[index].err.into()),
        };
        self.messages.clear();
        if usize::try_from(taken).ok() == Some(accepted.count) {
            Ok(accepted)
        } else {
            Err(Error::internal(
                "librdkafka took a record after it had refused an earlier one of the same batch",
            ))
        }
    }

    /// Offers one record with a timestamp or headers.
    pub(crate) fn produce_with(
        &mut self,
        partition: i32,
        record: Outgoing<'_>,
        extras: &Extras<'_>,
    ) -> Result<(), RDKafkaErrorCode> {
        let op = extras.op.unwrap_or_default();
        let mut arguments = vec![
            argument(
                Vtype::RD_KAFKA_VTYPE_RKT,
                Argument {
                    rkt: self.topic.as_ptr(),
                },
            ),
            argument(
                Vtype::RD_KAFKA_VTYPE_PARTITION,
                Argument { i32_: partition },
            ),
            argument(
                Vtype::RD_KAFKA_VTYPE_MSGFLAGS,
                Argument {
                    i: sys::RD_KAFKA_MSG_F_COPY,
                },
            ),
            argument(
                Vtype::RD_KAFKA_VTYPE_OPAQUE,
                Argument {
                    ptr: ptr::without_provenance_mut(self.mark),
                },
            ),
            argument(Vtype::RD_KAFKA_VTYPE_KEY, memory(record.key)),
            argument(Vtype::RD_KAFKA_VTYPE_VALUE, memory(record.value)),
        ];
        if let Some(timestamp_ms) = extras.timestamp_ms {
            arguments.push(argument(
                Vtype::RD_KAFKA_VTYPE_TIMESTAMP,
                Argument { i64_: timestamp_ms },
            ));
        }
        let own = extras.headers.iter().map(|(name, value)| (&**name, *value));
        let op = extras.op.map(|_| (OP_HEADER, std::slice::from_ref(&op)));
        arguments.extend(own.chain(op).map(|(name, value)| {
            let header = sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_2 {
                name: name.as_ptr(),
                val: value.as_ptr().cast(),
                size: isize::try_from(value.len()).unwrap_or(isize::MAX),
            };
            argument(Vtype::RD_KAFKA_VTYPE_HEADER, Argument { header })
        }));
        // SAFETY: client and topic are alive; every argument has the field set that its type names; keys, values and
        // headers live through the call and are copied by it.
        let error = unsafe {
            sys::rd_kafka_produceva(
                self.producer.client.client().native_ptr(),
                arguments.as_ptr(),
                arguments.len(),
            )
        };
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: an error that is not null is ours to read and to destroy, once.
        let code = unsafe {
            let code = sys::rd_kafka_error_code(error);
            sys::rd_kafka_error_destroy(error);
            code
        };
        Err(code.into())
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        // SAFETY: the topic is ours, and nothing uses it after this; the producer follows.
        unsafe { sys::rd_kafka_topic_destroy(self.topic.as_ptr()) };
    }
}

/// A produce argument.
fn argument(vtype: Vtype, u: Argument) -> sys::rd_kafka_vu_t {
    sys::rd_kafka_vu_t { vtype, u }
}

/// Bytes as a produce argument.
fn memory(data: Option<&[u8]>) -> Argument {
    let (ptr, size) = raw(data);
    Argument {
        mem: sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size },
    }
}

/// Pointer and length of bytes; absent is null. librdkafka takes a mutable pointer and does not write through it.
fn raw(data: Option<&[u8]>) -> (*mut c_void, usize) {
    data.map_or((ptr::null_mut(), 0), |data| {
        (data.as_ptr().cast_mut().cast(), data.len())
    })
}

/// A record as the batch call takes it.
fn native_message(record: Outgoing<'_>, mark: usize) -> sys::rd_kafka_message_t {
    let (key, key_len) = raw(record.key);
    let (payload, len) = raw(record.value);
    sys::rd_kafka_message_t {
        err: RespErr::RD_KAFKA_RESP_ERR_NO_ERROR,
        rkt: ptr::null_mut(),
        partition: 0,
        payload,
        len,
        key,
        key_len,
        offset: 0,
        _private: ptr::without_provenance_mut(mark),
    }
}
