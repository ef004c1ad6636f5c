//! Publish: what an attempt made in its work directory takes its place in the store, all of it or nothing.

use std::sync::atomic::Ordering;

use sp_env::{CrashPoint, crash_point};
use sp_types::{AttemptId, FileKind, Origin, ReplicaInfo, SectorId};

use super::journal::Switch;
use super::{Store, WorkDir};
use crate::disk::{make_dirs, write_whole};
use crate::error::{Doing, StoreError};
use crate::manifest::{Manifest, ManifestHead};

/// One output of an attempt.
#[derive(Debug, Clone)]
pub struct Output {
    /// Whose.
    pub sector: SectorId,
    /// Which file.
    pub kind: FileKind,
    /// The copy that counts, or a copy for a task.
    pub primary: bool,
    /// Which of the sectors that have had the number it is for; none: not known.
    pub origin: Option<Origin>,
    /// Its manifest, if its bytes have been checked against it just now (a fetch); none: it is digested.
    pub manifest: Option<Manifest>,
}

impl Output {
    /// A primary replica that an attempt has made, of no known origin.
    pub fn made(sector: SectorId, kind: FileKind) -> Self {
        Self { sector, kind, primary: true, origin: None, manifest: None }
    }

    fn head(&self, manifest: &Manifest, attempt: AttemptId) -> ManifestHead {
        ManifestHead { made_by: Some(attempt), origin: self.origin, ..ManifestHead::of(manifest, self.primary) }
    }
}

impl Store {
    /// Publishes primary replicas that the attempt has made; see [`Store::publish_outputs`].
    pub fn publish(
        &self,
        attempt: AttemptId,
        outputs: &[(SectorId, FileKind)],
    ) -> Result<Vec<ReplicaInfo>, StoreError> {
        let outputs: Vec<_> = outputs.iter().map(|&(sector, kind)| Output::made(sector, kind)).collect();
        self.publish_outputs(attempt, &outputs)
    }

    /// Moves outputs from the attempt's work directory to their places, with manifests, all of them or none, durable
    /// when it returns. An older replica of the same sector and kind is replaced in one step, and kept in the work directory
    /// until that is discarded: [`Store::restore`] brings it back.
    ///
    /// May be called again after a crash or an error: what the attempt has published already is left as it is.
    pub fn publish_outputs(&self, attempt: AttemptId, outputs: &[Output]) -> Result<Vec<ReplicaInfo>, StoreError> {
        self.check_writable()?;
        crash_point(CrashPoint::WorkerBeforePublish);
        {
            let _switch = self.switch_write()?;
            self.settle()?;
        }
        let filters = self.meta().filters();
        let work = WorkDir::existing(self, attempt);
        let (mut infos, mut ready) = (Vec::new(), Vec::new());
        for output in outputs {
            let Output { sector, kind, .. } = *output;
            if self.found(&work.path(sector, kind))?.is_none() {
                infos.push(self.published_before(attempt, sector, kind)?);
                continue;
            }
            if let Some(reason) = filters.refusal(sector.miner, kind) {
                return Err(StoreError::Filtered { sector, kind, reason });
            }
            self.check_place(output)?;
            let manifest = self.save_output(&work, output)?;
            infos.push(self.info_of(sector, &output.head(&manifest, attempt)));
            ready.push((output, manifest));
        }
        if !ready.is_empty() {
            self.sync_parent(&self.layout().work(attempt))?;
            self.switch(attempt, &ready)?;
        }
        crash_point(CrashPoint::WorkerAfterPublish);
        Ok(infos)
    }

    /// What was made for another sector of this number may be all that is left of it.
    fn check_place(&self, output: &Output) -> Result<(), StoreError> {
        let Output { sector, kind, .. } = *output;
        match self.head(sector, kind)?.and_then(|head| head.origin) {
            Some(origin) if output.origin != Some(origin) => Err(StoreError::OfAnother { sector, kind }),
            _ => Ok(()),
        }
    }

    fn switch(&self, attempt: AttemptId, ready: &[(&Output, Manifest)]) -> Result<(), StoreError> {
        let _switch = self.switch_write()?;
        // Another publish may have failed half-way since.
        self.settle()?;
        let (mut switches, mut came_bytes, mut gone_bytes) = (Vec::new(), 0, 0);
        for (output, manifest) in ready {
            self.check_place(output)?;
            let Output { sector, kind, .. } = **output;
            let work = self.layout().work_replica(attempt, sector, kind);
            let id = self.disk().metadata(&work).doing("read", &work)?.id;
            let replaces = self.head(sector, kind)?.map(|head| head.root);
            switches.push(Switch { sector, kind, id, root: manifest.root(), replaces });
            came_bytes += manifest.size_bytes();
            gone_bytes += self.bytes_at(sector, kind)?;
        }
        let done = self.write_record(attempt, &switches).and_then(|()| self.carry_out(attempt, &switches));
        match done {
            Ok(()) => self.count(came_bytes, gone_bytes),
            Err(_) => self.list_anew(),
        }
        done
    }

    /// What has been published is not going to be named by who published it.
    pub fn list_anew(&self) {
        self.0.late.store(true, Ordering::SeqCst);
    }

    /// Finishes publishes that have failed half-way. True: something may have come to its place since the last call that
    /// no publish has named, so whoever lists the replicas has to list them anew.
    pub fn settle_late(&self) -> Result<bool, StoreError> {
        if !self.0.late.load(Ordering::SeqCst) {
            return Ok(false);
        }
        let _switch = self.switch_write()?;
        self.settle()?;
        self.0.late.store(false, Ordering::SeqCst);
        Ok(true)
    }

    /// Digests an output and makes it and its manifest durable in the work directory.
    fn save_output(&self, work: &WorkDir, output: &Output) -> Result<Manifest, StoreError> {
        let (sector, kind) = (output.sector, output.kind);
        let path = work.path(sector, kind);
        let manifest = match &output.manifest {
            Some(known) => known.clone(),
            None => Manifest::of_path(self.disk(), kind, &path)?,
        };
        for file in manifest.files() {
            let file = if file.name.is_empty() { path.clone() } else { path.join(&file.name) };
            self.disk().open(&file).and_then(|f| f.sync()).doing("sync", &file)?;
        }
        if kind.is_directory() {
            self.disk().sync_dir(&path).doing("sync", &path)?;
        }
        self.sync_parent(&path)?;
        let (head, list) = self.new_manifest(work.attempt(), sector, kind);
        let head_bytes = output.head(&manifest, work.attempt()).encode();
        for (path, bytes) in [(&list, manifest.encode_list()), (&head, head_bytes)] {
            if let Some(dir) = path.parent() {
                make_dirs(self.disk(), dir).doing("create", dir)?;
            }
            write_whole(self.disk(), path, &bytes).doing("write", path)?;
        }
        self.sync_parent(&self.layout().work(work.attempt()).join(kind.name()))?;
        Ok(manifest)
    }

    /// An output that is no longer in the work directory counts if this attempt's replica stands at its place.
    fn published_before(
        &self,
        attempt: AttemptId,
        sector: SectorId,
        kind: FileKind,
    ) -> Result<ReplicaInfo, StoreError> {
        match self.head(sector, kind)? {
            Some(head) if head.made_by == Some(attempt) && self.has_data(sector, kind)? => {
                Ok(self.info_of(sector, &head))
            }
            _ => Err(StoreError::NoOutput { sector, kind }),
        }
    }
}
