//! The update in a sector's row.

use sp_proto::convert::{WireError, required};
use sp_proto::v1;
use sp_sched_core::model::{UnixMs, Update};
use sp_types::PieceInfo;

use super::sector::{decode_data, encode_data, optional_commitment};

pub(super) fn encode(update: &Update) -> v1::StoredUpdate {
    let Update { data, pieces, comm_d, comm_r, proof, accepted, key_awaited } = update;
    v1::StoredUpdate {
        data: data.clone().map(encode_data),
        pieces: pieces.iter().map(|p| (*p).into()).collect(),
        comm_d: comm_d.map(|c| c.0.to_vec()).unwrap_or_default(),
        comm_r: comm_r.map(|c| c.0.to_vec()).unwrap_or_default(),
        proof: proof.clone(),
        accepted_unix_ms: accepted.map(|t| t.0),
        key_awaited: *key_awaited,
    }
}

pub(super) fn decode(stored: v1::StoredUpdate) -> Result<Update, WireError> {
    let v1::StoredUpdate { data, pieces, comm_d, comm_r, proof, accepted_unix_ms, key_awaited } = stored;
    let data = match (data, accepted_unix_ms) {
        // Nobody begins an update without data; one that was taken over may be of data that nobody knows.
        (None, Some(_)) => None,
        (data, _) => Some(decode_data(required("update.data", data)?)?),
    };
    Ok(Update {
        data,
        pieces: pieces.into_iter().map(PieceInfo::try_from).collect::<Result<_, _>>()?,
        comm_d: optional_commitment("update.comm_d", &comm_d)?,
        comm_r: optional_commitment("update.comm_r", &comm_r)?,
        proof,
        accepted: accepted_unix_ms.map(UnixMs),
        key_awaited,
    })
}
