//! Metadata of group offsets, which the crate reads only when it is valid text.
//!
//! Place in the flow: [`super::super::transaction`] reads the epoch record with it. Invariant: bytes that others may have written
//! become a value, never a panic.

use rdkafka::TopicPartitionList;

use super::consumer::bytes;

/// The metadata of the first entry of a list; absent without an entry, empty without metadata.
pub(crate) fn first_metadata(list: &TopicPartitionList) -> Option<Vec<u8>> {
    if list.count() == 0 {
        return None;
    }
    // SAFETY: the list is alive and has a first entry, whose metadata, unless null, has the length that stands beside it; it is
    // copied before the list can change.
    unsafe {
        let entry = &*(*list.ptr()).elems;
        Some(
            bytes(entry.metadata.cast_const(), entry.metadata_size)
                .unwrap_or_default()
                .to_vec(),
        )
    }
}
