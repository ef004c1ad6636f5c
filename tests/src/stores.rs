//! What lies in the stores of stopped workers: whole replicas with the right digests, and no leftovers.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use sp_sectors::{RealDisk, Store};
use sp_types::{FileKind, ReplicaInfo, SectorId};

/// Looks for leftovers, then opens the store at `path` and compares every replica with its manifest. Gives the replicas.
/// Nobody may have the store open.
pub fn verified(path: &Path) -> Result<Vec<ReplicaInfo>> {
    // Before the store is opened: opening tidies up.
    no_leftovers(path)?;
    only_sectors(path)?;
    let store = Store::open(Arc::new(RealDisk), path, &BTreeSet::new())?;
    let replicas = store.replicas()?;
    for info in &replicas {
        let what = || format!("{} of {} in {}", info.id.kind, info.id.sector, path.display());
        ensure!(info.id.root != [0; 32], "{} has no manifest", what());
        store.verify(&info.id).with_context(what)?;
    }
    Ok(replicas)
}

/// Nothing is in progress, so nothing may lie where work in progress lies.
fn no_leftovers(path: &Path) -> Result<()> {
    for place in [".sp/work", ".sp/journal"] {
        let left = names(&path.join(place))?;
        ensure!(left.is_empty(), "{}/{place} still holds {left:?}", path.display());
    }
    Ok(())
}

/// Lotus's directories hold sectors and nothing else: a name that is none would be passed over by the store.
fn only_sectors(path: &Path) -> Result<()> {
    for kind in [FileKind::Unsealed, FileKind::Sealed, FileKind::Cache, FileKind::Update, FileKind::UpdateCache] {
        let dir = path.join(kind.name());
        let odd: Vec<String> = names(&dir)?.into_iter().filter(|name| name.parse::<SectorId>().is_err()).collect();
        ensure!(odd.is_empty(), "{} holds {odd:?}, which are no sectors", dir.display());
    }
    Ok(())
}

fn names(dir: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Copies a path with everything in it, as an administrator would, to where nothing is.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &target)?,
            false => drop(std::fs::copy(entry.path(), &target)?),
        }
    }
    Ok(())
}
