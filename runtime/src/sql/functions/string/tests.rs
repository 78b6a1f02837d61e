//! Tests of string functions.

use proptest::prelude::*;

use super::super::resolve;
use super::super::testing::{check, check_types, fails, value};
use crate::error::Span;
use crate::sql::expr::{Expr, Literal};
use crate::types::TypeKind;

#[test]
fn places_outside_of_a_string_are_no_errors() {
    check(&[
        ("SUBSTRING('weir' FROM 2 FOR 2)", "ei"),
        ("SUBSTRING('weir' FROM -2)", "ir"),
        ("SUBSTRING('weir' FROM -9)", ""),
        ("SUBSTRING('weir' FROM 0 FOR 2)", "we"),
        ("SUBSTRING('weir', 9, 1)", ""),
        ("SUBSTRING('weir', 2, -1)", "NULL"),
        ("SUBSTR('a😀b', 2, 1)", "😀"),
        ("`LEFT`('weir', -1)", ""),
        ("`RIGHT`('weir', -2147483647)", ""),
        ("`RIGHT`('a😀b', 2)", "😀b"),
        ("`RIGHT`('weir', 9)", "weir"),
        ("SPLIT_INDEX('a-b-', '-', 2)", ""),
        ("SPLIT_INDEX('', '-', 0)", "NULL"),
        ("SPLIT_INDEX('a b  c', '', 2)", ""),
        ("SPLIT_INDEX('a\u{A0}b', '', 0)", "a\u{A0}b"),
        ("SPLIT_INDEX('a-b', 45, 1)", "b"),
        ("SPLIT_INDEX('a-b', 0, 0)", "NULL"),
        ("SPLIT_INDEX('a-b', 256, 0)", "NULL"),
        ("SPLIT_INDEX('a-b', '-', -1)", "NULL"),
    ]);
}

#[test]
fn positions_count_characters() {
    check(&[
        ("POSITION('b' IN 'a😀b')", "3"),
        ("POSITION('a' IN 'banana' FROM 3)", "4"),
        ("POSITION('a' || 'n' IN 'banana')", "2"),
        ("LOCATE('a', 'banana', 3)", "4"),
        ("LOCATE('a', 'banana', -3)", "2"),
        ("LOCATE('', 'ab', 9)", "1"),
        ("LOCATE('x', 'ab', 9)", "0"),
        ("LOCATE('a', 'ab', CAST(NULL AS INT))", "NULL"),
        ("INSTR('banana', 'an')", "2"),
        ("INSTR('banana', 'ana', 1, 2)", "4"),
        ("INSTR('banana', 'an', 3)", "4"),
        ("INSTR('banana', 'an', -1, 2)", "2"),
        ("INSTR('banana', 'an', -1, 3)", "0"),
        ("INSTR('banana', 'an', 0)", "0"),
        ("INSTR('banana', 'an', CAST(NULL AS INT))", "NULL"),
        ("CHAR_LENGTH('a😀')", "2"),
        ("ASCII('é')", "-61"),
        ("ASCII('')", "0"),
    ]);
    assert!(fails("INSTR('banana', 'an', 1, 0)").contains("positive"));
}

#[test]
fn strings_are_built_within_bounds() {
    check(&[
        ("REPEAT('ab', 2)", "abab"),
        ("REPEAT('ab', -1)", ""),
        ("REPEAT('', 2147483647)", ""),
        ("REPLACE('banana', 'an', '')", "ba"),
        ("REPLACE('ab', '', '-')", "-a-b-"),
        ("LPAD('ab', 5, 'xyz')", "xyzab"),
        ("RPAD('ab', 1, 'x')", "a"),
        ("LPAD('ab', 3, '')", "NULL"),
        ("LPAD('ab', -1, 'x')", "NULL"),
        ("RPAD('', 0, 'x')", ""),
        // Java counts UTF-16 units, and half of a pair is written as a question mark.
        ("LPAD('😀', 1, 'x')", "?"),
        ("LPAD('😀', 3, 'x')", "x😀"),
        ("OVERLAY('abcdef' PLACING 'xy' FROM 2)", "axydef"),
        ("OVERLAY('abcdef' PLACING 'xy' FROM 2 FOR 0)", "axy"),
        ("OVERLAY('abcdef' PLACING 'xy' FROM 2 FOR 5)", "axy"),
        ("OVERLAY('abcdef' PLACING 'xy' FROM 2 FOR 4)", "axyf"),
        ("OVERLAY('abcdef' PLACING 'xy' FROM 7)", "abcdef"),
        ("OVERLAY('abcdef' PLACING 'xy' FROM 0)", "abcdef"),
        ("CONCAT('a', CAST(NULL AS STRING))", "NULL"),
        ("CONCAT_WS('-', 'a', CAST(NULL AS STRING), '')", "a-"),
        ("CONCAT_WS('-')", ""),
        ("CHR(233)", "é"),
        ("CHR(256)", "\0"),
        ("CHR(-1)", ""),
        ("REVERSE('a😀b')", "b😀a"),
    ]);
    for sql in [
        "REPEAT('ab', 2147483647)",
        "LPAD('ab', 2147483647, 'x')",
        "RPAD('ab', 2147483647, 'x')",
        "REPLACE(REPEAT('a', 1000000), 'a', REPEAT('b', 1000))",
        "REGEXP_REPLACE(REPEAT('a', 20000), 'a', REPEAT('b', 1000))",
    ] {
        assert!(fails(sql).contains("more than"), "{sql}");
    }
}

#[test]
fn characters_are_removed_and_exchanged() {
    check(&[
        ("TRIM('  a ')", "a"),
        ("TRIM(LEADING FROM '  a ')", "a "),
        ("TRIM(TRAILING FROM '  a ')", "  a"),
        ("TRIM(BOTH FROM '  a ')", "a"),
        ("TRIM(BOTH 'xy' FROM 'xyaxy')", "a"),
        ("TRIM('x' FROM 'xax')", "a"),
        ("BTRIM('xyaxy', 'xy')", "a"),
        ("LTRIM('xyaxy', '')", "xyaxy"),
        ("RTRIM('\ta\t ')", "\ta\t"),
        ("TRANSLATE('banana', 'an', 'o')", "booo"),
        ("TRANSLATE('banana', 'aa', 'xy')", "bxnxnx"),
        ("TRANSLATE('banana', '', 'x')", "banana"),
        ("TRANSLATE('banana', CAST(NULL AS STRING), 'x')", "banana"),
        ("TRANSLATE('banana', 'a', CAST(NULL AS STRING))", "bnn"),
        ("INITCAP('hello wORLD')", "Hello World"),
    ]);
}

#[test]
fn texts_are_classified_as_in_java() {
    check(&[
        ("IS_ALPHA('Weir')", "TRUE"),
        ("IS_ALPHA('Wéir')", "TRUE"),
        ("IS_ALPHA('a1')", "FALSE"),
        ("IS_ALPHA('')", "FALSE"),
        ("IS_ALPHA(1)", "FALSE"),
        ("IS_DIGIT('12')", "TRUE"),
        ("IS_DIGIT('٣')", "TRUE"),
        ("IS_DIGIT('1.2')", "FALSE"),
        ("IS_DIGIT(12)", "TRUE"),
        ("IS_DIGIT(1.2e0)", "FALSE"),
        ("IS_DECIMAL('-1.5e3')", "TRUE"),
        ("IS_DECIMAL(' 1 ')", "TRUE"),
        ("IS_DECIMAL('1,5')", "FALSE"),
        ("IS_DECIMAL('')", "FALSE"),
        ("IS_DECIMAL(CAST(NULL AS STRING))", "FALSE"),
        ("IS_DECIMAL(1.2e0)", "TRUE"),
        ("STARTSWITH('weir', 'we')", "TRUE"),
        ("ENDSWITH('weir', '')", "TRUE"),
        ("STARTSWITH(x'0102', x'01')", "TRUE"),
        ("ENDSWITH(x'0102', x'01')", "FALSE"),
        ("STARTSWITH('weir', CAST(NULL AS STRING))", "NULL"),
        ("HASH_CODE('weir')", "3645559"),
        ("HASH_CODE(TRUE)", "1231"),
        ("HASH_CODE(CAST(4294967296 AS BIGINT))", "1"),
    ]);
    assert!(fails("STARTSWITH('weir', x'01')").contains("does not take"));
    assert!(fails("UPPER(1)").contains("does not take"));
}

#[test]
fn results_keep_the_lengths_that_are_known() {
    check_types(&[
        ("UPPER('abc')", "CHAR(3) NOT NULL"),
        ("TRIM('abc')", "VARCHAR(3) NOT NULL"),
        ("TRIM(BOTH 'x' FROM 'abc')", "VARCHAR(3) NOT NULL"),
        ("LTRIM(CAST('abc' AS STRING))", "STRING NOT NULL"),
        ("BTRIM('abc')", "STRING NOT NULL"),
        ("SUBSTRING('abc', 1)", "VARCHAR(3)"),
        ("'abc' || 'de'", "CHAR(5) NOT NULL"),
        ("CAST('abc' AS VARCHAR(3)) || 'de'", "VARCHAR(5) NOT NULL"),
        ("CAST('abc' AS STRING) || 'de'", "STRING NOT NULL"),
        ("OVERLAY('abc' PLACING 'd' FROM 1)", "VARCHAR(4) NOT NULL"),
        ("CONCAT('abc', 'de')", "STRING NOT NULL"),
        ("REVERSE('abc')", "STRING"),
        ("CHR(65)", "STRING"),
        ("SPLIT_INDEX('a', 'b', 0)", "STRING"),
        ("STARTSWITH('a', 'b')", "BOOLEAN NOT NULL"),
        ("IS_ALPHA(CAST(NULL AS STRING))", "BOOLEAN NOT NULL"),
        (
            "TRANSLATE('a', CAST(NULL AS STRING), 'b')",
            "STRING NOT NULL",
        ),
    ]);
}

/// A call of constants: strings by `s`, numbers by `i`.
fn constants(name: &str, signature: &str, texts: &[String; 3], numbers: [i32; 2]) -> Expr {
    let (mut texts, mut numbers) = (texts.iter(), numbers.iter());
    let args = signature.chars().filter_map(|kind| match kind {
        's' => texts.next().map(|text| {
            Expr::literal(Literal::String(text.clone()), TypeKind::string().not_null())
        }),
        _ => numbers.next().map(|number| {
            Expr::literal(Literal::Integer((*number).into()), TypeKind::Int.not_null())
        }),
    });
    resolve(name, args.collect(), Span::default()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_value_makes_a_function_panic(
        a in "\\PC{0,6}",
        b in "[a-c😀]{0,3}",
        c in "\\PC{0,2}",
        n in prop_oneof![-4_i32..8, any::<i32>()],
        m in prop_oneof![-4_i32..8, any::<i32>()],
    ) {
        let calls = [
            ("SUBSTRING", "sii"), ("LEFT", "si"), ("RIGHT", "si"), ("SPLIT_INDEX", "ssi"),
            ("SPLIT_INDEX", "sii"), ("LOCATE", "ssi"), ("INSTR", "ssii"), ("LPAD", "sis"),
            ("RPAD", "sis"), ("REPEAT", "si"), ("OVERLAY", "ssii"), ("REPLACE", "sss"),
            ("TRANSLATE", "sss"), ("BTRIM", "ss"), ("HASH_CODE", "s"), ("IS_DECIMAL", "s"),
            ("REGEXP_EXTRACT", "ssi"), ("REGEXP_REPLACE", "sss"), ("REGEXP_EXTRACT_ALL", "ssi"),
            ("LIKE", "ss"), ("SIMILAR TO", "ss"), ("PRINTF", "sis"), ("PARSE_URL", "ss"),
            ("URL_DECODE", "s"), ("FROM_BASE64", "s"), ("UNHEX", "s"), ("INET_ATON", "s"),
        ];
        let repeated = a.repeat(2);
        for texts in [
            [a.clone(), b.clone(), c.clone()],
            [b.clone(), a.clone(), c.clone()],
            [repeated, c.clone(), b.clone()],
        ] {
            for (name, signature) in calls {
                // An error of the data is as good as a value.
                if let Err(error) = value(&constants(name, signature, &texts, [n, m])) {
                    prop_assert!(!error.contains("type of the plan"), "{name}: {error}");
                }
            }
        }
    }
}
