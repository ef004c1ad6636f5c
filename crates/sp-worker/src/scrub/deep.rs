//! The deeper pass over one replica: an executor child computes its commitment and compares it. The cores are its limit,
//! not the disk: it is not paced.

use std::path::PathBuf;
use std::time::Duration;

use sp_proto::v1::exec_request::Op;
use sp_proto::v1::{self, ExecCheckData, ExecCheckReplica, ExecRequest, ScrubCheck, ScrubOutcome};
use sp_sectors::{Store, StoreError, exists};
use sp_types::{ErrorCode, FileKind, ReplicaInfo};

use super::run::{Halt, Pass};
use crate::attempt::text;
use crate::executor::{ExecError, Job, Role};
use crate::failure::Failure;

/// However slow the cores are and however busy.
const LIMIT: Duration = Duration::from_secs(24 * 3600);

/// None: there is nothing to compute of this kind, or it is not there any more.
pub(super) async fn check(pass: &Pass<'_>, store: &Store, info: &ReplicaInfo) -> Result<Option<v1::ScrubResult>, Halt> {
    let result = |outcome, reason| Some(pass.result(info, ScrubCheck::Commitment, outcome, reason));
    let op = match operation(pass, store, info).await? {
        Ok(Some(op)) => op,
        Ok(None) => return Ok(None),
        Err((outcome, why)) => return Ok(result(outcome, why)),
    };
    let sector = info.id.sector;
    let (miner, number) = (sector.miner, sector.number);
    let request = ExecRequest { request: 0, attempt: None, seal_proof: 0, miner, sector: number, op: Some(op) };
    let job = Job { role: Role::Task, request, limit: LIMIT, cancel: pass.stop.clone(), gpus: vec![] };
    let failure = match pass.node.executor.run(job).await {
        Ok(_) => return Ok(result(ScrubOutcome::Sound, String::new())),
        Err(ExecError::Cancelled) => return Err(Halt::Stopped),
        Err(error) => Failure::from(error),
    };
    // Another one may have taken its place.
    let (found, id) = (store.clone(), info.id.clone());
    let now = pass.unless_stopped(pass.read(move || found.find(id.sector, id.kind))).await??;
    if now.is_none_or(|now| info.id.root != [0; 32] && now.id.root != info.id.root) {
        return Ok(None);
    }
    let outcome = match failure.code {
        ErrorCode::DigestMismatch => ScrubOutcome::Faulty,
        _ => ScrubOutcome::Skipped,
    };
    Ok(result(outcome, failure.message))
}

/// What there is to compute; the outcome and its reason where that is known already.
type Operation = Result<Option<Op>, (ScrubOutcome, String)>;

/// What is to be computed; none of this kind, or why it cannot be.
async fn operation(pass: &Pass<'_>, store: &Store, info: &ReplicaInfo) -> Result<Operation, Halt> {
    let skipped = |why: &str| Ok(Err((ScrubOutcome::Skipped, why.to_owned())));
    let known = pass.scrub.state().commitments.get(&info.id.sector).cloned().unwrap_or_default();
    let path = store.replica_path(info.id.sector, info.id.kind);
    let cache_kind = match info.id.kind {
        FileKind::Unsealed if known.comm_d.is_empty() => {
            return skipped("the scheduler knows no commitment of its data");
        }
        FileKind::Unsealed => return of_data(pass, store, info, known.comm_d).await,
        FileKind::Sealed => FileKind::Cache,
        FileKind::Update => FileKind::UpdateCache,
        FileKind::Cache | FileKind::UpdateCache | FileKind::Piece | FileKind::Vanilla => return Ok(Ok(None)),
    };
    let Some(cache) = cache_of(pass, store, info, cache_kind).await? else {
        return skipped("its cache with a p_aux is on no path of this worker, or it is not sealed yet");
    };
    let named = text(&path).and_then(|sealed| Ok((sealed, text(&cache)?))).map_err(not_named);
    let comm_r = known.comm_r;
    Ok(named.map(|(sealed, cache)| Some(Op::CheckReplica(ExecCheckReplica { sealed, cache, comm_r }))))
}

/// The commitment is that of all the data: a file that holds a part of it is well if its digests are.
async fn of_data(pass: &Pass<'_>, store: &Store, info: &ReplicaInfo, comm_d: Vec<Vec<u8>>) -> Result<Operation, Halt> {
    let (looking, sector) = (store.clone(), info.id.sector);
    let look = move || match looking.find(sector, FileKind::Unsealed)? {
        Some(now) => looking.open_file(&now.id, "")?.filled().map(Some),
        None => Ok(None),
    };
    let filled = match pass.unless_stopped(pass.read(look)).await? {
        Ok(Some(filled)) => filled,
        Ok(None) => return Ok(Ok(None)),
        Err(error @ StoreError::Damaged { .. }) => return Ok(Err((ScrubOutcome::Faulty, error.to_string()))),
        Err(error) => return Err(error.into()),
    };
    if !filled.is_whole() {
        return Ok(Err((ScrubOutcome::Skipped, "partial: comm_d not checked".to_owned())));
    }
    let named = text(&store.replica_path(sector, FileKind::Unsealed)).map_err(not_named);
    let data_bytes = filled.data_bytes();
    Ok(named.map(|unsealed| Some(Op::CheckData(ExecCheckData { unsealed, comm_d, data_bytes }))))
}

fn not_named(failure: Failure) -> (ScrubOutcome, String) {
    (ScrubOutcome::Skipped, failure.message)
}

/// The cache directory that belongs to a replica; one without a `p_aux` is of a sector that is being sealed.
async fn cache_of(pass: &Pass<'_>, store: &Store, info: &ReplicaInfo, kind: FileKind) -> Result<Option<PathBuf>, Halt> {
    let (stores, disk, sector) = (pass.node.stores.clone(), pass.node.disk.clone(), info.id.sector);
    let own = store.replica_path(sector, kind);
    let look = move || {
        let sealed = |cache: &PathBuf| exists(&*disk, &cache.join("p_aux")).unwrap_or(false);
        // Other paths are asked only if it has to be: one of them may hang.
        let others =
            || stores.find_blocking(sector, kind).into_iter().map(|(store, _)| store.replica_path(sector, kind));
        Some(own).filter(sealed).or_else(|| others().find(sealed))
    };
    pass.unless_stopped(pass.read(look)).await
}
