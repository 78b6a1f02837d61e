//! What tests of several modules share.

use std::collections::BTreeMap;

use weir_model::statement::Phase;

use super::{Kind, Record, Scaling, Wanted};

/// A background statement that was just made.
pub(crate) fn record(name: &str) -> Record {
    Record {
        uid: uuid::Uuid::new_v4().to_string(),
        name: name.to_owned(),
        organization: "o".to_owned(),
        environment: "env-local".to_owned(),
        sql: "INSERT INTO a SELECT * FROM b".to_owned(),
        properties: BTreeMap::new(),
        labels: BTreeMap::new(),
        pool_id: "lfcp-local".to_owned(),
        principal: "u-local".to_owned(),
        kind: Kind::Background,
        wanted: Wanted::Run,
        phase: Phase::Pending,
        detail: String::new(),
        scaling: Scaling::Ok,
        traits: None,
        parallelism: 1,
        draining: false,
        resource_version: 1,
        created_at_ms: 1,
        updated_at_ms: 1,
        run: 0,
        restarts_total: 0,
        latest_offsets: BTreeMap::new(),
        latest_offsets_at_ms: None,
        origin: super::Origin::default(),
        rescale_to: None,
        stop_savepoint: None,
        state_limit: super::StateLimitStatus::default(),
        is_soft_limit_waived: false,
        slow_checkpoints: None,
        advice: Vec::new(),
        creates_table: None,
    }
}
