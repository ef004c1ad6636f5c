//! Deletes a replica: exactly the one that is named.

use sp_env::{CrashPoint, crash_point};
use sp_types::ReplicaId;

use super::Store;
use crate::disk::remove_any;
use crate::error::{Doing, StoreError};

/// What a delete found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// The replica is gone now.
    Removed,
    /// It was not there; nothing was touched. Another replica of the same sector and kind may be.
    NotThere,
}

impl Store {
    /// Deletes this replica, durably. One with another root is another replica: it is not touched.
    pub fn delete(&self, replica: &ReplicaId) -> Result<Deleted, StoreError> {
        self.check_writable()?;
        crash_point(CrashPoint::WorkerBeforeDelete);
        let (sector, kind) = (replica.sector, replica.kind);
        let trash = self.layout().trash(sector, kind);
        {
            let _switch = self.switch_write()?;
            self.settle()?;
            // Data before manifest: a manifest without data is recognised as a leftover, data without a manifest
            // would look like a file of Lotus's.
            let place = self.layout().replica(sector, kind);
            match self.check_root(replica) {
                Ok(_) => {
                    let gone_bytes = self.bytes_at(sector, kind)?;
                    remove_any(self.disk(), &trash).doing("remove", &trash)?;
                    self.disk().rename(&place, &trash).doing("rename", &place)?;
                    self.count(0, gone_bytes);
                }
                // A delete that failed after this step is finished: what it did may not be durable.
                Err(StoreError::Missing { .. }) if self.was_half_deleted(replica)? => {}
                Err(StoreError::Missing { .. } | StoreError::OtherRoot { .. }) => return Ok(Deleted::NotThere),
                Err(e) => return Err(e),
            }
            self.sync_parent(&place)?;
            crash_point(CrashPoint::WorkerDeleteAside);
            for path in [self.layout().head(sector, kind), self.layout().list(sector, kind, &replica.root)] {
                remove_any(self.disk(), &path).doing("remove", &path)?;
            }
            self.sync_parent(&self.layout().head(sector, kind))?;
        }
        crash_point(CrashPoint::WorkerDeleteTrash);
        remove_any(self.disk(), &trash).doing("remove", &trash)?;
        crash_point(CrashPoint::WorkerAfterDelete);
        Ok(Deleted::Removed)
    }

    /// Its data is gone from its place, and something of it is still there.
    fn was_half_deleted(&self, replica: &ReplicaId) -> Result<bool, StoreError> {
        let (sector, kind) = (replica.sector, replica.kind);
        let manifest = self.head(sector, kind)?.is_some_and(|head| head.root == replica.root);
        let trash = self.found(&self.layout().trash(sector, kind))?.is_some();
        Ok(replica.store == *self.id() && (manifest || trash))
    }
}
