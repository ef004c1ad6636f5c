//! A chain of one machine: epochs from a genesis time, a beacon from a genesis seed, pre-commitments in the state.

use std::sync::Arc;
use std::time::Duration;

use sp_env::{BoxFuture, Monotonic};
use sp_net::Env;
use sp_sched_core::effect::ChainCall;
use sp_sched_core::event::ChainReply;
use sp_state::{Batch, State};
use sp_types::{ChainEpoch, Commitment, DeadlineIndex, ProverId, Randomness, SectorSize};

use super::assign::{Assignment, Place};
use super::beacon::{Purpose, draw};
use super::places::Places;
use super::{Chain, ChainFailure, Opening};
use crate::rows::{Genesis, PreCommitRow, genesis_key, precommit_key};

/// A ticket is this many epochs old when it is handed out: the network's finality.
const TICKET_LOOKBACK: i64 = 900;

/// How the local chain behaves.
#[derive(Debug, Clone)]
pub struct LocalChainOptions {
    /// Whose chain it is.
    pub miner: u64,
    /// Length of an epoch; fixed by the first start.
    pub epoch_ms: u64,
    /// Epochs from a pre-commitment to its seed.
    pub seed_delay_epochs: u32,
    /// Size of its sectors: it decides how many are in a partition.
    pub sector_size: SectorSize,
    /// How they are given to deadlines.
    pub assignment: Assignment,
}

/// A local chain that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum LocalChainError {
    /// Its rows cannot be read or written.
    #[error("the local chain cannot be opened: {0}")]
    State(String),
    /// The length of an epoch cannot change once epochs have been counted.
    #[error(
        "this chain has epochs of {found_ms} ms, not {wanted_ms} ms; give --epoch {found_ms}ms or another --data-dir"
    )]
    OtherEpoch {
        /// As begun.
        found_ms: u64,
        /// As asked for.
        wanted_ms: u64,
    },
    /// Options that make no sense.
    #[error("{0}")]
    BadOption(String),
}

/// The chain of one machine.
#[derive(Clone)]
pub struct LocalChain {
    env: Env,
    state: Arc<dyn State>,
    genesis: Genesis,
    options: LocalChainOptions,
    places: Arc<Places>,
    // Wall-clock jumps must not move the head: time runs on the monotonic clock from here.
    started: (u64, Monotonic),
}

impl LocalChain {
    /// Opens the chain that the state holds, or begins one now.
    pub async fn open(env: &Env, state: Arc<dyn State>, options: LocalChainOptions) -> Result<Self, LocalChainError> {
        check(&options)?;
        let (unix_ms, epoch_ms) = (env.clock.unix_ms(), options.epoch_ms);
        let mut seed = [0; 32];
        env.entropy.fill(&mut seed);
        let fresh = Genesis { unix_ms, epoch_ms, seed };
        let rows = state.clone();
        let genesis = env.blocking(move || open_genesis(rows.as_ref(), fresh)).await.map_err(LocalChainError::State)?;
        if genesis.epoch_ms != options.epoch_ms {
            return Err(LocalChainError::OtherEpoch { found_ms: genesis.epoch_ms, wanted_ms: options.epoch_ms });
        }
        let started = (unix_ms, env.clock.monotonic());
        let room = options.sector_size.sectors_per_partition() as u64;
        let places = Arc::new(Places::new(state.clone(), options.assignment, room));
        Ok(Self { env: env.clone(), state, genesis, options, places, started })
    }

    fn now_ms(&self) -> u64 {
        self.started.0 + self.env.clock.monotonic().since_ms(self.started.1)
    }

    fn draw(&self, purpose: Purpose, epoch: ChainEpoch) -> [u8; 32] {
        draw(&self.genesis.seed, purpose, epoch, ProverId::of_miner(self.options.miner))
    }

    async fn answer(self, sector: u64, call: ChainCall) -> ChainReply {
        match call {
            ChainCall::Ticket => {
                let epoch = ChainEpoch(self.head().0 - TICKET_LOOKBACK);
                ChainReply::Ticket { ticket: self.draw(Purpose::Ticket, epoch), epoch }
            }
            ChainCall::PreCommit { comm_r, comm_d } => self.pre_commit(sector, comm_r, comm_d).await,
            ChainCall::Seed { epoch } => {
                let mut head = self.head();
                while head < epoch {
                    head = self.after(head).await;
                }
                ChainReply::Seed { seed: self.draw(Purpose::Seed, epoch), epoch }
            }
            ChainCall::Commit { proof: _ } => self.commit(sector).await,
        }
    }

    async fn place(&self, sector: u64) -> Result<Place, ChainFailure> {
        let (places, head) = (self.places.clone(), self.head());
        self.env.blocking(move || places.of(sector, head)).await
    }

    /// Publishes a pre-commitment. The same one again changes nothing, so a call may be repeated after a restart.
    async fn pre_commit(self, sector: u64, comm_r: Commitment, comm_d: Commitment) -> ChainReply {
        let epoch = self.head();
        let seed_epoch = ChainEpoch(epoch.0 + i64::from(self.options.seed_delay_epochs));
        let fresh = PreCommitRow { comm_r, comm_d, epoch, seed_epoch };
        let state = self.state.clone();
        match self.env.blocking(move || publish(state.as_ref(), sector, fresh)).await {
            Ok(row) => ChainReply::PreCommitted { seed_epoch: row.seed_epoch },
            Err(reason) => ChainReply::Failed { reason },
        }
    }

    async fn commit(self, sector: u64) -> ChainReply {
        let state = self.state.clone();
        let found = self.env.blocking(move || read_precommit(state.as_ref(), sector)).await;
        match found {
            Ok(Some(_)) => match self.place(sector).await {
                Ok((deadline, partition)) => ChainReply::Committed { deadline, partition },
                Err(reason) => ChainReply::Failed { reason },
            },
            Ok(None) => ChainReply::Failed { reason: format!("sector {sector} has no pre-commitment on this chain") },
            Err(reason) => ChainReply::Failed { reason },
        }
    }
}

impl Chain for LocalChain {
    fn head(&self) -> ChainEpoch {
        let age_ms = self.now_ms().saturating_sub(self.genesis.unix_ms);
        ChainEpoch((age_ms / self.genesis.epoch_ms) as i64)
    }

    fn epoch_ms(&self) -> u64 {
        self.genesis.epoch_ms
    }

    fn epoch_unix_ms(&self, epoch: ChainEpoch) -> u64 {
        let offset = epoch.0.saturating_mul(self.genesis.epoch_ms as i64);
        self.genesis.unix_ms.saturating_add_signed(offset)
    }

    fn after(&self, head: ChainEpoch) -> BoxFuture<ChainEpoch> {
        let chain = self.clone();
        Box::pin(async move {
            loop {
                let now = chain.head();
                if now > head {
                    return now;
                }
                let begins = chain.epoch_unix_ms(ChainEpoch(head.0 + 1));
                let wait_ms = begins.saturating_sub(chain.now_ms()).max(1);
                chain.env.clock.sleep(Duration::from_millis(wait_ms)).await;
            }
        })
    }

    fn call(&self, sector: u64, call: ChainCall) -> BoxFuture<ChainReply> {
        Box::pin(self.clone().answer(sector, call))
    }

    /// It takes every sector for one that it has: there is no other chain to ask.
    fn place_of(&self, sector: u64) -> BoxFuture<Result<Place, ChainFailure>> {
        let chain = self.clone();
        Box::pin(async move { chain.place(sector).await })
    }

    fn window_randomness(&self, deadline: DeadlineIndex) -> BoxFuture<Result<Randomness, ChainFailure>> {
        let opening = Opening::provable(self.head(), deadline);
        let randomness = Randomness::new(self.draw(Purpose::WindowPost, opening.challenge));
        Box::pin(async move { Ok(randomness) })
    }

    fn winning_randomness(&self) -> BoxFuture<Result<Randomness, ChainFailure>> {
        let randomness = Randomness::new(self.draw(Purpose::WinningPost, self.head()));
        Box::pin(async move { Ok(randomness) })
    }
}

fn check(options: &LocalChainOptions) -> Result<(), LocalChainError> {
    if options.epoch_ms == 0 || options.epoch_ms > 3_600_000 {
        return Err(LocalChainError::BadOption("--epoch must be between 1ms and 1h".into()));
    }
    Ok(())
}

fn open_genesis(state: &dyn State, fresh: Genesis) -> Result<Genesis, String> {
    match state.get(&genesis_key()).map_err(|e| e.to_string())? {
        Some(value) => Genesis::decode(&value).map_err(|e| e.to_string()),
        None => {
            let mut batch = Batch::new();
            batch.require_absent(genesis_key()).put(genesis_key(), fresh.encode());
            state.commit(batch).map_err(|e| e.to_string())?;
            Ok(fresh)
        }
    }
}

fn read_precommit(state: &dyn State, sector: u64) -> Result<Option<PreCommitRow>, String> {
    let value = state.get(&precommit_key(sector)).map_err(|e| e.to_string())?;
    value.map(|v| PreCommitRow::decode(&v).map_err(|e| e.to_string())).transpose()
}

/// Keeps the row that is there when it names the same commitments; another replica replaces it with a later seed.
fn publish(state: &dyn State, sector: u64, fresh: PreCommitRow) -> Result<PreCommitRow, String> {
    if let Some(found) = read_precommit(state, sector)?
        && (found.comm_r, found.comm_d) == (fresh.comm_r, fresh.comm_d)
    {
        return Ok(found);
    }
    let mut batch = Batch::new();
    batch.put(precommit_key(sector), fresh.encode());
    state.commit(batch).map_err(|e| e.to_string())?;
    Ok(fresh)
}

#[cfg(test)]
mod tests {
    use sp_state::Memory;
    use sp_types::PartitionIndex;

    use super::*;

    fn options(epoch_ms: u64) -> LocalChainOptions {
        let assignment = Assignment::Pack(DeadlineIndex(3));
        LocalChainOptions { miner: 1000, epoch_ms, seed_delay_epochs: 2, sector_size: SectorSize::KiB2, assignment }
    }

    async fn open(state: &Memory, options: LocalChainOptions) -> Result<LocalChain, LocalChainError> {
        LocalChain::open(&Env::real(), Arc::new(state.clone()), options).await
    }

    #[tokio::test]
    async fn a_sector_goes_through_its_calls_and_a_restart_repeats_the_answers() {
        let state = Memory::new();
        let chain = open(&state, options(10)).await.expect("new chain");
        let ChainReply::Ticket { ticket, epoch } = chain.call(1, ChainCall::Ticket).await else { panic!("ticket") };
        assert!(epoch.0 < 0 && ticket != [0; 32]);
        assert!(matches!(chain.call(1, ChainCall::Commit { proof: vec![] }).await, ChainReply::Failed { .. }));
        let call = ChainCall::PreCommit { comm_r: Commitment([1; 32]), comm_d: Commitment([2; 32]) };
        let first = chain.call(1, call.clone()).await;
        let ChainReply::PreCommitted { seed_epoch } = first else { panic!("pre-commit") };
        let seed = chain.call(1, ChainCall::Seed { epoch: seed_epoch }).await;
        assert!(chain.head() >= seed_epoch, "a seed is not known before its epoch");
        let again = open(&state, options(10)).await.expect("same chain");
        assert_eq!(again.call(1, call).await, first, "a repeated call changes nothing");
        assert_eq!(again.call(1, ChainCall::Seed { epoch: seed_epoch }).await, seed);
        let other = ChainCall::PreCommit { comm_r: Commitment([9; 32]), comm_d: Commitment([2; 32]) };
        assert_ne!(again.call(1, other).await, first, "another replica waits for another seed");
        let committed = again.call(1, ChainCall::Commit { proof: vec![] }).await;
        assert_eq!(committed, ChainReply::Committed { deadline: DeadlineIndex(3), partition: PartitionIndex(0) });
    }

    #[tokio::test]
    async fn sectors_keep_their_places_and_bad_options_are_refused() {
        let state = Memory::new();
        // An epoch of a minute: the head stays where it is.
        let network = LocalChainOptions { assignment: Assignment::Network, ..options(60_000) };
        let chain = open(&state, network.clone()).await.expect("new chain");
        let place = async |chain: &LocalChain, sector| chain.place_of(sector).await.map(|(d, p)| (d.0, p.0));
        for (sector, deadline) in [(50, 2), (51, 2), (7, 3), (50, 2), (8, 3), (9, 4)] {
            assert_eq!(place(&chain, sector).await, Ok((deadline, 0)), "{sector}");
        }
        let call = ChainCall::PreCommit { comm_r: Commitment([1; 32]), comm_d: Commitment([2; 32]) };
        chain.call(9, call).await;
        let committed = chain.call(9, ChainCall::Commit { proof: vec![] }).await;
        assert_eq!(committed, ChainReply::Committed { deadline: DeadlineIndex(4), partition: PartitionIndex(0) });
        let again = open(&state, network).await.expect("same chain");
        assert_eq!(place(&again, 8).await, Ok((3, 0)), "after a restart");
        assert_eq!(place(&again, 10).await, Ok((4, 0)), "what was given counts");
        let state = Memory::new();
        open(&state, options(5)).await.expect("new chain");
        assert!(matches!(open(&state, options(6)).await, Err(LocalChainError::OtherEpoch { found_ms: 5, .. })));
        assert!(open(&state, options(0)).await.is_err());
    }

    #[tokio::test]
    async fn the_head_rises_and_window_randomness_is_the_openings() {
        let chain = open(&Memory::new(), options(5)).await.expect("new chain");
        let head = chain.head();
        assert!(chain.after(head).await > head);
        let one = chain.window_randomness(DeadlineIndex(20)).await;
        chain.after(chain.head()).await;
        assert_eq!(chain.window_randomness(DeadlineIndex(20)).await, one, "it holds for the whole opening");
        assert_ne!(chain.window_randomness(DeadlineIndex(21)).await, one);
        assert!(one.expect("local").bytes()[31] < 0x40);
    }
}
