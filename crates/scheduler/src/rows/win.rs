//! Rows `win/<epoch>`: proofs of epochs that were won.

use sp_proto::convert::bytes32;
use sp_proto::v1;
use sp_sched_core::model::WinRow;
use sp_types::{ChainEpoch, Commitment, Randomness, RegisteredSealProof};

use super::{RowError, numbered, parse, readable};

pub(super) const PREFIX: &[u8] = b"win/";

pub(super) fn key(epoch: ChainEpoch) -> Vec<u8> {
    // Nobody wins before the first epoch.
    numbered(PREFIX, epoch.0.max(0) as u64)
}

pub(super) fn encode(win: &WinRow) -> v1::StoredWin {
    let WinRow { epoch, randomness, sector: (number, comm_r, seal_proof), proof } = win.clone();
    let (randomness, comm_r) = (randomness.bytes().to_vec(), comm_r.0.to_vec());
    v1::StoredWin { epoch: epoch.0, randomness, sector: number, comm_r, seal_proof: seal_proof.id(), proof }
}

pub(super) fn decode(key: &[u8], value: &[u8]) -> Result<WinRow, RowError> {
    let row = readable(key);
    let v1::StoredWin { epoch, randomness, sector, comm_r, seal_proof, proof } = parse(&row, value)?;
    let fault = |reason: String| RowError::new(&row, reason);
    let seal_proof = RegisteredSealProof::from_id(seal_proof).map_err(|e| fault(e.to_string()))?;
    let randomness = bytes32("randomness", &randomness).map_err(|e| fault(e.to_string()))?;
    let comm_r = bytes32("comm_r", &comm_r).map_err(|e| fault(e.to_string()))?;
    if key != self::key(ChainEpoch(epoch)) {
        return Err(fault(format!("it says that it is of epoch {epoch}")));
    }
    let sector = (sector, Commitment(comm_r), seal_proof);
    Ok(WinRow { epoch: ChainEpoch(epoch), randomness: Randomness::new(randomness), sector, proof })
}
