//! Rows from expressions, as Confluent's `faker` tables make them.
/// STUB
#[derive(Debug)]
pub struct FakerSource;
impl FakerSource {
    /// x
    /// # Errors
    /// x
    pub fn new(
        _t: &crate::sql::catalog::TableDef,
        _r: &[crate::plan::ReadColumn],
    ) -> crate::error::Result<Self> {
        Err(crate::error::Error::unsupported("x"))
    }
}
impl crate::connector::source::Source for FakerSource {
    fn reader(
        &self,
        _c: crate::connector::source::ReaderContext,
    ) -> crate::error::Result<Box<dyn crate::connector::source::SourceReader>> {
        Err(crate::error::Error::unsupported("x"))
    }
    fn is_bounded(&self) -> bool {
        false
    }
}
