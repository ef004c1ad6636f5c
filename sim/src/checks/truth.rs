//! What must never be, however long one waits: a wrong proof, a wrong file, an index that disagrees with the disks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sp_proto::v1;
use sp_sectors::{Disk, MemDisk};
use sp_types::{FileKind, ReplicaInfo, SectorId, SectorState, Soundness};

use super::Disks;
use super::files::replicas_on;
use super::updates::{self, Origin};
use crate::cast::Sealing;
use crate::fake::{Made, Update, is_valid, unsealed_of};
use crate::operator::View;
use crate::piece;
use crate::process::MINER;
use crate::stage::Stage;
use crate::tally::Tally;

/// Laws L1, L2, L9 and L10 at the end of a run that came to rest, after a power cut everywhere. Nor did a
/// stage run again that had answered, beyond what the faults of the run account for.
pub fn wrong(view: &View, stage: &Stage, disks: &Disks<'_>, faults: u64, settings: Sealing) -> Vec<String> {
    let mut wrong = super::lost(&stage.watch, disks);
    let is_sealed = |s: &v1::SectorSummary| matches!(s.state.as_str(), "Proving" | "Available");
    let sealed = || view.sectors.iter().filter(|s| s.summary.as_ref().is_some_and(is_sealed));
    for sector in sealed() {
        let summary = sector.summary.clone().unwrap_or_default();
        wrong.extend(invalid(sector, &stage.made));
        wrong.extend(updates::invalid(sector, view, &stage.made));
        wrong.extend(updates::wrong_kinds(sector, &stage.watch.kinds(summary.number), settings));
        wrong.extend(counted_twice(sector));
        wrong.extend(stage.watch.odd_starts(summary.number, summary.updated, faults));
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

/// What a scrub has found is known to the index alone.
fn key<E: std::fmt::Debug>(info: &Result<ReplicaInfo, E>) -> String {
    let of = |info: &ReplicaInfo| ReplicaInfo { soundness: Soundness::Unknown, ..info.clone() };
    format!("{:?}", info.as_ref().map(of))
}

/// Each edge of the pipeline is taken once, and once more for every step back to PC1: nothing here makes a sector lose its
/// files. Those of an update are taken once for every time that it was begun or went back; whatever was forced may be
/// repeated. A phase may fail as often as it likes, and UNS, GSK and GET may be done again.
fn counted_twice(sector: &v1::SectorStatusReply) -> Vec<String> {
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    let counts = |event: &str| match edge(event) {
        Some((from, to)) => !from.is_failure() && !to.is_failure() && !is_marking(from, to),
        None => event.split_once(" accepted").is_some_and(|(kind, _)| !["UNS", "GSK", "GET"].contains(&kind)),
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
    let tally = Tally::of(sector);
    let may = |event: &str| match is_of_update(event) {
        true => tally.begun + tally.back + tally.forced,
        false => 1 + steps_back + tally.forced,
    };
    let repeated = taken.into_iter().filter(|(event, times)| *times > may(event));
    repeated.map(|(event, times)| format!("sector {number}: `{event}` {times} times")).collect()
}

/// Operators mark sectors for an update and take that back as often as they like.
fn is_marking(from: SectorState, to: SectorState) -> bool {
    let at_rest = |state| matches!(state, SectorState::Proving | SectorState::Available);
    at_rest(from) && at_rest(to)
}

fn is_of_update(event: &str) -> bool {
    let of_update = |state: SectorState| state.is_update() || state == SectorState::ReleaseSectorKey;
    edge(event).map_or(event == "PR1 accepted", |(from, to)| of_update(from) || of_update(to))
}

/// The edge that a log entry tells of.
fn edge(event: &str) -> Option<(SectorState, SectorState)> {
    let (from, to) = event.split_once(" -> ")?;
    Some((from.parse().ok()?, to.parse().ok()?))
}

fn invalid(sector: &v1::SectorStatusReply, made: &Made) -> Option<String> {
    let summary = sector.summary.clone().unwrap_or_default();
    let Some(Origin { seal, .. }) = Origin::of(sector, made) else {
        return Some(format!("sector {}: nobody made a replica with its comm_r", summary.number));
    };
    let statement = v1::VerifySeal {
        seal_proof: summary.seal_proof,
        miner: MINER,
        sector: summary.number,
        ticket: sector.ticket.clone(),
        seed: sector.seed.clone(),
        comm_d: if summary.updated { seal.comm_d.clone() } else { sector.comm_d.clone() },
        comm_r: seal.comm_r(),
        proof: sector.proof.clone(),
    };
    (!is_valid(made, statement)).then(|| format!("sector {}: its proof is not valid", summary.number))
}

/// The files are those that follow from the ticket, and those of an update from what it brought.
fn wrong_files(sector: &v1::SectorStatusReply, stage: &Stage, on_disk: &[(String, ReplicaInfo)]) -> Vec<String> {
    let summary = sector.summary.clone().unwrap_or_default();
    let id = SectorId { miner: MINER, number: summary.number };
    let Some(origin) = Origin::of(sector, &stage.made) else {
        return vec![];
    };
    let mut wrong = Vec::new();
    for kind in stage.watch.kinds(summary.number) {
        let here: Vec<_> = on_disk.iter().filter(|(_, i)| i.id.sector == id && i.id.kind == kind).collect();
        let roots: BTreeSet<_> = here.iter().map(|(_, info)| info.id.root).collect();
        if roots != BTreeSet::from([root_of(&origin, kind)]) {
            wrong.push(format!("{id}: its {kind} is not what its ticket leads to, on {here:?}"));
        }
    }
    wrong
}

/// The root that the right files have.
fn root_of(origin: &Origin, kind: FileKind) -> [u8; 32] {
    let disk = MemDisk::default();
    let path = Path::new("/right");
    let write = |path: &Path, bytes: &[u8]| disk.create_new(path).and_then(|file| file.write_at(bytes, 0));
    let write_all = |files: BTreeMap<String, Vec<u8>>| {
        disk.create_dir_all(path)?;
        files.iter().try_for_each(|(name, bytes)| write(&path.join(name), bytes))
    };
    let Origin { seal, update } = origin;
    let written = match kind {
        FileKind::Unsealed if update.is_some() => write(path, &unsealed_of(&piece::update())),
        FileKind::Unsealed => write(path, &unsealed_of(&piece::data())),
        FileKind::Sealed => write(path, &seal.sealed()),
        FileKind::Update => write(path, &update.as_ref().map(Update::encoded).unwrap_or_default()),
        FileKind::UpdateCache => write_all(update.as_ref().map(Update::finalized_cache).unwrap_or_default()),
        _ => write_all(seal.finalized_cache()),
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
