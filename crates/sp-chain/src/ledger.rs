//! What the chain knows of the sectors of a miner, and how it judges proofs of them (builtin-actors, miner actor).
//!
//! Every method returns the rows that it has changed; whoever cannot keep them must read the ledger anew.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sp_types::{ChainEpoch, DeadlineIndex};

use crate::assign::{Assignment, Loads, Place};
use crate::deadlines::{DEADLINE_EPOCHS, Opening, PERIOD_EPOCHS};
use crate::record::{OpeningRecord, PartitionRecord, Verdict, WinRecord};

/// Openings that are kept on record.
const RECORDS: usize = 1_000;

/// Openings that are judged after a pause: of those before them only the faults would be the same.
const JUDGED_MOST: i64 = 2 * PERIOD_EPOCHS / DEADLINE_EPOCHS;

/// A sector that lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnChain {
    /// Where it is proven.
    pub place: Place,
    /// From when on: the first challenge after this epoch is its first.
    pub since: ChainEpoch,
    /// Since when it is faulty.
    pub faulty_since: Option<ChainEpoch>,
    /// It is declared to recover.
    pub recovering: bool,
}

/// A partition at an opening.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionState {
    /// Index in the deadline.
    pub index: u32,
    /// Sectors that live, rising.
    pub sectors: Vec<u64>,
    /// Those of them that are faulty.
    pub faulty: Vec<u64>,
    /// Those of the faulty ones that are declared to recover.
    pub recovering: Vec<u64>,
    /// Its proof is there.
    pub proven: bool,
}

/// What a submission claims, apart from its proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// At which opening.
    pub opening: Opening,
    /// Which partition.
    pub partition: u32,
    /// Sectors that are proven, rising.
    pub sectors: Vec<u64>,
    /// Sectors that were to be proven and are not, rising.
    pub skipped: Vec<u64>,
    /// Digest of the proof.
    pub digest: [u8; 32],
}

/// How a claim stands before anybody has verified its proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It counts if its proof is right.
    Open,
    /// It counts already.
    Known,
}

/// Why a claim does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The deadline has closed.
    #[error("deadline {deadline} has closed at epoch {closed}, it is {head} by now")]
    Late {
        /// Which.
        deadline: DeadlineIndex,
        /// When.
        closed: ChainEpoch,
        /// Now.
        head: ChainEpoch,
    },
    /// The deadline is not open yet.
    #[error("deadline {deadline} opens at epoch {opens}, it is {head} now")]
    Early {
        /// Which.
        deadline: DeadlineIndex,
        /// When.
        opens: ChainEpoch,
        /// Now.
        head: ChainEpoch,
    },
    /// There is nothing of the kind to be proven.
    #[error("{0}")]
    Wrong(String),
}

/// A row that has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A sector; none: it does not live any more.
    Sector(u64, Option<OnChain>),
    /// An opening, by its first epoch; none: it is no longer kept.
    Opening(ChainEpoch, Option<OpeningRecord>),
    /// An epoch that was won; none: it is no longer kept.
    Win(ChainEpoch, Option<WinRecord>),
    /// Everything that closes before this epoch has been judged.
    Judged(ChainEpoch),
}

/// The chain's books on one miner.
#[derive(Debug, Clone)]
pub struct Ledger {
    assignment: Assignment,
    /// Sectors of a partition.
    room: u64,
    sectors: BTreeMap<u64, OnChain>,
    by_deadline: BTreeMap<DeadlineIndex, BTreeSet<u64>>,
    loads: Loads,
    openings: BTreeMap<ChainEpoch, OpeningRecord>,
    wins: BTreeMap<ChainEpoch, WinRecord>,
    judged: Option<ChainEpoch>,
}

impl Ledger {
    /// Books without an entry, for partitions of so many sectors.
    pub fn new(assignment: Assignment, room: u64) -> Self {
        Self {
            assignment,
            room,
            sectors: BTreeMap::new(),
            by_deadline: BTreeMap::new(),
            loads: Loads::default(),
            openings: BTreeMap::new(),
            wins: BTreeMap::new(),
            judged: None,
        }
    }

    /// Takes in a row that was kept.
    pub fn load(&mut self, row: Change) {
        match row {
            Change::Sector(number, Some(sector)) => self.add(number, sector),
            Change::Opening(open, Some(record)) => drop(self.openings.insert(open, record)),
            Change::Win(epoch, Some(win)) => drop(self.wins.insert(epoch, win)),
            Change::Judged(epoch) => self.judged = Some(epoch),
            Change::Sector(_, None) | Change::Opening(_, None) | Change::Win(_, None) => {}
        }
    }

    // === sectors ===

    /// The place of a sector; a new one is given its own.
    pub fn place(&mut self, number: u64, head: ChainEpoch) -> (Place, Vec<Change>) {
        if let Some(sector) = self.sectors.get(&number) {
            return (sector.place, Vec::new());
        }
        let place = self.loads.next(self.assignment, head, self.room);
        let sector = OnChain { place, since: head, faulty_since: None, recovering: false };
        self.add(number, sector);
        (place, vec![Change::Sector(number, Some(sector))])
    }

    fn add(&mut self, number: u64, sector: OnChain) {
        self.loads.add(sector.place);
        self.by_deadline.entry(sector.place.0).or_default().insert(number);
        self.sectors.insert(number, sector);
    }

    fn drop_sector(&mut self, number: u64) -> Option<Change> {
        let sector = self.sectors.remove(&number)?;
        self.by_deadline.entry(sector.place.0).or_default().remove(&number);
        Some(Change::Sector(number, None))
    }

    /// Sectors that will never be proven again. Their places stay taken, as they do until a compaction.
    pub fn terminate(&mut self, numbers: &[u64]) -> Vec<Change> {
        numbers.iter().filter_map(|number| self.drop_sector(*number)).collect()
    }

    /// Every sector that lives, rising.
    pub fn sectors(&self) -> impl Iterator<Item = (u64, &OnChain)> {
        self.sectors.iter().map(|(number, sector)| (*number, sector))
    }

    /// The partitions of a deadline as they are to be proven at this opening.
    pub fn partitions(&self, opening: Opening) -> Vec<PartitionState> {
        let mut partitions: BTreeMap<u32, PartitionState> = BTreeMap::new();
        let record = self.openings.get(&opening.open);
        let here = self.by_deadline.get(&opening.index).into_iter().flatten();
        let here = here.filter_map(|number| Some((number, self.sectors.get(number)?)));
        for (number, sector) in here.filter(|(_, sector)| sector.since <= opening.challenge) {
            let index = sector.place.1.0;
            let partition = partitions.entry(index).or_insert_with(|| PartitionState {
                index,
                proven: record.is_some_and(|record| record.is_proven(index)),
                ..PartitionState::default()
            });
            partition.sectors.push(*number);
            if sector.faulty_since.is_some() {
                partition.faulty.push(*number);
            }
            if sector.recovering {
                partition.recovering.push(*number);
            }
        }
        partitions.into_values().collect()
    }

    /// These faulty sectors will be proven at the next opening of their deadline. Until its fault cutoff.
    pub fn recover(&mut self, opening: Opening, numbers: &[u64], head: ChainEpoch) -> Result<Vec<Change>, Refusal> {
        let Opening { index, fault_cutoff, .. } = opening;
        if head >= fault_cutoff {
            let text = format!("the fault cutoff of deadline {index} was epoch {fault_cutoff}, it is {head} by now");
            return Err(Refusal::Wrong(text));
        }
        let faulty =
            |number: &u64| self.sectors.get(number).is_some_and(|s| s.place.0 == index && s.faulty_since.is_some());
        if let Some(number) = numbers.iter().find(|number| !faulty(number)) {
            return Err(Refusal::Wrong(format!("sector {number} is no faulty sector of deadline {index}")));
        }
        let recovering = |sector: &mut OnChain| sector.recovering = true;
        Ok(numbers.iter().filter_map(|number| self.change(*number, recovering)).collect())
    }

    // === judging ===

    /// Judges every deadline that has closed.
    pub fn advance(&mut self, head: ChainEpoch) -> Vec<Change> {
        let now = Opening::current(head);
        // What was before the first look is nobody's business.
        let since = self.judged.unwrap_or(now.open);
        let since = ChainEpoch(since.0.max(now.open.0 - JUDGED_MOST * DEADLINE_EPOCHS));
        if self.judged.is_some_and(|judged| judged >= now.open) {
            return Vec::new();
        }
        let mut changes = Vec::new();
        let mut opening = Opening::current(since);
        while opening.close <= head {
            self.close(opening, &mut changes);
            opening = opening.following();
        }
        self.judged = Some(now.open);
        while self.openings.len() > RECORDS {
            let oldest = self.openings.pop_first().map(|(open, _)| Change::Opening(open, None));
            changes.extend(oldest);
        }
        changes.push(Change::Judged(now.open));
        changes
    }

    fn close(&mut self, opening: Opening, changes: &mut Vec<Change>) {
        let partitions = self.partitions(opening);
        if partitions.is_empty() {
            return;
        }
        let mut record = self.openings.remove(&opening.open).unwrap_or_else(|| OpeningRecord::of(opening));
        for partition in partitions.iter().filter(|partition| !partition.proven) {
            let missed = partition.to_prove();
            for number in &missed {
                changes.extend(self.change(*number, |sector| sector.fail(opening.close)));
            }
            let verdict = if missed.is_empty() { Verdict::Faulty } else { Verdict::Missed };
            let (at, digest, proven) = (opening.close, [0; 32], 0);
            record.partitions.insert(partition.index, PartitionRecord { verdict, at, digest, proven, skipped: missed });
        }
        record.closed = true;
        changes.push(Change::Opening(opening.open, Some(record.clone())));
        self.openings.insert(opening.open, record);
    }

    /// Whether a claim can count at this epoch, its proof apart.
    pub fn check(&self, claim: &Claim, head: ChainEpoch) -> Result<Standing, Refusal> {
        let Claim { opening, partition: index, sectors, skipped, digest } = claim;
        let deadline = opening.index;
        let record = self.openings.get(&opening.open).and_then(|record| record.partitions.get(index));
        if let Some(record) = record.filter(|record| record.verdict == Verdict::Proven) {
            return match record.digest == *digest {
                true => Ok(Standing::Known),
                false => Err(Refusal::Wrong(format!("partition {index} of deadline {deadline} is proven already"))),
            };
        }
        if head >= opening.close {
            return Err(Refusal::Late { deadline, closed: opening.close, head });
        }
        if head < opening.open {
            return Err(Refusal::Early { deadline, opens: opening.open, head });
        }
        let Some(partition) = self.partitions(*opening).into_iter().find(|partition| partition.index == *index) else {
            return Err(Refusal::Wrong(format!("deadline {deadline} has no partition {index}")));
        };
        if sectors.is_empty() {
            return Err(Refusal::Wrong(format!("no sector of partition {index} is proven, all are skipped")));
        }
        let claimed: Vec<u64> = sectors.iter().chain(skipped).copied().collect::<BTreeSet<_>>().into_iter().collect();
        let due = partition.to_prove();
        if claimed != due || sectors.len() + skipped.len() != due.len() {
            let text = format!("partition {index} is about sectors {due:?}, not {sectors:?} and {skipped:?} skipped");
            return Err(Refusal::Wrong(text));
        }
        Ok(Standing::Open)
    }

    /// Takes a claim that was checked and whose proof is right.
    pub fn accept(&mut self, claim: &Claim, head: ChainEpoch) -> Vec<Change> {
        let Claim { opening, partition, sectors, skipped, digest } = claim;
        let mut changes = Vec::new();
        for number in sectors {
            changes.extend(self.change(*number, |sector| (sector.faulty_since, sector.recovering) = (None, false)));
        }
        for number in skipped {
            changes.extend(self.change(*number, |sector| sector.fail(head)));
        }
        let proof = PartitionRecord {
            verdict: Verdict::Proven,
            at: head,
            digest: *digest,
            proven: sectors.len() as u32,
            skipped: skipped.clone(),
        };
        changes.push(self.note(*opening, |record| drop(record.partitions.insert(*partition, proof))));
        changes
    }

    /// Puts a claim that did not count on record.
    pub fn refuse(&mut self, claim: &Claim, why: &Refusal) -> Vec<Change> {
        let late = matches!(why, Refusal::Late { .. });
        let count = |record: &mut OpeningRecord| *(if late { &mut record.late } else { &mut record.refused }) += 1;
        vec![self.note(claim.opening, count)]
    }

    // === elections ===

    /// The sector that is challenged by this draw: one of those that are not faulty.
    pub fn challenged(&self, draw: u64) -> Option<u64> {
        let sound: Vec<u64> =
            self.sectors.iter().filter(|(_, s)| s.faulty_since.is_none()).map(|(number, _)| *number).collect();
        let at = draw.checked_rem(sound.len() as u64)?;
        sound.get(at as usize).copied()
    }

    /// Puts an epoch on record as won. Its proof may come later.
    pub fn win(&mut self, epoch: ChainEpoch, sector: u64) -> Vec<Change> {
        if self.wins.contains_key(&epoch) {
            return Vec::new();
        }
        let win = WinRecord { epoch, sector, block: None };
        let mut changes = vec![Change::Win(epoch, Some(win.clone()))];
        self.wins.insert(epoch, win);
        while self.wins.len() > RECORDS {
            changes.extend(self.wins.pop_first().map(|(oldest, _)| Change::Win(oldest, None)));
        }
        changes
    }

    /// Takes the verified proof of an epoch that was won: the first one, and no other.
    pub fn block(
        &mut self,
        epoch: ChainEpoch,
        sector: u64,
        digest: [u8; 32],
        head: ChainEpoch,
    ) -> Result<Vec<Change>, Refusal> {
        let won = self.wins.get_mut(&epoch).filter(|win| win.sector == sector);
        let Some(win) = won else {
            return Err(Refusal::Wrong(format!("epoch {epoch} was not won with sector {sector}")));
        };
        match win.block {
            Some((known, _)) if known == digest => Ok(Vec::new()),
            Some(_) => Err(Refusal::Wrong(format!("there is another proof of epoch {epoch}"))),
            None => {
                win.block = Some((digest, head));
                Ok(vec![Change::Win(epoch, Some(win.clone()))])
            }
        }
    }

    /// Epochs that were won, the newest first.
    pub fn wins(&self) -> impl Iterator<Item = &WinRecord> {
        self.wins.values().rev()
    }

    /// The openings on record, the newest first.
    pub fn records(&self) -> impl Iterator<Item = &OpeningRecord> {
        self.openings.values().rev()
    }

    fn note(&mut self, opening: Opening, what: impl FnOnce(&mut OpeningRecord)) -> Change {
        let record = self.openings.entry(opening.open).or_insert_with(|| OpeningRecord::of(opening));
        what(record);
        Change::Opening(opening.open, Some(record.clone()))
    }

    fn change(&mut self, number: u64, what: impl FnOnce(&mut OnChain)) -> Option<Change> {
        let sector = self.sectors.get_mut(&number)?;
        let before = *sector;
        what(sector);
        (*sector != before).then_some(Change::Sector(number, Some(*sector)))
    }
}

impl OnChain {
    fn fail(&mut self, at: ChainEpoch) {
        self.faulty_since.get_or_insert(at);
        self.recovering = false;
    }
}

impl OpeningRecord {
    fn of(opening: Opening) -> Self {
        Self::new(opening.index, opening.open)
    }

    fn is_proven(&self, partition: u32) -> bool {
        self.partitions.get(&partition).is_some_and(|record| record.verdict == Verdict::Proven)
    }
}

impl PartitionState {
    /// What has to be proven: whatever lives and is not faulty, and what recovers.
    pub fn to_prove(&self) -> Vec<u64> {
        let due = |number: &&u64| !self.faulty.contains(number) || self.recovering.contains(number);
        self.sectors.iter().filter(due).copied().collect()
    }

    /// Faulty, and nobody has said that it recovers.
    pub fn lost(&self) -> impl Iterator<Item = u64> {
        self.faulty.iter().filter(|number| !self.recovering.contains(number)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sectors 0 to 4 in partitions of two of deadline 1, which opens at epoch 60 for the first time that matters.
    fn books() -> (Ledger, Opening) {
        let mut ledger = Ledger::new(Assignment::Pack(DeadlineIndex(1)), 2);
        ledger.advance(ChainEpoch(0));
        for number in 0..5 {
            ledger.place(number, ChainEpoch(40));
        }
        (ledger, Opening::current(ChainEpoch(60)))
    }

    fn claim(opening: Opening, partition: u32, sectors: &[u64], skipped: &[u64]) -> Claim {
        Claim { opening, partition, sectors: sectors.to_vec(), skipped: skipped.to_vec(), digest: [7; 32] }
    }

    /// Faulty sectors of each partition, and those that recover.
    fn faults(ledger: &Ledger, opening: Opening) -> Vec<(Vec<u64>, Vec<u64>)> {
        ledger.partitions(opening).into_iter().map(|p| (p.faulty, p.recovering)).collect()
    }

    fn prove(ledger: &mut Ledger, claim: &Claim, head: i64) {
        assert_eq!(ledger.check(claim, ChainEpoch(head)), Ok(Standing::Open), "{claim:?}");
        ledger.accept(claim, ChainEpoch(head));
        assert_eq!(ledger.check(claim, ChainEpoch(head + 1)), Ok(Standing::Known), "said again it changes nothing");
    }

    #[test]
    fn a_day_with_a_proof_a_skip_and_a_miss() {
        let (mut ledger, opening) = books();
        prove(&mut ledger, &claim(opening, 0, &[0, 1], &[]), 60);
        prove(&mut ledger, &claim(opening, 1, &[3], &[2]), 119);
        assert_eq!(ledger.advance(ChainEpoch(119)), [Change::Judged(ChainEpoch(60))], "nothing has closed");
        ledger.advance(ChainEpoch(120));
        let record = ledger.records().next().unwrap();
        let verdicts: Vec<_> =
            record.partitions.values().map(|p| (p.verdict, p.at.0, p.proven, &p.skipped[..])).collect();
        let expected: [(_, _, _, &[u64]); 3] =
            [(Verdict::Proven, 60, 2, &[]), (Verdict::Proven, 119, 1, &[2]), (Verdict::Missed, 120, 0, &[4])];
        assert_eq!((record.closed, verdicts), (true, expected.to_vec()));
        let next = Opening::next(ChainEpoch(120), DeadlineIndex(1));
        assert_eq!(faults(&ledger, next), [(vec![], vec![]), (vec![2], vec![]), (vec![4], vec![])]);
        // A faulty sector is not to be proven, unless it is declared to recover.
        assert!(ledger.check(&claim(next, 1, &[2, 3], &[]), next.open).is_err());
        let cutoff = next.fault_cutoff;
        assert!(ledger.recover(next, &[2], cutoff).is_err() && ledger.recover(next, &[3], ChainEpoch(121)).is_err());
        assert_eq!(ledger.recover(next, &[2], ChainEpoch(cutoff.0 - 1)).map(|c| c.len()), Ok(1));
        prove(&mut ledger, &claim(next, 1, &[2, 3], &[]), next.open.0);
        prove(&mut ledger, &claim(next, 0, &[0], &[1]), next.open.0);
        assert_eq!(faults(&ledger, next), [(vec![1], vec![]), (vec![], vec![]), (vec![4], vec![])]);
        ledger.advance(next.close);
        assert_eq!(ledger.records().next().map(|r| r.partitions[&2].verdict), Some(Verdict::Faulty));
        assert_eq!(ledger.terminate(&[4, 9]), [Change::Sector(4, None)]);
        assert_eq!(ledger.partitions(next).len(), 2);
    }

    #[test]
    fn what_does_not_count() {
        let (mut ledger, opening) = books();
        let good = claim(opening, 0, &[0, 1], &[]);
        let refused = |ledger: &Ledger, claim: &Claim, head| ledger.check(claim, ChainEpoch(head)).unwrap_err();
        assert!(matches!(refused(&ledger, &good, 59), Refusal::Early { .. }));
        assert!(matches!(refused(&ledger, &good, 120), Refusal::Late { .. }));
        let table: [(u32, &[u64], &[u64]); 7] = [
            (0, &[0], &[]),       // one is left out
            (0, &[0, 1, 2], &[]), // one of another partition
            (0, &[0, 1], &[1]),   // proven and skipped
            (0, &[0, 0, 1], &[]), // twice
            (1, &[0, 1], &[]),    // other partition
            (3, &[9], &[]),       // no such partition
            (0, &[], &[0, 1]),    // nothing is proven
        ];
        for (partition, sectors, skipped) in table {
            let wrong = claim(opening, partition, sectors, skipped);
            assert!(matches!(refused(&ledger, &wrong, 70), Refusal::Wrong(_)), "{wrong:?}");
        }
        prove(&mut ledger, &good, 70);
        let other = Claim { digest: [8; 32], ..good.clone() };
        let twice = refused(&ledger, &other, 71);
        ledger.refuse(&other, &twice);
        ledger.refuse(&other, &refused(&ledger, &claim(opening, 1, &[2, 3], &[]), 120));
        assert_eq!(ledger.records().next().map(|r| (r.refused, r.late)), Some((1, 1)));
    }

    #[test]
    fn an_epoch_has_one_proof() {
        let (mut ledger, opening) = books();
        let epoch = ChainEpoch(61);
        ledger.accept(&claim(opening, 0, &[1], &[0]), epoch);
        assert_eq!([0, 1, 4].map(|draw| ledger.challenged(draw)), [Some(1), Some(2), Some(1)], "a faulty one is not");
        assert!(ledger.block(epoch, 2, [1; 32], epoch).is_err(), "nobody has won it");
        assert_eq!((ledger.win(epoch, 2).len(), ledger.win(epoch, 2).len()), (1, 0));
        assert!(ledger.block(epoch, 3, [1; 32], epoch).is_err(), "another sector is challenged");
        assert_eq!(ledger.block(epoch, 2, [1; 32], ChainEpoch(62)).unwrap().len(), 1);
        assert_eq!(ledger.block(epoch, 2, [1; 32], ChainEpoch(63)), Ok(vec![]), "said again");
        assert!(ledger.block(epoch, 2, [2; 32], ChainEpoch(63)).is_err(), "a second one");
        let expected = WinRecord { epoch, sector: 2, block: Some(([1; 32], ChainEpoch(62))) };
        assert_eq!(ledger.wins().collect::<Vec<_>>(), [&expected]);
        assert_eq!(Ledger::new(Assignment::Network, 2).challenged(3), None);
    }

    #[test]
    fn a_new_sector_is_first_proven_at_the_first_challenge_after_it() {
        let (mut ledger, opening) = books();
        ledger.place(5, ChainEpoch(41));
        assert_eq!(ledger.partitions(opening).iter().map(|p| p.sectors.len()).sum::<usize>(), 5, "challenge was at 40");
        assert_eq!(ledger.partitions(Opening::next(ChainEpoch(120), DeadlineIndex(1)))[2].sectors, [4, 5]);
    }

    #[test]
    fn the_books_are_the_sum_of_their_rows_and_a_long_pause_is_judged_in_part() {
        let (mut ledger, opening) = books();
        let mut rows = BTreeMap::new();
        let mut keep = |changes: Vec<Change>| {
            for change in changes {
                let key = match &change {
                    Change::Sector(number, _) => format!("s{number}"),
                    Change::Opening(open, _) => format!("o{open}"),
                    Change::Win(epoch, _) => format!("w{epoch}"),
                    Change::Judged(_) => "j".to_owned(),
                };
                rows.insert(key, change);
            }
        };
        keep((0..5).map(|number| Change::Sector(number, ledger.sectors.get(&number).copied())).collect());
        keep(ledger.accept(&claim(opening, 0, &[0, 1], &[]), ChainEpoch(60)));
        keep(ledger.advance(ChainEpoch(120)));
        keep(ledger.advance(ChainEpoch(120 + 100 * PERIOD_EPOCHS)));
        keep(ledger.terminate(&[3]));
        keep(ledger.win(ChainEpoch(7), 1));
        keep(ledger.block(ChainEpoch(7), 1, [5; 32], ChainEpoch(8)).unwrap());
        let mut again = Ledger::new(Assignment::Pack(DeadlineIndex(1)), 2);
        rows.into_values().for_each(|row| again.load(row));
        assert_eq!((&again.sectors, &again.openings, again.judged), (&ledger.sectors, &ledger.openings, ledger.judged));
        assert_eq!(again.wins, ledger.wins);
        // The first one, and two of the hundred that followed.
        assert_eq!(again.openings.len(), 3);
    }
}
