//! Reading partitions of a topic in batches.
//!
//! Place in the flow: [`super::super::source`] reads through [`Consumer`]. Invariant: nothing borrowed from librdkafka outlives the
//! visit that shows it.

use std::ffi::{CStr, CString, c_void};
use std::fmt;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;

use rdkafka::bindings::{self as sys, rd_kafka_resp_err_t as RespErr};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::types::RDKafkaErrorCode;

use super::bootstrap::Bootstrap;
use super::queue::{Event, Queue};
use super::topic::{c_name, open_topic};
use crate::connector::kafka::client::Context;
use crate::connector::source::TimestampType;
use crate::error::{Error, Result};
use crate::task::Waker;

/// Messages of one consume call: a fetch of small records is taken in a few calls, and the array stays in the nearest cache.
/// 1,000 was measured; more was not.
const CONSUME_MAX: usize = 1_024;

/// Something taken from the consume queue.
#[derive(Debug)]
pub(crate) enum Fetched<'a> {
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
pub(crate) struct Record<'a> {
    /// Partition.
    pub(crate) partition: i32,
    /// Offset.
    pub(crate) offset: i64,
    /// Key; absent is null.
    pub(crate) key: Option<&'a [u8]>,
    /// Value; absent is null.
    pub(crate) value: Option<&'a [u8]>,
    /// Epoch milliseconds, -1 without a timestamp.
    pub(crate) timestamp_ms: i64,
    /// What the timestamp means.
    pub(crate) timestamp_type: TimestampType,
    /// Headers, parsed when visited.
    pub(crate) headers: Headers<'a>,
}

/// The headers of a record.
pub(crate) struct Headers<'a> {
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
    pub(crate) fn none() -> Self {
        Self {
            message: ptr::null(),
            loan: PhantomData,
        }
    }

    /// Shows name and value of each header in order.
    pub(crate) fn visit(&self, mut visit: impl FnMut(&[u8], Option<&[u8]>)) {
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
pub(super) unsafe fn bytes<'a>(data: *const c_void, len: usize) -> Option<&'a [u8]> {
    if data.is_null() {
        return None;
    }
    // SAFETY: promised by the caller.
    Some(unsafe { slice::from_raw_parts(data.cast(), len) })
}

/// Reads partitions of one topic into one queue, without a consumer group.
pub(crate) struct Consumer {
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
    pub(crate) fn new(client: BaseConsumer<Context>, topic: &str, waker: Waker) -> Result<Self> {
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
        events.restore_with(Bootstrap::of_consumer(&client)?);
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
    pub(crate) fn client(&self) -> &BaseConsumer<Context> {
        &self.client
    }

    /// Begins to fetch a partition at an offset.
    ///
    /// # Errors
    /// `Internal` when librdkafka refuses.
    pub(crate) fn start(&mut self, partition: i32, offset: i64) -> Result<()> {
        // SAFETY: topic and queue are alive, and stay so until the partition is stopped in `drop`.
        let status = unsafe {
            sys::rd_kafka_consume_start_queue(
                self.topic.as_ptr(),
                partition,
                offset,
                self.records.native.as_ptr(),
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
    pub(crate) fn consume(&mut self, max: usize, mut visit: impl FnMut(Fetched<'_>)) -> usize {
        let room = max.min(self.messages.len());
        // SAFETY: the queue is alive, and the array has room for as many pointers as asked for.
        let taken = unsafe {
            sys::rd_kafka_consume_batch_queue(
                self.records.native.as_ptr(),
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
    pub(crate) fn serve(&self, max: usize, visit: &mut dyn FnMut(Event<'_>)) {
        self.events.serve(max, visit);
    }

    /// The end of a partition as of the last fetch; absent before the first. It counts open transactions.
    pub(crate) fn high_watermark(&self, partition: i32) -> Option<i64> {
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
