//! What must never be, however long one waits: a wrong proof, a wrong file, an index that disagrees with the disks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sp_proto::v1;
use sp_sectors::{Disk, MemDisk};
use sp_types::{FileKind, ReplicaInfo, SectorId, SectorState};

use super::Disks;
use super::files::replicas_on;
use crate::fake::{Made, Seal, is_valid, unsealed_of};
use crate::known;
use crate::operator::View;
use crate::piece;
use crate::process::MINER;
use crate::stage::Stage;

/// Laws L1, L2, L9 and L10 at the end of a run that came to rest, after a power cut everywhere. Nor did a
/// stage run again that had answered, beyond what the faults of the run account for.
pub fn wrong(view: &View, stage: &Stage, disks: &Disks<'_>, faults: u64) -> Vec<String> {
    let mut wrong = super::lost(&stage.watch, disks);
    let sealed = || view.sectors.iter().filter(|s| s.summary.as_ref().is_some_and(|s| s.state == "Proving"));
    // A sector whose input was replaced is made again.
    let may_repeat = stage.watch.known_defects().contains_key(known::REPLACED);
    for sector in sealed() {
        wrong.extend(invalid(sector, &stage.made));
        if !may_repeat {
            let number = sector.summary.as_ref().map(|s| s.number).unwrap_or_default();
            wrong.extend(counted_twice(sector));
            wrong.extend(stage.watch.odd_starts(number, faults));
        }
    }
    let on_disk = replicas_on(disks, &mut wrong);
    let known: BTreeSet<String> = view.replicas.iter().map(|r| key(&ReplicaInfo::try_from(r.clone()))).collect();
    let found: BTreeSet<String> = on_disk.iter().map(|(_, info)| key(&Ok::<_, ()>(info.clone()))).collect();
    wrong.extend(known.difference(&found).map(|r| format!("law L9: the index knows {r}, which is on no disk")));
    let stray = found.difference(&known);
    wrong.extend(stray.map(|r| format!("law L9: {r} is on a disk, and the index does not know it")));
    for sector in sealed() {
        wrong.extend(wrong_files(sector, stage, &on_disk));
    }
    wrong
}

fn key<E: std::fmt::Debug>(info: &Result<ReplicaInfo, E>) -> String {
    format!("{info:?}")
}

/// Each edge of the pipeline is taken once, and once more for every step back to PC1: nothing here makes a sector lose its
/// files. A phase may fail as often as it likes, and UNS may be done again.
fn counted_twice(sector: &v1::SectorStatusReply) -> Vec<String> {
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    let counts = |event: &str| match edge(event) {
        Some((from, to)) => !from.is_failure() && !to.is_failure(),
        None => event.ends_with(" accepted") && !event.starts_with("UNS "),
    };
    for entry in sector.log.iter().filter(|entry| counts(&entry.event)) {
        *taken.entry(&entry.event).or_default() += 1;
    }
    // PC1 that failed is tried again; what failed after it has the replica made anew.
    let back = |(from, to): (SectorState, SectorState)| {
        to == SectorState::PreCommit1 && from.is_failure() && to.fails_to() != Some(from)
    };
    let steps_back = sector.log.iter().filter_map(|entry| edge(&entry.event)).filter(|edge| back(*edge)).count();
    let number = sector.summary.as_ref().map(|s| s.number).unwrap_or_default();
    let repeated = taken.into_iter().filter(|(_, times)| *times > 1 + steps_back);
    repeated.map(|(event, times)| format!("sector {number}: `{event}` {times} times")).collect()
}

/// The edge that a log entry tells of.
fn edge(event: &str) -> Option<(SectorState, SectorState)> {
    let (from, to) = event.split_once(" -> ")?;
    Some((from.parse().ok()?, to.parse().ok()?))
}

fn invalid(sector: &v1::SectorStatusReply, made: &Made) -> Option<String> {
    let summary = sector.summary.clone().unwrap_or_default();
    let statement = v1::VerifySeal {
        seal_proof: summary.seal_proof,
        miner: MINER,
        sector: summary.number,
        ticket: sector.ticket.clone(),
        seed: sector.seed.clone(),
        comm_d: sector.comm_d.clone(),
        comm_r: summary.comm_r,
        proof: sector.proof.clone(),
    };
    (!is_valid(made, statement)).then(|| format!("sector {}: its proof is not valid", summary.number))
}

/// The files are those that follow from the ticket.
fn wrong_files(sector: &v1::SectorStatusReply, stage: &Stage, on_disk: &[(String, ReplicaInfo)]) -> Vec<String> {
    let summary = sector.summary.clone().unwrap_or_default();
    let id = SectorId { miner: MINER, number: summary.number };
    let Some(seal) = stage.made.find(&summary.comm_r) else {
        return vec![format!("{id}: nobody made a replica with its comm_r")];
    };
    let mut wrong = Vec::new();
    for kind in stage.watch.kinds(summary.number) {
        let here: Vec<_> = on_disk.iter().filter(|(_, i)| i.id.sector == id && i.id.kind == kind).collect();
        let roots: BTreeSet<_> = here.iter().map(|(_, info)| info.id.root).collect();
        if roots != BTreeSet::from([root_of(&seal, kind)]) {
            wrong.push(format!("{id}: its {kind} is not what its ticket leads to, on {here:?}"));
        }
    }
    wrong
}

/// The root that the right files have.
fn root_of(seal: &Seal, kind: FileKind) -> [u8; 32] {
    let disk = MemDisk::default();
    let path = Path::new("/right");
    let write = |path: &Path, bytes: &[u8]| disk.create_new(path).and_then(|file| file.write_at(bytes, 0));
    let written = match kind {
        FileKind::Unsealed => write(path, &unsealed_of(&piece::data())),
        FileKind::Sealed => write(path, &seal.sealed()),
        _ => disk
            .create_dir_all(path)
            .and_then(|()| seal.finalized_cache().iter().try_for_each(|(name, bytes)| write(&path.join(name), bytes))),
    };
    written.expect("an empty disk takes them");
    sp_sectors::Manifest::of_path(&disk, kind, path).expect("it was just written").root()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_may_fail_often_and_succeeds_once_for_every_replica() {
        let twice = |log: &[&str]| {
            let entry = |event: &&str| v1::LogEntry { event: (*event).to_owned(), ..Default::default() };
            let log = log.iter().map(entry).collect();
            counted_twice(&v1::SectorStatusReply { log, ..Default::default() }).len()
        };
        let (on, fails, again) =
            ("PreCommit1 -> PreCommit2", "PreCommit1 -> SealPreCommit1Failed", "SealPreCommit1Failed -> PreCommit1");
        assert_eq!(twice(&[fails, again, fails, again, on, "UNS accepted", "UNS accepted"]), 0);
        assert_eq!((twice(&[on, fails, again, on]), twice(&["C2 accepted", "C2 accepted"])), (1, 1));
        assert_eq!(twice(&[on, "SealPreCommit2Failed -> PreCommit1", on]), 0);
        assert_eq!(twice(&[on, on, "SealPreCommit2Failed -> PreCommit1", on]), 1);
    }
}
