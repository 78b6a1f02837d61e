//! JSON framed with the id of its schema.
//!
//! Place in the flow: the formats `json-registry` of keys and values. Invariant: a record is decoded only when its schema id is known
//! to the registry as a JSON Schema, and written only with the id of a registered schema.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};

use crate::batch::Batch;
use crate::error::{Code, Result};
use crate::format::json::{JsonDecoder, JsonEncoder, JsonOptions};
use crate::format::registry::{FRAME_BYTES, MAGIC, SchemaRegistry, SchemaType, json_schema_of};
use crate::format::{Decoded, Decoder, Encoder, Failure, FailureCode, FormatField};
use crate::time::{SharedClock, SystemClock};

/// Schema ids that are remembered, each way.
///
/// # Source
/// Guess, unmeasured: topics have tens of schemas.
const IDS_MAX: usize = 1024;

/// How long an id that the registry did not know is not asked for again.
///
/// # Source
/// Guess, unmeasured: bounds the requests that damaged records cause.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);

/// Decodes framed JSON.
#[derive(Debug)]
pub struct RegistryJsonDecoder {
    /// Knows the schemas.
    registry: Arc<dyn SchemaRegistry>,
    /// Decodes the payloads.
    inner: JsonDecoder,
    /// Ids of JSON Schemas.
    known: HashSet<i32, foldhash::fast::RandomState>,
    /// Ids that do not decode: why, and until when that is believed.
    unknown: HashMap<i32, (String, Duration), foldhash::fast::RandomState>,
    /// Time.
    clock: SharedClock,
}

impl RegistryJsonDecoder {
    /// A decoder of payloads with `inner`, whose options should be [`JsonOptions::registry`].
    pub fn new(registry: Arc<dyn SchemaRegistry>, inner: JsonDecoder) -> Self {
        Self {
            registry,
            inner,
            known: HashSet::default(),
            unknown: HashMap::default(),
            clock: SystemClock::shared(),
        }
    }

    /// The same decoder with another clock.
    #[must_use]
    pub fn with_clock(self, clock: SharedClock) -> Self {
        Self { clock, ..self }
    }

    /// Whether records of a schema decode; the reason when they do not.
    fn check(&mut self, id: i32) -> Result<std::result::Result<(), String>> {
        if self.known.contains(&id) {
            return Ok(Ok(()));
        }
        let now = self.clock.monotonic();
        if let Some((reason, until)) = self.unknown.get(&id)
            && now < *until
        {
            return Ok(Err(reason.clone()));
        }
        let reason = match self.registry.schema(id) {
            Ok(schema) if schema.schema_type == SchemaType::Json => {
                if self.known.len() >= IDS_MAX {
                    self.known.clear();
                }
                self.known.insert(id);
                return Ok(Ok(()));
            }
            Ok(schema) => format!(
                "schema {id} is of type {}, not JSON",
                schema.schema_type.name()
            ),
            Err(error) if error.code == Code::UnknownName => {
                format!("schema {id} is not in the registry")
            }
            Err(error) => return Err(error),
        };
        if self.unknown.len() >= IDS_MAX {
            self.unknown.clear();
        }
        self.unknown.insert(id, (reason.clone(), now + UNKNOWN_FOR));
        Ok(Err(reason))
    }

    /// The payload of a record; the reason when there is none.
    fn payload<'a>(&mut self, record: &'a [u8]) -> Result<std::result::Result<&'a [u8], String>> {
        let Some((frame, payload)) = record.split_first_chunk::<FRAME_BYTES>() else {
            return Ok(Err(format!(
                "{} bytes are too few for a schema id",
                record.len()
            )));
        };
        let [magic, a, b, c, d] = *frame;
        if magic != MAGIC {
            return Ok(Err(format!(
                "the first byte is {magic}, not the {MAGIC} before a schema id; use format 'json' for JSON without a registry"
            )));
        }
        let checked = self.check(i32::from_be_bytes([a, b, c, d]))?;
        Ok(checked.map(|()| payload))
    }
}

impl Decoder for RegistryJsonDecoder {
    fn decode(&mut self, records: &[&[u8]]) -> Result<Decoded> {
        let mut payloads = Vec::with_capacity(records.len());
        let mut rows = Vec::with_capacity(records.len());
        let mut failures = Vec::new();
        for (row, record) in records.iter().enumerate() {
            match self.payload(record)? {
                Ok(payload) => {
                    payloads.push(payload);
                    rows.push(row);
                }
                Err(message) => failures.push(Failure {
                    row,
                    code: FailureCode::UnknownSchema,
                    message,
                }),
            }
        }
        let decoded = self.inner.decode(&payloads)?;
        failures.extend(decoded.failures.into_iter().map(|failure| Failure {
            row: rows[failure.row],
            ..failure
        }));
        failures.sort_by_key(|failure| failure.row);
        Ok(Decoded {
            columns: decoded.columns,
            failures,
        })
    }
}

/// Encodes framed JSON.
#[derive(Debug)]
pub struct RegistryJsonEncoder {
    /// What stands before every payload.
    frame: [u8; FRAME_BYTES],
    /// Encodes the payloads.
    inner: JsonEncoder,
    /// Encoded payloads of the batch at hand.
    scratch: Vec<u8>,
    /// Their ends.
    scratch_ends: Vec<usize>,
}

impl RegistryJsonEncoder {
    /// Registers the schema of the fields under a subject and encodes with its id.
    ///
    /// # Errors
    /// `Unsupported` for types without a form; what the registry returns.
    pub fn new(
        registry: &dyn SchemaRegistry,
        subject: &str,
        fields: Vec<FormatField>,
    ) -> Result<Self> {
        let schema = json_schema_of(&fields)?;
        let inner = JsonEncoder::new(fields, JsonOptions::registry())?;
        let id = registry.register(subject, SchemaType::Json, &schema)?;
        let [a, b, c, d] = id.to_be_bytes();
        Ok(Self {
            frame: [MAGIC, a, b, c, d],
            inner,
            scratch: Vec::new(),
            scratch_ends: Vec::new(),
        })
    }
}

impl Encoder for RegistryJsonEncoder {
    fn encode(&mut self, batch: &Batch, buffer: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()> {
        self.scratch.clear();
        self.scratch_ends.clear();
        self.inner
            .encode(batch, &mut self.scratch, &mut self.scratch_ends)?;
        buffer.reserve(self.scratch.len() + batch.rows * FRAME_BYTES);
        let mut start = 0;
        for end in &self.scratch_ends {
            buffer.extend_from_slice(&self.frame);
            buffer.extend_from_slice(&self.scratch[start..*end]);
            ends.push(buffer.len());
            start = *end;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::error::Error;
    use crate::format::registry::RegisteredSchema;
    use crate::types::TypeKind;

    /// A registry in memory; ids count from 1.
    #[derive(Debug, Default)]
    struct MemoryRegistry {
        schemas: Mutex<Vec<(String, RegisteredSchema)>>,
        questions: AtomicUsize,
    }

    impl SchemaRegistry for MemoryRegistry {
        fn register(&self, subject: &str, schema_type: SchemaType, schema: &str) -> Result<i32> {
            let mut schemas = self.schemas.lock().unwrap();
            let id = i32::try_from(schemas.len()).unwrap() + 1;
            let schema = RegisteredSchema {
                id,
                schema_type,
                schema: schema.to_owned(),
            };
            schemas.push((subject.to_owned(), schema));
            Ok(id)
        }

        fn schema(&self, id: i32) -> Result<RegisteredSchema> {
            self.questions.fetch_add(1, Ordering::Relaxed);
            if id == 666 {
                return Err(Error::unavailable("schema registry at nowhere"));
            }
            let schemas = self.schemas.lock().unwrap();
            let found = schemas.iter().find(|(_, schema)| schema.id == id);
            found
                .map(|(_, schema)| schema.clone())
                .ok_or_else(|| Error::unknown("no such schema"))
        }

        fn latest(&self, subject: &str) -> Result<Option<RegisteredSchema>> {
            let schemas = self.schemas.lock().unwrap();
            Ok(schemas
                .iter()
                .rfind(|(name, _)| name == subject)
                .map(|(_, schema)| schema.clone()))
        }
    }

    fn fields() -> Vec<FormatField> {
        vec![FormatField {
            name: "id".into(),
            ty: TypeKind::BigInt.not_null(),
        }]
    }

    fn decoder(registry: &Arc<MemoryRegistry>) -> RegistryJsonDecoder {
        let inner = JsonDecoder::new(fields(), JsonOptions::registry()).unwrap();
        RegistryJsonDecoder::new(Arc::clone(registry) as Arc<dyn SchemaRegistry>, inner)
    }

    #[test]
    fn rows_are_framed_with_the_id_of_their_schema_and_read_back() {
        let registry = Arc::new(MemoryRegistry::default());
        let mut encoder =
            RegistryJsonEncoder::new(registry.as_ref(), "orders-value", fields()).unwrap();
        let column = Arc::new(arrow::array::Int64Array::from(vec![7, 8]));
        let (mut buffer, mut ends) = (Vec::new(), Vec::new());
        encoder
            .encode(&Batch::inserts(vec![column], 2), &mut buffer, &mut ends)
            .unwrap();
        assert_eq!(&buffer[..ends[0]], b"\0\0\0\0\x01{\"id\":7}");
        let latest = registry.latest("orders-value").unwrap().unwrap();
        assert_eq!((latest.id, latest.schema_type), (1, SchemaType::Json));
        let decoded = decoder(&registry)
            .decode(&[&buffer[..ends[0]], &buffer[ends[0]..]])
            .unwrap();
        assert_eq!(
            decoded.columns[0].as_primitive::<Int64Type>().values(),
            &[7, 8]
        );
        assert!(decoded.failures.is_empty());
    }

    #[test]
    fn bad_frames_and_unknown_schemas_fail_their_record_only() {
        let registry = Arc::new(MemoryRegistry::default());
        registry.register("a", SchemaType::Avro, "\"int\"").unwrap();
        registry.register("b", SchemaType::Json, "{}").unwrap();
        let mut decoder = decoder(&registry);
        let records: [&[u8]; 7] = [
            b"{\"id\":1}",
            b"\0\0\0\0\x02{\"id\":\"1\"}",
            b"\0\0\0\0\x02{\"id\":2}",
            b"\0\0\0\0\x01{\"id\":3}",
            b"\0\0\0\0\x09{\"id\":4}",
            b"\0\0",
            b"\0\0\0\0\x09{\"id\":5}",
        ];
        let decoded = decoder.decode(&records).unwrap();
        assert_eq!(
            decoded.columns[0].as_primitive::<Int64Type>().values(),
            &[2]
        );
        let failures: Vec<_> = decoded
            .failures
            .iter()
            .map(|failure| (failure.row, failure.code))
            .collect();
        assert_eq!(
            failures,
            [
                (0, FailureCode::UnknownSchema),
                (1, FailureCode::TypeMismatch),
                (3, FailureCode::UnknownSchema),
                (4, FailureCode::UnknownSchema),
                (5, FailureCode::UnknownSchema),
                (6, FailureCode::UnknownSchema),
            ]
        );
        // Each id is asked for once, also those that are not there.
        assert_eq!(registry.questions.load(Ordering::Relaxed), 3);
        decoder.decode(&records).unwrap();
        assert_eq!(registry.questions.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_registry_that_does_not_answer_fails_the_batch() {
        let registry = Arc::new(MemoryRegistry::default());
        let error = decoder(&registry)
            .decode(&[b"\0\0\0\x02\x9a{\"id\":1}"])
            .unwrap_err();
        assert_eq!(error.code, Code::Unavailable);
    }
}
