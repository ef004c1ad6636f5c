//! A chain of one machine: epochs from a genesis time, a beacon from a genesis seed, pre-commitments and the miner's books
//! in the state.

use std::sync::Arc;
use std::time::Duration;

use sp_chain::{Assignment, Change, Ledger, Opening, OpeningRecord, PartitionState, Place, WinRecord};
use sp_env::{BoxFuture, Monotonic};
use sp_net::Env;
use sp_sched_core::effect::ChainCall;
use sp_sched_core::event::ChainReply;
use sp_sched_core::proving::call::{ProvingCall, ProvingReply};
use sp_state::{Batch, State};
use sp_types::{ChainEpoch, Commitment, DeadlineIndex, ProverId, Randomness, SectorSize};

use super::beacon::{Purpose, draw};
use super::books::Books;
use super::{Chain, ChainFailure};
use crate::rows::{Genesis, PreCommitRow, genesis_key, precommit_key};
use crate::verify::Verifier;

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
    /// One epoch in so many is won; 0: none is.
    pub win_one_in: u32,
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
    books: Arc<Books>,
    verifier: Arc<dyn Verifier>,
    // Wall-clock jumps must not move the head: time runs on the monotonic clock from here.
    started: (u64, Monotonic),
}

impl LocalChain {
    /// Opens the chain that the state holds, or begins one now. It has proofs of spacetime judged by this verifier.
    pub async fn open(
        env: &Env,
        state: Arc<dyn State>,
        verifier: Arc<dyn Verifier>,
        options: LocalChainOptions,
    ) -> Result<Self, LocalChainError> {
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
        let books = Arc::new(Books::new(state.clone(), options.assignment, room));
        Ok(Self { env: env.clone(), state, genesis, options, books, verifier, started })
    }

    fn now_ms(&self) -> u64 {
        self.started.0 + self.env.clock.monotonic().since_ms(self.started.1)
    }

    pub(super) fn options(&self) -> &LocalChainOptions {
        &self.options
    }

    pub(super) fn verifier(&self) -> &dyn Verifier {
        self.verifier.as_ref()
    }

    /// A look at the books.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Ledger) -> T + Send + 'static,
    ) -> Result<T, ChainFailure> {
        let books = self.books.clone();
        self.env.blocking(move || books.look(look)).await
    }

    /// A step of the books at the head.
    pub(super) async fn books<T: Send + 'static>(
        &self,
        what: impl FnOnce(&mut Ledger, ChainEpoch) -> (T, Vec<Change>) + Send + 'static,
    ) -> Result<T, ChainFailure> {
        let (books, head) = (self.books.clone(), self.head());
        self.env.blocking(move || books.step(head, |ledger| what(ledger, head))).await
    }

    pub(super) fn draw(&self, purpose: Purpose, epoch: ChainEpoch) -> [u8; 32] {
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
        self.books(move |ledger, head| ledger.place(sector, head)).await
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

    fn prove(&self, call: ProvingCall) -> BoxFuture<ProvingReply> {
        Box::pin(self.clone().answer_proving(call))
    }

    fn partitions(&self, opening: Opening) -> BoxFuture<Result<Vec<PartitionState>, ChainFailure>> {
        let chain = self.clone();
        Box::pin(async move { chain.look(move |ledger| ledger.partitions(opening)).await })
    }

    fn records(&self, most: usize) -> BoxFuture<Result<Vec<OpeningRecord>, ChainFailure>> {
        let chain = self.clone();
        Box::pin(async move { chain.look(move |ledger| ledger.records().take(most).cloned().collect()).await })
    }

    fn wins(&self, most: usize) -> BoxFuture<Result<Vec<WinRecord>, ChainFailure>> {
        let chain = self.clone();
        Box::pin(async move { chain.look(move |ledger| ledger.wins().take(most).cloned().collect()).await })
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
    use sp_sched_core::model::WinRow;
    use sp_sched_core::proving::call::Submission;
    use sp_state::Memory;
    use sp_types::{PartitionIndex, RegisteredSealProof};

    use super::*;
    use crate::verify::Question;

    /// Takes proofs that say that they are good.
    struct Good;

    impl Verifier for Good {
        fn verify(&self, question: Question) -> BoxFuture<Result<bool, String>> {
            let Question::Post(post) = question else { panic!("not a PoSt") };
            Box::pin(async move { Ok(post.proof == b"good") })
        }
    }

    fn options(epoch_ms: u64) -> LocalChainOptions {
        let assignment = Assignment::Pack(DeadlineIndex(3));
        LocalChainOptions {
            miner: 1000,
            epoch_ms,
            seed_delay_epochs: 2,
            sector_size: SectorSize::KiB2,
            assignment,
            win_one_in: 0,
        }
    }

    async fn open(state: &Memory, options: LocalChainOptions) -> Result<LocalChain, LocalChainError> {
        LocalChain::open(&Env::real(), Arc::new(state.clone()), Arc::new(Good), options).await
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

    #[tokio::test]
    async fn a_proof_counts_once_if_it_is_right_in_time_and_about_the_right_thing() {
        let pack = LocalChainOptions { assignment: Assignment::Pack(DeadlineIndex(1)), ..options(1_000) };
        let state = Memory::new();
        // Five minutes old: deadline 5 is open, and what is given now is challenged in deadline 1 of the next period.
        let chain = open(&state, pack.clone()).await.expect("new chain");
        chain.place_of(0).await.expect("place");
        let ahead = |chain: &LocalChain, epochs: u64| LocalChain {
            started: (chain.started.0 + epochs * 1_000, chain.started.1),
            ..chain.clone()
        };
        let chain = ahead(&chain, 2 + 60);
        let opening = Opening::current(chain.head());
        let ProvingReply::State(told) = chain.prove(ProvingCall::Ask(opening)).await else { panic!("state") };
        assert_eq!(told.partitions.iter().map(|p| (p.to_prove(), p.proven)).collect::<Vec<_>>(), [(vec![0], false)]);
        let seal_proof = RegisteredSealProof::v1_1(SectorSize::KiB2);
        let submission = Submission {
            opening,
            partition: 0,
            randomness: told.randomness.expect("drawn"),
            sectors: vec![(0, Commitment([1; 32]), seal_proof)],
            skipped: vec![],
            proof: b"good".to_vec(),
        };
        let submit = async |chain: &LocalChain, submission: Submission| match chain
            .prove(ProvingCall::Submit(Box::new(submission)))
            .await
        {
            ProvingReply::Accepted => String::new(),
            ProvingReply::Refused { reason } => reason,
            other => panic!("{other:?}"),
        };
        let stale = Submission { randomness: Randomness::new([9; 32]), ..submission.clone() };
        assert!(submit(&chain, stale).await.contains("randomness of something else"));
        let forged = Submission { proof: b"bad".to_vec(), ..submission.clone() };
        assert!(submit(&chain, forged).await.contains("the proof is wrong"));
        let other = Submission { partition: 1, ..submission.clone() };
        assert!(submit(&chain, other).await.contains("no partition 1"));
        let odd = Opening { close: ChainEpoch(opening.close.0 + 600), ..opening };
        assert!(submit(&chain, Submission { opening: odd, ..submission.clone() }).await.contains("no such opening"));
        assert_eq!(submit(&chain, submission.clone()).await, "");
        // A restart has forgotten nothing, and the same proof again changes nothing.
        let again = ahead(&open(&state, pack).await.expect("same chain"), 2 + 60);
        assert_eq!(submit(&again, submission.clone()).await, "");
        let late = ahead(&again, 60);
        assert!(
            submit(&late, Submission { proof: b"good, but another".to_vec(), ..submission })
                .await
                .contains("proven already")
        );
        let records = late.records(9).await.expect("records");
        let [record] = &records[..] else { panic!("{records:?}") };
        assert_eq!((record.refused, record.late, record.closed), (5, 0, true));
        assert_eq!(record.partitions[&0].proven, 1);
    }

    #[tokio::test]
    async fn an_epoch_is_won_by_draw_and_has_one_proof() {
        let state = Memory::new();
        let elections = LocalChainOptions { win_one_in: 1, ..options(60_000) };
        let chain = open(&state, elections.clone()).await.expect("new chain");
        let head = chain.head();
        let elect = async |chain: &LocalChain| match chain.prove(ProvingCall::Elect(head)).await {
            ProvingReply::Election(won) => won,
            other => panic!("{other:?}"),
        };
        assert_eq!(elect(&chain).await, None, "there is no sector to challenge");
        chain.place_of(4).await.expect("place");
        let won = elect(&chain).await.expect("every epoch is won");
        assert_eq!(won.sector, 4);
        let sector = (4, Commitment([1; 32]), RegisteredSealProof::v1_1(SectorSize::KiB2));
        let win = WinRow { epoch: head, randomness: won.randomness, sector, proof: b"good".to_vec() };
        let hand_in = async |chain: &LocalChain, win: WinRow| chain.prove(ProvingCall::Win(Box::new(win))).await;
        let forged = WinRow { proof: b"bad".to_vec(), ..win.clone() };
        assert!(matches!(hand_in(&chain, forged).await, ProvingReply::Refused { .. }));
        let stale = WinRow { epoch: ChainEpoch(head.0 - 1), ..win.clone() };
        assert!(matches!(hand_in(&chain, stale).await, ProvingReply::Refused { .. }));
        assert_eq!(hand_in(&chain, win.clone()).await, ProvingReply::Accepted);
        let again = open(&state, elections).await.expect("same chain");
        assert_eq!(hand_in(&again, win).await, ProvingReply::Accepted, "after a restart, too");
        let wins = again.wins(9).await.expect("wins");
        assert_eq!(wins.iter().map(|win| (win.epoch, win.block.is_some())).collect::<Vec<_>>(), [(head, true)]);
        let never = open(&Memory::new(), options(60_000)).await.expect("new chain");
        never.place_of(4).await.expect("place");
        assert_eq!(elect(&never).await, None);
    }
}
