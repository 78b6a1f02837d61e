//! Native topic handles.
//!
//! Place in the flow: consumers and producers open one per topic. Invariant: whoever opens a handle destroys it, before its client.

use std::ffi::{CStr, CString};
use std::ptr::{self, NonNull};

use rdkafka::bindings as sys;

use crate::error::{Error, Result};

/// A topic name as librdkafka takes it.
pub(super) fn c_name(topic: &str) -> Result<CString> {
    CString::new(topic).map_err(|_| Error::option("a topic name contains a zero byte"))
}

/// Makes the native handle of a topic.
pub(super) fn open_topic(
    client: *mut sys::rd_kafka_t,
    name: &CStr,
) -> Result<NonNull<sys::rd_kafka_topic_t>> {
    // SAFETY: the client is alive, the name is a C string, and a null configuration means the client's own.
    let topic = unsafe { sys::rd_kafka_topic_new(client, name.as_ptr(), ptr::null_mut()) };
    NonNull::new(topic).ok_or_else(|| {
        Error::option(format!(
            "\"{}\" is not a topic name",
            name.to_string_lossy()
        ))
    })
}
