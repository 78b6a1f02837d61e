//! What is exported of a statement: one JSON document with checksums.
//!
//! Place in the flow: written by an export, read by an import of the same or a later version. Invariant: a changed byte anywhere in the
//! manifest or in an object it names is noticed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::error::{Error, Result};
use crate::statement::InitialOffsets;

/// The version of the form.
pub(super) const MANIFEST_VERSION: u32 = 1;

/// What the documents say they are.
const FORMAT: &str = "weir-statement";

/// Everything of an exported statement but the bytes of its savepoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// What this is: `weir-statement`.
    pub format: String,
    /// `MANIFEST_VERSION` of the writer.
    pub version: u32,
    /// When it was exported, epoch milliseconds.
    pub exported_at_ms: i64,
    /// The statement.
    pub statement: ExportedStatement,
    /// Its stored plan as text: it is restored, never planned again.
    pub plan: String,
    /// Tables it reads and writes.
    pub tables: Vec<ExportedTable>,
    /// The state it goes on from; absent for one that never had a checkpoint.
    pub savepoint: Option<ExportedSavepoint>,
    /// xxh3-128 of this document with this member empty.
    pub checksum: String,
}

/// The definition of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedStatement {
    /// Name.
    pub name: String,
    /// Unique id.
    pub uid: String,
    /// SQL text.
    pub sql: String,
    /// Properties.
    pub properties: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Pool it ran in.
    pub pool_id: String,
    /// Principal it ran as.
    pub principal: String,
    /// Slots.
    pub parallelism: u32,
    /// What clients are told of its shape.
    pub traits: Option<crate::statement::Traits>,
}

/// A table as the plan has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedTable {
    /// Name for people.
    pub name: String,
    /// JSON of the definition.
    pub definition: String,
}

/// A savepoint and its objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedSavepoint {
    /// Name.
    pub name: String,
    /// The epoch of its state.
    pub epoch: u64,
    /// Next offsets by topic.
    pub offsets: BTreeMap<String, String>,
    /// Where sources began when its run started.
    pub initial_offsets: InitialOffsets,
    /// When it was taken, epoch milliseconds.
    pub created_at_ms: i64,
    /// Its objects.
    pub objects: Vec<ExportedObject>,
}

/// An object of a savepoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedObject {
    /// Name relative to the savepoint.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// xxh3-128 of its bytes, 32 hexadecimal digits.
    pub checksum: String,
}

impl Manifest {
    /// A manifest with its checksum.
    ///
    /// # Errors
    /// `Internal` when it cannot be written as JSON.
    pub(super) fn sealed(mut self) -> Result<Self> {
        FORMAT.clone_into(&mut self.format);
        self.version = MANIFEST_VERSION;
        self.checksum = self.own_checksum()?;
        Ok(self)
    }

    /// Reads a manifest and checks it.
    ///
    /// # Errors
    /// `Invalid` for another document, a later version, a checksum that does not match and names of objects that lead elsewhere.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let refused = |what: &str| Error::Invalid(format!("the manifest is refused: {what}"));
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|error| refused(&error.to_string()))?;
        if manifest.format != FORMAT {
            return Err(refused("it is not that of an exported statement"));
        }
        if manifest.version != MANIFEST_VERSION {
            return Err(refused(&format!(
                "it is of version {}, this weir reads {MANIFEST_VERSION}",
                manifest.version
            )));
        }
        if manifest.own_checksum()? != manifest.checksum {
            return Err(refused(
                "its checksum does not match, so it was damaged or changed",
            ));
        }
        let objects = manifest.objects();
        if let Some(object) = objects.iter().find(|object| !is_inside(&object.name)) {
            return Err(refused(&format!(
                "object \"{}\" has a name that leads elsewhere",
                object.name
            )));
        }
        Ok(manifest)
    }

    /// Objects of its savepoint.
    pub fn objects(&self) -> &[ExportedObject] {
        self.savepoint
            .as_ref()
            .map_or(&[], |savepoint| &savepoint.objects)
    }

    /// The checksum that it should have.
    fn own_checksum(&self) -> Result<String> {
        let bare = Self {
            checksum: String::new(),
            ..self.clone()
        };
        Ok(checksum(&serde_json::to_vec(&bare)?))
    }
}

/// The checksum of bytes.
fn checksum(bytes: &[u8]) -> String {
    format!("{:032x}", xxh3_128(bytes))
}

/// A checksum that is built up piece by piece.
#[derive(Default)]
pub(super) struct Checksum(Xxh3);

impl Checksum {
    /// Adds bytes.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of everything added.
    pub(super) fn finish(&self) -> String {
        format!("{:032x}", self.0.digest128())
    }
}

/// Whether the name of an object stays inside of its savepoint.
pub(super) fn is_inside(name: &str) -> bool {
    name.len() <= 1000
        && name
            .split('/')
            .all(|part| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0']))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A manifest with one object.
    pub(super) fn manifest() -> Manifest {
        Manifest {
            format: String::new(),
            version: 0,
            exported_at_ms: 5,
            statement: ExportedStatement {
                name: "copy".to_owned(),
                uid: "u".to_owned(),
                sql: "INSERT INTO b SELECT * FROM a".to_owned(),
                properties: BTreeMap::new(),
                labels: BTreeMap::new(),
                pool_id: "lfcp-local".to_owned(),
                principal: "u-local".to_owned(),
                parallelism: 1,
                traits: None,
            },
            plan: "{}".to_owned(),
            tables: Vec::new(),
            savepoint: Some(ExportedSavepoint {
                name: "s".to_owned(),
                epoch: 3,
                offsets: BTreeMap::new(),
                initial_offsets: InitialOffsets::default(),
                created_at_ms: 4,
                objects: vec![ExportedObject {
                    name: "segments/1".to_owned(),
                    bytes: 3,
                    checksum: checksum(b"abc"),
                }],
            }),
            checksum: String::new(),
        }
    }

    #[test]
    fn what_was_sealed_is_read_and_every_change_is_noticed() {
        let sealed = manifest().sealed().unwrap();
        let bytes = serde_json::to_vec_pretty(&sealed).unwrap();
        assert_eq!(Manifest::read(&bytes).unwrap(), sealed);
        let text = String::from_utf8(bytes).unwrap();
        for (from, to) in [("\"epoch\": 3", "\"epoch\": 4"), ("copy", "kopy")] {
            let changed = text.replace(from, to);
            let error = Manifest::read(changed.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("checksum"), "{error}");
        }
        assert!(Manifest::read(b"{}").is_err());
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["../x", "/etc/passwd", "a//b", "a/./b", "", "a\\b"] {
            assert!(!is_inside(name), "{name}");
            let mut leading = manifest();
            leading.savepoint.as_mut().unwrap().objects[0].name = name.to_owned();
            let bytes = serde_json::to_vec(&leading.sealed().unwrap()).unwrap();
            assert!(Manifest::read(&bytes).is_err(), "{name}");
        }
        assert!(is_inside("segments/00-1.seg"));
    }

    #[test]
    fn pieces_have_the_checksum_of_the_whole() {
        let mut pieces = Checksum::default();
        pieces.add(b"a");
        pieces.add(b"bc");
        assert_eq!(pieces.finish(), checksum(b"abc"));
    }
}
