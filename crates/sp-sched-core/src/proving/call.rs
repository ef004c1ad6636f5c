//! What the scheduler and the chain say to each other about proving.

use serde::{Deserialize, Serialize};
use sp_chain::{Opening, PartitionState};
use sp_types::{ChainEpoch, Commitment, Randomness, RegisteredSealProof};

use crate::model::{UnixMs, WinRow};

/// A sector as a prover needs it: number, commitment of the replica, proof of its sealing.
pub type PostSector = (u64, Commitment, RegisteredSealProof);

/// What the chain is asked. Every call may be repeated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ProvingCall {
    /// How things stand with an opening.
    Ask(Opening),
    /// Take the proof of a partition.
    Submit(Box<Submission>),
    /// These faulty sectors are going to be proven at this opening again.
    Recover {
        /// Which opening; before its fault cutoff.
        opening: Opening,
        /// Numbers, rising.
        sectors: Vec<u64>,
    },
    /// Was this epoch won?
    Elect(ChainEpoch),
    /// Take the proof of an epoch that was won.
    Win(Box<WinRow>),
    /// These sectors are given up for good.
    Terminate {
        /// An opening of their deadline.
        opening: Opening,
        /// Numbers, rising.
        sectors: Vec<u64>,
    },
}

/// Ties an answer to its call: the opening, by its first epoch, or the epoch of an election, and what was asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProvingId {
    /// First epoch of the opening, or the one that is elected for.
    pub open: ChainEpoch,
    /// What about it.
    pub about: ProvingMatter,
}

/// What a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ProvingMatter {
    /// `ProvingCall::Ask`.
    State,
    /// `ProvingCall::Submit` of this partition.
    Partition(u32),
    /// `ProvingCall::Recover`.
    Recovery,
    /// `ProvingCall::Terminate`.
    Termination,
    /// `ProvingCall::Elect`.
    Election,
    /// `ProvingCall::Win`.
    Win,
}

/// A proof on its way to the chain. The unit is the partition: what one of them skips shifts nothing in another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submission {
    /// When it is to be proven.
    pub opening: Opening,
    /// Index in the deadline.
    pub partition: u32,
    /// What it was proven under.
    pub randomness: Randomness,
    /// Sectors proven, rising.
    pub sectors: Vec<PostSector>,
    /// Sectors that should have been proven and are not: they become faulty. Rising.
    pub skipped: Vec<u64>,
    /// 192 bytes.
    pub proof: Vec<u8>,
}

/// What the chain answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ProvingReply {
    /// To `Ask`.
    State(Box<OpeningState>),
    /// To `Elect`. None: it was not won.
    Election(Option<Won>),
    /// The submission, recovery, termination or proof counts.
    Accepted,
    /// It does not count, and would not if it were said again.
    Refused {
        /// Why.
        reason: String,
    },
    /// The chain could not be asked.
    Failed {
        /// Why.
        reason: String,
    },
}

/// An epoch that was won.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Won {
    /// What it is to be proven under.
    pub randomness: Randomness,
    /// The challenged sector.
    pub sector: u64,
}

/// An opening as the chain has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpeningState {
    /// None: not drawn yet.
    pub randomness: Option<Randomness>,
    /// When it opens.
    pub opens: UnixMs,
    /// When it closes.
    pub closes: UnixMs,
    /// Partitions with sectors, rising.
    pub partitions: Vec<PartitionState>,
}

impl ProvingCall {
    /// What its answer is tied to.
    pub fn id(&self) -> ProvingId {
        let (open, about) = match self {
            Self::Ask(opening) => (opening.open, ProvingMatter::State),
            Self::Submit(submission) => (submission.opening.open, ProvingMatter::Partition(submission.partition)),
            Self::Recover { opening, .. } => (opening.open, ProvingMatter::Recovery),
            Self::Terminate { opening, .. } => (opening.open, ProvingMatter::Termination),
            Self::Elect(epoch) => (*epoch, ProvingMatter::Election),
            Self::Win(win) => (win.epoch, ProvingMatter::Win),
        };
        ProvingId { open, about }
    }
}
