//! The embedded registry as statements see it.
//!
//! Place in the flow: formats register and read schemas in process. Invariant: what HTTP clients are told, statements are told too.

use weir_runtime::format::registry::{
    RegisteredSchema, SchemaReference, SchemaRegistry, SchemaType,
};

use super::store::{
    DEFAULT_CONTEXT, Deleted, Deletion, NewSchema, Normalize, Refusal, Schema, SchemaStore,
    Subject, VersionId,
};

impl SchemaRegistry for SchemaStore {
    fn register(
        &self,
        subject: &str,
        schema_type: SchemaType,
        schema: &str,
    ) -> weir_runtime::Result<i32> {
        let new = NewSchema {
            language: schema_type,
            text: schema.to_owned(),
            references: Vec::new(),
            metadata: String::new(),
            normalize: Normalize::AsConfigured,
            id: None,
            version: None,
        };
        let subject = Subject::named(subject, None).map_err(|refusal| into_runtime(&refusal))?;
        let version = self.add(&subject, &new);
        let version = version.map_err(|refusal| into_runtime(&refusal))?;
        id_of(&version.schema)
    }

    fn schema(&self, id: i32) -> weir_runtime::Result<Option<RegisteredSchema>> {
        registered(self.by_id(DEFAULT_CONTEXT, i64::from(id)))
    }

    fn latest(&self, subject: &str) -> weir_runtime::Result<Option<RegisteredSchema>> {
        let subject = Subject::named(subject, None).map_err(|refusal| into_runtime(&refusal))?;
        let version = self.version(&subject, VersionId::Latest, Deleted::Excluded);
        registered(version.map(|version| version.schema))
    }

    fn version(
        &self,
        subject: &str,
        version: i32,
    ) -> weir_runtime::Result<Option<RegisteredSchema>> {
        let subject = Subject::named(subject, None).map_err(|refusal| into_runtime(&refusal))?;
        let number = VersionId::Number(i64::from(version));
        let version = self.version(&subject, number, Deleted::Included);
        registered(version.map(|version| version.schema))
    }

    fn delete_subject(&self, subject: &str) -> weir_runtime::Result<()> {
        let subject = Subject::named(subject, None).map_err(|refusal| into_runtime(&refusal))?;
        match SchemaStore::delete_subject(self, &subject, Deletion::Soft) {
            Ok(_) | Err(Refusal::Subject(_) | Refusal::SubjectSoftDeleted(_)) => Ok(()),
            Err(other) => Err(into_runtime(&other)),
        }
    }
}

/// A schema as formats know it; none where there is none.
fn registered(found: Result<Schema, Refusal>) -> weir_runtime::Result<Option<RegisteredSchema>> {
    let schema = match found {
        Ok(schema) => schema,
        Err(Refusal::Schema | Refusal::Subject(_) | Refusal::Version(_)) => return Ok(None),
        Err(other) => return Err(into_runtime(&other)),
    };
    let id = id_of(&schema)?;
    let references = schema.references.into_iter().map(|reference| {
        let version = i32::try_from(reference.version);
        Ok(SchemaReference {
            name: reference.name,
            subject: reference.subject,
            version: version.map_err(|_| {
                weir_runtime::Error::internal("a schema version of more than 32 bits")
            })?,
        })
    });
    let references = references.collect::<weir_runtime::Result<_>>()?;
    let schema_type = SchemaType::parse(Some(&schema.language));
    Ok(schema_type.map(|schema_type| RegisteredSchema {
        id,
        schema_type,
        schema: schema.text,
        references,
    }))
}

/// The id as it stands in records.
fn id_of(schema: &Schema) -> weir_runtime::Result<i32> {
    i32::try_from(schema.id)
        .map_err(|_| weir_runtime::Error::internal("a schema id of more than 32 bits"))
}

/// A refusal as an error of the runtime.
fn into_runtime(refusal: &Refusal) -> weir_runtime::Error {
    let message = format!("embedded Schema Registry: {refusal}");
    match refusal {
        Refusal::Store(_) => weir_runtime::Error::storage(message),
        _ => weir_runtime::Error::validation(message),
    }
}
