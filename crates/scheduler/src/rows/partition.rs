//! Rows `partition/<opening><index>`: partitions that somebody proves for the chain, and their proofs until it has them.

use sp_proto::convert::{WireError, bytes32, required};
use sp_proto::v1;
use sp_sched_core::effect::ProvenPartition;
use sp_sched_core::model::{PartitionKey, PartitionRow, TryRow, UnixMs};
use sp_sched_core::proving::call::PostSector;
use sp_types::{ChainEpoch, Commitment, HostId, Randomness, RegisteredSealProof, TaskId, WorkerId};

use super::{RowError, parse, readable};

pub(super) const PREFIX: &[u8] = b"partition/";

pub(super) fn key((open, index): PartitionKey) -> Vec<u8> {
    // Nothing opens before the first epoch.
    [PREFIX, &open.0.max(0).to_be_bytes(), &index.to_be_bytes()].concat()
}

pub(super) fn encode(row: &PartitionRow) -> v1::StoredPartition {
    let PartitionRow { open, partition, randomness, started, until, task, last_number, sectors, lost, tries, proven } =
        row;
    v1::StoredPartition {
        open: open.0,
        partition: *partition,
        randomness: randomness.bytes().to_vec(),
        started_unix_ms: started.0,
        until_unix_ms: until.0,
        task: task.0,
        last_number: *last_number,
        sectors: encode_sectors(sectors),
        lost: encode_skipped(lost),
        tries: tries.iter().map(encode_try).collect(),
        proven: proven.as_ref().map(encode_proof),
    }
}

pub(super) fn decode(key: &[u8], value: &[u8]) -> Result<PartitionRow, RowError> {
    let name = readable(key);
    let row = from_stored(parse(&name, value)?).map_err(|e| RowError::new(&name, e))?;
    if key != self::key(row.key()) {
        let reason = format!("it says that it is partition {} of the opening at epoch {}", row.partition, row.open);
        return Err(RowError::new(&name, reason));
    }
    Ok(row)
}

fn from_stored(stored: v1::StoredPartition) -> Result<PartitionRow, WireError> {
    Ok(PartitionRow {
        open: ChainEpoch(stored.open),
        partition: stored.partition,
        randomness: Randomness::new(bytes32("randomness", &stored.randomness)?),
        started: UnixMs(stored.started_unix_ms),
        until: UnixMs(stored.until_unix_ms),
        task: TaskId(stored.task),
        last_number: stored.last_number,
        sectors: decode_sectors(stored.sectors)?,
        lost: decode_skipped(stored.lost),
        tries: stored.tries.into_iter().map(decode_try).collect::<Result<_, _>>()?,
        proven: stored.proven.map(|proof| decode_proof(proof, stored.partition)).transpose()?,
    })
}

fn encode_sectors(sectors: &[PostSector]) -> Vec<v1::StoredPostSector> {
    let stored = |(sector, comm_r, seal_proof): &PostSector| v1::StoredPostSector {
        sector: *sector,
        comm_r: comm_r.0.to_vec(),
        seal_proof: seal_proof.id(),
    };
    sectors.iter().map(stored).collect()
}

fn decode_sectors(sectors: Vec<v1::StoredPostSector>) -> Result<Vec<PostSector>, WireError> {
    let sector = |stored: v1::StoredPostSector| {
        let seal_proof =
            RegisteredSealProof::from_id(stored.seal_proof).map_err(|e| invalid("sectors.seal_proof", e))?;
        Ok((stored.sector, Commitment(bytes32("sectors.comm_r", &stored.comm_r)?), seal_proof))
    };
    sectors.into_iter().map(sector).collect()
}

fn encode_skipped(skipped: &[(u64, String)]) -> Vec<v1::StoredSkipped> {
    skipped.iter().map(|(sector, reason)| v1::StoredSkipped { sector: *sector, reason: reason.clone() }).collect()
}

fn decode_skipped(skipped: Vec<v1::StoredSkipped>) -> Vec<(u64, String)> {
    skipped.into_iter().map(|stored| (stored.sector, stored.reason)).collect()
}

fn encode_try(row: &TryRow) -> v1::StoredTry {
    let TryRow { attempt, worker, host, gpus, since, ahead } = row;
    v1::StoredTry {
        id: Some((*attempt).into()),
        worker: worker.to_string(),
        host: host.to_string(),
        gpus: gpus.iter().cloned().map(Into::into).collect(),
        since_unix_ms: since.0,
        ahead: *ahead,
    }
}

fn decode_try(stored: v1::StoredTry) -> Result<TryRow, WireError> {
    let v1::StoredTry { id, worker, host, gpus, since_unix_ms, ahead } = stored;
    Ok(TryRow {
        attempt: required("tries.id", id)?.into(),
        worker: WorkerId::new(worker).map_err(|e| invalid("tries.worker", e))?,
        host: HostId::new(host).map_err(|e| invalid("tries.host", e))?,
        gpus: gpus.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        since: UnixMs(since_unix_ms),
        ahead,
    })
}

fn encode_proof(proven: &ProvenPartition) -> v1::StoredPartitionProof {
    let ProvenPartition { index: _, worker, builtin, sectors, skipped, proof, took_ms, retries } = proven;
    v1::StoredPartitionProof {
        worker: worker.clone(),
        builtin: *builtin,
        sectors: encode_sectors(sectors),
        skipped: encode_skipped(skipped),
        proof: proof.clone(),
        took_ms: *took_ms,
        retries: retries.clone(),
    }
}

fn decode_proof(stored: v1::StoredPartitionProof, index: u32) -> Result<ProvenPartition, WireError> {
    let v1::StoredPartitionProof { worker, builtin, sectors, skipped, proof, took_ms, retries } = stored;
    let (sectors, skipped) = (decode_sectors(sectors)?, decode_skipped(skipped));
    Ok(ProvenPartition { index, worker, builtin, sectors, skipped, proof, took_ms, retries })
}

fn invalid(field: &'static str, reason: impl ToString) -> WireError {
    WireError::Invalid { field, reason: reason.to_string() }
}
