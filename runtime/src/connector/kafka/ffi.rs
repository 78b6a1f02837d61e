//! What librdkafka offers and the `rdkafka` crate does not: batch consume and produce, queue wake-ups, end-of-partition offsets.
//!
//! Place in the flow: [`super::source`] reads through [`Consumer`], [`super::sink`] writes through [`Producer`]. Invariant:
//! every native pointer is owned by a value that is dropped before the client it came from, and nothing borrowed from
//! librdkafka outlives the call that lends it. The file is long because all unsafe code of the crate is to stand in one place.

#![expect(
    unsafe_code,
    reason = "librdkafka is a C library and its batch calls have no safe wrapper"
)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;

use rdkafka::bindings::{
    self as sys, rd_kafka_resp_err_t as RespErr, rd_kafka_vtype_t as Vtype,
    rd_kafka_vu_s__bindgen_ty_1 as Argument,
};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka::types::RDKafkaErrorCode;

use super::client::Context;
use crate::connector::source::TimestampType;
use crate::error::{Error, Result};
use crate::task::Waker;

/// Messages of one consume call: a fetch of small records is taken in a few calls, and the array stays in the nearest cache.
/// 1,000 was measured; more was not.
const CONSUME_MAX: usize = 1_024;

/// Messages of one produce call. A guess, unmeasured.
const PRODUCE_MAX: usize = 1_024;

/// The header that carries the kind of change in retract topics.
const OP_HEADER: &CStr = c"op";

/// A native queue of a client.
struct Queue {
    /// The queue, owned.
    queue: NonNull<sys::rd_kafka_queue_t>,
    /// Called by librdkafka while the queue is set to wake; boxed so that its address is fixed.
    waker: Option<Box<Waker>>,
}

impl Queue {
    /// Takes over a queue that librdkafka has handed out.
    fn own(queue: *mut sys::rd_kafka_queue_t) -> Result<Self> {
        NonNull::new(queue)
            .map(|queue| Self { queue, waker: None })
            .ok_or_else(|| Error::internal("librdkafka made no queue"))
    }

    /// Wakes the slot whenever the queue becomes non-empty.
    fn wake_with(&mut self, waker: Waker) {
        let waker: &Waker = self.waker.insert(Box::new(waker));
        // SAFETY: the queue is alive, and the boxed waker stays where it is until the callback is taken off in `drop`:
        // this is called once, right after `own`.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(
                self.queue.as_ptr(),
                Some(wake),
                ptr::from_ref(waker).cast_mut().cast(),
            );
        }
    }

    /// Operations in the queue.
    fn len(&self) -> usize {
        // SAFETY: the queue is alive.
        unsafe { sys::rd_kafka_queue_length(self.queue.as_ptr()) }
    }

    /// Shows what pending events say, at most `max`, without waiting. What is left is taken by the next call, for which no
    /// wake-up comes, so the caller must not stop before the queue is empty unless it calls again by itself.
    fn serve(&self, max: usize, visit: &mut dyn FnMut(Event<'_>)) {
        for _ in 0..max {
            if self.len() == 0 {
                return;
            }
            // SAFETY: the queue is alive; the event returned is owned here and destroyed below.
            let event = unsafe { sys::rd_kafka_queue_poll(self.queue.as_ptr(), 0) };
            if event.is_null() {
                // What was queued was served by librdkafka itself.
                continue;
            }
            show_event(event, visit);
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
            sys::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
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
pub(super) enum Event<'a> {
    /// Records whose delivery is acknowledged.
    Delivered {
        /// How many.
        count: u64,
    },
    /// A record that will not be delivered.
    DeliveryFailed {
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
        /// The line.
        text: &'a str,
    },
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
                // SAFETY: the call succeeded, so the line is a C string that lives as long as the event.
                let line = unsafe { text(line) };
                visit(Event::Log { level, text: &line });
            }
        }
        _ => {}
    }
}

/// Counts acknowledged records of a delivery report and shows the failed ones.
fn show_deliveries(event: *mut sys::rd_kafka_event_t, visit: &mut dyn FnMut(Event<'_>)) {
    let mut count = 0;
    // SAFETY: the event is a delivery report and owned by the caller; each message lives as long as it.
    while let Some(message) = unsafe { sys::rd_kafka_event_message_next(event).as_ref() } {
        if message.err == RespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            count += 1;
        } else {
            visit(Event::DeliveryFailed {
                partition: message.partition,
                code: message.err.into(),
            });
        }
    }
    if count > 0 {
        visit(Event::Delivered { count });
    }
}

/// A C string as text; null is empty.
///
/// # Safety
/// A pointer that is not null is a C string that lives as long as the result is used.
unsafe fn text<'a>(string: *const c_char) -> std::borrow::Cow<'a, str> {
    if string.is_null() {
        return std::borrow::Cow::Borrowed("");
    }
    // SAFETY: promised by the caller.
    unsafe { CStr::from_ptr(string) }.to_string_lossy()
}

/// A topic name as librdkafka takes it.
fn c_name(topic: &str) -> Result<CString> {
    CString::new(topic).map_err(|_| Error::option("a topic name contains a zero byte"))
}

/// Makes the native handle of a topic.
fn open_topic(client: *mut sys::rd_kafka_t, name: &CStr) -> Result<NonNull<sys::rd_kafka_topic_t>> {
    // SAFETY: the client is alive, the name is a C string, and a null configuration means the client's own.
    let topic = unsafe { sys::rd_kafka_topic_new(client, name.as_ptr(), ptr::null_mut()) };
    NonNull::new(topic).ok_or_else(|| {
        Error::option(format!(
            "\"{}\" is not a topic name",
            name.to_string_lossy()
        ))
    })
}

/// Something taken from the consume queue.
#[derive(Debug)]
pub(super) enum Fetched<'a> {
    /// A record.
    Record(Record<'a>),
    /// Everything readable of a partition was read.
    EndOfPartition {
        /// Which.
        partition: i32,
        /// The next offset to read.
        offset: i64,
    },
    /// A partition has trouble.
    Failed {
        /// Which.
        partition: i32,
        /// What.
        code: RDKafkaErrorCode,
        /// In librdkafka's words.
        reason: &'a str,
    },
}

/// A record, borrowed from librdkafka for the duration of a visit.
#[derive(Debug)]
pub(super) struct Record<'a> {
    /// Partition.
    pub(super) partition: i32,
    /// Offset.
    pub(super) offset: i64,
    /// Key; absent is null.
    pub(super) key: Option<&'a [u8]>,
    /// Value; absent is null.
    pub(super) value: Option<&'a [u8]>,
    /// Epoch milliseconds, -1 without a timestamp.
    pub(super) timestamp_ms: i64,
    /// What the timestamp means.
    pub(super) timestamp_type: TimestampType,
    /// Headers, parsed when visited.
    pub(super) headers: Headers<'a>,
}

/// The headers of a record.
pub(super) struct Headers<'a> {
    /// The message they belong to.
    message: *const sys::rd_kafka_message_t,
    /// The loan of the message.
    loan: PhantomData<&'a ()>,
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Headers").finish_non_exhaustive()
    }
}

impl Headers<'_> {
    /// No headers, for records that tests make up.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self {
            message: ptr::null(),
            loan: PhantomData,
        }
    }

    /// Shows name and value of each header in order.
    pub(super) fn visit(&self, mut visit: impl FnMut(&[u8], Option<&[u8]>)) {
        if self.message.is_null() {
            return;
        }
        let mut headers = ptr::null_mut();
        // SAFETY: the message is on loan from the consume call, and the place is valid for writing. The headers stay owned by
        // the message.
        let status = unsafe { sys::rd_kafka_message_headers(self.message, &raw mut headers) };
        if status != RespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return;
        }
        for index in 0.. {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the headers live as long as the message, and the three places are valid for writing.
            let status = unsafe {
                sys::rd_kafka_header_get_all(
                    headers,
                    index,
                    &raw mut name,
                    &raw mut value,
                    &raw mut size,
                )
            };
            if status != RespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return;
            }
            // SAFETY: the call succeeded: the name is a C string, and a value that is not null has `size` bytes; both live as
            // long as the message.
            let (name, value) = unsafe { (CStr::from_ptr(name), bytes(value, size)) };
            visit(name.to_bytes(), value);
        }
    }
}

/// Bytes at a pointer; null is absent.
///
/// # Safety
/// A pointer that is not null has `len` readable bytes that live as long as the result is used.
unsafe fn bytes<'a>(data: *const c_void, len: usize) -> Option<&'a [u8]> {
    if data.is_null() {
        return None;
    }
    // SAFETY: promised by the caller.
    Some(unsafe { slice::from_raw_parts(data.cast(), len) })
}

/// Reads partitions of one topic into one queue, without a consumer group.
pub(super) struct Consumer {
    /// Room for one consume call.
    messages: Vec<*mut sys::rd_kafka_message_t>,
    /// Partitions being fetched.
    started: Vec<i32>,
    /// The topic's handle, owned.
    topic: NonNull<sys::rd_kafka_topic_t>,
    /// The topic's name.
    name: CString,
    /// Where fetched records arrive.
    records: Queue,
    /// Where everything else arrives.
    events: Queue,
    /// The client, dropped last.
    client: BaseConsumer<Context>,
}

// SAFETY: librdkafka's handles may be used from any thread, and the message pointers are only valid inside `consume`.
unsafe impl Send for Consumer {}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("topic", &self.name)
            .field("started", &self.started)
            .finish_non_exhaustive()
    }
}

impl Consumer {
    /// Takes over a client that has no group; `waker` is woken when there is something to take.
    pub(super) fn new(client: BaseConsumer<Context>, topic: &str, waker: Waker) -> Result<Self> {
        let name = c_name(topic)?;
        let native = client.client().native_ptr();
        // SAFETY: the client is alive and outlives both queues, being dropped after them.
        let (mut records, mut events) = unsafe {
            (
                Queue::own(sys::rd_kafka_queue_new(native))?,
                Queue::own(sys::rd_kafka_queue_get_main(native))?,
            )
        };
        let topic = open_topic(native, &name)?;
        records.wake_with(waker.clone());
        events.wake_with(waker);
        Ok(Self {
            messages: vec![ptr::null_mut(); CONSUME_MAX],
            started: Vec::new(),
            topic,
            name,
            records,
            events,
            client,
        })
    }

    /// The safe client, for metadata and pauses.
    pub(super) fn client(&self) -> &BaseConsumer<Context> {
        &self.client
    }

    /// Begins to fetch a partition at an offset.
    ///
    /// # Errors
    /// `Internal` when librdkafka refuses.
    pub(super) fn start(&mut self, partition: i32, offset: i64) -> Result<()> {
        // SAFETY: topic and queue are alive, and stay so until the partition is stopped in `drop`.
        let status = unsafe {
            sys::rd_kafka_consume_start_queue(
                self.topic.as_ptr(),
                partition,
                offset,
                self.records.queue.as_ptr(),
            )
        };
        if status == 0 {
            self.started.push(partition);
            return Ok(());
        }
        // SAFETY: reads a thread-local of librdkafka.
        let code: RDKafkaErrorCode = unsafe { sys::rd_kafka_last_error() }.into();
        Err(Error::internal(format!(
            "librdkafka does not fetch partition {partition} at offset {offset}: {code}"
        )))
    }

    /// Takes what has been fetched, at most `max`, without waiting, and shows it in order. Returns how many were taken.
    pub(super) fn consume(&mut self, max: usize, mut visit: impl FnMut(Fetched<'_>)) -> usize {
        let room = max.min(self.messages.len());
        // SAFETY: the queue is alive, and the array has room for as many pointers as asked for.
        let taken = unsafe {
            sys::rd_kafka_consume_batch_queue(
                self.records.queue.as_ptr(),
                0,
                self.messages.as_mut_ptr(),
                room,
            )
        };
        let taken = usize::try_from(taken).unwrap_or(0);
        for message in &self.messages[..taken] {
            // SAFETY: librdkafka filled the first `taken` places with messages that are ours until destroyed, which happens
            // once, after the visit; nothing that is shown outlives it.
            unsafe {
                visit(fetched(*message));
                sys::rd_kafka_message_destroy(*message);
            }
        }
        taken
    }

    /// Shows pending events, at most `max`.
    pub(super) fn serve(&self, max: usize, visit: &mut dyn FnMut(Event<'_>)) {
        self.events.serve(max, visit);
    }

    /// The end of a partition as of the last fetch; absent before the first. It counts open transactions.
    pub(super) fn high_watermark(&self, partition: i32) -> Option<i64> {
        let (mut low, mut high) = (-1, -1);
        // SAFETY: the client is alive, the name is a C string, and both places are valid for writing.
        let status = unsafe {
            sys::rd_kafka_get_watermark_offsets(
                self.client.client().native_ptr(),
                self.name.as_ptr(),
                partition,
                &raw mut low,
                &raw mut high,
            )
        };
        (status == RespErr::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        for partition in &self.started {
            // SAFETY: topic and client are alive; each partition was started once and is stopped once, as librdkafka demands
            // before a client is destroyed.
            unsafe { sys::rd_kafka_consume_stop(self.topic.as_ptr(), *partition) };
        }
        // SAFETY: the topic is ours, and nothing uses it after this; queues and client follow.
        unsafe { sys::rd_kafka_topic_destroy(self.topic.as_ptr()) };
    }
}

/// A native message as what it says.
///
/// # Safety
/// The message is valid as long as the result is used.
unsafe fn fetched<'a>(message: *const sys::rd_kafka_message_t) -> Fetched<'a> {
    // SAFETY: promised by the caller; payload and key have the lengths that stand beside them.
    unsafe {
        let native = &*message;
        let value = bytes(native.payload, native.len);
        match native.err {
            RespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {
                let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
                let timestamp_ms = sys::rd_kafka_message_timestamp(message, &raw mut kind);
                Fetched::Record(Record {
                    partition: native.partition,
                    offset: native.offset,
                    key: bytes(native.key, native.key_len),
                    value,
                    timestamp_ms,
                    timestamp_type: timestamp_type(kind),
                    headers: Headers {
                        message,
                        loan: PhantomData,
                    },
                })
            }
            RespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF => Fetched::EndOfPartition {
                partition: native.partition,
                offset: native.offset,
            },
            code => Fetched::Failed {
                partition: native.partition,
                code: code.into(),
                reason: value
                    .and_then(|value| std::str::from_utf8(value).ok())
                    .unwrap_or_default(),
            },
        }
    }
}

/// What librdkafka's timestamp type means.
fn timestamp_type(kind: sys::rd_kafka_timestamp_type_t) -> TimestampType {
    use sys::rd_kafka_timestamp_type_t as Native;
    match kind {
        Native::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => TimestampType::None,
        Native::RD_KAFKA_TIMESTAMP_CREATE_TIME => TimestampType::CreateTime,
        Native::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => TimestampType::LogAppendTime,
    }
}

/// A record to write; librdkafka copies what it borrows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outgoing<'a> {
    /// Key; absent is null.
    pub(super) key: Option<&'a [u8]>,
    /// Value; absent is null.
    pub(super) value: Option<&'a [u8]>,
}

/// What stands beside a record where the topic asks for it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Extras {
    /// Epoch milliseconds, above 0; absent is the time of writing.
    pub(super) timestamp_ms: Option<i64>,
    /// Value of the `op` header.
    pub(super) op: Option<u8>,
}

/// How far a produce call came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Accepted {
    /// Records taken, all of them before the first refused one.
    pub(super) count: usize,
    /// Why the next one was refused; absent when all that were offered in this call were taken.
    pub(super) refused: Option<RDKafkaErrorCode>,
}

/// Writes to one topic.
pub(super) struct Producer {
    /// Room for one produce call.
    messages: Vec<sys::rd_kafka_message_t>,
    /// The topic's handle, owned.
    topic: NonNull<sys::rd_kafka_topic_t>,
    /// Where delivery reports and everything else arrive.
    events: Queue,
    /// The client, dropped last.
    client: BaseProducer<Context>,
}

// SAFETY: librdkafka's handles may be used from any thread, and the message array is only valid inside `produce`.
unsafe impl Send for Producer {}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").finish_non_exhaustive()
    }
}

impl Producer {
    /// Takes over a client; `waker` is woken when deliveries are reported.
    pub(super) fn new(client: BaseProducer<Context>, topic: &str, waker: Waker) -> Result<Self> {
        let name = c_name(topic)?;
        let native = client.client().native_ptr();
        // SAFETY: the client is alive and outlives the queue, being dropped after it.
        let mut events = Queue::own(unsafe { sys::rd_kafka_queue_get_main(native) })?;
        let topic = open_topic(native, &name)?;
        events.wake_with(waker);
        Ok(Self {
            messages: Vec::with_capacity(PRODUCE_MAX),
            topic,
            events,
            client,
        })
    }

    /// Offers the first records of an iterator to one partition in one call, in order; the caller goes on with the rest when
    /// all were taken. One
    /// partition a call is what makes the batch call cheap.
    ///
    /// # Errors
    /// `Internal` when librdkafka took a record after refusing an earlier one, which would reorder a partition.
    pub(super) fn produce<'a>(
        &mut self,
        partition: i32,
        records: impl Iterator<Item = Outgoing<'a>>,
    ) -> Result<Accepted> {
        self.messages.clear();
        self.messages
            .extend(records.take(PRODUCE_MAX).map(native_message));
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

    /// Offers one record with a timestamp or a header.
    pub(super) fn produce_with(
        &mut self,
        partition: i32,
        record: Outgoing<'_>,
        extras: Extras,
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
            argument(Vtype::RD_KAFKA_VTYPE_KEY, memory(record.key)),
            argument(Vtype::RD_KAFKA_VTYPE_VALUE, memory(record.value)),
        ];
        if let Some(timestamp_ms) = extras.timestamp_ms {
            arguments.push(argument(
                Vtype::RD_KAFKA_VTYPE_TIMESTAMP,
                Argument { i64_: timestamp_ms },
            ));
        }
        if extras.op.is_some() {
            let header = sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_2 {
                name: OP_HEADER.as_ptr(),
                val: ptr::from_ref(&op).cast(),
                size: 1,
            };
            arguments.push(argument(Vtype::RD_KAFKA_VTYPE_HEADER, Argument { header }));
        }
        // SAFETY: client and topic are alive; every argument has the field set that its type names; keys, values and the
        // header live through the call and are copied by it.
        let error = unsafe {
            sys::rd_kafka_produceva(
                self.client.client().native_ptr(),
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

    /// Shows everything reported since the last call, at most `max` events.
    pub(super) fn serve(&self, max: usize, visit: &mut dyn FnMut(Event<'_>)) {
        self.events.serve(max, visit);
    }

    /// Asks librdkafka to send what lingers, without waiting for it.
    pub(super) fn kick(&self) {
        // SAFETY: the client is alive. With no time to wait the call only wakes the broker threads; that it reports a
        // time-out says nothing, since deliveries are counted from their reports.
        unsafe { sys::rd_kafka_flush(self.client.client().native_ptr(), 0) };
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // SAFETY: the topic is ours, and nothing uses it after this; queue and client follow.
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
fn native_message(record: Outgoing<'_>) -> sys::rd_kafka_message_t {
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
        _private: ptr::null_mut(),
    }
}
