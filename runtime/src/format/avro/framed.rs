//! Avro records framed with the id of their schema to columns.
//!
//! Place in the flow: `task` hands it the values or keys of a batch; the Schema Registry knows the schemas. Invariant: a record is read
//! by the schema that it was written with, and only a registry that says there is none makes it a failure.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::Result;
use crate::format::avro::parse::{Parsed, parse_with};
use crate::format::avro::plan::Plan;
use crate::format::avro::read;
use crate::format::column::Fault;
use crate::format::registry::{
    RegisteredSchema, SchemaRegistry, SchemaType, referenced_schemas, split_frame,
};
use crate::format::rows::{Rows, asked, check_size};
use crate::format::{Decoded, Decoder, FailureCode, FormatField};

/// Schemas remembered by a decoder; beyond, all are forgotten and asked for again. Guess, unmeasured: a topic has a handful.
const PLANS_MAX: usize = 1000;

/// Decodes framed Avro records of any schema into the asked fields.
#[derive(Debug)]
pub struct AvroRegistryDecoder {
    /// Knows the schemas.
    registry: Arc<dyn SchemaRegistry>,
    /// What the table's own schema is registered under.
    subject: String,
    /// The asked fields.
    fields: Vec<FormatField>,
    /// The only field of the part, which a schema that is no record stands for.
    only: Option<String>,
    /// The plan of each schema that was seen, or why there is none.
    plans: HashMap<i32, std::result::Result<Plan, String>, foldhash::fast::RandomState>,
    /// The latest schema of the subject.
    latest: Latest,
    /// Values of the asked fields.
    rows: Rows,
}

/// The latest schema of a subject.
#[derive(Debug)]
enum Latest {
    /// Nobody needed it so far.
    Unasked,
    /// There is none that can be read.
    Absent,
    /// It is this.
    Known(Parsed),
}

impl AvroRegistryDecoder {
    /// A decoder of the asked fields of a part whose fields are `layout`.
    ///
    /// # Errors
    /// `Unsupported` for types without stored values.
    pub fn new(
        registry: Arc<dyn SchemaRegistry>,
        subject: &str,
        layout: &[FormatField],
        fields: Vec<FormatField>,
    ) -> Result<Self> {
        Ok(Self {
            registry,
            subject: subject.to_owned(),
            only: match layout {
                [only] => Some(only.name.clone()),
                _ => None,
            },
            rows: Rows::new(&fields)?,
            fields,
            plans: HashMap::default(),
            latest: Latest::Unasked,
        })
    }

    /// Makes sure that the plan of a schema is there.
    fn learn(&mut self, id: i32) -> Result<()> {
        if self.plans.contains_key(&id) {
            return Ok(());
        }
        let plan = match self.registry.schema(id)? {
            Some(found) => match self.parse(&found)? {
                Ok(writer) => self.plan(&writer)?,
                Err(message) => Err(message),
            },
            None => Err("is not in the registry".to_owned()),
        };
        if self.plans.len() >= PLANS_MAX {
            self.plans.clear();
        }
        self.plans.insert(id, plan);
        Ok(())
    }

    /// Reads a schema of the registry with those that it refers to.
    fn parse(&self, found: &RegisteredSchema) -> Result<std::result::Result<Parsed, String>> {
        if found.schema_type != SchemaType::Avro {
            return Ok(Err(
                "is not that of an Avro schema in the registry".to_owned()
            ));
        }
        let references = match referenced_schemas(self.registry.as_ref(), found)? {
            Ok(references) => references,
            Err(why) => return Ok(Err(why)),
        };
        Ok(parse_with(&found.schema, &references)
            .map_err(|error| format!("is of a schema that cannot be read: {error}")))
    }

    /// The plan of records of a schema. Aliases and defaults are those of the latest schema, which is asked for when a field is missing.
    fn plan(&mut self, writer: &Parsed) -> Result<std::result::Result<Plan, String>> {
        let asked = asked(&self.fields);
        let only = self.only.as_deref();
        let plan = Plan::new(writer, None, &asked, only);
        if !plan.as_ref().is_ok_and(|plan| plan.is_lacking) {
            return Ok(plan);
        }
        if matches!(self.latest, Latest::Unasked) {
            let found = self.registry.latest(&self.subject)?;
            let parsed = found.map(|found| self.parse(&found)).transpose()?;
            let parsed = parsed.and_then(std::result::Result::ok);
            self.latest = parsed.map_or(Latest::Absent, Latest::Known);
        }
        Ok(match &self.latest {
            Latest::Known(reader) => Plan::new(writer, Some(reader), &asked, only),
            Latest::Unasked | Latest::Absent => plan,
        })
    }

    /// Adds a record to the rows.
    fn append(&mut self, row: usize, record: &[u8]) -> Result<()> {
        let framed = split_frame(record);
        if let Ok((id, _)) = framed {
            self.learn(id)?;
        }
        let plans = &self.plans;
        self.rows.append(row, |columns| {
            let unknown = |message| Fault::new(FailureCode::UnknownSchema, message);
            let (id, body) = framed.map_err(unknown)?;
            let plan = match plans.get(&id) {
                Some(Ok(plan)) => plan,
                Some(Err(why)) => return Err(unknown(format!("schema id {id} {why}"))),
                None => return Err(unknown(format!("schema id {id} is not known"))),
            };
            let taken = read::append(plan, columns, body)?;
            if taken == body.len() {
                return Ok(());
            }
            Err(Fault::new(
                FailureCode::Malformed,
                format!("not Avro: {} bytes behind the record", body.len() - taken),
            ))
        });
        Ok(())
    }
}

impl Decoder for AvroRegistryDecoder {
    fn decode(&mut self, records: &[&[u8]]) -> Result<Decoded> {
        check_size(records)?;
        // What was unknown in the last batch may have been registered since.
        self.plans.retain(|_, plan| plan.is_ok());
        for (row, record) in records.iter().enumerate() {
            if let Err(error) = self.append(row, record) {
                self.rows.clear();
                return Err(error);
            }
        }
        self.rows.finish()
    }
}
