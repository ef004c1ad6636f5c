//! No sector file is lost (law L1): what the scheduler counts on is on some disk, now and after a power cut.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sp_invariants::Law;
use sp_sectors::{Disk, HEAD_BYTES_MAX, Layout, ManifestHead, MemDisk, Store, read_all};
use sp_types::{AttemptId, FileKind, ReplicaInfo, SectorId};

use super::Disks;
use crate::cast::PATHS;
use crate::process::{DATA_DIR, MINER};
use crate::watch::Watch;

/// Where a worker's stores may lie.
pub(super) fn store_dirs() -> impl Iterator<Item = PathBuf> {
    PATHS.into_iter().map(|name| Path::new(DATA_DIR).join(name))
}

/// Every store that a worker may have.
fn stores<'a>(disks: &'a Disks<'_>) -> impl Iterator<Item = (&'a str, &'a MemDisk, Layout)> {
    disks.iter().flat_map(|(name, disk)| store_dirs().map(|root| (*name, *disk, Layout::new(root))))
}

/// Looks while everything runs: reads heads only, and changes nothing. Not while a publish is under way or was
/// interrupted, for then its journal knows more than the heads.
pub fn look(watch: &Watch, disks: &Disks<'_>) {
    let settled = |disk: &MemDisk, layout: &Layout| disk.list(&layout.journal_dir()).is_ok_and(|e| e.is_empty());
    let is_made = |disk: &MemDisk, layout: &Layout| disk.metadata(&layout.meta()).is_ok();
    if !stores(disks).all(|(_, disk, layout)| !is_made(disk, &layout) || settled(disk, &layout)) {
        return;
    }
    for (number, kind, root) in watch.required() {
        let sector = SectorId { miner: MINER, number };
        let kept = stores(disks).flat_map(|(_, disk, layout)| kept(disk, &layout, sector, kind));
        let heads = stores(disks).filter_map(|(_, disk, layout)| head(disk, &layout, sector, kind)).chain(kept);
        judge(watch, sector, heads.collect(), kind, root);
    }
}

/// What an attempt has published takes the place of what it was made from, before its result counts; what it has replaced
/// is kept until it does.
fn judge(watch: &Watch, sector: SectorId, heads: Vec<ManifestHead>, kind: FileKind, root: [u8; 32]) {
    if heads.iter().any(|head| head.root == root) {
        return;
    }
    let makers: Vec<String> =
        heads.iter().map(|head| head.made_by.map_or("nobody".into(), |a| a.to_string())).collect();
    let text = format!("no disk has the {kind} of {sector} that counts, but those made by {makers:?}");
    watch.broken(Law::L1, text);
}

/// The heads of what attempts have replaced and keep.
fn kept(disk: &MemDisk, layout: &Layout, sector: SectorId, kind: FileKind) -> Vec<ManifestHead> {
    let attempts = disk.list(&layout.work_dir()).unwrap_or_default();
    let attempts = attempts.iter().filter_map(|entry| entry.name.parse().ok());
    let kept = |attempt: AttemptId| {
        let place = layout.replaced(attempt, sector, kind);
        // On its way back it lies where a publish takes it from.
        let returning = layout.work(attempt).join("manifests").join(format!("{kind}-{sector}"));
        let places = [(place.clone(), place), (layout.work_replica(attempt, sector, kind), returning)];
        let head = |(data, head): (PathBuf, PathBuf)| {
            disk.metadata(&data).ok()?;
            let bytes = read_all(disk, &head.with_extension("head"), HEAD_BYTES_MAX).ok()?;
            ManifestHead::decode(&bytes).ok()
        };
        places.into_iter().filter_map(head).collect::<Vec<_>>()
    };
    attempts.flat_map(kept).collect()
}

/// The head of a replica that is there.
fn head(disk: &MemDisk, layout: &Layout, sector: SectorId, kind: FileKind) -> Option<ManifestHead> {
    disk.metadata(&layout.replica(sector, kind)).ok()?;
    let bytes = read_all(disk, &layout.head(sector, kind), HEAD_BYTES_MAX).ok()?;
    ManifestHead::decode(&bytes).ok()
}

/// After a power cut: opens every store as a starting worker does, reads everything, and looks.
pub fn lost(watch: &Watch, disks: &Disks<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    replicas_on(disks, &mut wrong);
    look(watch, disks);
    wrong
}

/// Everything on the disks, each replica compared with its manifest.
pub(super) fn replicas_on(disks: &Disks<'_>, wrong: &mut Vec<String>) -> Vec<(String, ReplicaInfo)> {
    let mut found = Vec::new();
    for (name, disk, layout) in stores(disks) {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        // A worker that was never up for long enough has no store.
        if disk.metadata(&layout.meta()).is_err() {
            continue;
        }
        // Whatever a worker still works on stays.
        let work = disk.list(&layout.work_dir()).unwrap_or_default();
        let keep: BTreeSet<AttemptId> = work.iter().filter_map(|entry| entry.name.parse().ok()).collect();
        match Store::open(disk, layout.root(), &keep).and_then(|store| Ok((store.replicas()?, store))) {
            Ok((replicas, store)) => {
                for info in replicas {
                    if let Err(error) = store.verify(&info.id) {
                        wrong.push(format!("{name}: {} of {}: {error}", info.id.kind, info.id.sector));
                    }
                    found.push((name.to_owned(), info));
                }
            }
            Err(error) => wrong.push(format!("{name}: its store cannot be read: {error}")),
        }
    }
    found
}
