//! How one sector row may follow on another: along published edges, its log only grown, what is on chain unchanged.

use std::str::FromStr;

use sp_invariants::{Law, edge_is_published};
use sp_proto::v1;
use sp_types::SectorState;

use super::ledger::Broken;
use super::stored::state_of;
use crate::tally::FORCED;

/// From this length on a log may lose its oldest entries.
const LOG_MAX: usize = 1_000;

/// The first entry of a sector that was sealed elsewhere.
const IMPORTED: &str = "imported";

/// The entries that are new; an error when old ones have changed.
pub(super) fn fresh_entries<'a>(
    old: Option<&v1::StoredSector>,
    new: &'a v1::StoredSector,
) -> Result<&'a [v1::StoredLogEntry], String> {
    let old = old.map(|sector| sector.log.as_slice()).unwrap_or_default();
    if new.log.len() >= LOG_MAX {
        let known = old.last().and_then(|last| new.log.iter().rposition(|entry| entry == last));
        return Ok(&new.log[known.map_or(0, |at| at + 1)..]);
    }
    match new.log.strip_prefix(old) {
        Some(fresh) => Ok(fresh),
        None => Err(format!("its log of {} entries does not continue in the {} of now", old.len(), new.log.len())),
    }
}

/// Law L7: from the old state to the new one along the edges in the log, each of them published, or an operator's will.
pub(super) fn judge_path(
    number: u64,
    old: Option<&v1::StoredSector>,
    new: &v1::StoredSector,
    fresh: &[v1::StoredLogEntry],
    broken: &mut Broken,
) {
    let mut at = old.map_or(Some(SectorState::Packing), state_of);
    for entry in fresh {
        if entry.event == IMPORTED && old.is_none() {
            at = Some(SectorState::Proving);
        }
        let Some((from, to)) = entry.event.split_once(" -> ") else { continue };
        let (Ok(from), Ok(to)) = (SectorState::from_str(from), SectorState::from_str(to)) else {
            broken.push((Law::L7, format!("sector {number}: `{}` is no edge", entry.event)));
            continue;
        };
        let may = edge_is_published(from, to) || (entry.message == FORCED && !from.is_gone());
        if at != Some(from) || !may {
            broken.push((Law::L7, format!("sector {number}: `{}` taken in {at:?}", entry.event)));
        }
        at = Some(to);
    }
    if at != state_of(new) {
        broken.push((Law::L7, format!("sector {number}: {at:?} by its log, {:?} by its row", state_of(new))));
    }
}

/// What a chain has seen stays as it is.
pub(super) fn judge_constants(
    number: u64,
    old: Option<&v1::StoredSector>,
    new: &v1::StoredSector,
    broken: &mut Broken,
) {
    let Some(old) = old else { return };
    let mut same = |what: &str, same: bool| {
        if !same {
            broken.push((Law::L7, format!("sector {number}: its {what} changed after it was on chain")));
        }
    };
    if old.seed_epoch.is_some() && old.seed_epoch == new.seed_epoch {
        same("ticket", old.ticket == new.ticket);
        same("comm_r", old.comm_r == new.comm_r);
        same("comm_d", old.comm_d == new.comm_d);
        same("seed", old.seed.is_none() || old.seed == new.seed);
    }
    if old.location.is_some() && new.location.is_some() {
        same("proof", old.proof == new.proof);
    }
    same("seal proof", old.seal_proof == new.seal_proof);
    if old.update.as_ref().is_some_and(|update| update.accepted_unix_ms.is_some()) {
        same("update", old.update == new.update);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sector(state: v1::StoredSectorState, log: &[&str]) -> v1::StoredSector {
        let entry = |event: &&str| v1::StoredLogEntry { event: (*event).to_owned(), ..Default::default() };
        v1::StoredSector { state: state as i32, log: log.iter().map(entry).collect(), ..Default::default() }
    }

    fn judged(old: Option<&v1::StoredSector>, new: &v1::StoredSector) -> Broken {
        let mut broken = Broken::new();
        judge_path(1, old, new, fresh_entries(old, new).expect("continues"), &mut broken);
        broken
    }

    #[test]
    fn several_edges_in_one_batch_are_followed() {
        use v1::StoredSectorState as S;
        let old = sector(S::Packing, &["created"]);
        let new = sector(S::PreCommit2, &["created", "Packing -> PreCommit1", "ticket", "PreCommit1 -> PreCommit2"]);
        assert_eq!(judged(Some(&old), &new), []);
        let skipped = sector(S::PreCommit2, &["created", "Packing -> PreCommit2"]);
        assert_eq!(judged(Some(&old), &skipped).len(), 1);
        let silent = sector(S::PreCommit1, &["created"]);
        assert_eq!(judged(Some(&old), &silent).len(), 1);
        assert!(fresh_entries(Some(&new), &old).is_err());
    }
}
