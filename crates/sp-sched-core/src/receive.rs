//! DL: a sector that was sealed elsewhere is downloaded and taken over. Until its files are here, and a challenge of them was
//! answered, nobody counts on it; what it was said to be is checked then.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sp_types::{
    ByteSize, Commitment, DeadlineIndex, ErrorCode, FileKind, FileKindSet, HttpHeader, PartitionIndex, SectorState,
    StoreId, TaskId, TaskKind,
};

use crate::core::Core;
use crate::effect::{Reply, TaskParams};
use crate::event::{SectorRecord, StoreFact, TaskDone, TaskOutput};
use crate::explain::Refusal;
use crate::model::{OutputSlot, Sector};
use crate::outputs::Room;
use crate::place::names;
use crate::requests::Refused;

/// Where the files of a sector come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receive {
    /// What stands before `/{kind}/{sector}`.
    pub url: String,
    /// Sent along with every request.
    pub headers: Vec<HttpHeader>,
    /// What is downloaded.
    pub kinds: FileKindSet,
    /// Where the chain has it proven.
    pub place: (DeadlineIndex, PartitionIndex),
}

/// A sector to be downloaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReceiveOrder {
    /// Its number.
    pub number: u64,
    /// From where, and what of it.
    pub receive: Receive,
    /// What its files do not tell, with the commitment of the replica that it is of.
    pub record: Option<(Commitment, SectorRecord)>,
}

impl Receive {
    /// Is it an update that is to be proven?
    pub fn is_updated(&self) -> bool {
        self.kinds.contains(FileKind::Update)
    }
}

impl Core {
    /// Makes the sector and sets its download going. Of one that is being downloaded already, it changes the source.
    pub(crate) fn receive(&mut self, order: ReceiveOrder) -> Result<Reply, Refused> {
        let ReceiveOrder { number, receive, record } = order;
        let known = self.sectors.get(&number);
        if let Some(known) = known.filter(|known| known.receive.is_none()) {
            return Err((
                ErrorCode::WrongState,
                format!("there is a sector {number} already, in state {}", known.state),
            ));
        }
        let before = known.cloned();
        if before.is_none() {
            self.nothing_lies_here(number)?;
        }
        let mut sector = before.clone().unwrap_or_else(|| {
            let mut sector = Sector::new(number, self.config.seal_proof(), None, None, self.now);
            sector.origin = self.config.origin_of(number, self.now);
            sector
        });
        self.expect(&mut sector, &receive, record)?;
        let (kinds, url) = (names(receive.kinds.iter()), receive.url.clone());
        (sector.state, sector.receive) = (SectorState::ReceiveSector, Some(receive));
        match &before {
            None => self.never_give_out(number),
            Some(_) => self.end_all_tasks(number, "its files come from elsewhere now"),
        }
        self.sectors.insert(number, sector);
        self.log(number, "import begun".to_owned(), format!("{kinds} from {url}"));
        self.untidy.insert(number);
        self.drive(number);
        Ok(Reply::Moved(SectorState::ReceiveSector))
    }

    /// Files of its number that nobody knows would be in the way, and may be what is wanted.
    fn nothing_lies_here(&self, number: u64) -> Result<(), Refused> {
        if !self.facts.connected {
            let message = "the index is away: nobody knows which files are there; try again when it is back";
            return Err((ErrorCode::Unavailable, message.to_owned()));
        }
        let Some((id, _)) = self.facts.replicas(number).next() else { return Ok(()) };
        let message = format!(
            "there is a {} file of sector {number} on path {} already: import it without --from, or see \
             `sp-ctl storage find {number}` and `sp-ctl storage cleanup`",
            id.kind, id.store
        );
        Err((ErrorCode::WrongState, message))
    }

    /// What a record says that it is; what another one has said before is forgotten.
    fn expect(
        &self,
        sector: &mut Sector,
        receive: &Receive,
        record: Option<(Commitment, SectorRecord)>,
    ) -> Result<(), Refused> {
        let blank = Sector::new(sector.number, self.config.seal_proof(), None, None, self.now);
        (sector.seal_proof, sector.update, sector.data) = (blank.seal_proof, None, None);
        (sector.comm_r, sector.comm_d, sector.ticket, sector.seed) = (None, None, None, None);
        (sector.pieces, sector.proof) = (Vec::new(), Vec::new());
        (sector.failures, sector.last_error, sector.trouble) = (0, String::new(), blank.trouble);
        let updated = receive.is_updated();
        let Some((comm_r, record)) = record else {
            return match receive.kinds.contains(FileKind::Unsealed) {
                true => Err((
                    ErrorCode::BadRequest,
                    "without its record nobody knows what the unsealed file has to be; give it with --record"
                        .to_owned(),
                )),
                false => Ok(()),
            };
        };
        match updated {
            true => {
                let mut update = self.update_of(comm_r, sector, Some(&record));
                (update.accepted, update.key_awaited) = (None, false);
                sector.update = Some(update);
            }
            false => sector.comm_r = Some(comm_r),
        }
        self.fill_from_record(sector, record, updated)
    }

    /// Its files are here and counted: where it is proven, and what by.
    pub(crate) fn received(&mut self, number: u64, output: TaskOutput) -> Option<SectorState> {
        let TaskOutput::Download { comm_r, comm_r_old } = output else { return None };
        let receive = self.sectors.get(&number)?.receive.clone()?;
        let mut update = None;
        if receive.is_updated() {
            let sector = self.sectors.get(&number)?;
            let mut accepted = sector.update.clone().unwrap_or_else(|| self.update_of(comm_r, sector, None));
            (accepted.accepted, accepted.key_awaited) = (Some(self.now), false);
            update = Some(accepted);
        }
        let sector = self.sector_mut(number)?;
        match update {
            Some(update) => {
                (sector.update, sector.comm_r) = (Some(update), sector.comm_r.or(comm_r_old));
            }
            None => sector.comm_r = Some(comm_r),
        }
        sector.location = Some(receive.place);
        // Its headers are of no use to anybody any more.
        sector.receive = None;
        Some(SectorState::Proving)
    }

    /// Is what came what was asked for?
    pub(crate) fn receive_contradiction(&self, number: u64, done: &TaskDone) -> Option<(ErrorCode, String)> {
        let sector = self.sectors.get(&number)?;
        let TaskOutput::Download { comm_r, comm_r_old } = done.output else { return None };
        let key = sector.comm_r.filter(|_| comm_r_old.is_some()).zip(comm_r_old);
        if let Some((known, came)) = key.filter(|(known, came)| known != came) {
            let message = format!(
                "the record says that its replica before the update has comm_r {known}; the one that came has {came}"
            );
            return Some((ErrorCode::DigestMismatch, message));
        }
        if let Some(known) = sector.expected_comm_r().filter(|known| *known != comm_r) {
            let message = format!("the record is of the replica with comm_r {known}; the one that came has {comm_r}");
            return Some((ErrorCode::DigestMismatch, message));
        }
        let size = sector.seal_proof.size.bytes();
        let wrong = done
            .replicas
            .iter()
            .find(|(id, bytes)| matches!(id.kind, FileKind::Sealed | FileKind::Update) && *bytes != size);
        wrong.map(|(id, bytes)| {
            let message = format!("the {} file that came has {bytes} bytes; this cluster's have {size}", id.kind);
            (ErrorCode::DigestMismatch, message)
        })
    }

    // === placing ===

    /// Paths that store, for everything that is downloaded: one for all if there is one, else as few as may be.
    pub(crate) fn homes_for_download(&self, sector: &Sector, own: Vec<&StoreFact>) -> Result<Vec<OutputSlot>, Refusal> {
        let gone = || Refusal::new("gone", "its files are not to be downloaded any more".to_owned());
        let kinds: Vec<FileKind> = sector.receive.as_ref().ok_or_else(gone)?.kinds.iter().collect();
        let bytes = |kind: FileKind| kind.finalized_bytes(sector.seal_proof.size.bytes());
        let keepers = |kind: FileKind| {
            let keeps = move |store: &&&StoreFact| store.healthy && self.keeps(store, kind);
            own.iter().filter(keeps).copied().collect::<Vec<&StoreFact>>()
        };
        let slot = |kind: FileKind, store: StoreId| OutputSlot { kind, store, reserved_bytes: bytes(kind) };
        let of_all: Vec<&StoreFact> = own
            .iter()
            .filter(|store| store.healthy && kinds.iter().all(|kind| self.keeps(store, *kind)))
            .copied()
            .collect();
        let sum = kinds.iter().map(|kind| bytes(*kind)).sum();
        let clean = |id: &StoreId| self.has_leftover(sector, &kinds, id);
        if let Ok(store) = Room::of(self).best(of_all, sum, |_| false, clean) {
            return Ok(kinds.iter().map(|kind| slot(*kind, store.clone())).collect());
        }
        let mut room = Room::of(self);
        let mut slots: Vec<OutputSlot> = Vec::new();
        for kind in kinds.iter().copied() {
            let homes = keepers(kind);
            if homes.is_empty() {
                let text = format!("no healthy path with --store that keeps {kind}; attach one to it");
                return Err(Refusal::new("store", text));
            }
            let used: BTreeSet<StoreId> = slots.iter().map(|slot| slot.store.clone()).collect();
            let best =
                room.best(homes, bytes(kind), |s| used.contains(&s.id), |s| self.has_leftover(sector, &[kind], s));
            let store = best.map_err(|refusal| {
                let text = format!("{} for {kind} ({} in all)", refusal.text, ByteSize(sum));
                Refusal { text, ..refusal }
            })?;
            room.take(&store, bytes(kind));
            slots.push(slot(kind, store));
        }
        Ok(slots)
    }

    // === failures ===

    /// Trying again changes nothing before an operator has done something: the source has said no, or what it has is not
    /// what was asked for.
    pub(crate) fn download_is_hopeless(&self, task: TaskId, code: ErrorCode) -> bool {
        let hopeless = matches!(code, ErrorCode::BadRequest | ErrorCode::FileMissing | ErrorCode::DigestMismatch);
        hopeless && self.is_download(task)
    }

    /// A source that does not answer is no matter of this cluster: its operator is to see that soon.
    pub(crate) fn source_is_away(&self, task: TaskId, code: ErrorCode) -> bool {
        code == ErrorCode::Unavailable && self.is_download(task)
    }

    fn is_download(&self, task: TaskId) -> bool {
        self.tasks.get(&task).is_some_and(|task| task.kind == TaskKind::DownloadSector)
    }
}

impl Sector {
    /// Commitment that what is downloaded has to have; none where there is no record of it.
    fn expected_comm_r(&self) -> Option<Commitment> {
        match self.receive.as_ref()?.is_updated() {
            true => self.update.as_ref()?.comm_r,
            false => self.comm_r,
        }
    }

    /// Commitment that the unsealed file has to come to.
    fn expected_comm_d(&self) -> Option<Commitment> {
        match self.receive.as_ref()?.is_updated() {
            true => self.update.as_ref()?.comm_d,
            false => self.comm_d,
        }
    }
}

/// What its worker is told.
pub(crate) fn download_params(sector: &Sector) -> Result<TaskParams, String> {
    let receive = sector.receive.as_ref().ok_or("its files are not to be downloaded any more")?;
    Ok(TaskParams::Download {
        url: receive.url.clone(),
        headers: receive.headers.clone(),
        comm_r: sector.expected_comm_r(),
        comm_d: sector.expected_comm_d(),
    })
}
