//! What there is to scrub in a store, and whether a replica is still the one that was meant.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::io::ErrorKind;

use sp_types::{FileKind, ReplicaId, ReplicaInfo, SectorId, Soundness};

use crate::error::{Doing, StoreError};
use crate::manifest::ManifestHead;
use crate::store::Store;

/// Is the replica still the one that was meant?
pub(super) enum Standing {
    /// With its head; a foreign one has none.
    Here(Option<Box<ManifestHead>>),
    /// Its manifest is here, its data is not.
    Lost,
    /// Another one is here, or none.
    Gone,
    /// What is here cannot be told.
    Unknown(StoreError),
}

impl Store {
    /// What there is to scrub, by sector, then by kind: every replica, those whose manifest cannot be read (their root is
    /// zero then), and those of which only the manifest is left.
    pub fn to_scrub(&self) -> Result<Vec<ReplicaInfo>, StoreError> {
        let _switch = self.switch_read()?;
        let mut found = BTreeMap::new();
        for kind in FileKind::ALL {
            for sector in self.sectors(kind)? {
                found.insert((sector, kind), self.scrub_info(sector, kind));
            }
            for sector in self.headed(kind)? {
                if let Slot::Vacant(slot) = found.entry((sector, kind)) {
                    slot.insert(self.scrub_info(sector, kind));
                }
            }
        }
        Ok(found.into_values().collect())
    }

    fn scrub_info(&self, sector: SectorId, kind: FileKind) -> ReplicaInfo {
        match self.head(sector, kind) {
            Ok(Some(head)) => self.info_of(sector, &head),
            // The scrub says what is wrong with it.
            _ => ReplicaInfo {
                id: self.id_of(sector, kind, [0; 32]),
                size_bytes: self.foreign_bytes(sector, kind).unwrap_or(0),
                primary: self.meta().can_store,
                origin: None,
                soundness: Soundness::Unknown,
            },
        }
    }

    /// The sectors of which there is the head of a manifest of this kind.
    fn headed(&self, kind: FileKind) -> Result<Vec<SectorId>, StoreError> {
        let dir = self.layout().manifest_dir(kind);
        let entries = match self.disk().list(&dir) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(vec![]),
            other => other.doing("list", &dir)?,
        };
        Ok(entries.iter().filter_map(|entry| entry.name.strip_suffix(".head")?.parse().ok()).collect())
    }

    pub(super) fn standing(&self, replica: &ReplicaId) -> Standing {
        match self.check_root(replica) {
            Ok(head) => Standing::Here(head.map(Box::new)),
            Err(StoreError::Missing { .. }) => match self.head(replica.sector, replica.kind) {
                Ok(Some(head)) if head.root == replica.root && !self.half_deleted(replica) => Standing::Lost,
                _ => Standing::Gone,
            },
            Err(StoreError::OtherRoot { .. }) => Standing::Gone,
            Err(error) => Standing::Unknown(error),
        }
    }
    /// A delete has begun that a crash or the disk has stopped; it will be asked for again.
    fn half_deleted(&self, replica: &ReplicaId) -> bool {
        let trash = self.layout().trash(replica.sector, replica.kind);
        matches!(self.found(&trash), Ok(Some(_)))
    }
}
