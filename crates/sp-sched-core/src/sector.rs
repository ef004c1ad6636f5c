//! What a sector's row says by itself: which work its state asks for, which files count, what it proves.

use std::collections::BTreeSet;

use sp_types::{Commitment, FileKind, Origin, PieceInfo, RegisteredSealProof, SectorState, TaskKind};

use crate::data::SectorData;
use crate::effect::ChainCall;
use crate::model::{DATA_PRIORITY, Sector, SectorFile, Trouble, UnixMs, Update};

/// Kinds that a task makes.
pub(crate) fn output_kinds(kind: TaskKind) -> &'static [FileKind] {
    match kind {
        TaskKind::AddPiece | TaskKind::Unseal | TaskKind::FinalizeUnsealed => &[FileKind::Unsealed],
        TaskKind::PreCommit1 | TaskKind::PreCommit2 | TaskKind::RegenSectorKey => &[FileKind::Sealed, FileKind::Cache],
        TaskKind::Commit1 | TaskKind::ProveReplicaUpdate1 => &[FileKind::Vanilla],
        TaskKind::Finalize => &[FileKind::Cache],
        TaskKind::ReplicaUpdate => &[FileKind::Update, FileKind::UpdateCache],
        TaskKind::FinalizeReplicaUpdate => &[FileKind::UpdateCache],
        _ => &[],
    }
}

/// Work beside the pipeline, on a sector that is proven: its failure is no failure of the sector.
pub(crate) fn is_aside(kind: TaskKind) -> bool {
    matches!(kind, TaskKind::Unseal | TaskKind::FinalizeUnsealed | TaskKind::RegenSectorKey | TaskKind::Fetch)
}

impl Sector {
    pub(crate) fn new(
        number: u64,
        seal_proof: RegisteredSealProof,
        data: Option<SectorData>,
        priority: Option<i64>,
        now: UnixMs,
    ) -> Self {
        Self {
            number,
            seal_proof,
            state: SectorState::Packing,
            priority: priority.unwrap_or(if data.is_some() { DATA_PRIORITY } else { 0 }),
            data,
            pieces: Vec::new(),
            comm_d: None,
            comm_r: None,
            ticket: None,
            seed: None,
            seed_epoch: None,
            phase1: Vec::new(),
            proof: Vec::new(),
            location: None,
            files: Vec::new(),
            update: None,
            failures: 0,
            last_error: String::new(),
            trouble: Trouble::default(),
            created: now,
            proving_since: None,
            home: None,
            log: Vec::new(),
            origin: None,
            let_go: BTreeSet::new(),
            receive: None,
            keep: Vec::new(),
        }
    }

    // === files ===

    /// The file of this kind that counts.
    pub(crate) fn file(&self, kind: FileKind) -> Option<&SectorFile> {
        self.files.iter().find(|f| f.kind == kind)
    }

    /// May files of this origin be deleted once they do not count? Others are of another sector of its number.
    pub(crate) fn has_say_over(&self, origin: Option<Origin>) -> bool {
        self.origin == origin || self.let_go.contains(&origin)
    }

    /// Of the replica before the update, and may still come: see `Update::key_awaited`.
    pub(crate) fn awaits(&self, kind: FileKind) -> bool {
        let is_of_key = matches!(kind, FileKind::Sealed | FileKind::Cache);
        is_of_key && self.file(kind).is_none() && self.accepted_update().is_some_and(|update| update.key_awaited)
    }

    pub(crate) fn drop_files(&mut self, kinds: &[FileKind]) {
        self.files.retain(|f| !kinds.contains(&f.kind));
        if kinds.contains(&FileKind::Unsealed) {
            self.keep.clear();
        }
    }

    /// Kinds that a task of this sector reads.
    pub(crate) fn input_kinds(&self, kind: TaskKind) -> &'static [FileKind] {
        match kind {
            TaskKind::PreCommit1 | TaskKind::FinalizeUnsealed => &[FileKind::Unsealed],
            TaskKind::Unseal if self.is_updated() => &[FileKind::Sealed, FileKind::Cache, FileKind::Update],
            TaskKind::PreCommit2 | TaskKind::Commit1 | TaskKind::Unseal => &[FileKind::Sealed, FileKind::Cache],
            TaskKind::Commit2 | TaskKind::ProveReplicaUpdate2 => &[FileKind::Vanilla],
            TaskKind::Finalize => &[FileKind::Cache],
            TaskKind::ReplicaUpdate => &[FileKind::Unsealed, FileKind::Sealed, FileKind::Cache],
            TaskKind::ProveReplicaUpdate1 => {
                &[FileKind::Sealed, FileKind::Cache, FileKind::Update, FileKind::UpdateCache]
            }
            TaskKind::FinalizeReplicaUpdate => &[FileKind::UpdateCache],
            // Only the old cache tells the commitment that the data was encoded under.
            TaskKind::RegenSectorKey => &[FileKind::Unsealed, FileKind::Update, FileKind::Cache],
            _ => &[],
        }
    }

    // === work ===

    /// The state whose work is to be done: in a failure state that waits, the one in which it goes on.
    pub(crate) fn at_work(&self) -> SectorState {
        let waits = self.state.is_failure() && self.trouble.retry_at.is_some();
        self.trouble.resume.filter(|_| waits).unwrap_or(self.state)
    }

    /// The task that its state asks for.
    pub(crate) fn wanted_task(&self) -> Option<TaskKind> {
        match self.at_work() {
            SectorState::Packing | SectorState::SnapDealsAddPiece => Some(TaskKind::AddPiece),
            SectorState::PreCommit1 => self.ticket.map(|_| TaskKind::PreCommit1),
            SectorState::PreCommit2 => Some(TaskKind::PreCommit2),
            SectorState::Committing1 => Some(TaskKind::Commit1),
            SectorState::Committing2 => self.proof.is_empty().then_some(TaskKind::Commit2),
            SectorState::CommitFinalize | SectorState::FinalizeSector => Some(TaskKind::Finalize),
            SectorState::ReceiveSector => self.receive.as_ref().map(|_| TaskKind::DownloadSector),
            SectorState::UpdateReplica => Some(TaskKind::ReplicaUpdate),
            SectorState::ProveReplicaUpdate => Some(match self.file(FileKind::Vanilla) {
                None => TaskKind::ProveReplicaUpdate1,
                Some(_) => TaskKind::ProveReplicaUpdate2,
            }),
            SectorState::FinalizeReplicaUpdate => Some(TaskKind::FinalizeReplicaUpdate),
            _ => None,
        }
    }

    /// May there be a task of this kind? Its state asks for it, or it goes on beside what the sector does.
    pub(crate) fn wants(&self, kind: TaskKind) -> bool {
        self.wanted_task() == Some(kind) || (is_aside(kind) && self.is_at_rest())
    }

    /// The chain call that its state asks for.
    pub(crate) fn wanted_call(&self) -> Option<ChainCall> {
        match self.state {
            SectorState::PreCommit1 if self.ticket.is_none() => Some(ChainCall::Ticket),
            SectorState::WaitSeed => match self.seed_epoch {
                None => Some(ChainCall::PreCommit { comm_r: self.comm_r?, comm_d: self.comm_d? }),
                Some(epoch) => Some(ChainCall::Seed { epoch }),
            },
            SectorState::Committing2 | SectorState::SubmitCommit if !self.proof.is_empty() => {
                Some(ChainCall::Commit { proof: self.proof.clone() })
            }
            _ => None,
        }
    }

    // === what it holds and proves ===

    /// Its update is what counts.
    pub fn is_updated(&self) -> bool {
        self.accepted_update().is_some()
    }

    /// The update that counts.
    pub fn accepted_update(&self) -> Option<&Update> {
        self.update.as_ref().filter(|update| update.accepted.is_some())
    }

    /// The data in it, once it is proven with it; none for CC.
    pub fn stored_data(&self) -> Option<&SectorData> {
        match self.accepted_update() {
            Some(update) => update.data.as_ref(),
            None => self.data.as_ref(),
        }
    }

    /// Why there is no data in it to be had, for its operator.
    pub fn why_no_data(&self) -> String {
        match self.is_at_rest() && (self.is_updated() || self.present_comm_d().is_none()) {
            true => format!(
                "sector {} was imported without its record: nobody here knows what data is in it, and it can only be \
                 proven",
                self.number
            ),
            false => format!("sector {} is a CC sector and holds no data", self.number),
        }
    }

    /// The pieces as sealed, fillers included, that the data that counts is made of.
    pub fn stored_pieces(&self) -> &[PieceInfo] {
        self.accepted_update().map_or(&self.pieces, |update| &update.pieces)
    }

    /// The data whose bytes an operator sends or has sent last, and whether they have arrived.
    pub(crate) fn upload(&self) -> Option<(&SectorData, bool)> {
        match &self.update {
            Some(update) => update.data.as_ref().map(|data| (data, !update.pieces.is_empty())),
            None => self.data.as_ref().map(|data| (data, !self.pieces.is_empty())),
        }
    }

    /// Commitment of the data that counts.
    pub fn present_comm_d(&self) -> Option<Commitment> {
        self.accepted_update().map_or(self.comm_d, |update| update.comm_d)
    }

    /// Commitment of the replica that it proves.
    pub fn present_comm_r(&self) -> Option<Commitment> {
        self.accepted_update().map_or(self.comm_r, |update| update.comm_r)
    }

    /// The chain counts on it: it has to be proven at its deadline, whatever else is done with it meanwhile.
    pub fn is_proven(&self) -> bool {
        let location = self.location.filter(|_| !self.state.is_gone());
        // While FIN publishes its trimmed cache, a reader may find neither the old one nor the new one.
        location.is_some() && self.state != SectorState::FinalizeSector
    }

    /// The files that prove this replica: the update for its own commitment, else the one before it.
    pub(crate) fn proving_files(&self, comm_r: Commitment) -> impl Iterator<Item = &SectorFile> {
        let updated = self.accepted_update().is_some_and(|update| update.comm_r == Some(comm_r));
        let kinds = match updated {
            true => [FileKind::Update, FileKind::UpdateCache],
            false => [FileKind::Sealed, FileKind::Cache],
        };
        self.files.iter().filter(move |f| kinds.contains(&f.kind))
    }
}
