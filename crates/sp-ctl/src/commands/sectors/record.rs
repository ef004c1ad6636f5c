//! The record of a sector as JSON: what its files do not tell. `sectors export` writes it, `sectors import` reads it.

use serde::{Deserialize, Serialize};
use sp_proto::v1::{DataPiece, Piece, SectorRecord, UpdateRecord};

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
    /// What took the place of its zeros. Not written where it was never updated, as records of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    update: Option<Update>,
}

/// Everything outside of it is of before the update.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    comm_r: String,
    comm_d: String,
    pieces: Vec<PieceRecord>,
    data_bytes: u64,
    data_digest: String,
    data_name: String,
    proof: String,
    /// The data is several pieces. Not written where it is one.
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
            update,
        } = wire;
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
            pieces: pieces.into_iter().map(PieceRecord::from).collect(),
            data_bytes,
            data_digest: hex::encode(data_digest),
            data_name,
            proof: hex::encode(proof),
            data_pieces: data_pieces.into_iter().map(DataPieceRecord::from).collect(),
            update: update.map(Update::from),
        }
    }
}

impl From<UpdateRecord> for Update {
    fn from(wire: UpdateRecord) -> Self {
        let UpdateRecord { comm_r, comm_d, pieces, data, data_pieces, proof } = wire;
        let DataPiece { data_bytes, data_digest, name: data_name } = data.unwrap_or_default();
        Self {
            comm_r: hex::encode(comm_r),
            comm_d: hex::encode(comm_d),
            pieces: pieces.into_iter().map(PieceRecord::from).collect(),
            data_bytes,
            data_digest: hex::encode(data_digest),
            data_name,
            proof: hex::encode(proof),
            data_pieces: data_pieces.into_iter().map(DataPieceRecord::from).collect(),
        }
    }
}

impl From<Piece> for PieceRecord {
    fn from(Piece { padded_bytes, commitment }: Piece) -> Self {
        Self { padded_bytes, commitment: hex::encode(commitment) }
    }
}

impl From<DataPiece> for DataPieceRecord {
    fn from(DataPiece { data_bytes, data_digest, name }: DataPiece) -> Self {
        Self { data_bytes, data_digest: hex::encode(data_digest), name }
    }
}

impl Record {
    /// It was updated (SnapDeals).
    pub(super) fn is_updated(&self) -> bool {
        self.update.is_some()
    }

    pub(super) fn to_wire(&self) -> Result<SectorRecord, CommandError> {
        let bytes = |name: &str, text: &str| self.bytes(name, text);
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
            pieces: self.pieces(&self.pieces)?,
            data_bytes: self.data_bytes,
            data_digest: bytes("data_digest", &self.data_digest)?,
            data_name: self.data_name.clone(),
            proof: bytes("proof", &self.proof)?,
            data_pieces: self.data_pieces(&self.data_pieces)?,
            update: self.update.as_ref().map(|update| self.update(update)).transpose()?,
        })
    }

    fn update(&self, update: &Update) -> Result<UpdateRecord, CommandError> {
        let data_digest = self.bytes("update.data_digest", &update.data_digest)?;
        Ok(UpdateRecord {
            comm_r: self.bytes("update.comm_r", &update.comm_r)?,
            comm_d: self.bytes("update.comm_d", &update.comm_d)?,
            pieces: self.pieces(&update.pieces)?,
            data: Some(DataPiece { data_bytes: update.data_bytes, data_digest, name: update.data_name.clone() }),
            data_pieces: self.data_pieces(&update.data_pieces)?,
            proof: self.bytes("update.proof", &update.proof)?,
        })
    }

    fn pieces(&self, pieces: &[PieceRecord]) -> Result<Vec<Piece>, CommandError> {
        let piece = |p: &PieceRecord| {
            Ok(Piece { padded_bytes: p.padded_bytes, commitment: self.bytes("pieces.commitment", &p.commitment)? })
        };
        pieces.iter().map(piece).collect()
    }

    fn data_pieces(&self, pieces: &[DataPieceRecord]) -> Result<Vec<DataPiece>, CommandError> {
        let data_piece = |p: &DataPieceRecord| {
            let data_digest = self.bytes("data_pieces.data_digest", &p.data_digest)?;
            Ok(DataPiece { data_bytes: p.data_bytes, data_digest, name: p.name.clone() })
        };
        pieces.iter().map(data_piece).collect()
    }

    fn bytes(&self, name: &str, text: &str) -> Result<Vec<u8>, CommandError> {
        let wrong = |e| {
            let text = format!("the record of sector {}: `{name}` is not hex: {e}", self.sector);
            CommandError::new(Exit::Usage, text)
        };
        hex::decode(text).map_err(wrong)
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
            update: None,
        };
        let json = serde_json::to_string(&Record::from(wire.clone())).unwrap();
        let read: Record = serde_json::from_str(&json).unwrap();
        assert_eq!(read.to_wire().unwrap(), wire);
        let piece = |name: &str| DataPiece { data_bytes: 500, data_digest: vec![8; 32], name: name.into() };
        let several = SectorRecord { data_pieces: vec![piece("a"), piece("b")], ..wire.clone() };
        let update = UpdateRecord {
            comm_r: vec![9; 32],
            comm_d: vec![10; 32],
            pieces: wire.pieces.clone(),
            data: Some(piece("c")),
            data_pieces: vec![piece("d"), piece("e")],
            proof: vec![11; 192],
        };
        assert!(!json.contains("update"), "a sector that was never updated has the record of before");
        let updated = SectorRecord { update: Some(update), ..wire.clone() };
        for wire in [several, updated] {
            let read = serde_json::to_string(&Record::from(wire.clone())).unwrap();
            assert_eq!(serde_json::from_str::<Record>(&read).unwrap().to_wire().unwrap(), wire);
        }
        assert!(serde_json::from_str::<Record>(&json.replace("\"seed\"", "\"sead\"")).is_err());
        let bad: Record = serde_json::from_str(&json.replace(&"01".repeat(32), "zz")).unwrap();
        assert!(bad.to_wire().unwrap_err().line().contains("comm_r"));
    }
}
