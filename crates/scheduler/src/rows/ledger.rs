//! Rows of the local chain: its genesis, the pre-commitments it has seen, and where it has sectors proven.

use prost::Message;
use sp_proto::{convert::bytes32, v1};
use sp_state::State;
use sp_types::{ChainEpoch, Commitment, DeadlineIndex, PartitionIndex};

use super::{RowError, number_in, numbered, parse};
use crate::chain::Place;

const PLACES: &[u8] = b"chain/place/";

/// Where the local chain began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Genesis {
    /// When epoch 0 began, ms since the Unix epoch.
    pub(crate) unix_ms: u64,
    /// Length of an epoch.
    pub(crate) epoch_ms: u64,
    /// What every beacon value is derived from.
    pub(crate) seed: [u8; 32],
}

/// A pre-commitment on the local chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PreCommitRow {
    /// Replica commitment.
    pub(crate) comm_r: Commitment,
    /// Data commitment.
    pub(crate) comm_d: Commitment,
    /// When it went on chain.
    pub(crate) epoch: ChainEpoch,
    /// When its seed comes.
    pub(crate) seed_epoch: ChainEpoch,
}

/// Key of the genesis row.
pub(crate) fn genesis_key() -> Vec<u8> {
    b"chain/genesis".to_vec()
}

/// Key of a sector's pre-commitment.
pub(crate) fn precommit_key(sector: u64) -> Vec<u8> {
    numbered(b"chain/precommit/", sector)
}

/// Key of the place where a sector is proven.
pub(crate) fn place_key(sector: u64) -> Vec<u8> {
    numbered(PLACES, sector)
}

/// A place as bytes.
pub(crate) fn place_row((deadline, partition): Place) -> Vec<u8> {
    v1::StoredLocation { deadline: deadline.0, partition: partition.0 }.encode_to_vec()
}

/// Every sector with its place, rising.
pub(crate) fn places(state: &dyn State) -> Result<Vec<(u64, Place)>, RowError> {
    let rows = state.scan_all(PLACES).map_err(|e| RowError::new("chain/place/", e))?;
    let decode = |(key, value): &(Vec<u8>, Vec<u8>)| {
        let v1::StoredLocation { deadline, partition } = parse("chain/place", value)?;
        Ok((number_in(PLACES, key)?, (DeadlineIndex(deadline), PartitionIndex(partition))))
    };
    rows.iter().map(decode).collect()
}

impl Genesis {
    /// As bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self { unix_ms, epoch_ms, seed } = *self;
        v1::StoredGenesis { unix_ms, epoch_ms, seed: seed.to_vec() }.encode_to_vec()
    }

    /// From bytes.
    pub(crate) fn decode(value: &[u8]) -> Result<Self, RowError> {
        let row = "chain/genesis";
        let v1::StoredGenesis { unix_ms, epoch_ms, seed } = parse(row, value)?;
        if epoch_ms == 0 {
            return Err(RowError::new(row, "the epoch has no length"));
        }
        Ok(Self { unix_ms, epoch_ms, seed: bytes32("seed", &seed).map_err(|e| RowError::new(row, e))? })
    }
}

impl PreCommitRow {
    /// As bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self { comm_r, comm_d, epoch, seed_epoch } = *self;
        let (comm_r, comm_d) = (comm_r.0.to_vec(), comm_d.0.to_vec());
        v1::StoredPreCommit { comm_r, comm_d, epoch: epoch.0, seed_epoch: seed_epoch.0 }.encode_to_vec()
    }

    /// From bytes.
    pub(crate) fn decode(value: &[u8]) -> Result<Self, RowError> {
        let row = "chain/precommit";
        let v1::StoredPreCommit { comm_r, comm_d, epoch, seed_epoch } = parse(row, value)?;
        let commitment = |name, bytes: &[u8]| bytes32(name, bytes).map(Commitment).map_err(|e| RowError::new(row, e));
        Ok(Self {
            comm_r: commitment("comm_r", &comm_r)?,
            comm_d: commitment("comm_d", &comm_d)?,
            epoch: ChainEpoch(epoch),
            seed_epoch: ChainEpoch(seed_epoch),
        })
    }
}
