//! The storage paths that this host can see: which of them there are, and what lies there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use sp_sectors::{Disk, Seen, Store, StoreError, Stray};

use super::finding::{Fault, Finding};
use super::told::Told;
use crate::error::{CommandError, Exit};

/// A path that was looked at.
pub(super) struct Looked {
    pub(super) store: Store,
    pub(super) path: PathBuf,
    pub(super) seen: Vec<Seen>,
    pub(super) strays: Vec<Stray>,
}

/// A path that this host cannot see.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Skipped {
    pub(super) store: String,
    pub(super) local_path: String,
    pub(super) reason: String,
}

/// What came of looking at all of them. What cannot be read is a finding.
#[derive(Default)]
pub(super) struct Paths {
    pub(super) looked: Vec<Looked>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) findings: Vec<Finding>,
}

/// Looks at every path that is known and can be seen here, at those given where they are.
pub(super) fn look(disk: Arc<dyn Disk>, told: &Told, given: &[PathBuf]) -> Result<Paths, CommandError> {
    let (mut paths, mut places) = (Paths::default(), BTreeMap::new());
    for path in given {
        let store = observe(&disk, path).map_err(|error| {
            let what = format!("{} is no storage path: {error}", path.display());
            CommandError::new(Exit::Usage, what).hint("name the directory that holds its sectorstore.json")
        })?;
        let id = store.id().to_string();
        if !told.stores.contains_key(&id) {
            paths.findings.push(Finding::at(Fault::Unlisted, &id, path.display(), "the index does not know this path"));
        }
        places.insert(id, store);
    }
    for id in told.stores.keys().filter(|id| !places.contains_key(*id)).cloned().collect::<Vec<_>>() {
        let local_path = told.local_path(&id).to_owned();
        match recorded(&disk, &id, &local_path) {
            Ok(store) => drop(places.insert(id, store)),
            Err(reason) => paths.skipped.push(Skipped { store: id, local_path, reason }),
        }
    }
    for (id, store) in places {
        let path = store.layout().root().to_owned();
        match what_lies_there(store) {
            Ok(found) => paths.looked.push(found),
            Err(error) => paths.findings.push(Finding::at(Fault::Unreadable, &id, path.display(), error.to_string())),
        }
    }
    Ok(paths)
}

fn observe(disk: &Arc<dyn Disk>, path: &Path) -> Result<Store, StoreError> {
    Store::observe(disk.clone(), path)
}

/// The path where it was recorded, if that is a place of this host.
fn recorded(disk: &Arc<dyn Disk>, id: &str, local_path: &str) -> Result<Store, String> {
    if local_path.is_empty() {
        return Err("no place is recorded for it".to_owned());
    }
    match observe(disk, Path::new(local_path)) {
        Ok(store) if store.id().as_str() == id => Ok(store),
        Ok(store) => Err(format!("path {} lies there; say with --path where this one is", store.id())),
        Err(error) => Err(format!("not here: {error}")),
    }
}

fn what_lies_there(store: Store) -> Result<Looked, StoreError> {
    let path = store.layout().root().to_owned();
    let (seen, strays) = (store.seen()?, store.strays()?);
    Ok(Looked { store, path, seen, strays })
}
