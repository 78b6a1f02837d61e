//! Pairs of schemas and what stands between them.

use super::*;

/// Kinds and paths of what stands in the way of reading `original` with `update`.
fn kinds(original: &str, update: &str) -> Vec<String> {
    let parse = |text: &str| JsonSchema::parse(text, &[]).unwrap();
    let found = check(&parse(update), &parse(original)).unwrap();
    found
        .iter()
        .map(|one| format!("{} {}", one.kind, one.path))
        .collect()
}

/// Schemas before and after, and what stands in the way forth and back, as kinds and paths.
type Case = (
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

/// Checks cases both ways.
fn check_cases(cases: &[Case]) {
    for (before, after, backward, forward) in cases {
        assert_eq!(kinds(before, after), *backward, "{before} to {after}");
        assert_eq!(kinds(after, before), *forward, "{after} to {before}");
        let none: [&str; 0] = [];
        assert_eq!(kinds(before, before), none, "{before} to itself");
        assert_eq!(kinds(after, after), none, "{after} to itself");
    }
}

#[test]
fn types_widen_and_narrow() {
    check_cases(&[
        (
            r#"{"type":"integer"}"#,
            r#"{"type":"number"}"#,
            &[],
            &["TYPE_NARROWED #"],
        ),
        (
            r#"{"type":"string"}"#,
            r#"{"type":"integer"}"#,
            &["TYPE_CHANGED #"],
            &["TYPE_CHANGED #"],
        ),
        (
            r#"{"type":"string"}"#,
            r#"{"type":["null","string"]}"#,
            &[],
            &["SUM_TYPE_NARROWED #"],
        ),
        ("{\"type\":\"string\"}", "{}", &[], &["SUM_TYPE_NARROWED #"]),
        ("false", "true", &[], &["TYPE_CHANGED #"]),
        (
            r#"{"properties":{}}"#,
            r#"{"type":"object","properties":{},"title":"t","description":"d","default":{}}"#,
            &[],
            &[],
        ),
        // Keywords of types that the writer does not take are no matter.
        (
            r#"{"type":"string"}"#,
            r#"{"type":["string","object"],"required":["a"],"minimum":1}"#,
            &[],
            &["SUM_TYPE_NARROWED #"],
        ),
    ]);
}

#[test]
fn open_closed_and_partly_open_content_models() {
    let added = r#"{"type":"object","properties":{"a":{"type":"string"}}}"#;
    check_cases(&[
        (
            r#"{"type":"object"}"#,
            added,
            &["PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL #/properties/a"],
            &[],
        ),
        (
            r#"{"type":"object","additionalProperties":false}"#,
            r#"{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}"#,
            &[],
            &["PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL #/properties/a"],
        ),
        (
            r#"{"type":"object","additionalProperties":false}"#,
            r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}"#,
            &["REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL #/properties/a"],
            &["PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL #/properties/a"],
        ),
        (
            r#"{"type":"object","additionalProperties":false}"#,
            r#"{"type":"object","properties":{"a":{"type":"string","default":""}},"required":["a"],"additionalProperties":false}"#,
            &[],
            &["PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL #/properties/a"],
        ),
        (
            r#"{"type":"object","additionalProperties":{"type":"integer"}}"#,
            r#"{"type":"object","properties":{"a":{"type":"number"}},"additionalProperties":{"type":"integer"}}"#,
            &[],
            &["PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL #/properties/a"],
        ),
        (
            r#"{"type":"object","patternProperties":{"^i_":{"type":"integer"}},"additionalProperties":false}"#,
            r#"{"type":"object","patternProperties":{"^i_":{"type":"integer"}},"properties":{"i_a":{"type":"string"}},"additionalProperties":false}"#,
            &["PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL #/properties/i_a"],
            &["PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL #/properties/i_a"],
        ),
        (
            r#"{"type":"object"}"#,
            r#"{"type":"object","properties":{"a":{}}}"#,
            &[],
            &[],
        ),
        (
            r#"{"type":"object","additionalProperties":false}"#,
            r#"{"type":"object"}"#,
            &[],
            &["ADDITIONAL_PROPERTIES_REMOVED #/additionalProperties"],
        ),
        (
            r#"{"type":"object","additionalProperties":{"type":"string"}}"#,
            r#"{"type":"object"}"#,
            &[],
            &["ADDITIONAL_PROPERTIES_NARROWED #/additionalProperties"],
        ),
        (
            r#"{"type":"object","properties":{"a":false},"additionalProperties":false}"#,
            r#"{"type":"object","additionalProperties":false}"#,
            &[],
            &[],
        ),
    ]);
}

#[test]
fn required_properties() {
    check_cases(&[
        (
            r#"{"type":"object","properties":{"a":{"type":"string"}}}"#,
            r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}"#,
            &["REQUIRED_ATTRIBUTE_ADDED #/required/a"],
            &[],
        ),
        (
            r#"{"type":"object","properties":{"a":{"type":"string"}}}"#,
            r#"{"type":"object","properties":{"a":{"type":"string","default":"x"}},"required":["a"]}"#,
            &[],
            &[],
        ),
        (
            r#"{"type":"object"}"#,
            r#"{"type":"object","required":["a"]}"#,
            &["REQUIRED_ATTRIBUTE_ADDED #/required/a"],
            &[],
        ),
        (
            r#"{"type":"object"}"#,
            r#"{"type":"object","properties":{"a":{}},"required":["a"]}"#,
            &["REQUIRED_ATTRIBUTE_ADDED #/required/a"],
            &[],
        ),
    ]);
}

#[test]
fn bounds_move_one_way() {
    check_cases(&[
        (
            r#"{"type":"string","maxLength":3,"minLength":2}"#,
            r#"{"type":"string","maxLength":4,"minLength":1}"#,
            &[],
            &[
                "MAX_LENGTH_DECREASED #/maxLength",
                "MIN_LENGTH_INCREASED #/minLength",
            ],
        ),
        (
            r#"{"type":"number"}"#,
            r#"{"type":"number","maximum":1,"exclusiveMinimum":0,"multipleOf":0.5}"#,
            &[
                "MAXIMUM_ADDED #/maximum",
                "EXCLUSIVE_MINIMUM_ADDED #/exclusiveMinimum",
                "MULTIPLE_OF_ADDED #/multipleOf",
            ],
            &[],
        ),
        (
            r#"{"type":"integer","multipleOf":10}"#,
            r#"{"type":"integer","multipleOf":5}"#,
            &[],
            &["MULTIPLE_OF_EXPANDED #/multipleOf"],
        ),
        (
            r#"{"type":"string","pattern":"a"}"#,
            r#"{"type":"string"}"#,
            &[],
            &["PATTERN_ADDED #/pattern"],
        ),
        (
            r#"{"type":"object","maxProperties":2}"#,
            r#"{"type":"object","minProperties":1}"#,
            &["MIN_PROPERTIES_ADDED #/minProperties"],
            &["MAX_PROPERTIES_ADDED #/maxProperties"],
        ),
        (
            r#"{"type":"array","uniqueItems":true,"maxItems":2}"#,
            r#"{"type":"array","maxItems":3}"#,
            &[],
            &[
                "MAX_ITEMS_DECREASED #/maxItems",
                "UNIQUE_ITEMS_ADDED #/uniqueItems",
            ],
        ),
    ]);
}

#[test]
fn lists_of_values() {
    check_cases(&[
        (
            r#"{"enum":["a"]}"#,
            r#"{"enum":["a","b"]}"#,
            &[],
            &["ENUM_ARRAY_NARROWED #/enum"],
        ),
        (
            r#"{"enum":["a","c"]}"#,
            r#"{"enum":["a","b"]}"#,
            &["ENUM_ARRAY_CHANGED #/enum"],
            &["ENUM_ARRAY_CHANGED #/enum"],
        ),
        (
            r#"{"type":"string","const":"a"}"#,
            r#"{"type":"string"}"#,
            &[],
            &["ENUM_ARRAY_NARROWED #/enum"],
        ),
    ]);
}

#[test]
fn arrays_by_position_and_as_a_whole() {
    check_cases(&[
        (
            r#"{"type":"array","items":{"type":"integer"}}"#,
            r#"{"type":"array","items":{"type":"number"}}"#,
            &[],
            &["TYPE_NARROWED #/items"],
        ),
        (
            r#"{"type":"array","items":[{"type":"integer"}]}"#,
            r#"{"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}]}"#,
            &["ITEM_ADDED_TO_OPEN_CONTENT_MODEL #/items/1"],
            &[],
        ),
        (
            r#"{"type":"array","items":[{"type":"integer"}],"additionalItems":false}"#,
            r#"{"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}],"items":false}"#,
            &[],
            &["ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL #/items/1"],
        ),
        (
            r#"{"type":"array"}"#,
            r#"{"type":"array","items":{"type":"string"},"contains":{"const":"a"}}"#,
            &[
                "ADDITIONAL_ITEMS_NARROWED #/items",
                "ENUM_ARRAY_NARROWED #/contains/enum",
            ],
            &[],
        ),
    ]);
}

#[test]
fn choices_and_products() {
    check_cases(&[
        (
            r#"{"type":"string"}"#,
            r#"{"oneOf":[{"type":"null"},{"type":"string"}]}"#,
            &[],
            &["SUM_TYPE_NARROWED #"],
        ),
        (
            r#"{"oneOf":[{"type":"null"},{"type":"integer"}]}"#,
            r#"{"oneOf":[{"type":"number"},{"type":"null"},{"type":"string"}]}"#,
            &[],
            &["SUM_TYPE_NARROWED #/oneOf"],
        ),
        (
            r#"{"oneOf":[{"type":"null"},{"type":"integer"}]}"#,
            r#"{"anyOf":[{"type":"null"},{"type":"string"}]}"#,
            &["COMBINED_TYPE_SUBSCHEMAS_CHANGED #/anyOf"],
            &["TYPE_CHANGED #/oneOf"],
        ),
        (
            r#"{"anyOf":[{"type":"string"}]}"#,
            r#"{"type":"string"}"#,
            &[],
            &[],
        ),
        (
            r#"{"allOf":[{"type":"string"},{"maxLength":3}]}"#,
            r#"{"allOf":[{"type":"string"}]}"#,
            &[],
            &["PRODUCT_TYPE_EXTENDED #/allOf"],
        ),
        (
            r#"{"type":"string","not":{"const":"a"}}"#,
            r#"{"type":"string","not":{"enum":["a","b"]}}"#,
            &["NOT_TYPE_EXTENDED #/not"],
            &[],
        ),
        (
            r#"{"type":"object","if":{"required":["a"]},"then":{"required":["b"]}}"#,
            r#"{"type":"object"}"#,
            &[],
            &["COMBINED_TYPE_CHANGED #/if"],
        ),
    ]);
}

#[test]
fn dependencies_in_either_spelling() {
    check_cases(&[
        (
            r#"{"type":"object","dependencies":{"a":["b","c"]}}"#,
            r#"{"type":"object","dependentRequired":{"a":["b"]}}"#,
            &[],
            &["DEPENDENCY_ARRAY_EXTENDED #/dependencies/a"],
        ),
        (
            r#"{"type":"object"}"#,
            r#"{"type":"object","dependentSchemas":{"a":{"required":["b"]}}}"#,
            &["DEPENDENCY_SCHEMA_ADDED #/dependencies/a"],
            &[],
        ),
    ]);
}

#[test]
fn refs_are_followed_and_circles_end() {
    let tree = |leaf: &str| {
        format!(
            r##"{{"$ref":"#/definitions/t","definitions":{{"t":{{"type":"object","additionalProperties":false,
            "properties":{{"v":{{"type":"{leaf}"}},"next":{{"$ref":"#/definitions/t"}}}}}}}}}}"##
        )
    };
    let none: [&str; 0] = [];
    assert_eq!(kinds(&tree("integer"), &tree("number")), none);
    assert_eq!(
        kinds(&tree("number"), &tree("integer")),
        ["TYPE_NARROWED #/properties/v"]
    );
    // What stands beside a $ref narrows it.
    let beside = r##"{"$ref":"#/$defs/s","maxLength":3,"$defs":{"s":{"type":"string"}}}"##;
    assert_eq!(kinds(beside, r#"{"type":"string"}"#), none);
    assert_eq!(
        kinds(r#"{"type":"string"}"#, beside),
        ["MAX_LENGTH_ADDED #/maxLength"]
    );
}

#[test]
fn schemas_beyond_the_bounds_are_refused() {
    // Each definition has the next one three times: quick to compare only as each pair is compared once.
    let definitions = |count: usize| {
        let all = (0..count).map(|n| {
            let next = format!(r##"{{"$ref":"#/$defs/d{}"}}"##, n + 1);
            format!(
                r#""d{n}":{{"type":"object","properties":{{"a":{next},"b":{next},"c":{next}}}}}"#
            )
        });
        let all = all.collect::<Vec<_>>().join(",");
        format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{all},"d{count}":{{"type":"string"}}}}}}"##)
    };
    let parse = |text: &str| JsonSchema::parse(text, &[]).unwrap();
    let (one, other) = (parse(&definitions(30)), parse(&definitions(30)));
    assert_eq!(check(&one, &other), Ok(Vec::new()));
    let deep = parse(&definitions(200));
    assert_eq!(check(&deep, &deep), Err(TooComplex));
}
