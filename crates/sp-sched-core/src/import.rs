//! Sectors that were sealed elsewhere and whose files have come with a path: taken over as they lie.

use serde::{Deserialize, Serialize};
use sp_types::{
    ChainEpoch, Commitment, DeadlineIndex, ErrorCode, FileKind, PieceInfo, RegisteredSealProof, ReplicaId, SectorState,
};

use crate::core::Core;
use crate::data::SectorData;
use crate::effect::Reply;
use crate::facts::Replica;
use crate::model::{Sector, SectorFile};
use crate::requests::Refused;

/// The root of a file that nobody has read whole yet.
pub(crate) const UNREAD: [u8; 32] = [0; 32];

/// Kinds without which nothing can be proven.
const NEEDED: [FileKind; 2] = [FileKind::Sealed, FileKind::Cache];

/// A sector to be taken over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Import {
    /// Its number.
    pub number: u64,
    /// Commitment of the replica that lies there; whoever asks has had a challenge of it answered.
    pub comm_r: Commitment,
    /// Where the chain has it proven.
    pub deadline: DeadlineIndex,
    /// What its files do not tell.
    pub record: Option<SectorRecord>,
}

/// What a sector's files do not tell: without it, it can be proven and not unsealed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SectorRecord {
    /// What it was sealed under.
    pub seal_proof: RegisteredSealProof,
    /// Commitment of the data.
    pub comm_d: Commitment,
    /// Ticket and its epoch.
    pub ticket: ([u8; 32], ChainEpoch),
    /// Seed and its epoch.
    pub seed: ([u8; 32], ChainEpoch),
    /// Pieces as sealed, fillers included.
    pub pieces: Vec<PieceInfo>,
    /// The data, when it is not a CC sector.
    pub data: Option<SectorData>,
    /// The seal proof.
    pub proof: Vec<u8>,
}

impl Core {
    /// Sectors that nobody here knows and of which sealed file and cache are there, rising.
    pub fn foreign_sectors(&self) -> Vec<u64> {
        let has = |number: u64, kind| self.facts.replicas(number).any(|(id, _)| id.kind == kind);
        let whole = |number: &u64| NEEDED.into_iter().all(|kind| has(*number, kind));
        self.facts.sectors().filter(|number| !self.sectors.contains_key(number)).filter(whole).collect()
    }

    /// Takes a sector over. The same one again changes nothing.
    pub(crate) fn import(&mut self, import: Import) -> Result<Reply, Refused> {
        let Import { number, comm_r, deadline, record } = import;
        let wrong = |message: String| Err((ErrorCode::WrongState, message));
        if let Some(known) = self.sectors.get(&number) {
            return match known.is_proven() && known.comm_r == Some(comm_r) {
                true => Ok(Reply::Moved(known.state)),
                false => wrong(format!("there is a sector {number} already, in state {}", known.state)),
            };
        }
        let files = self.foreign_files(number)?;
        let partition = self.free_partition(deadline);
        let mut sector = Sector::new(number, self.config.seal_proof(), None, None, self.now);
        // Its files may be our own, of before a state was lost.
        let sealed = self.facts.replicas(number).find(|(id, _)| id.kind == FileKind::Sealed);
        sector.origin = sealed.and_then(|(_, replica)| replica.origin);
        (sector.comm_r, sector.files, sector.location) = (Some(comm_r), files, Some((deadline, partition)));
        if let Some(SectorRecord { seal_proof, comm_d, ticket, seed, pieces, data, proof }) = record {
            if seal_proof.size != self.config.sector_size {
                return wrong(format!(
                    "the record is of a {} sector; this cluster's are of {}",
                    seal_proof.size, self.config.sector_size
                ));
            }
            sector.seal_proof = seal_proof;
            (sector.comm_d, sector.ticket, sector.seed) = (Some(comm_d), Some(ticket), Some(seed));
            (sector.pieces, sector.data, sector.proof) = (pieces, data, proof);
        }
        (sector.state, sector.proving_since) = (SectorState::Proving, Some(self.now));
        self.sectors.insert(number, sector);
        self.never_give_out(number);
        self.log(number, "imported".to_owned(), format!("deadline {deadline}, partition {partition}"));
        self.untidy.insert(number);
        Ok(Reply::Moved(SectorState::Proving))
    }

    /// The files of a sector that lie on paths, or why they are none that could be taken over.
    fn foreign_files(&self, number: u64) -> Result<Vec<SectorFile>, Refused> {
        if !self.facts.connected {
            let message = "the index is away: nobody knows which files are there; try again when it is back";
            return Err((ErrorCode::Unavailable, message.to_owned()));
        }
        let mut files: Vec<SectorFile> = Vec::new();
        for (id, replica) in self.facts.replicas(number) {
            let file = SectorFile { kind: id.kind, root: id.root, size_bytes: replica.size_bytes };
            match files.iter().find(|known| known.kind == id.kind) {
                None => files.push(file),
                Some(known) if (known.root, known.size_bytes) == (file.root, file.size_bytes) => {}
                Some(_) => {
                    let message = format!(
                        "there are two different {} files of sector {number}; detach the path that has the wrong one",
                        id.kind
                    );
                    return Err((ErrorCode::WrongState, message));
                }
            }
        }
        let file = |kind: FileKind| files.iter().find(|file| file.kind == kind);
        if let Some(kind) = NEEDED.into_iter().find(|kind| file(*kind).is_none()) {
            return Err((ErrorCode::FileMissing, format!("no path has the {kind} of sector {number}")));
        }
        if let Some(update) = file(FileKind::Update).or(file(FileKind::UpdateCache)) {
            let message = format!("sector {number} has {} files: updated sectors cannot be imported yet", update.kind);
            return Err((ErrorCode::WrongState, message));
        }
        let (found, size) = (file(FileKind::Sealed).map_or(0, |f| f.size_bytes), self.config.sector_size.bytes());
        if found != size {
            let message = format!("the sealed file of sector {number} has {found} bytes; this cluster's have {size}");
            return Err((ErrorCode::WrongState, message));
        }
        files.sort_by_key(|file| file.kind);
        Ok(files)
    }

    /// What was read while the index was away.
    pub(crate) fn note_all_read(&mut self) {
        let unread = |s: &&Sector| s.files.iter().any(|file| file.root == UNREAD);
        let numbers: Vec<u64> = self.sectors.values().filter(unread).map(|s| s.number).collect();
        for number in numbers {
            let found: Vec<_> = self.facts.replicas(number).map(|(id, replica)| (id.clone(), *replica)).collect();
            let still_unread = |kind| found.iter().any(|(id, _)| id.kind == kind && id.root == UNREAD);
            for (id, replica) in found.iter().filter(|(id, _)| !still_unread(id.kind)) {
                self.note_read(id, *replica);
            }
        }
    }

    /// A file that came with a path has been read whole for the first time: from now on it is known by its root.
    pub(crate) fn note_read(&mut self, id: &ReplicaId, replica: Replica) {
        let (number, kind) = (id.sector.number, id.kind);
        let waits = |sector: &Sector| sector.is_at_rest() && sector.origin == replica.origin;
        let unread = |sector: &Sector| sector.file(kind).is_some_and(|file| file.root == UNREAD);
        if id.root == UNREAD || !self.sectors.get(&number).is_some_and(|sector| waits(sector) && unread(sector)) {
            return;
        }
        if let Some(file) = self.sector_mut(number).and_then(|s| s.files.iter_mut().find(|file| file.kind == kind)) {
            (file.root, file.size_bytes) = (id.root, replica.size_bytes);
        }
    }
}
