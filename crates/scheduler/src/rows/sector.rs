//! Rows `sector/<number>`: a sector, its commitments, its files and its log.

use std::ops::Range;

use sp_proto::convert::{WireError, bytes32, file_kind, seal_proof, store_id, task_kind};
use sp_proto::v1;
use sp_sched_core::data::{PieceData, SectorData};
use sp_sched_core::model::{DATA_PRIORITY, LogEntry, Sector, SectorFile, Trouble, UnixMs};
use sp_types::{ChainEpoch, Commitment, DeadlineIndex, Origin, PartitionIndex, PieceInfo, SectorState};

use super::{RowError, number_in, numbered, parse, receive, sector_state, update};
use crate::wire::byte_range;

pub(super) const PREFIX: &[u8] = b"sector/";

pub(super) fn key(number: u64) -> Vec<u8> {
    numbered(PREFIX, number)
}

pub(super) fn encode(sector: &Sector) -> v1::StoredSector {
    let Sector {
        number,
        seal_proof,
        state,
        priority,
        data,
        pieces,
        comm_d,
        comm_r,
        ticket,
        seed,
        seed_epoch,
        phase1,
        proof,
        location,
        files,
        home,
        update,
        failures,
        last_error,
        trouble,
        created,
        proving_since,
        log,
        origin,
        let_go,
        receive,
        keep,
    } = sector;
    let Trouble { counts, invalid_proofs, steps_back, resume, retry_at } = trouble;
    let count = |(state, count): (&SectorState, &u32)| v1::StoredStateCount {
        state: sector_state::encode(*state) as i32,
        count: *count,
    };
    v1::StoredSector {
        number: *number,
        seal_proof: seal_proof.id(),
        state: sector_state::encode(*state) as i32,
        data: data.clone().map(encode_data),
        pieces: pieces.iter().map(|p| (*p).into()).collect(),
        comm_d: comm_d.map(|c| c.0.to_vec()).unwrap_or_default(),
        comm_r: comm_r.map(|c| c.0.to_vec()).unwrap_or_default(),
        ticket: ticket.map(encode_beacon),
        seed: seed.map(encode_beacon),
        seed_epoch: seed_epoch.map(|e| e.0),
        phase1: phase1.clone(),
        proof: proof.clone(),
        location: location.map(|(d, p)| v1::StoredLocation { deadline: d.0, partition: p.0 }),
        files: files.iter().cloned().map(encode_file).collect(),
        failures: *failures,
        last_error: last_error.clone(),
        created_unix_ms: created.0,
        proving_since_unix_ms: proving_since.map(|t| t.0),
        log: log.iter().cloned().map(encode_log).collect(),
        priority: Some(*priority),
        update: update.as_ref().map(update::encode),
        failed: counts.iter().map(count).collect(),
        invalid_proofs: *invalid_proofs,
        steps_back: *steps_back,
        resume: resume.map_or(v1::StoredSectorState::Unspecified, sector_state::encode) as i32,
        retry_unix_ms: retry_at.map(|t| t.0),
        home: home.as_ref().map(ToString::to_string).unwrap_or_default(),
        origin: encode_origin(*origin),
        let_go: let_go.iter().copied().map(encode_origin).collect(),
        receive: receive.as_ref().map(receive::encode),
        keep: encode_ranges(keep),
    }
}

pub(super) fn decode(key: &[u8], value: &[u8]) -> Result<Sector, RowError> {
    let row = format!("sector/{}", number_in(PREFIX, key)?);
    from_stored(parse(&row, value)?).map_err(|e| RowError::new(row, e))
}

fn from_stored(stored: v1::StoredSector) -> Result<Sector, WireError> {
    let v1::StoredSector {
        number,
        seal_proof: proof_id,
        state,
        data,
        pieces,
        comm_d,
        comm_r,
        ticket,
        seed,
        seed_epoch,
        phase1,
        proof,
        location,
        files,
        failures,
        last_error,
        created_unix_ms,
        proving_since_unix_ms,
        log,
        priority,
        update,
        failed,
        invalid_proofs,
        steps_back,
        resume,
        retry_unix_ms,
        home,
        origin,
        let_go,
        receive,
        keep,
    } = stored;
    let counts =
        failed.into_iter().map(|v1::StoredStateCount { state, count }| Ok((sector_state::decode(state)?, count)));
    let trouble = Trouble {
        counts: counts.collect::<Result<_, WireError>>()?,
        invalid_proofs,
        steps_back,
        resume: if resume == 0 { None } else { Some(sector_state::decode(resume)?) },
        retry_at: retry_unix_ms.map(UnixMs),
    };
    // Version 1 knew no other priorities.
    let priority = priority.unwrap_or(if data.is_some() { DATA_PRIORITY } else { 0 });
    Ok(Sector {
        number,
        seal_proof: seal_proof(proof_id)?,
        state: sector_state::decode(state)?,
        priority,
        data: data.map(decode_data).transpose()?,
        pieces: pieces.into_iter().map(PieceInfo::try_from).collect::<Result<_, _>>()?,
        comm_d: optional_commitment("comm_d", &comm_d)?,
        comm_r: optional_commitment("comm_r", &comm_r)?,
        ticket: ticket.map(|b| decode_beacon("ticket", b)).transpose()?,
        seed: seed.map(|b| decode_beacon("seed", b)).transpose()?,
        seed_epoch: seed_epoch.map(ChainEpoch),
        phase1,
        proof,
        location: location
            .map(|v1::StoredLocation { deadline, partition }| (DeadlineIndex(deadline), PartitionIndex(partition))),
        files: files.into_iter().map(decode_file).collect::<Result<_, _>>()?,
        home: if home.is_empty() { None } else { Some(store_id(&home)?) },
        update: update.map(update::decode).transpose()?,
        failures,
        last_error,
        trouble,
        created: UnixMs(created_unix_ms),
        proving_since: proving_since_unix_ms.map(UnixMs),
        log: log.into_iter().map(decode_log).collect::<Result<_, _>>()?,
        origin: Origin::new(origin),
        let_go: let_go.into_iter().map(Origin::new).collect(),
        receive: receive.map(receive::decode).transpose()?,
        keep: decode_ranges(keep),
    })
}

fn encode_origin(origin: Option<Origin>) -> u64 {
    origin.map_or(0, Origin::get)
}

pub(super) fn optional_commitment(field: &'static str, bytes: &[u8]) -> Result<Option<Commitment>, WireError> {
    if bytes.is_empty() { Ok(None) } else { bytes32(field, bytes).map(|b| Some(Commitment(b))) }
}

/// One piece is the row as it always was.
pub(super) fn encode_data(data: SectorData) -> v1::StoredPieceData {
    let (data_bytes, SectorData { digest, mut pieces }) = (data.data_bytes(), data);
    let name = if pieces.len() == 1 { pieces.remove(0).name } else { String::new() };
    let piece = |piece: PieceData| {
        let PieceData { data_bytes, digest, name } = piece;
        v1::StoredPiece { data_bytes, digest: digest.to_vec(), name }
    };
    let pieces = pieces.into_iter().map(piece).collect();
    v1::StoredPieceData { data_bytes, digest: digest.to_vec(), name, pieces }
}

pub(super) fn decode_data(stored: v1::StoredPieceData) -> Result<SectorData, WireError> {
    let v1::StoredPieceData { data_bytes, digest, name, pieces } = stored;
    let digest = bytes32("data.digest", &digest)?;
    if pieces.is_empty() {
        return Ok(SectorData::one(PieceData { data_bytes, digest, name }));
    }
    let piece = |v1::StoredPiece { data_bytes, digest, name }| {
        Ok(PieceData { data_bytes, digest: bytes32("data.pieces.digest", &digest)?, name })
    };
    Ok(SectorData { digest, pieces: pieces.into_iter().map(piece).collect::<Result<_, WireError>>()? })
}

fn encode_beacon((value, epoch): ([u8; 32], ChainEpoch)) -> v1::StoredBeacon {
    v1::StoredBeacon { value: value.to_vec(), epoch: epoch.0 }
}

fn decode_beacon(field: &'static str, stored: v1::StoredBeacon) -> Result<([u8; 32], ChainEpoch), WireError> {
    let v1::StoredBeacon { value, epoch } = stored;
    Ok((bytes32(field, &value)?, ChainEpoch(epoch)))
}

fn encode_file(file: SectorFile) -> v1::StoredSectorFile {
    let SectorFile { kind, root, size_bytes, held } = file;
    let held = encode_ranges(&held.unwrap_or_default());
    v1::StoredSectorFile { kind: v1::FileKind::from(kind) as i32, root: root.to_vec(), size_bytes, held }
}

fn decode_file(stored: v1::StoredSectorFile) -> Result<SectorFile, WireError> {
    let v1::StoredSectorFile { kind, root, size_bytes, held } = stored;
    let held = Some(decode_ranges(held)).filter(|ranges| !ranges.is_empty());
    Ok(SectorFile { kind: file_kind(kind)?, root: bytes32("files.root", &root)?, size_bytes, held })
}

fn encode_ranges(ranges: &[Range<u64>]) -> Vec<v1::ByteRange> {
    ranges.iter().cloned().map(byte_range).collect()
}

fn decode_ranges(stored: Vec<v1::ByteRange>) -> Vec<Range<u64>> {
    stored.into_iter().map(|v1::ByteRange { start, end }| start..end).collect()
}

fn encode_log(entry: LogEntry) -> v1::StoredLogEntry {
    let LogEntry { at, event, attempt, task, worker_name, took_ms, message } = entry;
    v1::StoredLogEntry {
        unix_ms: at.0,
        event,
        attempt: attempt.map(Into::into),
        task: task.map_or(v1::TaskKind::Unspecified, Into::into) as i32,
        worker_name,
        took_ms,
        message,
    }
}

fn decode_log(stored: v1::StoredLogEntry) -> Result<LogEntry, WireError> {
    let v1::StoredLogEntry { unix_ms, event, attempt, task, worker_name, took_ms, message } = stored;
    let task = match task {
        0 => None,
        number => Some(task_kind(number)?),
    };
    Ok(LogEntry { at: UnixMs(unix_ms), event, attempt: attempt.map(Into::into), task, worker_name, took_ms, message })
}
