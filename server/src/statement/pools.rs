//! Compute pools as a service.
//!
//! Place in the flow: the pool API calls it; statements are admitted by what is stored here. Invariant: a change of a pool is stored
//! before it counts.

use uuid::Uuid;

use super::entry::Entry;
use super::service::{Statements, Update};
use crate::error::{Error, Result};
use crate::names::DEFAULT_POOL_ID;
use crate::pool::Pool;

impl Statements {
    /// Pools with the slots held in each.
    pub fn pools(&self) -> Vec<(Pool, u32)> {
        let state = self.core.lock();
        state
            .pools
            .values()
            .map(|pool| (pool.clone(), state.slots_held(&pool.id)))
            .collect()
    }

    /// Makes a pool.
    ///
    /// # Errors
    /// `Storage` when the database refuses.
    pub fn create_pool(&self, display_name: &str, max_cfu: u32) -> Result<Pool> {
        let suffix = Uuid::new_v4().simple().to_string();
        let now_ms = self.core.clock.now_ms();
        let pool = Pool {
            id: format!("lfcp-{}", &suffix[..6]),
            display_name: display_name.to_owned(),
            max_cfu,
            is_default: false,
            created_at_ms: now_ms,
            updated_at_ms: now_ms,
        };
        self.put_pool(pool)
    }

    /// Changes name and cap of a pool; absent ones stay.
    ///
    /// # Errors
    /// `NotFound`; `Storage`.
    pub fn update_pool(
        &self,
        id: &str,
        display_name: Option<&str>,
        max_cfu: Option<u32>,
    ) -> Result<Pool> {
        let mut pool = self.pool(id)?;
        if let Some(display_name) = display_name {
            display_name.clone_into(&mut pool.display_name);
        }
        pool.max_cfu = max_cfu.unwrap_or(pool.max_cfu);
        pool.updated_at_ms = self.core.clock.now_ms();
        let pool = self.put_pool(pool)?;
        self.core.reconcile_all();
        Ok(pool)
    }

    /// Deletes a pool and stops its statements.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` for the default pool; `Storage`.
    pub fn delete_pool(&self, id: &str) -> Result<()> {
        if self.pool(id)?.is_default {
            return Err(Error::Conflict(format!(
                "compute pool {id} is the default one and cannot be deleted"
            )));
        }
        let names: Vec<String> = {
            let state = self.core.lock();
            let in_pool =
                |entry: &&Entry| entry.record.pool_id == id && !entry.record.phase.is_terminal();
            let entries = state.entries.values().filter(in_pool);
            entries.map(|entry| entry.record.name.clone()).collect()
        };
        for name in names {
            let stop = Update {
                stopped: Some(true),
                ..Update::default()
            };
            match self.update(&name, &stop) {
                Ok(_) | Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.core.store.remove_pool(id)?;
        self.core.lock().pools.remove(id);
        Ok(())
    }

    /// The pool of that id.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub fn pool(&self, id: &str) -> Result<Pool> {
        self.core
            .lock()
            .pools
            .get(id)
            .cloned()
            .ok_or_else(|| Error::NotFound(format!("Compute pool {id} not found")))
    }

    /// Stores a pool.
    fn put_pool(&self, pool: Pool) -> Result<Pool> {
        self.core.store.put_pool(&pool)?;
        self.core.lock().pools.insert(pool.id.clone(), pool.clone());
        Ok(pool)
    }

    /// Makes the default pool, or gives it a new cap.
    pub(super) fn set_default_pool(&self, max_cfu: Option<u32>) -> Result<()> {
        let found = self.core.lock().pools.get(DEFAULT_POOL_ID).cloned();
        let now_ms = self.core.clock.now_ms();
        let mut pool = found.clone().unwrap_or_else(|| Pool {
            id: DEFAULT_POOL_ID.to_owned(),
            display_name: "default".to_owned(),
            max_cfu: crate::config::DEFAULT_MAX_CFU,
            is_default: true,
            created_at_ms: now_ms,
            updated_at_ms: now_ms,
        });
        pool.max_cfu = max_cfu.unwrap_or(pool.max_cfu);
        if found.as_ref() != Some(&pool) {
            pool.updated_at_ms = now_ms;
            self.put_pool(pool)?;
        }
        Ok(())
    }
}
