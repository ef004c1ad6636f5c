//! Replicas and proofs of them that executors of this run have made. The verifier believes in no other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::seal::Seal;
use super::update::Update;

/// Sealed replicas and updates, by comm_r. Clones share them.
#[derive(Clone, Default)]
pub struct Made(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    seals: BTreeMap<Vec<u8>, Seal>,
    updates: BTreeMap<Vec<u8>, Update>,
    /// Right proofs of spacetime, the oldest first.
    proofs: Vec<Vec<u8>>,
}

impl Made {
    pub(crate) fn note(&self, seal: Seal) {
        self.inner().seals.insert(seal.comm_r(), seal);
    }

    pub(super) fn note_update(&self, update: Update) {
        self.inner().updates.insert(update.comm_r(), update);
    }

    /// A right proof of spacetime; gives it back.
    pub(super) fn note_proof(&self, proof: Vec<u8>) -> Vec<u8> {
        self.inner().proofs.push(proof.clone());
        proof
    }

    /// One that was right once: the first of all.
    pub(super) fn an_old_proof(&self) -> Option<Vec<u8>> {
        self.inner().proofs.first().cloned()
    }

    /// What the replica with this commitment was sealed from.
    pub fn find(&self, comm_r: &[u8]) -> Option<Seal> {
        self.inner().seals.get(comm_r).cloned()
    }

    /// What the update with this commitment was made from.
    pub fn update(&self, comm_r: &[u8]) -> Option<Update> {
        self.inner().updates.get(comm_r).cloned()
    }

    /// Every update that was ever made of a sector.
    pub(super) fn updates_of(&self, miner: u64, sector: u64) -> Vec<Update> {
        let own = |update: &&Update| (update.before.miner, update.before.sector) == (miner, sector);
        self.inner().updates.values().filter(own).cloned().collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
