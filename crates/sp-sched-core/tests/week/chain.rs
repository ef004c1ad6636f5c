//! The chain: epochs of 30 s, tickets and seeds at once, and `sp-chain`'s books on what is proven.

use std::collections::BTreeSet;

use sp_chain::{Assignment, Change, Claim, DEADLINE_EPOCHS, Ledger, OnChain, Opening, PERIOD_EPOCHS, Standing};
use sp_sched_core::Config;
use sp_sched_core::effect::ChainCall;
use sp_sched_core::event::{ChainReply, Event};
use sp_sched_core::model::{Counters, Sector, UnixMs};
use sp_sched_core::proving::call::{OpeningState, ProvingCall, ProvingReply, Submission};
use sp_types::{ChainEpoch, Commitment, DeadlineIndex, Origin, PartitionIndex, Randomness, SectorState};

use crate::dice::Dice;
use crate::plan::{Plan, SECOND};
use crate::shelf::Shelf;
use crate::world::{BEGAN, Due, World};

pub const EPOCH_MS: u64 = 30 * SECOND;
/// The epoch at which the week begins: a period does so too.
const FIRST: i64 = 10 * PERIOD_EPOCHS;
/// Sectors of a partition: they are all the same to the scheduler, so that a few do.
const ROOM: u64 = 4;
/// A seed comes so many epochs after the pre-commit. In the network it takes five times as long, in which nothing happens.
const SEED_EPOCHS: i64 = 30;

pub struct Chain {
    pub head: ChainEpoch,
    pub ledger: Ledger,
    /// Proofs that are handed in get lost.
    pub loses_proofs: bool,
    /// Lives of the scheduler and sectors that wait for a seed: whoever asks again is answered once.
    awaited: BTreeSet<(u32, u64)>,
}

/// When an epoch begins.
pub fn time_of(epoch: ChainEpoch) -> u64 {
    BEGAN.saturating_add_signed((epoch.0 - FIRST) * EPOCH_MS as i64)
}

impl Chain {
    /// Every deadline has its partitions, each with some sectors that are proven.
    pub fn with_sectors(plan: &Plan, config: &Config) -> (Self, Shelf) {
        let (mut ledger, mut shelf) = (Ledger::new(Assignment::Network, ROOM), Shelf::default());
        let places = (0..).map(DeadlineIndex).zip(&plan.partitions);
        let places = places.flat_map(|(deadline, count)| (0..*count).map(move |p| (deadline, PartitionIndex(p))));
        let mut number = 0;
        for place in places {
            for _ in 0..Dice::of(plan.seed, &[5, place.0.0.into(), place.1.0.into()]).between(1, 2) {
                let since = ChainEpoch(FIRST - PERIOD_EPOCHS);
                let sector = OnChain { place, since, faulty_since: None, recovering: false };
                ledger.load(Change::Sector(number, Some(sector)));
                shelf.sectors.insert(number, proven(number, place, config));
                number += 1;
            }
        }
        shelf.counters = Counters { next_task: 1, next_sector: number };
        // One before the first: the first one comes as an epoch does.
        (Self { head: ChainEpoch(FIRST - 1), ledger, loses_proofs: false, awaited: BTreeSet::new() }, shelf)
    }
}

impl World {
    pub fn next_epoch(&mut self) {
        self.chain.head.0 += 1;
        let head = self.chain.head;
        self.chain.ledger.advance(head);
        if head.0 % DEADLINE_EPOCHS == 0 && head.0 > FIRST {
            self.judge_closed(Opening::current(head).preceding());
        }
        self.tell(Event::Epoch(head));
        self.after(EPOCH_MS, Due::Epoch);
    }

    pub fn chain_call(&mut self, sector: u64, call: ChainCall) {
        let head = self.chain.head;
        let reply = match call {
            ChainCall::Ticket => ChainReply::Ticket { ticket: [1; 32], epoch: head },
            ChainCall::PreCommit { .. } => ChainReply::PreCommitted { seed_epoch: ChainEpoch(head.0 + SEED_EPOCHS) },
            ChainCall::Seed { epoch } => {
                let reply = ChainReply::Seed { seed: [2; 32], epoch };
                let ms = time_of(epoch).saturating_sub(self.now);
                if ms == 0 || self.chain.awaited.insert((self.life, sector)) {
                    self.tell_after(ms, Event::Chain { sector, reply });
                }
                return;
            }
            ChainCall::Commit { .. } => {
                let (deadline, partition) = self.chain.ledger.place(sector, head).0;
                ChainReply::Committed { deadline, partition }
            }
        };
        self.tell(Event::Chain { sector, reply });
    }

    pub fn proving_call(&mut self, call: ProvingCall) {
        let (id, head) = (call.id(), self.chain.head);
        let reply = match call {
            ProvingCall::Ask(opening) => ProvingReply::State(Box::new(OpeningState {
                randomness: (opening.challenge <= head).then(|| drawn(opening)),
                opens: UnixMs(time_of(opening.open)),
                closes: UnixMs(time_of(opening.close)),
                partitions: self.chain.ledger.partitions(opening),
            })),
            ProvingCall::Submit(_) if self.chain.loses_proofs => return,
            ProvingCall::Submit(submission) => self.take(*submission),
            ProvingCall::Recover { opening, sectors } => match self.chain.ledger.recover(opening, &sectors, head) {
                Ok(_) => ProvingReply::Accepted,
                Err(refusal) => ProvingReply::Refused { reason: refusal.to_string() },
            },
            other => panic!("nobody wins or gives up anything here: {other:?}"),
        };
        self.tell(Event::Proving { id, reply });
    }

    fn take(&mut self, submission: Submission) -> ProvingReply {
        let head = self.chain.head;
        let Submission { opening, partition, randomness, sectors, skipped, proof } = submission;
        assert_eq!((&proof[..], randomness), (&b"good"[..], drawn(opening)), "nothing wrong or stale is handed in");
        let sectors: Vec<u64> = sectors.into_iter().map(|(number, ..)| number).collect();
        self.note(|| format!("the chain gets partition {partition} of deadline {}", opening.index));
        let claim = Claim { opening, partition, sectors, skipped, digest: [1; 32] };
        match self.chain.ledger.check(&claim, head) {
            Ok(Standing::Known) => ProvingReply::Accepted,
            Ok(Standing::Open) => {
                self.chain.ledger.accept(&claim, head);
                ProvingReply::Accepted
            }
            Err(refusal) => {
                self.note(|| format!("and does not take it: {refusal}"));
                ProvingReply::Refused { reason: refusal.to_string() }
            }
        }
    }
}

fn drawn(opening: Opening) -> Randomness {
    let mut bytes = [9; 32];
    bytes[..8].copy_from_slice(&opening.challenge.0.to_le_bytes());
    Randomness::new(bytes)
}

/// A sector that was sealed long ago. It has no files that the index knows of: PoSt does not wait for the index.
fn proven(number: u64, place: (DeadlineIndex, PartitionIndex), config: &Config) -> Sector {
    let comm = Some(Commitment([1; 32]));
    Sector {
        number,
        seal_proof: config.seal_proof(),
        state: SectorState::Proving,
        priority: 0,
        data: None,
        pieces: vec![],
        comm_d: comm,
        comm_r: comm,
        ticket: Some(([3; 32], ChainEpoch(1))),
        seed: Some(([4; 32], ChainEpoch(1))),
        seed_epoch: None,
        phase1: vec![],
        proof: vec![],
        location: Some(place),
        files: vec![],
        home: None,
        update: None,
        failures: 0,
        last_error: String::new(),
        trouble: Default::default(),
        created: UnixMs(0),
        proving_since: None,
        log: vec![],
        origin: Origin::new(number + 1),
        let_go: Default::default(),
        receive: None,
        keep: vec![],
    }
}
