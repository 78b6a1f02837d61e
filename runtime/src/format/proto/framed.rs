//! Protobuf records framed with the id of their schema and their message to columns.
//!
//! Place in the flow: `task` hands it the values or keys of a batch; the Schema Registry knows the schemas. Invariant: a record is read
//! by the schema and message that it was written with, and only a registry that says there is none makes it a failure.
//!
//! # Source
//! Confluent, "Wire format": Protobuf.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::Result;
use crate::format::column::Fault;
use crate::format::proto::found::Found;
use crate::format::proto::meta::Meta;
use crate::format::proto::parse::{Parsed, parse};
use crate::format::proto::plan::Plan;
use crate::format::proto::read;
use crate::format::proto::wire::{Input, unfold};
use crate::format::registry::{SchemaRegistry, SchemaType, referenced_schemas, split_frame};
use crate::format::rows::{Rows, asked, check_size};
use crate::format::{Decoded, Decoder, FailureCode, FormatField};

/// Schemas remembered by a decoder; beyond, all are forgotten and asked for again. Guess, unmeasured: a topic has a handful.
const SCHEMAS_MAX: usize = 1000;

/// Levels of messages in messages that a record may be of.
///
/// # Source
/// Protocol Buffers' compiler takes no deeper schemas.
const PATH_MAX: usize = 32;

/// Decodes framed Protobuf records of any schema into the asked fields.
#[derive(Debug)]
pub struct ProtoRegistryDecoder {
    /// Knows the schemas.
    registry: Arc<dyn SchemaRegistry>,
    /// Every field of the part.
    layout: Vec<FormatField>,
    /// The asked fields.
    fields: Vec<FormatField>,
    /// Each schema that was seen, or why it cannot be read.
    schemas: HashMap<i32, std::result::Result<Known, String>, foldhash::fast::RandomState>,
    /// Values of the asked fields.
    rows: Rows,
    /// Scratch: fields of the record at hand.
    found: Found,
}

/// A schema that was read.
#[derive(Debug)]
struct Known {
    /// The schema.
    parsed: Parsed,
    /// Reads its annotations.
    meta: Meta,
    /// Plans of its messages that were met, by their paths; no more than it has messages.
    plans: Vec<(Vec<usize>, Plan)>,
}

impl Known {
    /// Makes sure that the plan of a message is there; its place, or none where the schema does not have the message.
    fn learn(
        &mut self,
        path: &[usize],
        layout: &[FormatField],
        fields: &[FormatField],
    ) -> Option<usize> {
        let known = self.plans.iter().position(|(known, _)| known == path);
        known.or_else(|| {
            let message = self.parsed.message(path)?;
            let plan = Plan::new(&message, &self.meta, layout, &asked(fields));
            self.plans.push((path.to_vec(), plan));
            Some(self.plans.len() - 1)
        })
    }
}

impl ProtoRegistryDecoder {
    /// A decoder of the asked fields of a part whose fields are `layout`.
    ///
    /// # Errors
    /// `Unsupported` for types without stored values.
    pub fn new(
        registry: Arc<dyn SchemaRegistry>,
        layout: &[FormatField],
        fields: Vec<FormatField>,
    ) -> Result<Self> {
        Ok(Self {
            registry,
            layout: layout.to_vec(),
            rows: Rows::new(&fields)?,
            fields,
            schemas: HashMap::default(),
            found: Found::default(),
        })
    }

    /// Makes sure that a schema is there.
    fn learn(&mut self, id: i32) -> Result<()> {
        if self.schemas.contains_key(&id) {
            return Ok(());
        }
        let known = self.ask(id)?;
        if self.schemas.len() >= SCHEMAS_MAX {
            self.schemas.clear();
        }
        self.schemas.insert(id, known);
        Ok(())
    }

    /// The schema of an id, or why it cannot be read.
    fn ask(&self, id: i32) -> Result<std::result::Result<Known, String>> {
        let Some(found) = self.registry.schema(id)? else {
            return Ok(Err("is not in the registry".to_owned()));
        };
        if found.schema_type != SchemaType::Protobuf {
            return Ok(Err(
                "is not that of a Protobuf schema in the registry".to_owned()
            ));
        }
        let references = match referenced_schemas(self.registry.as_ref(), &found)? {
            Ok(references) => references,
            Err(why) => return Ok(Err(why)),
        };
        Ok(parse(&found.schema, &references)
            .map(|parsed| Known {
                meta: Meta(parsed.field_meta()),
                parsed,
                plans: Vec::new(),
            })
            .map_err(|error| format!("is of a schema that cannot be read: {error}")))
    }

    /// Adds a record to the rows.
    fn append(&mut self, row: usize, record: &[u8]) -> Result<()> {
        let framed = split_frame(record);
        if let Ok((id, _)) = framed {
            self.learn(id)?;
        }
        let Self {
            layout,
            fields,
            schemas,
            rows,
            found,
            ..
        } = self;
        rows.append(row, |columns| {
            let unknown = |message| Fault::new(FailureCode::UnknownSchema, message);
            let (id, rest) = framed.map_err(unknown)?;
            let known = match schemas.get_mut(&id) {
                Some(Ok(known)) => known,
                Some(Err(why)) => return Err(unknown(format!("schema id {id} {why}"))),
                None => return Err(unknown(format!("schema id {id} is not known"))),
            };
            let (path, body) = split_path(rest)?;
            let plan = known.learn(&path, layout, fields).ok_or_else(|| {
                unknown(format!("the schema of id {id} has no message at {path:?}"))
            })?;
            read::append(&known.plans[plan].1, columns, body, found)
        });
        Ok(())
    }
}

/// The message of a record as the path to it, and the bytes behind.
fn split_path(bytes: &[u8]) -> std::result::Result<(Vec<usize>, &[u8]), Fault> {
    let mut input = Input::new(bytes);
    let bad = |what: String| {
        Fault::new(
            FailureCode::UnknownSchema,
            format!("the place of the message in its schema: {what}"),
        )
    };
    let number = |input: &mut Input<'_>| {
        let number = unfold(input.varint().map_err(|fault| bad(fault.message))?);
        usize::try_from(number).map_err(|_| bad(format!("there is no place {number}")))
    };
    let count = number(&mut input)?;
    if count == 0 {
        // The first message, which nearly all records are of.
        return Ok((vec![0], input.rest()));
    }
    if count > PATH_MAX {
        return Err(bad(format!("{count} levels, more than {PATH_MAX}")));
    }
    let path = (0..count)
        .map(|_| number(&mut input))
        .collect::<std::result::Result<_, _>>()?;
    Ok((path, input.rest()))
}

impl Decoder for ProtoRegistryDecoder {
    fn decode(&mut self, records: &[&[u8]]) -> Result<Decoded> {
        check_size(records)?;
        // What was unknown in the last batch may have been registered since.
        self.schemas.retain(|_, known| known.is_ok());
        for (row, record) in records.iter().enumerate() {
            if let Err(error) = self.append(row, record) {
                self.rows.clear();
                return Err(error);
            }
        }
        self.rows.finish()
    }
}
