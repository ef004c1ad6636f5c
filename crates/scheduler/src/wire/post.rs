//! PoSt proofs and checks for operators.

use sp_chain::{OpeningRecord, PartitionRecord, Verdict, WinRecord};
use sp_proto::v1;
use sp_sched_core::effect::{PostReply, ProvenPartition};
use sp_sched_core::proving::rehearsal::Rehearsal;
use sp_types::{Commitment, ProverId, RegisteredSealProof};

/// A finished PoSt.
pub(crate) fn post_reply(miner: u64, reply: PostReply) -> v1::ComputePostReply {
    let PostReply { proof_type, deadline, randomness, partitions, took_ms } = reply;
    v1::ComputePostReply {
        deadline,
        proof_type: proof_type.to_string(),
        prover_id: ProverId::of_miner(miner).0.to_vec(),
        randomness: randomness.bytes().to_vec(),
        partitions: partitions.into_iter().map(proven_partition).collect(),
        took_ms,
    }
}

/// A finished check.
pub(crate) fn check_reply(checked: Vec<(u32, u64, String)>) -> v1::CheckDeadlineReply {
    let sector = |(partition, number, problem)| v1::CheckedSector { partition, number, problem };
    v1::CheckDeadlineReply { sectors: checked.into_iter().map(sector).collect() }
}

/// A sector as a PoSt names it.
pub(super) fn post_sector((number, comm_r, seal_proof): (u64, Commitment, RegisteredSealProof)) -> v1::PostSector {
    v1::PostSector { number, comm_r: comm_r.0.to_vec(), seal_proof: seal_proof.id() }
}

fn proven_partition(partition: ProvenPartition) -> v1::ProvenPartition {
    let ProvenPartition { index, worker, builtin, sectors, skipped, proof, took_ms, retries } = partition;
    v1::ProvenPartition {
        index,
        worker,
        builtin,
        sectors: sectors.into_iter().map(post_sector).collect(),
        skipped: skipped_sectors(skipped),
        proof,
        took_ms,
        retries,
    }
}

fn skipped_sectors(skipped: Vec<(u64, String)>) -> Vec<v1::SkippedSector> {
    skipped.into_iter().map(|(number, reason)| v1::SkippedSector { number, reason }).collect()
}

/// How a partition has done under made-up randomness.
pub(crate) fn rehearsal(rehearsal: Rehearsal) -> v1::Rehearsal {
    let Rehearsal { deadline, open, partition, at, took_ms, worker, skipped, failure } = rehearsal;
    v1::Rehearsal {
        deadline: deadline.0,
        open_epoch: open.0,
        partition,
        ended_unix_ms: at.0,
        took_ms,
        worker,
        skipped: skipped_sectors(skipped),
        failure: failure.unwrap_or_default(),
    }
}

/// What became of an opening that began at this time.
pub(crate) fn opening(open_unix_ms: u64, record: OpeningRecord) -> v1::ProvenOpening {
    let OpeningRecord { deadline, open, partitions, late, refused, closed } = record;
    let partition = |(index, partition)| {
        let PartitionRecord { verdict: word, at, digest: _, proven, skipped } = partition;
        v1::JudgedPartition { index, verdict: verdict(word) as i32, epoch: at.0, proven, skipped }
    };
    let partitions = partitions.into_iter().map(partition).collect();
    v1::ProvenOpening { deadline: deadline.0, open_epoch: open.0, open_unix_ms, partitions, late, refused, closed }
}

/// An epoch that was won.
pub(crate) fn win(record: WinRecord) -> v1::WonEpoch {
    let WinRecord { epoch, sector, block } = record;
    v1::WonEpoch { epoch: epoch.0, sector, proven_epoch: block.map(|(_, at)| at.0) }
}

/// The verdict in its enum.
pub(crate) fn verdict(verdict: Verdict) -> v1::PartitionVerdict {
    match verdict {
        Verdict::Proven => v1::PartitionVerdict::Proven,
        Verdict::Missed => v1::PartitionVerdict::Missed,
        Verdict::Faulty => v1::PartitionVerdict::Faulty,
    }
}
