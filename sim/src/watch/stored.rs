//! The scheduler's rows as they lie in its state, read by their prefix.

use prost::Message;
use sp_proto::v1;
use sp_state::Batch;
use sp_types::SectorState;

/// One row of a batch that the laws are about.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    Sector(u64, Option<Box<v1::StoredSector>>),
    Task(u64, Option<Box<v1::StoredTask>>),
    Fence(u64, Option<u32>),
    Counters(v1::StoredCounters),
}

/// The rows of a batch; an error names the one that cannot be read.
pub(super) fn changes(batch: &Batch) -> Result<Vec<Change>, String> {
    let mut found = Vec::new();
    for (key, value) in batch.writes() {
        let unreadable = |error: prost::DecodeError| format!("row {}: {error}", key.escape_ascii());
        found.extend(change(key, value).map_err(unreadable)?);
    }
    Ok(found)
}

fn change(key: &[u8], value: Option<&[u8]>) -> Result<Option<Change>, prost::DecodeError> {
    let number = |prefix: &[u8]| {
        let tail = key.strip_prefix(prefix).and_then(|tail| <[u8; 8]>::try_from(tail).ok());
        tail.map(u64::from_be_bytes)
    };
    Ok(if let Some(number) = number(b"sector/") {
        Some(Change::Sector(number, value.map(v1::StoredSector::decode).transpose()?.map(Box::new)))
    } else if let Some(number) = number(b"task/") {
        Some(Change::Task(number, value.map(v1::StoredTask::decode).transpose()?.map(Box::new)))
    } else if let Some(number) = number(b"fence/") {
        Some(Change::Fence(number, value.map(v1::StoredFence::decode).transpose()?.map(|fence| fence.up_to_number)))
    } else if let (b"meta/counters", Some(value)) = (key, value) {
        Some(Change::Counters(v1::StoredCounters::decode(value)?))
    } else {
        None
    })
}

/// The state of a stored sector; the names of the two enums differ in form only.
pub(super) fn state_of(sector: &v1::StoredSector) -> Option<SectorState> {
    let name = sector.state().as_str_name().trim_start_matches("STORED_SECTOR_STATE_").replace('_', "");
    SectorState::ALL.into_iter().find(|state| state.to_string().eq_ignore_ascii_case(&name))
}

/// A key for the trace: `task/3`, `-task/3` when it is deleted.
pub(super) fn readable(key: &[u8], put: bool) -> String {
    let sign = if put { "" } else { "-" };
    let is_text = key.iter().all(u8::is_ascii_graphic);
    match key.split_last_chunk::<8>().filter(|(prefix, _)| !is_text && prefix.ends_with(b"/")) {
        Some((prefix, number)) => format!("{sign}{}{}", prefix.escape_ascii(), u64::from_be_bytes(*number)),
        None => format!("{sign}{}", key.escape_ascii()),
    }
}

/// Tells batches apart.
pub(super) fn digest(batch: &Batch) -> u32 {
    let mut hash = blake2s_simd::State::new();
    for (key, value) in batch.writes() {
        hash.update(&(key.len() as u32).to_le_bytes()).update(key);
        hash.update(&value.map_or(u32::MAX, |v| v.len() as u32).to_le_bytes()).update(value.unwrap_or_default());
    }
    let hash = hash.finalize();
    let mut first = [0; 4];
    first.copy_from_slice(&hash.as_bytes()[..4]);
    u32::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stored_state_is_one_of_the_vocabulary() {
        let number = |state: i32| v1::StoredSector { state, ..Default::default() };
        let mut found: Vec<_> = (1..100).filter_map(|n| state_of(&number(n))).collect();
        found.sort();
        let mut all = SectorState::ALL.to_vec();
        all.sort();
        assert_eq!(found, all);
        assert_eq!(state_of(&number(0)), None);
    }

    #[test]
    fn keys_are_readable() {
        let key = [b"task/".as_slice(), &47_u64.to_be_bytes()].concat();
        assert_eq!((readable(&key, true), readable(&key, false)), ("task/47".into(), "-task/47".into()));
        assert_eq!(readable(b"meta/counters", true), "meta/counters");
    }
}
