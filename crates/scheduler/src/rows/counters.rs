//! Row `meta/counters`: numbers that never go back.

use sp_proto::v1;
use sp_sched_core::model::Counters;

use super::{RowError, parse};

pub(super) const KEY: &[u8] = b"meta/counters";

pub(super) fn encode(counters: Counters) -> v1::StoredCounters {
    let Counters { next_task, next_sector } = counters;
    v1::StoredCounters { next_task, next_sector }
}

pub(super) fn decode(value: &[u8]) -> Result<Counters, RowError> {
    let v1::StoredCounters { next_task, next_sector } = parse("meta/counters", value)?;
    Ok(Counters { next_task, next_sector })
}
