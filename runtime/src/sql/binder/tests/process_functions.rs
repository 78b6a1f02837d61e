//! Functions over whole tables: what they become, and what they refuse.

use super::*;
use crate::batch::RowKind;
use crate::plan::ProcessTableFunction;

/// The names of the operators of a query, without scans, Calcs and the sink.
fn shape(sql: &str) -> Vec<&'static str> {
    let left_out = ["TableSourceScan", "Calc", "Sink"];
    let plan = plan(sql);
    let names = plan.nodes.iter().map(|node| node.operator.name());
    names.filter(|name| !left_out.contains(name)).collect()
}

#[test]
fn changes_and_rows_are_turned_into_one_another() {
    let rows = "SELECT * FROM TO_CHANGELOG(input => TABLE totals)";
    assert_eq!(names(rows), ["op", "customer_id", "orders", "revenue"]);
    assert_eq!(shape(rows), ["ChangelogNormalize", "ProcessTableFunction"]);
    assert_eq!(
        names("SELECT * FROM FROM_CHANGELOG(input => TABLE clicks, op => DESCRIPTOR(k))"),
        ["v", "ts", "late", "part"]
    );
    assert_eq!(
        names("SELECT * FROM TO_CHANGELOG(input => TABLE clicks, on_time => DESCRIPTOR(ts))"),
        ["op", "k", "v", "ts", "late", "part", "rowtime"]
    );
    // Time attributes stay what they are.
    for time in ["ts", "rowtime"] {
        let windows = format!(
            "SELECT window_start, COUNT(*) FROM TUMBLE((SELECT * FROM TO_CHANGELOG(input => TABLE clicks, on_time => DESCRIPTOR(ts))), DESCRIPTOR({time}), INTERVAL '1' HOUR) GROUP BY window_start, window_end"
        );
        assert_eq!(shape(&windows).last(), Some(&"WindowAggregate"));
    }
}

#[test]
fn mappings_of_changes_are_maps_of_literals() {
    let of = |sql: &str| {
        let plan = plan(sql);
        let found = plan.nodes.iter().find_map(|node| match &node.operator {
            Operator::ProcessTableFunction(function) => Some(function.clone()),
            _ => None,
        });
        found.unwrap()
    };
    let code = |kind, text: &str| (kind, text.to_owned());
    assert_eq!(
        of(
            "SELECT * FROM TO_CHANGELOG(input => TABLE totals, op_mapping => MAP['INSERT', 'old', ' DELETE , UPDATE_BEFORE,', '-', 'INSERT', 'new'], uid => 'a-1', produces_full_deletes => TRUE)"
        ),
        ProcessTableFunction::ToChangelog {
            codes: vec![
                code(RowKind::Delete, "-"),
                code(RowKind::UpdateBefore, "-"),
                code(RowKind::Insert, "new"),
            ]
        }
    );
    assert_eq!(
        of(
            "SELECT * FROM FROM_CHANGELOG(TABLE clicks, DESCRIPTOR(k), MAP['r, c', 'INSERT', 'd', ' DELETE '])"
        ),
        ProcessTableFunction::FromChangelog {
            op: 0,
            codes: vec![
                ("c".to_owned(), RowKind::Insert),
                ("d".to_owned(), RowKind::Delete),
                ("r".to_owned(), RowKind::Insert),
            ]
        }
    );
    for sql in [
        "SELECT * FROM TO_CHANGELOG(input => TABLE totals, op => NULL, op_mapping => CAST(NULL AS MAP<STRING, STRING>))",
        "SELECT * FROM TO_CHANGELOG(input => TABLE totals)",
    ] {
        let ProcessTableFunction::ToChangelog { codes } = of(sql) else {
            panic!("{sql}");
        };
        assert_eq!(codes[1], code(RowKind::UpdateBefore, "UPDATE_BEFORE"));
        assert_eq!(codes.len(), 4);
    }
}

/// Asserts what is said of a call that is refused.
fn refused(call: &str, said: &str) {
    let found = message(&format!("SELECT * FROM {call}"));
    assert!(found.contains(said), "{call}: {found}");
}

#[test]
fn bad_arguments_of_to_changelog_are_refused_with_a_way_out() {
    for (arguments, said) in [
        (
            "op => DESCRIPTOR(k)",
            "has a column \"k\": name another one with op => DESCRIPTOR(name)",
        ),
        ("op => DESCRIPTOR(a, b)", "DESCRIPTOR(column)"),
        (
            "op_mapping => MAP['insert', 'i']",
            "unknown change operation of op_mapping \"insert\"",
        ),
        (
            "op_mapping => MAP['', 'i']",
            "unknown change operation of op_mapping \"\"",
        ),
        ("op_mapping => MAP['INSERT, INSERT', 'i']", "INSERT twice"),
        (
            "op_mapping => MAP['INSERT', 'i', 'DELETE,INSERT', 'd']",
            "INSERT twice",
        ),
        (
            "op_mapping => MAP['INSERT', 1]",
            "constant MAP of string literals",
        ),
        (
            "op_mapping => MAP['INS' || 'ERT', 'i']",
            "constant MAP of string literals",
        ),
        ("op_mapping => 'INSERT'", "constant MAP of string literals"),
        ("produces_full_deletes => FALSE", "leave it out"),
        ("uid => 'a b'", "uid is a string literal of"),
        ("uid => '1'", "uid is a string literal of"),
        ("bad => 1", "unknown argument \"BAD\""),
        ("on_time => DESCRIPTOR(nope)", "unknown column \"nope\""),
        ("on_time => DESCRIPTOR(v)", "not a valid time attribute"),
    ] {
        refused(
            &format!("TO_CHANGELOG(input => TABLE clicks, {arguments})"),
            said,
        );
    }
    refused(
        "TO_CHANGELOG(op => DESCRIPTOR(o))",
        "TO_CHANGELOG takes (INPUT, ",
    );
    refused(
        "TO_CHANGELOG(input => TABLE clicks PARTITION BY k)",
        "takes no PARTITION BY",
    );
}

#[test]
fn bad_arguments_of_from_changelog_are_refused_with_a_way_out() {
    refused(
        "FROM_CHANGELOG(input => TABLE clicks PARTITION BY k, op => DESCRIPTOR(k))",
        "takes no PARTITION BY",
    );
    refused(
        "FROM_CHANGELOG(input => TABLE clicks)",
        "unknown op column \"op\"",
    );
    refused(
        "FROM_CHANGELOG(input => TABLE clicks, op => DESCRIPTOR(v))",
        "must be of STRING type",
    );
    refused(
        "FROM_CHANGELOG(input => (SELECT CAST(customer_id AS STRING) AS op FROM totals))",
        "'changelog.mode' = 'append'",
    );
    for (arguments, said) in [
        (
            "on_time => DESCRIPTOR(ts)",
            "neither takes nor makes updates",
        ),
        ("op_mapping => MAP['c', 'INSERT', 'r', 'INSERT']", "'c, r'"),
        (
            "op_mapping => MAP['c', 'INSERT', 'c, d', 'DELETE']",
            "the code 'c' twice",
        ),
        (
            "op_mapping => MAP['u', 'UPDATE_AFTER', 'c', 'INSERT']",
            "UPDATE_AFTER and not UPDATE_BEFORE",
        ),
        (
            "op_mapping => MAP['u', 'update_after']",
            "unknown change operation",
        ),
    ] {
        refused(
            &format!("FROM_CHANGELOG(input => TABLE clicks, op => DESCRIPTOR(k), {arguments})"),
            said,
        );
    }
}
