//! Looks at a store beside the process that has it: what lies there, and what lies there besides. Changes nothing.
//!
//! Nothing here waits for the other process, so what is under way may be seen half done. Whoever complains looks twice.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sp_types::{AttemptId, FileKind, ReplicaInfo, SectorId};

use super::Store;
use crate::disk::{Disk, Entry};
use crate::error::{Doing, StoreError};

/// Lotus's own place for what is on its way; whatever lies there is Lotus's.
const LOTUS_TEMPORARY: &str = "fetching";

/// A replica as it lies on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What its manifest head says; of a replica without one, its root is zero and its size what lies there.
    pub info: ReplicaInfo,
    /// Bytes that lie at its place; none: only the manifest is there.
    pub there_bytes: Option<u64>,
    /// Why its head cannot be used, if it cannot.
    pub bad_head: Option<String>,
}

/// Something that is no replica and no manifest of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stray {
    /// The work directory of an attempt, or the word whose it is.
    Work(AttemptId, PathBuf),
    /// The record of an attempt's publish.
    Journal(AttemptId, PathBuf),
    /// Of a replica that was being deleted, or of a file that was being written.
    HalfDone(PathBuf),
    /// The list of a manifest that no replica has.
    Manifest(PathBuf),
    /// Nothing that this build puts there.
    Unknown(PathBuf),
}

impl Stray {
    /// Where it lies.
    pub fn path(&self) -> &Path {
        match self {
            Self::Work(_, path) | Self::Journal(_, path) => path,
            Self::HalfDone(path) | Self::Manifest(path) | Self::Unknown(path) => path,
        }
    }
}

impl Store {
    /// Opens a store to look at it, whoever has it open for writing. Nothing in it is touched, now or later.
    pub fn observe(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, StoreError> {
        Self::opened(disk, path, "", true)
    }

    /// Every replica as it lies there, those included of which only the manifest is left, by sector and kind.
    pub fn seen(&self) -> Result<Vec<Seen>, StoreError> {
        let mut seen = Vec::new();
        for info in self.to_scrub()? {
            let (sector, kind) = (info.id.sector, info.id.kind);
            let bad_head = self.head_on_disk(sector, kind).err().map(|error| error.to_string());
            let there_bytes = match self.has_data(sector, kind)? {
                true => self.foreign_bytes(sector, kind).ok(),
                false => None,
            };
            seen.push(Seen { info, there_bytes, bad_head });
        }
        Ok(seen)
    }

    /// Everything else that lies in the directories of Lotus and in ours.
    pub fn strays(&self) -> Result<Vec<Stray>, StoreError> {
        let mut found = Vec::new();
        for kind in FileKind::ALL {
            self.odd_replicas(kind, &mut found)?;
            self.odd_manifests(kind, &mut found)?;
        }
        let layout = self.layout();
        for (dir, suffix) in [(layout.work_dir(), ""), (layout.owners_dir(), ""), (layout.journal_dir(), ".json")] {
            for entry in self.entries(&dir)? {
                let path = dir.join(&entry.name);
                let attempt = entry.name.strip_suffix(suffix).and_then(|name| name.parse().ok());
                found.push(match attempt {
                    Some(attempt) if suffix.is_empty() => Stray::Work(attempt, path),
                    Some(attempt) => Stray::Journal(attempt, path),
                    None if half_done(&entry.name) => Stray::HalfDone(path),
                    None => Stray::Unknown(path),
                });
            }
        }
        self.odd_directories(&mut found)?;
        found.sort();
        Ok(found)
    }

    fn odd_replicas(&self, kind: FileKind, found: &mut Vec<Stray>) -> Result<(), StoreError> {
        let dir = self.layout().kind_dir(kind);
        for Entry { name, is_dir } in self.entries(&dir)? {
            let sector = name.parse::<SectorId>().is_ok() && is_dir == kind.is_directory();
            if !sector && name != LOTUS_TEMPORARY {
                found.push(Stray::Unknown(dir.join(name)));
            }
        }
        Ok(())
    }

    fn odd_manifests(&self, kind: FileKind, found: &mut Vec<Stray>) -> Result<(), StoreError> {
        let dir = self.layout().manifest_dir(kind);
        let mut lists = BTreeSet::new();
        let entries = self.entries(&dir)?;
        for sector in entries.iter().filter_map(|entry| entry.name.strip_suffix(".head")?.parse::<SectorId>().ok()) {
            // One that cannot be read is told with its replica.
            if let Ok(Some(head)) = self.head(sector, kind) {
                lists.insert(self.layout().list(sector, kind, &head.root));
            }
        }
        for Entry { name, .. } in entries {
            let path = dir.join(&name);
            let is_head = name.strip_suffix(".head").is_some_and(|sector| sector.parse::<SectorId>().is_ok());
            if is_head || lists.contains(&path) {
                continue;
            }
            found.push(match name.ends_with(".list") {
                true => Stray::Manifest(path),
                false if half_done(&name) => Stray::HalfDone(path),
                false => Stray::Unknown(path),
            });
        }
        Ok(())
    }

    /// What lies directly in our directory, and is none of those that a store has.
    fn odd_directories(&self, found: &mut Vec<Stray>) -> Result<(), StoreError> {
        let (layout, directories) = (self.layout(), self.layout().directories());
        let Some(own) = layout.work_dir().parent().map(Path::to_owned) else { return Ok(()) };
        for Entry { name, .. } in self.entries(&own)? {
            let is_probe = name.starts_with("probe-");
            let path = own.join(name);
            let known = directories.iter().any(|dir| dir.starts_with(&path));
            if !known && !is_probe && path != layout.lock() {
                found.push(Stray::Unknown(path));
            }
        }
        Ok(())
    }

    /// A directory that is not there holds nothing.
    fn entries(&self, dir: &Path) -> Result<Vec<Entry>, StoreError> {
        match self.disk().list(dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(vec![]),
            other => other.doing("list", dir),
        }
    }
}

fn half_done(name: &str) -> bool {
    name.starts_with("trash-") || name.ends_with(".tmp")
}
