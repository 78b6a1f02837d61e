//! Texts of schemas.
//!
//! Place in the flow: every schema is read here, the table's own and those of the registry. Invariant: reading ends for any text, with
//! descriptors whose names are all resolved or with what is wrong; nothing but references and well-known files is imported.
//!
//! # Source
//! Protocol Buffers, "Language Guide" (proto2 and proto3); Confluent, "Protobuf serializer": wire format.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::{DescriptorPool, FileDescriptor, MessageDescriptor};
use protox::file::{File, FileResolver, GoogleFileResolver};
use protox::{Compiler, Error};

use crate::format::proto::wellknown::known_file;
use crate::format::proto::wire::write_bytes;
use crate::format::registry::ReferencedSchema;

/// The path of the schema itself; no import names it.
const PATH: &str = "weir.schema.proto";

/// How deep brackets of a text may stand in one another. Guess, unmeasured: messages may nest 31 deep, and values of options are rarely
/// deeper than three.
const BRACKETS_MAX: usize = 100;

/// A schema that was read.
#[derive(Debug)]
pub(super) struct Parsed {
    /// The schema's own file.
    file: FileDescriptor,
    /// It with all that it imports.
    pool: DescriptorPool,
    /// Whether it was registered as a descriptor and not as text.
    is_descriptor: bool,
}

/// Reads a schema with those that it refers to.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(text: &str, references: &[ReferencedSchema]) -> Result<Parsed, String> {
    let mut files = HashMap::from([(PATH, text)]);
    for reference in references {
        files.insert(&reference.name, &reference.schema.schema);
    }
    let mut compiler = Compiler::with_file_resolver(Files {
        files: files
            .into_iter()
            .map(|(path, text)| (path.to_owned(), text.to_owned()))
            .collect(),
        google: GoogleFileResolver::new(),
    });
    compiler.include_source_info(false);
    compiler.open_file(PATH).map_err(|error| describe(&error))?;
    let pool = compiler.descriptor_pool();
    let file = pool
        .get_file_by_name(PATH)
        .ok_or_else(|| "it has no file".to_owned())?;
    Ok(Parsed {
        file,
        pool,
        is_descriptor: descriptor_of(text).is_some(),
    })
}

/// An error with its place.
fn describe(error: &Error) -> String {
    error.to_string().replace('\n', " ")
}

impl Parsed {
    /// The message of a path: its place in the file, the place of one in it, and so on.
    pub(super) fn message(&self, path: &[usize]) -> Option<MessageDescriptor> {
        let (first, rest) = path.split_first()?;
        let outer = self.file.messages().nth(*first)?;
        rest.iter().try_fold(outer, |outer, place| {
            // Confluent's Java library counts declarations, and a map declares no message. Libraries that register descriptors count
            // the hidden messages of maps too; a place behind all declarations can only be theirs.
            let is_declared = |message: &MessageDescriptor| !message.is_map_entry();
            let mut declared = outer.child_messages().filter(is_declared);
            let counted = (!self.is_descriptor).then(|| declared.nth(*place));
            let any = || outer.child_messages().nth(*place).filter(is_declared);
            counted.flatten().or_else(any)
        })
    }

    /// The messages that records are of: those of the file that no other one of it holds.
    pub(super) fn roots(&self) -> Vec<MessageDescriptor> {
        let all: Vec<MessageDescriptor> = self.file.messages().collect();
        let held = |message: &MessageDescriptor| {
            all.iter()
                .filter(|other| *other != message)
                .any(|other| holds(other, message))
        };
        let roots: Vec<MessageDescriptor> = all.iter().filter(|m| !held(m)).cloned().collect();
        if roots.is_empty() {
            // Each holds another: then the first is the one that serializers take.
            all.into_iter().take(1).collect()
        } else {
            roots
        }
    }

    /// The extension of fields that holds what Confluent says about them, if the schema knows it.
    pub(super) fn field_meta(&self) -> Option<prost_reflect::ExtensionDescriptor> {
        self.pool.get_extension_by_name("confluent.field_meta")
    }
}

/// Whether a field of a message, or of one that is declared in it, is of another message.
fn holds(outer: &MessageDescriptor, inner: &MessageDescriptor) -> bool {
    let is_inner = |field: prost_reflect::FieldDescriptor| {
        field.kind().as_message().is_some_and(|kind| kind == inner)
    };
    outer.fields().any(is_inner) || outer.child_messages().any(|child| holds(&child, inner))
}

/// The files that a schema may import.
struct Files {
    /// The schema and those that it refers to, by path.
    files: HashMap<String, String>,
    /// The files of Protobuf itself.
    google: GoogleFileResolver,
}

impl FileResolver for Files {
    fn open_file(&self, path: &str) -> Result<File, Error> {
        if let Some(text) = self.files.get(path) {
            return open(path, text);
        }
        match known_file(path) {
            Some(text) => File::from_source(path, text),
            None => self.google.open_file(path),
        }
    }
}

/// The bytes of a descriptor in Base64. No text of a schema is any: it has blanks.
fn descriptor_of(text: &str) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(text.trim()).ok();
    bytes.filter(|bytes| !bytes.is_empty())
}

/// Reads the text of a file, or the Base64 of its descriptor, which clients for Python register.
fn open(path: &str, text: &str) -> Result<File, Error> {
    if let Some(mut bytes) = descriptor_of(text) {
        // Its name is that of the file that it was compiled from; of two names the last counts.
        write_bytes(&mut bytes, NAME, path.as_bytes());
        return File::decode_file_descriptor_proto(bytes.as_slice()).map_err(Error::new);
    }
    check_depth(text).map_err(Error::new)?;
    File::from_source(path, &absolute(text))
}

/// The number of a descriptor's name.
///
/// # Source
/// `google/protobuf/descriptor.proto`, `FileDescriptorProto`.
const NAME: u32 = 1;

/// The text with absolute names of Confluent's annotations. Confluent writes relative ones, which in its own package
/// `io.confluent.protobuf.generated` are those of another package to any compiler but its own.
fn absolute(text: &str) -> String {
    text.replace("(confluent.field_meta)", "(.confluent.field_meta)")
        .replace("(confluent.message_meta)", "(.confluent.message_meta)")
        .replace("(confluent.file_meta)", "(.confluent.file_meta)")
        .replace("(confluent.enum_meta)", "(.confluent.enum_meta)")
        .replace(
            "(confluent.enum_value_meta)",
            "(.confluent.enum_value_meta)",
        )
}

/// Refuses texts with brackets so deep in one another that reading them could take more stack than there is.
fn check_depth(text: &str) -> Result<(), String> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = bytes.get(at).copied() {
        at += 1;
        match byte {
            b'{' | b'[' | b'(' | b'<' => depth += 1,
            b'}' | b']' | b')' | b'>' => depth = depth.saturating_sub(1),
            b'"' | b'\'' => at = behind_string(bytes, at, byte),
            b'#' => at = behind(bytes, at, b"\n"),
            b'/' if bytes.get(at) == Some(&b'/') => at = behind(bytes, at, b"\n"),
            b'/' if bytes.get(at) == Some(&b'*') => at = behind(bytes, at + 1, b"*/"),
            _ => {}
        }
        if depth > BRACKETS_MAX {
            return Err(format!("more than {BRACKETS_MAX} levels of brackets"));
        }
    }
    Ok(())
}

/// The place behind the next `mark`.
fn behind(bytes: &[u8], from: usize, mark: &[u8]) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    let found = rest.windows(mark.len()).position(|window| window == mark);
    found.map_or(bytes.len(), |found| from + found + mark.len())
}

/// The place behind the string that begins at `at`.
fn behind_string(bytes: &[u8], mut at: usize, quote: u8) -> usize {
    while let Some(byte) = bytes.get(at).copied() {
        at += 1;
        match byte {
            b'\\' => at += 1,
            // No string goes on in the next line.
            b'\n' => return at,
            other if other == quote => return at,
            _ => {}
        }
    }
    at
}
