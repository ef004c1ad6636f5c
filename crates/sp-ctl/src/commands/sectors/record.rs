//! The record of a sector as JSON: what its files do not tell. `sectors export` writes it, `sectors import` reads it.

use serde::{Deserialize, Serialize};
use sp_proto::v1::{DataPiece, Piece, SectorRecord};

use crate::error::{CommandError, Exit};

/// One sector. Others read and write it, so names stay; bytes are hex.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) miner: u64,
    pub(super) sector: u64,
    /// Upstream's registered seal proof number.
    seal_proof: u64,
    comm_r: String,
    comm_d: String,
    ticket: String,
    ticket_epoch: i64,
    seed: String,
    seed_epoch: i64,
    pieces: Vec<PieceRecord>,
    /// 0 for a CC sector.
    data_bytes: u64,
    data_digest: String,
    data_name: String,
    proof: String,
    /// The data is several pieces. Not written where it is one, as records of before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    data_pieces: Vec<DataPieceRecord>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DataPieceRecord {
    data_bytes: u64,
    data_digest: String,
    name: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PieceRecord {
    padded_bytes: u64,
    commitment: String,
}

impl From<SectorRecord> for Record {
    fn from(wire: SectorRecord) -> Self {
        let SectorRecord {
            miner,
            number,
            seal_proof,
            comm_r,
            comm_d,
            ticket,
            ticket_epoch,
            seed,
            seed_epoch,
            pieces,
            data_bytes,
            data_digest,
            data_name,
            proof,
            data_pieces,
        } = wire;
        let piece =
            |Piece { padded_bytes, commitment }| PieceRecord { padded_bytes, commitment: hex::encode(commitment) };
        let data_piece = |DataPiece { data_bytes, data_digest, name }| DataPieceRecord {
            data_bytes,
            data_digest: hex::encode(data_digest),
            name,
        };
        Self {
            miner,
            sector: number,
            seal_proof,
            comm_r: hex::encode(comm_r),
            comm_d: hex::encode(comm_d),
            ticket: hex::encode(ticket),
            ticket_epoch,
            seed: hex::encode(seed),
            seed_epoch,
            pieces: pieces.into_iter().map(piece).collect(),
            data_bytes,
            data_digest: hex::encode(data_digest),
            data_name,
            proof: hex::encode(proof),
            data_pieces: data_pieces.into_iter().map(data_piece).collect(),
        }
    }
}

impl Record {
    pub(super) fn to_wire(&self) -> Result<SectorRecord, CommandError> {
        let bytes = |name: &str, text: &str| {
            let wrong = |e| {
                let text = format!("the record of sector {}: `{name}` is not hex: {e}", self.sector);
                CommandError::new(Exit::Usage, text)
            };
            hex::decode(text).map_err(wrong)
        };
        let piece = |p: &PieceRecord| {
            Ok(Piece { padded_bytes: p.padded_bytes, commitment: bytes("pieces.commitment", &p.commitment)? })
        };
        let data_piece = |p: &DataPieceRecord| {
            let data_digest = bytes("data_pieces.data_digest", &p.data_digest)?;
            Ok(DataPiece { data_bytes: p.data_bytes, data_digest, name: p.name.clone() })
        };
        Ok(SectorRecord {
            miner: self.miner,
            number: self.sector,
            seal_proof: self.seal_proof,
            comm_r: bytes("comm_r", &self.comm_r)?,
            comm_d: bytes("comm_d", &self.comm_d)?,
            ticket: bytes("ticket", &self.ticket)?,
            ticket_epoch: self.ticket_epoch,
            seed: bytes("seed", &self.seed)?,
            seed_epoch: self.seed_epoch,
            pieces: self.pieces.iter().map(piece).collect::<Result<_, CommandError>>()?,
            data_bytes: self.data_bytes,
            data_digest: bytes("data_digest", &self.data_digest)?,
            data_name: self.data_name.clone(),
            proof: bytes("proof", &self.proof)?,
            data_pieces: self.data_pieces.iter().map(data_piece).collect::<Result<_, CommandError>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_the_way_through_json() {
        let wire = SectorRecord {
            miner: 1000,
            number: 7,
            seal_proof: 5,
            comm_r: vec![1; 32],
            comm_d: vec![2; 32],
            ticket: vec![3; 32],
            ticket_epoch: -800,
            seed: vec![4; 32],
            seed_epoch: 90,
            pieces: vec![Piece { padded_bytes: 2048, commitment: vec![5; 32] }],
            data_bytes: 1000,
            data_digest: vec![6; 32],
            data_name: "a.bin".into(),
            proof: vec![7; 192],
            data_pieces: vec![],
        };
        let json = serde_json::to_string(&Record::from(wire.clone())).unwrap();
        let read: Record = serde_json::from_str(&json).unwrap();
        assert_eq!(read.to_wire().unwrap(), wire);
        let piece = |name: &str| DataPiece { data_bytes: 500, data_digest: vec![8; 32], name: name.into() };
        let several = SectorRecord { data_pieces: vec![piece("a"), piece("b")], ..wire };
        let read = serde_json::to_string(&Record::from(several.clone())).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&read).unwrap().to_wire().unwrap(), several);
        assert!(serde_json::from_str::<Record>(&json.replace("\"seed\"", "\"sead\"")).is_err());
        let bad: Record = serde_json::from_str(&json.replace(&"01".repeat(32), "zz")).unwrap();
        assert!(bad.to_wire().unwrap_err().line().contains("comm_r"));
    }
}
