//! What the scheduler tells a worker.

use sp_proto::v1;
use sp_proto::v1::{assign::Params, worker_command::Body};
use sp_sched_core::effect::{Assignment, InputFile, TaskParams};
use sp_sched_core::model::OutputSlot;
use sp_types::{
    AttemptId, Commitment, FileKind, GpuShare, Origin, PieceInfo, RegisteredSealProof, SectorSize, SessionId,
};

use super::byte_range;
use super::post::post_sector;

/// The worker is in.
pub(crate) fn registered(
    keep: &[AttemptId],
    lease_ms: u64,
    heartbeat_ms: u64,
    scheduler_session: &SessionId,
) -> v1::WorkerCommand {
    let keep = keep.iter().map(|a| (*a).into()).collect();
    let scheduler_session = scheduler_session.to_string();
    let protocol_minor = sp_proto::PROTOCOL_MINOR;
    command(Body::Registered(v1::Registered { lease_ms, heartbeat_ms, keep, scheduler_session, protocol_minor }))
}

/// A task for it.
pub(crate) fn assign(miner: u64, assignment: Assignment) -> v1::WorkerCommand {
    let Assignment {
        attempt,
        task,
        sector,
        origin,
        seal_proof,
        inputs,
        outputs,
        params,
        time_limit_ms,
        hold,
        gpus,
        group,
    } = assignment;
    command(Body::Assign(v1::Assign {
        attempt: Some(attempt.into()),
        task: v1::TaskKind::from(task) as i32,
        miner,
        sector,
        seal_proof: seal_proof.id(),
        inputs: inputs.into_iter().map(input).collect(),
        outputs: outputs.into_iter().map(output).collect(),
        params: Some(task_params(params, seal_proof.size)),
        time_limit_ms,
        hold,
        gpus: gpus.into_iter().map(Into::into).collect(),
        group: group.into_iter().map(Into::into).collect(),
        origin: origin.map_or(0, Origin::get),
    }))
}

/// Stop this one.
pub(crate) fn cancel(attempt: AttemptId, reason: String) -> v1::WorkerCommand {
    command(Body::Cancel(v1::Cancel { attempt: Some(attempt.into()), reason }))
}

/// Make way.
pub(crate) fn yield_attempt(attempt: AttemptId, reason: String) -> v1::WorkerCommand {
    command(Body::Yield(v1::Yield { attempt: Some(attempt.into()), reason }))
}

/// A held attempt may compute.
pub(crate) fn start(attempt: AttemptId, gpus: Vec<GpuShare>, group: Vec<AttemptId>) -> v1::WorkerCommand {
    let gpus = gpus.into_iter().map(Into::into).collect();
    let group = group.into_iter().map(Into::into).collect();
    command(Body::Start(v1::Start { attempt: Some(attempt.into()), gpus, group }))
}

/// Remove what others have left.
pub(crate) fn sweep_work(attempts: &[AttemptId]) -> v1::WorkerCommand {
    let attempts = attempts.iter().map(|attempt| (*attempt).into()).collect();
    command(Body::SweepWork(v1::SweepWork { attempts }))
}

/// Leave for good.
pub(crate) fn stop() -> v1::WorkerCommand {
    command(Body::Stop(v1::Stop {}))
}

/// Forget this result.
pub(crate) fn result_ack(attempt: AttemptId, refused: bool, counting: Vec<FileKind>) -> v1::WorkerCommand {
    let counting = counting.into_iter().map(|kind| v1::FileKind::from(kind) as i32).collect();
    command(Body::ResultAck(v1::ResultAck { attempt: Some(attempt.into()), refused, counting }))
}

fn command(body: Body) -> v1::WorkerCommand {
    v1::WorkerCommand { body: Some(body) }
}

fn input(file: InputFile) -> v1::Input {
    let InputFile { sector, kind, root, size_bytes, sources } = file;
    let source = |(store, data_url): (sp_types::StoreId, String)| v1::Source { store: store.to_string(), data_url };
    v1::Input {
        kind: v1::FileKind::from(kind) as i32,
        // All zero names a foreign file that nobody has read whole: empty on the wire.
        root: if root == [0; 32] { vec![] } else { root.to_vec() },
        size_bytes,
        sources: sources.into_iter().map(source).collect(),
        sector,
    }
}

fn output(slot: OutputSlot) -> v1::Output {
    let OutputSlot { kind, store, reserved_bytes } = slot;
    v1::Output { kind: v1::FileKind::from(kind) as i32, store: store.to_string(), reserved_bytes }
}

fn task_params(params: TaskParams, size: SectorSize) -> Params {
    match params {
        TaskParams::Pledge => {
            Params::AddPiece(v1::AddPieceParams { padded_bytes: size.bytes(), ..v1::AddPieceParams::default() })
        }
        TaskParams::AddPiece { data_bytes, data_digest, ticket, pieces } => {
            let padded_bytes = pieces.first().map_or(0, |(_, padded_bytes)| *padded_bytes);
            let piece = |(data_bytes, padded_bytes)| v1::PieceToPack { data_bytes, padded_bytes };
            // One piece is said as it always was, so that a worker of the minor before this one packs it, too.
            let pieces = if pieces.len() > 1 { pieces.into_iter().map(piece).collect() } else { vec![] };
            let data_digest = data_digest.to_vec();
            Params::AddPiece(v1::AddPieceParams { data_bytes, data_digest, ticket, padded_bytes, pieces })
        }
        TaskParams::DataCid { data_bytes, data_digest, ticket, padded_bytes } => {
            let data_digest = data_digest.to_vec();
            Params::DataCid(v1::DataCidParams { data_bytes, data_digest, ticket, padded_bytes })
        }
        TaskParams::PreCommit1 { ticket, pieces } => {
            Params::PreCommit1(v1::PreCommit1Params { ticket: ticket.to_vec(), pieces: pieces_to_wire(pieces) })
        }
        TaskParams::PreCommit2 { phase1 } => Params::PreCommit2(v1::PreCommit2Params { phase1 }),
        TaskParams::Commit1 { ticket, seed, comm_r, comm_d, pieces } => Params::Commit1(v1::Commit1Params {
            ticket: ticket.to_vec(),
            seed: seed.to_vec(),
            comm_r: comm_r.0.to_vec(),
            comm_d: comm_d.0.to_vec(),
            pieces: pieces_to_wire(pieces),
        }),
        TaskParams::Commit2 => Params::Commit2(v1::Commit2Params {}),
        TaskParams::Finalize { keep_unsealed } => Params::Finalize(v1::FinalizeParams { keep_unsealed }),
        TaskParams::FinalizeUnsealed { keep } => {
            Params::FinalizeUnsealed(v1::FinalizeUnsealedParams { keep: keep.into_iter().map(byte_range).collect() })
        }
        TaskParams::Unseal { comm_d, ticket, updated } => {
            Params::Unseal(v1::UnsealParams { comm_d: comm_d.0.to_vec(), ticket: ticket.to_vec(), updated })
        }
        TaskParams::ReplicaUpdate { pieces } => {
            Params::ReplicaUpdate(v1::ReplicaUpdateParams { pieces: pieces_to_wire(pieces) })
        }
        TaskParams::ProveReplicaUpdate1 { comm_r_old, comm_r_new, comm_d_new } => {
            Params::ProveReplicaUpdate1(v1::ProveReplicaUpdate1Params {
                comm_r_old: comm_r_old.0.to_vec(),
                comm_r_new: comm_r_new.0.to_vec(),
                comm_d_new: comm_d_new.0.to_vec(),
            })
        }
        TaskParams::ProveReplicaUpdate2 { comm_r_old, comm_r_new, comm_d_new } => {
            Params::ProveReplicaUpdate2(v1::ProveReplicaUpdate2Params {
                comm_r_old: comm_r_old.0.to_vec(),
                comm_r_new: comm_r_new.0.to_vec(),
                comm_d_new: comm_d_new.0.to_vec(),
            })
        }
        TaskParams::FinalizeReplicaUpdate => Params::FinalizeReplicaUpdate(v1::FinalizeReplicaUpdateParams {}),
        TaskParams::Fetch => Params::Fetch(v1::FetchParams {}),
        TaskParams::Download { url, headers, comm_r, comm_d } => {
            let bytes = |commitment: Option<Commitment>| commitment.map(|c| c.0.to_vec()).unwrap_or_default();
            let headers = headers.into_iter().map(Into::into).collect();
            Params::Download(v1::DownloadParams { url, headers, comm_r: bytes(comm_r), comm_d: bytes(comm_d) })
        }
        TaskParams::RegenSectorKey { comm_d_new } => {
            Params::RegenSectorKey(v1::RegenSectorKeyParams { comm_d_new: comm_d_new.0.to_vec() })
        }
        TaskParams::WindowPost { randomness, deadline, partition, sectors, reads } => {
            Params::WindowPost(v1::WindowPostParams {
                randomness: randomness.bytes().to_vec(),
                deadline,
                partition,
                sectors: post_sectors(sectors),
                read_timeout_ms: reads.one_ms,
                partition_timeout_ms: reads.all_ms,
                parallel_reads: reads.at_once,
            })
        }
        TaskParams::WinningPost { randomness, sector, read_timeout_ms } => Params::WinningPost(v1::WinningPostParams {
            randomness: randomness.bytes().to_vec(),
            sector: Some(post_sector(sector)),
            read_timeout_ms,
        }),
        TaskParams::Check { randomness, sectors, reads } => Params::Check(v1::CheckParams {
            randomness: randomness.bytes().to_vec(),
            sectors: post_sectors(sectors),
            read_timeout_ms: reads.one_ms,
            partition_timeout_ms: reads.all_ms,
            parallel_reads: reads.at_once,
        }),
    }
}

fn pieces_to_wire(pieces: Vec<PieceInfo>) -> Vec<v1::Piece> {
    pieces.into_iter().map(Into::into).collect()
}

fn post_sectors(sectors: Vec<(u64, Commitment, RegisteredSealProof)>) -> Vec<v1::PostSector> {
    sectors.into_iter().map(post_sector).collect()
}
