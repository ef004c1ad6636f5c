//! Sectors that were sealed elsewhere and whose files have come with a path: taken over as they lie. Of a sector that was
//! updated (SnapDeals) the update is what is proven; the replica before it, if it is there, is what the data is read with.

use serde::{Deserialize, Serialize};
use sp_types::{
    ChainEpoch, Commitment, DeadlineIndex, ErrorCode, FileKind, Origin, PartitionIndex, PieceInfo, RegisteredSealProof,
    ReplicaId, SectorState,
};

use crate::core::Core;
use crate::data::SectorData;
use crate::effect::Reply;
use crate::facts::Replica;
use crate::model::{Sector, SectorFile, Update};
use crate::requests::Refused;

/// The root of a file that nobody has read whole yet.
pub(crate) const UNREAD: [u8; 32] = [0; 32];

/// Kinds without which a sector that was never updated cannot be proven; of an updated one they are its key.
const PLAIN: [FileKind; 2] = [FileKind::Sealed, FileKind::Cache];

/// Kinds without which an updated sector cannot be proven.
const UPDATED: [FileKind; 2] = [FileKind::Update, FileKind::UpdateCache];

/// A sector to be taken over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Import {
    /// Its number.
    pub number: u64,
    /// Commitment of the replica that lies there; whoever asks has had a challenge of it answered.
    pub comm_r: Commitment,
    /// That replica is an update.
    #[serde(default)]
    pub updated: bool,
    /// Where the chain has it proven.
    pub place: (DeadlineIndex, PartitionIndex),
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
    /// What took the place of its zeros; everything above is of before.
    #[serde(default)]
    pub update: Option<UpdateRecord>,
}

/// What the files of an update do not tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpdateRecord {
    /// Commitment of the replica before the update.
    pub comm_r_old: Commitment,
    /// Commitment of the new data.
    pub comm_d: Commitment,
    /// Pieces as encoded, fillers included.
    pub pieces: Vec<PieceInfo>,
    /// The new data.
    pub data: SectorData,
    /// The update proof.
    pub proof: Vec<u8>,
}

impl Core {
    /// Sectors that nobody here knows and of which a replica is there with its cache, rising.
    pub fn foreign_sectors(&self) -> Vec<u64> {
        let has = |number: u64, kind| self.facts.replicas(number).any(|(id, _)| id.kind == kind);
        let whole = |number: &u64| [PLAIN, UPDATED].iter().any(|kinds| kinds.iter().all(|kind| has(*number, *kind)));
        self.facts.sectors().filter(|number| !self.sectors.contains_key(number)).filter(whole).collect()
    }

    /// Takes a sector over. The same one again changes nothing, but that files are counted for which it waited.
    pub(crate) fn import(&mut self, import: Import) -> Result<Reply, Refused> {
        let Import { number, comm_r, updated, place, record } = import;
        let wrong = |message: String| Err((ErrorCode::WrongState, message));
        if let Some(known) = self.sectors.get(&number) {
            if !known.is_proven() || known.present_comm_r() != Some(comm_r) {
                return wrong(format!("there is a sector {number} already, in state {}", known.state));
            }
            let state = known.state;
            self.add_awaited(number, updated)?;
            return Ok(Reply::Moved(state));
        }
        let files = self.foreign_files(number, updated)?;
        let mut sector = Sector::new(number, self.config.seal_proof(), None, None, self.now);
        sector.origin = self.origin_of_files(number);
        (sector.files, sector.location) = (files, Some(place));
        match updated {
            true => sector.update = Some(self.update_of(comm_r, &sector, record.as_ref())),
            false => sector.comm_r = Some(comm_r),
        }
        if let Some(record) = record {
            self.fill_from_record(&mut sector, record, updated)?;
        }
        (sector.state, sector.proving_since) = (SectorState::Proving, Some(self.now));
        self.sectors.insert(number, sector);
        self.never_give_out(number);
        let (deadline, partition) = place;
        let what = if updated { ", with its update" } else { "" };
        self.log(number, "imported".to_owned(), format!("deadline {deadline}, partition {partition}{what}"));
        self.untidy.insert(number);
        Ok(Reply::Moved(SectorState::Proving))
    }

    /// What a record tells of the replica that was sealed; of the update it tells elsewhere.
    pub(crate) fn fill_from_record(
        &self,
        sector: &mut Sector,
        record: SectorRecord,
        updated: bool,
    ) -> Result<(), Refused> {
        let wrong = |message: String| Err((ErrorCode::WrongState, message));
        let SectorRecord { seal_proof, comm_d, ticket, seed, pieces, data, proof, update } = record;
        if seal_proof.size != self.config.sector_size {
            return wrong(format!(
                "the record is of a {} sector; this cluster's are of {}",
                seal_proof.size, self.config.sector_size
            ));
        }
        if update.is_some() != updated {
            return wrong(format!("the record of sector {} is not of the replica that lies there", sector.number));
        }
        sector.comm_r = sector.comm_r.or(update.map(|update| update.comm_r_old));
        sector.seal_proof = seal_proof;
        (sector.comm_d, sector.ticket, sector.seed) = (Some(comm_d), Some(ticket), Some(seed));
        (sector.pieces, sector.data, sector.proof) = (pieces, data, proof);
        Ok(())
    }

    /// Its files may be our own, of before a state was lost. The oldest of them tells.
    fn origin_of_files(&self, number: u64) -> Option<Origin> {
        let of = |kind| self.facts.replicas(number).find(|(id, _)| id.kind == kind);
        of(FileKind::Sealed).or(of(FileKind::Update)).and_then(|(_, replica)| replica.origin)
    }

    /// The update that counts, of a sector whose files are known.
    pub(crate) fn update_of(&self, comm_r: Commitment, sector: &Sector, record: Option<&SectorRecord>) -> Update {
        let mut update = Update {
            data: None,
            pieces: Vec::new(),
            comm_d: None,
            comm_r: Some(comm_r),
            proof: Vec::new(),
            accepted: Some(self.now),
            key_awaited: PLAIN.into_iter().any(|kind| sector.file(kind).is_none()),
        };
        if let Some(UpdateRecord { comm_r_old: _, comm_d, pieces, data, proof }) =
            record.and_then(|record| record.update.clone())
        {
            (update.comm_d, update.data) = (Some(comm_d), Some(data));
            (update.pieces, update.proof) = (pieces, proof);
        }
        update
    }

    /// What of the replica before the update has come with a path since the sector was taken over.
    fn add_awaited(&mut self, number: u64, updated: bool) -> Result<(), Refused> {
        let awaits = |sector: &Sector| PLAIN.into_iter().any(|kind| sector.awaits(kind));
        if !self.sectors.get(&number).is_some_and(awaits) {
            return Ok(());
        }
        let files = self.foreign_files(number, updated)?;
        let Some(sector) = self.sector_mut(number) else { return Ok(()) };
        let come: Vec<SectorFile> = files.into_iter().filter(|file| sector.awaits(file.kind)).collect();
        let kinds: Vec<_> = come.iter().map(|file| file.kind.to_string()).collect();
        sector.files.extend(come);
        sector.files.sort_by_key(|file| file.kind);
        let is_whole = PLAIN.into_iter().all(|kind| sector.file(kind).is_some());
        if let Some(update) = &mut sector.update {
            update.key_awaited = !is_whole;
        }
        if !kinds.is_empty() {
            self.log(number, "imported".to_owned(), format!("of before its update: {}", kinds.join(", ")));
            self.untidy.insert(number);
        }
        Ok(())
    }

    /// The files of a sector that lie on paths, or why they are none that could be taken over.
    fn foreign_files(&self, number: u64, updated: bool) -> Result<Vec<SectorFile>, Refused> {
        if !self.facts.connected {
            let message = "the index is away: nobody knows which files are there; try again when it is back";
            return Err((ErrorCode::Unavailable, message.to_owned()));
        }
        let mut files: Vec<SectorFile> = Vec::new();
        for (id, replica) in self.facts.replicas(number) {
            let file = SectorFile { kind: id.kind, root: id.root, size_bytes: replica.size_bytes, held: None };
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
        self.are_enough(number, updated, &files)?;
        files.sort_by_key(|file| file.kind);
        Ok(files)
    }

    /// Can the sector be proven with these files, and with the replica that whoever asks has looked at?
    fn are_enough(&self, number: u64, updated: bool, files: &[SectorFile]) -> Result<(), Refused> {
        let file = |kind: FileKind| files.iter().find(|file| file.kind == kind);
        let there = UPDATED.into_iter().find(|kind| file(*kind).is_some());
        let message = match (there, updated) {
            // Which of its replicas the chain counts on cannot be told by a sealed file that is still there.
            (Some(kind), _) => UPDATED.into_iter().find(|kind| file(*kind).is_none()).map(|missing| {
                format!(
                    "sector {number} was updated (SnapDeals): its {kind} is there, and no path has the {missing}; attach \
                     the path that has it"
                )
            }),
            (None, true) => Some(format!("no path has the update of sector {number} any more; attach the one that has it")),
            (None, false) => PLAIN
                .into_iter()
                .find(|kind| file(*kind).is_none())
                .map(|kind| format!("no path has the {kind} of sector {number}")),
        };
        if let Some(message) = message {
            return Err((ErrorCode::FileMissing, message));
        }
        if there.is_some() && !updated {
            let message = format!(
                "sector {number} was updated (SnapDeals), and what was looked at is the replica before: import it again, \
                 with an `sp-ctl` and a worker that know updates"
            );
            return Err((ErrorCode::WrongState, message));
        }
        let size = self.config.sector_size.bytes();
        let replicas = [FileKind::Sealed, FileKind::Update].into_iter().filter_map(file);
        match replicas.into_iter().find(|file| file.size_bytes != size) {
            None => Ok(()),
            Some(SectorFile { kind, size_bytes: found, .. }) => {
                let message =
                    format!("the {kind} file of sector {number} has {found} bytes; this cluster's have {size}");
                Err((ErrorCode::WrongState, message))
            }
        }
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
