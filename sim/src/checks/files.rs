//! No sector file is lost (law L1): what the scheduler counts on is on some disk, now and after a power cut.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sp_invariants::Law;
use sp_sectors::{Disk, HEAD_BYTES_MAX, Layout, ManifestHead, MemDisk, Store, read_all};
use sp_types::{FileKind, ReplicaInfo, SectorId};

use super::Disks;
use crate::process::{DATA_DIR, MINER};
use crate::watch::Watch;

/// Where a worker's store lies.
pub(super) fn store_dir() -> PathBuf {
    Path::new(DATA_DIR).join("storage")
}

/// Looks while everything runs: reads heads only, and changes nothing. Not while a publish is under way or was
/// interrupted, for then its journal knows more than the heads.
pub fn look(watch: &Watch, disks: &Disks<'_>) {
    let layout = Layout::new(store_dir());
    let settled = |disk: &&MemDisk| disk.list(&layout.journal_dir()).is_ok_and(|entries| entries.is_empty());
    if !disks.values().all(settled) {
        return;
    }
    for (number, kind, root) in watch.required() {
        let sector = SectorId { miner: MINER, number };
        let heads = || disks.values().filter_map(|disk| head(disk, &layout, sector, kind));
        // What an attempt has published takes the place of what it was made from, before its result counts.
        let counts =
            |head: ManifestHead| head.root == root || head.made_by.is_some_and(|made_by| watch.is_live(made_by));
        if !heads().any(counts) {
            let found: Vec<String> = heads().map(|head| format!("one made by {:?}", head.made_by)).collect();
            watch.broken(Law::L1, format!("no disk has the {kind} of {sector} that counts, but {found:?}"));
        }
    }
}

/// The head of a replica that is there.
fn head(disk: &MemDisk, layout: &Layout, sector: SectorId, kind: FileKind) -> Option<ManifestHead> {
    disk.metadata(&layout.replica(sector, kind)).ok()?;
    let bytes = read_all(disk, &layout.head(sector, kind), HEAD_BYTES_MAX).ok()?;
    ManifestHead::decode(&bytes).ok()
}

/// After a power cut: opens every store as a starting worker does, reads everything, and says what is not there.
pub fn lost(watch: &Watch, disks: &Disks<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    let found = replicas_on(disks, &mut wrong);
    for (number, kind, root) in watch.required() {
        let sector = SectorId { miner: MINER, number };
        let is_it = |info: &ReplicaInfo| info.id.sector == sector && info.id.kind == kind && info.id.root == root;
        if !found.iter().any(|(_, info)| is_it(info)) && !succeeded(watch, disks, sector, kind) {
            wrong.push(format!("law L1: the {kind} of {sector} that counts is on no disk"));
        }
    }
    wrong
}

/// Has what an attempt that has not ended published taken the place of what counts?
fn succeeded(watch: &Watch, disks: &Disks<'_>, sector: SectorId, kind: FileKind) -> bool {
    let layout = Layout::new(store_dir());
    let mut heads = disks.values().filter_map(|disk| head(disk, &layout, sector, kind));
    heads.any(|head| head.made_by.is_some_and(|made_by| watch.is_live(made_by)))
}

/// Everything on the disks, each replica compared with its manifest.
pub(super) fn replicas_on(disks: &Disks<'_>, wrong: &mut Vec<String>) -> Vec<(String, ReplicaInfo)> {
    let mut found = Vec::new();
    for (name, disk) in disks {
        let root = store_dir();
        let disk: Arc<dyn Disk> = Arc::new((*disk).clone());
        // A worker that was never up for long enough has no store.
        if disk.metadata(&Layout::new(&root).meta()).is_err() {
            continue;
        }
        match Store::open(disk, &root, &BTreeSet::new()).and_then(|store| Ok((store.replicas()?, store))) {
            Ok((replicas, store)) => {
                for info in replicas {
                    if let Err(error) = store.verify(&info.id) {
                        wrong.push(format!("{name}: {} of {}: {error}", info.id.kind, info.id.sector));
                    }
                    found.push(((*name).to_owned(), info));
                }
            }
            Err(error) => wrong.push(format!("{name}: its store cannot be read: {error}")),
        }
    }
    found
}
