//! The scrub of one store as it is kept: how far it is, what came of each replica, who is at it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use sp_proto::convert;
use sp_proto::v1::{self, ScrubCheck, ScrubOutcome, ScrubState};
use sp_types::{FileKind, ReplicaId, ReplicaInfo, SectorId, Soundness};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::pace::Pace;

/// Results that are kept of a store. Where there are more, sound ones give way.
const RESULTS_MAX: usize = 50_000;

/// One file of one sector, in the order in which they are read.
pub(super) type Place = (SectorId, FileKind);

/// A result is kept for each place and check.
type Key = (Place, i32);

/// The scrub of one store, shared between its task and those who ask.
pub(crate) struct StoreScrub {
    /// The ID of the store.
    pub(super) store: String,
    /// Where its record lies.
    pub(super) record: PathBuf,
    state: Mutex<State>,
    /// For one writer of the record at a time.
    pub(super) saving: tokio::sync::Mutex<()>,
    /// There are new bounds: whoever waits for the old ones waits anew.
    pub(super) changed: Notify,
}

/// What is known of it.
pub(super) struct State {
    /// Without results and what follows from them.
    pub(super) scrub: v1::StoreScrub,
    results: BTreeMap<Key, v1::ScrubResult>,
    /// The last place that was dealt with.
    pub(super) after: Option<Place>,
    /// What files of sectors must come to.
    pub(super) commitments: Arc<BTreeMap<SectorId, v1::SectorCommitments>>,
    /// Ends its task.
    pub(super) stop: CancellationToken,
    /// Its task has not ended.
    pub(super) at_work: bool,
    /// A read that has not come back, if there is one.
    pub(super) reading: Weak<()>,
    /// Keeps to its rate.
    pub(super) pace: Option<Pace>,
}

impl StoreScrub {
    pub(super) fn new(store: String, record: PathBuf) -> Self {
        let scrub = v1::StoreScrub { store: store.clone(), ..Default::default() };
        let state = State {
            scrub,
            results: BTreeMap::new(),
            after: None,
            commitments: Arc::default(),
            stop: CancellationToken::new(),
            at_work: false,
            reading: Weak::new(),
            pace: None,
        };
        Self { store, record, state: Mutex::new(state), saving: tokio::sync::Mutex::default(), changed: Notify::new() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// From a record; what it does not make sense of is left out.
    pub(super) fn restore(&mut self, record: v1::ScrubRecord) {
        let v1::ScrubRecord { scrub, after, commitments } = record;
        let mut scrub = scrub.unwrap_or_default();
        for result in std::mem::take(&mut scrub.results) {
            if let Some(place) = result.replica.as_ref().and_then(place_of) {
                self.results.insert((place, result.check), result);
            }
        }
        self.after = after.as_ref().and_then(place_of);
        self.scrub = v1::StoreScrub { store: self.scrub.store.clone(), ..scrub };
        self.set_commitments(commitments);
    }

    pub(super) fn to_record(&self) -> v1::ScrubRecord {
        let results = self.results.values().cloned().collect();
        let after = self.after.map(|(sector, kind)| {
            let (miner, sector, kind) = (sector.miner, sector.number, v1::FileKind::from(kind) as i32);
            v1::Replica { miner, sector, kind, store: self.scrub.store.clone(), ..Default::default() }
        });
        v1::ScrubRecord {
            scrub: Some(v1::StoreScrub { results, ..self.scrub.clone() }),
            after,
            commitments: self.commitments.values().cloned().collect(),
        }
    }

    pub(super) fn set_commitments(&mut self, commitments: Vec<v1::SectorCommitments>) {
        let sector = |of: &v1::SectorCommitments| SectorId { miner: of.miner, number: of.sector };
        self.commitments = Arc::new(commitments.into_iter().map(|of| (sector(&of), of)).collect());
    }

    /// As it is told; with at most so many results, faults first, then the newest.
    pub(super) fn to_wire(&self, results_max: usize) -> v1::StoreScrub {
        let is_fault = |result: &v1::ScrubResult| result.outcome == ScrubOutcome::Faulty as i32;
        let faulty = self.results.values().filter(|result| is_fault(result)).count() as u64;
        let sound = self.results.len() as u64 - faulty;
        let mut results: Vec<&v1::ScrubResult> = if results_max > 0 { self.results.values().collect() } else { vec![] };
        results.sort_by_key(|result| (!is_fault(result), std::cmp::Reverse(result.checked_unix_ms)));
        let results = results.into_iter().take(results_max).cloned().collect();
        v1::StoreScrub { faulty, sound, results, ..self.scrub.clone() }
    }

    /// What is to be read, as it lies there now. What came of replicas that are gone is forgotten.
    pub(super) fn listed(&mut self, replicas: &[ReplicaInfo]) {
        let there: BTreeSet<Place> = replicas.iter().map(|info| place(&info.id)).collect();
        self.results.retain(|(place, _), _| there.contains(place));
        let done: Vec<&ReplicaInfo> = replicas.iter().filter(|info| self.is_done(&info.id)).collect();
        let bytes = |infos: &mut dyn Iterator<Item = &ReplicaInfo>| infos.map(|info| info.size_bytes).sum();
        self.scrub.replicas = replicas.len() as u64;
        self.scrub.bytes = bytes(&mut replicas.iter());
        self.scrub.replicas_done = done.len() as u64;
        self.scrub.bytes_done = bytes(&mut done.into_iter());
    }

    /// Has this pass dealt with it?
    pub(super) fn is_done(&self, replica: &ReplicaId) -> bool {
        self.after.is_some_and(|after| place(replica) <= after)
    }

    /// Goes on behind this replica. Its bytes count as read, whatever became of it.
    pub(super) fn advance(&mut self, info: &ReplicaInfo, bytes_before: u64) {
        self.after = Some(place(&info.id));
        self.scrub.replicas_done += 1;
        self.scrub.bytes_done = (bytes_before + info.size_bytes).min(self.scrub.bytes);
    }

    /// Keeps a result in the place of the last one of its sort. What was computed of a replica with another root is
    /// forgotten.
    pub(super) fn keep(&mut self, replica: &ReplicaId, result: v1::ScrubResult) {
        let root = |result: &v1::ScrubResult| result.replica.as_ref().map(|replica| replica.root.clone());
        let computed = (place(replica), ScrubCheck::Commitment as i32);
        if self.results.get(&computed).is_some_and(|of| root(of) != root(&result)) {
            self.results.remove(&computed);
        }
        self.results.insert((place(replica), result.check), result);
        if self.results.len() > RESULTS_MAX {
            let sound = self.results.iter().find(|(_, result)| result.outcome != ScrubOutcome::Faulty as i32);
            let key = sound.or(self.results.iter().next()).map(|(key, _)| *key);
            key.and_then(|key| self.results.remove(&key));
        }
    }

    /// What was said of it counts no more: it is gone. False: nothing was.
    pub(super) fn forget(&mut self, replica: &ReplicaId) -> bool {
        let checks = [ScrubCheck::Digests, ScrubCheck::Commitment];
        let gone = checks.map(|check| self.results.remove(&(place(replica), check as i32)).is_some());
        gone.contains(&true)
    }

    /// What the results say of a replica, and of none that lay there before it.
    pub(super) fn soundness(&self, replica: &ReplicaId) -> Soundness {
        let of = |check: ScrubCheck| self.results.get(&(place(replica), check as i32));
        let is_of_it = |result: &&v1::ScrubResult| result.replica.as_ref().is_some_and(|of| of.root == replica.root);
        let checks = [ScrubCheck::Digests, ScrubCheck::Commitment];
        let outcomes: Vec<i32> = checks.into_iter().filter_map(of).filter(is_of_it).map(|r| r.outcome).collect();
        if outcomes.contains(&(ScrubOutcome::Faulty as i32)) {
            Soundness::Faulty
        } else if outcomes.contains(&(ScrubOutcome::Sound as i32)) {
            Soundness::Sound
        } else {
            Soundness::Unknown
        }
    }

    /// It is over, or it is not to go on for now.
    pub(super) fn end(&mut self, state: ScrubState, now_unix_ms: u64, detail: String) {
        self.scrub.state = state as i32;
        self.scrub.ended_unix_ms = now_unix_ms;
        self.scrub.detail = detail;
    }
}

pub(super) fn place(replica: &ReplicaId) -> Place {
    (replica.sector, replica.kind)
}

fn place_of(replica: &v1::Replica) -> Option<Place> {
    let sector = SectorId { miner: replica.miner, number: replica.sector };
    Some((sector, convert::file_kind(replica.kind).ok()?))
}

#[cfg(test)]
mod tests {
    use sp_types::StoreId;

    use super::*;

    fn info(number: u64, kind: FileKind, root: u8) -> ReplicaInfo {
        let sector = SectorId { miner: 1000, number };
        let id = ReplicaId { sector, kind, store: StoreId::new("a").unwrap(), root: [root; 32] };
        ReplicaInfo { id, size_bytes: 100, primary: true, origin: None, soundness: Soundness::Unknown }
    }

    fn result(info: &ReplicaInfo, check: ScrubCheck, outcome: ScrubOutcome, checked_unix_ms: u64) -> v1::ScrubResult {
        let replica = Some(info.clone().into());
        v1::ScrubResult { replica, check: check as i32, outcome: outcome as i32, checked_unix_ms, ..Default::default() }
    }

    #[test]
    fn the_last_result_of_each_sort_is_kept_and_only_of_what_is_there() {
        use ScrubOutcome::{Faulty, Sound};
        let scrub = StoreScrub::new("a".into(), "/record".into());
        let mut state = scrub.state();
        let [sealed, cache, other] =
            [(1, FileKind::Sealed), (1, FileKind::Cache), (2, FileKind::Sealed)].map(|(n, kind)| info(n, kind, 1));
        state.keep(&sealed.id, result(&sealed, ScrubCheck::Digests, Sound, 5));
        state.keep(&sealed.id, result(&sealed, ScrubCheck::Commitment, Faulty, 6));
        state.keep(&cache.id, result(&cache, ScrubCheck::Digests, Sound, 7));
        state.keep(&other.id, result(&other, ScrubCheck::Digests, Faulty, 4));
        let times = |told: v1::StoreScrub| told.results.iter().map(|of| of.checked_unix_ms).collect::<Vec<_>>();
        assert_eq!(times(state.to_wire(9)), [6, 4, 7, 5], "faults first, then the newest");
        assert_eq!(
            [&sealed, &cache, &info(2, FileKind::Cache, 1)].map(|info| state.soundness(&info.id)),
            [Soundness::Faulty, Soundness::Sound, Soundness::Unknown]
        );
        assert_eq!(state.soundness(&info(1, FileKind::Sealed, 7).id), Soundness::Unknown, "it is another one");
        let told = state.to_wire(1);
        assert_eq!((told.sound, told.faulty, told.results.len()), (2, 2, 1));
        let sealed = info(1, FileKind::Sealed, 2);
        state.keep(&sealed.id, result(&sealed, ScrubCheck::Digests, Sound, 8));
        assert_eq!(times(state.to_wire(9)), [4, 8, 7], "what was computed of another root counts no more");
        state.listed(&[sealed.clone(), cache.clone()]);
        assert_eq!(times(state.to_wire(9)), [8, 7]);
        state.forget(&cache.id);
        assert_eq!(times(state.to_wire(9)), [8]);
    }

    #[test]
    fn a_record_says_how_far_it_is() {
        let scrub = StoreScrub::new("a".into(), "/record".into());
        let infos = [info(1, FileKind::Unsealed, 1), info(1, FileKind::Sealed, 1), info(2, FileKind::Unsealed, 1)];
        let before = {
            let mut state = scrub.state();
            state.listed(&infos);
            state.keep(&infos[0].id, result(&infos[0], ScrubCheck::Digests, ScrubOutcome::Sound, 1));
            state.set_commitments(vec![v1::SectorCommitments { miner: 1000, sector: 1, ..Default::default() }]);
            state.advance(&infos[0], 0);
            state.advance(&infos[1], 100);
            state.to_record()
        };
        let again = StoreScrub::new("a".into(), "/record".into());
        let mut state = again.state();
        state.restore(before.clone());
        assert_eq!(state.to_record(), before);
        assert_eq!(infos.each_ref().map(|info| state.is_done(&info.id)), [true, true, false]);
        state.listed(&infos);
        assert_eq!((state.scrub.replicas_done, state.scrub.bytes_done, state.scrub.bytes), (2, 200, 300));
    }
}
