//! Protobuf schemas as the registry knows them: a file with everything that it imports.
//!
//! Enters: the text of a `.proto` file, or a serialized descriptor of one in base 64 as Python's serializer sends it, and the texts of its
//! references. Leaves: descriptors whose type names are resolved, and one text for all files that differ in white space only.
//!
//! # Source
//! Protocol Buffers Language Specification, proto2 and proto3, read by `protox`. Imports that need no reference are those that Confluent's
//! registry brings along, as far as they are common.

mod print;
mod tokens;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use prost_types::FileDescriptorProto;
use protox::file::{File, FileResolver, GoogleFileResolver};
use protox::prost::Message as _;
use protox::{Compiler, Error};
use weir_runtime::format::proto::known_file;

/// The name of the schema's own file, which no import can have.
const OWN_NAME: &str = "(schema)";

/// Bytes of `{` within one another before a text counts as too deep to read (guess, far above any schema seen).
const DEPTH_MAX: usize = 64;

/// A Protobuf file with all that it imports.
#[derive(Debug, Clone)]
pub(crate) struct ProtobufSchema {
    /// The file itself, type names resolved.
    pub(crate) file: FileDescriptorProto,
    /// The files that it imports, and those they do.
    pub(crate) imports: Vec<FileDescriptorProto>,
    /// The text, as it was given or as a descriptor reads.
    text: String,
}

impl ProtobufSchema {
    /// Reads a schema.
    ///
    /// # Errors
    /// What is wrong and where.
    pub(crate) fn parse(text: &str, references: &[(String, String)]) -> Result<Self, String> {
        if let Some(bytes) = serialized(text) {
            let source = print::source_of(&bytes, references)?;
            return Self::from_source(&source, references);
        }
        Self::from_source(text, references)
    }

    /// Reads a text.
    fn from_source(text: &str, references: &[(String, String)]) -> Result<Self, String> {
        if tokens::depth(text) > DEPTH_MAX {
            return Err(format!("it nests more than {DEPTH_MAX} levels deep"));
        }
        let own = File::from_source(OWN_NAME, text).map_err(|error| told(&error))?;
        let compiler = compile(own, references)?;
        let mut files = compiler.file_descriptor_set().file;
        let index = files.iter().position(|file| file.name() == OWN_NAME);
        let file = index.map(|index| files.swap_remove(index));
        Ok(Self {
            file: file.ok_or("the file does not come back from its compiler")?,
            imports: files,
            text: text.to_owned(),
        })
    }

    /// The text as clients are given it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The text that is the same for every file of these words and comments.
    pub(crate) fn canonical(&self) -> String {
        tokens::canonical(&self.text)
    }

    /// What is the same for every file of this content: comments, order of imports and spelling of type names do not matter.
    pub(crate) fn normalized(&self) -> String {
        let mut file = self.file.clone();
        file.source_code_info = None;
        file.dependency.sort();
        BASE64_STANDARD.encode(file.encode_to_vec())
    }

    /// The serialized descriptor in base 64, for clients that ask for `format=serialized`.
    pub(crate) fn serialized(&self) -> String {
        let mut file = self.file.clone();
        file.source_code_info = None;
        file.name = Some("default.proto".to_owned());
        BASE64_STANDARD.encode(file.encode_to_vec())
    }
}

/// The bytes of a descriptor in base 64; a `.proto` text is none.
fn serialized(text: &str) -> Option<Vec<u8>> {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    if text.is_empty() || !text.bytes().all(is_base64) {
        return None;
    }
    BASE64_STANDARD.decode(text).ok()
}

/// Compiles a file with what it imports.
fn compile(own: File, references: &[(String, String)]) -> Result<Compiler, String> {
    let resolver = Imports {
        own,
        references: references.to_vec(),
        google: GoogleFileResolver::new(),
    };
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).include_source_info(true);
    compiler.open_file(OWN_NAME).map_err(|error| {
        let hint = if error.is_file_not_found() {
            "; give it as a reference of that name, with a subject and a version"
        } else {
            ""
        };
        format!("{}{hint}", told(&error))
    })?;
    Ok(compiler)
}

/// An error with its place; the own file's name, which nobody gave, is left out.
fn told(error: &Error) -> String {
    // Only the form for debugging has line and column.
    let text = format!("{error:?}");
    let own = format!("{OWN_NAME}:");
    match text.strip_prefix(&own) {
        Some(rest) => format!("line {rest}"),
        None => text,
    }
}

/// Finds imports.
struct Imports {
    /// The schema's own file.
    own: File,
    /// Texts of references by name.
    references: Vec<(String, String)>,
    /// Google's own files.
    google: GoogleFileResolver,
}

impl FileResolver for Imports {
    fn open_file(&self, name: &str) -> Result<File, Error> {
        if name == OWN_NAME {
            return Ok(self.own.clone());
        }
        let mut references = self.references.iter();
        if let Some((_, text)) = references.find(|(other, _)| other == name) {
            return File::from_source(name, text);
        }
        match known_file(name) {
            Some(text) => File::from_source(name, text),
            None => self.google.open_file(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_does_not_matter_and_comments_do_unless_normalized() {
        let one = ProtobufSchema::parse(
            "syntax = \"proto3\";\nmessage A {\n  // Doc.\n  int32 a = 1;\n}\n",
            &[],
        )
        .unwrap();
        let other =
            ProtobufSchema::parse("syntax=\"proto3\"; message A{ //   Doc.\nint32 a=1;}", &[])
                .unwrap();
        let plain = ProtobufSchema::parse("syntax=\"proto3\"; message A{int32 a=1;}", &[]).unwrap();
        assert_eq!(one.canonical(), other.canonical());
        assert_ne!(one.canonical(), plain.canonical());
        assert_eq!(one.normalized(), plain.normalized());
        assert!(one.text().contains("// Doc."));
    }

    #[test]
    fn imports_are_references_or_well_known() {
        let text = "syntax = \"proto3\"; import \"other.proto\"; import \"google/protobuf/timestamp.proto\"; \
            import \"confluent/meta.proto\"; import \"google/type/date.proto\"; import \"confluent/type/decimal.proto\"; \
            message A { o.B b = 1; google.protobuf.Timestamp t = 2 [(confluent.field_meta).doc = \"when\"]; \
            google.type.Date d = 3; confluent.type.Decimal m = 4; }";
        let other = "syntax = \"proto3\"; package o; message B {}";
        let references = [("other.proto".to_owned(), other.to_owned())];
        let schema = ProtobufSchema::parse(text, &references).unwrap();
        assert_eq!(schema.file.message_type[0].field[0].type_name(), ".o.B");
        assert!(
            schema
                .imports
                .iter()
                .any(|file| file.name() == "other.proto")
        );
        let error = ProtobufSchema::parse(text, &[]).unwrap_err();
        assert!(
            error.contains("other.proto") && error.contains("reference"),
            "{error}"
        );
    }

    #[test]
    fn faults_are_told_with_their_place() {
        for (text, part) in [
            ("message", "end of file"),
            ("syntax = 3;", "line 1:10"),
            (
                "syntax = \"proto3\";\nmessage A { Nothing a = 1; }",
                "line 2:13",
            ),
            (
                "syntax = \"proto3\";\nmessage A { int32 a = 1; int32 b = 1; }",
                "line 2",
            ),
            (
                "syntax = \"proto3\"; message A { reserved 1; int32 a = 1; }",
                "line 1",
            ),
            ("syntax = \"proto9\";", "line 1"),
            ("AAAA", ""),
        ] {
            let error = ProtobufSchema::parse(text, &[]).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        let deep = format!("{}{}", "message A {".repeat(10_000), "}".repeat(10_000));
        assert!(ProtobufSchema::parse(&deep, &[]).is_err());
        let option = format!("option (x) = {}{};", "{a:".repeat(5_000), "}".repeat(5_000));
        assert!(ProtobufSchema::parse(&option, &[]).is_err());
    }

    #[test]
    fn a_serialized_descriptor_is_read_as_the_text_that_it_came_from() {
        let text = r#"syntax = "proto2";
package p.q;
import public "google/protobuf/timestamp.proto";
import "confluent/meta.proto";
option java_package = "x.\"y";
option optimize_for = CODE_SIZE;
message A {
  option (confluent.message_meta).doc = "about A";
  option deprecated = true;
  required int32 a = 1 [default = -5];
  repeated double d = 2 [packed = true, deprecated = true];
  optional string s = 3 [default = "q\"\n", json_name = "other"];
  optional E e = 4 [default = ONE];
  map<string, B> m = 5;
  oneof choice { B b = 6; bytes raw = 7; }
  optional google.protobuf.Timestamp t = 8 [(confluent.field_meta) = {doc: "when" params: {key: "k" value: "v"} tags: "t"}];
  reserved 20, 30 to 40;
  reserved "old", "older";
  extensions 100 to 199;
  message B { optional A up = 1; }
  enum E { option allow_alias = true; ZERO = 0; ONE = 1; UNO = 1 [deprecated = true]; reserved 5 to 6; reserved "X"; }
}
extend A { optional int32 more = 100; }
service S { rpc Do (A) returns (stream A.B) { option deprecated = true; } }
"#;
        let schema = ProtobufSchema::parse(text, &[]).unwrap();
        let again = ProtobufSchema::parse(&schema.serialized(), &[]);
        // `prost-types` has no place for options of others, so what it serializes lacks them.
        let again = again.unwrap();
        let plain: String = text
            .lines()
            .filter(|line| !line.contains("option (confluent"))
            .map(|line| line.replace(r#" [(confluent.field_meta) = {doc: "when" params: {key: "k" value: "v"} tags: "t"}]"#, ""))
            .collect::<Vec<_>>()
            .join("\n");
        let plain = ProtobufSchema::parse(&plain, &[]).unwrap();
        assert_eq!(again.normalized(), plain.normalized(), "{}", again.text());
        let proto3 = "syntax = \"proto3\"; message A { optional int32 a = 1; int32 b = 2; repeated int32 c = 3; A d = 4; }";
        let schema = ProtobufSchema::parse(proto3, &[]).unwrap();
        let again = ProtobufSchema::parse(&schema.serialized(), &[]).unwrap();
        assert_eq!(again.normalized(), schema.normalized(), "{}", again.text());
    }
}
