//! Where everything lies below a path.
//!
//! Lotus's: `<path>/<kind>/s-t0<miner>-<number>` and `sectorstore.json`. Ours, all of it below `<path>/.sp/`:
//! `manifests/<kind>/<sector>.head` and `<sector>.<root>.list`, `work/<attempt>/<kind>/<sector>`, `journal/<attempt>.json`
//! and the kind `vanilla/`. Paths are computed from typed ids only, never from a text that came over the wire.

use std::path::{Path, PathBuf};

use sp_types::{AttemptId, FileKind, SectorId};

/// The paths below one store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Of the store at this directory.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory of the store.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `sectorstore.json`.
    pub fn meta(&self) -> PathBuf {
        self.root.join("sectorstore.json")
    }

    /// The directory that holds the replicas of a kind.
    pub fn kind_dir(&self, kind: FileKind) -> PathBuf {
        match kind {
            FileKind::Vanilla => self.own().join(kind.name()),
            _ => self.root.join(kind.name()),
        }
    }

    /// A replica: a file, or a directory for the kinds that are one.
    pub fn replica(&self, sector: SectorId, kind: FileKind) -> PathBuf {
        self.kind_dir(kind).join(sector.to_string())
    }

    /// The directory of the manifests of a kind.
    pub fn manifest_dir(&self, kind: FileKind) -> PathBuf {
        self.own().join("manifests").join(kind.name())
    }

    /// The head of a replica's manifest.
    pub fn head(&self, sector: SectorId, kind: FileKind) -> PathBuf {
        self.manifest_dir(kind).join(format!("{sector}.head"))
    }

    /// The list of files and chunk digests that belongs to a root.
    pub fn list(&self, sector: SectorId, kind: FileKind, root: &[u8; 32]) -> PathBuf {
        self.manifest_dir(kind).join(format!("{sector}.{}.list", hex::encode(root)))
    }

    /// Below it every attempt has a directory.
    pub fn work_dir(&self) -> PathBuf {
        self.own().join("work")
    }

    /// The directory of one attempt.
    pub fn work(&self, attempt: AttemptId) -> PathBuf {
        self.work_dir().join(attempt.to_string())
    }

    /// Below it is a file for every attempt that says which worker it belongs to.
    pub fn owners_dir(&self) -> PathBuf {
        self.own().join("owners")
    }

    /// The worker that an attempt belongs to.
    pub fn owner(&self, attempt: AttemptId) -> PathBuf {
        self.owners_dir().join(attempt.to_string())
    }

    /// A replica in the making.
    pub fn work_replica(&self, attempt: AttemptId, sector: SectorId, kind: FileKind) -> PathBuf {
        self.work(attempt).join(kind.name()).join(sector.to_string())
    }

    /// Where an attempt keeps a replica that its own has replaced, until its result counts; beside it its manifest.
    pub fn replaced(&self, attempt: AttemptId, sector: SectorId, kind: FileKind) -> PathBuf {
        self.replaced_dir(attempt).join(format!("{kind}-{sector}"))
    }

    /// The directory of those.
    pub fn replaced_dir(&self, attempt: AttemptId) -> PathBuf {
        self.work(attempt).join("replaced")
    }

    /// Where a deleted replica goes before its blocks are freed.
    pub fn trash(&self, sector: SectorId, kind: FileKind) -> PathBuf {
        self.work_dir().join(format!("trash-{kind}-{sector}"))
    }

    /// The directory of the publish journal.
    pub fn journal_dir(&self) -> PathBuf {
        self.own().join("journal")
    }

    /// The journal record of an attempt's publish.
    pub fn journal(&self, attempt: AttemptId) -> PathBuf {
        self.journal_dir().join(format!("{attempt}.json"))
    }

    /// A file that this worker makes and removes to see whether the path can be written.
    pub fn probe(&self, owner: &str) -> PathBuf {
        self.own().join(format!("probe-{owner}"))
    }

    /// What processes lock that have the path open.
    pub fn lock(&self) -> PathBuf {
        self.own().join("lock")
    }

    /// Every directory that a store has.
    pub fn directories(&self) -> Vec<PathBuf> {
        let kinds = FileKind::ALL.into_iter().flat_map(|k| [self.kind_dir(k), self.manifest_dir(k)]);
        kinds.chain([self.work_dir(), self.owners_dir(), self.journal_dir()]).collect()
    }

    fn own(&self) -> PathBuf {
        self.root.join(".sp")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lotus_names_and_ours_stay_below_dot_sp() {
        let (layout, sector) = (Layout::new("/p"), SectorId { miner: 1000, number: 7 });
        let expected = [
            (FileKind::Unsealed, "/p/unsealed/s-t01000-7"),
            (FileKind::Sealed, "/p/sealed/s-t01000-7"),
            (FileKind::Cache, "/p/cache/s-t01000-7"),
            (FileKind::Update, "/p/update/s-t01000-7"),
            (FileKind::UpdateCache, "/p/update-cache/s-t01000-7"),
            (FileKind::Piece, "/p/piece/s-t01000-7"),
            (FileKind::Vanilla, "/p/.sp/vanilla/s-t01000-7"),
        ];
        for (kind, path) in expected {
            assert_eq!(layout.replica(sector, kind), Path::new(path));
            let attempt = "12.3".parse().unwrap();
            let ours = [
                layout.head(sector, kind),
                layout.list(sector, kind, &[1; 32]),
                layout.work_replica(attempt, sector, kind),
                layout.trash(sector, kind),
                layout.journal(attempt),
            ];
            assert!(ours.iter().all(|p| p.starts_with("/p/.sp")), "{ours:?}");
        }
    }
}
