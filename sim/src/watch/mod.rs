//! Sees everything that becomes durable and everything that computes, at the moment it does, and judges it by the laws.

mod board;
mod edges;
mod ledger;
mod score;
mod shelf;
mod starts;
mod stored;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sp_invariants::Law;
use sp_state::Batch;
use sp_types::{AttemptId, FileKind, TaskKind};

use crate::cast::SCHEDULER;
use board::Board;
pub use board::{Running, Seat};
use ledger::Ledger;
pub use score::{Closed, Judged, Score};
use shelf::Shelf;
pub use starts::End;
use starts::Starts;

/// A law that was broken, or a process that ended without reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// When, ms since the run began.
    pub at_ms: u64,
    /// Which law; none when it is about no law.
    pub law: Option<Law>,
    /// What happened.
    pub text: String,
}

/// The eyes of a run. Clones share what they see.
#[derive(Clone, Default)]
pub struct Watch(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    now_ms: u64,
    trace: String,
    breaches: Vec<Breach>,
    injected: BTreeMap<&'static str, u64>,
    ledger: Ledger,
    shelf: Shelf,
    board: Board,
    starts: Starts,
    score: Score,
    /// Hosts whose executor has died.
    stumbled: BTreeSet<&'static str>,
    /// Sectors that the scheduler has promised to an operator.
    promised: Vec<u64>,
    /// Sectors that an operator has given up.
    given_up: Vec<u64>,
    /// Sectors that the scheduler has promised to remove.
    removed: BTreeSet<u64>,
}

impl Watch {
    /// The time, told before every step.
    pub fn set_now(&self, now_ms: u64) {
        self.inner().now_ms = now_ms;
    }

    /// A line for the trace.
    pub fn note(&self, text: impl AsRef<str>) {
        self.inner().note(text.as_ref());
    }

    /// A law is broken.
    pub fn broken(&self, law: Law, text: String) {
        self.inner().broken(Some(law), text);
    }

    /// Something happened that no law names and that must not be.
    pub fn failed(&self, text: String) {
        self.inner().broken(None, text);
    }

    /// A fault was put into what a process says or hears.
    pub fn injected(&self, kind: &'static str) {
        *self.inner().injected.entry(kind).or_default() += 1;
    }

    /// A process starts.
    pub fn starts(&self, name: &'static str) {
        self.note(format!("{name} starts"));
    }

    /// A state has made a batch durable.
    pub fn committed(&self, name: &'static str, batch: &Batch) {
        let mut inner = self.inner();
        let keys: Vec<String> = batch.writes().map(|(key, value)| stored::readable(key, value.is_some())).collect();
        let line = format!("{name} commits {:08x}: {}", stored::digest(batch), keys.join(" "));
        inner.note(&line);
        let broken = match name {
            SCHEDULER => {
                inner.score.commit(batch);
                inner.ledger.commit(batch)
            }
            _ => inner.shelf.commit(batch),
        };
        broken.into_iter().for_each(|(law, text)| inner.broken(Some(law), text));
    }

    /// The state of the index is lost with all that it knew.
    pub fn forget_index(&self) {
        self.inner().shelf = Shelf::default();
    }

    /// An executor starts; it runs until the seat is dropped.
    pub fn seat(&self, running: Running) -> Seat {
        let mut inner = self.inner();
        let Inner { board, ledger, .. } = &mut *inner;
        let (number, broken) = board.start(running, |attempt| ledger.is_live(attempt));
        broken.into_iter().for_each(|text| inner.broken(Some(Law::L4), text));
        Seat::new(self.clone(), number)
    }

    /// An executor begins with a stage of a sector; gives the number by which its end is told. `recorded`: the worker
    /// holds a durable record of the answer to this very attempt, so it should not have asked again.
    pub fn executor_begins(&self, task: TaskKind, sector: u64, attempt: AttemptId, recorded: bool) -> usize {
        let mut inner = self.inner();
        if recorded {
            inner.broken(None, format!("{task} of {attempt} ran again although its answer was recorded"));
        }
        inner.starts.begin(task, sector)
    }

    /// That executor has ended.
    pub fn executor_ends(&self, number: usize, how: End) {
        self.inner().starts.end(number, how);
    }

    /// What is odd about the executor starts of a sealed sector, in a run with so many faults.
    pub fn odd_starts(&self, sector: u64, updated: bool, faults: u64) -> Vec<String> {
        self.inner().starts.odd(sector, updated, faults)
    }

    /// The scheduler has acknowledged that these sectors exist.
    pub fn promised(&self, sectors: &[u64]) {
        let mut inner = self.inner();
        inner.note(&format!("operator was promised sectors {sectors:?}"));
        inner.promised.extend(sectors);
    }

    /// An operator sees these sectors, some of them gone: what was promised is among them, and what was to be removed
    /// among those (law L8).
    pub fn listed(&self, sectors: &[u64], gone: &[u64]) {
        let mut inner = self.inner();
        let missing: Vec<u64> = inner.promised.iter().filter(|n| !sectors.contains(n)).copied().collect();
        if !missing.is_empty() {
            inner.broken(Some(Law::L8), format!("promised sectors {missing:?} are not listed"));
        }
        let back: Vec<u64> = inner.removed.iter().filter(|n| !gone.contains(n)).copied().collect();
        if !back.is_empty() {
            inner.broken(Some(Law::L8), format!("removed sectors {back:?} are not gone"));
        }
    }

    /// An operator is about to give a sector up: it may fail from now on.
    pub fn given_up(&self, sector: u64) {
        self.inner().given_up.push(sector);
    }

    /// Was it?
    pub fn was_given_up(&self, sector: u64) -> bool {
        self.inner().given_up.contains(&sector)
    }

    /// The scheduler has acknowledged that it removes the sector.
    pub fn removed(&self, sector: u64) {
        self.inner().removed.insert(sector);
    }

    /// Has it?
    pub fn is_removed(&self, sector: u64) -> bool {
        self.inner().removed.contains(&sector)
    }

    /// Files that count, by sector: kind and root (law L1).
    pub fn required(&self) -> Vec<(u64, FileKind, [u8; 32])> {
        self.inner().ledger.required()
    }

    /// Kinds that the sector consists of now.
    pub fn kinds(&self, sector: u64) -> Vec<FileKind> {
        self.inner().ledger.required().into_iter().filter(|(n, ..)| *n == sector).map(|(_, kind, _)| kind).collect()
    }

    /// Attempts that hold space or files at the index.
    pub fn holders(&self) -> Vec<String> {
        self.inner().shelf.holders()
    }

    /// The prover of this host has died, and is there again.
    pub fn stumbled(&self, host: &'static str) {
        self.inner().stumbled.insert(host);
    }

    /// Hosts whose prover has died since it was asked last.
    pub fn take_stumbled(&self) -> BTreeSet<&'static str> {
        std::mem::take(&mut self.inner().stumbled)
    }

    /// What the chain has judged so far.
    pub fn score(&self) -> Score {
        self.inner().score.clone()
    }

    /// Is something sealed on this machine?
    pub fn is_crowded(&self, machine: &str) -> bool {
        self.inner().board.is_used(machine)
    }

    /// What is at work at the moment.
    pub fn at_work(&self) -> Vec<String> {
        self.inner().board.list()
    }

    /// How often more ran on a machine than it has room for, attempts that had ended among it.
    pub fn crowded(&self) -> u64 {
        self.inner().board.crowded
    }

    /// Everything wrong so far.
    pub fn breaches(&self) -> Vec<Breach> {
        self.inner().breaches.clone()
    }

    /// True when nothing is wrong so far.
    pub fn is_clean(&self) -> bool {
        self.inner().breaches.is_empty()
    }

    /// Faults put into messages, by kind.
    pub fn all_injected(&self) -> BTreeMap<&'static str, u64> {
        self.inner().injected.clone()
    }

    /// The trace so far.
    pub fn trace(&self) -> String {
        self.inner().trace.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic ends the run; what was seen before it is still worth reading.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn note(&mut self, text: &str) {
        let _ = writeln!(self.trace, "{:>7} {text}", self.now_ms);
    }

    fn broken(&mut self, law: Option<Law>, text: String) {
        let name = law.map_or("-", Law::id);
        self.note(&format!("BROKEN {name}: {text}"));
        self.breaches.push(Breach { at_ms: self.now_ms, law, text });
    }
}

impl std::fmt::Display for Breach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.law {
            Some(law) => write!(f, "{} ms: law {} ({}): {}", self.at_ms, law.id(), law.text(), self.text),
            None => write!(f, "{} ms: {}", self.at_ms, self.text),
        }
    }
}
