//! JSON Schemas as the registry knows them: the text with its references, and what `$ref` points at.
//!
//! Enters: the text of a schema and of those it refers to. Leaves: the document, checked for what its keywords may hold. Drafts 4 to
//! 2020-12 are read alike, as their keywords differ in name only where they matter here.
//!
//! # Source
//! JSON Schema drafts 4, 6, 7, 2019-09 and 2020-12, "Core" and "Validation".

use serde_json::Value;

/// `$ref`s that are followed in a row before they count as a circle. Guess, unmeasured.
const REFS_MAX: usize = 32;

/// Regular expressions of a schema, since each takes time to read (guess, far above any schema seen).
const PATTERNS_MAX: usize = 1_000;

/// Bytes of a regular expression once it is read (guess: a tenth of what the library allows).
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Keywords whose value is a schema.
const SCHEMA_KEYWORDS: [&str; 12] = [
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
    "additionalProperties",
    "additionalItems",
    "unevaluatedProperties",
    "unevaluatedItems",
    "contentSchema",
    "items",
];

/// Keywords whose value is an array of schemas. (`items` may be one too, before draft 2020-12.)
const ARRAY_KEYWORDS: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];

/// Keywords whose value is an object of schemas.
const OBJECT_KEYWORDS: [&str; 5] = [
    "properties",
    "patternProperties",
    "definitions",
    "$defs",
    "dependentSchemas",
];

/// Keywords whose value is a whole number that is not negative.
const COUNT_KEYWORDS: [&str; 8] = [
    "maxLength",
    "minLength",
    "maxItems",
    "minItems",
    "maxProperties",
    "minProperties",
    "maxContains",
    "minContains",
];

/// The types that there are.
pub(crate) const TYPES: [&str; 7] = [
    "null", "boolean", "object", "array", "number", "string", "integer",
];

/// A JSON Schema with the texts of its references.
#[derive(Debug, Clone)]
pub(crate) struct JsonSchema {
    /// The schema itself, then each reference.
    documents: Vec<Document>,
    /// The text without white space.
    compact: String,
}

/// One text.
#[derive(Debug, Clone)]
struct Document {
    /// The name that a `$ref` has for it, empty for the schema itself.
    name: String,
    /// The text.
    root: Value,
}

/// A schema within a document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node<'a> {
    /// Which document.
    document: usize,
    /// The schema.
    pub(crate) value: &'a Value,
}

impl<'a> Node<'a> {
    /// A schema in this one.
    pub(crate) fn inner(self, value: &'a Value) -> Self {
        Self { value, ..self }
    }

    /// The value of a keyword.
    pub(crate) fn get(self, keyword: &str) -> Option<&'a Value> {
        self.value.as_object()?.get(keyword)
    }

    /// The schema of a keyword.
    pub(crate) fn schema(self, keyword: &str) -> Option<Self> {
        self.get(keyword).map(|value| self.inner(value))
    }
}

impl JsonSchema {
    /// Reads a schema.
    ///
    /// # Errors
    /// What is wrong and where.
    pub(crate) fn parse(text: &str, references: &[(String, String)]) -> Result<Self, String> {
        let root: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut documents = vec![Document {
            name: String::new(),
            root,
        }];
        for (name, text) in references {
            let root = serde_json::from_str(text)
                .map_err(|error| format!("reference \"{name}\": {error}"))?;
            documents.push(Document {
                name: name.clone(),
                root,
            });
        }
        let schema = Self {
            documents,
            compact: compact(text),
        };
        schema.check(schema.root(), "#", &mut 0)?;
        Ok(schema)
    }

    /// The schema itself.
    pub(crate) fn root(&self) -> Node<'_> {
        Node {
            document: 0,
            value: &self.documents[0].root,
        }
    }

    /// The text without white space, in its own order: tables take theirs from it.
    pub(crate) fn canonical(&self) -> String {
        self.compact.clone()
    }

    /// The text with every object sorted.
    pub(crate) fn normalized(&self) -> String {
        // Objects are kept sorted by `serde_json`.
        self.documents[0].root.to_string()
    }

    /// The schema that stands behind `$ref`s; a schema without one stands for itself.
    pub(crate) fn resolve<'a>(&'a self, node: Node<'a>) -> Result<Node<'a>, String> {
        let mut node = node;
        for _ in 0..REFS_MAX {
            let Some(target) = node.get("$ref").and_then(Value::as_str) else {
                return Ok(node);
            };
            node = self.target(node, target)?;
        }
        Err("a $ref leads back to itself".to_owned())
    }

    /// What a `$ref` points at.
    pub(crate) fn target<'a>(&'a self, from: Node<'a>, target: &str) -> Result<Node<'a>, String> {
        let (name, fragment) = target.split_once('#').unwrap_or((target, ""));
        let document = if name.is_empty() {
            Some(from.document)
        } else {
            self.document(from.document, name)
        };
        let Some(document) = document else {
            return Err(format!(
                "$ref {target:?} is none of the references; give it as one with that name, a subject and a version"
            ));
        };
        let root = &self.documents[document].root;
        let found = if fragment.is_empty() || fragment.starts_with('/') {
            let pointer = percent_decoded(fragment);
            root.pointer(&pointer)
        } else {
            find(root, &|schema| is_anchor(schema, fragment))
        };
        found
            .map(|value| Node { document, value })
            .ok_or_else(|| format!("$ref {target:?} points at nothing"))
    }

    /// The document of a name: a reference's, or one that has it as its `$id`, in full or its last part.
    fn document(&self, from: usize, name: &str) -> Option<usize> {
        let mut documents = self.documents.iter().enumerate();
        let id = |document: &Document| {
            let id = document.root.get("$id").or_else(|| document.root.get("id"));
            id.and_then(Value::as_str)
                .map(|id| id.trim_end_matches('#').to_owned())
        };
        let by_name = documents.position(|(_, document)| document.name == name);
        by_name
            .or_else(|| {
                self.documents
                    .iter()
                    .position(|document| id(document).as_deref() == Some(name))
            })
            .or_else(|| {
                // A relative name counts from the id of the document that it stands in.
                let base = id(self.documents.get(from)?)?;
                let full = format!("{}/{name}", base.rsplit_once('/')?.0);
                self.documents.iter().position(|document| {
                    document.name == full || id(document).as_deref() == Some(full.as_str())
                })
            })
    }

    /// Checks a schema and all in it; counts its regular expressions.
    fn check(&self, node: Node<'_>, path: &str, patterns: &mut usize) -> Result<(), String> {
        let members = match node.value {
            Value::Bool(_) => return Ok(()),
            Value::Object(members) => members,
            other => {
                return Err(format!(
                    "at {path}: a schema is an object, true or false, not {other}"
                ));
            }
        };
        for (keyword, value) in members {
            let path = format!("{path}/{keyword}");
            let name = keyword.as_str();
            if ARRAY_KEYWORDS.contains(&name) || (name == "items" && value.is_array()) {
                let Value::Array(schemas) = value else {
                    return Err(format!("at {path}: needs an array of schemas"));
                };
                for (index, schema) in schemas.iter().enumerate() {
                    self.check(node.inner(schema), &format!("{path}/{index}"), patterns)?;
                }
            } else if SCHEMA_KEYWORDS.contains(&name) {
                self.check(node.inner(value), &path, patterns)?;
            } else if OBJECT_KEYWORDS.contains(&name) {
                let Value::Object(schemas) = value else {
                    return Err(format!("at {path}: needs an object of schemas"));
                };
                for (key, schema) in schemas {
                    let path = format!("{path}/{key}");
                    if name == "patternProperties" {
                        check_pattern(key, patterns)
                            .map_err(|error| format!("at {path}: {error}"))?;
                    }
                    self.check(node.inner(schema), &path, patterns)?;
                }
            } else if let ("pattern", Some(pattern)) = (name, value.as_str()) {
                check_pattern(pattern, patterns).map_err(|error| format!("at {path}: {error}"))?;
            } else {
                check_scalar(name, value).map_err(|error| format!("at {path}: {error}"))?;
            }
        }
        if let Some(Value::String(target)) = members.get("$ref") {
            self.target(node, target)
                .map_err(|error| format!("at {path}: {error}"))?;
        }
        Ok(())
    }
}

/// Checks a keyword that holds no schema.
fn check_scalar(keyword: &str, value: &Value) -> Result<(), String> {
    let is_name = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    let is_text = |value: &Value| value.is_string();
    let is_fine = match keyword {
        "type" => match value {
            Value::Array(names) => !names.is_empty() && names.iter().all(is_name),
            name => is_name(name),
        },
        "enum" => value.is_array(),
        "pattern" | "$ref" | "$id" | "$schema" | "$anchor" | "title" | "description" | "format" => {
            value.is_string()
        }
        // Before draft 6, `required` of a property was true or false, and the exclusive bounds were.
        "required" => {
            value.is_boolean() || value.as_array().is_some_and(|all| all.iter().all(is_text))
        }
        "exclusiveMaximum" | "exclusiveMinimum" => value.is_boolean() || value.is_number(),
        "maximum" | "minimum" => value.is_number(),
        "multipleOf" => value.as_f64().is_some_and(|number| number > 0.0),
        "uniqueItems" => value.is_boolean(),
        "dependencies" | "dependentRequired" => value.is_object(),
        count if COUNT_KEYWORDS.contains(&count) => value
            .as_f64()
            .is_some_and(|number| number >= 0.0 && number.fract() == 0.0),
        _ => true,
    };
    if is_fine {
        Ok(())
    } else {
        Err(format!("{value} is no value of {keyword}"))
    }
}

/// A regular expression; those of JSON Schema are ECMAScript's, with look-around.
pub(crate) fn regex(pattern: &str) -> Result<fancy_regex::Regex, String> {
    fancy_regex::RegexBuilder::new(pattern)
        .delegate_size_limit(PATTERN_BYTES_MAX)
        .build()
        .map_err(|error| format!("{pattern:?} is no regular expression: {error}"))
}

/// Checks a regular expression and counts it.
fn check_pattern(pattern: &str, patterns: &mut usize) -> Result<(), String> {
    *patterns += 1;
    if *patterns > PATTERNS_MAX {
        return Err(format!(
            "there are more than {PATTERNS_MAX} regular expressions"
        ));
    }
    regex(pattern).map(drop)
}

/// The first schema that is asked for, outermost first.
fn find<'a>(value: &'a Value, is_it: &dyn Fn(&Value) -> bool) -> Option<&'a Value> {
    if is_it(value) {
        return Some(value);
    }
    match value {
        Value::Object(members) => members.values().find_map(|inner| find(inner, is_it)),
        Value::Array(elements) => elements.iter().find_map(|inner| find(inner, is_it)),
        _ => None,
    }
}

/// Whether a schema has a name within its document.
fn is_anchor(schema: &Value, name: &str) -> bool {
    let has = |keyword: &str, text: &str| schema.get(keyword).and_then(Value::as_str) == Some(text);
    let hash = format!("#{name}");
    has("$anchor", name) || has("$id", &hash) || has("id", &hash)
}

/// A text whose escapes of an address are undone.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| tail.get(..2)).flatten();
        let byte = escaped
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A JSON text without white space outside of its strings.
fn compact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut is_string, mut is_escaped) = (false, false);
    for letter in text.chars() {
        if is_string {
            is_string = is_escaped || letter != '"';
            is_escaped = !is_escaped && letter == '\\';
        } else if letter.is_ascii_whitespace() {
            continue;
        } else {
            is_string = letter == '"';
        }
        out.push(letter);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_goes_and_order_stays_unless_normalized() {
        let text = "{ \"b\" : \"x \\\" y\",\n \"a\": [ 1 , 2 ] }";
        let schema = JsonSchema::parse(text, &[]).unwrap();
        assert_eq!(schema.canonical(), r#"{"b":"x \" y","a":[1,2]}"#);
        assert_eq!(schema.normalized(), r#"{"a":[1,2],"b":"x \" y"}"#);
    }

    #[test]
    fn refs_are_followed_within_and_across_documents() {
        let other = r#"{"$id":"http://x/y/other.json","definitions":{"a b":{"type":"integer"}},"type":"object"}"#;
        let text = r##"{"$id":"http://x/y/main.json","properties":{
            "here":{"$ref":"#/$defs/h"},"there":{"$ref":"other.json#/definitions/a%20b"},
            "full":{"$ref":"http://x/y/other.json"},"anchor":{"$ref":"#n"}},
            "$defs":{"h":{"$ref":"#/$defs/i"},"i":{"type":"null"},"n":{"$anchor":"n","type":"string"}}}"##;
        let references = [("other.json".to_owned(), other.to_owned())];
        let schema = JsonSchema::parse(text, &references).unwrap();
        for (name, ty) in [
            ("here", "null"),
            ("there", "integer"),
            ("full", "object"),
            ("anchor", "string"),
        ] {
            let properties = schema.root().schema("properties").unwrap();
            let node = schema.resolve(properties.schema(name).unwrap()).unwrap();
            assert_eq!(node.get("type").unwrap(), ty, "{name}");
        }
        let error = JsonSchema::parse(text, &[]).unwrap_err();
        assert!(
            error.contains("other.json") && error.contains("references"),
            "{error}"
        );
        let circle = JsonSchema::parse(r##"{"$ref":"#"}"##, &[]).unwrap();
        assert!(circle.resolve(circle.root()).is_err());
    }

    #[test]
    fn faults_are_told_with_their_place() {
        for (text, part) in [
            ("", "line 1"),
            ("3", "at #: a schema"),
            (r#"{"type":"text"}"#, "at #/type"),
            (r#"{"type":[]}"#, "at #/type"),
            (r#"{"properties":[]}"#, "at #/properties"),
            (r#"{"properties":{"a":1}}"#, "at #/properties/a"),
            (r#"{"allOf":{}}"#, "at #/allOf"),
            (
                r#"{"items":[true,{"minLength":-1}]}"#,
                "at #/items/1/minLength",
            ),
            (r#"{"required":["a",1]}"#, "at #/required"),
            (r#"{"pattern":"("}"#, "at #/pattern"),
            (r#"{"pattern":3}"#, "at #/pattern"),
            (
                r#"{"patternProperties":{"[":true}}"#,
                "at #/patternProperties/[",
            ),
            (r##"{"$ref":"#/definitions/x"}"##, "points at nothing"),
        ] {
            let error = JsonSchema::parse(text, &[]).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(JsonSchema::parse("true", &[]).is_ok());
        assert!(JsonSchema::parse(&"{\"not\":".repeat(10_000), &[]).is_err());
        let patterns = |count| {
            let one = r#"{"pattern":"a"}"#;
            format!(r#"{{"allOf":[{}]}}"#, vec![one; count].join(","))
        };
        assert!(JsonSchema::parse(&patterns(PATTERNS_MAX), &[]).is_ok());
        let error = JsonSchema::parse(&patterns(PATTERNS_MAX + 1), &[]).unwrap_err();
        assert!(error.contains("regular expressions"), "{error}");
        assert!(JsonSchema::parse(r#"{"pattern":"((a{500}){500}){500}"}"#, &[]).is_err());
    }
}
