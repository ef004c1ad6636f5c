//! Brings everything that a task reads to where its executor can read it, and makes room for what it writes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use futures_util::FutureExt;
use futures_util::future::try_join_all;
use sp_proto::v1;
use sp_sectors::{CopyMode, Disk, Store, WorkDir, remove_any};
use sp_types::{ErrorCode, FileKind, SectorId, Soundness, TaskKind};

use super::request::text;
use super::{Attempt, fetch};
use crate::assignment::{Input, Source};
use crate::failure::Failure;
use crate::node::Node;

/// Name of an upload in the work directory.
const UPLOAD: &str = "upload";

/// Name of the directory for what a stage keeps only while it runs.
const SCRATCH: &str = "scratch";

/// Where the files of a running task lie.
#[derive(Debug, Default)]
pub(super) struct Files {
    inputs: BTreeMap<FileKind, PathBuf>,
    outputs: BTreeMap<FileKind, PathBuf>,
    work_root: Option<PathBuf>,
    pub(super) upload: Option<PathBuf>,
}

impl Files {
    pub(super) fn inputs(&self) -> impl Iterator<Item = &PathBuf> {
        self.inputs.values()
    }

    pub(super) fn input(&self, kind: FileKind) -> Result<String, Failure> {
        let missing = || Failure::new(ErrorCode::BadRequest, format!("the assignment names no {kind} input"));
        text(self.inputs.get(&kind).ok_or_else(missing)?)
    }

    pub(super) fn output(&self, kind: FileKind) -> Result<String, Failure> {
        let missing = || Failure::new(ErrorCode::BadRequest, format!("the assignment names no {kind} output"));
        text(self.outputs.get(&kind).ok_or_else(missing)?)
    }

    pub(super) fn scratch(&self) -> Result<String, Failure> {
        let missing = || Failure::new(ErrorCode::BadRequest, "the assignment names no output");
        text(&self.work_root.as_ref().ok_or_else(missing)?.join(SCRATCH))
    }
}

/// Where an upload for this attempt lies: in the work directory of its first output. Blocks.
pub(crate) fn upload_path(store: &Store, attempt: sp_types::AttemptId) -> PathBuf {
    store.layout().work(attempt).join(UPLOAD)
}

/// Does everything that comes before the executor.
pub(super) async fn prepare(node: &Node, attempt: &Attempt) -> Result<Files, Failure> {
    let assignment = &attempt.assignment;
    attempt.set_phase(v1::AttemptPhase::Preparing, "brings its inputs");
    let mut files = Files::default();
    let mut works: BTreeMap<FileKind, WorkDir> = BTreeMap::new();
    for output in &assignment.outputs {
        let store = node.stores.get(&output.store)?;
        let id = assignment.attempt;
        let work = node.env.blocking(move || store.work(id)).await?;
        files.outputs.insert(output.kind, work.path(assignment.sector, output.kind));
        files.work_root.get_or_insert_with(|| work.root());
        works.insert(output.kind, work);
    }
    clear_leftovers(node, attempt, &files).await?;
    // Boxed: the compiler cannot see that such a future is Send for every lifetime.
    // FUS looks for what it reads itself: nothing of it is to be copied or fetched but what it keeps.
    let brings = assignment.inputs.iter().filter(|_| assignment.task != TaskKind::FinalizeUnsealed);
    let bring: Vec<_> = brings.map(|input| bring(node, attempt, input, &works).boxed()).collect();
    for (kind, path) in try_join_all(bring).await? {
        files.inputs.insert(kind, path);
    }
    if let Some(upload) = &attempt.upload {
        attempt.set_phase(v1::AttemptPhase::Waiting, "waits for the piece to be uploaded");
        attempt.unless_stopped(upload.completed().map(Ok)).await?;
        files.upload = Some(upload.path().clone());
    }
    Ok(files)
}

/// What an earlier run of this attempt left behind must not be taken for an output. In-place outputs are not touched:
/// whatever brings them checks what is there. Nor are those of PC1, which is hours of work: its executor goes on with the
/// layers that it finds sound, and clears what it cannot go on with.
async fn clear_leftovers(node: &Node, attempt: &Attempt, files: &Files) -> Result<(), Failure> {
    let goes_on = attempt.assignment.task == TaskKind::PreCommit1;
    let in_place = |kind: &FileKind| attempt.assignment.inputs.iter().any(|input| input.kind == *kind);
    let stays = |kind: &FileKind| goes_on || in_place(kind);
    let made = files.outputs.iter().filter(|(kind, _)| !stays(kind)).map(|(_, path)| path.clone());
    let scratch = files.work_root.as_ref().map(|root| root.join(SCRATCH));
    let paths: Vec<PathBuf> = made.chain(scratch).collect();
    let disk = node.disk.clone();
    node.env.blocking(move || paths.iter().try_for_each(|path| remove(&*disk, path))).await
}

fn remove(disk: &dyn Disk, path: &Path) -> Result<(), Failure> {
    remove_any(disk, path)
        .map_err(|e| Failure::new(ErrorCode::Internal, format!("cannot remove {}: {e}", path.display())))
}

/// Brings one input: used where it lies if the task only reads it and it is here, else copied or fetched.
async fn bring(
    node: &Node,
    attempt: &Attempt,
    input: &Input,
    works: &BTreeMap<FileKind, WorkDir>,
) -> Result<(FileKind, PathBuf), Failure> {
    let (kind, sector) = (input.kind, input.sector);
    let changed = sector == attempt.assignment.sector && works.contains_key(&kind);
    let local = local(node, input).await;
    if let (false, Some(store)) = (changed, local.first()) {
        attempt.works_on(store.id());
        return Ok((kind, store.replica_path(sector, kind)));
    }
    let work = match works.get(&kind).or_else(|| works.values().next()) {
        Some(work) => work.clone(),
        None => any_work(node, attempt).await?,
    };
    attempt.works_on(work.store().id());
    let same_store = local.iter().any(|store| store.id() == work.store().id());
    let path = match changed && same_store {
        true => take_copy(node, input, work).await?,
        false => fetch::fetch(node, attempt, input, &local, work).await?,
    };
    Ok((kind, path))
}

/// Attached stores that hold exactly the replica that is meant; none with a copy in which a scrub has found a fault, as
/// long as others have one.
pub(super) async fn local(node: &Node, input: &Input) -> Vec<Store> {
    let found = node.stores.find(&node.env, input.sector, &[input.kind]).await;
    let of_it = found.into_iter().filter(|(_, info)| info.id.root == input.root);
    let (faulty, good): (Vec<_>, Vec<_>) =
        of_it.partition(|(_, info)| node.scrubs.soundness(&info.id) == Soundness::Faulty);
    let is_faulty = |source: &Source| faulty.iter().any(|(_, info)| info.id.store == source.store);
    let is_elsewhere = input.sources.iter().any(|source| !is_faulty(source));
    let rest = if good.is_empty() && !is_elsewhere { faulty } else { good };
    rest.into_iter().map(|(store, _)| store).collect()
}

async fn take_copy(node: &Node, input: &Input, work: WorkDir) -> Result<PathBuf, Failure> {
    // Upstream encodes the sealed file in place; in a cache it adds and removes files.
    let mode = if input.kind.is_directory() { CopyMode::Link } else { CopyMode::Copy };
    let replica = replica_id(input.sector, input, work.store());
    Ok(node.env.blocking(move || work.take_copy(&replica, mode)).await?)
}

pub(super) fn replica_id(sector: SectorId, input: &Input, store: &Store) -> sp_types::ReplicaId {
    sp_types::ReplicaId { sector, kind: input.kind, store: store.id().clone(), root: input.root }
}

/// A work directory for a task without outputs: C2 has to put what it fetches somewhere.
async fn any_work(node: &Node, attempt: &Attempt) -> Result<WorkDir, Failure> {
    let store = node.stores.roomiest().ok_or_else(|| {
        let message = "the inputs lie elsewhere and this worker has no store to fetch them to; attach one";
        Failure::new(ErrorCode::NoSpace, message)
    })?;
    let id = attempt.id();
    Ok(node.env.blocking(move || store.work(id)).await?)
}
