//! The publish journal: once a record is durable, the publish happens, whatever crashes; before, nothing is visible.
//!
//! A record names, for each output, the identity of what is to stand at its place. That makes every step repeatable:
//! whatever stands there already with this identity is done, and what then lies in the work directory is the old one.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sp_env::{CrashPoint, crash_point};
use sp_types::{AttemptId, FileKind, SectorId};

use super::Store;
use crate::disk::{Metadata, exists, make_dirs, read_all, remove_any, write_whole};
use crate::error::{Doing, StoreError};

const VERSION: u32 = 1;
const RECORD_BYTES_MAX: u64 = 1 << 20;

/// One publish: all of its outputs or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    attempt: String,
    outputs: Vec<Row>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    sector: String,
    kind: String,
    /// `Metadata::id` of the new file or directory.
    id: u64,
    root: String,
    /// Root of the replica that stood there with a manifest.
    replaces: Option<String>,
}

/// One output, parsed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Switch {
    pub(super) sector: SectorId,
    pub(super) kind: FileKind,
    pub(super) id: u64,
    pub(super) root: [u8; 32],
    pub(super) replaces: Option<[u8; 32]>,
}

impl Record {
    pub(super) fn new(attempt: AttemptId, switches: &[Switch]) -> Self {
        let row = |s: &Switch| Row {
            sector: s.sector.to_string(),
            kind: s.kind.name().to_owned(),
            id: s.id,
            root: hex::encode(s.root),
            replaces: s.replaces.map(hex::encode),
        };
        Self { version: VERSION, attempt: attempt.to_string(), outputs: switches.iter().map(row).collect() }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain structs always serialise")
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<(AttemptId, Vec<Switch>), String> {
        let record: Self = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        if record.version != VERSION {
            return Err(format!("version {} is newer than this build", record.version));
        }
        let attempt = record.attempt.parse().map_err(|_| "attempt".to_owned())?;
        let switch = |row: &Row| {
            Some(Switch {
                sector: row.sector.parse().ok()?,
                kind: row.kind.parse().ok()?,
                id: row.id,
                root: root(&row.root)?,
                replaces: match &row.replaces {
                    Some(text) => Some(root(text)?),
                    None => None,
                },
            })
        };
        let switches =
            record.outputs.iter().map(switch).collect::<Option<_>>().ok_or_else(|| "an output".to_owned())?;
        Ok((attempt, switches))
    }
}

fn root(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

impl Store {
    /// Makes a publish certain.
    pub(super) fn write_record(&self, attempt: AttemptId, switches: &[Switch]) -> Result<(), StoreError> {
        let path = self.layout().journal(attempt);
        write_whole(self.disk(), &path, &Record::new(attempt, switches).encode()).doing("write", &path)?;
        crash_point(CrashPoint::WorkerPublishRecorded);
        Ok(())
    }

    /// Carries out every record in the journal. The switch lock is held.
    pub(super) fn settle(&self) -> Result<(), StoreError> {
        let dir = self.layout().journal_dir();
        // What is seen here may be the work of a process that died before it was durable: a record must not vanish
        // while it is carried out, nor come back after its work directory is gone.
        self.disk().sync_dir(&dir).doing("sync", &dir)?;
        for entry in self.disk().list(&dir).doing("list", &dir)? {
            let path = dir.join(&entry.name);
            // A record that was not finished was never certain.
            if entry.name.ends_with(".tmp") {
                remove_any(self.disk(), &path).doing("remove", &path)?;
                continue;
            }
            let bytes = read_all(self.disk(), &path, RECORD_BYTES_MAX).doing("read", &path)?;
            let (attempt, switches) =
                Record::decode(&bytes).map_err(|reason| StoreError::Damaged { path: path.clone(), reason })?;
            self.carry_out(attempt, &switches)?;
        }
        Ok(())
    }

    /// Brings every output to its place and removes the record. Every step may have happened before.
    pub(super) fn carry_out(&self, attempt: AttemptId, switches: &[Switch]) -> Result<(), StoreError> {
        for (at, switch) in switches.iter().enumerate() {
            self.switch_data(attempt, switch)?;
            crash_point(CrashPoint::WorkerPublishData);
            self.switch_manifest(attempt, switch)?;
            if at == 0 {
                crash_point(CrashPoint::WorkerMidPublish);
            }
        }
        for switch in switches {
            self.put_old_aside(attempt, switch)?;
        }
        crash_point(CrashPoint::WorkerPublishSwitched);
        let record = self.layout().journal(attempt);
        remove_any(self.disk(), &record).doing("remove", &record)?;
        self.sync_parent(&record)
    }

    fn switch_data(&self, attempt: AttemptId, switch: &Switch) -> Result<(), StoreError> {
        let Switch { sector, kind, id, .. } = *switch;
        let (place, work) = (self.layout().replica(sector, kind), self.layout().work_replica(attempt, sector, kind));
        let there = self.found(&place)?;
        if there.is_some_and(|found| found.id == id) {
            // Done before, perhaps by a process that died before it was durable.
            self.sync_parent(&place)?;
            return self.sync_parent(&work);
        }
        if self.found(&work)?.is_none_or(|found| found.id != id) {
            let path = self.layout().journal(attempt);
            return Err(StoreError::Damaged { path, reason: format!("{kind} of {sector} is neither here nor there") });
        }
        if there.is_some() {
            match self.disk().exchange(&work, &place) {
                Err(e) if e.kind() == std::io::ErrorKind::Unsupported => {
                    // In two steps: readers may see a short gap, the journal closes it after a crash.
                    let aside = aside(&work);
                    remove_any(self.disk(), &aside).doing("remove", &aside)?;
                    self.disk().rename(&place, &aside).doing("rename", &place)?;
                    self.disk().rename(&work, &place).doing("rename", &work)?;
                }
                other => other.doing("exchange", &work)?,
            }
        } else {
            self.disk().rename(&work, &place).doing("rename", &work)?;
        }
        self.sync_parent(&place)?;
        self.sync_parent(&work)
    }

    fn switch_manifest(&self, attempt: AttemptId, switch: &Switch) -> Result<(), StoreError> {
        let Switch { sector, kind, root, replaces, .. } = *switch;
        let (head, list) = (self.layout().head(sector, kind), self.layout().list(sector, kind, &root));
        let (new_head, new_list) = self.new_manifest(attempt, sector, kind);
        let is_due = exists(self.disk(), &new_head).doing("read", &new_head)?;
        if let Some(old) = replaces.filter(|old| *old != root && is_due) {
            self.keep_manifest(attempt, sector, kind, &old)?;
        }
        for (from, to) in [(&new_list, &list), (&new_head, &head)] {
            if exists(self.disk(), from).doing("read", from)? {
                self.disk().replace(from, to).doing("rename", from)?;
            }
            self.sync_parent(to)?;
        }
        self.sync_parent(&new_head)?;
        match replaces.filter(|old| *old != root) {
            Some(old) => {
                let old = self.layout().list(sector, kind, &old);
                remove_any(self.disk(), &old).doing("remove", &old)
            }
            None => Ok(()),
        }
    }

    /// A copy of the manifest of what is about to be replaced. Nothing is lost when it is made twice.
    fn keep_manifest(
        &self,
        attempt: AttemptId,
        sector: SectorId,
        kind: FileKind,
        root: &[u8; 32],
    ) -> Result<(), StoreError> {
        let place = self.layout().replaced(attempt, sector, kind);
        let (head, list) = (self.layout().head(sector, kind), self.layout().list(sector, kind, root));
        let (kept_head, kept_list) = kept_manifest(&place);
        // The first one that was replaced is the one to go back to.
        if self.found(&place)?.is_some() || self.found(&list)?.is_none() {
            return Ok(());
        }
        let dir = self.layout().replaced_dir(attempt);
        make_dirs(self.disk(), &dir).doing("create", &dir)?;
        for (from, to) in [(&list, &kept_list), (&head, &kept_head)] {
            remove_any(self.disk(), to).doing("remove", to)?;
            self.disk().copy(from, to).doing("copy", from)?;
            self.disk().open(to).and_then(|file| file.sync()).doing("sync", to)?;
        }
        self.disk().sync_dir(&dir).doing("sync", &dir)
    }

    /// After the switch, what is left in the work directory is the replica of before. It is kept until the attempt's
    /// result counts, if it has a manifest and the attempt has replaced nothing there before.
    fn put_old_aside(&self, attempt: AttemptId, switch: &Switch) -> Result<(), StoreError> {
        let Switch { sector, kind, replaces, root, .. } = *switch;
        let work = self.layout().work_replica(attempt, sector, kind);
        let kept = self.layout().replaced(attempt, sector, kind);
        let keeps = replaces.is_some_and(|old| old != root) && self.found(&kept)?.is_none();
        for path in [&aside(&work), &work] {
            match self.found(path)? {
                Some(_) if keeps && self.found(&kept_manifest(&kept).0)?.is_some() && self.found(&kept)?.is_none() => {
                    self.disk().rename(path, &kept).doing("rename", path)?;
                    self.sync_parent(&kept)?;
                }
                _ => remove_any(self.disk(), path).doing("remove", path)?,
            }
        }
        // Durable before the record goes: else it could come back and be taken for a new output of the attempt.
        self.sync_parent(&work)
    }

    /// Where a publish keeps the manifest of an output until the switch.
    pub(super) fn new_manifest(&self, attempt: AttemptId, sector: SectorId, kind: FileKind) -> (PathBuf, PathBuf) {
        let base = self.manifests_of(attempt);
        (base.join(format!("{kind}-{sector}.head")), base.join(format!("{kind}-{sector}.list")))
    }

    pub(super) fn manifests_of(&self, attempt: AttemptId) -> PathBuf {
        self.layout().work(attempt).join("manifests")
    }

    pub(super) fn found(&self, path: &Path) -> Result<Option<Metadata>, StoreError> {
        match self.disk().metadata(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some).doing("read", path),
        }
    }

    pub(super) fn sync_parent(&self, path: &Path) -> Result<(), StoreError> {
        match path.parent() {
            Some(parent) => self.disk().sync_dir(parent).doing("sync", parent),
            None => Ok(()),
        }
    }
}

/// Head and list of a replica that was replaced, beside it.
pub(super) fn kept_manifest(kept: &Path) -> (PathBuf, PathBuf) {
    let with = |suffix: &str| {
        let mut name = kept.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    (with(".head"), with(".list"))
}

fn aside(work: &Path) -> PathBuf {
    let mut name = work.as_os_str().to_owned();
    name.push(".old");
    PathBuf::from(name)
}
