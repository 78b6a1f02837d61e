//! Models and connections of the catalog.
//!
//! Place in the flow: the binder reads them, immediate statements change them. Invariant: a change is made only to what it was bound
//! against, so that of two statements at one time none is lost.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use weir_runtime::Error;
use weir_runtime::sql::ast::ResourceKind;
use weir_runtime::sql::catalog::ObjectName;
use weir_runtime::sql::resource::Resource;

use super::service::canonical;
use crate::error::Result;
use crate::store::Store;

/// Where a model or connection is found.
type Key = (&'static str, ObjectName);

/// Models and connections, kept in the database.
#[derive(Debug)]
pub(super) struct Resources {
    /// Definitions by kind and name.
    found: RwLock<BTreeMap<Key, Arc<Resource>>>,
}

/// Where a model or connection is found.
fn key(kind: ResourceKind, name: &ObjectName) -> Key {
    (kind.as_str(), canonical(name))
}

impl Resources {
    /// Those of a database.
    ///
    /// # Errors
    /// `Storage` when the database refuses.
    pub(super) fn open(store: &Store) -> Result<Self> {
        let stored = store.resources()?.into_iter();
        let found = stored.map(|resource| {
            let key = key(resource.kind(), resource.name());
            (key, Arc::new(resource))
        });
        Ok(Self {
            found: RwLock::new(found.collect()),
        })
    }

    /// Puts a definition in the place of another one. The caller holds the lock for changes.
    ///
    /// # Errors
    /// `Exists` when the name is taken, `Invalid` when the other one has changed since; `Storage` when the database refuses.
    pub(super) fn change(
        &self,
        store: &Store,
        before: Option<&Resource>,
        after: Option<Resource>,
    ) -> Result<()> {
        let old = before.map(|before| key(before.kind(), before.name()));
        let after = after.map(|mut after| {
            *after.name_mut() = canonical(after.name());
            after
        });
        let new = after.as_ref().map(|after| key(after.kind(), after.name()));
        let current = old.as_ref().and_then(|old| self.read().get(old).cloned());
        if current.as_deref() != before {
            return Err(Error::validation(
                "the definition has changed since this statement was made: submit it again",
            )
            .into());
        }
        if let Some(new) = new.as_ref().filter(|_| new != old)
            && self.read().contains_key(new)
        {
            let message = format!("{} {} exists already: drop it first", new.0, new.1);
            return Err(Error::exists(message).into());
        }
        store.change_resource(before, after.as_ref())?;
        let mut found = self.found.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = old {
            found.remove(&old);
        }
        if let (Some(new), Some(after)) = (new, after) {
            found.insert(new, Arc::new(after));
        }
        Ok(())
    }

    /// The definition of a name.
    pub(super) fn get(&self, kind: ResourceKind, name: &ObjectName) -> Option<Arc<Resource>> {
        self.read().get(&key(kind, name)).cloned()
    }

    /// Names in a database, whose catalog and name are canonical.
    pub(super) fn names(&self, kind: ResourceKind, catalog: &str, database: &str) -> Vec<String> {
        self.read()
            .keys()
            .filter(|(of, name)| {
                *of == kind.as_str() && name.catalog == catalog && name.database == database
            })
            .map(|(_, name)| name.name.clone())
            .collect()
    }

    /// Definitions, for reading.
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Key, Arc<Resource>>> {
        self.found.read().unwrap_or_else(PoisonError::into_inner)
    }
}
