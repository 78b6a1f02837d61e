//! The tables of `examples`.`marketplace`.
//!
//! Place in the flow: the server adds them to its catalog. Invariant: names, types, expressions and rate are Confluent's.
//!
//! # Source
//! Confluent Cloud for Apache Flink, example data; options as SHOW CREATE TABLE prints them there.

use std::collections::BTreeMap;

use crate::sql::catalog::{ColumnKind, ObjectName, TableColumn, TableDef};
use crate::types::TypeKind;

/// Rows a second of each table, as SHOW CREATE TABLE prints it in Confluent Cloud.
const ROWS_PER_SECOND: &str = "50";

/// A column: name, type, expression.
type Field = (&'static str, TypeKind, &'static str);

/// The tables of `examples`.`marketplace`.
pub fn example_tables() -> Vec<TableDef> {
    let string = TypeKind::string;
    let clicks = [
        ("click_id", string(), "#{Internet.UUID}"),
        (
            "user_id",
            TypeKind::Int,
            "#{Number.numberBetween '3000','5000'}",
        ),
        (
            "url",
            string(),
            "#{regexify 'https://www[.]acme[.]com/product/[a-z]{5}'}",
        ),
        ("user_agent", string(), "#{Internet.UserAgent}"),
        (
            "view_time",
            TypeKind::Int,
            "#{Number.numberBetween '10','120'}",
        ),
    ];
    let customers = [
        (
            "customer_id",
            TypeKind::Int,
            "#{Number.numberBetween '3000','3250'}",
        ),
        ("name", string(), "#{Name.fullName}"),
        ("address", string(), "#{Address.streetAddress}"),
        ("postcode", string(), "#{Address.postcode}"),
        ("city", string(), "#{Address.city}"),
        ("email", string(), "#{Internet.emailAddress}"),
    ];
    let orders = [
        ("order_id", string(), "#{Internet.UUID}"),
        (
            "customer_id",
            TypeKind::Int,
            "#{Number.numberBetween '3000','3250'}",
        ),
        (
            "product_id",
            string(),
            "#{Number.numberBetween '1000','1500'}",
        ),
        (
            "price",
            TypeKind::Double,
            "#{Number.randomDouble '2','10','100'}",
        ),
    ];
    let products = [
        (
            "product_id",
            string(),
            "#{Number.numberBetween '1000','1500'}",
        ),
        ("name", string(), "#{Commerce.productName}"),
        ("brand", string(), "#{Commerce.brand}"),
        ("vendor", string(), "#{Commerce.vendor}"),
        ("department", string(), "#{Commerce.department}"),
    ];
    vec![
        table("clicks", &clicks, None),
        table("customers", &customers, Some("customer_id")),
        table("orders", &orders, None),
        table("products", &products, Some("product_id")),
    ]
}

/// A table; with a primary key its rows are upserts.
fn table(name: &str, fields: &[Field], primary_key: Option<&str>) -> TableDef {
    let mode = if primary_key.is_some() {
        "upsert"
    } else {
        "append"
    };
    let mut options = BTreeMap::from([
        ("changelog.mode".to_owned(), mode.to_owned()),
        ("connector".to_owned(), "faker".to_owned()),
        ("rows-per-second".to_owned(), ROWS_PER_SECOND.to_owned()),
    ]);
    for (field, _, expression) in fields {
        options.insert(
            format!("fields.{field}.expression"),
            (*expression).to_owned(),
        );
    }
    let column = |(field, kind, _): &Field| TableColumn {
        name: (*field).to_owned(),
        ty: kind.clone().not_null(),
        kind: ColumnKind::Physical,
        comment: None,
    };
    TableDef {
        name: ObjectName {
            catalog: "examples".to_owned(),
            database: "marketplace".to_owned(),
            name: name.to_owned(),
        },
        columns: fields.iter().map(column).collect(),
        watermark: None,
        primary_key: primary_key.map(str::to_owned).into_iter().collect(),
        distributed_by: Vec::new(),
        buckets: None,
        options,
        comment: None,
    }
}
