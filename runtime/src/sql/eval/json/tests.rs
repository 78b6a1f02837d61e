//! Tests of documents, numbers and paths.

use proptest::prelude::*;

use super::number::Number;
use super::{Duplicates, PathSpec, parse};

/// The canonical text of a document, or the error.
fn canonical(text: &str) -> Result<String, String> {
    parse(text, Duplicates::KeepLast).map(|value| value.to_json())
}

/// What a path selects; `-` for nothing and `!` for an error.
fn select(document: &str, path: &str) -> String {
    let document = parse(document, Duplicates::KeepLast).unwrap();
    let spec = PathSpec::parse(path);
    match spec.select(&document) {
        Ok(Some(part)) => part.to_json(),
        Ok(None) => "-".to_owned(),
        Err(_) => "!".to_owned(),
    }
}

#[test]
fn documents_print_with_ascending_keys_and_without_blanks() {
    let cases = [
        (
            r#" { "b" : [ 1 , true , null ] , "a" : "x" } "#,
            r#"{"a":"x","b":[1,true,null]}"#,
        ),
        (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
        (
            r#""\u00e9\n\/\ud83d\ude00\u0001\ud800""#,
            "\"é\\n/😀\\u0001?\"",
        ),
        ("[1e3, 1.50, -0, -0.0, 12E-9]", "[1E+3,1.50,0,0.0,1.2E-8]"),
        (
            "123456789012345678901234567890",
            "123456789012345678901234567890",
        ),
        ("[] and more", "[]"),
        ("\"a\"b", "\"a\""),
        // Java orders keys by UTF-16 units: the pair of an emoji comes before U+FF61.
        ("{\"\u{ff61}\":1,\"😀\":2}", "{\"😀\":2,\"\u{ff61}\":1}"),
    ];
    for (text, expected) in cases {
        assert_eq!(canonical(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn what_jackson_refuses_is_refused() {
    let cases = [
        "",
        "  ",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "'a'",
        "01",
        "+1",
        ".5",
        "1.",
        "1a",
        "1,",
        "tru",
        "truex",
        "NaN",
        "\"a",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\t\"",
        "[1 2]",
        "{\"a\" 1}",
        "-",
        "1e99999999999",
        "// c\n1",
    ];
    for text in cases {
        assert!(canonical(text).is_err(), "{text}");
    }
    let fault = canonical("{\n  \"a\": x}").unwrap_err();
    assert_eq!(
        fault,
        "unexpected character 'x', expected a value at line 2, column 8"
    );
    assert!(parse("{\"a\":1,\"a\":1}", Duplicates::Refuse).is_err());
}

#[test]
fn repeated_keys_are_found_in_large_objects_too() {
    let members: Vec<String> = (0..20).map(|i| format!("\"k{}\":{i}", i % 15)).collect();
    let text = format!("{{{}}}", members.join(","));
    assert!(
        canonical(&text)
            .unwrap()
            .starts_with("{\"k0\":15,\"k1\":16,")
    );
    assert!(parse(&text, Duplicates::Refuse).is_err());
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(canonical(&nested(1000)).is_ok());
    assert!(canonical(&nested(1001)).is_err());
    assert!(canonical(&"9".repeat(1000)).is_ok());
    assert!(canonical(&"9".repeat(1001)).is_err());
}

#[test]
fn numbers_print_and_compare_as_big_decimals() {
    let text = |text: &str| Number::parse(text).unwrap().to_text();
    assert_eq!(text("100"), "100");
    assert_eq!(text("1.0E7"), "1.0E+7");
    assert_eq!(text("0.000001"), "0.000001");
    assert_eq!(text("0.0000001"), "1E-7");
    assert_eq!(text("-12.340e1"), "-123.40");
    assert_eq!(text("0.00"), "0.00");
    assert_eq!(text("0e-9"), "0E-9");
    let whole = |text: &str| Number::parse(text).unwrap().truncated();
    assert_eq!(whole("-1.9"), Some(-1));
    assert_eq!(whole("1.5e3"), Some(1500));
    assert_eq!(whole("1e-5"), Some(0));
    assert_eq!(whole("1e60"), None);
    assert!(
        Number::parse("1e3")
            .unwrap()
            .cmp(&Number::parse("1000.0").unwrap())
            .is_eq()
    );
    assert!(Number::parse("-2").unwrap() < Number::parse("-1.5").unwrap());
    assert!(
        Number::parse("0.0")
            .unwrap()
            .cmp(&Number::parse("-0").unwrap())
            .is_eq()
    );
}

/// A document for paths.
const SHOP: &str = r#"{
    "name": "corner", "open": null,
    "items": [
        {"id": 1, "price": 5, "tags": ["a", "b"]},
        {"id": 2, "price": 12.5, "title": "it's"},
        {"id": 3, "price": 30, "tags": []}
    ],
    "a b": {"c.d": 7}
}"#;

#[test]
fn paths_select() {
    let cases = [
        ("$.name", r#""corner""#),
        ("name", r#""corner""#),
        ("  StRiCt   $.name", r#""corner""#),
        ("lax $['a b']['c.d']", "7"),
        (r#"$["a b"].*"#, "[7]"),
        ("$.items[0].id", "1"),
        ("$.items[-1].id", "3"),
        ("$.items[0,2].id", "[1,3]"),
        ("$.items[1:].id", "[2,3]"),
        ("$.items[:-1].id", "[1,2]"),
        ("$.items[-2:].id", "[2,3]"),
        ("$.items[0:2].id", "[1,2]"),
        ("$.items[*].tags[0]", r#"["a"]"#),
        ("$..id", "[1,2,3]"),
        ("$..tags.length()", "2"),
        ("$.items.length()", "3"),
        ("$.items[0]['id','price']", r#"{"id":1,"price":5}"#),
        ("$..price.sum()", "47.5"),
        ("$.items[0].keys()", r#"["id","price","tags"]"#),
    ];
    for (path, expected) in cases {
        assert_eq!(select(SHOP, path), expected, "{path}");
    }
}

#[test]
fn filters_select() {
    let cases = [
        ("$.items[?(@.price < 13)].id", "[1,2]"),
        ("$.items[?(@.price >= 12.50 && @.id != 3)].id", "[2]"),
        ("$.items[?(@.id == 1 || @.id == '3')].id", "[1,3]"),
        ("$.items[?(@.id === '3')].id", "[]"),
        ("$.items[?(@.tags)].id", "[1,3]"),
        ("$.items[?(!@.tags)].id", "[2]"),
        ("$.items[?(!(@.id < 3))].id", "[3]"),
        ("$.items[?(@.title == 'it\\'s')].id", "[2]"),
        ("$.items[?(@.title =~ /IT.*/i)].id", "[2]"),
        ("$.items[?(@.title =~ /t/)].id", "[]"),
        ("$.items[?(@.id in [1, 3])].id", "[1,3]"),
        ("$.items[?(@.id nin [1, 3])].id", "[2]"),
        ("$.items[?(@.tags contains 'b')].id", "[1]"),
        ("$.items[?(@.tags size 2)].id", "[1]"),
        ("$.items[?(@.tags empty true)].id", "[3]"),
        ("$.items[?(@.tags anyof ['b', 'c'])].id", "[1]"),
        ("$.items[?(@.price > $.items[0].price)].id", "[2,3]"),
        ("$.items[?(@.missing == null)].id", "[]"),
        ("$..[?(@.id == 2)].price", "[12.5]"),
        (
            "$.items[?( (@.id == 1 || @.id == 2) && @.price > 6 )].id",
            "[2]",
        ),
    ];
    for (path, expected) in cases {
        assert_eq!(select(SHOP, path), expected, "{path}");
    }
}

#[test]
fn modes_differ_in_what_is_missing() {
    let cases = [
        // Path, lax, strict.
        ("$.nothing", "-", "!"),
        ("$.nothing.at.all", "-", "!"),
        ("$.open", "-", "!"),
        ("$.open.more", "-", "!"),
        ("$.name[0]", "-", "!"),
        ("$.items[9]", "-", "!"),
        ("$.items.id", "-", "!"),
        ("$.items[*].title", r#"["it's"]"#, r#"["it's"]"#),
        ("$.items[*].none", "[]", "[]"),
        ("$..none", "[]", "[]"),
        ("$.items[0]['id','none']", r#"{"id":1}"#, r#"{"id":1}"#),
        // A path that is none is an error in both.
        ("$.", "!", "!"),
        ("$.items[", "!", "!"),
        ("$.items[x]", "!", "!"),
        ("$.items[?(@.id ~ 1)]", "!", "!"),
        ("$.name[?(@.a)]", "!", "!"),
        ("$name", "!", "!"),
        ("$.a b", "!", "!"),
        ("$.items[:]", "!", "!"),
        ("$.name.nope()", "!", "!"),
    ];
    for (path, lax, strict) in cases {
        assert_eq!(select(SHOP, &format!("lax {path}")), lax, "lax {path}");
        assert_eq!(select(SHOP, path), strict, "{path}");
    }
    assert_eq!(select("null", "lax $"), "!");
    assert_eq!(select("1", "$"), "1");
}

#[test]
fn work_is_bounded() {
    let document = format!("[{}0{}]", "[".repeat(200), "]".repeat(200));
    assert_eq!(select(&document, "$..[*]..[*]..[*]..[*]..[*]"), "!");
    assert_eq!(
        select(&document, "$..[?(@..[?(@..[?(@..[?(@..a)])])])]"),
        "!"
    );
    let long = "x".repeat(1 << 20);
    let document = format!("{}{long:?}{}", "[".repeat(100), "]".repeat(100));
    assert_eq!(select(&document, "$..*"), "!");
    assert_eq!(select(&document, "$..[?(@.a)]"), "[]");
    assert_eq!(
        select("{}", &format!("$.a[?({}@.b", "(".repeat(100_000))),
        "!"
    );
}

proptest! {
    #[test]
    fn canonical_text_is_a_fixed_point(text in "[\\[\\]{}\",:0-9eE.truefalsn\\\\ -]{0,24}") {
        if let Ok(once) = canonical(&text) {
            prop_assert_eq!(canonical(&once), Ok(once));
        }
    }

    #[test]
    fn any_path_ends(path in "\\$[\\[\\]a*.?()@<>=&|!'\",:0-9/ -]{0,24}") {
        select(SHOP, &path);
    }
}
