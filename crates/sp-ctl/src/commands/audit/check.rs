//! What is wrong: what was told against what was seen.

use std::collections::BTreeSet;

use sp_proto::v1::{SectorSummary, StoreFact};
use sp_sectors::{Seen, Stray};
use sp_types::{AttemptId, FileKind, ReplicaInfo, SectorId};

use super::finding::{Fault, Finding};
use super::paths::Looked;
use super::told::{Listed, Told};

/// Everything that is wrong on one path.
pub(super) fn path(told: &Told, looked: &Looked) -> Vec<Finding> {
    let nothing = Listed::new();
    let listed = told.listed.get(looked.store.id().as_str()).unwrap_or(&nothing);
    let seen: BTreeSet<_> = looked.seen.iter().map(|seen| (seen.info.id.sector, seen.info.id.kind)).collect();
    let gone = listed.values().filter(|info| !seen.contains(&(info.id.sector, info.id.kind)));
    let mut findings: Vec<Finding> = gone.map(|info| missing(looked, info)).collect();
    for seen in &looked.seen {
        findings.extend(replica(looked, listed, seen));
    }
    findings.extend(looked.strays.iter().filter_map(|stray| leftover(told, looked, stray)));
    findings
}

fn missing(looked: &Looked, info: &ReplicaInfo) -> Finding {
    let place = looked.store.replica_path(info.id.sector, info.id.kind);
    let reason = "the index lists it, and it is not there";
    Finding::at(Fault::Missing, info.id.store.as_str(), place.display(), reason).of(info.id.sector, info.id.kind)
}

/// What is wrong with a replica that lies there, or whose manifest does.
fn replica(looked: &Looked, listed: &Listed, seen: &Seen) -> Vec<Finding> {
    let (sector, kind) = (seen.info.id.sector, seen.info.id.kind);
    let place = looked.store.replica_path(sector, kind);
    let finding = |fault, reason: String| {
        Finding::at(fault, looked.store.id().as_str(), place.display(), reason).of(sector, kind)
    };
    let Some(there_bytes) = seen.there_bytes else {
        return vec![match listed.get(&(sector, kind)) {
            Some(info) => missing(looked, info),
            None => finding(Fault::Leftover, "its manifest is there, the file itself is not, nor is it listed".into()),
        }];
    };
    if let Some(reason) = &seen.bad_head {
        return vec![finding(Fault::Unreadable, reason.clone())];
    }
    let mut findings = Vec::new();
    match listed.get(&(sector, kind)) {
        None => findings.push(finding(Fault::Unlisted, "it is there, and the index does not list it".into())),
        Some(info) if info.id.root != seen.info.id.root && !keeps_no_manifest(looked, seen) => {
            let (told, there) = (root(&info.id.root), root(&seen.info.id.root));
            let reason = format!("the index lists it with {told}, and its manifest has {there}");
            findings.push(finding(Fault::Differs, reason));
        }
        Some(_) => {}
    }
    if there_bytes != seen.info.size_bytes {
        let reason = format!("{there_bytes} bytes are there, {} by its manifest", seen.info.size_bytes);
        findings.push(finding(Fault::Differs, reason));
    }
    findings
}

/// On a path that is only read no manifest can be kept.
fn keeps_no_manifest(looked: &Looked, seen: &Seen) -> bool {
    let meta = looked.store.meta();
    seen.info.id.root == [0; 32] && !meta.can_seal && !meta.can_store
}

fn root(root: &[u8; 32]) -> String {
    if *root == [0; 32] { "no root".to_owned() } else { format!("the root {}", hex::encode(root)) }
}

/// What lies there besides, unless it belongs to an attempt that is not over.
fn leftover(told: &Told, looked: &Looked, stray: &Stray) -> Option<Finding> {
    let reason = match stray {
        Stray::Work(attempt, _) | Stray::Journal(attempt, _) if told.alive.contains(attempt) => return None,
        Stray::Work(attempt, _) => format!("the work directory of attempt {attempt}, which is over, is still there"),
        Stray::Journal(attempt, _) => format!("attempt {attempt} is over, and its publish is not finished"),
        Stray::HalfDone(_) => "a delete or a write that was cut short has left this".to_owned(),
        Stray::Manifest(_) => "a part of a manifest that no file here has".to_owned(),
        Stray::Unknown(_) => "this is no sector file and nothing that belongs here".to_owned(),
    };
    Some(Finding::at(Fault::Leftover, looked.store.id().as_str(), stray.path().display(), reason))
}

/// Finished sectors that lack a file, wherever it should be.
pub(super) fn sectors(told: &Told) -> Vec<Finding> {
    let listed: BTreeSet<_> = told.listed.values().flat_map(|listed| listed.keys().copied()).collect();
    let mut findings = Vec::new();
    for sector in told.sectors.iter().filter(|sector| is_finished(sector)) {
        let id = SectorId { miner: told.miner, number: sector.number };
        for kind in needed(sector).into_iter().filter(|kind| !listed.contains(&(id, *kind))) {
            let reason = format!("it is {}, and no path has the file", sector.state);
            findings.push(Finding::at(Fault::Incomplete, "", "", reason).of(id, kind));
        }
    }
    findings
}

/// Is it proven at its deadline, whatever else is done with it?
pub(super) fn is_finished(sector: &SectorSummary) -> bool {
    sector.proven || ["Proving", "Available"].contains(&sector.state.as_str())
}

fn needed(sector: &SectorSummary) -> [FileKind; 2] {
    match sector.updated {
        true => [FileKind::Update, FileKind::UpdateCache],
        false => [FileKind::Sealed, FileKind::Cache],
    }
}

/// Space that nobody can give back.
pub(super) fn reservations(told: &Told) -> Vec<Finding> {
    if !told.alive.is_empty() {
        return vec![];
    }
    let held = told.stores.iter().filter(|(_, fact)| fact.reserved_bytes > 0);
    let finding = |(id, fact): (&String, &StoreFact)| {
        let reason = format!("{} bytes are reserved, and no attempt is alive", fact.reserved_bytes);
        Finding::at(Fault::Reserved, id, "", reason)
    };
    held.map(finding).collect()
}

/// Files that nobody else gets, for attempts that are over.
pub(super) fn locks(told: &Told) -> Vec<Finding> {
    let over = told.locks.iter().filter(|(attempt, _)| !told.alive.contains(attempt));
    let finding = |(attempt, sector): &(AttemptId, SectorId)| {
        let reason = format!("attempt {attempt}, which is over, still has files locked");
        Finding::at(Fault::Locked, "", "", reason).of_sector(*sector)
    };
    over.map(finding).collect()
}
