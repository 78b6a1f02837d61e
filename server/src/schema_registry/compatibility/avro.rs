//! Whether an Avro reader can read what another schema wrote.
//!
//! Place in the flow: registrations and compatibility requests. Invariant: what passes here is resolved by Avro's libraries without an
//! error, save for values: a writer's enum symbol or union branch counts whether or not it was ever written.
//!
//! # Source
//! Apache Avro 1.12, "Specification": Schema Resolution, and the choices of its Java library's `SchemaCompatibility`, which Confluent's
//! registry asks: names match without their namespace or by the reader's aliases, and logical types, a decimal's precision and scale
//! among them, are not compared. (`apache-avro` stops at the first fault, knows no aliases of fields and no references by name.)

use std::collections::HashSet;

use super::{Budget, Incompatibility, TooComplex, tell};
use crate::schema_registry::language::avro::{
    AvroSchema, Field, Kind, Named, Primitive, Symbols, TypeId,
};

/// What stands in the way of reading what `writer` wrote with `reader`.
///
/// # Errors
/// [`TooComplex`] for schemas beyond the bounds.
pub(crate) fn check(
    reader: &AvroSchema,
    writer: &AvroSchema,
) -> Result<Vec<Incompatibility>, TooComplex> {
    let mut checker = Checker {
        reader,
        writer,
        assumed: HashSet::new(),
        trail: Vec::new(),
        budget: Budget::new(),
    };
    let mut found = Vec::new();
    checker.check(reader.root, writer.root, "/", &mut found)?;
    Ok(found)
}

/// A check that is under way.
#[derive(Debug)]
struct Checker<'a> {
    /// Reads.
    reader: &'a AvroSchema,
    /// Wrote.
    writer: &'a AvroSchema,
    /// Pairs of types that fit, or are being compared further up and so fit unless that fails.
    assumed: HashSet<(TypeId, TypeId)>,
    /// The same pairs in the order in which they came in.
    trail: Vec<(TypeId, TypeId)>,
    /// What is left of steps and levels.
    budget: Budget,
}

/// What was found so far.
type Found = Vec<Incompatibility>;

impl Checker<'_> {
    /// Compares two types.
    fn check(
        &mut self,
        reader: TypeId,
        writer: TypeId,
        path: &str,
        found: &mut Found,
    ) -> Result<(), TooComplex> {
        if self.assumed.contains(&(reader, writer)) {
            return Ok(());
        }
        self.budget.enter()?;
        let before = (self.trail.len(), found.len());
        self.assumed.insert((reader, writer));
        self.trail.push((reader, writer));
        self.compare((reader, writer), path, found)?;
        if found.len() > before.1 {
            // What was found to fit on the way may only have done so because this pair was taken to fit.
            for pair in self.trail.drain(before.0..) {
                self.assumed.remove(&pair);
            }
        }
        self.budget.leave();
        Ok(())
    }

    /// Whether two types fit.
    fn fits(&mut self, reader: TypeId, writer: TypeId) -> Result<bool, TooComplex> {
        let mut found = Vec::new();
        self.check(reader, writer, "", &mut found)?;
        Ok(found.is_empty())
    }

    /// As [`Self::check`], for a pair that was not compared yet.
    fn compare(
        &mut self,
        (reader, writer): (TypeId, TypeId),
        path: &str,
        found: &mut Found,
    ) -> Result<(), TooComplex> {
        let (reading, writing) = (self.reader, self.writer);
        match (&reading.types[reader].kind, &writing.types[writer].kind) {
            (Kind::Union(_), Kind::Union(branches)) => {
                for branch in branches {
                    if !self.fits(reader, *branch)? {
                        self.missing_branch(*branch, path, found);
                    }
                }
            }
            (_, Kind::Union(branches)) => {
                for branch in branches {
                    self.check(reader, *branch, path, found)?;
                }
            }
            (Kind::Union(branches), _) => {
                for branch in branches {
                    if self.fits(*branch, writer)? {
                        return Ok(());
                    }
                }
                self.missing_branch(writer, path, found);
            }
            (Kind::Primitive(read), Kind::Primitive(written)) if is_promoted(*read, *written) => {}
            (Kind::Array(read), Kind::Array(written)) => {
                self.check(*read, *written, &below(path, "items"), found)?;
            }
            (Kind::Map(read), Kind::Map(written)) => {
                self.check(*read, *written, &below(path, "values"), found)?;
            }
            (Kind::Record(read, fields), Kind::Record(written, written_fields)) => {
                if !check_names(read, written, path, found) {
                    return Ok(());
                }
                for (index, field) in fields.iter().enumerate() {
                    let path = format!("{}/{index}", below(path, "fields"));
                    self.check_field(field, written_fields, &path, found)?;
                }
            }
            (Kind::Enum(read, symbols), Kind::Enum(written, written_symbols)) => {
                check_names(read, written, path, found);
                check_symbols(symbols, written_symbols, path, found);
            }
            (Kind::Fixed(read, size), Kind::Fixed(written, written_size)) => {
                check_names(read, written, path, found);
                if size != written_size {
                    let what =
                        format!("the reader expects {size} bytes, the writer has {written_size}");
                    tell(found, "FIXED_SIZE_MISMATCH", &below(path, "size"), what);
                }
            }
            _ => {
                let what = format!(
                    "the reader has {}, the writer {}, which is not read as such",
                    reading.describe(reader),
                    writing.describe(writer)
                );
                tell(found, "TYPE_MISMATCH", path, what);
            }
        }
        Ok(())
    }

    /// Compares a reader's field with the writer's.
    fn check_field(
        &mut self,
        field: &Field,
        written: &[Field],
        path: &str,
        found: &mut Found,
    ) -> Result<(), TooComplex> {
        // The name counts more than an alias.
        let same = written.iter().find(|other| other.name == field.name);
        let other = same.or_else(|| {
            let mut names = field.aliases.iter();
            names.find_map(|alias| written.iter().find(|other| other.name == *alias))
        });
        if let Some(other) = other {
            return self.check(field.type_id, other.type_id, &below(path, "type"), found);
        }
        if field.default.is_none() {
            let what = format!(
                "the reader's field {} has no default, and the writer has no such field",
                field.name
            );
            tell(found, "READER_FIELD_MISSING_DEFAULT_VALUE", path, what);
        }
        Ok(())
    }

    /// A type of the writer that no branch of the reader's union takes.
    fn missing_branch(&self, written: TypeId, path: &str, found: &mut Found) {
        let what = format!(
            "the reader's union takes no {} of the writer",
            self.writer.describe(written)
        );
        tell(found, "MISSING_UNION_BRANCH", path, what);
    }
}

/// Whether a type without others in it is read as another.
fn is_promoted(read: Primitive, written: Primitive) -> bool {
    use Primitive::{Bytes, Double, Float, Int, Long, String};
    read == written
        || matches!(
            (read, written),
            (Long, Int)
                | (Float, Int | Long)
                | (Double, Int | Long | Float)
                | (Bytes, String)
                | (String, Bytes)
        )
}

/// Compares the names of two named types; whether they match.
fn check_names(read: &Named, written: &Named, path: &str, found: &mut Found) -> bool {
    let is_match = read.name() == written.name() || read.aliases.contains(&written.full_name);
    if !is_match {
        let what = format!(
            "the reader's {} is neither named nor has an alias like the writer's {}",
            read.full_name, written.full_name
        );
        tell(found, "NAME_MISMATCH", &below(path, "name"), what);
    }
    is_match
}

/// Looks for symbols that the reader does not know.
fn check_symbols(read: &Symbols, written: &Symbols, path: &str, found: &mut Found) {
    if read.default.is_some() {
        return;
    }
    let known: HashSet<&String> = read.all.iter().collect();
    let missing = written.all.iter().filter(|symbol| !known.contains(symbol));
    let missing: Vec<&str> = missing.map(String::as_str).collect();
    if !missing.is_empty() {
        let what = format!(
            "the reader lacks the symbols {} and has no default",
            missing.join(", ")
        );
        tell(found, "MISSING_ENUM_SYMBOLS", &below(path, "symbols"), what);
    }
}

/// A path below another.
fn below(path: &str, step: &str) -> String {
    format!("{}/{step}", path.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kinds and paths of what stands in the way.
    fn kinds(reader: &str, writer: &str) -> Vec<String> {
        let parse = |text: &str| AvroSchema::parse(text, &[]).unwrap();
        let found = check(&parse(reader), &parse(writer)).unwrap();
        found
            .iter()
            .map(|one| format!("{} {}", one.kind, one.path))
            .collect()
    }

    /// A record R with fields.
    fn record(fields: &str) -> String {
        format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)
    }

    #[test]
    fn primitives_are_promoted_as_specified() {
        let all = Primitive::ALL.map(Primitive::as_str);
        let promoted = [
            ("long", "int"),
            ("float", "int"),
            ("float", "long"),
            ("double", "int"),
            ("double", "long"),
            ("double", "float"),
            ("bytes", "string"),
            ("string", "bytes"),
        ];
        for reader in all {
            for writer in all {
                let fits = reader == writer || promoted.contains(&(reader, writer));
                assert_eq!(
                    kinds(reader, writer).is_empty(),
                    fits,
                    "{reader} reads {writer}"
                );
            }
        }
    }

    #[test]
    fn records_are_read_by_name_alias_and_default() {
        let a = r#"{"name":"a","type":"int"}"#;
        let with_default = r#"{"name":"b","type":"long","default":1}"#;
        let without = r#"{"name":"b","type":"long"}"#;
        let aliased = r#"{"name":"c","type":"long","aliases":["a"]}"#;
        let none: [&str; 0] = [];
        let both = |one: &str, other: &str| record(&format!("{one},{other}"));
        assert_eq!(kinds(&both(a, with_default), &record(a)), none);
        assert_eq!(kinds(&record(a), &both(a, without)), none);
        assert_eq!(
            kinds(&both(a, without), &record(a)),
            ["READER_FIELD_MISSING_DEFAULT_VALUE /fields/1"]
        );
        assert_eq!(kinds(&record(aliased), &record(a)), none);
        assert_eq!(
            kinds(&record(a), &record(&a.replace("int", "long"))),
            ["TYPE_MISMATCH /fields/0/type"]
        );
        // A default of null counts, whatever the type.
        assert_eq!(
            kinds(
                &record(r#"{"name":"x","type":"int","default":null}"#),
                &record("")
            ),
            none
        );
    }

    #[test]
    fn names_match_without_namespace_or_by_alias() {
        let none: [&str; 0] = [];
        let fixed = |name: &str, rest: &str| {
            format!(r#"{{"type":"fixed","name":"{name}","size":4{rest}}}"#)
        };
        assert_eq!(kinds(&fixed("a.F", ""), &fixed("b.F", "")), none);
        assert_eq!(
            kinds(&fixed("G", ""), &fixed("F", "")),
            ["NAME_MISMATCH /name"]
        );
        let alias = r#","aliases":["b.F"]"#;
        assert_eq!(kinds(&fixed("G", alias), &fixed("b.F", "")), none);
        assert_eq!(
            kinds(&fixed("G", alias), &fixed("c.F", "")),
            ["NAME_MISMATCH /name"]
        );
        assert_eq!(
            kinds(&fixed("F", ""), &fixed("F", "").replace('4', "5")),
            ["FIXED_SIZE_MISMATCH /size"]
        );
    }

    #[test]
    fn enums_lack_no_symbol_unless_there_is_a_default() {
        let with = |symbols: &str, rest: &str| {
            format!(r#"{{"type":"enum","name":"E","symbols":[{symbols}]{rest}}}"#)
        };
        let (ab, abc) = (r#""A","B""#, r#""C","A","B""#);
        assert!(kinds(&with(abc, ""), &with(ab, "")).is_empty());
        assert_eq!(
            kinds(&with(ab, ""), &with(abc, "")),
            ["MISSING_ENUM_SYMBOLS /symbols"]
        );
        assert!(kinds(&with(ab, r#","default":"A""#), &with(abc, "")).is_empty());
    }

    #[test]
    fn every_branch_of_a_writers_union_is_read() {
        for (reader, writer, fits) in [
            (r#"["null","int"]"#, "int", true),
            (r#"["null","long"]"#, "int", true),
            ("long", r#"["int","long"]"#, true),
            ("int", r#"["null","int"]"#, false),
            (r#"["null","string"]"#, r#"["string","null"]"#, true),
            (r#"["null","string"]"#, r#"["null","string","int"]"#, false),
            (r#"["null","double"]"#, r#"["null","float","int"]"#, true),
            ("[]", "int", false),
            ("int", "[]", true),
        ] {
            assert_eq!(
                kinds(reader, writer).is_empty(),
                fits,
                "{reader} reads {writer}"
            );
        }
        assert_eq!(
            kinds(r#"["null","int"]"#, "string"),
            ["MISSING_UNION_BRANCH /"]
        );
    }

    #[test]
    fn decimals_are_compared_as_bytes() {
        let decimal = |scale: u8| {
            format!(r#"{{"type":"bytes","logicalType":"decimal","precision":9,"scale":{scale}}}"#)
        };
        assert!(kinds(&decimal(2), &decimal(3)).is_empty());
        assert!(kinds(&decimal(2), "bytes").is_empty());
    }

    #[test]
    fn recursive_types_are_compared_once() {
        let list = |value: &str| {
            record(&format!(
                r#"{{"name":"v","type":"{value}"}},{{"name":"next","type":["null","R"]}}"#
            ))
        };
        assert!(kinds(&list("long"), &list("int")).is_empty());
        assert_eq!(
            kinds(&list("int"), &list("long")),
            ["TYPE_MISMATCH /fields/0/type"]
        );
    }

    #[test]
    fn schemas_beyond_the_bounds_are_refused() {
        // Each record refers to the one before, so that depth does not show in the text.
        let record = |n: u32| match n.checked_sub(1) {
            None => r#"{"type":"record","name":"R0","fields":[]}"#.to_owned(),
            Some(before) => format!(
                r#"{{"type":"record","name":"R{n}","fields":[{{"name":"f","type":"R{before}"}}]}}"#
            ),
        };
        let all = format!("[{}]", (0..500).map(record).collect::<Vec<_>>().join(","));
        let flat = AvroSchema::parse(&all, &[]).unwrap();
        assert_eq!(check(&flat, &flat), Ok(Vec::new()));
        let last = r#"{"type":"record","name":"Last","fields":[{"name":"f","type":"R499"}]}"#;
        let deep = AvroSchema::parse(last, &[("all".to_owned(), all)]).unwrap();
        assert_eq!(check(&deep, &deep), Err(TooComplex));
    }
}
