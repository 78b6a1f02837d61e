//! The schemas that a schema refers to.
//!
//! Place in the flow: formats ask for them before they read a schema that names others. Invariant: what comes back is ordered, each
//! schema behind those that it refers to, and as deep and as many as the bounds say, whatever the registry answers.
//!
//! # Source
//! Confluent, "Schema Registry API Reference": schema references.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::format::registry::{RegisteredSchema, SchemaReference, SchemaRegistry};

/// Schemas that one schema may refer to, directly and through others. Guess, unmeasured: a schema has a handful.
const REFERENCES_MAX: usize = 256;

/// Schemas of a chain in which each refers to the next. Guess, unmeasured.
const DEPTH_MAX: usize = 32;

/// A schema that another one refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferencedSchema {
    /// By which name: the full name of a type in Avro, the path of an import in Protobuf.
    pub name: String,
    /// The schema.
    pub schema: RegisteredSchema,
}

/// The schemas that a schema refers to, directly and through others, each once and behind those that it refers to; or what is wrong.
///
/// # Errors
/// `Unavailable` when the registry does not answer.
pub fn referenced_schemas(
    registry: &dyn SchemaRegistry,
    schema: &RegisteredSchema,
) -> Result<std::result::Result<Vec<ReferencedSchema>, String>> {
    let mut walk = Walk {
        registry,
        seen: BTreeMap::new(),
        found: Vec::new(),
    };
    Ok(walk.follow(schema, 0)?.map(|()| walk.found))
}

/// A walk along references.
struct Walk<'a> {
    /// Knows the schemas.
    registry: &'a dyn SchemaRegistry,
    /// The subject and version that each name stands for.
    seen: BTreeMap<String, (String, i32)>,
    /// Schemas so far.
    found: Vec<ReferencedSchema>,
}

impl Walk<'_> {
    /// Adds what a schema refers to.
    fn follow(
        &mut self,
        schema: &RegisteredSchema,
        depth: usize,
    ) -> Result<std::result::Result<(), String>> {
        if depth >= DEPTH_MAX && !schema.references.is_empty() {
            return Ok(Err(format!(
                "refers to others in a chain of more than {DEPTH_MAX} schemas"
            )));
        }
        for reference in &schema.references {
            if let Err(why) = self.add(schema, reference, depth)? {
                return Ok(Err(why));
            }
        }
        Ok(Ok(()))
    }

    /// Adds one schema and what it refers to.
    fn add(
        &mut self,
        schema: &RegisteredSchema,
        reference: &SchemaReference,
        depth: usize,
    ) -> Result<std::result::Result<(), String>> {
        let SchemaReference {
            name,
            subject,
            version,
        } = reference;
        let place = (subject.clone(), *version);
        if let Some(known) = self.seen.get(name) {
            return Ok(if *known == place {
                Ok(())
            } else {
                Err(format!(
                    "refers to \"{name}\" as version {version} of subject {subject} and as version {} of subject {}",
                    known.1, known.0
                ))
            });
        }
        if self.seen.len() >= REFERENCES_MAX {
            return Ok(Err(format!(
                "refers to more than {REFERENCES_MAX} other schemas"
            )));
        }
        self.seen.insert(name.clone(), place);
        let Some(found) = self.registry.version(subject, *version)? else {
            return Ok(Err(format!(
                "refers to \"{name}\", version {version} of subject {subject}, which is not in the registry"
            )));
        };
        if found.schema_type != schema.schema_type {
            return Ok(Err(format!(
                "refers to \"{name}\", which is of type {} and not {}",
                found.schema_type.as_str(),
                schema.schema_type.as_str()
            )));
        }
        if let Err(why) = self.follow(&found, depth + 1)? {
            return Ok(Err(why));
        }
        self.found.push(ReferencedSchema {
            name: name.clone(),
            schema: found,
        });
        Ok(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::format::registry::SchemaType;

    /// A registry in which the version of a subject refers to what `references` says.
    #[derive(Debug)]
    struct Chain(fn(&str, i32) -> Option<Vec<SchemaReference>>);

    fn schema(id: i32, references: Vec<SchemaReference>) -> RegisteredSchema {
        RegisteredSchema {
            id,
            schema_type: SchemaType::Protobuf,
            schema: String::new(),
            references,
        }
    }

    impl SchemaRegistry for Chain {
        fn register(&self, _: &str, _: SchemaType, _: &str) -> Result<i32> {
            Err(Error::unavailable("nothing is registered"))
        }

        fn schema(&self, _: i32) -> Result<Option<RegisteredSchema>> {
            Ok(None)
        }

        fn latest(&self, _: &str) -> Result<Option<RegisteredSchema>> {
            Ok(None)
        }

        fn version(&self, subject: &str, version: i32) -> Result<Option<RegisteredSchema>> {
            if subject == "away" {
                return Err(Error::unavailable("away"));
            }
            Ok((self.0)(subject, version).map(|references| schema(version, references)))
        }
    }

    fn reference(name: &str, subject: &str, version: i32) -> SchemaReference {
        SchemaReference {
            name: name.to_owned(),
            subject: subject.to_owned(),
            version,
        }
    }

    fn names(registry: &Chain, references: Vec<SchemaReference>) -> Result<Vec<String>, String> {
        let found = referenced_schemas(registry, &schema(0, references)).unwrap()?;
        Ok(found.into_iter().map(|found| found.name).collect())
    }

    #[test]
    fn a_schema_stands_behind_those_that_it_refers_to_and_once() {
        let registry = Chain(|subject, _| {
            Some(match subject {
                "top" => vec![reference("l", "left", 1), reference("r", "right", 1)],
                "left" | "right" => vec![reference("b", "base", 3)],
                _ => vec![],
            })
        });
        let found = names(
            &registry,
            vec![reference("t", "top", 1), reference("b", "base", 3)],
        );
        assert_eq!(found.unwrap(), ["b", "l", "r", "t"]);
    }

    #[test]
    fn what_is_missing_differs_or_never_ends_is_named() {
        let registry = Chain(|subject, version| match subject {
            "endless" => Some(vec![reference(
                &format!("n{}", version + 1),
                "endless",
                version + 1,
            )]),
            "wide" => Some(
                (0..300)
                    .map(|n| reference(&format!("n{n}"), "leaf", n))
                    .collect(),
            ),
            "itself" => Some(vec![reference("i", "itself", 1)]),
            "leaf" => Some(vec![]),
            _ => None,
        });
        assert_eq!(
            names(&registry, vec![reference("i", "itself", 1)]).unwrap(),
            ["i"]
        );
        for (references, part) in [
            (
                vec![reference("x", "gone", 4)],
                "version 4 of subject gone, which is not",
            ),
            (vec![reference("n", "endless", 1)], "chain of more than 32"),
            (vec![reference("n", "wide", 1)], "more than 256"),
            (
                vec![reference("n", "leaf", 1), reference("n", "leaf", 2)],
                "version 2 of subject leaf and as version 1 of subject leaf",
            ),
        ] {
            let why = names(&registry, references).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
        let away = schema(0, vec![reference("a", "away", 1)]);
        assert!(referenced_schemas(&registry, &away).is_err());
    }
}
