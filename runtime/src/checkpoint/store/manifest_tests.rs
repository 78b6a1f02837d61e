//! Tests of the stored form of manifests.
//!
//! Place in the flow: unit tests of [`super`]. Invariant: no damage goes unnoticed, and nothing foreign is taken for ours.

use super::*;
use crate::checkpoint::entry::KeyGroupDelta;
use crate::checkpoint::store::segment::SegmentWriter;
use crate::connector::source::SplitPosition;
use crate::error::Kind;
use proptest::prelude::*;

/// A manifest with every kind of content.
fn example() -> Manifest {
    let position = SplitPosition {
        topic: "orders".into(),
        partition: 3,
        offset: 42,
    };
    let mut manifest = Manifest {
        statement_uid: "uid-1".into(),
        statement_name: "totals".into(),
        run: "run-1".into(),
        epoch: 12,
        created_at_ms: 1_700_000_000_000,
        plan_hash: 0xfeed,
        purpose: Purpose::Checkpoint,
        nodes: BTreeMap::from([(
            1,
            Node {
                splits: vec![SplitState {
                    position,
                    watermark_ms: Some(7),
                    rows_watermark_ms: None,
                }],
                watermark_ms: Some(-5),
                prepared: vec!["part-0".into()],
                chains: BTreeMap::new(),
            },
        )]),
    };
    for epoch in [11, 12] {
        let mut writer = SegmentWriter::default();
        for (node, key_group) in [(3, 0), (3, 127), (5, 0)] {
            let entries = vec![7; 10 + key_group as usize];
            writer.push(node, KeyGroupDelta { key_group, entries });
        }
        let name = name::segment(&CheckpointName::new("run-1", epoch), "0.x.0");
        manifest.append(writer.finish(&name).1);
    }
    manifest
}

/// Bytes of a manifest with another version and a good checksum.
fn of_version(version: u32) -> Vec<u8> {
    let mut bytes = example().encode().unwrap();
    bytes[8..12].copy_from_slice(&version.to_le_bytes());
    let end = bytes.len() - CRC_BYTES;
    let crc = crc32c::crc32c(&bytes[..end]);
    bytes[end..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn what_is_stored_is_read_back_and_equal_manifests_have_equal_bytes() {
    let manifest = example();
    let bytes = manifest.encode().unwrap();
    assert_eq!(Manifest::decode(&bytes).unwrap(), manifest);
    assert_eq!(example().encode().unwrap(), bytes);
    assert_eq!(manifest.segments().len(), 2);
    assert_eq!(manifest.state_bytes(), 2 * (10 + 137 + 10));
}

#[test]
fn every_flipped_byte_and_every_cut_is_noticed() {
    let bytes = example().encode().unwrap();
    for at in 0..bytes.len() {
        for change in [0x01, 0x10, 0x80, 0xff] {
            let mut flipped = bytes.clone();
            flipped[at] ^= change;
            let error = Manifest::decode(&flipped).unwrap_err();
            assert_eq!(error.kind, Kind::Corrupt, "byte {at}");
        }
        assert!(Manifest::decode(&bytes[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn foreign_manifests_are_refused_each_with_its_own_error() {
    let manifest = example();
    let owner = Owner {
        statement_uid: "uid-1",
        plan_hash: 0xfeed,
    };
    manifest.ensure_owner(owner).unwrap();
    let of_other = manifest.ensure_owner(Owner {
        statement_uid: "uid-2",
        ..owner
    });
    let of_other_plan = manifest.ensure_owner(Owner {
        plan_hash: 1,
        ..owner
    });
    let (of_other, of_other_plan) = (of_other.unwrap_err(), of_other_plan.unwrap_err());
    assert_eq!(
        (of_other.kind, of_other_plan.kind),
        (Kind::Invalid, Kind::Invalid)
    );
    assert!(
        of_other.message.contains("belongs to statement totals"),
        "{of_other}"
    );
    assert!(
        of_other_plan.message.contains("another plan"),
        "{of_other_plan}"
    );
    let of_version = Manifest::decode(&of_version(3)).unwrap_err();
    assert_eq!(of_version.kind, Kind::Unsupported);
    assert!(
        of_version.message.contains("format version 3"),
        "{of_version}"
    );
    assert_eq!(
        Manifest::decode(b"WEIRCHK1").unwrap_err().kind,
        Kind::Corrupt
    );
}

#[test]
fn a_replacement_fits_only_the_chain_it_was_made_for() {
    let manifest = example();
    let chain = &manifest.nodes[&3].chains[&0];
    let replacement = |by: Option<Slice>| Replacement {
        node: 3,
        key_group: 0,
        from: 0,
        replaced: chain.clone(),
        by,
    };
    let mut next = manifest.clone();
    next.splice(&replacement(Some(chain[1].clone()))).unwrap();
    assert_eq!(next.nodes[&3].chains[&0], chain[1..]);
    let again = next.splice(&replacement(None)).unwrap_err();
    assert_eq!(again.kind, Kind::Internal);
    let mut emptied = manifest.clone();
    emptied.splice(&replacement(None)).unwrap();
    assert!(!emptied.nodes[&3].chains.contains_key(&0));
}

proptest! {
    /// Whatever bytes there are, reading them ends in a manifest or an error.
    #[test]
    fn random_headers_never_panic(header in prop::collection::vec(any::<u8>(), 0..200), cut in 0_usize..40) {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&(header.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&header);
        bytes.truncate(bytes.len().saturating_sub(cut));
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        prop_assert!(Manifest::decode(&bytes).is_err());
    }
}
