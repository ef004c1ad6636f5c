//! The scrubs of a worker, and their records: `<data-dir>/scrubs/<store>`, one file for each store.
//!
//! A record is written whole every few seconds, with every fault, and at the end. One that is lost costs the time of
//! reading again, and one that cannot be read is made anew.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use prost::Message;
use sp_env::{CrashPoint, crash_point};
use sp_proto::v1;
use sp_sectors::{Disk, make_dirs, read_all, write_whole};
use sp_types::{ReplicaId, Soundness};

use super::state::StoreScrub;
use crate::node::Node;

/// Directory in the data directory.
const DIRECTORY: &str = "scrubs";

/// Longest record: all results that are kept of a store, and what its sectors must come to.
const RECORD_BYTES_MAX: u64 = 64 << 20;

/// The scrub of every store that has ever had one.
pub(crate) struct Scrubs {
    dir: PathBuf,
    list: Mutex<BTreeMap<String, Arc<StoreScrub>>>,
}

impl Scrubs {
    /// Reads the records. Blocks.
    pub(crate) fn read(disk: &dyn Disk, data_dir: &Path) -> Self {
        let dir = data_dir.join(DIRECTORY);
        let list = read_records(disk, &dir).unwrap_or_else(|error| {
            tracing::warn!(dir = %dir.display(), %error, "what scrubs have found cannot be read; they begin anew");
            BTreeMap::new()
        });
        Self { dir, list: Mutex::new(list) }
    }

    /// The scrub of a store; made when there was none.
    pub(super) fn of(&self, store: &str) -> Arc<StoreScrub> {
        let new = || Arc::new(StoreScrub::new(store.to_owned(), self.dir.join(store)));
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.entry(store.to_owned()).or_insert_with(new).clone()
    }

    /// The scrub of a store that has had one.
    pub(super) fn known(&self, store: &str) -> Option<Arc<StoreScrub>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).get(store).cloned()
    }

    /// What the last scrub of its store has found in a replica.
    pub(crate) fn soundness(&self, replica: &ReplicaId) -> Soundness {
        let scrub = self.known(replica.store.as_str());
        scrub.map_or(Soundness::Unknown, |scrub| scrub.state().soundness(replica))
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<StoreScrub>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

fn read_records(disk: &dyn Disk, dir: &Path) -> io::Result<BTreeMap<String, Arc<StoreScrub>>> {
    make_dirs(disk, dir)?;
    let mut found = BTreeMap::new();
    for entry in disk.list(dir)? {
        // What a crash has left of writing one.
        if entry.is_dir || entry.name.ends_with(".tmp") {
            continue;
        }
        let path = dir.join(&entry.name);
        let decode = |bytes: Vec<u8>| v1::ScrubRecord::decode(bytes.as_slice()).map_err(io::Error::other);
        match read_all(disk, &path, RECORD_BYTES_MAX).and_then(decode) {
            Ok(record) => {
                let scrub = StoreScrub::new(entry.name.clone(), path);
                scrub.state().restore(record);
                found.insert(entry.name, Arc::new(scrub));
            }
            Err(error) => {
                let path = path.display();
                tracing::warn!(%path, %error, "what a scrub has found cannot be read; it begins anew");
            }
        }
    }
    Ok(found)
}

/// A replica is gone, or another one has taken its place: what was found in it says nothing of what comes there.
pub(crate) async fn forget(node: &Node, replica: &ReplicaId) {
    if let Some(scrub) = node.scrubs.known(replica.store.as_str()) {
        let was_known = scrub.state().forget(replica);
        if was_known {
            save(node, &scrub).await;
        }
    }
}

/// Makes what is known of a scrub durable. A data directory that cannot be written does not stop it.
pub(super) async fn save(node: &Node, scrub: &StoreScrub) {
    let _saving = scrub.saving.lock().await;
    let (disk, path, record) = (node.disk.clone(), scrub.record.clone(), scrub.state().to_record());
    let written = node.env.blocking(move || write_whole(&*disk, &path, &record.encode_to_vec())).await;
    crash_point(CrashPoint::WorkerScrubSaved);
    if let Err(error) = written {
        let path = scrub.record.display();
        tracing::warn!(%path, %error, "what a scrub has found cannot be kept; after a restart it is read again");
    }
}
