//! The proving day: the openings that matter now as the chain has them, and a PoSt for every partition that is missing
//! there. A scheduler that starts asks the chain, and goes on with what was being proven (`row`).

use std::collections::{BTreeMap, BTreeSet};

use sp_chain::{DEADLINE_EPOCHS, Opening, PartitionState};
use sp_types::{ChainEpoch, ErrorCode};

use super::call::PostSector;
use super::call::{OpeningState, ProvingCall, ProvingId, ProvingMatter, ProvingReply};
use super::job::{Handed, Part, PostId, PostJob, PostKind, Skipped};
use super::rehearsal::Rehearsals;
use super::watch::CLOSED;
use super::winning::Unanswered;
use crate::core::Core;
use crate::effect::Effect;
use crate::model::UnixMs;

/// The chain is asked again after so many epochs: it may have been reorganised.
const ASK_EVERY: i64 = 5;

/// Openings that matter: the open one, and two ahead of it, where faults can still be declared over.
const AHEAD: usize = 2;

/// What is known of the openings that matter, by their first epoch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Day {
    openings: BTreeMap<ChainEpoch, Watched>,
    /// Proofs of epochs that were won which the chain has not taken yet.
    pub(super) wins: BTreeMap<ChainEpoch, Unanswered>,
    pub(super) rehearsals: Rehearsals,
}

/// One opening that is watched.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    pub(crate) opening: Opening,
    /// As the chain has said last.
    pub(crate) state: Option<OpeningState>,
    /// From this epoch on the chain is asked (again).
    pub(crate) ask_from: ChainEpoch,
    /// It has been asked and has not answered yet: since when.
    asked: Option<UnixMs>,
    /// The chain has taken something since it was asked: its answer may be older than that.
    outdated: bool,
    /// When its faulty sectors were last read.
    pub(crate) checked: Option<ChainEpoch>,
}

impl Day {
    pub(crate) fn get(&self, open: ChainEpoch) -> Option<&Watched> {
        self.openings.get(&open)
    }

    /// In the order in which they open.
    pub(super) fn watched(&self) -> impl Iterator<Item = &Watched> {
        self.openings.values()
    }

    pub(crate) fn get_mut(&mut self, open: ChainEpoch) -> Option<&mut Watched> {
        self.openings.get_mut(&open)
    }
}

impl Watched {
    fn new(opening: Opening, head: ChainEpoch) -> Self {
        Self { opening, state: None, ask_from: head, asked: None, outdated: false, checked: None }
    }

    /// The first epoch at which its faults matter.
    fn near(&self) -> ChainEpoch {
        ChainEpoch(self.opening.open.0 - AHEAD as i64 * DEADLINE_EPOCHS)
    }

    /// The next epoch at which the answer may be another one. What is far away changes seldom, and matters little.
    fn next_ask(&self, head: ChainEpoch) -> ChainEpoch {
        let turns = [self.near(), ChainEpoch(self.opening.challenge.0 + 1), self.opening.open];
        let turn = turns.into_iter().filter(|turn| *turn > head);
        let every = if head < self.near() { DEADLINE_EPOCHS } else { ASK_EVERY };
        turn.chain([ChainEpoch(head.0 + every)]).min().unwrap_or(head)
    }
}

impl Core {
    /// The chain has a new head.
    pub(crate) fn on_epoch(&mut self, head: ChainEpoch) {
        self.epoch = head;
        let closed: Vec<ChainEpoch> =
            self.day.openings.iter().filter(|(_, w)| w.opening.close <= head).map(|(open, _)| *open).collect();
        closed.into_iter().for_each(|open| self.close_opening(open));
        let mut opening = Opening::current(head);
        for _ in 0..=self.openings_ahead(AHEAD) {
            self.day.openings.entry(opening.open).or_insert_with(|| Watched::new(opening, head));
            opening = opening.following();
        }
        let opens: Vec<ChainEpoch> = self.day.openings.keys().copied().collect();
        for open in opens {
            self.ask_opening(open);
            self.submit_ready(PostId::Opening(open));
        }
        self.ask_election();
        self.turn_rehearsals(head);
    }

    fn ask_opening(&mut self, open: ChainEpoch) {
        let (now, head, patience_ms) = (self.now, self.epoch, self.config.answer_wait_ms);
        let Some(watched) = self.day.get_mut(open) else { return };
        let waits = watched.asked.is_some_and(|since| since.plus(patience_ms) > now);
        if waits || watched.ask_from > head {
            return;
        }
        watched.asked = Some(now);
        self.out.push(Effect::Proving(ProvingCall::Ask(watched.opening)));
    }

    /// The chain has taken a proof: what it was asked before that does not count.
    pub(crate) fn note_taken(&mut self, open: ChainEpoch) {
        if let Some(watched) = self.day.get_mut(open) {
            watched.outdated = watched.asked.is_some();
        }
    }

    /// Asks at once, whatever was said before.
    pub(crate) fn ask_opening_anew(&mut self, open: ChainEpoch) {
        let head = self.epoch;
        if let Some(watched) = self.day.get_mut(open) {
            (watched.ask_from, watched.asked) = (head, None);
            self.ask_opening(open);
        }
    }

    /// The chain has answered.
    pub(crate) fn on_proving(&mut self, id: ProvingId, reply: ProvingReply) {
        let ProvingId { open, about } = id;
        match (about, reply) {
            (ProvingMatter::State, ProvingReply::State(state)) => self.on_opening(open, *state),
            (ProvingMatter::State, _) => {
                let next = ChainEpoch(self.epoch.0 + 1);
                if let Some(watched) = self.day.get_mut(open) {
                    (watched.asked, watched.ask_from) = (None, next);
                }
            }
            (ProvingMatter::Election, ProvingReply::Election(Some(won))) => self.on_won(open, won),
            // What was not won is nothing; an election that nobody answers is over with its epoch.
            (ProvingMatter::Election, _) => {}
            (ProvingMatter::Win, reply) => self.on_win(open, reply),
            (ProvingMatter::Partition(index), reply) => self.on_submitted(PostId::Opening(open), index, reply),
            (ProvingMatter::Recovery, reply) => self.on_recovery(open, &reply),
            (ProvingMatter::Termination, ProvingReply::Accepted) => self.ask_opening_anew(open),
            // It is asked again with the next answer about this opening.
            (ProvingMatter::Termination, _) => {}
        }
    }

    fn on_opening(&mut self, open: ChainEpoch, state: OpeningState) {
        let head = self.epoch;
        let Some(watched) = self.day.get_mut(open) else { return };
        let (opening, near) = (watched.opening, watched.near());
        if std::mem::take(&mut watched.outdated) {
            return self.ask_opening_anew(open);
        }
        (watched.asked, watched.ask_from) = (None, watched.next_ask(head));
        watched.state = Some(state);
        self.terminate_gone(open);
        if opening.is_drawn(head) {
            self.prove_missing(open);
        } else if near <= head && head < opening.fault_cutoff {
            self.check_lost(open);
        }
        self.replan |= self.config.rehearse_percent > 0;
    }

    /// Sectors that were removed here are no longer to be proven.
    fn terminate_gone(&mut self, open: ChainEpoch) {
        let Some((watched, state)) = self.day.get(open).and_then(|w| Some((w, w.state.as_ref()?))) else { return };
        let gone = |number: &u64| self.sectors.get(number).is_some_and(|sector| sector.state.is_gone());
        let sectors: Vec<u64> = state.partitions.iter().flat_map(|p| &p.sectors).copied().filter(gone).collect();
        if !sectors.is_empty() {
            let opening = watched.opening;
            self.out.push(Effect::Proving(ProvingCall::Terminate { opening, sectors }));
        }
    }

    // === what is to be proven ===

    /// Sees to it that every partition that the chain misses is being proven under the randomness that it has now.
    fn prove_missing(&mut self, open: ChainEpoch) {
        let id = PostId::Opening(open);
        let Some((watched, state)) = self.day.get(open).and_then(|w| Some((w, w.state.as_ref()?))) else { return };
        let (Some(randomness), Watched { opening, .. }) = (state.randomness, watched) else { return };
        let (deadline, closes, is_open) = (opening.index, state.closes, opening.is_open(self.epoch));
        if closes <= self.now {
            return;
        }
        let missing = state.partitions.iter().filter(|partition| !partition.proven);
        let missing: Vec<(u32, Vec<PostSector>, Skipped)> = missing
            .map(|partition| self.provable(partition))
            // One whose sector is about to be provable is waited for as long as that costs nothing.
            .filter(|(_, sectors, lost)| !sectors.is_empty() && (is_open || lost.is_empty()))
            .collect();
        if self.posts.get(&id).is_some_and(|job| job.randomness != randomness) {
            self.drop_post(id, "the chain has another randomness by now");
        }
        let kind = PostKind::Window(deadline);
        let fresh = PostJob { kind, randomness, started: self.now, until: closes, alerted: false, parts: Vec::new() };
        let mut job = self.posts.remove(&id).unwrap_or(fresh);
        let mut before: BTreeMap<u32, Part> = job.parts.drain(..).map(|part| (part.index, part)).collect();
        for (index, sectors, lost) in missing {
            let part = match before.remove(&index) {
                Some(part) if part.is_about(&sectors, &lost) => part.not_taken(),
                other => {
                    before.extend(other.map(|part| (index, part)));
                    Part { lost, ..Part::new(self.next_task_id(), index, sectors) }
                }
            };
            job.parts.push(part);
        }
        for part in before.values() {
            self.note_part(id, part.index);
            self.stop_part(part, &job, "it is proven already, or something else is to be proven");
        }
        self.replan = true;
        self.untidy.append(&mut self.homes.being_read);
        if !job.parts.is_empty() {
            self.posts.insert(id, job);
            self.submit_ready(id);
        }
    }

    /// The sectors of a partition that can be proven, and why the others cannot.
    pub(super) fn provable(&self, partition: &PartitionState) -> (u32, Vec<PostSector>, Skipped) {
        let (mut sectors, mut lost) = (Vec::new(), Vec::new());
        for number in partition.to_prove() {
            match self.post_sector(number) {
                Some(sector) => sectors.push(sector),
                None => lost.push((number, self.why_not_provable(number))),
            }
        }
        (partition.index, sectors, lost)
    }

    pub(crate) fn why_not_provable(&self, number: u64) -> String {
        match self.sectors.get(&number) {
            Some(sector) => format!("it is {}", sector.state),
            None => "the scheduler does not know it".to_owned(),
        }
    }

    // === ends ===

    /// What is not proven by now is missed.
    fn close_opening(&mut self, open: ChainEpoch) {
        self.day.openings.remove(&open);
        self.drop_post(PostId::Recovery(open), "faults can no longer be declared over");
        self.fail_post(PostId::Opening(open), ErrorCode::TimedOut, CLOSED);
    }
}

impl Part {
    /// Is this what is to be proven? What is proven already stays as it is.
    fn is_about(&self, sectors: &[PostSector], lost: &Skipped) -> bool {
        let same = self.sectors.iter().map(|(number, ..)| number).eq(sectors.iter().map(|(number, ..)| number));
        let all = |sectors: &[PostSector], lost: &Skipped| -> BTreeSet<u64> {
            sectors.iter().map(|(number, ..)| *number).chain(lost.iter().map(|(number, _)| *number)).collect()
        };
        (same || self.done.is_some()) && all(&self.sectors, &self.lost) == all(sectors, lost)
    }

    /// The chain does not have its proof, whatever it has said before.
    fn not_taken(mut self) -> Self {
        if self.handed == Handed::Accepted {
            self.handed = Handed::No;
        }
        self
    }
}
