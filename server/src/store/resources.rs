//! Models and connections.

use rusqlite::params;
use weir_runtime::sql::resource::Resource;

use super::Store;
use crate::error::Result;

impl Store {
    /// Puts a model or connection in the place of another one, in one transaction.
    ///
    /// # Errors
    /// `Storage` when the database refuses.
    pub(crate) fn change_resource(
        &self,
        before: Option<&Resource>,
        after: Option<&Resource>,
    ) -> Result<()> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        if let Some(before) = before {
            let name = before.name();
            transaction.execute(
                "DELETE FROM resources WHERE kind = ?1 AND catalog = ?2 AND database = ?3 AND name = ?4",
                params![before.kind().as_str(), name.catalog, name.database, name.name],
            )?;
        }
        if let Some(after) = after {
            let name = after.name();
            transaction.execute(
                "INSERT INTO resources (kind, catalog, database, name, definition) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    after.kind().as_str(),
                    name.catalog,
                    name.database,
                    name.name,
                    serde_json::to_string(after)?
                ],
            )?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Every model and connection.
    ///
    /// # Errors
    /// `Storage` when the database refuses; `Internal` for a document of another form.
    pub(crate) fn resources(&self) -> Result<Vec<Resource>> {
        let connection = self.lock();
        let mut query = connection.prepare("SELECT definition FROM resources")?;
        let rows = query.query_map([], |row| row.get::<_, String>(0))?;
        rows.map(|row| Ok(serde_json::from_str(&row?)?)).collect()
    }
}
