//! Expressions, columns and the example tables.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Float64Type, Int8Type, Int32Type, TimestampMillisecondType,
};

use super::words::WORDS;
use super::*;
use crate::connector::source::{Poll, SplitPosition};
use crate::error::{Code, Error};
use crate::sql::catalog::{ColumnKind, ObjectName, TableColumn};
use crate::task::Waker;
use crate::time::{Clock, SystemClock};
use crate::types::TypeKind;

/// A wall time in 2023.
const NOW_MS: i64 = 1_700_000_000_000;

/// A table with one nullable column `f` of an expression.
fn table(kind: TypeKind, expression: &str, options: &[(&str, &str)]) -> TableDef {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let mut options: BTreeMap<String, String> = options.iter().map(pair).collect();
    options.insert("fields.f.expression".into(), expression.to_owned());
    TableDef {
        name: ObjectName {
            catalog: "c".into(),
            database: "d".into(),
            name: "t".into(),
        },
        columns: vec![TableColumn {
            name: "f".into(),
            ty: kind.nullable(),
            kind: ColumnKind::Physical,
            comment: None,
        }],
        watermark: None,
        primary_key: Vec::new(),
        distributed_by: Vec::new(),
        buckets: None,
        options,
        comment: None,
    }
}

/// All physical columns of a table as read columns.
fn read(table: &TableDef) -> Vec<ReadColumn> {
    let column = |column: &TableColumn| ReadColumn {
        name: column.name.clone(),
        ty: column.ty.clone(),
        metadata: None,
    };
    table.physical().map(column).collect()
}

/// Values of the first 500 rows.
fn values(kind: TypeKind, expression: &str) -> Result<ArrayRef> {
    let table = table(kind, expression, &[]);
    let mut column = FakerColumn::new(&table, &read(&table)[0])?;
    column.generate(&(0..500).collect::<Vec<_>>(), NOW_MS)
}

/// Values as text.
fn texts(expression: &str) -> Vec<String> {
    let array = values(TypeKind::string(), expression).unwrap();
    let texts = array.as_string::<i32>();
    texts.iter().map(|text| text.unwrap().to_owned()).collect()
}

/// The error of an expression of a STRING column.
fn error(expression: &str) -> Error {
    values(TypeKind::string(), expression).unwrap_err()
}

#[test]
fn numbers_keep_datafakers_bounds() {
    let array = values(TypeKind::Int, "#{number.numberBetween '13','10'}").unwrap();
    let seen: BTreeSet<i32> = array
        .as_primitive::<Int32Type>()
        .values()
        .iter()
        .copied()
        .collect();
    assert_eq!(seen, BTreeSet::from([10, 11, 12]));
    let same = values(TypeKind::TinyInt, "#{Number.numberBetween '7', '7'}").unwrap();
    assert!(
        same.as_primitive::<Int8Type>()
            .values()
            .iter()
            .all(|value| *value == 7)
    );
    let array = values(TypeKind::Double, "#{Number.randomDouble '2','10','100'}").unwrap();
    for value in array.as_primitive::<Float64Type>().values() {
        assert!((10.0..=100.0).contains(value));
        assert!(((value * 100.0).round() - value * 100.0).abs() < 1e-6);
    }
    let decimal = TypeKind::Decimal {
        precision: 5,
        scale: 2,
    };
    let array = values(decimal, "#{Commerce.price '1','2'}").unwrap();
    let prices = array.as_primitive::<Decimal128Type>().values();
    assert!(prices.iter().all(|value| (100..=200).contains(value)));
    let digits: BTreeSet<String> = texts("#{Number.randomDigit}").into_iter().collect();
    assert_eq!(digits.len(), 10);
    assert!(
        texts("#{Number.randomDouble '0','5','5'}")
            .iter()
            .all(|text| text == "5.0")
    );
}

#[test]
fn regexify_gives_what_the_expression_matches() {
    let patterns = [
        "https://www[.]acme[.]com/product/[a-z]{5}",
        "(a|b){3}",
        "(?:x|yz?){0,2}-[^a-y0-9]\\d\\w\\.",
        "^[A-C\\-_]{2,4}|(q|[12][0-9])$",
        "[a-]{3}.",
    ];
    for pattern in patterns {
        let matcher = regex::Regex::new(&format!("^(?:{pattern})$")).unwrap();
        let texts = texts(&format!("#{{regexify '{pattern}'}}"));
        for text in &texts {
            assert!(matcher.is_match(text), "{text} of {pattern}");
        }
        assert!(texts.iter().collect::<BTreeSet<_>>().len() > 5, "{pattern}");
    }
}

#[test]
fn regular_expressions_without_bound_or_sense_are_refused() {
    let bad = [
        "a*",
        "a+",
        "a{2,}",
        "a{3,1}",
        "*a",
        "(a",
        "a)",
        "[a",
        "[z-a]",
        "a{2}{3}",
        "\\",
        "\\p",
        "(?<n>a)",
        "((a{1000}){1000}){1000}",
        "a^b",
        "[^ -~]",
    ];
    for pattern in bad {
        let error = error(&format!("#{{regexify '{pattern}'}}"));
        assert_eq!(error.code, Code::InvalidOption, "{pattern}");
        assert!(error.message.contains("regexify"), "{error}");
    }
    let deep = "(".repeat(40) + &")".repeat(40);
    assert!(
        error(&format!("#{{regexify '{deep}'}}"))
            .message
            .contains("groups")
    );
}

#[test]
fn masks_and_options_fill_their_places() {
    let matcher = regex::Regex::new("^A[0-9]{2}[1-9]-[a-z]\\?|$").unwrap();
    assert!(
        texts("A#{numerify '##Ø-'}#{letterify '?'}?")
            .iter()
            .all(|text| matcher.is_match(text))
    );
    assert!(texts("#{bothify '#?'}").iter().all(|text| text.len() == 2));
    let seen: BTreeSet<String> = texts("#{Options.option 'it\\'s','}','a, b'}")
        .into_iter()
        .collect();
    assert_eq!(seen, ["a, b", "it's", "}"].map(String::from).into());
    assert!(
        texts("no directive")
            .iter()
            .all(|text| text == "no directive")
    );
}

#[test]
fn every_list_of_words_gives_text() {
    for (name, _) in WORDS {
        let texts = texts(&format!("#{{{name}}}"));
        assert!(texts.iter().all(|text| !text.is_empty()), "{name}");
        assert!(texts.iter().collect::<BTreeSet<_>>().len() > 1, "{name}");
    }
    // Case and underscores do not matter.
    assert_eq!(texts("#{Name.full_name}"), texts("#{name.fullname}"));
    assert!(uuid::Uuid::parse_str(&texts("#{Internet.UUID}")[0]).is_ok());
    assert_eq!(
        texts("#{Internet.uuid}")
            .iter()
            .collect::<BTreeSet<_>>()
            .len(),
        500
    );
}

#[test]
fn dates_lie_in_their_span() {
    let kind = TypeKind::TimestampLtz(3);
    let array = values(kind.clone(), "#{date.past '15','5','SECONDS'}").unwrap();
    let ages = array.as_primitive::<TimestampMillisecondType>().values();
    assert!(
        ages.iter()
            .all(|time| (5_001..=15_000).contains(&(NOW_MS - time)))
    );
    let array = values(kind, "#{Date.future '2','minutes'}").unwrap();
    let times = array.as_primitive::<TimestampMillisecondType>().values();
    assert!(
        times
            .iter()
            .all(|time| (1..=120_000).contains(&(time - NOW_MS)))
    );
    let array = values(TypeKind::Date, "#{date.birthday '18','20'}").unwrap();
    let now = i32::try_from(NOW_MS / 86_400_000).unwrap();
    let days = array.as_primitive::<Date32Type>().values();
    assert!(
        days.iter()
            .all(|day| (18 * 365..=20 * 366 + 1).contains(&(now - day)))
    );
    assert!(values(TypeKind::Time(3), "#{date.past '5','DAYS'}").is_ok());
    assert!(
        error("#{date.past '1','2','DAYS'}")
            .message
            .contains("no span")
    );
    assert!(error("#{date.past '1','WEEKS'}").message.contains("WEEKS"));
}

#[test]
fn unknown_directives_name_the_nearest() {
    let unknown = error("#{Name.fullNam}");
    assert_eq!(unknown.code, Code::UnknownName);
    let wanted = "option 'fields.f.expression': unknown faker directive \"Name.fullNam\", did you mean \"Name.fullName\"?";
    assert_eq!(unknown.message, wanted);
    assert!(error("#{Name.fullName").message.contains("closing brace"));
    assert!(
        error("#{Number.numberBetween '1'}")
            .message
            .contains("takes 'min','max'")
    );
    assert!(
        error("#{Number.numberBetween 1,2}")
            .message
            .contains("is not like")
    );
    assert!(
        error("#{Name.fullName 'x'}")
            .message
            .contains("no arguments")
    );
    assert_eq!(
        error("#{Options.option '#{Name.name}'}").code,
        Code::Unsupported
    );
}

#[test]
fn columns_that_cannot_be_filled_are_refused_at_once() {
    let wrong = values(TypeKind::Int, "#{Name.firstName}").unwrap_err();
    assert!(
        wrong.message.contains("fields.f.expression") && wrong.message.contains("INT"),
        "{wrong}"
    );
    assert!(values(TypeKind::TinyInt, "#{Number.numberBetween '0','1000'}").is_err());
    let array = TypeKind::Array(Box::new(TypeKind::Int.nullable()));
    assert_eq!(values(array, "1").unwrap_err().code, Code::Unsupported);
    let mut missing = table(TypeKind::Int, "1", &[]);
    missing.options.clear();
    assert!(
        FakerSource::new(&missing, &read(&missing))
            .unwrap_err()
            .message
            .contains("is missing")
    );
    // A column that is not read needs none.
    assert!(FakerSource::new(&missing, &[]).is_ok());
    for rate in ["2", "x", "NaN"] {
        let table = table(TypeKind::Int, "1", &[("fields.f.null-rate", rate)]);
        assert!(FakerSource::new(&table, &read(&table)).is_err());
    }
    let mut not_null = table(TypeKind::Int, "1", &[("fields.f.null-rate", "0.5")]);
    not_null.columns[0].ty.nullable = false;
    assert!(FakerSource::new(&not_null, &read(&not_null)).is_err());
}

#[test]
fn lengths_and_nulls_follow_the_type() {
    let array = values(TypeKind::VarChar(3), "äöüß").unwrap();
    assert_eq!(array.as_string::<i32>().value(0), "äöü");
    let array = values(TypeKind::Char(5), "äö").unwrap();
    assert_eq!(array.as_string::<i32>().value(0), "äö   ");
    let array = values(TypeKind::VarBinary(2), "abc").unwrap();
    assert_eq!(array.as_binary::<i32>().value(0), b"ab");
    let array = values(TypeKind::Boolean, "#{bool.bool}").unwrap();
    let trues = array.as_boolean().true_count();
    assert!((150..350).contains(&trues), "{trues}");
    let table = table(TypeKind::Int, "1", &[("fields.f.null-rate", "0.5")]);
    let mut column = FakerColumn::new(&table, &read(&table)[0]).unwrap();
    let array = column.generate(&(0..500).collect::<Vec<_>>(), 0).unwrap();
    assert!((150..350).contains(&array.null_count()));
}

/// A clock that stands an hour after its start, so that pacing lets every row through.
#[derive(Debug)]
struct LateClock(std::sync::atomic::AtomicU64);

impl Clock for LateClock {
    fn now_ms(&self) -> i64 {
        NOW_MS
    }

    fn monotonic(&self) -> Duration {
        let asked = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Duration::from_secs(3600 * asked)
    }

    fn thread_cpu(&self) -> Duration {
        SystemClock.thread_cpu()
    }
}

/// The rows of one of two readers up to the end, and its position after the first batch.
fn rows(
    source: &FakerSource,
    subtask_index: usize,
    restored: Option<Vec<SplitPosition>>,
) -> (Vec<String>, Vec<SplitPosition>) {
    let context = ReaderContext {
        subtask_index,
        parallelism: 2,
        restored,
        waker: Waker::default(),
        clock: std::sync::Arc::new(LateClock(0.into())),
    };
    let mut reader = source.reader(context).unwrap();
    let mut rows = Vec::new();
    let mut position = Vec::new();
    loop {
        match reader.poll(7).unwrap() {
            Poll::Rows { batch, .. } => {
                let texts = batch.columns[0].as_string::<i32>();
                rows.extend(texts.iter().map(|text| text.unwrap().to_owned()));
                if position.is_empty() {
                    position = reader.positions();
                }
            }
            Poll::EndOfInput => return (rows, position),
            other => panic!("a late generator never answers {other:?}"),
        }
    }
}

#[test]
fn rows_are_made_once_over_subtasks_and_restarts() {
    let table = table(
        TypeKind::string(),
        "#{Internet.uuid}",
        &[("number-of-rows", "41")],
    );
    let source = FakerSource::new(&table, &read(&table)).unwrap();
    assert!(source.is_bounded());
    let (even, position) = rows(&source, 0, None);
    let (odd, _) = rows(&source, 1, None);
    assert_eq!((even.len(), odd.len()), (21, 20));
    assert_eq!(even.iter().chain(&odd).collect::<BTreeSet<_>>().len(), 41);
    let (rest, _) = rows(&source, 0, Some(position));
    assert_eq!(rest, even[7..]);
}

#[test]
fn example_tables_can_be_read() {
    let tables = example_tables();
    let names: Vec<&str> = tables
        .iter()
        .map(|table| table.name.name.as_str())
        .collect();
    assert_eq!(names, ["clicks", "customers", "orders", "products"]);
    for table in &tables {
        let mut columns = read(table);
        columns.push(ReadColumn {
            name: "$rowtime".into(),
            ty: TypeKind::TimestampLtz(3).nullable(),
            metadata: Some("timestamp".into()),
        });
        let source = FakerSource::new(table, &columns).unwrap();
        assert!(!source.is_bounded());
        assert_eq!(source.pacing.rows_per_second, 50);
    }
    let customers = &tables[1];
    assert_eq!(customers.primary_key, ["customer_id"]);
    assert_eq!(customers.option("changelog.mode"), Some("upsert"));
}
