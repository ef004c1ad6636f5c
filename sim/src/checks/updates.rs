//! What must hold at the end of a sector that was updated: its proof, and which of its files count.

use std::collections::BTreeSet;

use sp_proto::v1;
use sp_types::FileKind;

use crate::cast::Sealing;
use crate::fake::{Made, Seal, Update, is_valid_update};
use crate::operator::View;
use crate::process::MINER;

/// What a sector consists of, as the fakes know it.
pub(super) struct Origin {
    pub(super) seal: Seal,
    /// The update that counts.
    pub(super) update: Option<Update>,
}

impl Origin {
    /// By the commitments that the scheduler tells.
    pub(super) fn of(sector: &v1::SectorStatusReply, made: &Made) -> Option<Self> {
        let summary = sector.summary.clone().unwrap_or_default();
        match sector.update.as_ref().filter(|_| summary.updated) {
            None => Some(Self { seal: made.find(&summary.comm_r)?, update: None }),
            Some(update) => {
                let made_of = made.update(&summary.comm_r).filter(|made| made.before.comm_r() == update.comm_r_old)?;
                Some(Self { seal: made_of.before.clone(), update: Some(made_of) })
            }
        }
    }
}

/// The proof in the state is one that the verifier accepts, of exactly what the sector is said to be.
pub(super) fn invalid(sector: &v1::SectorStatusReply, view: &View, made: &Made) -> Option<String> {
    let summary = sector.summary.clone().unwrap_or_default();
    if !summary.updated {
        return None;
    }
    let number = summary.number;
    let Some(reply) = view.updates.get(&number).cloned() else {
        return Some(format!("sector {number}: it is updated, and there is no proof of it"));
    };
    let update = sector.update.clone().unwrap_or_default();
    let same = (reply.miner, reply.sector) == (MINER, number)
        && reply.comm_r_new == summary.comm_r
        && reply.comm_d_new == sector.comm_d
        && (&reply.comm_r_old, &reply.comm_r_new) == (&update.comm_r_old, &update.comm_r_new);
    let v1::UpdateProofReply { comm_r_old, comm_r_new, comm_d_new, proof, .. } = reply;
    let statement = v1::VerifyUpdate { seal_proof: summary.seal_proof, comm_r_old, comm_r_new, comm_d_new, proof };
    let valid = same && is_valid_update(made, &statement);
    (!valid).then(|| format!("sector {number}: the proof of its update is not valid, or of something else"))
}

/// The kinds that count are those that the settings and what its operator did lead to.
pub(super) fn wrong_kinds(sector: &v1::SectorStatusReply, counts: &[FileKind], settings: Sealing) -> Option<String> {
    let summary = sector.summary.clone().unwrap_or_default();
    let mut wanted = BTreeSet::from([FileKind::Cache]);
    if summary.updated {
        wanted.extend([FileKind::Update, FileKind::UpdateCache]);
    }
    if !summary.updated || has_key(sector, settings) {
        wanted.insert(FileKind::Sealed);
    }
    if summary.data_bytes > 0 && has_unsealed(sector) {
        wanted.insert(FileKind::Unsealed);
    }
    let counts: BTreeSet<FileKind> = counts.iter().copied().collect();
    (counts != wanted).then(|| format!("sector {}: {counts:?} count where {wanted:?} should", summary.number))
}

/// Let go of as configured, and there again when an operator had it made anew.
fn has_key(sector: &v1::SectorStatusReply, settings: Sealing) -> bool {
    let last = |event: &str| sector.log.iter().rposition(|entry| entry.event == event);
    let made_anew = last("GSK accepted") >= last("GSK asked for");
    match settings.release_key {
        true => last("GSK accepted").is_some() && made_anew,
        false => made_anew,
    }
}

/// Kept, unless an operator released it and has not had it made again, or broke that off.
fn has_unsealed(sector: &v1::SectorStatusReply) -> bool {
    let last = |event: &str| sector.log.iter().rposition(|entry| entry.event == event);
    let accepted = last("FinalizeReplicaUpdate -> Proving").max(last("FinalizeReplicaUpdate -> ReleaseSectorKey"));
    let gone = last("unsealed copy released").max(last("UNS asked for"));
    gone <= last("UNS accepted").max(accepted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(log: &[&str], counts: &[FileKind], release_key: bool) -> bool {
        let entry = |event: &&str| v1::LogEntry { event: (*event).to_owned(), ..Default::default() };
        let summary = v1::SectorSummary { updated: true, data_bytes: 1, ..Default::default() };
        let log = log.iter().map(entry).collect();
        let sector = v1::SectorStatusReply { summary: Some(summary), log, ..Default::default() };
        wrong_kinds(&sector, counts, Sealing { release_key, make_available: false }).is_some()
    }

    #[test]
    fn the_key_is_there_or_let_go_of() {
        use FileKind as F;
        let released = [F::Unsealed, F::Cache, F::Update, F::UpdateCache];
        let kept = [F::Unsealed, F::Sealed, F::Cache, F::Update, F::UpdateCache];
        assert!(!wrong(&[], &released, true) && wrong(&[], &released, false));
        assert!(!wrong(&[], &kept, false) && wrong(&[], &kept, true));
        assert!(!wrong(&["GSK asked for", "GSK accepted"], &kept, true));
        assert!(!wrong(&["GSK asked for", "GSK given up"], &released, false));
        let copy = ["unsealed copy released", "UNS asked for"];
        assert!(wrong(&copy, &kept, false) && !wrong(&copy, &kept[1..], false));
    }
}
