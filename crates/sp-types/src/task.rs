//! Task kinds with Lotus's wire strings, short codes, order numbers and tiers (`sealtasks/task.go` semantics).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TaskKind {
    /// DC: commitment of a piece.
    DataCid,
    /// AP: write a piece into the unsealed file.
    AddPiece,
    /// PC1: label the layers.
    PreCommit1,
    /// PC2: build the trees, encode the replica.
    PreCommit2,
    /// C1: vanilla proofs.
    Commit1,
    /// C2: the SNARK.
    Commit2,
    /// FIN: trim the cache.
    Finalize,
    /// FUS: release the unsealed copy.
    FinalizeUnsealed,
    /// GET: move files.
    Fetch,
    /// UNS: decode the sealed file.
    Unseal,
    /// RU: encode new data into a sealed sector.
    ReplicaUpdate,
    /// PR1: vanilla proofs of an update.
    ProveReplicaUpdate1,
    /// PR2: the SNARK of an update.
    ProveReplicaUpdate2,
    /// GSK: regenerate the sector key.
    RegenSectorKey,
    /// FRU: finalise an update.
    FinalizeReplicaUpdate,
    /// DL: download a sector.
    DownloadSector,
    /// WDP: prove one window PoSt partition.
    GenerateWindowPost,
    /// WNP: prove a winning PoSt.
    GenerateWinningPost,
}

/// Class of a task; a worker serves exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TaskClass {
    /// Sealing, shown as `Seal`.
    Sealing,
    /// Window PoSt, shown as `WdPoSt`.
    WindowPost,
    /// Winning PoSt, shown as `WinPoSt`.
    WinningPost,
}

/// A text that names no task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown task `{0}` (known: DC AP PC1 PC2 C1 C2 FIN FUS GET UNS RU PR1 PR2 GSK FRU DL WDP WNP)")]
pub struct UnknownTask(pub String);

impl TaskKind {
    /// Every kind.
    pub const ALL: [Self; 18] = [
        Self::DataCid,
        Self::AddPiece,
        Self::PreCommit1,
        Self::PreCommit2,
        Self::Commit1,
        Self::Commit2,
        Self::Finalize,
        Self::FinalizeUnsealed,
        Self::Fetch,
        Self::Unseal,
        Self::ReplicaUpdate,
        Self::ProveReplicaUpdate1,
        Self::ProveReplicaUpdate2,
        Self::RegenSectorKey,
        Self::FinalizeReplicaUpdate,
        Self::DownloadSector,
        Self::GenerateWindowPost,
        Self::GenerateWinningPost,
    ];

    /// Short code, as users know it.
    pub fn short(self) -> &'static str {
        match self {
            Self::DataCid => "DC",
            Self::AddPiece => "AP",
            Self::PreCommit1 => "PC1",
            Self::PreCommit2 => "PC2",
            Self::Commit1 => "C1",
            Self::Commit2 => "C2",
            Self::Finalize => "FIN",
            Self::FinalizeUnsealed => "FUS",
            Self::Fetch => "GET",
            Self::Unseal => "UNS",
            Self::ReplicaUpdate => "RU",
            Self::ProveReplicaUpdate1 => "PR1",
            Self::ProveReplicaUpdate2 => "PR2",
            Self::RegenSectorKey => "GSK",
            Self::FinalizeReplicaUpdate => "FRU",
            Self::DownloadSector => "DL",
            Self::GenerateWindowPost => "WDP",
            Self::GenerateWinningPost => "WNP",
        }
    }

    /// Lotus's wire string.
    pub fn wire(self) -> &'static str {
        match self {
            Self::DataCid => "seal/v0/datacid",
            Self::AddPiece => "seal/v0/addpiece",
            Self::PreCommit1 => "seal/v0/precommit/1",
            Self::PreCommit2 => "seal/v0/precommit/2",
            Self::Commit1 => "seal/v0/commit/1",
            Self::Commit2 => "seal/v0/commit/2",
            Self::Finalize => "seal/v0/finalize",
            Self::FinalizeUnsealed => "seal/v0/finalizeunsealed",
            Self::Fetch => "seal/v0/fetch",
            Self::Unseal => "seal/v0/unseal",
            Self::ReplicaUpdate => "seal/v0/replicaupdate",
            Self::ProveReplicaUpdate1 => "seal/v0/provereplicaupdate/1",
            Self::ProveReplicaUpdate2 => "seal/v0/provereplicaupdate/2",
            Self::RegenSectorKey => "seal/v0/regensectorkey",
            Self::FinalizeReplicaUpdate => "seal/v0/finalize/replicaupdate",
            Self::DownloadSector => "seal/v0/download/sector",
            Self::GenerateWindowPost => "post/v0/windowproof",
            Self::GenerateWinningPost => "post/v0/winningproof",
        }
    }

    /// Order number: negative goes before everything else; among equals of priority the lower goes first.
    /// FRU is -3 like FIN: Lotus forgets it in its table.
    pub fn order(self) -> i32 {
        match self {
            Self::DataCid => 10,
            Self::AddPiece => 9,
            Self::PreCommit1 => 5,
            Self::PreCommit2 => 4,
            Self::Commit1 => 2,
            Self::Commit2 => 3,
            Self::Finalize | Self::FinalizeReplicaUpdate => -3,
            Self::FinalizeUnsealed => -4,
            Self::Fetch => -1,
            Self::Unseal => 1,
            Self::ReplicaUpdate => 8,
            Self::ProveReplicaUpdate1 => 6,
            Self::ProveReplicaUpdate2 => 7,
            Self::RegenSectorKey => 11,
            Self::DownloadSector => -2,
            Self::GenerateWindowPost => -5,
            Self::GenerateWinningPost => -6,
        }
    }

    /// Which class of worker runs it.
    pub fn class(self) -> TaskClass {
        match self {
            Self::GenerateWindowPost => TaskClass::WindowPost,
            Self::GenerateWinningPost => TaskClass::WinningPost,
            _ => TaskClass::Sealing,
        }
    }

    /// True for the tasks that `sp-ctl tasks enable` and `disable` switch: Lotus's nine.
    pub fn can_be_switched(self) -> bool {
        self.class() == TaskClass::Sealing && !self.always_on() && self != Self::DownloadSector
    }

    /// True for the tasks that every sealing worker serves, even with `--no-default`.
    pub fn always_on(self) -> bool {
        matches!(
            self,
            Self::Commit1
                | Self::ProveReplicaUpdate1
                | Self::Finalize
                | Self::FinalizeUnsealed
                | Self::Fetch
                | Self::FinalizeReplicaUpdate
        )
    }
}

/// The short code.
impl fmt::Display for TaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.short())
    }
}

/// Parses a short code in any case; `PRU2` is another name of `PR2`.
impl FromStr for TaskKind {
    type Err = UnknownTask;
    fn from_str(text: &str) -> Result<Self, UnknownTask> {
        let upper = text.to_ascii_uppercase();
        let name = if upper == "PRU2" { "PR2" } else { &upper };
        Self::ALL.into_iter().find(|k| k.short() == name).ok_or_else(|| UnknownTask(text.to_owned()))
    }
}

impl fmt::Display for TaskClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sealing => "Seal",
            Self::WindowPost => "WdPoSt",
            Self::WinningPost => "WinPoSt",
        })
    }
}
