//! The chain as the scheduler sees it: a head that rises, randomness, and a place where commitments are published.
//!
//! `LocalChain` is the first one: a clock and a beacon on this machine. A client of a real node is another.

mod beacon;
mod books;
mod judge;
mod local;

use sp_chain::{OpeningRecord, PartitionState, WinRecord};
use sp_env::BoxFuture;
use sp_sched_core::effect::ChainCall;
use sp_sched_core::event::ChainReply;
use sp_sched_core::proving::call::{ProvingCall, ProvingReply};
use sp_types::{ChainEpoch, DeadlineIndex, Randomness};

pub(crate) use beacon::winning_pick;
pub use local::{LocalChain, LocalChainError, LocalChainOptions};
pub use sp_chain::{
    Assignment, CHALLENGE_LOOKBACK, DEADLINE_EPOCHS, FAULT_CUTOFF, Opening, PERIOD_EPOCHS, Place, UnknownAssignment,
    period_start,
};

/// Why the chain gave no answer, in words.
pub type ChainFailure = String;

/// What the scheduler asks of a chain.
pub trait Chain: Send + Sync + 'static {
    /// The newest epoch.
    fn head(&self) -> ChainEpoch;
    /// Length of an epoch.
    fn epoch_ms(&self) -> u64;
    /// When an epoch begins or began, milliseconds since the Unix epoch.
    fn epoch_unix_ms(&self, epoch: ChainEpoch) -> u64;
    /// Completes with the new head once it is above `head`.
    fn after(&self, head: ChainEpoch) -> BoxFuture<ChainEpoch>;
    /// Carries out a call for a sector; a seed is answered when its epoch is reached.
    fn call(&self, sector: u64, call: ChainCall) -> BoxFuture<ChainReply>;
    /// Where a sector is proven that the chain has already.
    fn place_of(&self, sector: u64) -> BoxFuture<Result<Place, ChainFailure>>;
    /// Carries out a call about proving.
    fn prove(&self, call: ProvingCall) -> BoxFuture<ProvingReply>;
    /// How the partitions of an opening stand, for people: without waiting for what is on its way.
    fn partitions(&self, opening: Opening) -> BoxFuture<Result<Vec<PartitionState>, ChainFailure>>;
    /// What became of the newest openings of deadlines with sectors, so many at most, the newest first.
    fn records(&self, most: usize) -> BoxFuture<Result<Vec<OpeningRecord>, ChainFailure>>;
    /// The newest epochs that were won, so many at most, the newest first.
    fn wins(&self, most: usize) -> BoxFuture<Result<Vec<WinRecord>, ChainFailure>>;
    /// Randomness of the newest opening of a deadline whose challenge epoch is reached.
    fn window_randomness(&self, deadline: DeadlineIndex) -> BoxFuture<Result<Randomness, ChainFailure>>;
    /// Randomness of a winning PoSt at the head.
    fn winning_randomness(&self) -> BoxFuture<Result<Randomness, ChainFailure>>;
}
