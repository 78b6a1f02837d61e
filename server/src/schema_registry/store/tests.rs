//! The store as a whole.

use weir_runtime::format::registry::SchemaType;

use super::*;
use crate::schema_registry::compatibility::Level;

/// A schema to register.
pub(super) fn schema(language: SchemaType, text: &str) -> NewSchema {
    NewSchema {
        language,
        text: text.to_owned(),
        references: Vec::new(),
        metadata: String::new(),
        normalize: Normalize::AsConfigured,
        id: None,
        version: None,
    }
}

/// An Avro schema to register.
pub(super) fn avro(text: &str) -> NewSchema {
    schema(SchemaType::Avro, text)
}

/// A store of its own.
fn store() -> (tempfile::TempDir, SchemaStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = SchemaStore::open(dir.path()).unwrap();
    (dir, store)
}

/// A subject.
fn subject(text: &str) -> Subject {
    Subject::parse(text, None).unwrap()
}

/// Turns compatibility off.
fn without_level(store: &SchemaStore) {
    let config = Config {
        level: Some(Level::None),
        normalize: None,
    };
    store.set_config(&Subject::global(), config).unwrap();
}

/// A record with fields.
fn record(fields: &str) -> NewSchema {
    avro(&format!(
        r#"{{"type":"record","name":"R","fields":[{fields}]}}"#
    ))
}

#[test]
fn ids_are_of_contents_and_versions_of_subjects() {
    let (_dir, store) = store();
    without_level(&store);
    let (a, b) = (subject("a"), subject("b"));
    let first = store.add(&a, &avro("\"int\"")).unwrap();
    assert_eq!((first.number, first.schema.id), (1, 1));
    let again = store.add(&a, &avro(" { \"type\" : \"int\" }")).unwrap();
    assert_eq!(again, first);
    let second = store.add(&a, &avro("\"string\"")).unwrap();
    assert_eq!((second.number, second.schema.id), (2, 2));
    let other = store.add(&b, &avro("\"string\"")).unwrap();
    assert_eq!((other.number, other.schema.id), (1, 2));
    assert_eq!(other.schema.guid, second.schema.guid);
    assert_ne!(first.schema.guid, second.schema.guid);
    assert_eq!(store.by_guid(&first.schema.guid).unwrap(), first.schema);
    let uses = store.uses(".", 2, Deleted::Excluded).unwrap();
    let uses: Vec<_> = uses
        .iter()
        .map(|one| (one.subject.qualified(), one.number))
        .collect();
    assert_eq!(uses, [("a".to_owned(), 2), ("b".to_owned(), 1)]);
    assert_eq!(store.by_id(".", 3), Err(Refusal::Schema));
}

#[test]
fn a_level_says_what_is_compatible() {
    let (_dir, store) = store();
    let a = subject("a");
    let one = r#"{"name":"a","type":"int"}"#;
    let two = r#"{"name":"a","type":"int"},{"name":"b","type":"int"}"#;
    let two_default = r#"{"name":"a","type":"int"},{"name":"b","type":"int","default":0}"#;
    store.add(&a, &record(one)).unwrap();
    let refused = store.add(&a, &record(two)).unwrap_err();
    assert_eq!(refused.code(), 409);
    let text = refused.to_string();
    for part in [
        "READER_FIELD_MISSING_DEFAULT_VALUE",
        "subject \"a\"",
        "oldSchemaVersion: 1",
        "BACKWARD",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let set = |level| {
        let config = Config {
            level: Some(level),
            normalize: None,
        };
        store.set_config(&a, config).unwrap();
    };
    set(Level::Forward);
    assert_eq!(store.add(&a, &record(two)).unwrap().number, 2);
    set(Level::Full);
    let other = r#"{"name":"a","type":"int"},{"name":"c","type":"int"}"#;
    assert_eq!(store.add(&a, &record(other)).unwrap_err().code(), 409);
    set(Level::Backward);
    assert_eq!(store.add(&a, &record(two_default)).unwrap().number, 3);
    // Without `a` the latest is still read, the first only as long as its field had a default.
    let only_b = r#"{"name":"b","type":"int"}"#;
    let compared = |level| {
        set(level);
        let versions = Versions::AsConfigured;
        store.compare(&a, &record(only_b), versions).unwrap()
    };
    assert!(compared(Level::Backward).is_empty());
    let transitive = compared(Level::BackwardTransitive);
    assert!(
        transitive
            .iter()
            .any(|one| one.contains("oldSchemaVersion: 1")),
        "{transitive:?}"
    );
    assert!(compared(Level::None).is_empty());
    let one_version = store.compare(&a, &record(two), Versions::One(VersionId::Number(9)));
    assert_eq!(one_version, Err(Refusal::Version("9".to_owned())));
}

#[test]
fn another_language_is_incompatible() {
    let (_dir, store) = store();
    let a = subject("a");
    store.add(&a, &avro("\"int\"")).unwrap();
    let error = store.add(&a, &schema(SchemaType::Json, "{}")).unwrap_err();
    assert!(
        error.to_string().contains("different schema type"),
        "{error}"
    );
}

#[test]
fn deleting_takes_two_steps_and_numbers_are_not_given_again() {
    let (_dir, store) = store();
    without_level(&store);
    let a = subject("a");
    for text in ["\"int\"", "\"long\"", "\"string\""] {
        store.add(&a, &avro(text)).unwrap();
    }
    let delete = |version, deletion| store.delete_version(&a, version, deletion);
    let third = VersionId::Number(3);
    assert_eq!(
        delete(third, Deletion::Permanent).unwrap_err().code(),
        40407
    );
    assert_eq!(delete(VersionId::Latest, Deletion::Soft), Ok(3));
    assert_eq!(delete(third, Deletion::Soft).unwrap_err().code(), 40406);
    assert_eq!(store.versions(&a, Deleted::Excluded).unwrap(), [1, 2]);
    let read = store.version(&a, third, Deleted::Excluded);
    assert_eq!(read.unwrap_err().code(), 40402);
    assert!(
        store
            .version(&a, third, Deleted::Included)
            .unwrap()
            .is_deleted
    );
    assert!(store.by_id(".", 3).is_ok());
    // The same content again: another version, the same id.
    let again = store.add(&a, &avro("\"string\"")).unwrap();
    assert_eq!((again.number, again.schema.id), (4, 3));
    assert_eq!(delete(third, Deletion::Permanent), Ok(3));
    assert!(store.by_id(".", 3).is_ok());
    let subject_delete = |deletion| store.delete_subject(&a, deletion);
    assert_eq!(
        subject_delete(Deletion::Permanent).unwrap_err().code(),
        40405
    );
    assert_eq!(subject_delete(Deletion::Soft), Ok(vec![1, 2, 4]));
    assert_eq!(subject_delete(Deletion::Soft).unwrap_err().code(), 40404);
    assert_eq!(
        store.versions(&a, Deleted::Excluded).unwrap_err().code(),
        40401
    );
    let all = Filter {
        context: None,
        prefix: String::new(),
        deleted: Deleted::Only,
        offset: 0,
        limit: 10,
    };
    assert_eq!(store.subjects(&all).unwrap(), ["a"]);
    assert_eq!(store.add(&a, &avro("\"bytes\"")).unwrap().number, 5);
    store.delete_subject(&a, Deletion::Soft).unwrap();
    assert_eq!(subject_delete(Deletion::Permanent), Ok(vec![1, 2, 4, 5]));
    assert_eq!(subject_delete(Deletion::Soft).unwrap_err().code(), 40401);
    assert_eq!(store.by_id(".", 1), Err(Refusal::Schema));
    // Ids are never given again.
    assert_eq!(store.add(&a, &avro("\"int\"")).unwrap().schema.id, 5);
}

#[test]
fn what_is_referred_to_stays() {
    let (_dir, store) = store();
    let (base, user) = (subject("base"), subject("user"));
    store
        .add(
            &base,
            &avro(r#"{"type":"record","name":"n.B","fields":[]}"#),
        )
        .unwrap();
    let mut new = avro(r#"{"type":"array","items":"n.B"}"#);
    assert_eq!(store.add(&user, &new).unwrap_err().code(), 42201);
    new.references = vec![Reference {
        name: "n.B".to_owned(),
        subject: "base".to_owned(),
        version: -1,
    }];
    let added = store.add(&user, &new).unwrap();
    assert_eq!(added.schema.references[0].version, 1);
    assert_eq!(
        store.referenced_by(&base, VersionId::Latest).unwrap(),
        [added.schema.id]
    );
    let soft = || store.delete_version(&base, VersionId::Number(1), Deletion::Soft);
    assert_eq!(soft().unwrap_err().code(), 42206);
    assert_eq!(
        store
            .delete_subject(&base, Deletion::Soft)
            .unwrap_err()
            .code(),
        42206
    );
    store.delete_subject(&user, Deletion::Soft).unwrap();
    assert_eq!(soft(), Ok(1));
    let permanent = || store.delete_version(&base, VersionId::Number(1), Deletion::Permanent);
    assert_eq!(permanent().unwrap_err().code(), 42206);
    store.delete_subject(&user, Deletion::Permanent).unwrap();
    assert_eq!(permanent(), Ok(1));
    new.references[0].version = 7;
    let missing = store.add(&user, &new).unwrap_err();
    assert!(
        missing
            .to_string()
            .contains("no version 7 of subject \"base\""),
        "{missing}"
    );
}

#[test]
fn references_are_resolved_to_their_ends_and_bounded() {
    let (_dir, store) = store();
    let name = |n: usize| subject(&format!("s{n}"));
    for n in 0..40usize {
        let mut new = avro(&format!(r#"{{"type":"record","name":"R{n}","fields":[]}}"#));
        if let Some(before) = n.checked_sub(1) {
            new = avro(&format!(
                r#"{{"type":"record","name":"R{n}","fields":[{{"name":"f","type":"R{before}"}}]}}"#
            ));
            new.references = vec![Reference {
                name: format!("R{before}"),
                subject: format!("s{before}"),
                version: 1,
            }];
        }
        let added = store.add(&name(n), &new);
        // The last but the bound has the bound's number of references before it.
        assert_eq!(added.is_ok(), n <= 32, "{n}: {added:?}");
    }
    let last = store
        .version(&name(32), VersionId::Latest, Deleted::Excluded)
        .unwrap();
    assert!(store.parsed(&last.schema).is_ok());
}

#[test]
fn modes_say_what_may_be_changed() {
    let (_dir, store) = store();
    let a = subject("a");
    let set = |subject: &Subject, mode, force| store.set_mode(subject, mode, force);
    let mut new = avro("\"int\"");
    new.id = Some(77);
    new.version = Some(5);
    assert_eq!(store.add(&a, &new).unwrap_err().code(), 42205);
    set(&a, Mode::Import, Force::No).unwrap();
    assert_eq!(store.add(&a, &avro("\"int\"")).unwrap_err().code(), 42205);
    let added = store.add(&a, &new).unwrap();
    assert_eq!((added.schema.id, added.number), (77, 5));
    assert_eq!(store.add(&a, &new).unwrap(), added);
    let mut other = avro("\"string\"");
    other.id = Some(77);
    assert_eq!(store.add(&a, &other), Err(Refusal::IdTaken(77)));
    set(&a, Mode::ReadOnly, Force::No).unwrap();
    assert_eq!(store.add(&a, &avro("\"long\"")).unwrap_err().code(), 42205);
    assert_eq!(store.add(&a, &avro("\"int\"")).unwrap(), added);
    assert_eq!(
        store.delete_subject(&a, Deletion::Soft).unwrap_err().code(),
        42205
    );
    set(&a, Mode::ReadWrite, Force::No).unwrap();
    assert_eq!(set(&a, Mode::Import, Force::No).unwrap_err().code(), 42205);
    assert!(set(&a, Mode::Import, Force::Yes).is_ok());
    assert_eq!(store.delete_mode(&a), Ok(Mode::Import));
    assert_eq!(store.delete_mode(&a).unwrap_err().code(), 40409);
    let long = store.add(&a, &avro("\"long\"")).unwrap();
    assert_eq!((long.schema.id, long.number), (78, 6));
    set(&Subject::global(), Mode::ReadOnlyOverride, Force::No).unwrap();
    set(&a, Mode::ReadWrite, Force::No).unwrap();
    assert_eq!(store.mode(&a), Ok(Mode::ReadOnlyOverride));
}

#[test]
fn contexts_have_ids_of_their_own() {
    let (_dir, store) = store();
    let (plain, other) = (subject("a"), subject(":.c:a"));
    store.add(&plain, &avro("\"int\"")).unwrap();
    store.add(&plain, &avro("\"long\"")).unwrap();
    let added = store.add(&other, &avro("\"long\"")).unwrap();
    assert_eq!((added.schema.id, added.number), (1, 1));
    assert_eq!(store.contexts().unwrap(), [".", ".c"]);
    assert_eq!(store.by_id(".c", 2), Err(Refusal::Schema));
    let mut filter = Filter {
        context: None,
        prefix: String::new(),
        deleted: Deleted::Excluded,
        offset: 0,
        limit: 10,
    };
    assert_eq!(store.subjects(&filter).unwrap(), ["a", ":.c:a"]);
    assert_eq!(store.list(&filter, Newest::All).unwrap().len(), 3);
    assert_eq!(store.list(&filter, Newest::Only).unwrap().len(), 2);
    filter.context = Some(".c".to_owned());
    assert_eq!(store.subjects(&filter).unwrap(), [":.c:a"]);
    filter.prefix = "b".to_owned();
    assert!(store.subjects(&filter).unwrap().is_empty());
    // A context's level counts for its subjects, and the registry's for it.
    let level = |level| Config {
        level: Some(level),
        normalize: None,
    };
    store
        .set_config(&Subject::global(), level(Level::None))
        .unwrap();
    store
        .set_config(&subject(":.c:"), level(Level::Full))
        .unwrap();
    assert_eq!(store.level(&other), Ok(Level::Full));
    assert_eq!(store.level(&plain), Ok(Level::None));
}

#[test]
fn normalizing_finds_what_is_the_same_otherwise() {
    let (_dir, store) = store();
    let a = subject("a");
    let first = store
        .add(
            &a,
            &schema(SchemaType::Json, r#"{"type":"object","title":"t"}"#),
        )
        .unwrap();
    let mut turned = schema(SchemaType::Json, r#"{"title":"t","type":"object"}"#);
    assert_eq!(
        store.find(&a, &turned, Deleted::Excluded),
        Err(Refusal::Schema)
    );
    turned.normalize = Normalize::Yes;
    assert_eq!(store.find(&a, &turned, Deleted::Excluded).unwrap(), first);
    turned.normalize = Normalize::AsConfigured;
    let config = Config {
        level: None,
        normalize: Some(true),
    };
    store.set_config(&a, config).unwrap();
    assert_eq!(store.add(&a, &turned).unwrap(), first);
}

#[test]
fn metadata_is_part_of_the_content() {
    let (_dir, store) = store();
    let a = subject("a");
    let plain = store.add(&a, &avro("\"int\"")).unwrap();
    let mut new = avro("\"int\"");
    new.metadata = r#"{"properties":{"owner":"me"}}"#.to_owned();
    let described = store.add(&a, &new).unwrap();
    assert_eq!((described.number, described.schema.id), (2, 2));
    assert_ne!(described.schema.guid, plain.schema.guid);
    let read = store.version(&a, VersionId::Latest, Deleted::Excluded);
    assert_eq!(read.unwrap().schema.metadata, new.metadata);
}

#[test]
fn texts_beyond_the_bound_are_refused() {
    let (_dir, store) = store();
    let long = format!("{{\"type\":\"int\",\"doc\":\"{}\"}}", "x".repeat(1 << 20));
    let refused = store.add(&subject("a"), &avro(&long)).unwrap_err();
    assert_eq!(refused.code(), 42209);
}
