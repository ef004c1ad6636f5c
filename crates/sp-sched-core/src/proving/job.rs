//! A PoSt that somebody waits for: its partitions, who proves them, and what went wrong so far.

use std::collections::BTreeMap;

use sp_types::{
    AttemptId, ChainEpoch, DeadlineIndex, GpuShare, HostId, PostProof, PostType, Randomness, SectorSize, TaskId,
    TaskKind, WorkerId,
};

use super::call::PostSector;
use crate::config::Config;
use crate::effect::ProvenPartition;
use crate::event::{Progress, RequestId};
use crate::model::UnixMs;

/// Sectors left out, with the reason.
pub(crate) type Skipped = Vec<(u64, String)>;

/// Failures of a partition on one worker after which he is no longer counted on for it.
const FAILURES_PER_WORKER: u32 = 2;

/// For whom a PoSt is: the first is served first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PostId {
    /// The chain, at the opening with this first epoch.
    Opening(ChainEpoch),
    /// The chain, for this epoch that was won.
    Won(ChainEpoch),
    /// An operator who waits for the answer.
    Asked(RequestId),
    /// Whoever has to know whose faults are over at that opening.
    Recovery(ChainEpoch),
    /// Whoever wants to know how this partition of that opening will do.
    Rehearsal(ChainEpoch, u32),
}

impl PostId {
    /// Nobody is told that it has failed before its time is over: until then somebody tries.
    pub(crate) fn is_for_the_chain(self) -> bool {
        matches!(self, Self::Opening(_) | Self::Won(_))
    }

    pub(crate) fn is_rehearsal(self) -> bool {
        matches!(self, Self::Rehearsal(..))
    }
}

/// How far a proof is on its way to the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Handed {
    /// Not handed in.
    #[default]
    No,
    /// Handed in; without an answer it is handed in again.
    Asked { again: UnixMs },
    /// The chain has it.
    Accepted,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PostKind {
    Window(DeadlineIndex),
    Winning,
    Check(DeadlineIndex),
    Rehearsal(DeadlineIndex),
}

/// One PoSt.
#[derive(Debug, Clone)]
pub(crate) struct PostJob {
    pub(crate) kind: PostKind,
    pub(crate) randomness: Randomness,
    pub(crate) started: UnixMs,
    /// The answer is due.
    pub(crate) until: UnixMs,
    /// People have been told that it could be late.
    pub(crate) alerted: bool,
    pub(crate) parts: Vec<Part>,
}

/// One partition; a task that lives in memory.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) task: TaskId,
    pub(crate) index: u32,
    pub(crate) sectors: Vec<PostSector>,
    pub(crate) last_number: u32,
    /// Who has it now, the first one first: more than one where the first right answer wins.
    pub(crate) tries: Vec<Try>,
    /// Tries that came to nothing.
    pub(crate) failed_tries: u32,
    /// Workers that failed, and how often.
    pub(crate) failed_on: BTreeMap<WorkerId, u32>,
    /// Workers whose proof the verifier refused: out for this request, and the last choice for the chain.
    pub(crate) refused: Vec<WorkerId>,
    /// `name: reason` of each failed try.
    pub(crate) retries: Vec<String>,
    /// Not before this time on a worker that has failed already.
    pub(crate) again_at: UnixMs,
    /// Since when there is nobody to ask.
    pub(crate) nobody_since: Option<UnixMs>,
    pub(crate) done: Option<ProvenPartition>,
    /// Sectors that its proof leaves out.
    pub(crate) problems: Skipped,
    /// Sectors that should be proven with it and that nobody can prove.
    pub(crate) lost: Skipped,
    /// For the chain: whether it has the proof.
    pub(crate) handed: Handed,
}

/// A partition given to a worker.
#[derive(Debug, Clone)]
pub(crate) struct Try {
    pub(crate) attempt: AttemptId,
    pub(crate) worker: WorkerId,
    pub(crate) host: HostId,
    /// Devices that it computes on.
    pub(crate) gpus: Vec<GpuShare>,
    pub(crate) since: UnixMs,
    /// Its worker proves another partition and only reads this one.
    pub(crate) ahead: bool,
    pub(crate) progress: Option<Progress>,
    pub(crate) verifying: Option<Proof>,
}

/// A proof on its way through the verifier.
#[derive(Debug, Clone)]
pub(crate) struct Proof {
    pub(crate) proof: Vec<u8>,
    pub(crate) skipped: Skipped,
    pub(crate) ask_at: UnixMs,
    /// Times the verifier could not decide, and why the last time.
    pub(crate) failures: u32,
    pub(crate) reason: String,
}

impl PostKind {
    pub(crate) fn task(self) -> TaskKind {
        match self {
            Self::Window(_) | Self::Check(_) | Self::Rehearsal(_) => TaskKind::GenerateWindowPost,
            Self::Winning => TaskKind::GenerateWinningPost,
        }
    }

    pub(crate) fn deadline(self) -> u32 {
        match self {
            Self::Window(deadline) | Self::Check(deadline) | Self::Rehearsal(deadline) => deadline.0,
            Self::Winning => 0,
        }
    }

    pub(crate) fn proof_type(self, size: SectorSize) -> PostProof {
        let post_type = if self == Self::Winning { PostType::Winning } else { PostType::Window };
        PostProof { size, post_type }
    }

    pub(crate) fn limit_ms(self, config: &Config) -> u64 {
        match self {
            Self::Window(_) | Self::Check(_) | Self::Rehearsal(_) => config.window_post_limit_ms,
            Self::Winning => config.winning_post_limit_ms,
        }
    }

    /// In words, for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Window(_) => "window PoSt",
            Self::Winning => "winning PoSt",
            Self::Check(_) => "check",
            Self::Rehearsal(_) => "rehearsal",
        }
    }

    /// The flag of the workers that do it.
    pub(crate) fn flag(self) -> &'static str {
        match self {
            Self::Window(_) | Self::Check(_) | Self::Rehearsal(_) => "--windowpost",
            Self::Winning => "--winningpost",
        }
    }
}

impl PostJob {
    /// What workers have, with the kind of its task.
    pub(crate) fn tries(&self) -> impl Iterator<Item = (TaskKind, &Try)> {
        self.parts.iter().flat_map(|p| &p.tries).map(|t| (self.kind.task(), t))
    }

    /// Those that are with a worker.
    pub(crate) fn given(&self) -> impl Iterator<Item = (TaskKind, &Try)> {
        self.tries().filter(|(_, t)| t.verifying.is_none())
    }

    /// Those that occupy one.
    pub(crate) fn running(&self) -> impl Iterator<Item = (TaskKind, &Try)> {
        self.given().filter(|(_, t)| !t.ahead)
    }

    /// Somebody pays if it is late.
    pub(crate) fn is_urgent(&self) -> bool {
        matches!(self.kind, PostKind::Window(_) | PostKind::Winning)
    }

    /// There is a proof at its end.
    pub(crate) fn proves(&self) -> bool {
        !matches!(self.kind, PostKind::Check(_))
    }

    pub(crate) fn is_done(&self) -> bool {
        self.parts.iter().all(|p| p.done.is_some())
    }
}

impl Part {
    pub(crate) fn new(task: TaskId, index: u32, sectors: Vec<PostSector>) -> Self {
        Self {
            task,
            index,
            sectors,
            last_number: 0,
            tries: Vec::new(),
            failed_tries: 0,
            failed_on: BTreeMap::new(),
            refused: Vec::new(),
            retries: Vec::new(),
            again_at: UnixMs::default(),
            nobody_since: None,
            done: None,
            problems: Vec::new(),
            lost: Vec::new(),
            handed: Handed::No,
        }
    }

    /// Nobody has it, and it is not done.
    pub(crate) fn waits(&self) -> bool {
        self.done.is_none() && self.tries.is_empty()
    }

    pub(crate) fn find(&self, attempt: AttemptId) -> Option<&Try> {
        self.tries.iter().find(|t| t.attempt == attempt)
    }

    pub(crate) fn find_mut(&mut self, attempt: AttemptId) -> Option<&mut Try> {
        self.tries.iter_mut().find(|t| t.attempt == attempt)
    }

    /// The one that this worker has.
    pub(crate) fn try_of(&self, worker: &WorkerId) -> Option<&Try> {
        self.tries.iter().find(|t| t.worker == *worker)
    }

    /// May this worker still be counted on for this partition?
    pub(crate) fn trusts(&self, worker: &WorkerId) -> bool {
        !self.refused.contains(worker) && self.failures_on(worker) < FAILURES_PER_WORKER
    }

    pub(crate) fn failures_on(&self, worker: &WorkerId) -> u32 {
        self.failed_on.get(worker).copied().unwrap_or(0)
    }

    /// The sectors that a result with these skipped sectors is about.
    pub(crate) fn without(&self, skipped: &[(u64, String)]) -> Vec<PostSector> {
        self.sectors.iter().filter(|(n, ..)| !skipped.iter().any(|(s, _)| s == n)).copied().collect()
    }

    /// Why the proof that is being verified is not verified yet; empty when there is nothing to say.
    pub(crate) fn undecided(&self) -> String {
        let proof = self.tries.iter().filter_map(|t| t.verifying.as_ref()).find(|p| p.failures > 0);
        let story =
            |p: &Proof| format!("the verifier could not decide, asked {} times, last: {}", p.failures, p.reason);
        proof.map(story).unwrap_or_default()
    }

    /// What has gone wrong, for an error.
    pub(crate) fn story(&self) -> String {
        let undecided = Some(self.undecided()).filter(|text| !text.is_empty());
        let story: Vec<String> = self.retries.iter().cloned().chain(undecided).collect();
        if story.is_empty() { String::new() } else { format!(" ({})", story.join("; ")) }
    }
}
