//! Dead letters: records that failed to decode, and what is done with them.
//!
//! Enters: failures of a decoder. Leaves: rows of the error table, or a failed statement, per the table's
//! `error-handling.mode`. The raw key and value are always kept.
use crate::{
    batch::Batch, connector::source::TimestampType, error::Result, format::FailureCode,
    sql::catalog::TableDef,
};
/// STUB
#[derive(Debug)]
pub struct FailedRecord {
    /// x
    pub code: FailureCode,
    /// x
    pub message: String,
    /// x
    pub topic: String,
    /// x
    pub partition: i32,
    /// x
    pub offset: i64,
    /// x
    pub timestamp_ms: i64,
    /// x
    pub timestamp_type: TimestampType,
    /// x
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// x
    pub key: Option<Vec<u8>>,
    /// x
    pub value: Option<Vec<u8>>,
}
/// x
#[derive(Debug)]
pub struct Origin {
    /// x
    pub statement_name: String,
    /// x
    pub catalog: String,
    /// x
    pub database: String,
    /// x
    pub table: String,
}
/// x
#[derive(Debug)]
pub enum Mode {
    /// x
    Fail,
    /// x
    Ignore,
    /// x
    Log,
}
/// x
#[derive(Debug)]
pub struct ErrorHandling {
    /// x
    pub mode: Mode,
    /// x
    pub target: String,
}
impl ErrorHandling {
    /// x
    /// # Errors
    /// x
    pub fn parse(_t: &TableDef) -> Result<Self> {
        Ok(Self {
            mode: Mode::Fail,
            target: String::new(),
        })
    }
}
/// x
/// # Errors
/// x
pub fn error_rows(_r: &[FailedRecord], _o: &Origin, _n: i64) -> Result<Batch> {
    Ok(Batch::inserts(vec![], 0))
}
