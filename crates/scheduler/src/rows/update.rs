//! The update in a sector's row.

use sp_proto::convert::{WireError, required};
use sp_proto::v1;
use sp_sched_core::model::{UnixMs, Update};
use sp_types::PieceInfo;

use super::sector::{decode_data, encode_data, optional_commitment};

pub(super) fn encode(update: &Update) -> v1::StoredUpdate {
    let Update { data, pieces, comm_d, comm_r, proof, accepted } = update;
    v1::StoredUpdate {
        data: Some(encode_data(data.clone())),
        pieces: pieces.iter().map(|p| (*p).into()).collect(),
        comm_d: comm_d.map(|c| c.0.to_vec()).unwrap_or_default(),
        comm_r: comm_r.map(|c| c.0.to_vec()).unwrap_or_default(),
        proof: proof.clone(),
        accepted_unix_ms: accepted.map(|t| t.0),
    }
}

pub(super) fn decode(stored: v1::StoredUpdate) -> Result<Update, WireError> {
    let v1::StoredUpdate { data, pieces, comm_d, comm_r, proof, accepted_unix_ms } = stored;
    Ok(Update {
        data: decode_data(required("update.data", data)?)?,
        pieces: pieces.into_iter().map(PieceInfo::try_from).collect::<Result<_, _>>()?,
        comm_d: optional_commitment("update.comm_d", &comm_d)?,
        comm_r: optional_commitment("update.comm_r", &comm_r)?,
        proof,
        accepted: accepted_unix_ms.map(UnixMs),
    })
}
