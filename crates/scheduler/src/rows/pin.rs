//! Rows `pin/<number>`: sectors whose files are kept.

use sp_proto::v1;
use sp_sched_core::model::{Pin, UnixMs};

use super::{RowError, numbered, parse, readable};

pub(super) const PREFIX: &[u8] = b"pin/";

pub(super) fn key(sector: u64) -> Vec<u8> {
    numbered(PREFIX, sector)
}

pub(super) fn encode(pin: &Pin) -> v1::StoredPin {
    let Pin { sector, reason, at } = pin.clone();
    v1::StoredPin { sector, reason, since_unix_ms: at.0 }
}

pub(super) fn decode(key: &[u8], value: &[u8]) -> Result<Pin, RowError> {
    let v1::StoredPin { sector, reason, since_unix_ms } = parse(&readable(key), value)?;
    if key != self::key(sector) {
        return Err(RowError::new(readable(key), format!("it says that it is of sector {sector}")));
    }
    Ok(Pin { sector, reason, at: UnixMs(since_unix_ms) })
}
